/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The BIOS data area, read as a kernel reads it. */
#include "boot/bda.h"

#include "machine/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define RAM 0xa0000u

static struct gmem *memory(uint64_t size)
{
	struct gmem *m;

	assert_int_equal(gmem_create(size, &m), 0);
	assert_int_equal(gmem_place(m, 0, 0, size), 0);
	return m;
}

static unsigned read16(const struct gmem *m, gpa_t a)
{
	uint8_t b[2];

	assert_int_equal(gmem_read(m, a, b, 2), 0);
	return b[0] | b[1] << 8;
}

static void test_serial_ports(void **state)
{
	static const uint16_t com[] = {0x3f8, 0x2f8};
	struct gmem *m = memory(RAM);

	(void)state;
	for (unsigned n = 0; n <= 2; n++) {
		const struct bda_params p = {.com = com, .com_count = n};

		assert_int_equal(bda_build(m, &p), 0);
		assert_int_equal(read16(m, 0x400), n > 0 ? 0x3f8 : 0);
		assert_int_equal(read16(m, 0x402), n > 1 ? 0x2f8 : 0);
		assert_int_equal(read16(m, 0x404), 0);
		assert_int_equal(read16(m, 0x410) >> 9 & 7, n);
	}
	gmem_destroy(m);
}

/* All three ways to find the end of low memory say the same. */
static void test_low_memory(void **state)
{
	const struct bda_params p = {0};
	struct gmem *m = memory(RAM);

	(void)state;
	assert_int_equal(bda_build(m, &p), 0);
	assert_int_equal(read16(m, 0x40e) << 4, LAYOUT_EBDA);
	assert_int_equal(read16(m, 0x413) * 1024, LAYOUT_EBDA);
	assert_int_equal(LAYOUT_EBDA + (read16(m, LAYOUT_EBDA) & 0xff) * 1024, LAYOUT_VGA_HOLE);
	gmem_destroy(m);
}

static void test_no_ram(void **state)
{
	const struct bda_params p = {0};
	struct gmem *m = memory(0x10000);

	(void)state;
	assert_int_equal(bda_build(m, &p), -EFAULT);
	gmem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_serial_ports),
	    cmocka_unit_test(test_low_memory),
	    cmocka_unit_test(test_no_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
