/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_MPTABLE_H
#define BOOT_MPTABLE_H

#include <lodge/gmem.h>

#define MPTABLE_CPUS_MAX 255u

struct mptable_params {
	unsigned cpus;      /* 1 to MPTABLE_CPUS_MAX; APIC ids are 0 to cpus - 1 */
	uint32_t signature; /* of each: EAX of CPUID leaf 1 */
	uint32_t features;  /* EDX of the same */
};

/*
 * Writes the tables to [LAYOUT_MPTABLE, + LAYOUT_MPTABLE_SIZE), where a guest looks for them. 0;
 * -EFAULT when that is not RAM. vCPUs are stopped. Called again for each reset of the guest.
 */
int mptable_build(struct gmem *m, const struct mptable_params *p);

#endif
