/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt pin of a function.
 *
 * PCI Local Bus Specification 3.0, sections 2.2.6 and 6.2.2 to 6.2.4. What the device wants is
 * one thing, what its pin does another: the command register can disable the pin, and MSI-X does.
 * The status register shows what is wanted (bit 3), whatever the pin does.
 *
 * A device sets its level with its own lock held, so this cannot ask for the host's lock. What
 * decides is kept under a lock of its own, above only the wires.
 */
#include "pci/pci_internal.h"

#include <string.h>

void pci_use_intx(struct pci_function *f, struct pci_intx *intx)
{
	memset(intx, 0, sizeof(*intx));
	pthread_mutex_init(&intx->lock, NULL);
	f->intx = intx;
	f->config[PCI_INTERRUPT_PIN] = 1;
	f->writable[PCI_COMMAND + 1] |= PCI_COMMAND_INTX_DISABLE >> 8;
}

void pci_intx_fini(struct pci_intx *intx)
{
	pthread_mutex_destroy(&intx->lock);
}

/* Lock held. */
static void drive(struct pci_intx *p)
{
	irq_set(&p->line, p->wanted && !p->disabled && !p->msix);
}

void pci_intx_set(struct pci_function *f, bool asserted)
{
	struct pci_intx *p = f->intx;

	pthread_mutex_lock(&p->lock);
	p->wanted = asserted;
	drive(p);
	pthread_mutex_unlock(&p->lock);
}

void pci_intx_refresh(struct pci_function *f)
{
	struct pci_intx *p = f->intx;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->disabled = pci_get16(f, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
	drive(p);
	pthread_mutex_unlock(&p->lock);
}

void pci_intx_set_msix(struct pci_function *f, bool enabled)
{
	struct pci_intx *p = f->intx;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->msix = enabled;
	drive(p);
	pthread_mutex_unlock(&p->lock);
}

bool pci_intx_wanted(struct pci_function *f)
{
	struct pci_intx *p = f->intx;
	bool wanted;

	if (!p)
		return false;
	pthread_mutex_lock(&p->lock);
	wanted = p->wanted;
	pthread_mutex_unlock(&p->lock);
	return wanted;
}
