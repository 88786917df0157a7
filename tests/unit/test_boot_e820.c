// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest's memory map. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <lodge/boot.h>
#include <string.h>

static void check(const struct e820 *m, unsigned count, const struct e820_entry *want)
{
	unsigned i;

	assert_int_equal(m->count, count);
	for (i = 0; i < count; i++) {
		assert_int_equal(m->entry[i].addr, want[i].addr);
		assert_int_equal(m->entry[i].size, want[i].size);
		assert_int_equal(m->entry[i].type, want[i].type);
	}
}

static void test_sorts_and_joins(void **state)
{
	const struct e820_entry want[] = {{0, 0x3000, E820_RAM}, {0x8000, 0x1000, E820_RESERVED}};
	struct e820 m = {.count = 0};

	(void)state;
	assert_int_equal(e820_add(&m, 0x8000, 0x1000, E820_RESERVED), 0);
	assert_int_equal(e820_add(&m, 0x2000, 0x1000, E820_RAM), 0);
	assert_int_equal(e820_add(&m, 0, 0x1000, E820_RAM), 0);
	assert_int_equal(e820_add(&m, 0x1000, 0x1000, E820_RAM), 0);
	check(&m, 2, want);
}

static void test_later_wins(void **state)
{
	const struct e820_entry want[] = {{0, 0x1000, E820_RAM},
					  {0x1000, 0x2000, E820_ACPI},
					  {0x3000, 0x1000, E820_NVS},
					  {0x4000, 0x5000, E820_RAM}};
	struct e820 m = {.count = 0};

	(void)state;
	assert_int_equal(e820_add(&m, 0, 0x4000, E820_RAM), 0);
	assert_int_equal(e820_add(&m, 0x4000, 0x5000, E820_RESERVED), 0);
	assert_int_equal(e820_add(&m, 0x1000, 0x3000, E820_ACPI), 0);
	assert_int_equal(e820_add(&m, 0x3000, 0x1000, E820_NVS), 0);
	assert_int_equal(e820_add(&m, 0x4000, 0x5000, E820_RAM), 0);
	check(&m, 4, want);
	/* One that covers everything leaves nothing else. */
	assert_int_equal(e820_add(&m, 0, UINT64_MAX, E820_RESERVED), 0);
	assert_int_equal(m.count, 1);
}

static void test_limits(void **state)
{
	struct e820 m = {.count = 0}, before;
	unsigned i;

	(void)state;
	assert_int_equal(e820_add(&m, 0x1000, 0, E820_RAM), 0);
	assert_int_equal(m.count, 0);
	assert_int_equal(e820_add(&m, UINT64_MAX - 10, 11, E820_RAM), -EINVAL);
	assert_int_equal(e820_add(&m, UINT64_MAX - 10, 10, E820_RAM), 0);
	m.count = 0;
	for (i = 0; i < E820_MAX; i++)
		assert_int_equal(e820_add(&m, i * 0x2000ull, 0x1000, E820_RAM), 0);
	before = m;
	assert_int_equal(e820_add(&m, E820_MAX * 0x2000ull, 0x1000, E820_RAM), -ENOSPC);
	/* Splitting one needs two more. */
	assert_int_equal(e820_add(&m, 0x100, 0x100, E820_ACPI), -ENOSPC);
	assert_memory_equal(&m, &before, sizeof(m));
	assert_int_equal(e820_add(&m, 0x1000, 0x1000, E820_RAM), 0);
	assert_int_equal(m.count, E820_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sorts_and_joins),
	    cmocka_unit_test(test_later_wins),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
