/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buses: lookup at every boundary, splitting, mapping rules, mapping inside a callback. */
#include <lodge/bus.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define TOP UINT64_MAX

/* Writes down each call as text, "A:r4@2" or "A:w1@0=ff", and reads as 0x10 + offset bytes. */
static char calls[1024];

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
	size_t used = strlen(calls);
	va_list args;

	va_start(args, fmt);
	vsnprintf(calls + used, sizeof(calls) - used, fmt, args);
	va_end(args);
}

static uint64_t spy_read(void *dev, uint64_t offset, unsigned size)
{
	uint64_t value = 0;
	unsigned i;

	note("%s:r%u@%llx ", (const char *)dev, size, (unsigned long long)offset);
	for (i = 0; i < size; i++)
		value |= (uint64_t)(uint8_t)(0x10 + offset + i) << 8 * i;
	/* A device that leaves rubbish above its size must not reach other bytes. */
	return size == 8 ? value : value | 0xffull << 56;
}

static void spy_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	note("%s:w%u@%llx=%llx ", (const char *)dev, size, (unsigned long long)offset,
	     (unsigned long long)value);
}

static const struct bus_region_ops spy1 = {"spy1", spy_read, spy_write, 1};
static const struct bus_region_ops spy2 = {"spy2", spy_read, spy_write, 2};
static const struct bus_region_ops spy4 = {"spy4", spy_read, spy_write, 4};
static const struct bus_region_ops spy8 = {"spy8", spy_read, spy_write, 8};

static struct bus *ports(void)
{
	struct bus *b;

	assert_int_equal(bus_create("ports", 0xffff, &b), 0);
	return b;
}

static struct bus_region region(const struct bus_region_ops *ops, const char *name)
{
	return (struct bus_region){.ops = ops, .dev = (void *)(uintptr_t)name};
}

static void expect_read(struct bus *b, uint64_t addr, unsigned size, uint64_t value,
			const char *expected)
{
	calls[0] = '\0';
	assert_int_equal(bus_read(b, addr, size), value);
	assert_string_equal(calls, expected);
}

static void expect_write(struct bus *b, uint64_t addr, unsigned size, uint64_t value,
			 const char *expected)
{
	calls[0] = '\0';
	bus_write(b, addr, size, value);
	assert_string_equal(calls, expected);
}

static void test_empty_bus(void **state)
{
	struct bus *b = ports();

	(void)state;
	expect_read(b, 0, 1, 0xff, "");
	expect_read(b, 0, 2, 0xffff, "");
	expect_read(b, 0x3f8, 4, 0xffffffff, "");
	expect_read(b, 0xffff, 8, TOP, "");
	expect_read(b, TOP, 8, TOP, "");
	expect_write(b, 0, 4, 1, "");
	expect_write(b, TOP, 8, 1, "");
	bus_destroy(b);
}

static void test_lookup_boundaries(void **state)
{
	struct bus_region a = region(&spy1, "A"), z = region(&spy1, "Z");
	struct bus *b = ports();

	(void)state;
	assert_int_equal(bus_map(b, &a, 0x100, 8), 0);
	assert_int_equal(bus_map(b, &z, 0xfff8, 8), 0);
	expect_read(b, 0xff, 1, 0xff, "");
	expect_read(b, 0x100, 1, 0x10, "A:r1@0 ");
	expect_read(b, 0x107, 1, 0x17, "A:r1@7 ");
	expect_read(b, 0x108, 1, 0xff, "");
	expect_read(b, 0xfff7, 1, 0xff, "");
	expect_read(b, 0xfff8, 1, 0x10, "Z:r1@0 ");
	expect_read(b, 0xffff, 1, 0x17, "Z:r1@7 ");
	/* No wrap from the last port to the first. */
	expect_read(b, 0xffff, 4, 0xffffff17, "Z:r1@7 ");
	expect_write(b, 0xffff, 4, 0x44332211, "Z:w1@7=11 ");
	expect_read(b, 0x10000, 1, 0xff, "");
	bus_destroy(b);
}

