/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop.
 *
 * Theory of operation: one round runs the timers that are due, then the tasks that were posted,
 * then sleeps in epoll until a descriptor is ready, the next timer is due or another thread wakes
 * it, and runs the watches that are ready. Each of the three is bounded by what was there when its
 * turn began, so a timer that sets itself anew in the past cannot keep the others waiting.
 *
 * Waking: whoever posts a task or sets an earlier timer while the loop sleeps writes an eventfd,
 * once a sleep. The eventfd is watched edge-triggered, so that it is never read: one system call
 * less each time. loop_stop() writes it always, as a signal handler can take no lock.
 *
 * A watch lives in a slot with a generation, and epoll's data names both. An event that was
 * fetched in one batch with the one whose callback unwatched its watch then finds another
 * generation, and is dropped without a look at memory that may be freed.
 *
 * Timers stand in a binary heap by due time. Sleep is measured by CLOCK_MONOTONIC; with another
 * clock, as tests have, the loop sleeps until it is woken, and whoever steps the clock calls
 * loop_step(). The lock guards all of struct loop and the loop's fields in watches, timers and
 * tasks; it is never held during a callback.
 */
#include "core/loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENT_BATCH 64

int loop_create(struct clock *clock, struct loop **out)
{
	struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA};
	struct loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->clock = clock;
	pthread_mutex_init(&l->lock, NULL);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->wake_fd < 0 || l->epoll_fd < 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake) < 0) {
		err = -errno;
		loop_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	assert(l->watch_count == 0 && !l->running);
	loop_ring_close(l);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	free(l->slots);
	free(l);
}

struct clock *loop_clock(struct loop *l)
{
	return l->clock;
}

/* Async-signal-safe. Cannot block: the counter would have to reach 2^64 - 2 first. */
static void wake_always(struct loop *l)
{
	const uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(l->wake_fd, &one, sizeof(one));

	(void)n;
	errno = saved;
}

/* Something is to be done at due_ns. Lock held. */
static void wake_before(struct loop *l, uint64_t due_ns)
{
	if (l->sleeps_until <= due_ns)
		return;
	l->sleeps_until = 0;
	wake_always(l);
}

/* Lock held. */
static bool is_here(const struct loop *l)
{
	return !l->running || pthread_equal(l->thread, pthread_self());
}

bool loop_is_here(struct loop *l)
{
	bool here;

	pthread_mutex_lock(&l->lock);
	here = is_here(l);
	pthread_mutex_unlock(&l->lock);
	return here;
}

/* --- watches --- */

/* A free slot, or NULL. Lock held. */
static struct slot *free_slot(struct loop *l)
{
	unsigned count = l->slot_count ? 2 * l->slot_count : 16;
	struct slot *slots;
	unsigned i;

	for (i = 0; i < l->slot_count; i++) {
		if (!l->slots[i].watch)
			return &l->slots[i];
	}
	slots = realloc(l->slots, count * sizeof(slots[0]));
	if (!slots)
		return NULL;
	memset(&slots[l->slot_count], 0, (count - l->slot_count) * sizeof(slots[0]));
	l->slots = slots;
	l->slot_count = count;
	return &slots[i];
}

/*
 * Brings the epoll set in line with events. epoll reports EPOLLHUP even of a descriptor that is
 * asked for nothing, so such a one is taken out of the set: a closed pipe must not spin the loop
 * while its owner waits for room. Lock held.
 */
static int epoll_slot(struct loop *l, struct slot *s, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events};
	int op = s->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == 0) {
		if (s->polled)
			epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &e);
		s->polled = false;
		return 0;
	}
	e.data.u64 = slot_data(l, s);
	if (epoll_ctl(l->epoll_fd, op, fd, &e) < 0)
		return -errno;
	s->polled = true;
	return 0;
}

/* The ring polls from the loop's thread, so it cannot say that a file cannot be watched. */
static int ring_slot(struct loop *l, struct slot *s, int fd)
{
	struct epoll_event e = {0};

	if (!s->watch) {
		if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
			return -errno;
		epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &e);
	}
	loop_ring_change(l, s);
	wake_before(l, 0);
	return 0;
}

/* Lock held. */
static int poll_slot(struct loop *l, struct slot *s, int fd, uint32_t events)
{
	return l->ring ? ring_slot(l, s, fd) : epoll_slot(l, s, fd, events);
}

static struct slot *slot_of(struct loop *l, const struct watch *w)
{
	assert(w->slot >= 1 && w->slot <= l->slot_count && l->slots[w->slot - 1].watch == w);
	return &l->slots[w->slot - 1];
}

