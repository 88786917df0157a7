/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLATFORM_PIIX4_PM_H
#define PLATFORM_PIIX4_PM_H

#include <lodge/loop.h>
#include <lodge/pci.h>

struct piix4_pm;

struct piix4_pm_params {
	struct pci_host *host;
	struct bus *ports;
	struct irq_chip *irq; /* its pin LAYOUT_GSI_SCI is the system control interrupt */
	struct loop *loop;    /* its clock drives the power management timer */
	/*
	 * No firmware will run: reset leaves the bases at LAYOUT_PORT_PM and LAYOUT_PORT_SMBUS,
	 * decoding on and ACPI mode entered, as the tables of acpi.h say.
	 */
	bool preset;
	/* The guest entered S5. Any vCPU thread, device lock held; must not block. */
	void (*poweroff)(void *arg);
	void *arg;
};

/* Power management as function 3 of slot LAYOUT_PCI_PIIX. 0 or -errno. */
int piix4_pm_create(const struct piix4_pm_params *p, struct piix4_pm **out);
struct device *piix4_pm_device(struct piix4_pm *d);

/* Presses the power button; what the guest makes of it is its business. Any thread. */
void piix4_pm_power_button(struct piix4_pm *d);

#endif