static void test_whole_address_space(void **state)
{
	struct bus_region r = region(&spy8, "R"), last = region(&spy8, "L"),
			  first = region(&spy8, "F");
	struct bus *b;

	(void)state;
	assert_int_equal(bus_create("mmio", TOP, &b), 0);
	assert_int_equal(bus_map(b, &last, TOP - 7, 8), 0);
	assert_int_equal(bus_map(b, &first, 0, 8), 0); /* nothing wraps into it */
	expect_read(b, TOP - 7, 8, 0x1716151413121110, "L:r8@0 ");
	expect_read(b, TOP, 1, 0x17, "L:r1@7 ");
	expect_read(b, TOP, 8, 0xffffffffffffff17, "L:r1@7 ");
	expect_write(b, TOP - 1, 4, 0x44332211, "L:w1@6=11 L:w1@7=22 ");
	bus_unmap(b, &last);
	bus_unmap(b, &first);
	assert_int_equal(bus_map(b, &r, 0, TOP), 0);
	expect_read(b, TOP - 1, 1, 0x0e, "R:r1@fffffffffffffffe ");
	expect_read(b, TOP, 1, 0xff, "");
	bus_destroy(b);
}

static void test_split_by_width(void **state)
{
	struct bus_region r1 = region(&spy1, "A"), r2 = region(&spy2, "B"), r4 = region(&spy4, "C"),
			  r8 = region(&spy8, "D");
	struct bus *b = ports();

	(void)state;
	assert_int_equal(bus_map(b, &r1, 0x100, 16), 0);
	assert_int_equal(bus_map(b, &r2, 0x200, 16), 0);
	assert_int_equal(bus_map(b, &r4, 0x300, 16), 0);
	assert_int_equal(bus_map(b, &r8, 0x400, 16), 0);
	expect_read(b, 0x102, 2, 0x1312, "A:r1@2 A:r1@3 ");
	expect_read(b, 0x102, 4, 0x15141312, "A:r1@2 A:r1@3 A:r1@4 A:r1@5 ");
	expect_read(b, 0x201, 4, 0x14131211, "B:r2@1 B:r2@3 ");
	expect_read(b, 0x202, 1, 0x12, "B:r1@2 ");
	expect_read(b, 0x304, 8, 0x1b1a191817161514, "C:r4@4 C:r4@8 ");
	expect_read(b, 0x400, 8, 0x1716151413121110, "D:r8@0 ");
	expect_write(b, 0x100, 4, 0x44332211, "A:w1@0=11 A:w1@1=22 A:w1@2=33 A:w1@3=44 ");
	expect_write(b, 0x200, 4, 0x44332211, "B:w2@0=2211 B:w2@2=4433 ");
	expect_write(b, 0x300, 8, 0x8877665544332211, "C:w4@0=44332211 C:w4@4=88776655 ");
	/* What is above the access's size is not part of it. */
	expect_write(b, 0x300, 1, 0x4433, "C:w1@0=33 ");
	bus_destroy(b);
}

static void test_odd_sizes(void **state)
{
	struct bus_region r = region(&spy4, "A");
	struct bus *b = ports();

	(void)state;
	assert_int_equal(bus_map(b, &r, 0x100, 8), 0);
	expect_read(b, 0x100, 3, 0x121110, "A:r2@0 A:r1@2 ");
	expect_read(b, 0x101, 7, 0x17161514131211, "A:r4@1 A:r2@5 A:r1@7 ");
	expect_write(b, 0x100, 5, 0x5544332211, "A:w4@0=44332211 A:w1@4=55 ");
	bus_destroy(b);
}

