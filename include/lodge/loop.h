/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: descriptors, timers and tasks, run by one thread.
 *
 * A watch, a timer and a task are embedded in their owner and never allocated. Callbacks run on
 * the loop's thread, without a lock of the loop held. A device is given its loop when it is
 * created and never looks for another, so which devices share a loop is one line of wiring.
 *
 * Timers are for milliseconds, not microseconds: they keep the order of their due times, and fire
 * at or after them.
 */
#ifndef LODGE_LOOP_H
#define LODGE_LOOP_H

#include <lodge/clock.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

struct watch {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT; level triggered */
	void (*fn)(struct watch *w, uint32_t revents);
};

#define TIMER_IDLE UINT32_MAX

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

/* fd, events and fn are set by the caller. Any thread. 0 or -errno. */
int loop_watch(struct loop *l, struct watch *w);
/* Changes w->events. Any thread. */
int loop_rewatch(struct loop *l, struct watch *w, uint32_t events);
/* Loop thread (or loop not running); safe inside any callback; w may be freed afterwards. */
void loop_unwatch(struct loop *l, struct watch *w);

static inline void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
	t->due_ns = 0;
	t->heap_pos = TIMER_IDLE;
}

/* Sets or moves t. Any thread, any device lock held. Never allocates after loop_timer_reserve(). */
void loop_timer_set(struct loop *l, struct timer *t, uint64_t due_ns);
/* After it returns, fn is not started any more; a fn under way on another thread may still run. */
void loop_timer_cancel(struct loop *l, struct timer *t);

/* Runs t->fn once on the loop thread, soon. Any thread. Posting a queued task does nothing. */
void loop_post(struct loop *l, struct task *t);

/* Runs until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *l);
/* Any thread, and from a signal handler. */
void loop_stop(struct loop *l);

/*
 * Runs what is ready now without waiting: due timers, posted tasks, ready descriptors.
 * Returns how many callbacks ran. For tests, which step the clock themselves.
 */
unsigned loop_step(struct loop *l);

#endif
