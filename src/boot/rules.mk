# SPDX-License-Identifier: GPL-2.0-or-later
#
# The DSDT: preprocessed as C, so that its numbers come from layout.h, then compiled by iasl to a C
# array. A warning or a remark of iasl fails the build.
DSDT := $(O)/gen/dsdt
GENERATED += $(DSDT).h

$(DSDT).h: src/boot/dsdt.asl src/boot/acpi_aml.h src/machine/layout.h
	@mkdir -p $(@D)
	$(if $(V),,@echo "  IASL    $<")
	$(Q)$(CC) -E -P -undef -x assembler-with-cpp -Isrc -o $(DSDT).cpp $<
	$(Q)sed -e 's/\b\(0x[0-9a-fA-F]*\)ull\b/\1/g' $(DSDT).cpp > $(DSDT).dsl
	$(Q)iasl -we -vs -tc -p $(DSDT) $(DSDT).dsl > $(DSDT).log 2>&1 && \
		grep -q ' 0 Warnings, 0 Remarks' $(DSDT).log || { cat $(DSDT).log >&2; exit 1; }
	$(Q)sed -e 's/^unsigned char/static const unsigned char/' $(DSDT).hex > $@

# Lodge unpacks with libraries loaded at run time; the test that packs is linked with them.
$(O)/tests/unit/test_boot_decompress: LDLIBS += -lz -llzma -lzstd -llz4
