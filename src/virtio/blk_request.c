/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: requests, from a chain to its answer. Virtio 1.2, section 5.2.6.
 *
 * Requests are read by position in bytes and not by descriptor, so a driver may cut them anywhere:
 * the first 16 bytes to read are the header, the last byte to write is the status. That is what
 * VERSION_1 and ANY_LAYOUT ask for, and it covers the layout of older drivers.
 *
 * Whatever is wrong with a request is its status. Only a chain without room for a status cannot be
 * answered; it breaks the queue. A length that is handed back counts bytes that were written: all
 * of them when a request went well, the status alone when it did not.
 *
 * Left out: SCSI commands and barriers of the legacy interface (UNSUPP, and not offered), lifetime,
 * secure erase.
 */
#include "virtio/blk_internal.h"

#include <assert.h>
#include <errno.h>
#include <lodge/log.h>

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

static struct blk_request *get_request(struct blk_queue *q)
{
	struct blk_request *r = q->free;

	if (r) {
		q->free = r->next;
		return r;
	}
	assert(q->used <= VIRTIO_BLK_QUEUE_SIZE);
	r = &q->requests[q->used];
	r->queue = q;
	r->chain.iov = &q->iov[(size_t)q->used * BLK_PIECES_MAX];
	r->chain.iov_max = BLK_PIECES_MAX;
	q->used++;
	return r;
}

static void put_request(struct blk_request *r)
{
	r->next = r->queue->free;
	r->queue->free = r;
}

void virtio_blk_end_flight(struct blk_queue *q)
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

void virtio_blk_begin_flight(struct blk_queue *q)
{
	q->in_flight++;
	q->blk->in_flight++;
}

static void answer(struct blk_request *r, int status)
{
	struct blk_queue *q = r->queue;

	if (q->blk->state == RUNNING && !q->stopping && q->ring->running) {
		__atomic_store_n(r->status, (uint8_t)status, __ATOMIC_RELAXED);
		virtq_push(q->ring, &r->chain, status == S_OK ? (uint32_t)r->chain.in_bytes : 1);
		q->answered = true;
		loop_post(q->blk->v.loop, &q->blk->pass);
	}
	put_request(r);
	virtio_blk_end_flight(q);
}

static void on_done(struct block_request *block, int err)
{
	struct blk_request *r = container_of(block, struct blk_request, block);
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
static int submit(struct blk_request *r, uint64_t sector, uint64_t length)
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
static unsigned durability(const struct blk_request *r)
{
	return atomic_load_explicit(&r->queue->blk->write_through, memory_order_relaxed) ? BLOCK_FUA
											 : 0;
}

static int begin_read(struct blk_request *r, const struct header *h, struct pieces out,
		      struct pieces in)
{
	if (out.count)
		return reject("a read with data");
	r->block = (struct block_request){.op = BLOCK_READ, .iov = in.iov, .iov_count = in.count};
	return submit(r, h->sector, r->chain.in_bytes - 1);
}

static int begin_write(struct blk_request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	if (in.count)
		return reject("a write with room for data");
	r->block = (struct block_request){
	    .op = BLOCK_WRITE, .flags = durability(r), .iov = out.iov, .iov_count = out.count};
	return submit(r, h->sector, r->chain.out_bytes - sizeof(*h));
}

static int begin_flush(struct blk_request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	(void)h;
	if (out.count || in.count)
		return reject("a flush with data");
	r->block = (struct block_request){.op = BLOCK_FLUSH};
	return submit(r, 0, 0);
}

static int begin_get_id(struct blk_request *r, const struct header *h, struct pieces out,
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
static int begin_range(struct blk_request *r, const struct header *h, struct pieces out,
		       struct pieces in)
{
	bool zeroes = h->type == T_WRITE_ZEROES;
	struct range range;

	if (pieces_read(&out, &range, sizeof(range)) != sizeof(range) || out.count || in.count)
		return reject("bad length of a range");
	if (range.flags & ~(zeroes ? ZEROES_F_UNMAP : 0)) /* 5.2.6.2 */
		return S_UNSUPP;
	if (range.sectors > (zeroes ? BLK_ZEROES_MAX : BLK_DISCARD_MAX))
		return reject("a range of more sectors than were offered");
	r->block = (struct block_request){.op = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD};
	if (zeroes)
		r->block.flags = durability(r) | (range.flags ? BLOCK_MAY_UNMAP : 0);
	return submit(r, range.sector, (uint64_t)range.sectors * BLOCK_SECTOR);
}

static const struct {
	uint32_t type;
	uint64_t feature;
	int (*begin)(struct blk_request *r, const struct header *h, struct pieces out,
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
static int begin(struct blk_request *r, struct pieces in)
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

bool virtio_blk_take_chain(struct blk_queue *q)
{
	struct blk_request *r = get_request(q);
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
	virtio_blk_begin_flight(q);
	status = begin(r, in);
	if (status != SUBMITTED)
		answer(r, status);
	return true;
}
