/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk.
 *
 * Theory of operation: Virtio 1.2, section 5.2. A kick takes every chain that is there, up to a
 * ring full, and submits each to the block layer, which hands a batch to the kernel at once. What
 * completes is pushed back as it comes; a task, posted behind the engine's, interrupts once a
 * queue for all of a pass of the loop.
 *
 * Requests are read by position in bytes and not by descriptor, so a driver may cut them anywhere:
 * the first 16 bytes to read are the header, the last byte to write is the status. That is what
 * VERSION_1 and ANY_LAYOUT ask for, and it covers the layout of older drivers.
 *
 * Whatever is wrong with a request is its status. Only a chain without room for a status cannot be
 * answered; it breaks the queue. A length that is handed back counts bytes that were written: all
 * of them when a request went well, the status alone when it did not.
 *
 * Writes are durable when done while the driver has no other way to make them so: it knows no
 * FLUSH, or turned the write cache off (5.2.6.2).
 *
 * A reset waits for what is in work and gives up the rest, held requests too. The block layer does
 * so for a whole disk, so the reset of one queue submits the others' requests anew.
 *
 * Threads: all on the loop's, but config_write(). Left out: SCSI commands and barriers of the
 * legacy interface (UNSUPP, and not offered), lifetime, secure erase.
 */
#include "virtio/blk.h"
#include "virtio/pieces.h"

#include <assert.h>
#include <errno.h>
#include <lodge/log.h>
#include <stdlib.h>
#include <string.h>

/* Header and status may share no element with data; a segment may lie in several regions of RAM. */
#define SEGMENTS_MAX   (VIRTIO_BLK_QUEUE_SIZE - 2)
#define PIECES_MAX     (SEGMENTS_MAX + 2 + GMEM_REGIONS_MAX)

#define DISCARD_MAX    (1u << 21) /* sectors of one request: 1 GiB */
#define ZEROES_MAX     (1u << 18) /* 128 MiB, as the host may have to write them */

#define ZEROES_F_UNMAP 1u

/* 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define SUBMITTED (-1) /* in place of a status */

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

/* 5.2.4 */
struct config {
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

#define CONFIG_BYTES (offsetof(struct config, unused1) + 3)
_Static_assert(offsetof(struct config, writeback) == 32 && CONFIG_BYTES == 60, "5.2.4");

struct request {
	struct block_request block;
	struct virtq_chain chain;
	struct blk_queue *queue;
	struct request *next; /* while free */
	uint8_t *status;      /* in guest memory */
};

struct blk_queue {
	struct blk *blk;
	struct virtq *ring;
	/* One more than chains can be in flight. Touched when first used only. */
	struct request *requests;
	struct iovec *iov;
	struct request *free;
	unsigned used; /* of requests, ever */
	unsigned in_flight;
	bool stopping;
	bool more;     /* chains may be left */
	bool answered; /* since the last interrupt */
};

struct blk {
	struct virtio_device v;
	struct block *disk;
	struct config config; /* as at power-on */
	char serial[VIRTIO_BLK_SERIAL_BYTES];
	atomic_bool write_through;
	unsigned in_flight;
	bool draining;
	enum { STOPPED, RUNNING, STOPPING, CLOSING } state;
	struct task pass;
	struct blk_queue queue[];
};

static struct blk *blk_of(struct virtio_device *v)
{
	return container_of(v, struct blk, v);
}

/* --- requests --- */

static struct request *get_request(struct blk_queue *q)
{
	struct request *r = q->free;

