/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: timers on a stepped clock, tasks from other threads, waking and stopping. */
#include "fake_clock.h"
#include <lodge/loop_ring.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

static struct fake_clock fake;
static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	fake_clock_init(&fake, 0);
	return loop_create(&fake.clock, &loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

static uint64_t now(void)
{
	return clock_now_ns(&fake.clock);
}

/* --- timers --- */

static unsigned fired[LOOP_TIMERS_MAX], fired_count;
static struct timer timers[LOOP_TIMERS_MAX];

static void record_timer(struct timer *t)
{
	assert_true(t->due_ns <= now());
	assert_int_equal(t->heap_pos, TIMER_IDLE);
	fired[fired_count++] = (unsigned)(t - timers);
}

static int setup_timers(void **state)
{
	unsigned i;

	fired_count = 0;
	for (i = 0; i < LOOP_TIMERS_MAX; i++)
		timer_init(&timers[i], record_timer);
	return setup(state);
}

static void test_timer_due(void **state)
{
	(void)state;
	loop_timer_set(loop, &timers[0], now() + 100);
	assert_int_equal(loop_step(loop), 0);
	fake_clock_step(&fake, 99);
	assert_int_equal(loop_step(loop), 0);
	fake_clock_step(&fake, 1);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 0);
	loop_timer_set(loop, &timers[0], 0); /* long past */
	assert_int_equal(loop_step(loop), 1);
	loop_timer_set(loop, &timers[0], UINT64_MAX); /* never */
	fake_clock_step(&fake, 1ull << 62);
	assert_int_equal(loop_step(loop), 0);
	loop_timer_cancel(loop, &timers[0]);
	loop_timer_cancel(loop, &timers[0]);
	assert_int_equal(fired_count, 2);
}

/* As many timers as there may be, set, moved and cancelled in a scattered order. */
static void test_timer_after(void **state)
{
	(void)state;
	loop_timer_set_after(loop, &timers[0], 100);
	fake_clock_step(&fake, 99);
	assert_int_equal(loop_step(loop), 0);
	fake_clock_step(&fake, 1);
	assert_int_equal(loop_step(loop), 1);
}

static void test_timer_order(void **state)
{
	unsigned i, k;

	(void)state;
	for (i = 0; i < LOOP_TIMERS_MAX; i++) {
		k = i * 97 % LOOP_TIMERS_MAX;
		loop_timer_set(loop, &timers[k], now() + 1 + (k * 31) % LOOP_TIMERS_MAX);
	}
	for (i = 0; i < LOOP_TIMERS_MAX; i++)
		loop_timer_set(loop, &timers[i], now() + 1 + LOOP_TIMERS_MAX - i);
	for (i = 0; i < LOOP_TIMERS_MAX; i += 3)
		loop_timer_cancel(loop, &timers[i]);
	fake_clock_step(&fake, 2 * LOOP_TIMERS_MAX);
	assert_int_equal(loop_step(loop), LOOP_TIMERS_MAX - (LOOP_TIMERS_MAX + 2) / 3);
	for (i = 1; i < fired_count; i++)
		assert_true(fired[i] < fired[i - 1]);
	for (i = 0; i < fired_count; i++)
		assert_true(fired[i] % 3);
}

/* Against a plain model, 20,000 random operations. */
static void test_timer_random(void **state)
{
	uint64_t due[16];
	unsigned i, k, n, expected;

	(void)state;
	srandom(1);
	memset(due, 0xff, sizeof(due));
	for (i = 0; i < 20000; i++) {
		k = (unsigned)random() % 16;
		switch (random() % 3) {
		case 0:
			due[k] = now() + (unsigned)random() % 64;
			loop_timer_set(loop, &timers[k], due[k]);
			break;
		case 1:
			due[k] = UINT64_MAX;
			loop_timer_cancel(loop, &timers[k]);
			break;
		default:
			fake_clock_step(&fake, (unsigned)random() % 32);
			for (expected = 0, n = 0; n < 16; n++)
				expected += due[n] <= now();
			fired_count = 0;
			assert_int_equal(loop_step(loop), expected);
			for (n = 0; n < fired_count; n++) {
				assert_true(due[fired[n]] <= now());
				assert_true(n == 0 || due[fired[n - 1]] <= due[fired[n]]);
			}
			for (n = 0; n < fired_count; n++)
				due[fired[n]] = UINT64_MAX;
		}
	}
}

static void rearm_in_the_past(struct timer *t)
{
	fired_count++;
	loop_timer_set(loop, t, 0);
}

/* A timer that is always late gets one turn a round and does not starve a task. */
static void test_timer_always_late(void **state)
{
	(void)state;
	timer_init(&timers[0], rearm_in_the_past);
	loop_timer_set(loop, &timers[0], 0);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(fired_count, 2);
	loop_timer_cancel(loop, &timers[0]);
	assert_int_equal(loop_step(loop), 0);
}

