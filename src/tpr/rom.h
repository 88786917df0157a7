/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layout of the TPR option ROM: numbers that the monitor and the guest-side code (firmware/)
 * share. For C and, through the C preprocessor, for the assembler. What may never change is said
 * in firmware/README.md.
 *
 *     0x0000  option ROM header, real-mode initialization
 *     0x0200  entries, 64 bytes each (tpr/entry.h), called by what was patched
 *     0x1000  code that does not fit into an entry
 *     0x1e00  two pointers a CPU
 *     0x2000  one record a CPU, 64 bytes each
 */
#ifndef TPR_ROM_H
#define TPR_ROM_H

#include "tpr/entry.h"

#define TPR_ROM_SIZE      0x3000 /* bytes, all that is ever written to guest memory */
#define TPR_ROM_CODE_SIZE 0x1e00 /* header, entries, code */
#define TPR_ROM_ALIGN     64     /* of its physical address; a record then never crosses a page */

/* Offset of an entry's first byte; each begins with TPR_ROM_DORMANT while the image is dormant. */
#define TPR_ROM_ENTRY(number) (TPR_ENTRY_OFFSET + (number)*TPR_ENTRY_SIZE)
#define TPR_ROM_DORMANT       0x7ee6 /* out 0x7e, al: E6 7E, little endian */

/*
 * Pointers of CPU n at TPR_ROM_POINTERS + n * 8, virtual addresses. GET is read from: the record,
 * or the real TPR while the CPU is not enabled. SET is written to: the record, or its `off` part.
 */
#define TPR_ROM_POINTERS     0x1e00
#define TPR_ROM_POINTER_SIZE 8
#define TPR_POINTER_GET      0
#define TPR_POINTER_SET      4

/*
 * Records: CPU n's at TPR_ROM_RECORDS + n * 64, where n is the guest's number (KPCR.Number). The
 * first four bytes are the word that KVM_SET_VAPIC_ADDR names (arch/x86/kvm/lapic.c). After the CPU
 * was disarmed IRR is 0xff there too.
 */
#define TPR_ROM_CPUS       64
#define TPR_ROM_RECORDS    0x2000
#define TPR_RECORD_SIZE    64
#define TPR_RECORD_TPR     0
#define TPR_RECORD_ISR     1  /* highest vector in service & 0xf0 */
#define TPR_RECORD_IRR     3  /* highest vector requested */
#define TPR_RECORD_ENABLED 4  /* 1: KVM keeps the word in step with this CPU's local APIC */
#define TPR_RECORD_OFF     32 /* a word whose IRR is always 0xff: sends writers to the slow path */

#define TPR_ROM_RECORD(n)  (TPR_ROM_RECORDS + (n)*TPR_RECORD_SIZE)

/* The byte of the KPCR, which FS points to, that has the CPU's number. */
#define TPR_KPCR_NUMBER 0x51

/*
 * I/O port. The width of the OUT says what is meant: 8 bits, a dormant entry was called: activate
 * and resume at the entry, whatever RIP is; 16 bits, from the initialization in real mode: here is
 * the ROM, AX = TPR_ROM_ABI, base = linear address of the OUT rounded down to 512; 32 bits: an exit
 * is wanted, because an interrupt may be deliverable (no value; serve it by an ioeventfd).
 */
#define TPR_ROM_PORT 0x7e
#define TPR_ROM_ABI  1

#endif
