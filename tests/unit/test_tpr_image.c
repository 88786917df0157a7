// SPDX-License-Identifier: GPL-2.0-or-later
/* The TPR option ROM in guest memory: where it is written, what an option ROM must be, bad input.
 */
#include "tpr/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 0x100000u
#define BASE 0xc8000u
#define VA   0x800c8000u
#define REAL 0xfffe0080u

static struct gmem *memory(void)
{
	struct gmem *mem;

	assert_int_equal(gmem_create(SIZE, &mem), 0);
	assert_int_equal(gmem_place(mem, 0, 0, SIZE), 0);
	memset(gmem_pointer(mem, 0, SIZE), 0xa5, SIZE);
	return mem;
}

static void check_around(struct gmem *mem)
{
	const uint8_t *p = gmem_pointer(mem, 0, SIZE);

	for (unsigned i = 0; i < SIZE; i++)
		if (i < BASE || i >= BASE + TPR_ROM_SIZE)
			assert_int_equal(p[i], 0xa5);
}

static void test_option_rom(void **state)
{
	struct tpr_image image;
	struct gmem *mem = memory();
	const uint8_t *rom = gmem_pointer(mem, BASE, TPR_ROM_SIZE);
	uint8_t sum = 0;

	(void)state;
	assert_int_equal(tpr_image_place(&image, mem, BASE, false), 0);
	for (unsigned i = 0; i < TPR_ROM_SIZE; i++)
		sum = (uint8_t)(sum + rom[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(rom[0], 0x55);
	assert_int_equal(rom[1], 0xaa);
	assert_int_equal(rom[2] * 512, TPR_ROM_SIZE);
	for (unsigned n = 0; n < TPR_ENTRY_COUNT; n++)
		if (n != TPR_ENTRY_LOAD + 4)
			assert_memory_equal(rom + 0x200 + n * 64, "\xe6\x7e", 2);
	check_around(mem);
	gmem_destroy(mem);
}

/* The guest filled the ROM with its own; nothing of that is used, and placing repairs it. */
static void test_scribbled(void **state)
{
	(void)state;
	for (unsigned single = 0; single < 2; single++) {
		struct tpr_image image;
		struct gmem *mem = memory();
		uint8_t *rom = gmem_pointer(mem, BASE, TPR_ROM_SIZE);
		uint8_t dormant[TPR_ROM_SIZE], active[TPR_ROM_SIZE];

		assert_int_equal(tpr_image_place(&image, mem, BASE, single), 0);
		memcpy(dormant, rom, sizeof(dormant));
		assert_int_equal(tpr_image_activate(&image, VA, REAL), 0);
		memcpy(active, rom, sizeof(active));
		memset(rom, 0xff, TPR_ROM_SIZE);
		for (unsigned n = 0; n < TPR_ROM_CPUS; n++) {
			assert_int_equal(tpr_image_arm(&image, n, 0x51000041), 0);
			assert_int_equal(tpr_image_disarm(&image, n), 0);
		}
		memset(rom, 0xff, TPR_ROM_SIZE);
		assert_int_equal(tpr_image_activate(&image, VA, REAL), 0);
		assert_memory_equal(rom, active, sizeof(active));
		assert_int_equal(tpr_image_place(&image, mem, BASE, single), 0);
		assert_memory_equal(rom, dormant, sizeof(dormant));
		assert_false(image.active);
		check_around(mem);
		gmem_destroy(mem);
	}
}

static uint32_t dword(const struct gmem *mem, gpa_t a)
{
	uint32_t value;

	assert_int_equal(gmem_read(mem, a, &value, sizeof(value)), 0);
	return value;
}

/* Arming one CPU says nothing about its neighbours. */
static void test_records(void **state)
{
	struct tpr_image image;
	struct gmem *mem = memory();

	(void)state;
	assert_int_equal(tpr_image_place(&image, mem, BASE, false), 0);
	assert_int_equal(tpr_image_activate(&image, VA, REAL), 0);
	for (unsigned n = 0; n < TPR_ROM_CPUS; n++) {
		gpa_t record = tpr_image_record(&image, n), pointers = BASE + 0x1e00 + n * 8;
		uint32_t va = VA + 0x2000 + n * 64;

		assert_int_equal(record, BASE + 0x2000 + n * 64);
		assert_int_equal(dword(mem, pointers), REAL);
		assert_int_equal(dword(mem, pointers + 4), va + 32);
		assert_int_equal(dword(mem, record), 0);
		assert_int_equal(dword(mem, record + 32), 0xff000000);
		assert_int_equal(tpr_image_arm(&image, n, 0x51600041), 0);
		assert_int_equal(dword(mem, pointers), va);
		assert_int_equal(dword(mem, pointers + 4), va);
		assert_int_equal(dword(mem, record), 0x51600041);
		assert_int_equal(dword(mem, record + 4), 1);
	}
	for (unsigned n = 0; n < TPR_ROM_CPUS; n++) {
		assert_int_equal(tpr_image_disarm(&image, n), 0);
		assert_int_equal(dword(mem, tpr_image_record(&image, n)), 0xff000041);
		assert_int_equal(dword(mem, tpr_image_record(&image, n) + 4), 0);
		assert_int_equal(dword(mem, BASE + 0x1e00 + n * 8), REAL);
	}
	gmem_destroy(mem);
}

static void test_refusals(void **state)
{
	struct tpr_image image = {0};
	struct gmem *mem = memory();

	(void)state;
	assert_int_equal(tpr_image_activate(&image, VA, REAL), -EINVAL);
	assert_int_equal(tpr_image_arm(&image, 0, 0), -EINVAL);
	assert_int_equal(tpr_image_place(&image, mem, BASE + 32, false), -EINVAL);
	assert_int_equal(tpr_image_place(&image, mem, 0xffffe000, false), -EINVAL);
	assert_int_equal(tpr_image_place(&image, mem, 0x100000000, false), -EINVAL);
	assert_int_equal(tpr_image_place(&image, mem, SIZE - TPR_ROM_SIZE + 64, false), -EFAULT);
	assert_int_equal(tpr_image_place(&image, mem, SIZE - TPR_ROM_SIZE, false), 0);
	assert_int_equal(tpr_image_place(&image, mem, BASE, false), 0);
	assert_int_equal(tpr_image_arm(&image, 0, 0), -EINVAL);
	assert_int_equal(tpr_image_disarm(&image, 0), -EINVAL);
	assert_int_equal(tpr_image_activate(&image, 0xffffe000, REAL), -EINVAL);
	assert_int_equal(tpr_image_activate(&image, 0xffffd000, REAL), 0);
	assert_int_equal(tpr_image_activate(&image, VA, REAL), 0);
	assert_int_equal(tpr_image_arm(&image, TPR_ROM_CPUS, 0), -EINVAL);
	assert_int_equal(tpr_image_arm(&image, UINT32_MAX, 0), -EINVAL);
	assert_int_equal(tpr_image_disarm(&image, TPR_ROM_CPUS), -EINVAL);
	gmem_destroy(mem);
}

static void test_entry_at(void **state)
{
	(void)state;
	assert_int_equal(tpr_image_entry_at(0), -1);
	assert_int_equal(tpr_image_entry_at(0x1c0), -1);
	assert_int_equal(tpr_image_entry_at(0x200), 0);
	assert_int_equal(tpr_image_entry_at(0x201), -1);
	assert_int_equal(tpr_image_entry_at(0x200 + 18 * 64), 18);
	assert_int_equal(tpr_image_entry_at(0x200 + TPR_ENTRY_COUNT * 64), -1);
	assert_int_equal(tpr_image_entry_at(UINT32_MAX), -1);
	assert_int_equal(tpr_image_entry_at((uint32_t)-64), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_option_rom), cmocka_unit_test(test_scribbled),
	    cmocka_unit_test(test_records),    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_entry_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