static void cancel_next(struct timer *t)
{
	fired_count++;
	loop_timer_cancel(loop, t + 1);
}

static void test_timer_cancelled_by_timer(void **state)
{
	(void)state;
	timer_init(&timers[0], cancel_next);
	loop_timer_set(loop, &timers[0], now());
	loop_timer_set(loop, &timers[1], now() + 1);
	fake_clock_step(&fake, 10);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 0);
	assert_int_equal(fired_count, 1);
}

static unsigned ticks;

static void tick(struct timer *t)
{
	ticks++;
	loop_timer_set(loop, t, t->due_ns + 1000);
}

static void test_fake_clock_run(void **state)
{
	struct timer t;

	(void)state;
	ticks = 0;
	timer_init(&t, tick);
	loop_timer_set(loop, &t, now() + 1000);
	assert_int_equal(fake_clock_run(&fake, loop, 10000, 300), 10);
	assert_int_equal(ticks, 10);
	assert_int_equal(fake_clock_run(&fake, loop, 999, 999), 0);
	assert_int_equal(fake_clock_run(&fake, loop, 1, 999), 1);
	loop_timer_cancel(loop, &t);
}

/* --- tasks --- */

static unsigned task_runs[3], task_order[8], task_count;
static struct task tasks[3];

static void run_task(struct task *t)
{
	task_runs[t - tasks]++;
	task_order[task_count++] = (unsigned)(t - tasks);
}

static void run_task_again(struct task *t)
{
	run_task(t);
	if (task_runs[t - tasks] < 3)
		loop_post(loop, t);
}

static int setup_tasks(void **state)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		tasks[i] = (struct task){.fn = run_task};
	memset(task_runs, 0, sizeof(task_runs));
	task_count = 0;
	return setup(state);
}

static void test_task_once_in_order(void **state)
{
	(void)state;
	loop_post(loop, &tasks[2]);
	loop_post(loop, &tasks[0]);
	loop_post(loop, &tasks[2]);
	loop_post(loop, &tasks[1]);
	assert_int_equal(loop_step(loop), 3);
	assert_int_equal(loop_step(loop), 0);
	assert_int_equal(task_order[0], 2);
	assert_int_equal(task_order[1], 0);
	assert_int_equal(task_order[2], 1);
}

static void test_task_posts_itself(void **state)
{
	(void)state;
	tasks[0].fn = run_task_again;
	loop_post(loop, &tasks[0]);
	loop_post(loop, &tasks[1]);
	assert_int_equal(loop_step(loop), 2); /* its second run is of the next round */
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 1);
	assert_int_equal(loop_step(loop), 0);
	assert_int_equal(task_runs[0], 3);
}

/* --- a running loop, on the host's clock --- */

struct runner {
	struct loop *loop;
	struct task post, stop;
	struct timer timer;
	pthread_t loop_thread, ran_on;
	uint64_t fired_ns;
};

static struct runner runner;
static bool in_ring; /* the loop sleeps in io_uring */

static int setup_runner(void **state)
{
	(void)state;
	memset(&runner, 0, sizeof(runner));
	if (loop_create(clock_host(), &runner.loop))
		return -1;
	return in_ring ? loop_ring_open(runner.loop, NULL, 0) : 0;
}

/* Again in a loop that sleeps in io_uring; test_loop_ring says where there is none. */
static int setup_ring_runners(void **state)
{
	struct loop *l = NULL;

	(void)state;
	in_ring = !loop_create(clock_host(), &l) && !loop_ring_open(l, NULL, 0);
	loop_destroy(l);
	return 0;
}

static int teardown_runner(void **state)
{
	(void)state;
	loop_destroy(runner.loop);
	return 0;
}

static void *run_loop(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)loop_run(runner.loop);
}

static void start_loop(void)
{
	assert_int_equal(pthread_create(&runner.loop_thread, NULL, run_loop, NULL), 0);
}

static void join_loop(void)
{
	void *ret;

	pthread_join(runner.loop_thread, &ret);
	assert_null(ret);
}

static void stop_from_task(struct task *t)
{
	(void)t;
	runner.ran_on = pthread_self();
	loop_stop(runner.loop);
}

static void test_post_wakes(void **state)
{
	(void)state;
	runner.post.fn = stop_from_task;
	start_loop();
	usleep(20000); /* asleep by now, most likely; right either way */
	loop_post(runner.loop, &runner.post);
	join_loop();
	assert_true(pthread_equal(runner.ran_on, runner.loop_thread));
}

static void stop_from_timer(struct timer *t)
{
	(void)t;
	runner.fired_ns = clock_now_ns(clock_host());
	loop_stop(runner.loop);
}

