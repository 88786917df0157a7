/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X: a table of messages in a BAR, and one pending bit for each.
 *
 * PCI Local Bus Specification 3.0, section 6.8.2. The table is in the lower half of the BAR, the
 * pending bits in the upper half. Guests must access both by aligned dwords and qwords; other
 * writes vanish, other reads give the bytes that are there.
 *
 * A vector that fires while it is masked, or its function is, becomes pending and goes out when
 * both are unmasked. Masks are ours alone: the chip behind the route (msi.h) hears of a new message
 * when the vector fires next, so a guest that masks, rewrites and unmasks costs no system call.
 *
 * vCPU threads write the table and message control (the latter under the host's lock), any thread
 * fires. One lock for each function guards all of it; below are the routes and the pin.
 */
#include "pci/pci_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CAP_SIZE        12u
#define CAP_CONTROL     2u
#define CAP_TABLE       4u
#define CAP_PBA         8u
#define CONTROL_ENABLE  0x8000u
#define CONTROL_MASK    0x4000u

#define ENTRY_SIZE      16u
#define ENTRY_ADDRESS   0u /* words of an entry */
#define ENTRY_UPPER     1u
#define ENTRY_DATA      2u
#define ENTRY_CONTROL   3u
#define ENTRY_MASKED    0x1u /* the other bits are reserved and read 0 */
#define ADDRESS_ALIGNED 0xfffffffcu

struct msix_vector {
	uint32_t word[4];
	bool pending;
	bool changed; /* the route has another message */
	struct msi_route route;
};

struct pci_msix {
	struct pci_function *f;
	unsigned cap, count;
	uint64_t pba; /* offset of the pending bits in the BAR */
	pthread_mutex_t lock;
	atomic_bool enabled; /* changes under lock */
	bool masked;         /* all vectors */
	struct msix_vector vector[];
};

static bool is_masked(const struct pci_msix *x, const struct msix_vector *v)
{
	return x->masked || v->word[ENTRY_CONTROL] & ENTRY_MASKED;
}

static void update_route(struct msix_vector *v)
{
	struct msi_message m = {
	    .address = (uint64_t)v->word[ENTRY_UPPER] << 32 | v->word[ENTRY_ADDRESS],
	    .data = v->word[ENTRY_DATA],
	};

	if (v->changed)
		msi_set(&v->route, &m);
	v->changed = false;
}

static void send(struct msix_vector *v)
{
	v->pending = false;
	update_route(v);
	msi_send(&v->route);
}

static void send_pending(struct pci_msix *x)
{
	for (unsigned i = 0; x->enabled && i < x->count; i++) {
		if (x->vector[i].pending && !is_masked(x, &x->vector[i]))
			send(&x->vector[i]);
	}
}

static uint32_t pending_word(const struct pci_msix *x, uint64_t index)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < 32 && 32 * index + i < x->count; i++)
		word |= (uint32_t)x->vector[32 * index + i].pending << i;
	return word;
}

/* offset: a multiple of 4. */
static uint32_t read_word(const struct pci_msix *x, uint64_t offset)
{
	if (offset >= x->pba)
		return pending_word(x, (offset - x->pba) / 4);
	if (offset / ENTRY_SIZE < x->count)
		return x->vector[offset / ENTRY_SIZE].word[offset % ENTRY_SIZE / 4];
	return 0;
}

static uint64_t table_read(void *dev, uint64_t offset, unsigned size)
{
	const struct pci_msix *x = dev;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;
		uint64_t byte = read_word(x, at & ~3ull) >> 8 * (at & 3) & 0xff;

		value |= byte << 8 * i;
	}
	return value;
}

static void write_word(struct pci_msix *x, uint64_t offset, uint32_t value)
{
	unsigned word = offset % ENTRY_SIZE / 4;
	struct msix_vector *v;

	if (offset / ENTRY_SIZE >= x->count)
		return;
	v = &x->vector[offset / ENTRY_SIZE];
	if (word == ENTRY_ADDRESS)
		value &= ADDRESS_ALIGNED;
	if (word == ENTRY_CONTROL)
		value &= ENTRY_MASKED;
	else
		v->changed = v->changed || v->word[word] != value;
	v->word[word] = value;
	if (v->pending && x->enabled && !is_masked(x, v))
		send(v);
}

static void table_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_msix *x = dev;

	if (offset % 4 || size < 4 || offset >= x->pba)
		return;
	write_word(x, offset, (uint32_t)value);
	if (size == 8)
		write_word(x, offset + 4, (uint32_t)(value >> 32));
}

