/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop's watches, above all those that go while an event of theirs is under way. */
#include "fake_clock.h"
#include <lodge/loop_ring.h>

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

static struct fake_clock fake;
static struct loop *loop;
static bool in_ring; /* the loop sleeps in io_uring */

static int setup(void **state)
{
	(void)state;
	fake_clock_init(&fake, 0);
	if (loop_create(&fake.clock, &loop))
		return -1;
	return in_ring ? loop_ring_open(loop, NULL, 0) : 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

struct spy {
	struct watch watch; /* first */
	unsigned calls;
	uint32_t revents;
	struct spy *victim; /* what the callback acts on */
};

static void spy_called(struct watch *w, uint32_t revents)
{
	struct spy *s = (struct spy *)w;

	s->calls++;
	s->revents = revents;
}

static void watch_ready_eventfd(struct spy *s)
{
	memset(s, 0, sizeof(*s));
	s->watch.fd = eventfd(1, EFD_CLOEXEC);
	s->watch.events = EPOLLIN;
	s->watch.fn = spy_called;
	assert_int_equal(loop_watch(loop, &s->watch), 0);
}

static void drop(struct spy *s)
{
	loop_unwatch(loop, &s->watch);
	close(s->watch.fd);
}

static void test_watch_level(void **state)
{
	struct spy s;
	uint64_t value;

	(void)state;
	watch_ready_eventfd(&s);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(s.revents, EPOLLIN);
	assert_int_equal(read(s.watch.fd, &value, 8), 8);
	assert_int_equal(loop_step(loop), 0);
	assert_int_equal(loop_rewatch(loop, &s.watch, EPOLLOUT), 0);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(s.revents, EPOLLOUT);
	loop_unwatch(loop, &s.watch);
	assert_int_equal(loop_step(loop), 0);
	loop_unwatch(loop, &s.watch); /* again: nothing */
	close(s.watch.fd);
}

/* Both are ready in one batch, and whichever comes first frees the other. */
static struct spy *survivor;

static void take_other(struct watch *w, uint32_t revents)
{
	struct spy *s = (struct spy *)w, *victim = s->victim;

	(void)revents;
	s->calls++;
	survivor = s;
	if (!victim)
		return;
	s->victim = NULL;
	drop(victim);
	free(victim);
}

/* As above, and the freed slot is taken by a new watch within the same batch. */
static struct spy newcomer;

static void replace_other(struct watch *w, uint32_t revents)
{
	bool first = ((struct spy *)w)->victim;

	take_other(w, revents);
	if (first)
		watch_ready_eventfd(&newcomer);
}

static void unwatch_in_batch(void (*fn)(struct watch *w, uint32_t revents))
{
	struct spy *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

	watch_ready_eventfd(a);
	watch_ready_eventfd(b);
	a->victim = b;
	b->victim = a;
	a->watch.fn = fn;
	b->watch.fn = fn;
	survivor = NULL;
	assert_int_equal(loop_step(loop), 1);
	assert_non_null(survivor);
	assert_int_equal(survivor->calls, 1);
}

static void test_unwatch_other_in_batch(void **state)
{
	(void)state;
	unwatch_in_batch(take_other);
	assert_int_equal(loop_step(loop), 1);
	drop(survivor);
	free(survivor);
}

static void test_slot_reused_in_batch(void **state)
{
	(void)state;
	newcomer.calls = 0;
	unwatch_in_batch(replace_other);
	assert_int_equal(newcomer.calls, 0); /* its own event was not in that batch */
	assert_int_equal(loop_step(loop), 2);
	assert_int_equal(newcomer.calls, 1);
	drop(&newcomer);
	drop(survivor);
	free(survivor);
}

static void mute_other(struct watch *w, uint32_t revents)
{
	struct spy *s = (struct spy *)w;

	(void)revents;
	s->calls++;
	assert_int_equal(loop_rewatch(loop, &s->victim->watch, EPOLLOUT), 0);
}

/* What a callback stops asking for must not come from the batch that was fetched before. */
static void test_rewatch_in_batch(void **state)
{
	struct spy a, b;

	(void)state;
	watch_ready_eventfd(&a);
	watch_ready_eventfd(&b);
	a.victim = &b;
	b.victim = &a;
	a.watch.fn = mute_other;
	b.watch.fn = mute_other;
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(a.calls + b.calls, 1);
	drop(&a);
	drop(&b);
}

static void test_unwatch_self(void **state)
{
	struct spy *s = malloc(sizeof(*s));

	(void)state;
	watch_ready_eventfd(s);
	s->victim = NULL;
	s->watch.fn = take_other;
	assert_int_equal(loop_step(loop), 1);
	s->victim = s;
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 0);
}

