/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the PCI transport's function and its registers share. */
#ifndef VIRTIO_TRANSPORT_PCI_INTERNAL_H
#define VIRTIO_TRANSPORT_PCI_INTERNAL_H

#include "virtio/transport_pci.h"

#include <lodge/pci_interrupt.h>

/* Places in the modern BAR. */
#define AREA_SIZE    0x1000u
#define AREA_COMMON  0x0000u
#define AREA_ISR     0x1000u
#define AREA_DEVICE  0x2000u
#define AREA_NOTIFY  0x3000u
#define MODERN_SIZE  0x4000u
#define NOTIFY_STEP  4u /* notify_off_multiplier */

#define COMMON_BYTES 60u /* of registers */

/* Legacy registers; the configuration follows them. */
#define LEGACY_QUEUE_NOTIFY 16u
#define LEGACY_BYTES_MAX    24u

struct virtio_pci {
	struct device device;
	struct virtio_device *v;
	struct pci_function f;
	struct pci_intx intx;
	struct pci_msix *msix;
	bool legacy;
	unsigned pci_cap;       /* offset of CAP_PCI */
	struct doorbell *bells; /* of each queue the modern one, then of each the legacy one */

	/* The device's lock. */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	_Atomic uint16_t config_vector;

	pthread_mutex_t isr_lock; /* guards isr and the pin's level; below the device's */
	uint8_t isr;
};

/* As bus.h has them; dev is the struct virtio_pci, the device's lock is held. */
extern const struct bus_region_ops virtio_pci_modern_ops, virtio_pci_legacy_ops;
uint64_t virtio_pci_modern_read(void *dev, uint64_t offset, unsigned size);
void virtio_pci_modern_write(void *dev, uint64_t offset, unsigned size, uint64_t value);

/* Reading the ISR clears it and lowers the pin. */
uint8_t virtio_pci_take_isr(struct virtio_pci *x);

#endif
