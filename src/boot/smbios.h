/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_SMBIOS_H
#define BOOT_SMBIOS_H

#include <lodge/gmem.h>

struct smbios_params {
	unsigned sockets;       /* 1 to 255 */
	unsigned cores;         /* of a socket */
	unsigned threads;       /* of a core */
	const char *cpu_vendor; /* as CPUID says; NULL or "": unknown */
	const char *cpu_name;   /* the same */
	const uint8_t *uuid;    /* 16 bytes in the order of RFC 4122; NULL: none is set */
	/* Type 11: free text for the guest, credentials say. None is empty. */
	const char *const *oem_strings;
	unsigned oem_string_count; /* at most 255 */
};

/*
 * Writes the entry points and structures to [LAYOUT_SMBIOS, + LAYOUT_SMBIOS_SIZE), where a guest
 * looks for them. The RAM they describe is that of m. 0; -EFAULT when that is not RAM; -ENOSPC
 * when the strings do not fit; -EINVAL for an empty OEM string. vCPUs are stopped. Called again
 * for each reset of the guest.
 */
int smbios_build(struct gmem *m, const struct smbios_params *p);

#endif
