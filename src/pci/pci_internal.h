/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/pci share: the host and the parts of a function. */
#ifndef PCI_INTERNAL_H
#define PCI_INTERNAL_H

#include <lodge/pci_host.h>
#include <lodge/pci_interrupt.h>

#define PCI_FUNCTIONS 256u

struct pci_host {
	struct device dev;
	struct pci_host_params params;
	struct bus_region address_region, data_region;
	struct bus_region *reset_port; /* may be NULL */
	pthread_mutex_t lock;
	uint32_t address; /* lock */
	struct pci_function *function[PCI_FUNCTIONS];
	struct irq_chip wires;
	struct irq_line pirq[PCI_PIRQS]; /* what each wire drives; guarded by wires.lock */

	uint64_t io_used, memory32_used, memory64_used; /* of each window, by preset BARs */
	bool crowded; /* a BAR could not be mapped, as something else lies there; lock */
};

/* Whether a write of [offset, offset + size) touched [first, first + count). */
static inline bool pci_touches(unsigned offset, unsigned size, unsigned first, unsigned count)
{
	return offset < first + count && offset + size > first;
}

/* bar.c. Host lock held, or vCPUs stopped. */
int pci_bars_assign(struct pci_host *h, struct pci_function *f); /* 0 or -ENOSPC */
void pci_bars_place(struct pci_host *h); /* all of them where the guest wants them */
void pci_bars_unmap(struct pci_function *f);

/* interrupt.c: the interrupt-disable bit of f's command register may have changed. */
void pci_intx_refresh(struct pci_function *f);
void pci_intx_set_msix(struct pci_function *f, bool enabled);
bool pci_intx_wanted(struct pci_function *f);

/* msix.c: message control may have changed; as after power-on. */
void pci_msix_refresh(struct pci_msix *x);
void pci_msix_reset(struct pci_msix *x);

#endif
