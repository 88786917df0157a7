/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues.
 *
 * Theory of operation: Virtio 1.2, section 2.8. One ring of descriptors that both sides write. A
 * descriptor is available when its AVAIL bit is as our wrap counter and its USED bit is not; it is
 * used when both are (2.8.1). A chain lies in consecutive slots, its buffer id in the last of them;
 * one used descriptor answers for all its slots. Length, id and flags are one 64-bit word, so one
 * release store makes a chain used. The driver looks at used descriptors in their order, so of
 * several the first is written last, and then all are there (2.8.6).
 *
 * The driver area and the device area each hold an event suppression structure: 15 bits of offset,
 * the wrap counter, 2 bits of what is wanted (2.8.14); it is one 32-bit word and read at once.
 *
 * Slots in flight are bounded by the size. Buffer ids are the driver's business: whether it uses
 * one twice makes no difference here, as they select nothing. Threads and memory order: virtq.c.
 */
#include "virtio/virtq_internal.h"

#include <assert.h>

#define FLAG_AVAIL    (1u << 7)
#define FLAG_USED     (1u << 15)

#define EVENT_BYTES   4u
#define EVENT_ENABLE  (0u << 16)
#define EVENT_DISABLE (1u << 16)
#define EVENT_DESC    (2u << 16)
#define EVENT_KIND    (3u << 16)
#define EVENT_WRAP    (1u << 15)

static uint64_t event_bytes(unsigned size)
{
	(void)size;
	return EVENT_BYTES;
}

static int packed_available(struct virtq *q)
{
	const struct ring_desc *ring = q->desc;
	uint64_t rest = ring_load(&ring[q->next_avail].rest, memory_order_acquire); /* 1 */
	bool avail = rest >> 48 & FLAG_AVAIL, used = rest >> 48 & FLAG_USED;

	return avail == q->avail_wrap && used != q->avail_wrap;
}

/* In an indirect table entries follow each other; WRITE is the only valid flag (2.8.7). */
static int take_indirect(struct virtq *q, struct virtq_chain *c, const struct virtq_desc *table)
{
	struct virtq_desc d;
	unsigned count, i;
	int err = virtq_indirect_check(q, table, table->second, &count);

	for (i = 0; !err && i < count; i++) {
		err = virtq_indirect_copy(q, table, i, &d);
		if (!err && d.second & DESC_INDIRECT)
			err = virtq_break(q, "indirect table in an indirect table");
		if (!err)
			err = virtq_chain_add(q, c, &d, d.second);
	}
	return err;
}

static void advance(const struct virtq *q, uint16_t *slot, bool *wrap, unsigned by)
{
	unsigned next = *slot + by;

	if (next >= q->size) {
		next -= q->size;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)next;
}

static int packed_take(struct virtq *q, struct virtq_chain *c)
{
	const struct ring_desc *ring = q->desc;
	struct virtq_desc d;
	unsigned count = 0, slot = q->next_avail;
	int err;

	do {
		if (q->in_flight + count == q->size)
			return virtq_break(q, "more descriptors in flight than the ring has");
		d = ring_desc_copy(&ring[slot]);
		if (count++ && d.second & DESC_INDIRECT)
			return virtq_break(q, "indirect descriptor after a direct one");
		slot = slot + 1 == q->size ? 0 : slot + 1;
		err = d.second & DESC_INDIRECT ? take_indirect(q, c, &d)
					       : virtq_chain_add(q, c, &d, d.second);
		if (err)
			return err;
	} while (d.second & DESC_NEXT);
	q->in_flight += count;
	c->id = d.first;
	c->slots = (uint16_t)count;
	advance(q, &q->next_avail, &q->avail_wrap, count);
	return 0;
}

static void packed_give(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	struct ring_desc *ring = q->desc;
	unsigned flags = (q->used_wrap ? FLAG_AVAIL | FLAG_USED : 0) | (written ? DESC_WRITE : 0);
	uint64_t rest = (uint64_t)flags << 48 | (uint64_t)id << 32 | written;

	assert(q->in_flight >= slots);
	q->in_flight -= slots;
	q->unsignalled += slots;
	if (q->hidden) {
		ring_store(&ring[q->next_used].rest, rest, memory_order_relaxed);
	} else {
		q->hidden = true;
		q->hidden_slot = q->next_used;
		q->hidden_rest = rest;
	}
	advance(q, &q->next_used, &q->used_wrap, slots);
}

static void packed_show(struct virtq *q)
{
	struct ring_desc *ring = q->desc;

	if (!q->hidden)
		return;
	q->hidden = false;
	ring_store(&ring[q->hidden_slot].rest, q->hidden_rest, memory_order_release); /* 2 */
}

/* With EVENT_IDX, asking for nothing is leaving the stated place behind. */
static void packed_set_kicks(struct virtq *q, bool on)
{
	_Atomic uint32_t *event = q->device;

	if (q->event_idx) {
		if (on)
			ring_store(event,
				   EVENT_DESC | (q->avail_wrap ? EVENT_WRAP : 0) | q->next_avail,
				   memory_order_relaxed);
	} else if (on != q->kicks) {
		q->kicks = on;
		ring_store(event, on ? EVENT_ENABLE : EVENT_DISABLE, memory_order_relaxed);
	}
}

/* Positions are counted from the start of the current lap; the one before is negative. */
static bool packed_wants_interrupt(const struct virtq *q, unsigned count)
{
	const _Atomic uint32_t *event = q->driver;
	uint32_t wish = ring_load(event, memory_order_relaxed);
	int place = (int)(wish & (EVENT_WRAP - 1));

	if ((wish & EVENT_KIND) == EVENT_DISABLE)
		return false;
	if ((wish & EVENT_KIND) != EVENT_DESC || !q->event_idx)
		return true;
	if (!(wish & EVENT_WRAP) == q->used_wrap)
		place -= q->size;
	return place < q->next_used && q->next_used - place <= (int)count;
}

const struct virtq_format virtq_packed = {
    .driver_bytes = event_bytes,
    .device_bytes = event_bytes,
    .driver_align = EVENT_BYTES,
    .device_align = EVENT_BYTES,
    .available = packed_available,
    .take = packed_take,
    .give = packed_give,
    .show = packed_show,
    .set_kicks = packed_set_kicks,
    .wants_interrupt = packed_wants_interrupt,
};
