// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The BIOS data area: what firmware of a PC leaves at 0x400 for those who come after it.
 *
 * IBM PS/2 and PC BIOS Interface Technical Reference, section 3, "Data Areas and ROM Tables".
 * A kernel that is started without firmware may still look here: Xen puts the code that starts its
 * other processors below the extended area, Linux reserves from there on. There are no interrupt
 * vectors: nobody answers a BIOS call.
 */
#include "boot/bda.h"

#include "machine/layout.h"

#include <assert.h>

#define BDA                 0x400u
#define BDA_COM             0x00u /* four base ports, 2 bytes each */
#define BDA_EBDA            0x0eu /* segment */
#define BDA_EQUIPMENT       0x10u
#define BDA_MEMORY          0x13u /* KiB below the extended area, 2 bytes */
#define BDA_SIZE            0x100u

#define COM_MAX             4u
#define EQUIPMENT_FPU       0x0002u
#define EQUIPMENT_MOUSE     0x0004u
#define EQUIPMENT_COM_SHIFT 9u
#define KIB                 1024u

_Static_assert(BDA + BDA_SIZE <= LAYOUT_GDT, "the boot GDT comes behind it");

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

int bda_build(struct gmem *m, const struct bda_params *p)
{
	uint8_t area[BDA_SIZE] = {0};
	uint8_t ebda_kib = (LAYOUT_VGA_HOLE - LAYOUT_EBDA) / KIB;
	int err;

	assert(p->com_count <= COM_MAX);
	for (unsigned i = 0; i < p->com_count; i++)
		put16(area + BDA_COM + 2ul * i, p->com[i]);
	put16(area + BDA_EBDA, LAYOUT_EBDA >> 4);
	put16(area + BDA_EQUIPMENT,
	      EQUIPMENT_FPU | EQUIPMENT_MOUSE | p->com_count << EQUIPMENT_COM_SHIFT);
	put16(area + BDA_MEMORY, LAYOUT_EBDA / KIB);
	err = gmem_write(m, BDA, area, sizeof(area));
	return err ? err : gmem_write(m, LAYOUT_EBDA, &ebda_kib, 1);
}
