/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a PCI function interrupts: by its pin (INTx), or by MSI-X messages.
 *
 * Both may be used from any thread with any device lock held. MSI-X is that of PCI Local Bus
 * Specification 3.0, section 6.8.2: table and pending bits in a BAR of their own. While the guest
 * has it enabled, the pin stays low.
 */
#ifndef LODGE_PCI_INTERRUPT_H
#define LODGE_PCI_INTERRUPT_H

#include <lodge/pci.h>

#define PCI_MSIX_VECTORS_MAX 2048u

/* Gives f pin INTA#. intx is the caller's and outlives f. Before attach. */
void pci_use_intx(struct pci_function *f, struct pci_intx *intx);
void pci_intx_fini(struct pci_intx *intx);

/*
 * A level: up until the device takes it back. The guest sees it in the status register, and on its
 * wire unless it has disabled the pin or enabled MSI-X. Idempotent.
 */
void pci_intx_set(struct pci_function *f, bool asserted);

/*
 * Gives f MSI-X with 1 to PCI_MSIX_VECTORS_MAX vectors, in BAR `bar` (32 bits, memory, at least
 * 4 KiB). Before attach, and destroyed after pci_detach(). 0 or -errno.
 */
int pci_msix_create(struct pci_host *h, struct pci_function *f, unsigned bar, unsigned vectors,
		    struct pci_msix **out);
void pci_msix_destroy(struct pci_msix *x);

/* Whether messages are how f interrupts now. */
bool pci_msix_enabled(const struct pci_msix *x);

/*
 * Sends the message of a vector, or remembers it as pending while it is masked. False: MSI-X is
 * disabled, nothing was done. A vector that does not exist goes nowhere.
 */
bool pci_msix_fire(struct pci_msix *x, unsigned vector);

/*
 * The same for who batches system calls: an eventfd to which the caller then writes 1 on behalf of
 * this one interrupt; -1 when there is nothing left to do; -ENOTCONN: MSI-X is disabled. If the
 * guest masks the vector before the write is done, one message may still come, as one that was
 * already on the bus.
 */
int pci_msix_fire_fd(struct pci_msix *x, unsigned vector);

#endif
