/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device as a PCI function. Virtio 1.2, section 4.1. */
#ifndef VIRTIO_TRANSPORT_PCI_H
#define VIRTIO_TRANSPORT_PCI_H

#include "virtio/device.h"

#include <lodge/pci.h>

struct virtio_pci;

struct virtio_pci_params {
	struct pci_host *host;
	uint8_t devfn;
	/*
	 * No legacy interface: another device ID, no I/O ports. Types that never had one are
	 * always so. A type with more than 232 bytes of configuration must be.
	 */
	bool modern_only;
	struct virtio_device
	    *v; /* initialised, its configuration filled in; outlives the function */
};

/*
 * Attaches the function with a vector for each queue and one for the configuration, and doorbells.
 * 0 or what pci_attach() and pci_msix_create() say. Before a vCPU runs.
 */
int virtio_pci_create(const struct virtio_pci_params *p, struct virtio_pci **out);

/* Its reset is v's, too. Destroyed before v, when vCPUs and v's loop are gone. */
struct device *virtio_pci_device(struct virtio_pci *x);

#endif
