/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mc146818 through its ports, with clocks that the test steps. */
#include "platform/mc146818.h"
#include "platform/calendar.h"

#include "fake_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#define RTC   0x70
#define GSI   8

#define START 951782395ll /* 2000-02-28 23:59:55 UTC, a Monday before a leap day */

#define SET   0x80
#define PIE   0x40
#define AIE   0x20
#define UIE   0x10
#define DM    0x04
#define H24   0x02

struct rig {
	struct fake_board board;
	struct device *rtc;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct mc146818_params p = {.port = RTC, .gsi = GSI};

	assert_non_null(r);
	fake_board_init(&r->board, START);
	p.ports = r->board.ports;
	p.irq = &r->board.irq.chip;
	p.loop = r->board.loop;
	p.ram_below_4gib = 3ull << 30;
	p.ram_above_4gib = 5ull << 30;
	assert_int_equal(mc146818_create(&p, &r->rtc), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	assert_true(mc146818_check(r->rtc));
	r->rtc->ops->destroy(r->rtc);
	fake_board_fini(&r->board);
	free(r);
	return 0;
}

static void put(struct rig *r, uint8_t index, uint8_t value)
{
	bus_write(r->board.ports, RTC, 1, index);
	bus_write(r->board.ports, RTC + 1, 1, value);
}

static uint8_t get(struct rig *r, uint8_t index)
{
	bus_write(r->board.ports, RTC, 1, index);
	return (uint8_t)bus_read(r->board.ports, RTC + 1, 1);
}

static bool line(struct rig *r)
{
	return fake_irq_level(&r->board.irq, GSI);
}

/* In the order century, year, month, day, weekday, hour, minute, second. */
static void assert_date(struct rig *r, const uint8_t expected[8])
{
	static const uint8_t index[8] = {0x32, 9, 8, 7, 6, 4, 2, 0};
	unsigned i;

	for (i = 0; i < 8; i++)
		assert_int_equal(get(r, index[i]), expected[i]);
}

#define DATE(...) ((const uint8_t[8]){__VA_ARGS__})

static void run(struct rig *r, uint64_t ms)
{
	fake_clock_run(&r->board.clock, r->board.loop, ms * NS_PER_MS, NS_PER_MS);
}

static void test_time(void **state)
{
	struct rig *r = *state;

	assert_date(r, DATE(0x20, 0x00, 0x02, 0x28, 2, 0x23, 0x59, 0x55));
	fake_clock_step(&r->board.clock, 5 * NS_PER_S);
	assert_date(r, DATE(0x20, 0x00, 0x02, 0x29, 3, 0x00, 0x00, 0x00));
	put(r, 0x0b, H24 | DM);
	fake_clock_step(&r->board.clock, 13 * 3600 * NS_PER_S);
	assert_date(r, DATE(20, 0, 2, 29, 3, 13, 0, 0));
	put(r, 0x0b, 0);
	assert_int_equal(get(r, 4), 0x81); /* 1 PM */
	put(r, 0x0b, DM);
	fake_clock_step(&r->board.clock, 23 * 3600 * NS_PER_S);
	assert_int_equal(get(r, 4), 0x8c); /* noon */
	fake_clock_step(&r->board.clock, 12 * 3600 * NS_PER_S);
	assert_int_equal(get(r, 4), 12); /* midnight */
	assert_int_equal(get(r, 0x0d), 0x80);
	put(r, 0x0d, 0);
	put(r, 0x0c, 0xff);
	assert_int_equal(get(r, 0x0d), 0x80);
	assert_int_equal(get(r, 0x0c) & 0x80, 0);
	assert_int_equal(bus_read(r->board.ports, RTC, 1), 0xff);
	assert_int_equal(bus_read(r->board.ports, RTC + 2, 1), 0xff);
}

/* rtc_cmos and early boot poll UIP: it must be seldom 1 and never stay so. */
static void test_update_in_progress(void **state)
{
	struct rig *r = *state;
	unsigned i, high = 0;

	for (i = 0; i < 100000; i++) {
		if (get(r, 0x0a) & 0x80)
			high++;
		fake_clock_step(&r->board.clock, 10000);
	}
	assert_in_range(high, 24, 25); /* 244 us of one second in 10 us steps */
	fake_clock_step(&r->board.clock, NS_PER_S - 244000);
	assert_int_equal(get(r, 0x0a), 0xa6);
	fake_clock_step(&r->board.clock, 244000);
	assert_int_equal(get(r, 0x0a), 0x26);
	fake_clock_step(&r->board.clock, NS_PER_S - 244000);
	put(r, 0x0b, SET | H24);
	assert_int_equal(get(r, 0x0a), 0x26);
}

/* As mc146818_set_time() of Linux does it. */
static void linux_set_time(struct rig *r, const uint8_t date[8])
{
	static const uint8_t index[8] = {0x32, 9, 8, 7, 6, 4, 2, 0};
	uint8_t b = get(r, 0x0b);
	uint8_t a = get(r, 0x0a) & 0x7f;
	unsigned i;

	put(r, 0x0b, b | SET);
	put(r, 0x0a, a | 0x70);
	for (i = 0; i < 8; i++)
		put(r, index[i], date[i]);
	put(r, 0x0b, b);
	put(r, 0x0a, a);
}

static void test_set_time(void **state)
{
	struct rig *r = *state;

	fake_clock_step(&r->board.clock, 123456789);
	linux_set_time(r, DATE(0x21, 0x99, 0x12, 0x31, 5, 0x23, 0x59, 0x59));
	/* The next second begins half a second after the divider is let go. */
	fake_clock_step(&r->board.clock, NS_PER_S / 2 - 1);
	assert_date(r, DATE(0x21, 0x99, 0x12, 0x31, 5, 0x23, 0x59, 0x59));
	assert_int_equal(get(r, 0x0a), 0xa6);
	fake_clock_step(&r->board.clock, 1);
	assert_date(r, DATE(0x22, 0x00, 0x01, 0x01, 6, 0x00, 0x00, 0x00));
	/* The offset to the host's clock stays. */
	fake_clock_jump(&r->board.clock, 3600 * (int64_t)NS_PER_S);
	assert_date(r, DATE(0x22, 0x00, 0x01, 0x01, 6, 0x01, 0x00, 0x00));
	device_reset(r->rtc);
	assert_date(r, DATE(0x22, 0x00, 0x01, 0x01, 6, 0x01, 0x00, 0x00));
}

static void test_set_freezes(void **state)
{
	struct rig *r = *state;

	put(r, 0x0b, SET | H24);
	fake_clock_step(&r->board.clock, 1000 * NS_PER_S + NS_PER_S / 4);
	assert_int_equal(get(r, 0), 0x55);
	put(r, 0, 0x58);
	put(r, 0x0b, H24);
	assert_int_equal(get(r, 0), 0x58);
	/* The divider ran on meanwhile, so the second ends where the host's does. */
	fake_clock_step(&r->board.clock, NS_PER_S * 3 / 4 - 1);
	assert_int_equal(get(r, 0), 0x58);
	fake_clock_step(&r->board.clock, 1);
	assert_int_equal(get(r, 0), 0x59);
	/* Without SET a register takes its value at once. */
	put(r, 4, 0x07);
	assert_date(r, DATE(0x20, 0x00, 0x02, 0x28, 2, 0x07, 0x59, 0x59));
}

static void test_nonsense_dates(void **state)
{
	struct rig *r = *state;
	unsigned mode, value;

	for (mode = 0; mode < 4; mode++) {
		for (value = 0; value < 256; value++) {
			uint8_t v = (uint8_t)value;

			put(r, 0x0b, (uint8_t)(mode << 1));
			linux_set_time(r, (const uint8_t[8]){v, v, v, v, v, v, v, v});
			assert_true(mc146818_check(r->rtc));
			put(r, 0x0b, H24 | DM);
			assert_in_range(get(r, 8), 1, 12);
			assert_in_range(get(r, 7), 1, 31);
			assert_in_range(get(r, 6), 1, 7);
			assert_in_range(get(r, 4), 0, 23);
			assert_in_range(get(r, 2), 0, 59);
			assert_in_range(get(r, 0), 0, 59);
		}
	}
}

static void test_alarm(void **state)
{
	struct rig *r = *state;

	put(r, 0x0a, 0x20); /* no periodic ticks */
	put(r, 5, 0x00);    /* 00:00:02, seven seconds on */
	put(r, 3, 0x00);
	put(r, 1, 0x02);
	get(r, 0x0c);
	put(r, 0x0b, AIE | H24);
	run(r, 6990);
	assert_false(line(r));
	run(r, 20);
	assert_true(line(r));
	run(r, 3000);
	assert_int_equal(fake_irq_rises(&r->board.irq, GSI), 1);
	assert_int_equal(get(r, 0x0c), 0xb0); /* and the seconds that passed: UF */
	assert_false(line(r));
	assert_int_equal(get(r, 0x0c), 0x00);
	/* Again a day later, to the second. */
	fake_clock_run(&r->board.clock, r->board.loop, (86400 - 4) * NS_PER_S, NS_PER_S / 2);
	assert_false(line(r));
	fake_clock_run(&r->board.clock, r->board.loop, 2 * NS_PER_S, NS_PER_S / 2);
	assert_true(line(r));
}

static unsigned alarms(struct rig *r, unsigned seconds)
{
	unsigned i, n = 0;

	for (i = 0; i < seconds; i++) {
		fake_clock_run(&r->board.clock, r->board.loop, NS_PER_S, NS_PER_S);
		if (line(r)) {
			assert_int_equal(get(r, 0x0c) & 0xa0, 0xa0);
			n++;
		}
	}
	return n;
}

static void test_alarm_wildcards(void **state)
{
	struct rig *r = *state;

	put(r, 0x0b, AIE | H24);
	put(r, 5, 0xff);
	put(r, 3, 0xc0);
	put(r, 1, 0xff);
	assert_int_equal(alarms(r, 100), 100);
	put(r, 1, 0x30);
	assert_int_equal(alarms(r, 600), 10);
	put(r, 3, 0x15);
	assert_int_equal(alarms(r, 7200), 2);
	put(r, 5, 0x04);
	assert_int_equal(alarms(r, 86400), 1);
	put(r, 5, 0x24); /* never, and nothing spins on it */
	assert_int_equal(alarms(r, 86400), 0);
	assert_int_equal(fake_clock_run(&r->board.clock, r->board.loop, 86400 * NS_PER_S, NS_PER_S),
			 0);
	put(r, 5, 0xff);
	put(r, 3, 0x60);
	assert_int_equal(alarms(r, 7200), 0);
	put(r, 0x0b, AIE); /* 12 hours */
	put(r, 3, 0x00);
	put(r, 1, 0x00);
	put(r, 5, 0x92); /* noon */
	assert_int_equal(alarms(r, 86400), 1);
	put(r, 5, 0x00); /* no such hour */
	assert_int_equal(alarms(r, 86400), 0);
}

/* When somebody sets the host's clock forward, the alarm is not slept through. */
static void test_alarm_and_clock_jump(void **state)
{
	struct rig *r = *state;

	put(r, 5, 0x05);
	put(r, 3, 0x00);
	put(r, 1, 0x00);
	put(r, 0x0b, AIE | H24);
	fake_clock_jump(&r->board.clock, 6 * 3600 * (int64_t)NS_PER_S);
	fake_clock_run(&r->board.clock, r->board.loop, 61 * NS_PER_S, NS_PER_S);
	assert_true(line(r));
	get(r, 0x0c);
	fake_clock_jump(&r->board.clock, -48 * 3600 * (int64_t)NS_PER_S);
	fake_clock_run(&r->board.clock, r->board.loop, 120 * NS_PER_S, NS_PER_S);
	assert_false(line(r));
	fake_clock_run(&r->board.clock, r->board.loop, 86400 * NS_PER_S, NS_PER_S);
	assert_true(line(r));
}

static void test_update_ended(void **state)
{
	struct rig *r = *state;
	unsigned i;

	put(r, 0x0b, UIE | H24);
	for (i = 1; i <= 10; i++) {
		run(r, 1000);
		assert_int_equal(fake_irq_rises(&r->board.irq, GSI), i);
		assert_int_equal(get(r, 0x0c) & 0x90, 0x90);
		assert_int_equal(get(r, 0), i < 5 ? 0x55 + i : i - 5);
	}
	put(r, 0x0b, SET | UIE | H24); /* SET takes UIE back */
	assert_int_equal(get(r, 0x0b), SET | H24);
	run(r, 5000);
	assert_int_equal(fake_irq_rises(&r->board.irq, GSI), 10);
}

static void test_idle_costs_nothing(void **state)
{
	struct rig *r = *state;

	get(r, 0x0c);
	assert_int_equal(
	    fake_clock_run(&r->board.clock, r->board.loop, 3600 * NS_PER_S, NS_PER_S / 8), 0);
	/* Nor does an interrupt that the guest does not acknowledge. */
	put(r, 0x0b, PIE | UIE | AIE | H24);
	fake_clock_run(&r->board.clock, r->board.loop, NS_PER_S, NS_PER_MS);
	assert_true(line(r));
	assert_int_equal(
	    fake_clock_run(&r->board.clock, r->board.loop, 3600 * NS_PER_S, NS_PER_S / 8), 0);
}

static void test_periodic_rates(void **state)
{
	static const unsigned hz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
					256, 128, 64,  32,   16,   8,    4,    2};
	struct rig *r = *state;
	unsigned rate, i, n;

