/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TPR option ROM: what a guest calls instead of accessing its local APIC's task priority
 * register. README.md beside it says what each part promises, and why it is right.
 *
 * Assembled twice: for any number of CPUs, and with -DSINGLE_CPU. Where the monitor has to put an
 * address, the section .fixups says so; it stays with the monitor. Plain AT&T syntax, so that gas
 * and clang take it.
 */
#include "tpr/rom.h"
#include "tpr/rom_tables.h"

/* The 4 bytes before this point are an address; `back` bytes before it is the opcode of a store. */
.macro	fixup kind, back=0
9:
	.pushsection .fixups, "a"
	.short	9b - 4 - rom
	.byte	\kind, \back
	.popsection
.endm

.macro	entry number
	.org	TPR_ROM_ENTRY(\number), 0xcc
.endm

	.section .rom, "ax"
rom:
	.byte	0x55, 0xaa, TPR_ROM_SIZE / 512
	.code16
	jmp	initialize
	.org	0x18, 0 /* no PCI data structure, no Plug and Play header */
	.short	0, 0
	.ascii	"Lodge TPR ROM"

	.org	0x40, 0
initialize:
	pushw	%ax
	movw	$TPR_ROM_ABI, %ax
	outw	%ax, $TPR_ROM_PORT
	popw	%ax
	lretw
	.org	TPR_ENTRY_OFFSET, 0

	.code32
#ifdef SINGLE_CPU
#include "single.inc"
#else
#include "smp.inc"
#endif
	.org	TPR_ROM_POINTERS, 0
