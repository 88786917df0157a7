# SPDX-License-Identifier: GPL-2.0-or-later
# The probe guest. It is built for a bare 32-bit machine, so none of the program's own flags apply
# to it.

GUEST_O := $(O)/tests/guest
PROBE_SOURCES := $(filter-out tests/guest/shim.c,$(wildcard tests/guest/*.c))
PROBE_OBJECTS := $(PROBE_SOURCES:%.c=$(O)/%.o) $(GUEST_O)/start.o
PROBE_FLAGS := -m32 -march=i686 -std=gnu11 -Os -g0 -ffreestanding -fno-pic -fno-stack-protector \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -nostdlib -Isrc $(WARNINGS)

$(GUEST_O)/%.o: tests/guest/%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC32    $<")
	$(Q)$(CC) $(PROBE_FLAGS) -MMD -MP -c -o $@ $<

$(GUEST_O)/%.o: tests/guest/%.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS32    $<")
	$(Q)$(CC) -m32 -Itests/guest -MMD -MP -c -o $@ $<

$(GUEST_O)/probe.elf: tests/guest/guest.ld $(PROBE_OBJECTS)
	$(if $(V),,@echo "  LD32    $@")
	$(Q)$(CC) -m32 -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -T tests/guest/guest.ld -o $@ $(PROBE_OBJECTS)

# Preloaded into the monitor by tests/guest/run; never sanitized itself.
$(GUEST_O)/shim.so: tests/guest/shim.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 $(filter-out -Wmissing-prototypes,$(WARNINGS)) -fPIC -shared -o $@ $<

# Guests on this machine's /dev/kvm; TAP on standard output.
.PHONY: guest-tests
guest-tests: $(O)/lodge $(GUEST_O)/probe.elf $(GUEST_O)/shim.so
	tests/guest/run --lodge $(O)/lodge
