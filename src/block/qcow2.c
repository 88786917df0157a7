// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2 images: carrying out requests.
 *
 * Theory of operation. The loop's thread does what needs nothing but the cache of L2 tables: it
 * maps a piece of the request, and reads or writes the file there, asynchronously, or the backing
 * device; then the next piece. This is all that a disk in its steady state does.
 *
 * Whatever else there is to do, a worker does, one thread for each image: load a block of an L2
 * table, unpack a compressed cluster, give clusters a place in the file (qcow2_write.c), take it
 * away. Then the loop goes on with the request where it was, and finds what it needs. So code that
 * changes metadata is plain sequential code that waits for its I/O, in one thread, in an order that
 * can be read from top to bottom; and the order of writes is all that matters there. The price, a
 * change of threads, falls due on first writes only. The worker takes all jobs that wait at once,
 * so that they share the flush before their L2 entries.
 *
 * All metadata is written through to the file before a request is done: the death of the process
 * loses nothing that was done, and a flush is one fdatasync(2). What may stand in the file after a
 * loss of power is argued in qcow2_refcount.c and qcow2_write.c.
 *
 * A request that frees clusters (discard, write zeroes) is exclusive in its clusters: no transfer
 * may be under way to a cluster that is being given away. A write that must be durable by itself is
 * written so only when no metadata was written since the last flush, else a flush follows it.
 *
 * When a table contradicts itself the request gets -EIO, the image is marked corrupt where its
 * version can say that, and nothing is written to it any more.
 *
 * Left out: encryption, external data files, internal snapshots other than showing them, dirty
 * bitmaps (the autoclear bit that vouches for them is cleared), writing compressed clusters. Images
 * with the lazy refcounts feature are written with accurate refcounts all the same.
 */
#include "block/iov.h"
#include "block/qcow2.h"
#include "core/thread.h"

#include <lodge/log.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum job { JOB_NONE, JOB_LOAD, JOB_INFLATE, JOB_PREPARE, JOB_ZERO, JOB_DISCARD };

struct qcow2_slot {
	struct slot slot;
	struct file_op op;
	struct block_request below;
	uint64_t moved, taken; /* bytes of the request that are done, that are in work */
	bool must_sync;        /* a durable request wrote what is not */
	uint64_t synced;       /* metadata writes before the flush in work */
	enum job job;
	uint64_t job_length;
	int job_err;
	struct qcow2_slot *next_job;
	struct iovec part[IOV_MAX];
};

static void go_on(struct qcow2_slot *s);

static struct qcow2 *qcow2_of(const struct block *b)
{
	return b->state;
}

static void finish(struct qcow2_slot *s, int err)
{
	struct qcow2 *q = qcow2_of(s->slot.block);
	const char *corrupt = atomic_load(&q->corrupt);

	if (corrupt)
		block_freeze(q->block, corrupt);
	slot_finish(&s->slot, err);
}

/* --- the worker --- */

