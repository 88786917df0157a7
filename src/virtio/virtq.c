/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues: what both ring formats share.
 *
 * Theory of operation: Virtio 1.2, section 2.6; the formats are in virtq_split.c (2.7) and
 * virtq_packed.c (2.8). Rings are pinned by virtq_start(), each area in one region of RAM, and then
 * accessed through C11 atomics, which keep the compiler from reading twice. Buffers become pieces
 * of RAM by gmem_iov() only, so a descriptor can never name a device's registers.
 *
 * Memory order. Four places matter; the acquire and release ones cost nothing on x86:
 *  1. acquire: what makes a chain available is read before its descriptors (2.7.13.3, 2.8.21.1).
 *  2. release: buffers and the used element are written before what makes them used (2.7.8.2,
 *     2.8.15).
 *  3. full fence in virtq_pop(): asking for kicks is visible before the ring is looked at again.
 *     The driver adds a chain, fences, then looks whether to kick (2.7.13.4, 2.8.21.2): one of
 *     the two sees the other's write, so no chain is left behind without a kick.
 *  4. full fence in virtq_interrupt_needed(): what was used is visible before the driver's wish is
 *     read. The driver states its wish, fences, then looks for used chains (2.7.14, 2.8.22).
 * 3 and 4 are stores followed by loads of other places, which x86 does reorder.
 *
 * IN_ORDER (2.7.9, 2.8.8): chains that are pushed early wait in `order` until all before them are.
 * Each has a used element of its own; the option to write only a batch's last is not taken, since
 * it would hide the lengths of the others.
 *
 * Stricter than the specification asks: a buffer of length 0 breaks the queue, as no driver has a
 * use for it and iov_max would not bound a chain of such; and so does, in a packed ring, an
 * indirect table in an indirect table (2.8.7 lets a device ignore the flag). More lenient: the
 * table of a split ring may have more entries than the queue (2.7.5.3.1), because Linux makes such.
 */
#include "virtio/virtq_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define CHAIN_BYTES_MAX (1ull << 32) /* 2.7.5.2 */

int virtq_break(struct virtq *q, const char *why)
{
	if (q->running) {
		q->running = false;
		if (q->broken)
			q->broken(q, why);
	}
	return -EPROTO;
}

static void *pin(const struct virtq *q, gpa_t a, uint64_t bytes, unsigned align)
{
	return a % align ? NULL : gmem_pointer(q->mem, a, bytes);
}

bool virtq_start(struct virtq *q, const struct virtq_place *place, uint64_t features)
{
	const struct virtq_format *f =
	    features & VIRTIO_F_RING_PACKED ? &virtq_packed : &virtq_split;
	unsigned size = place->size;

	*q = (struct virtq){.mem = q->mem, .broken = q->broken, .index = q->index};
	q->format = f;
	q->event_idx = features & VIRTIO_F_EVENT_IDX;
	q->indirect = features & VIRTIO_F_INDIRECT_DESC;
	q->in_order = features & VIRTIO_F_IN_ORDER;
	q->avail_wrap = q->used_wrap = true;
	q->running = true;
	if (size == 0 || size > VIRTQ_SIZE_MAX || (f == &virtq_split && (size & (size - 1))))
		return virtq_break(q, "bad queue size") == 0;
	q->size = place->size;
	q->desc = pin(q, place->desc, (uint64_t)size * DESC_BYTES, DESC_BYTES);
	q->driver = pin(q, place->driver, f->driver_bytes(size), f->driver_align);
	q->device = pin(q, place->device, f->device_bytes(size), f->device_align);
	if (!q->desc || !q->driver || !q->device)
		return virtq_break(q, "queue address unaligned or not in RAM") == 0;
	return true;
}

