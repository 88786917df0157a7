/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Base address registers: what a function's regions are called, and where they are.
 *
 * PCI Local Bus Specification 3.0, section 6.2.5. The bits below a BAR's size are read-only, so
 * writing all ones and reading back gives the size, and a place is always aligned. A BAR is mapped
 * while the command register lets it decode and it lies in a window that the host bridge forwards;
 * so one over RAM, over the local APICs, past the end or in the middle of being sized is nowhere.
 *
 * Where two want the same place the first one keeps it, and the other waits until it is free: a
 * guest may exchange two BARs without a moment in which they are off. Devices of fixed ports were
 * there before.
 *
 * Without firmware the places are given out here, in the order of attaching: 64-bit BARs in the
 * window below 4 GiB too, while there is room, so that guests without PAE reach them.
 */
#include "pci/pci_internal.h"

#include <lodge/log.h>

#include <assert.h>
#include <errno.h>

#define BAR_IO           0x1u
#define BAR_64           0x4u
#define BAR_PREFETCHABLE 0x8u
#define BAR_IO_FLAGS     0x3u
#define BAR_MEMORY_FLAGS 0xfu

static unsigned bar_offset(unsigned index)
{
	return PCI_BAR0 + 4 * index;
}

static bool is_io(const struct pci_bar *b)
{
	return b->kind == PCI_BAR_IO;
}

static struct bus *bus_of(const struct pci_host *h, const struct pci_bar *b)
{
	return is_io(b) ? h->params.ports : h->params.mmio;
}

void pci_add_bar(struct pci_function *f, unsigned index, enum pci_bar_kind kind, uint64_t size,
		 const struct bus_region *r)
{
	struct pci_bar *b = &f->bar[index];
	unsigned offset = bar_offset(index);
	bool wide = kind == PCI_BAR_MEMORY64;

	assert(index + wide < PCI_BARS && b->kind == PCI_BAR_NONE);
	assert(size && !(size & (size - 1)) && !f->host);
	*b = (struct pci_bar){.kind = kind, .size = size};
	b->region = (struct bus_region){.ops = r->ops, .dev = r->dev, .lock = r->lock};
	if (is_io(b)) {
		assert(size >= 4 && size <= 256);
		pci_set32(f, offset, BAR_IO);
	} else {
		assert(size >= 16 && (wide || size <= 1u << 31));
		pci_set32(f, offset, wide ? BAR_64 | BAR_PREFETCHABLE : 0);
	}
	for (unsigned i = 0; i < (wide ? 8 : 4); i++)
		f->writable[offset + i] = (uint8_t)(-size >> 8 * i);
	f->writable[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	f->writable[PCI_COMMAND] |= is_io(b) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

static uint64_t bar_address(const struct pci_function *f, unsigned index)
{
	const struct pci_bar *b = &f->bar[index];
	uint64_t low = pci_get32(f, bar_offset(index));

	if (is_io(b))
		return low & ~(uint64_t)BAR_IO_FLAGS;
	low &= ~(uint64_t)BAR_MEMORY_FLAGS;
	if (b->kind == PCI_BAR_MEMORY64)
		low |= (uint64_t)pci_get32(f, bar_offset(index + 1)) << 32;
	return low;
}

static void set_bar_address(struct pci_function *f, unsigned index, uint64_t address)
{
	unsigned offset = bar_offset(index);

	pci_set32(f, offset, (uint32_t)address | (f->config[offset] & BAR_MEMORY_FLAGS));
	if (f->bar[index].kind == PCI_BAR_MEMORY64)
		pci_set32(f, offset + 4, (uint32_t)(address >> 32));
}

static bool inside(const struct pci_window *w, uint64_t base, uint64_t size)
{
	return size <= w->size && base >= w->base && base - w->base <= w->size - size;
}

/* Whether it decodes, and where. */
static bool wanted(const struct pci_host *h, const struct pci_function *f, unsigned index,
		   uint64_t *base)
{
	const struct pci_bar *b = &f->bar[index];
	uint16_t decode = is_io(b) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	*base = bar_address(f, index);
	if (!(pci_get16(f, PCI_COMMAND) & decode))
		return false;
	if (is_io(b))
		return inside(&h->params.io, *base, b->size);
	return inside(&h->params.memory32, *base, b->size) ||
	       (b->kind == PCI_BAR_MEMORY64 && inside(&h->params.memory64, *base, b->size));
}

static void unmap_moved(struct pci_host *h, struct pci_function *f)
{
	uint64_t base;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &f->bar[i];

		if (b->region.mapped && (!wanted(h, f, i, &base) || base != b->region.base))
			bus_unmap(bus_of(h, b), &b->region);
	}
}

static void map_wanted(struct pci_host *h, struct pci_function *f)
{
	uint64_t base;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &f->bar[i];

		if (b->kind == PCI_BAR_NONE || b->region.mapped || !wanted(h, f, i, &base))
			continue;
		if (bus_map(bus_of(h, b), &b->region, base, b->size)) {
			h->crowded = true;
			log_guest(LOG_WARNING, "%s: BAR %u cannot be at 0x%llx: something is there",
				  f->name, i, (unsigned long long)base);
		}
	}
}

void pci_bars_place(struct pci_host *h)
{
	h->crowded = false;
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		if (h->function[i])
			unmap_moved(h, h->function[i]);
	}
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		if (h->function[i])
			map_wanted(h, h->function[i]);
	}
}

void pci_bars_unmap(struct pci_function *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		bus_unmap(bus_of(f->host, &f->bar[i]), &f->bar[i].region);
}

/* The next aligned place in a window of which *used bytes are given out. */
static bool take(const struct pci_window *w, uint64_t *used, uint64_t size, uint64_t *base)
{
	uint64_t at = (w->base + *used + size - 1) & -size;

	if (!inside(w, at, size))
		return false;
	*base = at;
	*used = at + size - w->base;
	return true;
}

int pci_bars_assign(struct pci_host *h, struct pci_function *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &f->bar[i];
		bool found = true;
		uint64_t base = 0;

		if (b->kind == PCI_BAR_NONE)
			continue;
		if (is_io(b))
			found = take(&h->params.io, &h->io_used, b->size, &base);
		else if (!take(&h->params.memory32, &h->memory32_used, b->size, &base))
			found = b->kind == PCI_BAR_MEMORY64 &&
				take(&h->params.memory64, &h->memory64_used, b->size, &base);
		if (!found)
			return -ENOSPC;
		set_bar_address(f, i, base);
		f->config[PCI_COMMAND] |= is_io(b) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	return 0;
}

void pci_doorbell_add(struct pci_function *f, unsigned bar, struct doorbell *d)
{
	bus_add_doorbell(bus_of(f->host, &f->bar[bar]), &f->bar[bar].region, d);
}

void pci_doorbell_remove(struct pci_function *f, unsigned bar, struct doorbell *d)
{
	bus_remove_doorbell(bus_of(f->host, &f->bar[bar]), &f->bar[bar].region, d);
}
