/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of a virtio PCI function, for tests: finds the registers and sets queues up as Virtio
 * 1.2, sections 3.1 and 4.1 tell drivers to, by configuration cycles and bus accesses only. What
 * goes through a queue is fake_driver's. Where it waits it steps the board's loop.
 */
#ifndef VIRTIO_PCI_DRIVER_H
#define VIRTIO_PCI_DRIVER_H

#include "fake_board.h"
#include "fake_driver.h"

#define VIRTIO_PCI_DRIVER_QUEUES 65u
#define VIRTIO_PCI_DRIVER_DATA   0x40u /* of the message of vector 0; the next has 0x41 */

struct virtio_pci_driver {
	struct fake_board *board;
	struct pci_host *host;
	struct gmem *mem;
	uint8_t devfn;
	bool legacy;
	uint64_t common, isr, config, notify; /* guest physical addresses */
	uint32_t notify_multiplier;
	unsigned config_bytes;
	uint16_t io; /* of the legacy registers; 0: none */
	unsigned msix_cap;
	uint64_t msix_table;
	struct fake_driver *queue;
};

/* legacy: use the legacy interface. The function decodes already. */
void virtio_pci_driver_init(struct virtio_pci_driver *d, struct fake_board *board,
			    struct pci_host *host, struct gmem *mem, uint8_t devfn, bool legacy);
void virtio_pci_driver_fini(struct virtio_pci_driver *d);

uint8_t virtio_pci_driver_status(struct virtio_pci_driver *d);
void virtio_pci_driver_set_status(struct virtio_pci_driver *d, uint8_t status);
/* Whether status became 0. */
bool virtio_pci_driver_reset(struct virtio_pci_driver *d);

/* What the device offers. */
uint64_t virtio_pci_driver_features(struct virtio_pci_driver *d);
/* Up to FEATURES_OK; false: refused. Legacy drivers do not ask. */
bool virtio_pci_driver_negotiate(struct virtio_pci_driver *d, uint64_t features);

/*
 * Makes queue[index] a ring of at most size entries at FAKE_DRIVER_BYTES from base on, with vector
 * index + 1 if MSI-X is enabled. features: as negotiated. False: the device has no such queue.
 */
bool virtio_pci_driver_add_queue(struct virtio_pci_driver *d, unsigned index, gpa_t base,
				 uint16_t size, uint64_t features);

/* All of it: reset, features, queues 0 to count - 1 from base (not 0) on, DRIVER_OK. */
bool virtio_pci_driver_start(struct virtio_pci_driver *d, uint64_t features, unsigned count,
			     gpa_t base, uint16_t size);

/* Enables MSI-X and gives its first `vectors` vectors messages. */
void virtio_pci_driver_use_msix(struct virtio_pci_driver *d, unsigned vectors);

void virtio_pci_driver_kick(struct virtio_pci_driver *d, unsigned queue);
uint8_t virtio_pci_driver_isr(struct virtio_pci_driver *d);
uint64_t virtio_pci_driver_config(struct virtio_pci_driver *d, unsigned offset, unsigned size);
void virtio_pci_driver_set_config(struct virtio_pci_driver *d, unsigned offset, unsigned size,
				  uint64_t value);

/* Steps the board's loop until it has nothing to do. */
void virtio_pci_driver_settle(struct virtio_pci_driver *d);

#endif
