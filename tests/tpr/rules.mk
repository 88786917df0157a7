# SPDX-License-Identifier: GPL-2.0-or-later
# The TPR guest, and its suite. Compiled as the probe is (tests/guest/rules.mk).

TPR_GUEST_O := $(O)/tests/guest/tpr
TPR_GUEST_OBJECTS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/guest/tpr/*.c)) \
	$(patsubst %.S,$(O)/%.o,$(wildcard tests/guest/tpr/*.S)) $(O)/tests/guest/text.o

$(O)/tests/guest/tpr.elf: tests/guest/tpr/tpr.ld $(TPR_GUEST_OBJECTS)
	$(if $(V),,@echo "  LD32    $@")
	$(Q)$(CC) -m32 -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -T $< -o $@ $(TPR_GUEST_OBJECTS)

# In the lab; TAP on standard output.
.PHONY: tpr-tests
tpr-tests: $(O)/lodge $(O)/tests/guest/tpr.elf
	tests/tpr/run --lodge $(O)/lodge
