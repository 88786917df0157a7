/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writing end of a stream. */
/*
 * Theory of operation: sink_write() copies into the ring under a mutex that is only ever held for a
 * copy, so no reader can make a vCPU wait. The first byte into an idle sink sets a timer; 5 ms
 * later the loop writes all that has come by then, so that a line costs one write(2) and not
 * eighty. A ring that is half full hurries it.
 *
 * Bytes go from the ring to the stage, 4 KiB at a time, and from there to the descriptor; what is
 * in the stage can no longer be dropped. When bytes were dropped before those that come next, the
 * stage starts with a mark that says how many.
 *
 * A descriptor that can say "not now" (SINK_POLL, SINK_SEND) is written by the loop. O_NONBLOCK
 * is a property of the open file description, which may be shared with the user's shell, so such
 * descriptors are ours alone (stdio.c). A regular file never says "not now": write(2) to a dead NFS
 * server sleeps for as long as that takes. Such a file is written by a thread (sink_thread.c).
 */
#include "console/sink.h"
#include "console/sink_thread.h"

#include <assert.h>
#include <errno.h>
#include <lodge/log.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Stages written in one call of the loop before others get their turn. */
#define STAGES_A_TURN 16u

static void sink_timer(struct timer *t);
static void sink_writable(struct watch *w, uint32_t revents);

int sink_init(struct sink *s, const struct sink_params *p)
{
	int err;

	memset(s, 0, offsetof(struct sink, stage));
	err = ring_init(&s->ring, SINK_RING_BYTES);
	if (err)
		return err;
	s->p = *p;
	s->fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	timer_init(&s->timer, sink_timer);
	return 0;
}

/* Tells who takes the bytes away that there are some. Lock held. */
static void sink_wake(struct sink *s)
{
	bool hurry = s->ring.used >= s->ring.size / 2;

	if (!s->attached || (s->scheduled && (s->hurried || !hurry)))
		return;
	s->scheduled = true;
	s->hurried = hurry;
	if (s->thread)
		sink_thread_wake(s->thread);
	else if (!s->watching)
		loop_timer_set_after(s->p.loop, &s->timer, hurry ? 0 : SINK_GATHER_NS);
}

void sink_write(struct sink *s, const uint8_t *buf, size_t n)
{
	if (!n)
		return;
	pthread_mutex_lock(&s->lock);
	s->lost += ring_write(&s->ring, buf, n);
	s->last_byte = buf[n - 1];
	s->saw_escape |= memchr(buf, '\033', n) != NULL;
	sink_wake(s);
	pthread_mutex_unlock(&s->lock);
}

size_t sink_room(struct sink *s)
{
	size_t room = SIZE_MAX;

	pthread_mutex_lock(&s->lock);
	if (s->attached)
		room = s->ring.size - s->ring.used;
	s->room_wanted = room == 0;
	pthread_mutex_unlock(&s->lock);
	return room;
}

void sink_forget_room(struct sink *s)
{
	pthread_mutex_lock(&s->lock);
	s->p.has_room = NULL;
	pthread_mutex_unlock(&s->lock);
}

/* Lock held. */
static void sink_tell_room(struct sink *s)
{
	if (s->room_wanted && s->p.has_room)
		s->p.has_room(s->p.arg);
	s->room_wanted = false;
}

bool sink_stage_fill(struct sink *s)
{
	uint64_t lost;
	int n = 0;

	assert(s->stage_at == s->stage_used);
	s->stage_at = s->stage_used = s->stage_mark = 0;
	s->hurried = false;
	if (!s->ring.used) {
		s->scheduled = false;
		return false;
	}
	lost = ring_take_lost(&s->ring);
	if (lost)
		n = snprintf((char *)s->stage, sizeof(s->stage), "\r\n[lodge: %llu bytes lost]\r\n",
			     (unsigned long long)lost);
	s->stage_mark = (size_t)n;
	s->stage_lost = lost;
	s->stage_used = s->stage_mark + ring_read(&s->ring, s->stage + s->stage_mark,
						  sizeof(s->stage) - s->stage_mark);
	if (s->ring.used <= s->ring.size / 2)
		sink_tell_room(s);
	return true;
}

void sink_stage_drop(struct sink *s)
{
	size_t at = s->stage_at > s->stage_mark ? s->stage_at : s->stage_mark;

	s->lost += s->stage_used - at;
	s->ring.lost += s->stage_used - at;
	if (s->stage_at < s->stage_mark)
		s->ring.lost += s->stage_lost;
	s->stage_at = s->stage_used = s->stage_mark = 0;
}

void sink_stage_advance(struct sink *s, size_t n)
{
	assert(n <= s->stage_used - s->stage_at);
	s->stage_at += n;
}

void sink_warn(struct sink *s, int err)
{
	if (!s->warned)
		log_warning("%s: %s; output is dropped until that is over", s->p.name,
			    strerror(err));
	s->warned = true;
}