static void test_earlier_timer_wakes(void **state)
{
	struct timer late;
	uint64_t start = clock_now_ns(clock_host());

	(void)state;
	timer_init(&late, stop_from_timer);
	timer_init(&runner.timer, stop_from_timer);
	loop_timer_set(runner.loop, &late, start + 3600 * NS_PER_S);
	start_loop();
	usleep(20000);
	loop_timer_set(runner.loop, &runner.timer, start + 50 * NS_PER_MS);
	join_loop();
	assert_true(runner.fired_ns >= start + 50 * NS_PER_MS);
	assert_true(runner.fired_ns < start + 60 * NS_PER_S);
	loop_timer_cancel(runner.loop, &late);
}

static void test_stop_before_run(void **state)
{
	(void)state;
	loop_stop(runner.loop);
	assert_int_equal(loop_run(runner.loop), 0);
	/* And it can run again. */
	runner.post.fn = stop_from_task;
	loop_post(runner.loop, &runner.post);
	assert_int_equal(loop_run(runner.loop), 0);
	assert_true(pthread_equal(runner.ran_on, pthread_self()));
}

static void on_alarm(int number)
{
	(void)number;
	loop_stop(runner.loop);
}

static void test_stop_from_signal(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm}, old;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	ualarm(20000, 0);
	assert_int_equal(loop_run(runner.loop), 0);
	sigaction(SIGALRM, &old, NULL);
}

#define POSTERS    3
#define POSTS_EACH 20000

static struct poster {
	struct task task; /* first */
	atomic_uint runs;
} posters[POSTERS];

static void count_post(struct task *t)
{
	atomic_fetch_add(&((struct poster *)t)->runs, 1);
}

/* Waits for a run of its own every now and then: a lost wake-up hangs here. */
static void *post_many(void *arg)
{
	struct poster *p = arg;
	unsigned i, before;

	for (i = 0; i < POSTS_EACH; i++) {
		before = atomic_load(&p->runs);
		loop_post(runner.loop, &p->task);
		while (i % 100 == 0 && atomic_load(&p->runs) == before)
			sched_yield();
	}
	return NULL;
}

static void test_posts_from_threads(void **state)
{
	pthread_t threads[POSTERS];
	unsigned i;

	(void)state;
	memset(posters, 0, sizeof(posters));
	start_loop();
	for (i = 0; i < POSTERS; i++) {
		posters[i].task.fn = count_post;
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
	}
	for (i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	loop_stop(runner.loop);
	join_loop();
	for (i = 0; i < POSTERS; i++)
		assert_in_range(atomic_load(&posters[i].runs), POSTS_EACH / 100, POSTS_EACH);
}

static void test_create_without_descriptors(void **state)
{
	struct rlimit old, low;
	struct loop *l = NULL;
	int next = dup(0), err;

	(void)state;
	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	for (low.rlim_cur = (rlim_t)next; low.rlim_cur < (rlim_t)next + 2; low.rlim_cur++) {
		setrlimit(RLIMIT_NOFILE, &low);
		err = loop_create(clock_host(), &l);
		setrlimit(RLIMIT_NOFILE, &old);
		assert_int_equal(err, -EMFILE);
		assert_int_equal(dup(0), next); /* none left open */
		close(next);
	}
}

#define TIMER_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_timers, teardown)
#define TASK_TEST(name)   cmocka_unit_test_setup_teardown(name, setup_tasks, teardown)
#define RUNNER_TEST(name) cmocka_unit_test_setup_teardown(name, setup_runner, teardown_runner)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TIMER_TEST(test_timer_due),
	    TIMER_TEST(test_timer_after),
	    TIMER_TEST(test_timer_order),
	    TIMER_TEST(test_timer_random),
	    TIMER_TEST(test_timer_always_late),
	    TIMER_TEST(test_timer_cancelled_by_timer),
	    TIMER_TEST(test_fake_clock_run),
	    TASK_TEST(test_task_once_in_order),
	    TASK_TEST(test_task_posts_itself),
	    RUNNER_TEST(test_post_wakes),
	    RUNNER_TEST(test_earlier_timer_wakes),
	    RUNNER_TEST(test_stop_before_run),
	    RUNNER_TEST(test_stop_from_signal),
	    RUNNER_TEST(test_posts_from_threads),
	    RUNNER_TEST(test_create_without_descriptors),
	};

	const struct CMUnitTest runners[] = {
	    RUNNER_TEST(test_post_wakes),         RUNNER_TEST(test_earlier_timer_wakes),
	    RUNNER_TEST(test_stop_before_run),    RUNNER_TEST(test_stop_from_signal),
	    RUNNER_TEST(test_posts_from_threads),
	};
	int failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);

	return failed + cmocka_run_group_tests_name("ring", runners, setup_ring_runners, NULL);
}
