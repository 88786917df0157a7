/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory: every range at its boundaries, placement rules, file mappings, discard. */
#include <lodge/gmem.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TOP UINT64_MAX

/* RAM at [64 KiB, 128 KiB), right after it [128 KiB, 192 KiB), and [1 MiB, 2 MiB). */
static struct gmem *sample(void)
{
	struct gmem *m;

	assert_int_equal(gmem_create(2 * MIB, &m), 0);
	assert_int_equal(gmem_place(m, MIB, MIB, MIB), 0);
	assert_int_equal(gmem_place(m, 64 * KIB, 128 * KIB, 64 * KIB), 0);
	assert_int_equal(gmem_place(m, 128 * KIB, 64 * KIB, 64 * KIB), 0);
	return m;
}

static const struct {
	gpa_t a;
	size_t n;
	int err;
	bool one_region;
} ranges[] = {
    {0, 0, 0, false},
    {TOP, 0, 0, false},
    {0, 1, -EFAULT, false},
    {64 * KIB - 1, 1, -EFAULT, false},
    {64 * KIB - 1, 2, -EFAULT, false},
    {64 * KIB, 0, 0, true},
    {64 * KIB, 1, 0, true},
    {64 * KIB, 64 * KIB, 0, true},
    {64 * KIB, 64 * KIB + 1, 0, false}, /* goes on in the next region */
    {128 * KIB - 1, 1, 0, true},
    {128 * KIB - 1, 2, 0, false},
    {64 * KIB, 128 * KIB, 0, false},
    {64 * KIB, 128 * KIB + 1, -EFAULT, false},
    {192 * KIB - 1, 1, 0, true},
    {192 * KIB - 1, 2, -EFAULT, false},
    {192 * KIB, 1, -EFAULT, false},
    {MIB - 1, 2, -EFAULT, false},
    {MIB, MIB, 0, true},
    {MIB, MIB + 1, -EFAULT, false},
    {2 * MIB - 1, 1, 0, true},
    {2 * MIB - 1, 2, -EFAULT, false},
    {2 * MIB, 1, -EFAULT, false},
    {MIB, SIZE_MAX, -EFAULT, false},
    {MIB, SIZE_MAX - MIB + 1, -EFAULT, false}, /* ends at 2^64 */
    {MIB, SIZE_MAX - MIB + 2, -EFAULT, false}, /* wraps to 1 */
    {TOP, 1, -EFAULT, false},
    {TOP, 2, -EFAULT, false},
    {TOP - 7, 8, -EFAULT, false},
};

/* The pieces lie behind what was there, add up to n, and come only if all fit. */
static void check_iov(const struct gmem *m, gpa_t a, size_t n, int err, bool one_region)
{
	struct iovec iov[4] = {{NULL, 7}};
	unsigned count = 1;

	assert_int_equal(gmem_iov(m, a, n, iov, 4, &count), err);
	assert_int_equal(iov[0].iov_len, 7);
	if (err) {
		assert_int_equal(count, 1);
		return;
	}
	assert_int_equal(count, one_region ? 2 : 3);
	assert_int_equal(iov[1].iov_len + (one_region ? 0 : iov[2].iov_len), n);
	assert_ptr_equal(iov[1].iov_base, gmem_pointer(m, a, 1));
	count = one_region ? 4 : 3;
	assert_int_equal(gmem_iov(m, a, n, iov, 4, &count), -E2BIG);
	assert_int_equal(count, one_region ? 4 : 3);
}

static void test_ranges(void **state)
{
	static uint8_t buf[2 * MIB];
	struct gmem *m = sample();
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		gpa_t a = ranges[i].a;
		size_t n = ranges[i].n;

		assert_int_equal(gmem_read(m, a, buf, n), ranges[i].err);
		assert_int_equal(gmem_write(m, a, buf, n), ranges[i].err);
		assert_int_equal(gmem_zero(m, a, n), ranges[i].err);
		assert_int_equal(gmem_pointer(m, a, n) != NULL, ranges[i].one_region);
		if (n)
			check_iov(m, a, n, ranges[i].err, ranges[i].one_region);
	}
	gmem_destroy(m);
}

