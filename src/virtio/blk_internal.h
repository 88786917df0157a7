/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the disk share. All of it is the loop's, unless it says otherwise. */
#ifndef VIRTIO_BLK_INTERNAL_H
#define VIRTIO_BLK_INTERNAL_H

#include "virtio/blk.h"
#include "virtio/pieces.h"

/* Header and status may share no element with data; a segment may lie in several regions of RAM. */
#define BLK_SEGMENTS_MAX (VIRTIO_BLK_QUEUE_SIZE - 2)
#define BLK_PIECES_MAX   (BLK_SEGMENTS_MAX + 2 + GMEM_REGIONS_MAX)

#define BLK_DISCARD_MAX  (1u << 21) /* sectors of one request: 1 GiB */
#define BLK_ZEROES_MAX   (1u << 18) /* 128 MiB, as the host may have to write them */

/* 5.2.4 */
struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp, alignment_offset; /* in blocks of blk_size, as what follows */
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};

#define BLK_CONFIG_BYTES (offsetof(struct blk_config, unused1) + 3)
_Static_assert(offsetof(struct blk_config, writeback) == 32 && BLK_CONFIG_BYTES == 60, "5.2.4");

struct blk_request {
	struct block_request block;
	struct virtq_chain chain;
	struct blk_queue *queue;
	struct blk_request *next; /* while free */
	uint8_t *status;          /* in guest memory */
};

struct blk_queue {
	struct blk *blk;
	struct virtq *ring;
	/* One more than chains can be in flight. Touched when first used only. */
	struct blk_request *requests;
	struct iovec *iov;
	struct blk_request *free;
	unsigned used; /* of requests, ever */
	unsigned in_flight;
	bool stopping;
	bool more;     /* chains may be left */
	bool answered; /* since the last interrupt */
};

struct blk {
	struct virtio_device v;
	struct block *disk;
	struct blk_config config; /* as at power-on */
	char serial[VIRTIO_BLK_SERIAL_BYTES];
	atomic_bool write_through;
	unsigned in_flight;
	bool draining;
	enum { STOPPED, RUNNING, STOPPING, CLOSING } state;
	struct task pass;
	struct blk_queue queue[];
};

static inline struct blk *blk_of(struct virtio_device *v)
{
	return container_of(v, struct blk, v);
}

/*
 * Takes the next chain and begins what it asks for. False: there is none, or the queue is broken.
 * Posts b->pass where there is something to tell the driver of.
 */
bool virtio_blk_take_chain(struct blk_queue *q);

/*
 * A reset, of the queue or the device, is over when the last one out of flight has ended; what
 * begins a reset counts as one until it has asked for all it waits for.
 */
void virtio_blk_begin_flight(struct blk_queue *q);
void virtio_blk_end_flight(struct blk_queue *q);

#endif
