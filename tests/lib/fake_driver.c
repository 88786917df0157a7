/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_driver.h"

#include <stdlib.h>
#include <string.h>

enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4, F_AVAIL = 0x80, F_USED = 0x8000 };

static void *at(const struct fake_driver *d, gpa_t a, uint64_t n)
{
	void *p = gmem_pointer(d->mem, a, n);

	if (!p)
		abort();
	return p;
}

static uint16_t get16(const struct fake_driver *d, gpa_t a)
{
	return __atomic_load_n((uint16_t *)at(d, a, 2), __ATOMIC_SEQ_CST);
}

static uint32_t get32(const struct fake_driver *d, gpa_t a)
{
	return __atomic_load_n((uint32_t *)at(d, a, 4), __ATOMIC_SEQ_CST);
}

/* SEQ_CST: the fences that drivers need come with each store. */
static void put16(const struct fake_driver *d, gpa_t a, unsigned v)
{
	__atomic_store_n((uint16_t *)at(d, a, 2), (uint16_t)v, __ATOMIC_SEQ_CST);
}

static void put32(const struct fake_driver *d, gpa_t a, uint32_t v)
{
	__atomic_store_n((uint32_t *)at(d, a, 4), v, __ATOMIC_SEQ_CST);
}

void fake_driver_init(struct fake_driver *d, struct gmem *mem, gpa_t base, uint16_t size,
		      bool packed, bool event_idx)
{
	memset(d, 0, sizeof(*d));
	if (size == 0 || size > FAKE_DRIVER_SIZE || gmem_zero(mem, base, 0x10000))
		abort();
	d->mem = mem;
	d->packed = packed;
	d->event_idx = event_idx;
	d->size = size;
	d->desc = base;
	d->driver = base + 0x4000;
	d->device = base + 0x8000;
	d->tables = base + 0x10000;
	for (unsigned i = 0; i < size; i++)
		d->free_ids[i] = (uint16_t)i;
	d->free_count = d->slots_free = size;
	d->avail_wrap = d->used_wrap = true;
}

static uint16_t take_id(struct fake_driver *d)
{
	uint16_t id = d->free_ids[d->free_first];

	d->free_first = (d->free_first + 1) % d->size;
	d->free_count--;
	return id;
}

static void give_id(struct fake_driver *d, unsigned id)
{
	d->free_ids[(d->free_first + d->free_count++) % d->size] = (uint16_t)id;
}

void fake_driver_write_desc(struct fake_driver *d, gpa_t table, unsigned i, struct fake_desc desc)
{
	uint8_t *p = at(d, table + 16ull * i, 16);

	memcpy(p, &desc.address, 8);
	memcpy(p + 8, &desc.length, 4);
	memcpy(p + 12, &desc.first, 2);
	memcpy(p + 14, &desc.second, 2);
}

/* An indirect table with all buffers, and the one buffer that refers to it. */
static struct fake_buffer write_table(struct fake_driver *d, unsigned id,
				      const struct fake_buffer *b, unsigned n)
{
	gpa_t table = d->tables + 16ull * FAKE_DRIVER_BUFFERS * id;
	unsigned flags, i;

	for (i = 0; i < n; i++) {
		flags = b[i].write ? F_WRITE : 0;
		if (!d->packed && i + 1 < n)
			flags |= F_NEXT;
		fake_driver_write_desc(d, table, i,
				       (struct fake_desc){b[i].address, b[i].length,
							  (uint16_t)(d->packed ? 0x5a5a : flags),
							  (uint16_t)(d->packed ? flags : i + 1)});
	}
	return (struct fake_buffer){table, 16 * n, false};
}

static int add_split(struct fake_driver *d, const struct fake_buffer *b, unsigned n, bool indirect)
{
	uint16_t head = d->free_ids[d->free_first], id = 0;
	struct fake_buffer one;
	unsigned i, flags;

	if (indirect) {
		one = write_table(d, head, b, n);
		b = &one;
		n = 1;
	}
	for (i = 0; i < n; i++) {
		id = take_id(d);
		flags = (b[i].write ? F_WRITE : 0) | (indirect ? F_INDIRECT : 0) |
			(i + 1 < n ? F_NEXT : 0);
		d->chain_next[id] = d->free_ids[d->free_first];
		fake_driver_write_desc(d, d->desc, id,
				       (struct fake_desc){b[i].address, b[i].length,
							  (uint16_t)flags, d->chain_next[id]});
	}
	d->chain_slots[head] = n;
	put16(d, d->driver + 4 + 2ull * (d->avail % d->size), head);
	d->avail++;
	d->unpublished++;
	return head;
}

