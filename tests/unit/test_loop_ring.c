/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a loop can do that sleeps in io_uring. What every loop does is in test_loop*.c, for both. */
#include <lodge/loop_ring.h>

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
	struct loop *loop;
	struct watch watch;
	struct ring_op op;
	unsigned calls, done;
	int result;
	sem_t called;
	pthread_t thread;
};

static struct rig rig;

static void called(struct watch *w, uint32_t revents)
{
	(void)w;
	assert_int_equal(revents, EPOLLIN);
	rig.calls++;
	sem_post(&rig.called);
}

static int setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	sem_init(&rig.called, 0, 0);
	rig.watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig.watch.fn = called;
	rig.watch.events = EPOLLIN | EPOLLET;
	return loop_create(clock_host(), &rig.loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_unwatch(rig.loop, &rig.watch);
	loop_destroy(rig.loop);
	close(rig.watch.fd);
	sem_destroy(&rig.called);
	return 0;
}

static void open_ring(void)
{
	static const int needed[] = {IORING_OP_NOP};
	int err = loop_ring_open(rig.loop, needed, 1);

	if (err == -ENOSYS || err == -EPERM || err == -ENOMEM) {
		print_message("# no io_uring here: %s\n", strerror(-err));
		skip();
	}
	assert_int_equal(err, 0);
	assert_int_equal(loop_ring_open(rig.loop, needed, 1), 0);
}

static unsigned steps(void)
{
	unsigned ran = 0;

	for (unsigned i = 0; i < 10; i++)
		ran += loop_step(rig.loop);
	return ran;
}

static void test_needed_operation(void **state)
{
	static const int needed[] = {255};

	(void)state;
	open_ring();
	loop_destroy(rig.loop);
	assert_int_equal(loop_create(clock_host(), &rig.loop), 0);
	assert_int_equal(loop_ring_open(rig.loop, needed, 1), -ENOSYS);
	assert_int_equal(loop_watch(rig.loop, &rig.watch), 0);
	eventfd_write(rig.watch.fd, 1);
	assert_int_equal(steps(), 1);
}

/* Nobody reads the eventfd, and each write of it is one event. */
static void test_edges(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(loop_watch(rig.loop, &rig.watch), 0);
	assert_int_equal(steps(), 0);
	for (unsigned i = 1; i <= 1000; i++) {
		eventfd_write(rig.watch.fd, 1);
		assert_int_equal(steps(), 1);
		assert_int_equal(rig.calls, i);
	}
	loop_unwatch(rig.loop, &rig.watch);
	eventfd_write(rig.watch.fd, 1);
	assert_int_equal(steps(), 0);
}

static void test_watched_before(void **state)
{
	(void)state;
	rig.watch.events = EPOLLIN;
	assert_int_equal(loop_watch(rig.loop, &rig.watch), 0);
	eventfd_write(rig.watch.fd, 1);
	assert_int_equal(loop_step(rig.loop), 1);
	open_ring();
	assert_true(steps() >= 9);
}

static void done(struct ring_op *op, int result)
{
	assert_ptr_equal(op, &rig.op);
	rig.result = result;
	rig.done++;
}

static void test_op(void **state)
{
	(void)state;
	open_ring();
	rig.op.done = done;
	/* More than the ring holds. */
	for (unsigned i = 0; i < 2000; i++) {
		struct io_uring_sqe *sqe = loop_ring_sqe(rig.loop);

		assert_non_null(sqe);
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, &rig.op);
	}
	assert_int_equal(rig.done, 0);
	assert_int_equal(steps(), 2000);
	assert_int_equal(rig.done, 2000);
	assert_int_equal(rig.result, 0);
}

static void test_signal(void **state)
{
	eventfd_t value = 0;

	(void)state;
	loop_signal(rig.loop, rig.watch.fd); /* without a ring */
	assert_int_equal(eventfd_read(rig.watch.fd, &value), 0);
	open_ring();
	loop_signal(rig.loop, rig.watch.fd);
	loop_flush(rig.loop);
	assert_int_equal(eventfd_read(rig.watch.fd, &value), 0);
	assert_int_equal(value, 1);
	loop_signal(rig.loop, rig.watch.fd);
	assert_int_equal(steps(), 0);
	assert_int_equal(eventfd_read(rig.watch.fd, &value), 0);
	assert_int_equal(value, 1);
}

static void *run(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)loop_run(rig.loop);
}

static void run_and_write(unsigned times)
{
	void *result;

	assert_int_equal(pthread_create(&rig.thread, NULL, run, NULL), 0);
	while (times--) {
		eventfd_write(rig.watch.fd, 1);
		sem_wait(&rig.called);
	}
	loop_stop(rig.loop);
	pthread_join(rig.thread, &result);
	assert_null(result);
}

/* Polls of a thread that is gone are put in again by the next. */
static void test_threads(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(loop_watch(rig.loop, &rig.watch), 0);
	for (unsigned i = 0; i < 20; i++) {
		unsigned before;

		run_and_write(10);
		steps();
		before = rig.calls;
		eventfd_write(rig.watch.fd, 1);
		assert_true(steps() >= 1 && rig.calls > before);
		while (sem_trywait(&rig.called) == 0)
			;
	}
}

/* Watched by another thread while the loop sleeps. */
static void test_watch_wakes(void **state)
{
	void *result;

	(void)state;
	open_ring();
	assert_int_equal(pthread_create(&rig.thread, NULL, run, NULL), 0);
	usleep(20000);
	assert_int_equal(loop_watch(rig.loop, &rig.watch), 0);
	eventfd_write(rig.watch.fd, 1);
	sem_wait(&rig.called);
	loop_stop(rig.loop);
	pthread_join(rig.thread, &result);
	assert_null(result);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RING_TEST(test_needed_operation), RING_TEST(test_edges),
	    RING_TEST(test_watched_before),   RING_TEST(test_op),
	    RING_TEST(test_signal),           RING_TEST(test_threads),
	    RING_TEST(test_watch_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
