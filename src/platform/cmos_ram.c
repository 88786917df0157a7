// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmos_ram: memory sizes and equipment where firmware and old kernels look for them.
 *
 * Source: IBM PC/AT Technical Reference (0x10 to 0x31); 0x34 and 0x5b are as SeaBIOS reads them
 * (src/fw/paravirt.c), where a virtual machine's memory is too large for the older fields.
 */
#include "platform/cmos_ram.h"

#define EQUIPMENT_FPU   0x02
#define EQUIPMENT_MOUSE 0x04

static void store16(uint8_t *at, uint64_t value)
{
	if (value > UINT16_MAX)
		value = UINT16_MAX;
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

void cmos_ram_update_checksum(uint8_t cmos[CMOS_SIZE])
{
	unsigned sum = 0;
	unsigned i;

	for (i = 0x10; i < CMOS_CHECKSUM; i++)
		sum += cmos[i];
	cmos[CMOS_CHECKSUM] = (uint8_t)(sum >> 8);
	cmos[CMOS_CHECKSUM + 1] = (uint8_t)sum;
}

void cmos_ram_fill(uint8_t cmos[CMOS_SIZE], uint64_t ram_below_4gib, uint64_t ram_above_4gib)
{
	const uint64_t mib = 1 << 20;
	uint64_t past_1mib = ram_below_4gib > mib ? ram_below_4gib - mib : 0;
	uint64_t past_16mib = ram_below_4gib > 16 * mib ? ram_below_4gib - 16 * mib : 0;
	uint64_t above = ram_above_4gib >> 16;

	if (above >= 1u << 24)
		above = (1u << 24) - 1;
	store16(cmos + CMOS_BASE_KIB, ram_below_4gib < 640 << 10 ? ram_below_4gib >> 10 : 640);
	store16(cmos + CMOS_EXTENDED_KIB, past_1mib >> 10);
	store16(cmos + CMOS_EXTENDED_KIB2, past_1mib >> 10);
	store16(cmos + CMOS_ABOVE_16MIB, past_16mib >> 16);
	store16(cmos + CMOS_ABOVE_4GIB, above & UINT16_MAX);
	cmos[CMOS_ABOVE_4GIB + 2] = (uint8_t)(above >> 16);
	cmos[CMOS_EQUIPMENT] = EQUIPMENT_FPU | EQUIPMENT_MOUSE;
	cmos_ram_update_checksum(cmos);
}
