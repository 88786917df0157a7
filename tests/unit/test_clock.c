/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks and the fake one. */
#include "fake_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

static void test_host(void **state)
{
	uint64_t a = clock_now_ns(clock_host()), b;
	time_t wall = time(NULL);
	unsigned i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		b = clock_now_ns(clock_host());
		assert_true(b >= a);
		a = b;
	}
	assert_in_range(clock_wall_ns(clock_host()) / (int64_t)NS_PER_S, wall - 1, wall + 60);
}

static void test_fake(void **state)
{
	struct fake_clock f;
	uint64_t start;

	(void)state;
	fake_clock_init(&f, -5);
	start = clock_now_ns(&f.clock);
	assert_int_equal(clock_wall_ns(&f.clock), -5 * (int64_t)NS_PER_S);
	fake_clock_step(&f, 7);
	assert_int_equal(clock_now_ns(&f.clock), start + 7);
	assert_int_equal(clock_wall_ns(&f.clock), -5 * (int64_t)NS_PER_S + 7);
	fake_clock_jump(&f, -100);
	assert_int_equal(clock_now_ns(&f.clock), start + 7);
	assert_int_equal(clock_wall_ns(&f.clock), -5 * (int64_t)NS_PER_S - 93);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_fake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
