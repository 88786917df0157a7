// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A loop that sleeps in its io_uring(7), by liburing.
 *
 * Theory of operation: a watch is a poll in the ring. An edge-triggered one is a multishot poll,
 * which stays and answers at each wake-up of its descriptor; a level-triggered one answers once and
 * is put in again before the next sleep. Polls that have to be put in or taken out are found by
 * their slot's `stale`, in the loop's thread only, since the ring is that thread's; the call that
 * sleeps carries them too.
 *
 * The kernel completes what a thread submitted in that thread. So polls are put in anew when
 * another thread begins to run the loop.
 *
 * user_data is 0 for what nobody waits for, has bit 63 for polls, and else points to a ring_op.
 *
 * Needed: Linux 5.13, for multishot polls. COOP_TASKRUN (5.19) spares the thread interruptions. It
 * is also why completions are often seen without a system call: each one that the thread makes for
 * other reasons brings them. DEFER_TASKRUN would take that away. liburing is linked statically:
 * most of it is inline functions that fit one version of its library only.
 */
#include <lodge/loop_ring.h>

#include "core/loop_internal.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define ENTRIES     256u
#define FILES_MAX   64u
#define DATA_NOBODY 0ull
#define DATA_POLL   (1ull << 63)

struct loop_ring {
	struct io_uring ring;
	bool wake_polled;
	bool files_registered;
	int file[FILES_MAX]; /* -1: free */
};

/* --- submitting --- */

struct io_uring_sqe *loop_ring_sqe(struct loop *l)
{
	struct io_uring *ring = &l->ring->ring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe && io_uring_submit(ring) > 0)
		sqe = io_uring_get_sqe(ring);
	return sqe;
}

bool loop_ring_signal(struct loop *l, int fd)
{
	static const uint64_t one = 1;
	struct io_uring_sqe *sqe = NULL;

	/* Its completion would end the sleep. */
	if (l->ring->ring.features & IORING_FEAT_CQE_SKIP)
		sqe = loop_ring_sqe(l);
	if (!sqe)
		return false;
	io_uring_prep_write(sqe, fd, &one, sizeof(one), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = DATA_NOBODY;
	return true;
}

void loop_ring_submit(struct loop *l)
{
	if (io_uring_sq_ready(&l->ring->ring))
		io_uring_submit(&l->ring->ring);
}

int loop_ring_file(struct loop *l, int fd)
{
	struct loop_ring *r = l->ring;
	int vacant = -1;

	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (r->file[i] == fd)
			return (int)i;
		if (r->file[i] < 0 && vacant < 0)
			vacant = (int)i;
	}
	if (!r->files_registered || vacant < 0 ||
	    io_uring_register_files_update(&r->ring, (unsigned)vacant, &fd, 1) != 1)
		return -1;
	r->file[vacant] = fd;
	return vacant;
}

void loop_ring_forget_file(struct loop *l, int fd)
{
	struct loop_ring *r = l->ring;
	int none = -1;

	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (r->file[i] == fd) {
			io_uring_register_files_update(&r->ring, i, &none, 1);
			r->file[i] = -1;
		}
	}
}

/* --- polls --- */

void loop_ring_change(struct loop *l, struct slot *s)
{
	l->stale_count += !s->stale;
	s->stale = true;
}

void loop_ring_cancel(struct loop *l, struct slot *s)
{
	struct io_uring_sqe *sqe = s->polled ? loop_ring_sqe(l) : NULL;

	/* If the kernel takes none now, the poll stays, and its answers find another generation. */
	if (sqe) {
		io_uring_prep_poll_remove(sqe, DATA_POLL | slot_data(l, s));
		sqe->user_data = DATA_NOBODY;
	}
	s->generation++;
	s->polled = false;
	l->stale_count -= s->stale;
	s->stale = false;
}

/* False: the kernel takes none now. */
static bool put_in(struct loop *l, int fd, uint32_t events, uint64_t data)
{
	struct io_uring_sqe *sqe = loop_ring_sqe(l);

	if (!sqe)
		return false;
	if (events & EPOLLET)
		io_uring_prep_poll_multishot(sqe, fd, events & ~(uint32_t)EPOLLET);
	else
		io_uring_prep_poll_add(sqe, fd, events);
	sqe->user_data = data;
	return true;
}

static void put_in_stale(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; l->stale_count && i < l->slot_count; i++) {
		struct slot *s = &l->slots[i];

		if (!s->stale)
			continue;
		loop_ring_cancel(l, s);
		if (s->watch->events)
			s->polled =
			    put_in(l, s->watch->fd, s->watch->events, DATA_POLL | slot_data(l, s));
		if (s->watch->events && !s->polled) {
			loop_ring_change(l, s);
			break;
		}
	}
	pthread_mutex_unlock(&l->lock);
	if (!l->ring->wake_polled)
		l->ring->wake_polled = put_in(l, l->wake_fd, EPOLLIN | EPOLLET, WAKE_DATA);
}

/* --- rounds --- */

