/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "must.h"
#include "virtio_pci_driver.h"

#include <stdlib.h>
#include <string.h>

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE };

#define F_RING_EVENT_IDX (1ull << 29)
#define F_RING_PACKED    (1ull << 34)

static uint32_t cfg(struct virtio_pci_driver *d, unsigned offset, unsigned size)
{
	return pci_config_read(d->host, d->devfn, offset, size);
}

static uint64_t bar(struct virtio_pci_driver *d, unsigned index)
{
	return cfg(d, PCI_BAR0 + 4 * index, 4) & ~0xfull;
}

static uint64_t mread(struct virtio_pci_driver *d, uint64_t a, unsigned size)
{
	return bus_read(d->board->mmio, a, size);
}

static void mwrite(struct virtio_pci_driver *d, uint64_t a, unsigned size, uint64_t value)
{
	bus_write(d->board->mmio, a, size, value);
}

static uint64_t in(struct virtio_pci_driver *d, unsigned port, unsigned size)
{
	return bus_read(d->board->ports, d->io + port, size);
}

static void out(struct virtio_pci_driver *d, unsigned port, unsigned size, uint64_t value)
{
	bus_write(d->board->ports, d->io + port, size, value);
}

static void found(struct virtio_pci_driver *d, unsigned cap)
{
	uint64_t at = bar(d, cfg(d, cap + 4, 1)) + cfg(d, cap + 8, 4);

	switch (cfg(d, cap + 3, 1)) {
	case CFG_COMMON:
		d->common = at;
		break;
	case CFG_NOTIFY:
		d->notify = at;
		d->notify_multiplier = cfg(d, cap + 16, 4);
		break;
	case CFG_ISR:
		d->isr = at;
		break;
	case CFG_DEVICE:
		d->config = at;
		d->config_bytes = cfg(d, cap + 12, 4);
		break;
	default:
		break;
	}
}

void virtio_pci_driver_init(struct virtio_pci_driver *d, struct fake_board *board,
			    struct pci_host *host, struct gmem *mem, uint8_t devfn, bool legacy)
{
	memset(d, 0, sizeof(*d));
	d->board = board;
	d->host = host;
	d->mem = mem;
	d->devfn = devfn;
	d->legacy = legacy;
	must(cfg(d, PCI_VENDOR, 2) == 0x1af4);
	for (unsigned cap = cfg(d, PCI_CAPABILITIES, 1), n = 0; cap && n < 48; n++) {
		if (cfg(d, cap, 1) == PCI_CAP_VENDOR)
			found(d, cap);
		if (cfg(d, cap, 1) == PCI_CAP_MSIX)
			d->msix_cap = cap;
		cap = cfg(d, cap + 1, 1);
	}
	if (cfg(d, PCI_BAR0, 4) & 1)
		d->io = (uint16_t)(cfg(d, PCI_BAR0, 4) & 0xfffc);
	must(d->msix_cap && d->common && d->notify && d->isr && (d->io || !legacy));
	d->msix_table = bar(d, cfg(d, d->msix_cap + 4, 1) & 7);
	d->queue = calloc(VIRTIO_PCI_DRIVER_QUEUES, sizeof(d->queue[0]));
	must(d->queue);
}

void virtio_pci_driver_fini(struct virtio_pci_driver *d)
{
	free(d->queue);
}

void virtio_pci_driver_settle(struct virtio_pci_driver *d)
{
	unsigned i;

	for (i = 0; i < 1000 && loop_step(d->board->loop); i++)
		;
	must(i < 1000);
}

uint8_t virtio_pci_driver_status(struct virtio_pci_driver *d)
{
	return (uint8_t)(d->legacy ? in(d, 18, 1) : mread(d, d->common + 20, 1));
}

void virtio_pci_driver_set_status(struct virtio_pci_driver *d, uint8_t status)
{
	if (d->legacy)
		out(d, 18, 1, status);
	else
		mwrite(d, d->common + 20, 1, status);
}

bool virtio_pci_driver_reset(struct virtio_pci_driver *d)
{
	virtio_pci_driver_set_status(d, 0);
	for (unsigned i = 0; i < 1000 && virtio_pci_driver_status(d); i++)
		loop_step(d->board->loop);
	return virtio_pci_driver_status(d) == 0;
}

uint64_t virtio_pci_driver_features(struct virtio_pci_driver *d)
{
	uint64_t low;

	if (d->legacy)
		return in(d, 0, 4);
	mwrite(d, d->common + 0, 4, 0);
	low = mread(d, d->common + 4, 4);
	mwrite(d, d->common + 0, 4, 1);
	return low | mread(d, d->common + 4, 4) << 32;
}

bool virtio_pci_driver_negotiate(struct virtio_pci_driver *d, uint64_t features)
{
	virtio_pci_driver_set_status(d, 1);
	virtio_pci_driver_set_status(d, 1 | 2);
	if (d->legacy) {
		out(d, 4, 4, features);
		return true;
	}
	mwrite(d, d->common + 8, 4, 0);
	mwrite(d, d->common + 12, 4, (uint32_t)features);
	mwrite(d, d->common + 8, 4, 1);
	mwrite(d, d->common + 12, 4, features >> 32);
	virtio_pci_driver_set_status(d, 1 | 2 | 8);
	return virtio_pci_driver_status(d) & 8;
}