	if (r) {
		q->free = r->next;
		return r;
	}
	assert(q->used <= VIRTIO_BLK_QUEUE_SIZE);
	r = &q->requests[q->used];
	r->queue = q;
	r->chain.iov = &q->iov[(size_t)q->used * PIECES_MAX];
	r->chain.iov_max = PIECES_MAX;
	q->used++;
	return r;
}

static void put_request(struct request *r)
{
	r->next = r->queue->free;
	r->queue->free = r;
}

/* The last one out ends a reset that waits for it. */
static void end_flight(struct blk_queue *q)
{
	struct blk *b = q->blk;

	q->in_flight--;
	b->in_flight--;
	if (q->stopping && q->in_flight == 0) {
		q->stopping = false;
		virtio_queue_stopped(&b->v, q->ring);
	}
	if (b->state == STOPPING && b->in_flight == 0) {
		b->state = STOPPED;
		virtio_stopped(&b->v);
	}
}

static void begin_flight(struct blk_queue *q)
{
	q->in_flight++;
	q->blk->in_flight++;
}

static void answer(struct request *r, int status)
{
	struct blk_queue *q = r->queue;

	if (q->blk->state == RUNNING && !q->stopping && q->ring->running) {
		__atomic_store_n(r->status, (uint8_t)status, __ATOMIC_RELAXED);
		virtq_push(q->ring, &r->chain, status == S_OK ? (uint32_t)r->chain.in_bytes : 1);
		q->answered = true;
		loop_post(q->blk->v.loop, &q->blk->pass);
	}
	put_request(r);
	end_flight(q);
}

static void on_done(struct block_request *block, int err)
{
	struct request *r = container_of(block, struct request, block);
	struct blk *b = r->queue->blk;

	if (err == -ECANCELED && b->state == RUNNING && !r->queue->stopping)
		block_submit(b->disk, block);
	else if (err)
		answer(r, err == -EOPNOTSUPP ? S_UNSUPP : S_IOERR);
	else
		answer(r, S_OK);
}

static int reject(const char *why)
{
	log_guest(LOG_WARNING, "virtio-blk: refused a request: %s", why);
	return S_IOERR;
}

/* r->block has its op, flags and iov. What else is wrong with it, the block layer says. */
static int submit(struct request *r, uint64_t sector, uint64_t length)
{
	if (sector > UINT64_MAX / BLOCK_SECTOR)
		return reject("its sector is outside the disk");
	r->block.offset = sector * BLOCK_SECTOR;
	r->block.length = length;
	r->block.done = on_done;
	block_submit(r->queue->blk->disk, &r->block);
	return SUBMITTED;
}

/* Durable when done, if the driver cannot or will not flush. */
static unsigned durability(const struct request *r)
{
	return atomic_load_explicit(&r->queue->blk->write_through, memory_order_relaxed) ? BLOCK_FUA
											 : 0;
}

static int begin_read(struct request *r, const struct header *h, struct pieces out,
		      struct pieces in)
{
	if (out.count)
		return reject("a read with data");
	r->block = (struct block_request){.op = BLOCK_READ, .iov = in.iov, .iov_count = in.count};
	return submit(r, h->sector, r->chain.in_bytes - 1);
}

static int begin_write(struct request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	if (in.count)
		return reject("a write with room for data");
	r->block = (struct block_request){
	    .op = BLOCK_WRITE, .flags = durability(r), .iov = out.iov, .iov_count = out.count};
	return submit(r, h->sector, r->chain.out_bytes - sizeof(*h));
}

static int begin_flush(struct request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	(void)h;
	if (out.count || in.count)
		return reject("a flush with data");
	r->block = (struct block_request){.op = BLOCK_FLUSH};
	return submit(r, 0, 0);
}

static int begin_get_id(struct request *r, const struct header *h, struct pieces out,
			struct pieces in)
{
	const struct blk *b = r->queue->blk;