static void test_across_regions(void **state)
{
	struct bus_region a = region(&spy4, "A"), c = region(&spy4, "C"), d = region(&spy4, "D");
	struct bus *b = ports();

	(void)state;
	assert_int_equal(bus_map(b, &a, 0x100, 4), 0);
	assert_int_equal(bus_map(b, &c, 0x104, 4), 0);
	assert_int_equal(bus_map(b, &d, 0x10a, 4), 0);
	expect_read(b, 0x102, 4, 0x11101312, "A:r1@2 A:r1@3 C:r1@0 C:r1@1 ");
	expect_read(b, 0x100, 8, 0x1312111013121110,
		    "A:r1@0 A:r1@1 A:r1@2 A:r1@3 C:r1@0 C:r1@1 C:r1@2 C:r1@3 ");
	/* Over a gap, into one, and out of one. */
	expect_read(b, 0x107, 4, 0x10ffff13, "C:r1@3 D:r1@0 ");
	expect_read(b, 0x106, 4, 0xffff1312, "C:r1@2 C:r1@3 ");
	expect_read(b, 0x108, 4, 0x1110ffff, "D:r1@0 D:r1@1 ");
	expect_write(b, 0x107, 4, 0x44332211, "C:w1@3=11 D:w1@0=44 ");
	bus_destroy(b);
}

static void test_map_rules(void **state)
{
	static const struct {
		uint64_t base, size;
		int err;
	} cases[] = {
	    {0x200, 0, -EINVAL},    {0x10000, 1, -EINVAL}, {0xffff, 2, -EINVAL},
	    {0, 0x10001, -EINVAL},  {TOP, 1, -EINVAL},     {1, TOP, -EINVAL},
	    {TOP, TOP, -EINVAL},    {0x100, 16, -EEXIST},  {0xff, 2, -EEXIST},
	    {0x10f, 1, -EEXIST},    {0x108, 2, -EEXIST},   {0, 0x10000, -EEXIST},
	    {0xf0, 0x100, -EEXIST}, {0, 0x100, 0},         {0x110, 0xfef0, 0},
	};
	struct bus_region fixed = region(&spy1, "F"), r[32];
	struct bus *b = ports();
	unsigned i;

	(void)state;
	assert_int_equal(bus_map(b, &fixed, 0x100, 16), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r[i] = region(&spy1, "X");
		assert_int_equal(bus_map(b, &r[i], cases[i].base, cases[i].size), cases[i].err);
		assert_int_equal(r[i].mapped, cases[i].err == 0);
	}
	bus_unmap(b, &fixed);
	assert_false(fixed.mapped);
	bus_unmap(b, &fixed); /* again: nothing */
	expect_read(b, 0x100, 1, 0xff, "");
	assert_int_equal(bus_map(b, &fixed, 0x108, 8), 0);
	expect_read(b, 0x107, 1, 0xff, "");
	expect_read(b, 0x108, 1, 0x10, "F:r1@0 ");
	bus_destroy(b);
}

struct order {
	uint64_t last_end;
	unsigned count;
};

static void check_order(const struct bus_region *r, void *arg)
{
	struct order *o = arg;

	assert_true(r->base >= o->last_end);
	assert_true(r->mapped);
	o->last_end = r->base + r->size;
	o->count++;
}

/* Many regions, mapped and unmapped in a scattered order, stay sorted and found. */
static void test_many_regions(void **state)
{
	static struct bus_region r[1000];
	struct order o = {0, 0};
	struct bus *b = ports();
	unsigned i, k;

	(void)state;
	for (i = 0; i < 1000; i++) {
		k = i * 617 % 1000; /* 617 and 1000 have no common factor */
		r[k] = region(&spy1, "R");
		assert_int_equal(bus_map(b, &r[k], k * 64, 32), 0);
	}
	for (i = 0; i < 1000; i += 2)
		bus_unmap(b, &r[i * 617 % 1000]);
	bus_each(b, check_order, &o);
	assert_int_equal(o.count, 500);
	for (i = 0; i < 1000; i++)
		assert_int_equal(bus_read(b, i * 64 + 31, 1), r[i].mapped ? 0x2f : 0xff);
	bus_destroy(b);
}

