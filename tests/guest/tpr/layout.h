/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What C and assembly of the TPR guest agree on. */
#ifndef TPR_GUEST_LAYOUT_H
#define TPR_GUEST_LAYOUT_H

#define KSEG0       0x80000000 /* low physical memory, ROMs too, as NT's loader maps it */
#define APIC        0xfffe0000 /* the local APIC, where NT's HAL maps it */
#define IOAPIC      0xfffe1000
#define TPR         0xfffe0080
#define SITES_PA    0x400000 /* pages that code to patch is written to */
#define SITE_PAGES  512
#define WINDOW      0xf7000000 /* a place for mappings that cases make */
#define FIRST_PCR   0xffdff000 /* the KPCR of the first processor; the others' are in the window */
#define TRAMPOLINE  0x8000     /* where further processors start, below 1 MiB */
#define CPU_MAX     8
#define STACK_BYTES 16384

/* Selectors. */
#define SEL_CODE      0x08
#define SEL_DATA      0x10
#define SEL_USER_CODE 0x1b
#define SEL_USER_DATA 0x23
#define SEL_TSS       0x28
#define SEL_PCR       0x30
#define SEL_USER_PCR  0x3b
#define SEL_CODE16    0x40 /* base: the first page of the sites */
#define SEL_DATA_OFF  0x48 /* data, base 0x1000 */
#define SEL_CODE_OFF  0x50 /* code, base 0x1000 */
#define GDT_ENTRIES   11

#define PCR_SELF      0x1c
#define PCR_NUMBER    0x51
#define PCR_EXIT      0x100 /* ours: where a site that all processors share goes back to */

/* Vectors of NT's APIC HALs. */
#define VECTOR_SPURIOUS 0x1f
#define VECTOR_APC      0x3d
#define VECTOR_DPC      0x41
#define VECTOR_CLOCK    0xd1
#define VECTOR_CROSS    0xc1 /* the clock of the other processors, from the first one */
#define VECTOR_IPI      0xe1
#define VECTOR_RETURN   0x2e /* user code comes back by it */

#endif
