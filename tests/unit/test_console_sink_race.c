/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sink while a vCPU writes: no byte waits for the next one to be noticed. */
#include "console/sink.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS   20000u
#define ENOUGH   (3 * NS_PER_S) /* on a busy host */
#define PIPE     4096
#define REST     100u /* bytes that do not fit into the pipe at first */
#define LIMIT_MS 2000

/* Each look at it is later than any timer that was set before. */
struct fast_clock {
	struct clock clock;
	atomic_ullong now;
};

struct rig {
	struct fast_clock clock;
	struct loop *loop;
	struct sink sink;
	int reader;
	atomic_bool over;
	pthread_t thread;
};

static uint64_t fast_monotonic(struct clock *c)
{
	return atomic_fetch_add(&((struct fast_clock *)c)->now, NS_PER_S) + NS_PER_S;
}

static const struct clock_ops fast_ops = {.monotonic_ns = fast_monotonic};

static void *loop_thread(void *arg)
{
	struct rig *r = arg;

	while (!atomic_load(&r->over))
		loop_step(r->loop);
	return NULL;
}

static struct rig *rig_open(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct sink_params p = {.name = "test"};
	int fds[2];

	assert_non_null(r);
	r->clock.clock.ops = &fast_ops;
	assert_int_equal(loop_create(&r->clock.clock, &r->loop), 0);
	p.loop = r->loop;
	assert_int_equal(sink_init(&r->sink, &p), 0);
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PIPE), PIPE);
	r->reader = fds[0];
	assert_int_equal(sink_attach(&r->sink, fds[1], SINK_POLL), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, loop_thread, r), 0);
	return r;
}

static void rig_close(struct rig *r)
{
	atomic_store(&r->over, true);
	pthread_join(r->thread, NULL);
	sink_finish(&r->sink, NS_PER_MS);
	assert_true(sink_fini(&r->sink));
	close(r->reader);
	loop_destroy(r->loop);
	free(r);
}

/* True: n bytes came. */
static bool take(struct rig *r, size_t n)
{
	struct pollfd p = {.fd = r->reader, .events = POLLIN};
	uint8_t buf[PIPE];

	while (n) {
		ssize_t got = read(r->reader, buf, n < sizeof(buf) ? n : sizeof(buf));

		if (got > 0)
			n -= (size_t)got;
		else if (poll(&p, 1, LIMIT_MS) != 1)
			return false;
	}
	return true;
}

/* The last byte comes when the loop finds the ring empty and stops to watch the pipe. */
static void test_byte_while_the_sink_falls_asleep(void **state)
{
	static const uint8_t bytes[PIPE + REST];
	struct rig *r = rig_open();
	uint64_t end = clock_now_ns(clock_host()) + ENOUGH;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < ROUNDS && clock_now_ns(clock_host()) < end; i++) {
		sink_write(&r->sink, bytes, sizeof(bytes));
		assert_true(take(r, PIPE));
		for (volatile int spin = rand() % 3000; spin; spin--)
			;
		sink_write(&r->sink, bytes, 1);
		if (!take(r, REST + 1))
			fail_msg("round %u: a byte was not handed over", i);
	}
	rig_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_byte_while_the_sink_falls_asleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
