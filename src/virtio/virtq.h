/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues, the device's side: split and packed rings in guest memory. Virtio 1.2, sections 2.6
 * to 2.8.
 *
 * A queue's owner pops chains of buffers, fills them and pushes each of them back once, in any
 * order; then it asks once a batch whether the driver wants an interrupt. From virtq_start() to
 * virtq_stop() one thread at a time does all this, and nothing here allocates or blocks.
 *
 * The driver is hostile. Ring, descriptors and indirect tables are copied once and only the copy is
 * checked and used. What breaks the rules stops the queue: it is told once through virtq.broken,
 * and from then on guest memory is left alone until the next virtq_start().
 */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

#include <lodge/gmem.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Entries. The specification allows 32768; nobody asks for more than this. */
#define VIRTQ_SIZE_MAX 1024u

/* Feature bits that concern rings, section 6. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_RING_PACKED   (1ull << 34)
#define VIRTIO_F_IN_ORDER      (1ull << 35)
#define VIRTIO_F_RING_RESET    (1ull << 40)
#define VIRTQ_FEATURES                                                                             \
	(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER |  \
	 VIRTIO_F_RING_RESET)

/* Where a queue lies, as the driver wrote it. */
struct virtq_place {
	uint16_t size; /* entries: 1 to VIRTQ_SIZE_MAX; of a split ring a power of 2 */
	gpa_t desc;    /* descriptor area, aligned to 16 */
	gpa_t driver;  /* driver area: available ring (to 2), event suppression (to 4) */
	gpa_t device;  /* device area: used ring, event suppression (to 4) */
};

/*
 * One request of the driver. iov has first out_count elements for the device to read, then in_count
 * to write. The guest may change their content at any time.
 */
struct virtq_chain {
	struct iovec *iov; /* the owner's, of iov_max elements; set before virtq_pop() */
	unsigned iov_max;
	unsigned out_count, in_count;
	uint64_t out_bytes, in_bytes; /* together at most 2^32; none of the elements is empty */
	/* The queue's. */
	uint16_t id, slots, order;
};

struct virtq_order {
	uint32_t written;
	uint16_t id, slots;
	bool done;
};

struct virtq {
	/* The owner's, before virtq_start(). */
	const struct gmem *mem;
	/* Once from virtq_start() on, on the thread that called; may be NULL. why: for a log. */
	void (*broken)(struct virtq *q, const char *why);
	unsigned index; /* for the owner */

	/* The queue's. */
	const struct virtq_format *format;
	bool running, event_idx, indirect, in_order;
	bool kicks; /* the driver was told to kick, without EVENT_IDX */
	bool avail_wrap, used_wrap;
	uint16_t size;
	uint16_t next_avail, next_used; /* split: free-running; packed: slot */
	unsigned in_flight;             /* split: chains; packed: slots */
	unsigned unsignalled;           /* in_flight's unit, since virtq_interrupt_needed() */
	bool hidden;                    /* packed: the driver does not see the newest used ones */
	uint16_t hidden_slot;           /* the first of them */
	uint64_t hidden_rest;           /* what will be written there */
	void *desc, *driver, *device;
	uint64_t live[VIRTQ_SIZE_MAX / 64]; /* split: heads in flight */
	uint16_t order_head, order_tail;    /* IN_ORDER: chains popped and not yet given back */
	struct virtq_order order[VIRTQ_SIZE_MAX];
};

/*
 * Begins with an empty ring and the features that the driver accepted. False: place is not one that
 * the specification allows, or not in RAM; broken() was called.
 */
bool virtq_start(struct virtq *q, const struct virtq_place *place, uint64_t features);

/* Also the queue reset of section 2.6.1. Chains in flight are forgotten; do not push them. */
void virtq_stop(struct virtq *q);

/*
 * The next chain: 1. 0: there is none, and the driver will kick when it adds one; until then, after
 * a 1, it is asked not to. -EPROTO: the queue is broken or stopped. A chain with more pieces than
 * iov_max breaks it, so that number is part of what the device promises its driver.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *c);

/*
 * Gives a chain back, of which the first `written` bytes of the elements to write were written (at
 * most in_bytes). Nothing happens when the queue has been broken or stopped.
 */
void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written);

/* Gives n chains back, of which the driver sees all or none at any time. */
void virtq_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
		    unsigned n);

/* After a batch of virtq_push(): whether to interrupt the driver for it. */
bool virtq_interrupt_needed(struct virtq *q);

/* Stops the queue as if the driver had broken it: for devices. Returns -EPROTO. */
int virtq_break(struct virtq *q, const char *why);

/*
 * A legacy driver says one address, a multiple of 4096, and everything follows it; section 2.7.2.
 * size: a power of 2.
 */
void virtq_legacy_place(struct virtq_place *place, gpa_t base, uint16_t size);

#endif