	(void)h;
	if (out.count || r->chain.in_bytes - 1 > sizeof(b->serial))
		return reject("bad length of a serial number");
	pieces_write(&in, b->serial, sizeof(b->serial));
	return S_OK;
}

/* Discard, write zeroes: one range, as max_*_seg say. */
static int begin_range(struct request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	bool zeroes = h->type == T_WRITE_ZEROES;
	struct range range;

	if (pieces_read(&out, &range, sizeof(range)) != sizeof(range) || out.count || in.count)
		return reject("bad length of a range");
	if (range.flags & ~(zeroes ? ZEROES_F_UNMAP : 0)) /* 5.2.6.2 */
		return S_UNSUPP;
	if (range.sectors > (zeroes ? ZEROES_MAX : DISCARD_MAX))
		return reject("a range of more sectors than were offered");
	r->block = (struct block_request){.op = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD};
	if (zeroes)
		r->block.flags = durability(r) | (range.flags ? BLOCK_MAY_UNMAP : 0);
	return submit(r, range.sector, (uint64_t)range.sectors * BLOCK_SECTOR);
}

static const struct {
	uint32_t type;
	uint64_t feature;
	int (*begin)(struct request *r, const struct header *h, struct pieces out,
		     struct pieces in);
} request_types[] = {
    {T_IN, 0, begin_read},
    {T_OUT, 0, begin_write},
    {T_FLUSH, VIRTIO_BLK_F_FLUSH, begin_flush},
    {T_GET_ID, 0, begin_get_id},
    {T_DISCARD, VIRTIO_BLK_F_DISCARD, begin_range},
    {T_WRITE_ZEROES, VIRTIO_BLK_F_WRITE_ZEROES, begin_range},
};

#define TYPE_COUNT (sizeof(request_types) / sizeof(request_types[0]))

/* A status, or SUBMITTED. */
static int begin(struct request *r, struct pieces in)
{
	struct pieces out = pieces_out(&r->chain);
	struct header h;

	if (pieces_read(&out, &h, sizeof(h)) != sizeof(h))
		return reject("shorter than its header");
	for (unsigned i = 0; i < TYPE_COUNT; i++) {
		if (request_types[i].type == h.type &&
		    virtio_has(&r->queue->blk->v, request_types[i].feature))
			return request_types[i].begin(r, &h, out, in);
	}
	return S_UNSUPP;
}

/* --- queues --- */

/* Takes the next chain. False: there is none, or the queue is broken. */
static bool take_chain(struct blk_queue *q)
{
	struct request *r = get_request(q);
	struct pieces in;
	int status;

	if (virtq_pop(q->ring, &r->chain) != 1) {
		put_request(r);
		return false;
	}
	if (r->chain.in_count == 0) {
		put_request(r);
		virtq_break(q->ring, "request without room for its status");
		return false;
	}
	in = pieces_in(&r->chain);
	r->status = pieces_take_last(&in);
	begin_flight(q);
	status = begin(r, in);
	if (status != SUBMITTED)
		answer(r, status);
	return true;
}

/* A driver that adds chains as fast as they are refused must not keep the loop. */
static void take_chains(struct blk_queue *q)
{
	unsigned left = VIRTIO_BLK_QUEUE_SIZE;

	while (left && take_chain(q))
		left--;
	q->more = left == 0;
}

static void kicked(struct virtio_device *v, struct virtq *ring)
{
	struct blk *b = blk_of(v);
	struct blk_queue *q = &b->queue[ring->index];

	if (b->state != RUNNING || q->stopping)
		return;
	take_chains(q);
	/* Behind the engine's task: what completes in there is told of in this pass of the loop. */
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
	begin_flight(q);
	drain(b);
	end_flight(q);
}

/* --- the device --- */

static void start(struct virtio_device *v)
{
	struct blk *b = blk_of(v);
	bool writeback;

	pthread_mutex_lock(&v->lock);
	if (!virtio_has(v, VIRTIO_BLK_F_FLUSH))
		v->config[offsetof(struct config, writeback)] = 0; /* 5.2.5.2 */
	writeback = v->config[offsetof(struct config, writeback)];
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
	memcpy(v->config, &b->config, CONFIG_BYTES);
	pthread_mutex_unlock(&v->lock);
	for (unsigned i = 0; i < v->queue_count; i++)
		b->queue[i].more = b->queue[i].answered = false;
	b->state = STOPPING;
	begin_flight(&b->queue[0]);
	drain(b);
	end_flight(&b->queue[0]);
}

/* The driver may write one field: whether the cache is on. */
static void config_write(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
			 unsigned size)
{
	const unsigned at = offsetof(struct config, writeback);
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

static void fill_config(struct config *c, const struct block_geometry *g, unsigned queues)
{
	const unsigned heads = 16, sectors = 63, cylinders_max = 16383; /* as old BIOSes count */
	uint64_t capacity = g->size / BLOCK_SECTOR, cylinders = capacity / heads / sectors;
	uint32_t ratio = g->physical_size / g->logical_size;

	*c = (struct config){
	    .capacity = capacity,
	    .seg_max = SEGMENTS_MAX,
	    .cylinders = (uint16_t)(cylinders < cylinders_max ? cylinders : cylinders_max),
	    .heads = heads,
	    .sectors = sectors,
	    .blk_size = g->logical_size,
	    .min_io_size = 1,
	    .writeback = g->write_cache,
	    .num_queues = (uint16_t)queues,
	    .max_discard_sectors = DISCARD_MAX,
	    .max_discard_seg = 1,
	    .discard_sector_alignment = g->discard_granularity / BLOCK_SECTOR,
	    .max_write_zeroes_sectors = ZEROES_MAX,
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
		q->iov = calloc(requests * PIECES_MAX, sizeof(q->iov[0]));
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
	    .config_size = CONFIG_BYTES,
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
	memcpy(b->v.config, &b->config, CONFIG_BYTES);
	if (p->serial)
		memcpy(b->serial, p->serial, strnlen(p->serial, sizeof(b->serial)));
	*out = &b->v;
	return 0;
}
