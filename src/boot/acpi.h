/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <lodge/gmem.h>

#define ACPI_CPUS_MAX 255u

/* What the tables say about the configured machine; the rest is the same for every `pc`. */
struct acpi_params {
	unsigned cpus; /* 1 to ACPI_CPUS_MAX; APIC ids are 0 to cpus - 1 */
	bool com1, com2;
	bool vga; /* there is a VGA adapter */
	/*
	 * Name the power management timer. A guest with a clock from KVM never reads it, but Linux
	 * spends 5 ms of its start on trying whether it counts.
	 */
	bool pm_timer;
	/* For PCI above 4 GiB, page aligned, beyond RAM and within the guest's physical addresses.
	 */
	uint64_t pci64_base;
	uint64_t pci64_size; /* bytes; 0: no such window */
};

/*
 * Writes the tables to [LAYOUT_ACPI, + LAYOUT_ACPI_SIZE), which the e820 map must not give out as
 * RAM, and sets *rsdp. 0; -EFAULT when that is not RAM. vCPUs are stopped. Called again for each
 * reset of the guest.
 */
int acpi_build(struct gmem *m, const struct acpi_params *p, gpa_t *rsdp);

#endif