/* With no events asked for, a closed pipe does not spin the loop; asked again, it reports. */
static void test_hangup_is_silent_without_events(void **state)
{
	struct spy s = {.watch.fn = spy_called, .watch.events = 0};
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	s.watch.fd = fd[0];
	assert_int_equal(loop_watch(loop, &s.watch), 0);
	close(fd[1]);
	assert_int_equal(loop_step(loop), 0);
	assert_int_equal(loop_rewatch(loop, &s.watch, EPOLLIN), 0);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(s.revents, EPOLLHUP);
	assert_int_equal(loop_rewatch(loop, &s.watch, 0), 0);
	assert_int_equal(loop_step(loop), 0);
	drop(&s);
}

static void silence_other(struct watch *w, uint32_t revents)
{
	struct spy *s = (struct spy *)w;

	(void)revents;
	s->calls++;
	assert_int_equal(loop_rewatch(loop, &s->victim->watch, 0), 0);
}

/* Nor does one hear of it from the batch that was fetched before it stopped to ask. */
static void test_hangup_in_batch(void **state)
{
	struct spy s[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		int fd[2];

		assert_int_equal(pipe(fd), 0);
		s[i].watch = (struct watch){.fd = fd[0], .events = EPOLLIN, .fn = silence_other};
		s[i].victim = &s[1 - i];
		assert_int_equal(loop_watch(loop, &s[i].watch), 0);
		close(fd[1]);
	}
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(s[0].calls + s[1].calls, 1);
	drop(&s[0]);
	drop(&s[1]);
}

static void test_watch_refused(void **state)
{
	struct spy s = {.watch.fn = spy_called, .watch.events = EPOLLIN, .watch.fd = -1};

	(void)state;
	assert_int_equal(loop_watch(loop, &s.watch), -EBADF);
	s.watch.fd = memfd_create("regular", MFD_CLOEXEC);
	assert_int_equal(loop_watch(loop, &s.watch), -EPERM);
	close(s.watch.fd);
	/* teardown asserts that nothing stayed behind */
}

/* More watches than slots at first, more ready ones than a batch. */
static void test_many_watches(void **state)
{
	static struct spy s[200];
	unsigned i, calls = 0, round;

	(void)state;
	for (i = 0; i < 200; i++)
		watch_ready_eventfd(&s[i]);
	for (round = 0; round < 8; round++)
		calls += loop_step(loop);
	assert_true(calls >= 200);
	for (i = 0; i < 200; i++) {
		assert_true(s[i].calls > 0);
		drop(&s[i]);
	}
}

static bool loop_has_ring(void)
{
	bool has;

	assert(loop_create(clock_host(), &loop) == 0);
	has = loop_ring_open(loop, NULL, 0) == 0;
	loop_destroy(loop);
	return has;
}

#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WATCH_TEST(test_watch_level),          WATCH_TEST(test_unwatch_other_in_batch),
	    WATCH_TEST(test_slot_reused_in_batch), WATCH_TEST(test_rewatch_in_batch),
	    WATCH_TEST(test_unwatch_self),         WATCH_TEST(test_hangup_is_silent_without_events),
	    WATCH_TEST(test_hangup_in_batch),      WATCH_TEST(test_watch_refused),
	    WATCH_TEST(test_many_watches),
	};

	int failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);

	if (!loop_has_ring())
		return failed; /* test_loop_ring says so */
	in_ring = true;
	return failed + cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
