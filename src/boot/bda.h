/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_BDA_H
#define BOOT_BDA_H

#include <lodge/gmem.h>

struct bda_params {
	const uint16_t *com; /* base ports of COM1 on */
	unsigned com_count;  /* at most 4 */
};

/*
 * Writes the BIOS data area and the first byte of the extended one, for kernels that look there
 * for the end of low memory and the serial ports. 0, or -EFAULT when that is not RAM. vCPUs are
 * stopped. Called again for each reset of the guest.
 */
int bda_build(struct gmem *m, const struct bda_params *p);

#endif