static void test_nothing_moves_on_a_fault(void **state)
{
	uint8_t in[16], out[16];
	struct gmem *m = sample();

	(void)state;
	memset(in, 0x5a, sizeof(in));
	memset(out, 0xa5, sizeof(out));
	assert_int_equal(gmem_write(m, 192 * KIB - 8, in, 16), -EFAULT);
	assert_int_equal(*(uint8_t *)gmem_pointer(m, 192 * KIB - 8, 1), 0);
	assert_int_equal(gmem_read(m, 192 * KIB - 8, out, 16), -EFAULT);
	assert_int_equal(out[0], 0xa5);
	assert_int_equal(gmem_write(m, 192 * KIB - 8, in, 8), 0);
	assert_int_equal(gmem_zero(m, 192 * KIB - 8, 16), -EFAULT);
	assert_int_equal(*(uint8_t *)gmem_pointer(m, 192 * KIB - 8, 1), 0x5a);
	gmem_destroy(m);
}

/* The two regions around 128 KiB lie in the host in the opposite order. */
static void test_copy_across_regions(void **state)
{
	static const uint8_t in[6] = {1, 2, 3, 4, 5, 6};
	uint8_t out[6] = {0};
	struct gmem *m = sample();

	(void)state;
	assert_int_equal(gmem_write(m, 128 * KIB - 3, in, 6), 0);
	assert_int_equal(gmem_read(m, 128 * KIB - 3, out, 6), 0);
	assert_memory_equal(in, out, 6);
	assert_memory_equal(gmem_pointer(m, 128 * KIB - 3, 3), "\1\2\3", 3);
	assert_memory_equal(gmem_pointer(m, 128 * KIB, 3), "\4\5\6", 3);
	assert_int_equal(gmem_zero(m, 128 * KIB - 1, 2), 0);
	assert_int_equal(gmem_read(m, 128 * KIB - 3, out, 6), 0);
	assert_memory_equal(out, "\1\2\0\0\5\6", 6);
	gmem_destroy(m);
}

