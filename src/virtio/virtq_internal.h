/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two ring formats share. Fields are little-endian, as is the host (x86-64). */
#ifndef VIRTIO_VIRTQ_INTERNAL_H
#define VIRTIO_VIRTQ_INTERNAL_H

#include "virtio/virtq.h"

#include <stdatomic.h>

/* A descriptor is 16 bytes in both formats; the flags have the same meaning. */
#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u
#define DESC_BYTES    16u

/* As it lies in guest memory. High word: length, then 16 bits twice, which the formats differ in.
 */
struct ring_desc {
	_Atomic uint64_t address, rest;
};

/* A private copy. */
struct virtq_desc {
	uint64_t address;
	uint32_t length;
	uint16_t first, second; /* split: flags, next; packed: buffer id, flags */
};

struct virtq_format {
	uint64_t (*driver_bytes)(unsigned size), (*device_bytes)(unsigned size);
	unsigned driver_align, device_align;
	/* 1, 0 or -EPROTO. A 1 orders what follows after the driver's writes. */
	int (*available)(struct virtq *q);
	/* Takes what is available: fills c, id and slots too. 0 or -EPROTO. */
	int (*take)(struct virtq *q, struct virtq_chain *c);
	/* The driver does not see what was given before show(). */
	void (*give)(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written);
	void (*show)(struct virtq *q);
	void (*set_kicks)(struct virtq *q, bool on);
	/* Whether the driver asked for an interrupt with one of the last `count`. */
	bool (*wants_interrupt)(const struct virtq *q, unsigned count);
};

extern const struct virtq_format virtq_split, virtq_packed;

/*
 * Every access to a ring in guest memory is one of these. A test that explores how driver and
 * device interleave has its own.
 */
#ifndef RING_MODEL
#define ring_load(p, order)         atomic_load_explicit(p, order)
#define ring_store(p, value, order) atomic_store_explicit(p, value, order)
#define ring_fence()                atomic_thread_fence(memory_order_seq_cst)
#endif

static inline struct virtq_desc ring_desc_split_up(uint64_t address, uint64_t rest)
{
	return (struct virtq_desc){address, (uint32_t)rest, (uint16_t)(rest >> 32),
				   (uint16_t)(rest >> 48)};
}

/* The one read of a descriptor in the ring. */
static inline struct virtq_desc ring_desc_copy(const struct ring_desc *d)
{
	uint64_t address = ring_load(&d->address, memory_order_relaxed);

	return ring_desc_split_up(address, ring_load(&d->rest, memory_order_relaxed));
}

/* Adds a buffer to c. 0 or -EPROTO. */
int virtq_chain_add(struct virtq *q, struct virtq_chain *c, const struct virtq_desc *d,
		    unsigned flags);

/* Whether d may refer to an indirect table; *count: its entries. 0 or -EPROTO. */
int virtq_indirect_check(struct virtq *q, const struct virtq_desc *d, unsigned flags,
			 unsigned *count);

/*
 * The one read of an entry of an indirect table that was checked. Entry 0 first: RAM does not reach
 * the top of the address space, so with it in RAM no other one wraps. 0 or -EPROTO.
 */
int virtq_indirect_copy(struct virtq *q, const struct virtq_desc *table, unsigned i,
			struct virtq_desc *out);

#endif
