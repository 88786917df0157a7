# SPDX-License-Identifier: GPL-2.0-or-later
#
# The TPR option ROM: assembled twice (several CPUs, one CPU), each linked at two addresses, from
# whose difference mkrom sees that every address is accounted for. Becomes firmware/tpr.rom in the
# build folder and, for src/tpr/image.c, a header with the bytes.

ROM_O := $(O)/firmware
TPR_ROM := $(ROM_O)/tpr.rom
TPR_ROM_HEADER := $(O)/gen/tpr_rom_bytes.h
GENERATED += $(TPR_ROM_HEADER)
OBJCOPY ?= objcopy

ROM_AS = $(CC) -m32 -Isrc -MMD -MP -c

$(ROM_O)/smp.o: firmware/tpr_rom.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS32    $@")
	$(Q)$(ROM_AS) -o $@ $<

$(ROM_O)/single.o: firmware/tpr_rom.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS32    $@")
	$(Q)$(ROM_AS) -DSINGLE_CPU -o $@ $<

# Linked at 0 and at HIGH of mkrom.c.
$(ROM_O)/%.rom $(ROM_O)/%.high $(ROM_O)/%.fixups &: $(ROM_O)/%.o firmware/rom.ld
	$(if $(V),,@echo "  LD32    $(ROM_O)/$*.rom")
	$(Q)$(LD) -m elf_i386 --build-id=none --no-warn-rwx-segments -T firmware/rom.ld \
		--defsym=ROM_BASE=0 -o $(ROM_O)/$*.elf $<
	$(Q)$(LD) -m elf_i386 --build-id=none --no-warn-rwx-segments -T firmware/rom.ld \
		--defsym=ROM_BASE=0x81234000 -o $(ROM_O)/$*.high.elf $<
	$(Q)$(OBJCOPY) -O binary -j .rom $(ROM_O)/$*.high.elf $(ROM_O)/$*.high
	$(Q)for section in rom fixups; do \
		$(OBJCOPY) -O binary -j .$$section $(ROM_O)/$*.elf $(ROM_O)/$*.$$section || exit 1; done

$(ROM_O)/mkrom: firmware/mkrom.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) -std=gnu11 $(WARNINGS) -O1 -Isrc -MMD -MP -o $@ $<

$(TPR_ROM) $(TPR_ROM_HEADER) &: $(ROM_O)/mkrom $(ROM_O)/smp.rom $(ROM_O)/single.rom
	@mkdir -p $(@D) $(dir $(TPR_ROM_HEADER))
	$(if $(V),,@echo "  ROM     $(TPR_ROM)")
	$(Q)$(ROM_O)/mkrom $(ROM_O) $(TPR_ROM) $(TPR_ROM_HEADER)

all: $(TPR_ROM)

# Its tests run it in an emulated CPU.
$(O)/tests/unit/test_tpr_rom $(O)/tests/unit/test_tpr_rom_events \
	$(O)/tests/unit/test_tpr_equivalence: LDLIBS += -lunicorn
