/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fake virtio device on a PCI bus, and its driver. */
#ifndef VIRTIO_PCI_RIG_H
#define VIRTIO_PCI_RIG_H

#include "fake_doorbell.h"
#include "fake_virtio.h"
#include "virtio_pci_driver.h"
#include "virtio/transport_pci.h"

#define VIRTIO_PCI_RIG_RAM      0x1000000u
#define VIRTIO_PCI_RIG_BUFFERS  (VIRTIO_PCI_RIG_RAM - 0x10000u)
#define VIRTIO_PCI_RIG_DEVFN    PCI_DEVFN(3, 0)
#define VIRTIO_PCI_RIG_FEATURES (VIRTQ_FEATURES | VIRTIO_F_ANY_LAYOUT | 0x6)

struct virtio_pci_rig {
	struct fake_board board;
	struct fake_doorbells port_bells, memory_bells;
	struct pci_host *host;
	struct gmem *mem;
	struct fake_virtio fake;
	struct virtio_pci *pci;
	struct virtio_pci_driver driver;
};

void virtio_pci_rig_init(struct virtio_pci_rig *r, bool modern_only, bool legacy_driver);
void virtio_pci_rig_fini(struct virtio_pci_rig *r);

/* Sends a chain through a queue and says whether it came back. */
bool virtio_pci_rig_exchange(struct virtio_pci_rig *r, unsigned queue);

/* The level of the function's pin. */
bool virtio_pci_rig_pin(struct virtio_pci_rig *r);

#endif