static void jobs_init(struct qcow2_job_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void jobs_add(struct qcow2_job_list *l, struct qcow2_slot *s)
{
	s->next_job = NULL;
	*l->end = s;
	l->end = &s->next_job;
}

static void give_job(struct qcow2_slot *s, enum job job, uint64_t length)
{
	struct qcow2 *q = qcow2_of(s->slot.block);

	s->job = job;
	s->job_length = length;
	pthread_mutex_lock(&q->job_lock);
	jobs_add(&q->todo, s);
	pthread_cond_signal(&q->job_cond);
	pthread_mutex_unlock(&q->job_lock);
}

static int inflate(struct qcow2 *q, struct qcow2_slot *s)
{
	const struct block_request *r = s->slot.request;
	uint64_t at = r->offset + s->moved;
	struct qcow2_mapping m;
	int err = qcow2_map(q, at, s->job_length, &m);

	s->job_length = 0;
	if (err || m.kind != QCOW2_DEFLATED)
		return err; /* it changed: the loop looks again */
	err = qcow2_inflate_cluster(q, m.host);
	if (err)
		return err;
	s->job_length = m.length;
	iov_fill(r->iov, r->iov_count, s->moved, q->cluster + (at & (q->cluster_size - 1)),
		 m.length);
	return 0;
}

static int do_job(struct qcow2 *q, struct qcow2_slot *s)
{
	const struct block_request *r = s->slot.request;
	uint64_t at = r->offset + s->moved;

	switch (s->job) {
	case JOB_LOAD:
		return qcow2_load_l2(q, at);
	case JOB_INFLATE:
		return inflate(q, s);
	case JOB_PREPARE:
		return qcow2_prepare(q, at, s->job_length);
	case JOB_ZERO:
		return qcow2_zero_clusters(q, at, s->job_length, r->flags & BLOCK_MAY_UNMAP, false);
	case JOB_DISCARD:
		return qcow2_zero_clusters(q, at, s->job_length, true, true);
	case JOB_NONE:
		break;
	}
	return 0;
}

/* What was prepared is linked at the latest here: jobs after it may touch the same tables. */
static void link_jobs(struct qcow2 *q, struct qcow2_slot *from, const struct qcow2_slot *to)
{
	int err = q->link_count ? qcow2_link(q) : 0;

	for (; err && from != to; from = from->next_job) {
		if (from->job == JOB_PREPARE && !from->job_err)
			from->job_err = err;
	}
}

static void do_jobs(struct qcow2 *q, struct qcow2_slot *jobs)
{
	struct qcow2_slot *unlinked = jobs, *s;

	pthread_mutex_lock(&q->work_lock);
	for (s = jobs; s; s = s->next_job) {
		if (s->job == JOB_ZERO || s->job == JOB_DISCARD ||
		    q->link_count == QCOW2_LINKS_MAX) {
			link_jobs(q, unlinked, s);
			unlinked = s;
		}
		s->job_err = atomic_load(&q->corrupt) && s->job > JOB_INFLATE ? -EIO : do_job(q, s);
	}
	link_jobs(q, unlinked, NULL);
	pthread_mutex_unlock(&q->work_lock);
}

static void *worker(void *arg)
{
	struct qcow2 *q = arg;
	struct qcow2_job_list jobs;
	bool marked = false;

	pthread_mutex_lock(&q->job_lock);
	for (;;) {
		while (!q->todo.first && !q->stop)
			pthread_cond_wait(&q->job_cond, &q->job_lock);
		if (!q->todo.first)
			break;
		jobs = q->todo;
		jobs_init(&q->todo);
		pthread_mutex_unlock(&q->job_lock);
		do_jobs(q, jobs.first);
		if (atomic_load(&q->corrupt) && !marked) {
			marked = true;
			pthread_mutex_lock(&q->work_lock);
			qcow2_mark_corrupt(q);
			pthread_mutex_unlock(&q->work_lock);
		}
		pthread_mutex_lock(&q->job_lock);
		*q->done.end = jobs.first;
		q->done.end = jobs.end;
		loop_post(q->block->loop, &q->deliver);
	}
	pthread_mutex_unlock(&q->job_lock);
	return NULL;
}

static void deliver(struct task *t)
{
	struct qcow2 *q = (struct qcow2 *)((char *)t - offsetof(struct qcow2, deliver));
	struct qcow2_slot *s, *next;

	pthread_mutex_lock(&q->job_lock);
	s = q->done.first;
	jobs_init(&q->done);
	pthread_mutex_unlock(&q->job_lock);
	for (; s; s = next) {
		next = s->next_job;
		if (s->job_err) {
			finish(s, s->job_err);
			continue;
		}
		if (s->job == JOB_INFLATE || s->job == JOB_ZERO || s->job == JOB_DISCARD)
			s->moved += s->job_length;
		if (s->job != JOB_LOAD && s->job != JOB_INFLATE)
			s->must_sync = s->slot.durable;
		go_on(s);
	}
}

/* --- pieces of a request, on the loop's thread --- */

static uint64_t left(const struct qcow2_slot *s)
{
	return s->slot.request->length - s->moved;
}

static void op_done(struct file_op *op, int err)
{
	struct qcow2_slot *s = (struct qcow2_slot *)((char *)op - offsetof(struct qcow2_slot, op));
	struct qcow2 *q = qcow2_of(s->slot.block);

	if (op->kind == IO_SYNC) {
		if (!err && s->synced > q->meta_synced)
			q->meta_synced = s->synced;
		finish(s, err);
	} else if (err) {
		finish(s, err);
	} else {
		s->moved += s->taken;
		go_on(s);
	}
}

static void below_done(struct block_request *r, int err)
{
	struct qcow2_slot *s =
	    (struct qcow2_slot *)((char *)r - offsetof(struct qcow2_slot, below));

	if (err) {
		finish(s, err);
		return;
	}
	s->moved += s->taken;
	go_on(s);
}

static void transfer(struct qcow2_slot *s, enum io_kind kind, uint64_t host, uint64_t length)
{
	struct qcow2 *q = qcow2_of(s->slot.block);
	const struct block_request *r = s->slot.request;

	s->taken = length;
	s->op.kind = kind;
	s->op.durable = false;
	s->op.end_is_zero = true;
	s->op.optional = false;
	s->op.offset = host;
	s->op.length = length;
	s->op.iov = r->iov;
	s->op.iov_count = r->iov_count;
	s->op.skip = s->moved;
	s->op.done = op_done;
	if (kind == IO_WRITE && s->slot.durable && !q->file->unsafe) {
		s->op.durable = !s->must_sync && atomic_load(&q->meta_writes) == q->meta_synced;
		s->must_sync |= !s->op.durable;
	} else if (kind == IO_ZERO && s->slot.durable) {
		s->must_sync = true;
	}
	file_submit(q->file, &s->op);
}

static void synchronize(struct qcow2_slot *s)
{
	struct qcow2 *q = qcow2_of(s->slot.block);
	int state = file_sync_state(q->file);

	if (state) {
		finish(s, state == -EIO ? -EIO : 0);
		return;
	}
	s->synced = atomic_load(&q->meta_writes);
	s->op.kind = IO_SYNC;
	s->op.done = op_done;
	file_submit(q->file, &s->op);
}

static void read_below(struct qcow2_slot *s, struct block *backing, uint64_t at, uint64_t length)
{
	const struct block_request *r = s->slot.request;

	s->below = (struct block_request){
	    .op = BLOCK_READ, .offset = at, .iov = s->part, .done = below_done};
	s->below.iov_count =
	    iov_part(s->part, IOV_MAX, r->iov, r->iov_count, s->moved, length, &s->taken);
	s->below.length = s->taken;
	block_submit(backing, &s->below);
}

/* Whether there is something to wait for. */
static bool read_piece(struct qcow2_slot *s, uint64_t at, const struct qcow2_mapping *m)
{
	const struct block_request *r = s->slot.request;
	struct block *backing = s->slot.block->backing;
	uint64_t n = m->length;

	if (m->kind == QCOW2_DATA) {
		transfer(s, IO_READ, m->host, n);
		return true;
	}
	if (m->kind == QCOW2_DEFLATED) {
		give_job(s, JOB_INFLATE, n);
		return true;
	}
	if (m->kind == QCOW2_UNALLOCATED && backing && at < backing->geometry.size) {
		if (n > backing->geometry.size - at)
			n = backing->geometry.size - at;
		read_below(s, backing, at, n);
		return true;
	}
	iov_zero(r->iov, r->iov_count, s->moved, n);
	s->moved += n;
	return false;
}

/* Zeroes in part of a cluster, or where the format cannot say zero: written, where need be. */
static bool zero_piece(struct qcow2_slot *s, const struct qcow2_mapping *m)
{
	if (m->kind == QCOW2_ZEROES || (m->kind == QCOW2_UNALLOCATED && !s->slot.block->backing)) {
		s->moved += m->length;
		return false;
	}
	if (m->kind == QCOW2_DATA && m->writable)
		transfer(s, IO_ZERO, m->host, m->length);
	else
		give_job(s, JOB_PREPARE, m->length);
	return true;
}

/* Whole clusters of what is left, from at on; 0 where it does not start with one. */
static uint64_t whole_clusters(const struct qcow2_slot *s, uint64_t at)
{
	uint64_t mask = qcow2_of(s->slot.block)->cluster_size - 1;
	uint64_t end = s->slot.request->offset + s->slot.request->length;

	/* The disk may end inside a cluster: nothing else is in what follows. */
	if (end == s->slot.block->geometry.size)
		end = (end + mask) & ~mask;
	return at & mask || end <= at ? 0 : (end & ~mask) - at;
}

/* Discard and write zeroes. True: there is something to wait for. */
static bool clear_piece(struct qcow2_slot *s, uint64_t at, const struct qcow2_mapping *m)
{
	struct qcow2 *q = qcow2_of(s->slot.block);
	bool discard = s->slot.request->op == BLOCK_DISCARD;
	bool can_say_zero = q->header.version >= 3 || !s->slot.block->backing;
	uint64_t n = whole_clusters(s, at), to_next;

	if (n && can_say_zero) {
		give_job(s, discard ? JOB_DISCARD : JOB_ZERO, n < left(s) ? n : left(s));
		return true;
	}
	if (!discard)
		return zero_piece(s, m);
	to_next = q->cluster_size - (at & (q->cluster_size - 1));
	s->moved += can_say_zero && to_next < left(s) ? to_next : left(s);
	return false;
}

/* Does the next piece. True: there is something to wait for. */
static bool piece(struct qcow2_slot *s)
{
	struct qcow2 *q = qcow2_of(s->slot.block);
	const struct block_request *r = s->slot.request;
	uint64_t at = r->offset + s->moved, n = left(s);
	struct qcow2_mapping m;
	int err;

	/* In a piece of zeroes nothing of the next cluster: that one may be whole. */
	if (r->op == BLOCK_WRITE_ZEROES && n > q->cluster_size - (at & (q->cluster_size - 1)))
		n = q->cluster_size - (at & (q->cluster_size - 1));
	pthread_mutex_lock(&q->lock);
	err = qcow2_map_cached(q, at, n, &m);
	pthread_mutex_unlock(&q->lock);
	if (err == -EAGAIN) {
		give_job(s, JOB_LOAD, 0);
		return true;
	}
	if (err) {
		/* The worker meets it too, and marks the image. */
		give_job(s, JOB_INFLATE, n);
		return true;
	}
	if (r->op == BLOCK_READ)
		return read_piece(s, at, &m);
	if (r->op != BLOCK_WRITE)
		return clear_piece(s, at, &m);
	if (m.kind == QCOW2_DATA && m.writable)
		transfer(s, IO_WRITE, m.host, m.length);
	else
		give_job(s, JOB_PREPARE, n);
	return true;
}

static void go_on(struct qcow2_slot *s)
{
	while (left(s)) {
		if (piece(s))
			return;
	}
	if (s->must_sync)
		synchronize(s);
	else
		finish(s, 0);
}

static void qcow2_start(struct block *b, struct slot *slot)
{
	struct qcow2_slot *s = (struct qcow2_slot *)slot;

	s->moved = 0;
	s->must_sync = false;
	if (slot->request->op == BLOCK_FLUSH)
		synchronize(s);
	else if (slot->durable && slot->request->op != BLOCK_READ &&
		 file_sync_state(qcow2_of(b)->file) == -EIO)
		finish(s, -EIO);
	else
		go_on(s);
}

static bool qcow2_exclusive(const struct block *b, const struct block_request *r)
{
	(void)b;
	return r->op == BLOCK_DISCARD || r->op == BLOCK_WRITE_ZEROES;
}

/* One piece of what somebody above wants; at most to the end of what maps alike. */
static int read_piece_now(struct block *b, uint64_t at, uint8_t *buffer, uint64_t n, uint64_t *done)
{
	struct qcow2 *q = qcow2_of(b);
	struct qcow2_mapping m;
	int err = qcow2_map(q, at, n, &m);

	if (err)
		return err;
	*done = m.length;
	switch (m.kind) {
	case QCOW2_DATA:
		return file_read_now(q->file, m.host, buffer, m.length, false);
	case QCOW2_DEFLATED:
		err = qcow2_inflate_cluster(q, m.host);
		if (!err)
			memcpy(buffer, q->cluster + (at & (q->cluster_size - 1)), m.length);
		return err;
	case QCOW2_UNALLOCATED:
		if (b->backing)
			return b->backing->driver->read_now(b->backing, at, buffer, m.length);
		break;
	case QCOW2_ZEROES:
		break;
	}
	memset(buffer, 0, m.length);
	return 0;
}

static int qcow2_read_now(struct block *b, uint64_t offset, void *buffer, size_t n)
{
	struct qcow2 *q = qcow2_of(b);
	uint8_t *to = buffer;
	uint64_t done;
	int err = 0;

	pthread_mutex_lock(&q->work_lock);
	while (n && offset < b->geometry.size && !err) {
		uint64_t part = b->geometry.size - offset < n ? b->geometry.size - offset : n;

		err = read_piece_now(b, offset, to, part, &done);
		if (!err) {
			offset += done;
			to += done;
			n -= done;
		}
	}
	pthread_mutex_unlock(&q->work_lock);
	memset(to, 0, n);
	return err;
}

static void stop_worker(struct qcow2 *q)
{
	if (!q->thread_runs)
		return;
	pthread_mutex_lock(&q->job_lock);
	q->stop = true;
	pthread_cond_signal(&q->job_cond);
	pthread_mutex_unlock(&q->job_lock);
	pthread_join(q->thread, NULL);
}

static void qcow2_close(struct block *b)
{
	struct qcow2 *q = qcow2_of(b);
	int err;

	if (!q)
		return;
	stop_worker(q);
	if (q->thread_runs && q->writable && !atomic_load(&q->corrupt)) {
		err = qcow2_settle_refcounts(q);
		if (err)
			log_error("%s: closing: %s; run qemu-img check", b->name, strerror(-err));
	}
	qcow2_cache_destroy(q);
	qcow2_inflate_destroy(q);
	free(q->l1);
	free(q->reftable);
	file_close(q->file);
	pthread_cond_destroy(&q->job_cond);
	pthread_mutex_destroy(&q->job_lock);
	pthread_mutex_destroy(&q->work_lock);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

const struct driver qcow2_driver = {
    .slot_bytes = sizeof(struct qcow2_slot),
    .start = qcow2_start,
    .exclusive = qcow2_exclusive,
    .read_now = qcow2_read_now,
    .close = qcow2_close,
};

int qcow2_start_worker(struct qcow2 *q)
{
	int err;

	q->deliver.fn = deliver;
	jobs_init(&q->todo);
	jobs_init(&q->done);
	err = thread_start(&q->thread, "qcow2", worker, q);
	q->thread_runs = !err;
	return err;
}
