/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An input as a hostile driver: a queue's place and features, then pokes into its rings and steps
 * of the device between them. Whatever is poked, a chain that comes out lies in RAM and in its
 * limits, and the device writes nothing but its rings.
 */
#ifndef VIRTQ_SCRIPT_H
#define VIRTQ_SCRIPT_H

#include "script.h"
#include "virtq_rig.h"

#include <string.h>

#define SCRIPT_HELD 64u

struct virtq_run {
	struct virtq_rig rig;
	struct virtq_chain held[SCRIPT_HELD];
	unsigned held_count;
};

static inline void check_chain(struct virtq_run *run)
{
	const struct virtq_chain *c = &run->rig.chain;
	const uint8_t *low = gmem_pointer(run->rig.mem, 0, 1);
	const uint8_t *high = gmem_pointer(run->rig.mem, RIG_HIGH, 1);
	uint64_t bytes = 0;

	must(c->out_count + c->in_count <= RIG_SEGMENTS && c->out_count + c->in_count > 0);
	for (unsigned i = 0; i < c->out_count + c->in_count; i++) {
		const uint8_t *p = c->iov[i].iov_base;
		uint64_t n = c->iov[i].iov_len;

		must(n > 0 && n <= RIG_RAM);
		must((p >= low && p + n <= low + RIG_RAM) ||
		     (p >= high && p + n <= high + RIG_RAM));
		bytes += n;
	}
	must(bytes == c->out_bytes + c->in_bytes);
}

static inline void pop_some(struct virtq_run *run, unsigned n)
{
	struct virtq_rig *r = &run->rig;

	while (n-- && run->held_count < SCRIPT_HELD) {
		bool was_broken = r->broken;
		int got = virtq_pop(&r->q, &r->chain);

		must(got == 1 || got == 0 || r->broken);
		must(!was_broken || got < 0);
		must(r->broken <= 1);
		if (got != 1)
			return;
		check_chain(run);
		run->held[run->held_count++] = r->chain;
		must(r->q.in_flight >= run->held_count && r->q.in_flight <= r->q.size);
	}
}

static inline void push_one(struct virtq_run *run, unsigned which, uint32_t written)
{
	struct virtq_chain c;

	if (run->held_count == 0)
		return;
	which %= run->held_count;
	c = run->held[which];
	run->held[which] = run->held[--run->held_count];
	virtq_push(&run->rig.q, &c, written > c.in_bytes ? (uint32_t)c.in_bytes : written);
}

/* Mostly addresses in RAM, so that what is behind the checks is reached. */
static inline uint64_t next_address(struct script *s)
{
	uint32_t v = next32(s);

	switch (v >> 30) {
	case 0:
		return (uint64_t)v << 34 | v;
	case 1:
		return RIG_RAM - (v & 63);
	case 2:
		return RIG_HIGH + (v & 0xfffff);
	default:
		return v & 0x3fff0;
	}
}

/* wrap: the counter for which a packed descriptor is mostly available. */
static inline struct fake_desc next_desc(struct script *s, bool packed, bool wrap)
{
	struct fake_desc d = {.address = next_address(s)};
	uint8_t kind = next8(s);

	d.length = kind & 0x10 ? next32(s) : (uint32_t)next8(s) * (kind & 0x20 ? 16 : 1);
	d.first = packed ? next8(s) : kind & 7;
	if (packed)
		d.second = (uint16_t)((kind & 7) | (wrap == !(kind & 0x40) ? 0x80 : 0) |
				      (wrap == !(kind & 0x80) ? 0 : 0x8000));
	else
		d.second = next8(s);
	return d;
}

static inline void step(struct virtq_run *run, struct script *s)
{
	struct virtq_rig *r = &run->rig;
	uint8_t op = next8(s);
	struct fake_desc d;
	uint16_t head;

	switch (op & 7) {
	case 0:
	case 1:
		d = next_desc(s, r->driver.packed, r->q.avail_wrap);
		fake_driver_write_desc(&r->driver, r->driver.desc,
				       (r->q.next_avail + (op >> 3 & 3u)) % r->driver.size, d);
		break;
	case 2:
		d = next_desc(s, r->driver.packed, r->q.avail_wrap);
		fake_driver_write_desc(&r->driver, (op >> 3 & 3) * 0x10000u, op >> 5, d);
		break;
	case 3:
		head = next8(s);
		if (!(head & 0x80))
			head %= r->driver.size;
		if (!r->driver.packed)
			fake_driver_write_avail(&r->driver, (uint16_t)(r->q.next_avail + (op >> 3)),
						r->q.next_avail, head);
		break;
	case 4:
		fake_driver_want_interrupt_after(&r->driver, next8(s) % r->driver.size);
		break;
	case 5:
		push_one(run, op >> 3, next32(s));
		break;
	case 6:
		virtq_interrupt_needed(&r->q);
		break;
	default:
		pop_some(run, 1 + (op >> 3));
	}
}

static inline void virtq_run_start(struct virtq_run *run, struct script *s, bool packed)
{
	uint8_t set = next8(s);
	uint16_t size = packed ? (uint16_t)(1 + next8(s) % 64) : (uint16_t)(1u << next8(s) % 7);

	virtq_rig_init(&run->rig);
	run->held_count = 0;
	virtq_rig_start(&run->rig, size,
			(packed ? VIRTIO_F_RING_PACKED : 0) | (set & 1 ? VIRTIO_F_EVENT_IDX : 0) |
			    (set & 2 ? VIRTIO_F_INDIRECT_DESC : 0) |
			    (set & 4 ? VIRTIO_F_IN_ORDER : 0));
}

#endif
