/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loop and its ring share. */
#ifndef CORE_LOOP_INTERNAL_H
#define CORE_LOOP_INTERNAL_H

#include <lodge/loop.h>

#include <pthread.h>
#include <stdatomic.h>

#define NEVER_NS UINT64_MAX

struct loop_ring;

struct slot {
	struct watch *watch; /* NULL: free */
	uint32_t generation;
	bool polled; /* by epoll, or by a poll in the ring that is under way */
	bool stale;  /* the ring's poll is not what is wanted */
};

struct loop {
	struct clock *clock;
	int epoll_fd, wake_fd;
	atomic_bool stop;
	struct loop_ring *ring; /* NULL: epoll */
	void (*gathered)(void *arg, unsigned n);
	void *gathered_arg;

	pthread_mutex_t lock; /* guards what follows */
	bool running;
	pthread_t thread;      /* while running */
	uint64_t sleeps_until; /* ns; 0: awake, or woken already */
	struct task *first_task, *last_task;
	struct slot *slots;
	unsigned slot_count, watch_count;
	unsigned stale_count; /* of slots */
	struct timer *heap[LOOP_TIMERS_MAX];
	unsigned timer_count;
};

/* What epoll and polls in the ring carry: a slot and its generation. */
#define WAKE_DATA UINT64_MAX

static inline uint64_t slot_data(const struct loop *l, const struct slot *s)
{
	return (uint64_t)(s - l->slots) << 32 | s->generation;
}

/*
 * The watch that an event is for, and what of it is still asked for; NULL: nobody any more. ended:
 * it was the last of its poll.
 */
struct watch *loop_take_event(struct loop *l, uint64_t data, bool ended, uint32_t *events);

/* Lock held. */
void loop_ring_change(struct loop *l, struct slot *s); /* s is to be polled as its watch says */
void loop_ring_cancel(struct loop *l, struct slot *s); /* now; the loop's thread */

/* The loop's thread begins or ends to run. */
void loop_ring_enter_thread(struct loop *l);
void loop_ring_leave_thread(struct loop *l);

bool loop_ring_signal(struct loop *l, int fd); /* false: the kernel takes none now */
void loop_ring_submit(struct loop *l);

/* As loop.c's own: sleeps for at most ns and runs what is ready. How many ran, or -errno. */
int loop_ring_poll(struct loop *l, uint64_t ns);
void loop_ring_close(struct loop *l);

/* The loop no longer sleeps. */
void loop_end_sleep(struct loop *l);

#endif
