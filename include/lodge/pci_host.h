/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PCI host bridge: what the wiring, the ISA bridge and tests need of it. Functions: pci.h. */
#ifndef LODGE_PCI_HOST_H
#define LODGE_PCI_HOST_H

#include <lodge/pci.h>

#define PCI_PIRQS 4u

/* Addresses that the host bridge forwards to PCI; a BAR that lies elsewhere decodes nothing. */
struct pci_window {
	uint64_t base, size; /* size 0: none */
};

struct pci_host_params {
	struct bus *ports, *mmio;
	struct irq_chip *irq; /* PIRQ wires drive its pins */
	struct msi_chip *msi; /* NULL: messages go nowhere */
	struct pci_window io, memory32, memory64;
	bool preset; /* no firmware will run: functions are set up when they are attached */
};

/* Creates the host and maps its ports. 0 or -errno. */
int pci_host_create(const struct pci_host_params *p, struct pci_host **out);
struct device *pci_host_device(struct pci_host *h);

/* As a configuration cycle of the guest: for firmware's duties and for tests. Any thread. */
uint32_t pci_config_read(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size,
		      uint32_t value);

/*
 * Connects *line to interrupt pin 1 (INTA#) to 4 (INTD#) of devfn's slot. The line then behaves as
 * irq.h says, and outlives neither the host nor its own device.
 */
void pci_host_intx_line(struct pci_host *h, uint8_t devfn, unsigned pin, struct irq_line *line);

/*
 * Wire pirq (0 is PIRQA#) drives GSI gsi from now on, or nothing when gsi is negative. An asserted
 * wire moves its level along. Any thread, host lock held or not.
 */
void pci_host_route_pirq(struct pci_host *h, unsigned pirq, int gsi);

/*
 * Port 0xcf9, the reset control register of the ISA bridge, lies between the bytes of the
 * configuration address register. Byte accesses there go to *r (offset 0), which is not mapped on
 * any bus and is called as bus.h says. Before a vCPU runs.
 */
void pci_host_set_reset_port(struct pci_host *h, struct bus_region *r);

#endif
