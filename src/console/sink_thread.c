/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a sink's bytes to a descriptor that may block. */
/*
 * Theory of operation: the thread sleeps until the ring holds something, lets 5 ms worth of bytes
 * gather, takes a stage under the lock and writes it without. While write(2) hangs, the ring fills
 * and drops its oldest bytes, and neither the main loop nor a vCPU notices. A hanging thread cannot
 * be ended; it is then left to the end of the process, with all that it uses.
 */
#include "console/sink_thread.h"
#include "core/thread.h"

#include <errno.h>
#include <lodge/clock.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct sink_thread {
	struct sink *sink;
	int fd;
	pthread_t id;
	/* With the sink's lock. */
	pthread_cond_t wake; /* to the thread */
	pthread_cond_t over; /* from it */
	bool stop, ended;
};

static struct timespec deadline_after(uint64_t ns)
{
	uint64_t at = clock_now_ns(clock_host()) + ns;

	return (struct timespec){.tv_sec = (time_t)(at / NS_PER_S),
				 .tv_nsec = (long)(at % NS_PER_S)};
}

/* Lock held. False: stop, and nothing is left to write. */
static bool thread_wait(struct sink_thread *t)
{
	struct sink *s = t->sink;
	struct timespec until;

	while (!s->ring.used && !t->stop) {
		s->scheduled = false; /* the next byte has to wake us */
		pthread_cond_wait(&t->wake, &s->lock);
	}
	until = deadline_after(SINK_GATHER_NS);
	while (!t->stop && s->ring.used < s->ring.size / 2)
		if (pthread_cond_timedwait(&t->wake, &s->lock, &until) == ETIMEDOUT)
			break;
	return sink_stage_fill(s);
}

/* Writes the stage out. 0 or -errno. */
static int thread_write(struct sink_thread *t)
{
	struct sink *s = t->sink;

	while (s->stage_at < s->stage_used) {
		ssize_t n = write(t->fd, s->stage + s->stage_at, s->stage_used - s->stage_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) { /* somebody else made it non-blocking */
			struct pollfd p = {.fd = t->fd, .events = POLLOUT};

			poll(&p, 1, -1);
			continue;
		}
		if (n < 0)
			return -errno;
		sink_stage_advance(s, (size_t)n);
	}
	return 0;
}

static void *thread_main(void *arg)
{
	struct sink_thread *t = arg;
	struct sink *s = t->sink;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		int err;

		if (!thread_wait(t)) {
			if (t->stop)
				break;
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		err = thread_write(t);
		if (err)
			sink_warn(s, -err);
		pthread_mutex_lock(&s->lock);
		if (err)
			sink_stage_drop(s);
	}
	t->ended = true;
	pthread_cond_signal(&t->over);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int sink_thread_start(struct sink *s, int fd, struct sink_thread **out)
{
	struct sink_thread *t = calloc(1, sizeof(*t));
	pthread_condattr_t monotonic;
	int err;

	if (!t)
		return -ENOMEM;
	t->sink = s;
	t->fd = fd;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &monotonic);
	pthread_cond_init(&t->over, &monotonic);
	pthread_condattr_destroy(&monotonic);
	err = thread_start(&t->id, "console-file", thread_main, t);
	if (err) {
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

void sink_thread_wake(struct sink_thread *t)
{
	pthread_cond_signal(&t->wake);
}

bool sink_thread_stop(struct sink_thread *t, uint64_t limit_ns)
{
	struct timespec until = deadline_after(limit_ns);
	struct sink *s = t->sink;
	bool ended;

	pthread_mutex_lock(&s->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	while (!t->ended)
		if (pthread_cond_timedwait(&t->over, &s->lock, &until) == ETIMEDOUT)
			break;
	ended = t->ended;
	s->attached = false;
	pthread_mutex_unlock(&s->lock);
	if (!ended) {
		pthread_detach(t->id);
		return false;
	}
	pthread_join(t->id, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_cond_destroy(&t->over);
	free(t);
	return true;
}
