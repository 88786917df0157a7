// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What all block devices have in common.
 *
 * Theory of operation: a request is checked, then stands in the list of those that wait, and starts
 * in order of arrival when there is a slot, the device is neither paused nor drained, and nothing
 * in work forbids it. A format may say that a request is exclusive: it then shares its units with
 * no other, as one that frees clusters must not run beside one that still writes them. Who finds
 * the way barred bars it for those behind; that is simple, and nobody starves.
 *
 * Requests that end while one is being started are answered by a task, so that done() is never
 * called inside block_submit().
 *
 * A request that fails for want of space, or where so wished by any error, is held, and the device
 * is paused: what is in work goes on, nothing new starts, until somebody mends the cause and calls
 * block_resume(). A flush is never held: after a failed fdatasync(2) a second one that succeeds
 * means nothing, so the guest must hear of the first.
 */
#include "block/driver.h"
#include "block/iov.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <lodge/log.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void queue_init(struct block_queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_add(struct block_queue *q, struct block_request *r)
{
	r->next = NULL;
	*q->end = r;
	q->end = &r->next;
}

static struct block_request *queue_take(struct block_queue *q)
{
	struct block_request *r = q->first;

	if (r) {
		q->first = r->next;
		if (!q->first)
			q->end = &q->first;
	}
	return r;
}

static void notify(struct block *b, enum block_event_kind kind, const struct block_request *r,
		   int err, const char *detail)
{
	struct block_event e = {.kind = kind, .err = err, .detail = detail};

	if (r) {
		e.op = r->op;
		e.offset = r->offset;
	}
	if (b->observe)
		b->observe(b->observe_arg, &e);
}

/* --- checks --- */

static bool writes(const struct block_request *r)
{
	return r->op == BLOCK_WRITE || r->op == BLOCK_DISCARD || r->op == BLOCK_WRITE_ZEROES;
}

/* 0, or why the request cannot be done. */
static int check(const struct block *b, const struct block_request *r)
{
	const struct block_geometry *g = &b->geometry;
	bool data = r->op == BLOCK_READ || r->op == BLOCK_WRITE;

	if (r->op == BLOCK_FLUSH)
		return 0;
	if ((r->offset | r->length) % BLOCK_SECTOR || r->length > g->size ||
	    r->offset > g->size - r->length)
		return -EINVAL;
	if (data && (r->iov_count > IOV_MAX || iov_length(r->iov, r->iov_count) != r->length))
		return -EINVAL;
	if (writes(r) && g->read_only)
		return -EROFS;
	if (r->op == BLOCK_DISCARD && !g->can_discard)
		return -EOPNOTSUPP;
	return writes(r) && b->frozen ? -EIO : 0;
}

/* --- starting --- */

static bool shares_unit(const struct block *b, const struct block_request *x,
			const struct block_request *y)
{
	uint64_t mask = ~(b->unit - 1);

	if (!x->length || !y->length)
		return false;
	return (x->offset & mask) <= ((y->offset + y->length - 1) & mask) &&
	       (y->offset & mask) <= ((x->offset + x->length - 1) & mask);
}

/* Whether something in work keeps r from starting. */
static bool is_barred(const struct block *b, const struct block_request *r, bool exclusive)
{
	if (!exclusive && !b->exclusive_count)
		return false;
	for (const struct slot *s = b->in_work; s; s = s->next) {
		if ((exclusive || s->exclusive) && shares_unit(b, s->request, r))
			return true;
	}
	return false;
}

static void start(struct block *b, struct block_request *r, bool exclusive)
{
	struct slot *s = b->free;

	b->free = s->next;
	s->next = b->in_work;
	if (s->next)
		s->next->link = &s->next;
	s->link = &b->in_work;
	b->in_work = s;
	b->in_work_count++;
	b->exclusive_count += exclusive;
	s->exclusive = exclusive;
	s->block = b;
	s->request = r;
	s->durable = b->write_through || (r->flags & BLOCK_FUA);
	b->starting++;
	b->driver->start(b, s);
	b->starting--;
}

/* Starts what can be started. */
static void pump(struct block *b)
{
	struct block_request *r;
	bool exclusive;

	while ((r = b->waiting.first) && b->free && !b->paused && !b->draining) {
		if (check(b, r)) { /* frozen since it came */
			queue_take(&b->waiting);
			r->status = -EIO;
			queue_add(&b->rejected, r);
			loop_post(b->loop, &b->deliver);
			continue;
		}
		exclusive = b->driver->exclusive && b->driver->exclusive(b, r);
		if (is_barred(b, r, exclusive))
			break;
		queue_take(&b->waiting);
		start(b, r, exclusive);
	}
}

void block_submit(struct block *b, struct block_request *r)
{
	int err = check(b, r);

	if (err || (r->op != BLOCK_FLUSH && r->length == 0)) {
		r->status = err;
		queue_add(&b->rejected, r);
		loop_post(b->loop, &b->deliver);
		return;
	}
	queue_add(&b->waiting, r);
	pump(b);
}

/* --- ending --- */

static void count(struct block *b, const struct block_request *r, int err)
{
	b->counters.requests[r->op]++;
	if (err)
		b->counters.errors++;
	else
		b->counters.bytes[r->op] += r->length;
}

static bool is_to_pause(const struct block *b, const struct block_request *r, int err)
{
	if (r->op == BLOCK_FLUSH || b->frozen)
		return false;
	return (err == -ENOSPC || err == -EDQUOT ? b->on_enospc : b->on_eio) == BLOCK_PAUSE;
}

