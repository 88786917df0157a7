/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues.
 *
 * Theory of operation: Virtio 1.2, section 2.7. The driver area is the available ring (flags, idx,
 * ring[size], used_event), the device area the used ring (flags, idx, {id, len}[size],
 * avail_event), both seen as arrays here because their tails move with the size. Indexes run free
 * in 16 bits and are taken modulo the size, a power of 2.
 *
 * A head is in flight from take to give; an available ring that names it again meanwhile is broken,
 * which also bounds the chains in flight by the size. Threads and memory order: virtq.c.
 */
#include "virtio/virtq_internal.h"

#include <assert.h>

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

enum { RING_FLAGS, RING_IDX, RING_ELEMENTS }; /* in units of 16 bits, of either ring */

typedef _Atomic uint16_t ring16;
typedef _Atomic uint32_t ring32;

/* A place for descriptors: the ring's own table, or an indirect one. */
struct table {
	const struct ring_desc *ring; /* NULL: indirect */
	struct virtq_desc where;      /* indirect: the descriptor that refers to it */
	unsigned count;
};

static uint64_t avail_bytes(unsigned size)
{
	return 6 + 2ull * size;
}

static uint64_t used_bytes(unsigned size)
{
	return 6 + 8ull * size;
}

static ring16 *used_event(const struct virtq *q)
{
	return (ring16 *)q->driver + RING_ELEMENTS + q->size;
}

static ring16 *avail_event(const struct virtq *q)
{
	return (ring16 *)q->device + RING_ELEMENTS + 4 * (size_t)q->size;
}

static int split_available(struct virtq *q)
{
	ring16 *avail = q->driver;
	uint16_t ahead = (uint16_t)(ring_load(&avail[RING_IDX], memory_order_acquire) /* 1 */
				    - q->next_avail);

	if (ahead > q->size)
		return virtq_break(q, "available index is ahead by more than the queue's size");
	return ahead != 0;
}

static int copy_from(struct virtq *q, const struct table *t, unsigned i, struct virtq_desc *out)
{
	if (!t->ring)
		return virtq_indirect_copy(q, &t->where, i, out);
	*out = ring_desc_copy(&t->ring[i]);
	return 0;
}

/* From entry i on. An indirect descriptor ends the walk of the ring's table and is left in *d. */
static int walk(struct virtq *q, struct virtq_chain *c, const struct table *t, unsigned i,
		struct virtq_desc *d)
{
	unsigned left = t->count;
	int err;

	do {
		if (i >= t->count)
			return virtq_break(q, "descriptor index outside its table");
		if (left-- == 0)
			return virtq_break(q, "loop of descriptors");
		err = copy_from(q, t, i, d);
		if (err)
			return err;
		if (d->first & DESC_INDIRECT)
			return t->ring ? 0 : virtq_break(q, "indirect table in an indirect table");
		err = virtq_chain_add(q, c, d, d->first);
		if (err)
			return err;
		i = d->second;
	} while (d->first & DESC_NEXT);
	return 0;
}

static int split_take(struct virtq *q, struct virtq_chain *c)
{
	const ring16 *avail = q->driver;
	struct table ring = {.ring = q->desc, .count = q->size};
	struct table indirect = {0};
	struct virtq_desc d;
	uint16_t head = ring_load(&avail[RING_ELEMENTS + (q->next_avail & (q->size - 1))],
				  memory_order_relaxed);
	int err;

	if (head >= q->size)
		return virtq_break(q, "head outside the descriptor table");
	if (q->live[head / 64] >> head % 64 & 1)
		return virtq_break(q, "head is in flight already");
	err = walk(q, c, &ring, head, &d);
	if (!err && d.first & DESC_INDIRECT) {
		indirect.where = d;
		err = virtq_indirect_check(q, &d, d.first, &indirect.count);
		if (!err)
			err = walk(q, c, &indirect, 0, &d);
	}
	if (err)
		return err;
	q->live[head / 64] |= 1ull << head % 64;
	q->in_flight++;
	q->next_avail++;
	c->id = head;
	c->slots = 1;
	return 0;
}

static void split_give(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	ring32 *element = (ring32 *)q->device + 1 + 2 * (size_t)(q->next_used & (q->size - 1));

	assert(q->live[id / 64] >> id % 64 & 1);
	q->live[id / 64] &= ~(1ull << id % 64);
	q->in_flight -= slots;
	q->unsignalled += slots;
	ring_store(&element[0], id, memory_order_relaxed);
	ring_store(&element[1], written, memory_order_relaxed);
	q->next_used++;
}

static void split_show(struct virtq *q)
{
	ring16 *used = q->device;

	ring_store(&used[RING_IDX], q->next_used, memory_order_release); /* 2 */
}

/*
 * With EVENT_IDX the place where to kick next is stated, and asking for nothing is leaving it
 * behind; else it is one flag (2.7.10).
 */
static void split_set_kicks(struct virtq *q, bool on)
{
	ring16 *used = q->device;

	if (q->event_idx) {
		if (on)
			ring_store(avail_event(q), q->next_avail, memory_order_relaxed);
	} else if (on != q->kicks) {
		q->kicks = on;
		ring_store(&used[RING_FLAGS], on ? 0 : USED_NO_NOTIFY, memory_order_relaxed);
	}
}

static bool split_wants_interrupt(const struct virtq *q, unsigned count)
{
	const ring16 *avail = q->driver;
	uint16_t past;

	if (!q->event_idx)
		return !(ring_load(&avail[RING_FLAGS], memory_order_relaxed) & AVAIL_NO_INTERRUPT);
	past = (uint16_t)(q->next_used - ring_load(used_event(q), memory_order_relaxed) - 1);
	return past < count;
}

const struct virtq_format virtq_split = {
    .driver_bytes = avail_bytes,
    .device_bytes = used_bytes,
    .driver_align = 2,
    .device_align = 4,
    .available = split_available,
    .take = split_take,
    .give = split_give,
    .show = split_show,
    .set_kicks = split_set_kicks,
    .wants_interrupt = split_wants_interrupt,
};
