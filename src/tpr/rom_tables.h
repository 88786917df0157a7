/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the assembler tells the monitor about an image, in the section .fixups; for C and for the
 * assembler. Nothing of it is ever in guest memory.
 */
#ifndef TPR_ROM_TABLES_H
#define TPR_ROM_TABLES_H

/* Kinds of fixups: what the 32-bit field gets. */
#define FIXUP_ROM   0 /* plus the ROM's address */
#define FIXUP_TPR   1 /* the real TPR's */
#define FIXUP_READ  2 /* the record's while the single CPU is armed, otherwise the real TPR's */
#define FIXUP_WRITE 3 /* the same; the opcode is a byte store, while not armed a 32-bit one */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct rom_fixup {
	uint16_t offset; /* of the field */
	uint8_t kind;
	uint8_t back; /* FIXUP_WRITE: the opcode is at offset + 4 - back; bit 0 widens the store */
};
#endif

#endif