static const struct bus_region_ops table_ops = {
    .name = "msix",
    .read = table_read,
    .write = table_write,
    .width_max = 8,
};

bool pci_msix_enabled(const struct pci_msix *x)
{
	return atomic_load_explicit(&x->enabled, memory_order_acquire);
}

bool pci_msix_fire(struct pci_msix *x, unsigned vector)
{
	bool enabled;

	pthread_mutex_lock(&x->lock);
	enabled = x->enabled;
	if (enabled && vector < x->count) {
		if (is_masked(x, &x->vector[vector]))
			x->vector[vector].pending = true;
		else
			send(&x->vector[vector]);
	}
	pthread_mutex_unlock(&x->lock);
	return enabled;
}

int pci_msix_fire_fd(struct pci_msix *x, unsigned vector)
{
	int fd = -1;

	pthread_mutex_lock(&x->lock);
	if (x->enabled && vector < x->count && !is_masked(x, &x->vector[vector])) {
		update_route(&x->vector[vector]);
		fd = msi_fd(&x->vector[vector].route);
	}
	pthread_mutex_unlock(&x->lock);
	if (fd < 0 && !pci_msix_fire(x, vector))
		return -ENOTCONN;
	return fd;
}

/* What was pending when the guest turned MSI-X off is forgotten: the pin tells it then. */
void pci_msix_refresh(struct pci_msix *x)
{
	uint16_t control = pci_get16(x->f, x->cap + CAP_CONTROL);
	bool enabled = control & CONTROL_ENABLE;

	if (!enabled)
		pci_intx_set_msix(x->f, false);
	pthread_mutex_lock(&x->lock);
	x->enabled = enabled;
	x->masked = control & CONTROL_MASK;
	for (unsigned i = 0; !enabled && i < x->count; i++)
		x->vector[i].pending = false;
	send_pending(x);
	pthread_mutex_unlock(&x->lock);
	if (enabled)
		pci_intx_set_msix(x->f, true);
}

void pci_msix_reset(struct pci_msix *x)
{
	pthread_mutex_lock(&x->lock);
	for (unsigned i = 0; i < x->count; i++) {
		struct msix_vector *v = &x->vector[i];

		for (unsigned word = 0; word < ENTRY_CONTROL; word++)
			v->word[word] = 0;
		v->word[ENTRY_CONTROL] = ENTRY_MASKED;
		v->pending = false;
		v->changed = true;
	}
	pthread_mutex_unlock(&x->lock);
	pci_msix_refresh(x);
}

static uint64_t bar_size(unsigned vectors)
{
	uint64_t size = 4096;

	while (size / 2 < (uint64_t)vectors * ENTRY_SIZE)
		size *= 2;
	return size;
}

int pci_msix_create(struct pci_host *h, struct pci_function *f, unsigned bar, unsigned vectors,
		    struct pci_msix **out)
{
	uint64_t size = bar_size(vectors);
	struct bus_region r = {.ops = &table_ops};
	struct pci_msix *x;

	assert(vectors >= 1 && vectors <= PCI_MSIX_VECTORS_MAX && !f->msix);
	x = calloc(1, sizeof(*x) + vectors * sizeof(x->vector[0]));
	if (!x)
		return -ENOMEM;
	x->f = f;
	x->count = vectors;
	x->pba = size / 2;
	pthread_mutex_init(&x->lock, NULL);
	for (unsigned i = 0; i < vectors; i++)
		msi_route_init(&x->vector[i].route, h->params.msi);
	x->cap = pci_add_capability(f, PCI_CAP_MSIX, CAP_SIZE);
	pci_set16(f, x->cap + CAP_CONTROL, (uint16_t)(vectors - 1));
	f->writable[x->cap + CAP_CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
	pci_set32(f, x->cap + CAP_TABLE, bar);
	pci_set32(f, x->cap + CAP_PBA, (uint32_t)x->pba | bar);
	r.dev = x;
	r.lock = &x->lock;
	pci_add_bar(f, bar, PCI_BAR_MEMORY32, size, &r);
	f->msix = x;
	pci_msix_reset(x);
	*out = x;
	return 0;
}

void pci_msix_destroy(struct pci_msix *x)
{
	if (!x)
		return;
	for (unsigned i = 0; i < x->count; i++)
		msi_route_fini(&x->vector[i].route);
	pthread_mutex_destroy(&x->lock);
	free(x);
}
