/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: descriptors, timers and tasks, run by one thread.
 *
 * A watch, a timer and a task are embedded in their owner and never allocated; a callback finds
 * its owner by container_of(). Callbacks run on the loop's thread, without a lock of the loop held.
 * A device is given its loop when it is created and never looks for another, so which devices share
 * a loop is one line of wiring.
 *
 * Timers are for milliseconds, not microseconds: they keep the order of their due times, and fire
 * at or after them.
 */
#ifndef LODGE_LOOP_H
#define LODGE_LOOP_H

#include <lodge/clock.h>
#include <lodge/container.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

struct watch {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT; level triggered, or with EPOLLET */
	void (*fn)(struct watch *w, uint32_t revents);
	uint32_t slot; /* 0 while not watched; owned by the loop */
};

#define LOOP_TIMERS_MAX 256u /* set at the same time; each device has a fixed few */

#define TIMER_IDLE      UINT32_MAX

struct timer {
	uint64_t due_ns; /* on the loop's clock */
	void (*fn)(struct timer *t);
	uint32_t heap_pos; /* TIMER_IDLE while not set; owned by the loop */
};

struct task {
	void (*fn)(struct task *t);
	struct task *next;
	bool queued;
};

/* 0 or -errno. The clock outlives the loop. */
int loop_create(struct clock *clock, struct loop **out);
void loop_destroy(struct loop *l); /* nothing may be watched any more; not on the loop thread */

struct clock *loop_clock(struct loop *l);

/* Whether the caller may do what belongs on the loop's thread: it is that thread, or there is none.
 */
bool loop_is_here(struct loop *l);

/*
 * fd, events and fn are set by the caller, the rest is 0. With events 0 nothing is reported, not
 * even EPOLLHUP; else EPOLLHUP and EPOLLERR always are. Any thread. 0 or -errno; -EPERM: a regular
 * file, which is always ready and cannot be watched.
 */
int loop_watch(struct loop *l, struct watch *w);
/* Changes w->events. Any thread. */
int loop_rewatch(struct loop *l, struct watch *w, uint32_t events);
/*
 * Loop thread (or loop not running), before fd is closed; safe inside any callback; w may be freed
 * afterwards. Nothing happens when w is not watched.
 */
void loop_unwatch(struct loop *l, struct watch *w);

static inline void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
	t->due_ns = 0;
	t->heap_pos = TIMER_IDLE;
}

/* Sets or moves t. Any thread, any device lock held. Never allocates. */
void loop_timer_set(struct loop *l, struct timer *t, uint64_t due_ns);
/* The same, ns from now on the loop's clock. */
void loop_timer_set_after(struct loop *l, struct timer *t, uint64_t ns);
/* After it returns, fn is not started any more; a fn under way on another thread may still run. */
void loop_timer_cancel(struct loop *l, struct timer *t);

/* Runs t->fn once on the loop thread, soon. Any thread. Posting a queued task does nothing. */
void loop_post(struct loop *l, struct task *t);

/*
 * Writes 1 to fd, an eventfd with EFD_NONBLOCK, before the loop sleeps next: at once, or with what
 * else its ring submits then (loop_ring.h). The loop's thread. loop_flush(): now, before fd is
 * closed or what it stands for is taken away.
 */
void loop_signal(struct loop *l, int fd);
void loop_flush(struct loop *l);

/*
 * A device found n requests waiting when it was told of some. Who runs the loop may hear of it, and
 * choose how eagerly its thread is to start. The loop's thread; heard from before it runs.
 */
void loop_gathered(struct loop *l, unsigned n);
void loop_hear_gathered(struct loop *l, void (*fn)(void *arg, unsigned n), void *arg);

/* Runs until loop_stop(), also one that came before. Returns 0 or -errno. */
int loop_run(struct loop *l);
/* Any thread, and from a signal handler. */
void loop_stop(struct loop *l);

/*
 * Runs what is ready now without waiting: due timers, posted tasks, ready descriptors. What these
 * make ready is left for the next call. Returns how many callbacks ran. For tests, which step the
 * clock themselves.
 */
unsigned loop_step(struct loop *l);

#endif
