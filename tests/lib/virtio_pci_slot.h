/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device of the program's in a PCI slot of a fake board, and its driver. */
#ifndef VIRTIO_PCI_SLOT_H
#define VIRTIO_PCI_SLOT_H

#include "virtio_pci_driver.h"
#include "virtio/device.h"
#include "virtio/transport_pci.h"

#define VIRTIO_PCI_SLOT_RAM   0x4000000u
#define VIRTIO_PCI_SLOT_RINGS 0x200000u

struct virtio_pci_slot {
	struct fake_board board;
	struct pci_host *host;
	struct gmem *mem;
	struct virtio_device *v;
	struct virtio_pci *pci;
	struct virtio_pci_driver driver;
};

/* Clears it. Then the device is created, as v, with mem and the board's loop. */
void virtio_pci_slot_init(struct virtio_pci_slot *s);
void virtio_pci_slot_attach(struct virtio_pci_slot *s, bool legacy_driver);
/* The device too. */
void virtio_pci_slot_fini(struct virtio_pci_slot *s);

#endif