static void test_placement_rules(void **state)
{
	static const struct {
		gpa_t base;
		uint64_t offset, size;
		int err;
	} cases[] = {
	    {0, 0, 0, -EINVAL},
	    {1, 0, 4096, -EINVAL},
	    {0, 1, 4096, -EINVAL},
	    {0, 0, 4097, -EINVAL},
	    {0, 8 * MIB, 4096, -EINVAL},               /* at the end */
	    {0, 8 * MIB - 4096, 8192, -EINVAL},        /* over the end */
	    {0, TOP - 4095, 8192, -EINVAL},            /* offset wraps */
	    {0, 4096, TOP - 4095, -EINVAL},            /* size wraps */
	    {TOP - 4095, 4096, 4096, -EINVAL},         /* address wraps to 0 */
	    {4 * MIB, 5 * MIB, 2 * MIB, -EINVAL},      /* not congruent */
	    {4 * MIB, 5 * MIB, 2 * MIB - 4096, 0},     /* too small to matter */
	    {4 * MIB, 0, 4096, -EINVAL},               /* guest overlap, first page */
	    {6 * MIB - 8192, 0, 4096, -EINVAL},        /* guest overlap, last page */
	    {4 * MIB - 4096, 0, 8192, -EINVAL},        /* guest overlap, from below */
	    {3 * MIB, 0, 4 * MIB, -EINVAL},            /* guest overlap, around */
	    {4 * MIB - 4096, 5 * MIB, 4096, -EINVAL},  /* host overlap */
	    {4 * MIB - 4096, 0, 4096, 0},              /* touches from below */
	    {6 * MIB - 4096, 8 * MIB - 4096, 4096, 0}, /* touches from above, last byte */
	};
	struct gmem *m;
	unsigned i;

	(void)state;
	assert_int_equal(gmem_create(8 * MIB, &m), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(gmem_place(m, cases[i].base, cases[i].offset, cases[i].size),
				 cases[i].err);
	assert_int_equal(gmem_region_count(m), 3);
	assert_int_equal(gmem_region(m, 0)->base, 4 * MIB - 4096);
	assert_int_equal(gmem_region(m, 1)->base, 4 * MIB);
	assert_int_equal(gmem_region(m, 2)->base, 6 * MIB - 4096);
	assert_null(gmem_region(m, 3));
	gmem_destroy(m);
}

static void test_region_limit(void **state)
{
	struct gmem *m;
	unsigned i;

	(void)state;
	assert_int_equal(gmem_create(MIB, &m), 0);
	for (i = 0; i < GMEM_REGIONS_MAX; i++)
		assert_int_equal(gmem_place(m, i * 8192, i * 4096, 4096), 0);
	assert_int_equal(gmem_place(m, 512 * KIB, 512 * KIB, 4096), -ENOSPC);
	gmem_destroy(m);
}

static void test_sizes(void **state)
{
	struct gmem *m = NULL;

	(void)state;
	assert_int_equal(gmem_create(0, &m), -EINVAL);
	assert_int_equal(gmem_create(4095, &m), -EINVAL);
	assert_int_equal(gmem_create(4097, &m), -EINVAL);
	assert_int_equal(gmem_create(TOP - 4095, &m), -ENOMEM);
	assert_int_equal(gmem_create(1ull << 62, &m), -ENOMEM);
	assert_null(m);
	gmem_destroy(NULL);
	assert_int_equal(gmem_create(4096, &m), 0);
	assert_int_equal(gmem_size(m), 4096);
	gmem_destroy(m);
}

/* Low RAM to 3 GiB, the rest from 4 GiB on, 1 TiB in all: addresses agree modulo 1 GiB. */
static void test_one_tebibyte(void **state)
{
	struct gmem *m;
	unsigned i;
	uint8_t byte = 7;

	(void)state;
	if (gmem_create(1024 * GIB, &m) == -ENOMEM) {
		print_message("# the host gives no 1 TiB of address space without backing it\n");
		skip();
	}
	assert_int_equal(gmem_place(m, 0, 0, 3 * GIB), 0);
	assert_int_equal(gmem_place(m, 4 * GIB, 3 * GIB, 1021 * GIB), 0);
	for (i = 0; i < gmem_region_count(m); i++)
		assert_int_equal(
		    ((uintptr_t)gmem_region(m, i)->host - gmem_region(m, i)->base) % GIB, 0);
	assert_int_equal(gmem_write(m, 1025 * GIB - 1, &byte, 1), 0);
	assert_int_equal(gmem_write(m, 1025 * GIB, &byte, 1), -EFAULT);
	assert_int_equal(gmem_write(m, 3 * GIB - 1, &byte, 2), -EFAULT);
	gmem_destroy(m);
}

static void test_small_is_congruent_too(void **state)
{
	struct gmem *m;

	(void)state;
	assert_int_equal(gmem_create(6 * MIB, &m), 0);
	assert_int_equal(gmem_place(m, 2 * MIB, 0, 6 * MIB), 0);
	assert_int_equal((uintptr_t)gmem_region(m, 0)->host % (2 * MIB), 0);
	gmem_destroy(m);
}

static void test_discard(void **state)
{
	struct gmem *m = sample();
	void *host = gmem_pointer(m, MIB, 1);

	(void)state;
	assert_int_equal(gmem_write(m, 64 * KIB, "x", 1), 0);
	assert_int_equal(gmem_write(m, MIB, "z", 1), 0);
	assert_int_equal(gmem_discard(m), 0);
	assert_int_equal(*(uint8_t *)gmem_pointer(m, 64 * KIB, 1), 0);
	assert_ptr_equal(gmem_pointer(m, MIB, 1), host);
	assert_int_equal(*(uint8_t *)host, 0);
	assert_int_equal(gmem_write(m, MIB, "y", 1), 0);
	gmem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_nothing_moves_on_a_fault),
	    cmocka_unit_test(test_copy_across_regions),
	    cmocka_unit_test(test_placement_rules),
	    cmocka_unit_test(test_region_limit),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_one_tebibyte),
	    cmocka_unit_test(test_small_is_congruent_too),
	    cmocka_unit_test(test_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
