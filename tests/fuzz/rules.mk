# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fuzz targets: tests/fuzz/fuzz_X.c defines LLVMFuzzerTestOneInput(); tests/fuzz/corpus/X/ holds its
# inputs, among them every input that once failed.
#
#   make fuzz           build-fuzz/fuzz_X for each, with clang, libFuzzer and sanitizers. Run it as
#                       build-fuzz/fuzz_X NEWDIR tests/fuzz/corpus/X
#   make fuzz-replay    runs each over its corpus, without libFuzzer and with any compiler;
#                       SANITIZE=1 as elsewhere

FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_REPLAYS := $(FUZZ_NAMES:%=$(O)/tests/fuzz/replay_%)

.SECONDARY: $(O)/tests/fuzz/replay.o

.PHONY: fuzz
fuzz:
	$(Q)$(MAKE) O=build-fuzz CC=clang SANITIZE=1 \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link $(FUZZ_CLANG)' \
		$(FUZZ_NAMES:%=build-fuzz/fuzz_%)

# clang before 16 wants to be told twice. Its warnings are looked at in a build of their own.
FUZZ_CLANG := -Wno-error -Xclang -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang

build-fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(TEST_LIB_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  FUZZ    $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/lib $(CFLAGS_ALL) -fsanitize=fuzzer -MMD -MP \
		$(LDFLAGS_ALL) -o $@ $< $(TEST_LIB_OBJECTS) $(LIBRARY) -lcmocka $(LDLIBS_ALL)

$(O)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c $(O)/tests/fuzz/replay.o $(TEST_LIB_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  REPLAY  $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/lib $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
		$(O)/tests/fuzz/replay.o $(TEST_LIB_OBJECTS) $(LIBRARY) -lcmocka $(LDLIBS_ALL)

.PHONY: fuzz-replay
fuzz-replay: $(FUZZ_REPLAYS)
	$(Q)for name in $(FUZZ_NAMES); do \
		$(O)/tests/fuzz/replay_$$name tests/fuzz/corpus/$$name || exit 1; done