/* One write. Bytes written, or -errno. */
static ssize_t sink_push(struct sink *s)
{
	const uint8_t *from = s->stage + s->stage_at;
	size_t n = s->stage_used - s->stage_at;
	ssize_t done;

	do {
		done = s->how == SINK_SEND ? send(s->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL)
					   : write(s->fd, from, n);
	} while (done < 0 && errno == EINTR);
	if (done < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	sink_stage_advance(s, (size_t)done);
	return done;
}

/*
 * False: nothing waits any more, and the next byte sets the timer. That the ring is empty and that
 * the descriptor is watched no longer become true at once, or a byte between the two would trust
 * the watch and wake nobody.
 */
static bool sink_next(struct sink *s)
{
	bool more, unwatch;

	if (s->stage_at < s->stage_used)
		return true;
	pthread_mutex_lock(&s->lock);
	more = sink_stage_fill(s);
	unwatch = !more && s->watching;
	if (unwatch)
		s->watching = false;
	pthread_mutex_unlock(&s->lock);
	if (unwatch)
		loop_unwatch(s->p.loop, &s->watch);
	return more;
}

/* The descriptor takes nothing now: come back when it does. */
static void sink_wait(struct sink *s)
{
	struct loop *l = s->p.loop;

	if (s->watching)
		return;
	s->watch = (struct watch){.fd = s->fd, .events = EPOLLOUT, .fn = sink_writable};
	pthread_mutex_lock(&s->lock);
	s->watching = loop_watch(l, &s->watch) == 0;
	pthread_mutex_unlock(&s->lock);
	if (!s->watching)
		loop_timer_set_after(l, &s->timer, 10 * SINK_GATHER_NS);
}

static void sink_fail(struct sink *s, int err)
{
	if (s->p.gone) {
		s->p.gone(s->p.arg, err);
		return;
	}
	sink_warn(s, err);
	pthread_mutex_lock(&s->lock);
	sink_stage_drop(s);
	pthread_mutex_unlock(&s->lock);
}

static void sink_drain(struct sink *s)
{
	for (unsigned turn = 0; turn < STAGES_A_TURN && s->fd >= 0; turn++) {
		ssize_t done;

		if (!sink_next(s))
			return;
		done = sink_push(s);
		if (done == -EAGAIN) {
			sink_wait(s);
			return;
		}
		if (done < 0)
			sink_fail(s, (int)-done);
	}
	if (s->fd >= 0 && !s->watching)
		loop_timer_set(s->p.loop, &s->timer, 0);
}

static void sink_timer(struct timer *t)
{
	sink_drain(container_of(t, struct sink, timer));
}

static void sink_writable(struct watch *w, uint32_t revents)
{
	(void)revents; /* the write says what EPOLLERR and EPOLLHUP are about */
	sink_drain(container_of(w, struct sink, watch));
}

int sink_attach(struct sink *s, int fd, enum sink_how how)
{
	struct sink_thread *thread = NULL;
	int err = 0;

	assert(!s->attached && fd >= 0);
	if (how == SINK_THREAD)
		err = sink_thread_start(s, fd, &thread);
	if (err)
		return err;
	s->how = how;
	s->fd = fd;
	pthread_mutex_lock(&s->lock);
	s->thread = thread;
	s->attached = true;
	s->scheduled = false;
	if (s->ring.used || s->stage_at < s->stage_used)
		sink_wake(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void sink_detach(struct sink *s)
{
	bool unwatch;

	if (s->fd < 0)
		return;
	assert(s->how != SINK_THREAD);
	pthread_mutex_lock(&s->lock);
	s->attached = false;
	sink_tell_room(s);
	unwatch = s->watching;
	s->watching = false;
	pthread_mutex_unlock(&s->lock);
	if (unwatch)
		loop_unwatch(s->p.loop, &s->watch);
	loop_timer_cancel(s->p.loop, &s->timer);
	close(s->fd);
	s->fd = -1;
}

static int64_t deadline_left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns(clock_host());

	return now >= deadline_ns ? 0 : (int64_t)((deadline_ns - now) / NS_PER_MS) + 1;
}

void sink_finish(struct sink *s, uint64_t limit_ns)
{
	uint64_t deadline = clock_now_ns(clock_host()) + limit_ns;

	if (s->how == SINK_THREAD && s->fd >= 0) {
		/* The thread keeps fd and the sink if it is stuck; see sink_thread_stop(). */
		if (sink_thread_stop(s->thread, limit_ns)) {
			close(s->fd);
			s->thread = NULL;
		}
		s->fd = -1;
		return;
	}
	while (s->fd >= 0 && sink_next(s)) {
		ssize_t done = sink_push(s);
		struct pollfd p = {.fd = s->fd, .events = POLLOUT};
		int64_t left = deadline_left_ms(deadline);

		if ((done < 0 && done != -EAGAIN) || !left)
			break;
		if (done == -EAGAIN)
			poll(&p, 1, (int)left);
	}
	sink_detach(s);
}

bool sink_fini(struct sink *s)
{
	assert(s->fd < 0);
	if (s->thread)
		return false;
	ring_fini(&s->ring);
	pthread_mutex_destroy(&s->lock);
	return true;
}

uint64_t sink_lost(struct sink *s)
{
	uint64_t lost;

	pthread_mutex_lock(&s->lock);
	lost = s->lost;
	pthread_mutex_unlock(&s->lock);
	return lost;
}