static int add_packed(struct fake_driver *d, const struct fake_buffer *b, unsigned n, bool indirect)
{
	uint16_t id = take_id(d);
	struct fake_buffer one;
	unsigned i, flags;

	if (indirect) {
		one = write_table(d, id, b, n);
		b = &one;
		n = 1;
	}
	for (i = 0; i < n; i++) {
		flags = (b[i].write ? F_WRITE : 0) | (indirect ? F_INDIRECT : 0) |
			(i + 1 < n ? F_NEXT : 0) | (d->avail_wrap ? F_AVAIL : F_USED);
		/* The first of the batch stays as it was until all is there. */
		if (d->unpublished == 0) {
			d->first_slot = d->avail;
			d->first_flags = (uint16_t)flags;
			flags = get16(d, d->desc + 16ull * d->avail + 14);
		}
		d->unpublished++;
		fake_driver_write_desc(
		    d, d->desc, d->avail,
		    (struct fake_desc){b[i].address, b[i].length, id, (uint16_t)flags});
		if (++d->avail == d->size) {
			d->avail = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	d->chain_slots[id] = n;
	return id;
}

int fake_driver_add(struct fake_driver *d, const struct fake_buffer *b, unsigned n, bool indirect)
{
	unsigned slots = indirect ? 1 : n;

	if (n == 0 || n > FAKE_DRIVER_BUFFERS)
		abort();
	if (slots > d->slots_free)
		return -1;
	d->slots_free -= slots;
	return d->packed ? add_packed(d, b, n, indirect) : add_split(d, b, n, indirect);
}

void fake_driver_publish(struct fake_driver *d)
{
	if (d->unpublished == 0)
		return;
	if (d->packed)
		put16(d, d->desc + 16ull * d->first_slot + 14, d->first_flags);
	else
		put16(d, d->driver + 2, d->avail);
	d->published = (uint16_t)d->unpublished;
	d->unpublished = 0;
}

bool fake_driver_must_kick(const struct fake_driver *d, unsigned published)
{
	uint32_t wish;
	unsigned i, place;
	bool wrap;

	if (!d->packed && !d->event_idx)
		return !(get16(d, d->device) & 1);
	if (!d->packed) {
		/* Whether the index that the device named is among those that were published. */
		uint16_t event = get16(d, d->device + 4 + 8ull * d->size);

		for (i = 1; i <= published; i++)
			if ((uint16_t)(d->avail - i) == event)
				return true;
		return false;
	}
	wish = get32(d, d->device);
	if (wish >> 16 != 2)
		return wish >> 16 != 1;
	place = d->avail;
	wrap = d->avail_wrap;
	for (i = 1; i <= published; i++) {
		if (place == 0) {
			place = d->size;
			wrap = !wrap;
		}
		place--;
		if (place == (wish & 0x7fff) && wrap == (wish >> 15 & 1))
			return true;
	}
	return false;
}

static bool get_split(struct fake_driver *d, unsigned *id, uint32_t *length)
{
	gpa_t element = d->device + 4 + 8ull * (d->used % d->size);
	unsigned i, n;
	uint16_t link;

	if (get16(d, d->device + 2) == d->used)
		return false;
	*id = get32(d, element);
	*length = get32(d, element + 4);
	d->used++;
	if (*id >= d->size || d->chain_slots[*id] == 0)
		abort();
	n = d->chain_slots[*id];
	for (i = 0, link = (uint16_t)*id; i < n; i++, link = d->chain_next[link])
		give_id(d, link);
	d->slots_free += n;
	d->chain_slots[*id] = 0;
	return true;
}

static bool get_packed(struct fake_driver *d, unsigned *id, uint32_t *length)
{
	gpa_t desc = d->desc + 16ull * d->used;
	unsigned flags = get16(d, desc + 14);

	/* The bits of a slot that we made available differ; the wrap counter tells laps apart. */
	if (!(flags & F_AVAIL) != !(flags & F_USED) || !(flags & F_USED) == d->used_wrap ||
	    d->slots_free == d->size)
		return false;
	*id = get16(d, desc + 12);
	*length = get32(d, desc + 8);
	if (*id >= d->size || d->chain_slots[*id] == 0 || !(flags & F_WRITE) != !*length)
		abort();
	d->used = (uint16_t)(d->used + d->chain_slots[*id]);
	if (d->used >= d->size) {
		d->used = (uint16_t)(d->used - d->size);
		d->used_wrap = !d->used_wrap;
	}
	give_id(d, *id);
	d->slots_free += d->chain_slots[*id];
	d->chain_slots[*id] = 0;
	return true;
}

bool fake_driver_get(struct fake_driver *d, unsigned *id, uint32_t *length)
{
	return d->packed ? get_packed(d, id, length) : get_split(d, id, length);
}

void fake_driver_want_interrupts(struct fake_driver *d, bool on)
{
	if (d->event_idx && on)
		fake_driver_want_interrupt_after(d, 0);
	else if (d->packed)
		put32(d, d->driver, on ? 0 : 1u << 16);
	else if (!d->event_idx)
		put16(d, d->driver, on ? 0 : 1);
}

void fake_driver_want_interrupt_after(struct fake_driver *d, unsigned skip)
{
	unsigned place = d->used + skip;
	bool wrap = d->used_wrap;

	if (!d->packed) {
		put16(d, d->driver + 4 + 2ull * d->size, place);
		return;
	}
	if (place >= d->size) {
		place -= d->size;
		wrap = !wrap;
	}
	put32(d, d->driver, 2u << 16 | (wrap ? 1u << 15 : 0) | place);
}

void fake_driver_write_avail(struct fake_driver *d, uint16_t idx, unsigned place, uint16_t head)
{
	put16(d, d->driver + 4 + 2ull * (place % d->size), head);
	put16(d, d->driver + 2, idx);
}