/* Whether it was somebody's. */
static bool dispatch(struct loop *l, uint64_t data, int result, unsigned flags)
{
	bool ended = !(flags & IORING_CQE_F_MORE);
	uint32_t events = result < 0 ? EPOLLERR : (uint32_t)result;
	struct ring_op *op;
	struct watch *w;

	if (data == DATA_NOBODY)
		return false;
	if (data == WAKE_DATA) {
		l->ring->wake_polled = !ended;
		return false;
	}
	if (data & DATA_POLL) {
		w = loop_take_event(l, data & ~DATA_POLL, ended, &events);
		/* Cancelled with the thread that put it in. */
		if (!w || result == -ECANCELED)
			return false;
		w->fn(w, events);
		return true;
	}
	/* As the kernel gives it back: a number. */
	op = (struct ring_op *)(uintptr_t)data; /* NOLINT(performance-no-int-to-ptr) */
	op->done(op, result);
	return true;
}

/* At most what the ring holds, so that timers and tasks get their turn. */
static int reap(struct loop *l)
{
	struct io_uring *ring = &l->ring->ring;
	struct io_uring_cqe *cqe;
	int ran = 0;

	for (unsigned n = 0; n < 2 * ENTRIES && io_uring_peek_cqe(ring, &cqe) == 0; n++) {
		uint64_t data = cqe->user_data;
		unsigned flags = cqe->flags;
		int result = cqe->res;

		io_uring_cqe_seen(ring, cqe);
		ran += dispatch(l, data, result, flags);
	}
	return ran;
}

/* Submits what there is, and waits if nothing has completed yet. */
static int submit_and_wait(struct io_uring *ring, uint64_t ns)
{
	struct __kernel_timespec ts = {
	    .tv_sec = (long long)(ns / NS_PER_S),
	    .tv_nsec = (long long)(ns % NS_PER_S),
	};
	struct io_uring_cqe *cqe;

	if (ns == 0 || io_uring_cq_ready(ring))
		return io_uring_sq_ready(ring) ? io_uring_submit(ring) : 0;
	if (ns == NEVER_NS)
		return io_uring_submit_and_wait(ring, 1);
	return io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);
}

int loop_ring_poll(struct loop *l, uint64_t ns)
{
	int err, ran;

	put_in_stale(l);
	err = submit_and_wait(&l->ring->ring, ns);
	if (ns)
		loop_end_sleep(l);
	ran = reap(l);
	/* Short of memory, or completions have to be taken first: the next round tries again. */
	if (err >= 0 || ran || err == -EINTR || err == -ETIME || err == -EAGAIN || err == -EBUSY)
		return ran;
	return err;
}

/* --- life --- */

/* All polls are put in anew, by the thread that runs the loop next. */
static void renew_polls(struct loop *l)
{
	struct io_uring_sqe *sqe = l->ring->wake_polled ? loop_ring_sqe(l) : NULL;

	if (sqe) {
		io_uring_prep_poll_remove(sqe, WAKE_DATA);
		sqe->user_data = DATA_NOBODY;
		l->ring->wake_polled = false;
	}
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->slot_count; i++) {
		if (l->slots[i].watch && l->slots[i].polled)
			loop_ring_change(l, &l->slots[i]);
	}
	pthread_mutex_unlock(&l->lock);
}

void loop_ring_enter_thread(struct loop *l)
{
	(void)io_uring_register_ring_fd(&l->ring->ring);
	renew_polls(l);
}

void loop_ring_leave_thread(struct loop *l)
{
	renew_polls(l);
	loop_ring_submit(l);
	(void)io_uring_unregister_ring_fd(&l->ring->ring);
}

static bool has_operations(struct io_uring *ring, const int *needed, unsigned count)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool all = probe != NULL;

	for (unsigned i = 0; all && i < count; i++)
		all = io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	/* Of the same release as multishot polls, which have no mark of their own. */
	return all && ring->features & IORING_FEAT_RSRC_TAGS;
}

static int set_up(struct loop_ring *r, const int *needed, unsigned count)
{
	const unsigned flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	int err = io_uring_queue_init(ENTRIES, &r->ring, flags);

	if (err == -EINVAL)
		err = io_uring_queue_init(ENTRIES, &r->ring, 0);
	if (err)
		return err;
	if (!has_operations(&r->ring, needed, count)) {
		io_uring_queue_exit(&r->ring);
		return -ENOSYS;
	}
	for (unsigned i = 0; i < FILES_MAX; i++)
		r->file[i] = -1;
	r->files_registered = io_uring_register_files(&r->ring, r->file, FILES_MAX) == 0;
	return 0;
}

int loop_ring_open(struct loop *l, const int *needed, unsigned count)
{
	struct loop_ring *r;
	int err;

	if (l->ring)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = set_up(r, needed, count);
	if (err) {
		free(r);
		return err;
	}
	pthread_mutex_lock(&l->lock);
	l->ring = r;
	for (unsigned i = 0; i < l->slot_count; i++) {
		struct slot *s = &l->slots[i];

		if (s->watch && s->polled)
			epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->watch->fd, NULL);
		s->polled = false;
		if (s->watch)
			loop_ring_change(l, s);
	}
	pthread_mutex_unlock(&l->lock);
	return 0;
}

void loop_ring_close(struct loop *l)
{
	if (!l->ring)
		return;
	io_uring_queue_exit(&l->ring->ring);
	free(l->ring);
}