static void fail(struct block *b, struct block_request *r, int err)
{
	if (is_to_pause(b, r, err)) {
		queue_add(&b->held, r);
		if (!b->paused) {
			b->paused = true;
			b->counters.pauses++;
			notify(b, BLOCK_EVENT_PAUSED, r, err, NULL);
		}
		return;
	}
	notify(b, BLOCK_EVENT_ERROR, r, err, NULL);
	count(b, r, err);
	r->done(r, err);
}

static void announce_drained(struct block *b)
{
	void (*fn)(void *arg) = b->drained;

	if (b->in_work_count || !b->draining || !fn)
		return;
	b->drained = NULL;
	fn(b->drained_arg);
}

static void end(struct slot *s, int err)
{
	struct block *b = s->block;
	struct block_request *r = s->request;

	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->next = b->free;
	b->free = s;
	b->in_work_count--;
	b->exclusive_count -= s->exclusive;
	if (err) {
		fail(b, r, err);
	} else {
		count(b, r, 0);
		r->done(r, 0);
	}
	pump(b);
	announce_drained(b);
}

static struct slot *take_finished(struct block *b)
{
	struct slot *s = b->finished;

	if (s) {
		b->finished = s->finished_next;
		if (!b->finished)
			b->finished_end = &b->finished;
	}
	return s;
}

void slot_finish(struct slot *s, int err)
{
	struct block *b = s->block;

	if (!b->starting) {
		end(s, err);
		return;
	}
	s->err = err;
	s->finished_next = NULL;
	*b->finished_end = s;
	b->finished_end = &s->finished_next;
	loop_post(b->loop, &b->deliver);
}

static void deliver(struct task *t)
{
	struct block *b = container_of(t, struct block, deliver);
	struct block_request *r;
	struct slot *s;

	while ((s = take_finished(b)))
		end(s, s->err);
	while ((r = queue_take(&b->rejected))) {
		count(b, r, r->status);
		r->done(r, r->status);
	}
}

/* --- states --- */

void block_drain(struct block *b, void (*fn)(void *arg), void *arg)
{
	assert(!b->draining);
	b->draining = true;
	b->drained = fn;
	b->drained_arg = arg;
	announce_drained(b);
}

void block_undrain(struct block *b)
{
	b->draining = false;
	b->drained = NULL;
	pump(b);
}

bool block_paused(const struct block *b)
{
	return b->paused;
}

void block_resume(struct block *b)
{
	if (!b->paused)
		return;
	b->paused = false;
	if (b->held.first) {
		*b->held.end = b->waiting.first;
		if (!b->waiting.first)
			b->waiting.end = b->held.end;
		b->waiting.first = b->held.first;
		queue_init(&b->held);
	}
	pump(b);
}

void block_cancel(struct block *b)
{
	struct block_queue lists[2] = {b->held, b->waiting};
	struct block_request *r;

	queue_init(&b->held);
	queue_init(&b->waiting);
	b->paused = false;
	for (unsigned i = 0; i < 2; i++) {
		while ((r = lists[i].first)) {
			lists[i].first = r->next;
			count(b, r, -ECANCELED);
			r->done(r, -ECANCELED);
		}
	}
}

void block_freeze(struct block *b, const char *detail)
{
	if (b->frozen)
		return;
	b->frozen = true;
	log_error("%s: corrupt image: %s; it is no longer written", b->name, detail);
	notify(b, BLOCK_EVENT_CORRUPT, NULL, -EIO, detail);
}

/* --- life --- */

struct block *block_new(const char *name, struct loop *l, struct engine *e)
{
	struct block *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->name = strdup(name);
	if (!b->name) {
		free(b);
		return NULL;
	}
	b->loop = l;
	b->engine = e;
	b->unit = BLOCK_SECTOR;
	b->deliver.fn = deliver;
	b->finished_end = &b->finished;
	queue_init(&b->waiting);
	queue_init(&b->held);
	queue_init(&b->rejected);
	return b;
}

int block_prepare(struct block *b, const struct driver *d, unsigned depth)
{
	b->driver = d;
	b->slots = calloc(depth, d->slot_bytes);
	if (!b->slots)
		return -ENOMEM;
	for (unsigned i = depth; i-- > 0;) {
		struct slot *s = (struct slot *)((char *)b->slots + i * d->slot_bytes);

		s->next = b->free;
		b->free = s;
	}
	return 0;
}

static bool is_busy(const struct block *b)
{
	return b->in_work_count || b->finished || b->rejected.first || b->deliver.queued;
}

static void step_or_nap(struct block *b)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	if (!loop_step(b->loop))
		nanosleep(&pause, NULL);
}

bool block_settle(struct block *b, uint64_t limit_ns)
{
	uint64_t now = clock_now_ns(clock_host()), until = now + limit_ns;
	unsigned left = b->in_work_count;

	b->draining = true;
	b->drained = NULL;
	while (is_busy(b) && now < until) {
		step_or_nap(b);
		now = clock_now_ns(clock_host());
		if (b->in_work_count < left)
			until = now + limit_ns;
		left = b->in_work_count;
	}
	return !is_busy(b);
}

void block_close(struct block *b)
{

	if (!b)
		return;
	block_cancel(b);
	while (is_busy(b))
		step_or_nap(b);
	if (b->driver)
		b->driver->close(b);
	block_close(b->backing);
	if (b->owns_engine)
		engine_destroy(b->engine);
	free(b->slots);
	free(b->name);
	free(b);
}

const struct block_geometry *block_geometry(const struct block *b)
{
	return &b->geometry;
}

const struct block_counters *block_counters(const struct block *b)
{
	return &b->counters;
}

const char *block_engine_name(const struct block *b)
{
	return b->engine->ops->name;
}

void block_observe(struct block *b, void (*fn)(void *arg, const struct block_event *e), void *arg)
{
	b->observe = fn;
	b->observe_arg = arg;
}