	for (rate = 0; rate < 16; rate++) {
		put(r, 0x0b, H24);
		put(r, 0x0a, (uint8_t)(0x20 | rate));
		get(r, 0x0c);
		put(r, 0x0b, PIE | H24);
		for (i = 0, n = 0; i < 40000; i++) {
			fake_clock_run(&r->board.clock, r->board.loop, 50000, 50000);
			if (line(r)) {
				assert_int_equal(get(r, 0x0c) & 0xc0, 0xc0);
				n++;
			}
		}
		/* Two seconds; the last tick may be due just now. */
		assert_in_range(n, hz[rate] ? 2 * hz[rate] - 1 : 0, 2 * hz[rate]);
	}
	put(r, 0x0a, 0x76); /* divider held: no ticks */
	get(r, 0x0c);
	run(r, 1000);
	assert_false(line(r));
	assert_int_equal(get(r, 0x0c), 0);
}

static void test_periodic_polled(void **state)
{
	struct rig *r = *state;

	get(r, 0x0c);
	assert_int_equal(get(r, 0x0c), 0);
	fake_clock_step(&r->board.clock, NS_PER_S / 1024 + 1);
	assert_int_equal(get(r, 0x0c), 0x40);
	assert_int_equal(get(r, 0x0c), 0);
	assert_int_equal(r->board.irq.count, 0);
}

