/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TPR option ROM in guest memory: placed dormant, activated for the addresses under which the
 * guest sees it, armed for one CPU after the other.
 *
 * Every table used here is the host's own; what the guest wrote into the ROM's range is never read.
 * All functions run while every vCPU is stopped outside the guest, at an instruction boundary. They
 * return 0 or -EFAULT when the range is not RAM; other errors are named.
 *
 * With one vCPU the image has entries of another make: without CLI and KPCR, with the record's
 * address (or the real TPR's) as an operand that arming rewrites. firmware/README.md has the
 * proofs.
 */
#ifndef TPR_IMAGE_H
#define TPR_IMAGE_H

#include "tpr/rom.h"

#include <lodge/gmem.h>

#include <stdbool.h>
#include <stdint.h>

struct tpr_image {
	struct gmem *mem; /* borrowed */
	gpa_t base;       /* physical address of the ROM */
	uint32_t va;      /* virtual address of the ROM, when active */
	uint32_t real;    /* virtual address of the real TPR, when active */
	bool single_cpu;  /* the machine has one vCPU and can never have another */
	bool active;
};

/*
 * Writes the pristine dormant image, TPR_ROM_SIZE bytes: at start, at every reset, and when a BIOS
 * announced its copy. Nothing is armed afterwards. -EINVAL: base not aligned to TPR_ROM_ALIGN or
 * not below 4 GiB.
 */
int tpr_image_place(struct tpr_image *image, struct gmem *mem, gpa_t base, bool single_cpu);

/*
 * Writes the active image for these virtual addresses; no CPU is armed. -EINVAL when not placed or
 * when the ROM would wrap around 4 GiB.
 */
int tpr_image_activate(struct tpr_image *image, uint32_t va, uint32_t real);

/*
 * The record that CPU `number` < TPR_ROM_CPUS uses, the address for KVM_SET_VAPIC_ADDR. With a
 * single CPU it is the first, whatever the guest's number.
 */
gpa_t tpr_image_record(const struct tpr_image *image, unsigned number);

/*
 * Fills the record from the local APIC's state, then lets the CPU use it. KVM must have been given
 * the record's address before the vCPU runs again. The vCPU stands behind an access of the real
 * TPR, as KVM's report leaves it, or was disarmed in the same stop. word: TPR, ISR & 0xf0, 0, IRR,
 * from bit 0 on. -EINVAL: not active, or number >= TPR_ROM_CPUS.
 */
int tpr_image_arm(struct tpr_image *image, unsigned number, uint32_t word);

/*
 * The CPU uses the real TPR from now on, which must have the record's value. Its vCPU may be
 * anywhere, in the ROM too. -EINVAL as above.
 */
int tpr_image_disarm(struct tpr_image *image, unsigned number);

/*
 * The number of the entry that begins at this offset from the ROM's base, or -1: to check where a
 * dormant OUT came from. It needs no addresses, so it works before activation.
 */
int tpr_image_entry_at(uint32_t offset);

#endif
