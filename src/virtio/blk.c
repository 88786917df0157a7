/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: queues, configuration and life.
 *
 * Theory of operation: Virtio 1.2, section 5.2. A kick takes every chain that is there, up to a
 * ring full, and submits each to the block layer (blk_request.c), which hands a batch to the kernel
 * at once. What completes is pushed back as it comes; a task interrupts once a queue for all of a
 * pass of the loop.
 *
 * Writes are durable when done while the driver has no other way to make them so: it knows no
 * FLUSH, or turned the write cache off (5.2.6.2).
 *
 * A reset waits for what is in work and gives up the rest, held requests too. The block layer does
 * so for a whole disk, so the reset of one queue submits the others' requests anew.
 *
 * Threads: all on the loop's, but config_write().
 */
#include "virtio/blk_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- queues --- */

/* A driver that adds chains as fast as they are refused must not keep the loop. */
static void take_chains(struct blk_queue *q)
{
	unsigned left = VIRTIO_BLK_QUEUE_SIZE;

	while (left && virtio_blk_take_chain(q))
		left--;
	q->more = left == 0;
	loop_gathered(q->blk->v.loop, VIRTIO_BLK_QUEUE_SIZE - left);
}

static void kicked(struct virtio_device *v, struct virtq *ring)
{
	struct blk *b = blk_of(v);
	struct blk_queue *q = &b->queue[ring->index];

	if (b->state != RUNNING || q->stopping)
		return;
	take_chains(q);
	if (q->more)
		loop_post(v->loop, &b->pass);
}

static void pass(struct task *t)
{
	struct blk *b = container_of(t, struct blk, pass);

	for (unsigned i = 0; i < b->v.queue_count && b->state == RUNNING; i++) {
		struct blk_queue *q = &b->queue[i];

		if (q->more && !q->stopping) {
			take_chains(q);
			loop_post(b->v.loop, &b->pass);
		}
		if (q->answered)
			virtio_notify(&b->v, q->ring);
		q->answered = false;
	}
}

/* Nothing is in work; gives up what was not begun, and what failed and was held. */
static void drained(void *arg)
{
	struct blk *b = arg;

	b->draining = false;
	block_cancel(b->disk);
	block_undrain(b->disk);
}

static void drain(struct blk *b)
{
	if (b->draining)
		return;
	b->draining = true;
	block_drain(b->disk, drained, b);
}

static void stop_queue(struct virtio_device *v, struct virtq *ring)
{
	struct blk *b = blk_of(v);
	struct blk_queue *q = &b->queue[ring->index];

	q->stopping = true;
	q->more = q->answered = false;
	virtio_blk_begin_flight(q);
	drain(b);
	virtio_blk_end_flight(q);
}

/* --- the device --- */

static void start(struct virtio_device *v)
{
	struct blk *b = blk_of(v);
	bool writeback;

	pthread_mutex_lock(&v->lock);
	if (!virtio_has(v, VIRTIO_BLK_F_FLUSH))
		v->config[offsetof(struct blk_config, writeback)] = 0; /* 5.2.5.2 */
	writeback = v->config[offsetof(struct blk_config, writeback)];
	atomic_store(&b->write_through, !virtio_has(v, VIRTIO_BLK_F_FLUSH) ||
					    (virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE) && !writeback));
	pthread_mutex_unlock(&v->lock);
	if (b->state != CLOSING)
		b->state = RUNNING;
}

static void stop(struct virtio_device *v)
{
	struct blk *b = blk_of(v);

	pthread_mutex_lock(&v->lock);
	memcpy(v->config, &b->config, BLK_CONFIG_BYTES);
	pthread_mutex_unlock(&v->lock);
	for (unsigned i = 0; i < v->queue_count; i++)
		b->queue[i].more = b->queue[i].answered = false;
	b->state = STOPPING;
	virtio_blk_begin_flight(&b->queue[0]);
	drain(b);
	virtio_blk_end_flight(&b->queue[0]);
}