/* After a pause of the host, missed ticks come at twice the rate, and not all of them. */
static void test_pause_makes_no_storm(void **state)
{
	struct rig *r = *state;
	unsigned i, n = 0;

	put(r, 0x0b, PIE | H24);
	run(r, 1);
	get(r, 0x0c);
	fake_clock_step(&r->board.clock, 3600 * NS_PER_S);
	for (i = 0; i < 10000; i++) {
		fake_clock_run(&r->board.clock, r->board.loop, 100000, 100000);
		if (line(r)) {
			get(r, 0x0c);
			n++;
		}
	}
	/* One second: 1024 regular ones and a quarter of a second's worth. */
	assert_in_range(n, 1024 + 240, 1024 + 257);
}

static void test_memory(void **state)
{
	struct rig *r = *state;
	unsigned i;

	assert_int_equal(get(r, 0x15) | get(r, 0x16) << 8, 640);
	assert_int_equal(get(r, 0x17) | get(r, 0x18) << 8, 0xffff);
	assert_int_equal(get(r, 0x30) | get(r, 0x31) << 8, 0xffff);
	assert_int_equal(get(r, 0x34) | get(r, 0x35) << 8, (3072 - 16) * 16);
	assert_int_equal(get(r, 0x5b) | get(r, 0x5c) << 8 | get(r, 0x5d) << 16, 5 << 14);
	mc146818_set_byte(r->rtc, 0x2d, 0x77);
	for (i = 0x10; i < 0x2e; i++)
		bus_write(r->board.ports, RTC, 1, i);
	assert_int_equal(get(r, 0x2d), 0x77);
	put(r, 0x0f, 0x0a);
	put(r, 0xff, 0x33); /* the index has seven bits */
	bus_write(r->board.ports, RTC + 2, 1, 0x7f);
	bus_write(r->board.ports, RTC + 3, 1, 0x44);
	device_reset(r->rtc);
	assert_int_equal(get(r, 0x0f), 0x0a);
	assert_int_equal(get(r, 0x7f), 0x33);
	bus_write(r->board.ports, RTC + 2, 1, 0x7f);
	assert_int_equal(bus_read(r->board.ports, RTC + 3, 1), 0x44);
	bus_write(r->board.ports, RTC, 2, 0x550e); /* one 16-bit write: index and data */
	assert_int_equal(get(r, 0x0e), 0x55);
}