void virtq_stop(struct virtq *q)
{
	q->running = false;
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	struct virtq_order *o;
	int got;

	if (!q->running)
		return -EPROTO;
	got = q->format->available(q);
	if (got == 0) {
		q->format->set_kicks(q, true);
		ring_fence(); /* 3 */
		got = q->format->available(q);
	}
	if (got <= 0)
		return got;
	q->format->set_kicks(q, false);
	c->out_count = c->in_count = 0;
	c->out_bytes = c->in_bytes = 0;
	got = q->format->take(q, c);
	if (got)
		return got;
	if (q->in_order) {
		/* Not more than size are in flight, so the place is free. */
		c->order = q->order_tail++;
		o = &q->order[c->order % VIRTQ_SIZE_MAX];
		*o = (struct virtq_order){.id = c->id, .slots = c->slots};
	}
	return 1;
}

static void push_in_order(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
	struct virtq_order *o = &q->order[c->order % VIRTQ_SIZE_MAX];

	assert(!o->done && o->id == c->id);
	o->done = true;
	o->written = written;
	for (; q->order_head != q->order_tail; q->order_head++) {
		o = &q->order[q->order_head % VIRTQ_SIZE_MAX];
		if (!o->done)
			break;
		q->format->give(q, o->id, o->slots, o->written);
	}
}

void virtq_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
		    unsigned n)
{
	unsigned i;

	if (!q->running)
		return;
	for (i = 0; i < n; i++) {
		assert(written[i] <= c[i].in_bytes && q->in_flight);
		if (q->in_order)
			push_in_order(q, &c[i], written[i]);
		else
			q->format->give(q, c[i].id, c[i].slots, written[i]);
	}
	q->format->show(q);
}

void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
	virtq_push_all(q, c, &written, 1);
}

bool virtq_interrupt_needed(struct virtq *q)
{
	unsigned count = q->unsignalled;

	if (!q->running || count == 0)
		return false;
	q->unsignalled = 0;
	ring_fence(); /* 4 */
	return q->format->wants_interrupt(q, count);
}

int virtq_chain_add(struct virtq *q, struct virtq_chain *c, const struct virtq_desc *d,
		    unsigned flags)
{
	bool write = flags & DESC_WRITE;
	unsigned had = c->out_count + c->in_count, count = had;
	int err;

	if (d->length == 0)
		return virtq_break(q, "buffer of length 0");
	if (!write && c->in_count)
		return virtq_break(q, "buffer to read after one to write");
	if (d->length > CHAIN_BYTES_MAX - c->out_bytes - c->in_bytes)
		return virtq_break(q, "chain of more than 2^32 bytes");
	err = gmem_iov(q->mem, d->address, d->length, c->iov, c->iov_max, &count);
	if (err == -E2BIG)
		return virtq_break(q, "chain of too many buffers");
	if (err)
		return virtq_break(q, "buffer outside RAM");
	*(write ? &c->in_count : &c->out_count) += count - had;
	*(write ? &c->in_bytes : &c->out_bytes) += d->length;
	return 0;
}

int virtq_indirect_check(struct virtq *q, const struct virtq_desc *d, unsigned flags,
			 unsigned *count)
{
	if (!q->indirect)
		return virtq_break(q, "indirect descriptor was not negotiated");
	if (flags & DESC_NEXT)
		return virtq_break(q, "indirect descriptor with a next one");
	if (d->length == 0 || d->length % DESC_BYTES)
		return virtq_break(q, "bad length of an indirect table");
	*count = d->length / DESC_BYTES;
	return 0;
}

int virtq_indirect_copy(struct virtq *q, const struct virtq_desc *table, unsigned i,
			struct virtq_desc *out)
{
	uint64_t raw[2];

	if (gmem_read(q->mem, table->address + (uint64_t)i * DESC_BYTES, raw, sizeof(raw)))
		return virtq_break(q, "indirect table outside RAM");
	*out = ring_desc_split_up(raw[0], raw[1]);
	return 0;
}

void virtq_legacy_place(struct virtq_place *place, gpa_t base, uint16_t size)
{
	const uint64_t align = 4096;
	uint64_t avail_end = base + (uint64_t)size * DESC_BYTES + virtq_split.driver_bytes(size);

	place->size = size;
	place->desc = base;
	place->driver = base + (uint64_t)size * DESC_BYTES;
	place->device = (avail_end + align - 1) & ~(align - 1);
}