static void test_lock_is_held(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct bus_region r = region(&spy1, "A");
	struct bus *b = ports();

	(void)state;
	r.lock = &lock;
	assert_int_equal(bus_map(b, &r, 0, 4), 0);
	expect_read(b, 0, 4, 0x13121110, "A:r1@0 A:r1@1 A:r1@2 A:r1@3 ");
	expect_write(b, 0, 1, 1, "A:w1@0=1 ");
	/* Free again afterwards. */
	assert_int_equal(pthread_mutex_trylock(&lock), 0);
	pthread_mutex_unlock(&lock);
	bus_destroy(b);
}

/* A device that moves its own region when it is written to, as a BAR or PIIX4's PMBA does. */
struct mover {
	struct bus *bus;
	struct bus_region region;
	pthread_mutex_t lock;
	unsigned writes;
};

static uint64_t mover_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0x77;
}

static void mover_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct mover *m = dev;

	(void)offset;
	(void)size;
	assert_int_equal(pthread_mutex_trylock(&m->lock), EBUSY);
	m->writes++;
	bus_unmap(m->bus, &m->region);
	assert_int_equal(bus_map(m->bus, &m->region, value, 4), 0);
}

static const struct bus_region_ops mover_ops = {"mover", mover_read, mover_write, 1};

static void test_move_inside_callback(void **state)
{
	struct mover m = {.bus = ports(), .lock = PTHREAD_MUTEX_INITIALIZER};

	(void)state;
	m.region = (struct bus_region){.ops = &mover_ops, .dev = &m, .lock = &m.lock};
	assert_int_equal(bus_map(m.bus, &m.region, 0x80, 4), 0);
	bus_write(m.bus, 0x80, 1, 0x90);
	assert_int_equal(bus_read(m.bus, 0x80, 1), 0xff);
	assert_int_equal(bus_read(m.bus, 0x90, 1), 0x77);
	/* Of a wide write only the first piece finds it there. */
	bus_write(m.bus, 0x90, 4, 0xa0a0a0a0);
	assert_int_equal(m.writes, 2);
	assert_int_equal(m.region.base, 0xa0);
	bus_destroy(m.bus);
}

/* One thread moves a region between two places while another reads both. */
static void *read_both(void *arg)
{
	struct mover *m = arg;
	unsigned long bad = 0;
	unsigned i;

	for (i = 0; i < 100000; i++) {
		uint64_t v = bus_read(m->bus, i & 1 ? 0x40 : 0x80, 1);

		bad += v != 0x77 && v != 0xff;
	}
	return (void *)bad;
}

static void test_move_under_readers(void **state)
{
	struct mover m = {.bus = ports(), .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread;
	void *bad;
	unsigned i;

	(void)state;
	m.region = (struct bus_region){.ops = &mover_ops, .dev = &m, .lock = &m.lock};
	assert_int_equal(bus_map(m.bus, &m.region, 0x40, 4), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_both, &m), 0);
	for (i = 0; i < 20000; i++)
		bus_write(m.bus, m.region.base, 1, i & 1 ? 0x40 : 0x80);
	assert_int_equal(pthread_join(thread, &bad), 0);
	assert_null(bad);
	bus_destroy(m.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty_bus),           cmocka_unit_test(test_lookup_boundaries),
	    cmocka_unit_test(test_whole_address_space), cmocka_unit_test(test_split_by_width),
	    cmocka_unit_test(test_odd_sizes),           cmocka_unit_test(test_across_regions),
	    cmocka_unit_test(test_map_rules),           cmocka_unit_test(test_many_regions),
	    cmocka_unit_test(test_lock_is_held),        cmocka_unit_test(test_move_inside_callback),
	    cmocka_unit_test(test_move_under_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