static void test_reset_takes_interrupts_back(void **state)
{
	struct rig *r = *state;

	put(r, 0x0b, PIE | AIE | UIE | H24 | DM);
	run(r, 10);
	assert_true(line(r));
	device_reset(r->rtc);
	assert_false(line(r));
	assert_int_equal(get(r, 0x0b), H24 | DM);
	assert_int_equal(fake_clock_run(&r->board.clock, r->board.loop, 10 * NS_PER_S, NS_PER_MS),
			 0);
}

static void test_calendar(void **state)
{
	int64_t seconds;
	struct date d;
	struct tm tm;

	(void)state;
	/* Years 1 to 9999 in steps of 1.1 days, against the C library. */
	for (seconds = -62135596800ll; seconds < 253402300800ll; seconds += 95040 + 1) {
		time_t t = seconds;

		calendar_from_seconds(seconds, &d);
		assert_non_null(gmtime_r(&t, &tm));
		if (d.year != tm.tm_year + 1900 || d.month != tm.tm_mon + 1u ||
		    d.day != (unsigned)tm.tm_mday || d.weekday != tm.tm_wday + 1u ||
		    d.hour != (unsigned)tm.tm_hour || d.minute != (unsigned)tm.tm_min ||
		    d.second != (unsigned)tm.tm_sec || calendar_to_seconds(&d) != seconds)
			fail_msg("%lld", (long long)seconds);
	}
}

