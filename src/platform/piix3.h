/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLATFORM_PIIX3_H
#define PLATFORM_PIIX3_H

#include <lodge/pci_host.h>

struct piix3;

struct piix3_params {
	struct pci_host *host;
	/* No firmware will run: reset leaves the PIRQ routing as firmware would. */
	bool preset;
	/* The guest wrote the reset control register. Hard: everything; else the processors only.
	 */
	void (*reset)(void *arg, bool hard); /* any vCPU thread, device lock held; must not block */
	void *arg;
};

/* The ISA bridge as function 0 of slot LAYOUT_PCI_PIIX, and port 0xcf9. 0 or -errno. */
int piix3_create(const struct piix3_params *p, struct piix3 **out);
struct device *piix3_device(struct piix3 *d);

#endif
