# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: figures against QEMU in the deterministic lab.

BENCH_PROGRAMS := $(O)/tests/bench/measure $(O)/tests/bench/disk_load $(O)/tests/bench/net_load

$(BENCH_PROGRAMS): $(O)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  BENCH   $<")
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 $(WARNINGS) -O2 -static -o $@ $<

.PHONY: bench
bench: all $(BENCH_PROGRAMS) $(O)/tests/guest/tpr.elf
	$(Q)tools/setup bench
	$(Q)tests/bench/boot --build $(O) --docs docs/bench
	$(Q)tests/bench/tpr --build $(O) --docs docs/bench
	$(Q)tests/bench/disk --build $(O) --docs docs/bench
	$(Q)tests/bench/net --build $(O) --docs docs/bench