/* A million random accesses in random time, each followed by the device's own check. */
static void test_random_accesses(void **state)
{
	struct rig *r = *state;
	unsigned long seed = 1;
	unsigned i;

	for (i = 0; i < 1000000; i++) {
		seed = seed * 6364136223846793005ul + 1442695040888963407ul;
		if (seed >> 33 & 1)
			bus_write(r->board.ports, RTC + (seed >> 34 & 3), 1u << (seed >> 36 & 3),
				  seed >> 40 & 0x0f0f0f0f0f0f0f0f);
		else
			bus_read(r->board.ports, RTC + (seed >> 34 & 3), 1u << (seed >> 36 & 3));
		if ((seed >> 50 & 15) == 0)
			fake_clock_step(&r->board.clock, 1ull << (seed >> 54 & 31));
		if ((seed >> 50 & 255) == 1)
			fake_clock_jump(&r->board.clock, (int64_t)(seed >> 20) - (1ll << 43));
		if ((seed >> 50 & 15) == 2)
			assert_in_range(loop_step(r->board.loop), 0, 1);
		assert_true(mc146818_check(r->rtc));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_time),
	    TEST(test_update_in_progress),
	    TEST(test_set_time),
	    TEST(test_set_freezes),
	    TEST(test_nonsense_dates),
	    TEST(test_alarm),
	    TEST(test_alarm_wildcards),
	    TEST(test_alarm_and_clock_jump),
	    TEST(test_update_ended),
	    TEST(test_idle_costs_nothing),
	    TEST(test_periodic_rates),
	    TEST(test_periodic_polled),
	    TEST(test_pause_makes_no_storm),
	    TEST(test_memory),
	    TEST(test_reset_takes_interrupts_back),
	    cmocka_unit_test(test_calendar),
	    TEST(test_random_accesses),
	};

	return cmocka_run_group_tests_name("mc146818", tests, NULL, NULL);
}
