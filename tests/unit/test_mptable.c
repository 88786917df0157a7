/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MP tables as a guest finds them: the floating pointer by its anchor, then the walk over all
 * entries. Intel MultiProcessor Specification 1.4, chapter 4.
 */
#include "boot/mptable.h"

#include "bytes.h"
#include "machine/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define TYPES      5u
#define INTERRUPTS 256u
#define NONE       0xff

struct mp {
	struct gmem *m;
	const uint8_t *header;
	const uint8_t *processor[256];
	unsigned count[TYPES];
	const uint8_t *bus[2], *ioapic;
	const uint8_t *interrupt[INTERRUPTS], *local[4];
};

static const struct mptable_params params = {.cpus = 1, .signature = 0x800f12, .features = 0x1789};

static void keep(struct mp *mp, const uint8_t *e)
{
	unsigned n = mp->count[e[0]]++;

	switch (e[0]) {
	case 0:
		assert_true(n < 255);
		mp->processor[n] = e;
		break;
	case 1:
		assert_true(n < 2);
		mp->bus[n] = e;
		break;
	case 2:
		mp->ioapic = e;
		break;
	case 3:
		assert_true(n < INTERRUPTS);
		mp->interrupt[n] = e;
		break;
	default:
		assert_true(n < 4);
		mp->local[n] = e;
		break;
	}
}

static void find(struct mp *mp, const uint8_t *region, size_t size)
{
	const uint8_t *pointer = NULL, *e, *end;
	unsigned entries = 0, type = 0;

	for (size_t at = 0; at < size && !pointer; at += 16)
		pointer = memcmp(region + at, "_MP_", 4) == 0 ? region + at : NULL;
	assert_non_null(pointer);
	assert_int_equal(pointer[8], 1);
	assert_int_equal(sum(pointer, 16), 0);
	assert_int_equal(pointer[9], 4);
	for (unsigned i = 11; i < 16; i++)
		assert_int_equal(pointer[i], 0); /* a table, virtual wire */
	mp->header = gmem_pointer(mp->m, le(pointer + 4, 4), 44);
	assert_non_null(mp->header);
	assert_memory_equal(mp->header, "PCMP", 4);
	assert_int_equal(mp->header[6], 4);
	end = mp->header + le(mp->header + 4, 2);
	assert_true(end <= region + size);
	assert_int_equal(sum(mp->header, le(mp->header + 4, 2)), 0);
	assert_int_equal(le(mp->header + 36, 4), LAYOUT_LOCAL_APIC);
	for (e = mp->header + 44; e < end; e += e[0] ? 8 : 20, entries++) {
		assert_in_range(e[0], type, TYPES - 1); /* in order of type, as the text says */
		type = e[0];
		keep(mp, e);
	}
	assert_ptr_equal(e, end);
	assert_int_equal(entries, le(mp->header + 34, 2));
}

static void build(struct mp *mp, const struct mptable_params *p)
{
	uint8_t *region;

	memset(mp, 0, sizeof(*mp));
	assert_int_equal(gmem_create(2 << 20, &mp->m), 0);
	assert_int_equal(gmem_place(mp->m, 0, 0, 2 << 20), 0);
	region = gmem_pointer(mp->m, LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE + 1);
	memset(region, 0xa5, LAYOUT_MPTABLE_SIZE + 1);
	assert_int_equal(mptable_build(mp->m, p), 0);
	assert_int_equal(region[LAYOUT_MPTABLE_SIZE], 0xa5);
	find(mp, region, LAYOUT_MPTABLE_SIZE);
}

/* The I/O APIC's input for a source, and its flags. */
static uint8_t input(const struct mp *mp, uint8_t bus, uint8_t source, unsigned *flags)
{
	uint8_t found = NONE;

	for (unsigned i = 0; i < mp->count[3]; i++) {
		const uint8_t *e = mp->interrupt[i];

		if (e[4] != bus || e[5] != source)
			continue;
		assert_int_equal(found, NONE);
		assert_int_equal(e[1], 0);
		assert_int_equal(e[6], mp->ioapic[1]);
		found = e[7];
		*flags = (unsigned)le(e + 2, 2);
	}
	return found;
}