int loop_watch(struct loop *l, struct watch *w)
{
	struct slot *s;
	int err = -ENOMEM;

	pthread_mutex_lock(&l->lock);
	s = free_slot(l);
	if (s)
		err = poll_slot(l, s, w->fd, w->events);
	if (!err) {
		s->watch = w;
		w->slot = (uint32_t)(s - l->slots) + 1;
		l->watch_count++;
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

int loop_rewatch(struct loop *l, struct watch *w, uint32_t events)
{
	int err = 0;

	pthread_mutex_lock(&l->lock);
	if (w->events != events) {
		err = poll_slot(l, slot_of(l, w), w->fd, events);
		if (!err)
			w->events = events;
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
	struct slot *s;

	pthread_mutex_lock(&l->lock);
	assert(is_here(l));
	if (w->slot) {
		s = slot_of(l, w);
		if (l->ring)
			loop_ring_cancel(l, s);
		else
			epoll_slot(l, s, w->fd, 0);
		s->watch = NULL;
		s->generation++;
		l->watch_count--;
		w->slot = 0;
	}
	pthread_mutex_unlock(&l->lock);
}

struct watch *loop_take_event(struct loop *l, uint64_t data, bool ended, uint32_t *events)
{
	uint32_t index = (uint32_t)(data >> 32);
	uint32_t generation = (uint32_t)data;
	struct watch *w = NULL;

	pthread_mutex_lock(&l->lock);
	if (index < l->slot_count && l->slots[index].generation == generation &&
	    l->slots[index].polled)
		w = l->slots[index].watch;
	if (w && ended) {
		l->slots[index].polled = false;
		loop_ring_change(l, &l->slots[index]);
	}
	if (w) /* one that asks for nothing any more is told nothing, not even EPOLLHUP */
		*events &= w->events ? w->events | EPOLLERR | EPOLLHUP : 0;
	pthread_mutex_unlock(&l->lock);
	return w && *events ? w : NULL;
}

static unsigned run_watches(struct loop *l, const struct epoll_event *events, int n)
{
	struct watch *w;
	unsigned ran = 0;
	uint32_t revents;
	int i;

	for (i = 0; i < n; i++) {
		if (events[i].data.u64 == WAKE_DATA)
			continue;
		revents = events[i].events;
		w = loop_take_event(l, events[i].data.u64, false, &revents);
		if (w) {
			w->fn(w, revents);
			ran++;
		}
	}
	return ran;
}

/* --- timers --- */

static void heap_put(struct loop *l, unsigned pos, struct timer *t)
{
	l->heap[pos] = t;
	t->heap_pos = pos;
}

/* Moves the timer at pos up or down to where it belongs. */
static void heap_settle(struct loop *l, unsigned pos)
{
	struct timer *t = l->heap[pos];
	unsigned child;

	for (; pos && l->heap[(pos - 1) / 2]->due_ns > t->due_ns; pos = (pos - 1) / 2)
		heap_put(l, pos, l->heap[(pos - 1) / 2]);
	for (; (child = 2 * pos + 1) < l->timer_count; pos = child) {
		if (child + 1 < l->timer_count &&
		    l->heap[child + 1]->due_ns < l->heap[child]->due_ns)
			child++;
		if (l->heap[child]->due_ns >= t->due_ns)
			break;
		heap_put(l, pos, l->heap[child]);
	}
	heap_put(l, pos, t);
}

/* Also right for a timer that was never initialised or belongs to no loop. */
static bool heap_holds(const struct loop *l, const struct timer *t)
{
	return t->heap_pos < l->timer_count && l->heap[t->heap_pos] == t;
}

static void heap_remove(struct loop *l, struct timer *t)
{
	unsigned pos = t->heap_pos;
	struct timer *last = l->heap[--l->timer_count];

	t->heap_pos = TIMER_IDLE;
	if (last == t)
		return;
	heap_put(l, pos, last);
	heap_settle(l, pos);
}

void loop_timer_set(struct loop *l, struct timer *t, uint64_t due_ns)
{
	pthread_mutex_lock(&l->lock);
	if (!heap_holds(l, t)) {
		assert(l->timer_count < LOOP_TIMERS_MAX);
		heap_put(l, l->timer_count++, t);
	}
	t->due_ns = due_ns;
	heap_settle(l, t->heap_pos);
	wake_before(l, due_ns);
	pthread_mutex_unlock(&l->lock);
}

void loop_timer_set_after(struct loop *l, struct timer *t, uint64_t ns)
{
	loop_timer_set(l, t, clock_now_ns(l->clock) + ns);
}

void loop_timer_cancel(struct loop *l, struct timer *t)
{
	pthread_mutex_lock(&l->lock);
	if (heap_holds(l, t))
		heap_remove(l, t);
	pthread_mutex_unlock(&l->lock);
}

/* Takes the first timer out if it is due. */
static struct timer *take_due_timer(struct loop *l, uint64_t now)
{
	struct timer *t = NULL;

	pthread_mutex_lock(&l->lock);
	if (l->timer_count && l->heap[0]->due_ns <= now) {
		t = l->heap[0];
		heap_remove(l, t);
	}
	pthread_mutex_unlock(&l->lock);
	return t;
}

static unsigned run_timers(struct loop *l)
{
	struct timer *t;
	unsigned ran, limit;
	uint64_t now;

	pthread_mutex_lock(&l->lock);
	limit = l->timer_count;
	pthread_mutex_unlock(&l->lock);
	now = limit ? clock_now_ns(l->clock) : 0;
	for (ran = 0; ran < limit && (t = take_due_timer(l, now)); ran++)
		t->fn(t);
	return ran;
}

/* --- tasks --- */

void loop_post(struct loop *l, struct task *t)
{
	pthread_mutex_lock(&l->lock);
	if (!t->queued) {
		t->queued = true;
		t->next = NULL;
		if (l->last_task)
			l->last_task->next = t;
		else
			l->first_task = t;
		l->last_task = t;
		wake_before(l, 0);
	}
	pthread_mutex_unlock(&l->lock);
}

static struct task *take_task(struct loop *l)
{
	struct task *t;

	pthread_mutex_lock(&l->lock);
	t = l->first_task;
	if (t) {
		l->first_task = t->next;
		if (!t->next)
			l->last_task = NULL;
		t->queued = false;
	}
	pthread_mutex_unlock(&l->lock);
	return t;
}

static unsigned run_tasks(struct loop *l)
{
	struct task *t, *last;
	unsigned ran = 0;

	pthread_mutex_lock(&l->lock);
	last = l->last_task;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return 0;
	do {
		t = take_task(l);
		if (!t)
			break;
		t->fn(t);
		ran++;
	} while (t != last);
	return ran;
}

/* --- signals --- */

void loop_signal(struct loop *l, int fd)
{
	if (!l->ring || !loop_ring_signal(l, fd))
		eventfd_write(fd, 1);
}

void loop_flush(struct loop *l)
{
	if (l->ring)
		loop_ring_submit(l);
}

/* --- how much there is to do at once --- */

void loop_hear_gathered(struct loop *l, void (*fn)(void *arg, unsigned n), void *arg)
{
	l->gathered = fn;
	l->gathered_arg = arg;
}

void loop_gathered(struct loop *l, unsigned n)
{
	if (l->gathered && n)
		l->gathered(l->gathered_arg, n);
}

/* --- rounds --- */

/* How long the loop may sleep; announces it to those who wake. UINT64_MAX: until woken. */
static uint64_t begin_sleep(struct loop *l)
{
	uint64_t due = NEVER_NS, now, sleep = 0;

	pthread_mutex_lock(&l->lock);
	if (l->first_task || atomic_load(&l->stop))
		goto out;
	if (l->timer_count && l->clock == clock_host())
		due = l->heap[0]->due_ns;
	now = due == NEVER_NS ? 0 : clock_now_ns(l->clock);
	if (due <= now)
		goto out;
	sleep = due == NEVER_NS ? NEVER_NS : due - now;
	l->sleeps_until = due;
out:
	pthread_mutex_unlock(&l->lock);
	return sleep;
}

void loop_end_sleep(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->sleeps_until = 0;
	pthread_mutex_unlock(&l->lock);
}

/* epoll_pwait2(2) came with Linux 5.11; before that, whole milliseconds, rounded up. */
static int wait_ns(int epoll_fd, struct epoll_event *events, uint64_t ns)
{
	struct timespec ts = {
	    .tv_sec = (time_t)(ns / NS_PER_S),
	    .tv_nsec = (long)(ns % NS_PER_S),
	};
	uint64_t ms;
	int n;

	if (ns == 0 || ns == NEVER_NS)
		return epoll_wait(epoll_fd, events, EVENT_BATCH, ns ? -1 : 0);
	n = epoll_pwait2(epoll_fd, events, EVENT_BATCH, &ts, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	ms = ns / NS_PER_MS + 1;
	return epoll_wait(epoll_fd, events, EVENT_BATCH, ms < INT32_MAX ? (int)ms : INT32_MAX);
}

/* One round that sleeps for at most ns. How many watches ran, or -errno. */
static int poll_once(struct loop *l, uint64_t ns)
{
	struct epoll_event events[EVENT_BATCH];
	int n;

	if (l->ring)
		return loop_ring_poll(l, ns);
	n = wait_ns(l->epoll_fd, events, ns);
	if (n < 0)
		n = errno == EINTR ? 0 : -errno;
	if (ns)
		loop_end_sleep(l);
	return n < 0 ? n : (int)run_watches(l, events, n);
}

static void set_running(struct loop *l, bool running)
{
	pthread_mutex_lock(&l->lock);
	l->running = running;
	l->thread = pthread_self();
	pthread_mutex_unlock(&l->lock);
}

int loop_run(struct loop *l)
{
	int ret = 0;

	set_running(l, true);
	if (l->ring)
		loop_ring_enter_thread(l);
	while (ret >= 0 && !atomic_load(&l->stop)) {
		run_timers(l);
		run_tasks(l);
		ret = poll_once(l, begin_sleep(l));
	}
	atomic_store(&l->stop, false);
	if (l->ring)
		loop_ring_leave_thread(l);
	set_running(l, false);
	return ret < 0 ? ret : 0;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake_always(l);
}

unsigned loop_step(struct loop *l)
{
	unsigned ran = run_timers(l) + run_tasks(l);
	int n = poll_once(l, 0);

	return n > 0 ? ran + (unsigned)n : ran;
}