static bool add_legacy_queue(struct virtio_pci_driver *d, unsigned index, gpa_t base,
			     uint64_t features)
{
	struct fake_driver *q = &d->queue[index];
	uint16_t size;

	out(d, 14, 2, index);
	size = (uint16_t)in(d, 12, 2);
	if (size == 0)
		return false;
	fake_driver_init(q, d->mem, base, size, false, features & F_RING_EVENT_IDX);
	q->driver = base + 16ull * size;
	q->device = (q->driver + 6 + 2ull * size + 4095) & ~4095ull;
	out(d, 8, 4, base >> 12);
	if (cfg(d, d->msix_cap + 2, 2) & 0x8000)
		out(d, 22, 2, index + 1);
	return true;
}

static void write_address(struct virtio_pci_driver *d, unsigned offset, gpa_t a)
{
	mwrite(d, d->common + offset, 4, (uint32_t)a);
	mwrite(d, d->common + offset + 4, 4, a >> 32);
}

bool virtio_pci_driver_add_queue(struct virtio_pci_driver *d, unsigned index, gpa_t base,
				 uint16_t size, uint64_t features)
{
	struct fake_driver *q = &d->queue[index];
	uint16_t max;

	if (d->legacy)
		return add_legacy_queue(d, index, base, features);
	mwrite(d, d->common + 22, 2, index);
	max = (uint16_t)mread(d, d->common + 24, 2);
	if (max == 0)
		return false;
	fake_driver_init(q, d->mem, base, size < max ? size : max, features & F_RING_PACKED,
			 features & F_RING_EVENT_IDX);
	mwrite(d, d->common + 24, 2, q->size);
	write_address(d, 32, q->desc);
	write_address(d, 40, q->driver);
	write_address(d, 48, q->device);
	if (cfg(d, d->msix_cap + 2, 2) & 0x8000)
		mwrite(d, d->common + 26, 2, index + 1);
	mwrite(d, d->common + 28, 2, 1);
	return true;
}

bool virtio_pci_driver_start(struct virtio_pci_driver *d, uint64_t features, unsigned count,
			     gpa_t base, uint16_t size)
{
	if (!virtio_pci_driver_reset(d) || !virtio_pci_driver_negotiate(d, features))
		return false;
	if (cfg(d, d->msix_cap + 2, 2) & 0x8000) {
		if (d->legacy)
			out(d, 20, 2, 0);
		else
			mwrite(d, d->common + 16, 2, 0);
	}
	for (unsigned i = 0; i < count; i++) {
		if (!virtio_pci_driver_add_queue(d, i, base + (gpa_t)i * FAKE_DRIVER_BYTES, size,
						 features))
			return false;
	}
	virtio_pci_driver_set_status(d, d->legacy ? 1 | 2 | 4 : 1 | 2 | 8 | 4);
	virtio_pci_driver_settle(d);
	return true;
}

void virtio_pci_driver_use_msix(struct virtio_pci_driver *d, unsigned vectors)
{
	for (unsigned i = 0; i < vectors; i++) {
		mwrite(d, d->msix_table + 16ull * i, 4, 0xfee00000);
		mwrite(d, d->msix_table + 16ull * i + 4, 4, 0);
		mwrite(d, d->msix_table + 16ull * i + 8, 4, VIRTIO_PCI_DRIVER_DATA + i);
		mwrite(d, d->msix_table + 16ull * i + 12, 4, 0);
	}
	pci_config_write(d->host, d->devfn, d->msix_cap + 2, 2, 0x8000);
}

void virtio_pci_driver_kick(struct virtio_pci_driver *d, unsigned queue)
{
	if (d->legacy) {
		out(d, 16, 2, queue);
		return;
	}
	mwrite(d, d->common + 22, 2, queue);
	mwrite(d, d->notify + mread(d, d->common + 30, 2) * d->notify_multiplier, 2, queue);
}

uint8_t virtio_pci_driver_isr(struct virtio_pci_driver *d)
{
	return (uint8_t)(d->legacy ? in(d, 19, 1) : mread(d, d->isr, 1));
}

static unsigned legacy_config(struct virtio_pci_driver *d)
{
	return cfg(d, d->msix_cap + 2, 2) & 0x8000 ? 24 : 20;
}

uint64_t virtio_pci_driver_config(struct virtio_pci_driver *d, unsigned offset, unsigned size)
{
	if (d->legacy)
		return in(d, legacy_config(d) + offset, size);
	return mread(d, d->config + offset, size);
}

void virtio_pci_driver_set_config(struct virtio_pci_driver *d, unsigned offset, unsigned size,
				  uint64_t value)
{
	if (d->legacy)
		out(d, legacy_config(d) + offset, size, value);
	else
		mwrite(d, d->config + offset, size, value);
}