/* The driver may write one field: whether the cache is on. */
static void config_write(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
			 unsigned size)
{
	const unsigned at = offsetof(struct blk_config, writeback);
	bool on;

	if (offset > at || at - offset >= size || !virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	on = bytes[at - offset] && virtio_has(v, VIRTIO_BLK_F_FLUSH);
	v->config[at] = on;
	atomic_store(&blk_of(v)->write_through, !on);
}

static void free_blk(struct blk *b, unsigned queues)
{
	for (unsigned i = 0; b && i < queues; i++) {
		free(b->queue[i].requests);
		free(b->queue[i].iov);
	}
	free(b);
}

static void destroy(struct device *base)
{
	struct blk *b = blk_of(container_of(base, struct virtio_device, base));
	unsigned queues = b->v.queue_count;

	b->state = CLOSING;
	block_close(b->disk);
	while (b->pass.queued)
		loop_step(b->v.loop);
	virtio_device_fini(&b->v);
	free_blk(b, queues);
}

static const struct virtio_type type = {
    .ops = {"virtio-blk", virtio_reset, destroy},
    .id = 2,
    .class_code = 0x010000, /* a SCSI controller, as drivers know it */
    .start = start,
    .kicked = kicked,
    .stop = stop,
    .stop_queue = stop_queue,
    .config_write = config_write,
};

static void fill_config(struct blk_config *c, const struct block_geometry *g, unsigned queues)
{
	const unsigned heads = 16, sectors = 63, cylinders_max = 16383; /* as old BIOSes count */
	uint64_t capacity = g->size / BLOCK_SECTOR, cylinders = capacity / heads / sectors;
	uint32_t ratio = g->physical_size / g->logical_size;

	*c = (struct blk_config){
	    .capacity = capacity,
	    .seg_max = BLK_SEGMENTS_MAX,
	    .cylinders = (uint16_t)(cylinders < cylinders_max ? cylinders : cylinders_max),
	    .heads = heads,
	    .sectors = sectors,
	    .blk_size = g->logical_size,
	    .min_io_size = 1,
	    .writeback = g->write_cache,
	    .num_queues = (uint16_t)queues,
	    .max_discard_sectors = BLK_DISCARD_MAX,
	    .max_discard_seg = 1,
	    .discard_sector_alignment = g->discard_granularity / BLOCK_SECTOR,
	    .max_write_zeroes_sectors = BLK_ZEROES_MAX,
	    .max_write_zeroes_seg = 1,
	    .write_zeroes_may_unmap = g->can_discard,
	};
	if (ratio > 1 && ratio <= UINT16_MAX) {
		c->physical_block_exp = (uint8_t)__builtin_ctz(ratio);
		c->min_io_size = (uint16_t)ratio;
	}
}

static uint64_t features(const struct block_geometry *g, unsigned queues)
{
	uint64_t f = VIRTQ_FEATURES | VIRTIO_F_ANY_LAYOUT | VIRTIO_BLK_F_SEG_MAX |
		     VIRTIO_BLK_F_GEOMETRY | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
		     VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE;

	if (queues > 1)
		f |= VIRTIO_BLK_F_MQ;
	if (g->read_only)
		return f | VIRTIO_BLK_F_RO;
	return f | VIRTIO_BLK_F_WRITE_ZEROES | (g->can_discard ? VIRTIO_BLK_F_DISCARD : 0);
}

static struct blk *allocate(unsigned queues)
{
	const size_t requests = VIRTIO_BLK_QUEUE_SIZE + 1;
	struct blk *b = calloc(1, sizeof(*b) + queues * sizeof(b->queue[0]));

	for (unsigned i = 0; b && i < queues; i++) {
		struct blk_queue *q = &b->queue[i];

		q->blk = b;
		q->requests = calloc(requests, sizeof(q->requests[0]));
		q->iov = calloc(requests * BLK_PIECES_MAX, sizeof(q->iov[0]));
		if (!q->requests || !q->iov) {
			free_blk(b, queues);
			return NULL;
		}
	}
	return b;
}

int virtio_blk_create(const struct virtio_blk_params *p, struct virtio_device **out)
{
	const struct block_geometry *g = block_geometry(p->disk);
	struct virtio_device_params device = {
	    .type = &type,
	    .mem = p->mem,
	    .loop = p->loop,
	    .features = features(g, p->queues),
	    .config_size = BLK_CONFIG_BYTES,
	    .queue_count = p->queues,
	    .queue_size = VIRTIO_BLK_QUEUE_SIZE,
	};
	struct blk *b;
	int err;

	assert(p->queues && p->queues <= VIRTIO_BLK_QUEUES_MAX);
	b = allocate(p->queues);
	if (!b)
		return -ENOMEM;
	err = virtio_device_init(&b->v, &device);
	if (err) {
		free_blk(b, p->queues);
		return err;
	}
	for (unsigned i = 0; i < p->queues; i++)
		b->queue[i].ring = &b->v.queue[i].ring;
	b->disk = p->disk;
	b->pass.fn = pass;
	fill_config(&b->config, g, p->queues);
	memcpy(b->v.config, &b->config, BLK_CONFIG_BYTES);
	if (p->serial)
		memcpy(b->serial, p->serial, strnlen(p->serial, sizeof(b->serial)));
	*out = &b->v;
	return 0;
}