static void test_processors(void **state)
{
	static const unsigned counts[] = {1, 2, 255};
	struct mptable_params p = params;
	struct mp mp;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		p.cpus = counts[i];
		build(&mp, &p);
		assert_int_equal(mp.count[0], counts[i]);
		for (unsigned id = 0; id < counts[i]; id++) {
			assert_int_equal(mp.processor[id][1], id);
			assert_int_equal(mp.processor[id][3], id ? 1 : 3);
			assert_int_equal(le(mp.processor[id] + 4, 4), 0x800f12);
			assert_int_equal(le(mp.processor[id] + 8, 4), 0x1789);
			assert_int_equal(le(mp.processor[id] + 12, 8), 0);
		}
		gmem_destroy(mp.m);
	}
}

static void test_wiring(void **state)
{
	static const uint8_t pirq[4] = {LAYOUT_GSI_PIRQA, LAYOUT_GSI_PIRQB, LAYOUT_GSI_PIRQC,
					LAYOUT_GSI_PIRQD};
	struct mp mp;
	unsigned flags = 0;

	(void)state;
	build(&mp, &params);
	assert_memory_equal(mp.bus[0] + 1, "\0PCI   ", 7);
	assert_memory_equal(mp.bus[1] + 1, "\1ISA   ", 7);
	assert_int_equal(mp.count[2], 1);
	assert_int_equal(mp.ioapic[3], 1);
	assert_int_equal(le(mp.ioapic + 4, 4), LAYOUT_IOAPIC);

	assert_int_equal(input(&mp, 1, 0, &flags), 2); /* the PIT */
	assert_int_equal(input(&mp, 1, 2, &flags), NONE);
	assert_int_equal(input(&mp, 1, LAYOUT_GSI_COM1, &flags), LAYOUT_GSI_COM1);
	assert_int_equal(flags, 0);
	assert_int_equal(input(&mp, 1, LAYOUT_GSI_SCI, &flags), LAYOUT_GSI_SCI);
	assert_int_equal(flags, 0x0d);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(input(&mp, 1, pirq[i], &flags), NONE);

	assert_int_equal(input(&mp, 0, 1 << 2, &flags), LAYOUT_GSI_SCI);
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = slot == 1; pin < 4; pin++) {
			assert_int_equal(input(&mp, 0, (uint8_t)(slot << 2 | pin), &flags),
					 pirq[(slot + pin + 3) % 4]);
			assert_int_equal(flags, 0x0d);
		}
	}
	gmem_destroy(mp.m);
}

static void test_local(void **state)
{
	struct mp mp;

	(void)state;
	build(&mp, &params);
	assert_int_equal(mp.count[4], 2);
	assert_int_equal(mp.local[0][1], 3); /* the PIC */
	assert_int_equal(mp.local[0][6], 0); /* to the boot processor */
	assert_int_equal(mp.local[0][7], 0); /* LINT0 */
	assert_int_equal(mp.local[1][1], 1); /* NMI */
	assert_int_equal(mp.local[1][6], 0xff);
	assert_int_equal(mp.local[1][7], 1);
	gmem_destroy(mp.m);
}

static void test_no_ram_there(void **state)
{
	struct gmem *m;

	(void)state;
	assert_int_equal(gmem_create(2 << 20, &m), 0);
	assert_int_equal(gmem_place(m, 0, 0, LAYOUT_MPTABLE + LAYOUT_MPTABLE_SIZE - 4096), 0);
	assert_int_equal(mptable_build(m, &params), -EFAULT);
	gmem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_processors),
	    cmocka_unit_test(test_wiring),
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_no_ram_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
