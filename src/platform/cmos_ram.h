/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmos_ram: what a PC's firmware keeps in the battery-backed memory of its clock. */
#ifndef PLATFORM_CMOS_RAM_H
#define PLATFORM_CMOS_RAM_H

#include <stdint.h>

#define CMOS_SIZE 0x80u

enum {
	CMOS_EQUIPMENT = 0x14,
	CMOS_BASE_KIB = 0x15,
	CMOS_EXTENDED_KIB = 0x17,
	CMOS_CHECKSUM = 0x2e, /* of 0x10 to 0x2d, high byte first */
	CMOS_EXTENDED_KIB2 = 0x30,
	CMOS_CENTURY = 0x32,
	CMOS_ABOVE_16MIB = 0x34, /* 64 KiB each */
	CMOS_ABOVE_4GIB = 0x5b,  /* 64 KiB each, three bytes */
};

/* Memory sizes, equipment and checksum; both sizes in bytes. Sizes too large for a field fill it.
 */
void cmos_ram_fill(uint8_t cmos[CMOS_SIZE], uint64_t ram_below_4gib, uint64_t ram_above_4gib);

void cmos_ram_update_checksum(uint8_t cmos[CMOS_SIZE]);

#endif
