// SPDX-License-Identifier: GPL-2.0-or-later
/* The walker of 32-bit page tables: both modes, large pages, rights, hostile tables, searches. */
#include "tpr/walk.h"
#include "tpr_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROOT 0x10000u

static const bool modes[] = {false, true};

static void create(struct tpr_rig *r, bool pae)
{
	assert_true(tpr_rig_create(r, pae, 1));
}

static void put(struct tpr_rig *r, uint32_t pa, uint64_t entry)
{
	assert_int_equal(gmem_write(r->mem, pa, &entry, r->pae ? 8 : 4), 0);
}

static void test_pages(void **state)
{
	struct tpr_rig r;
	struct tpr_page p;

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		create(&r, modes[m]);
		assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001234, &p));
		assert_int_equal(p.gpa, 0x1234);
		assert_true(p.writable && p.executable && !p.user);
		assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0xfffe0080, &p));
		assert_int_equal(p.gpa, 0xfee00080);
		assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0, &p));
		assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0xffffffff, &p));
		assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0x80000000 + TPR_RIG_MEMORY, &p));
		tpr_rig_destroy(&r);
	}
}

static void test_rights(void **state)
{
	struct tpr_rig r;
	struct tpr_page p;

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		struct vcpu_view *v = &r.vcpu[0].view;

		create(&r, modes[m]);
		tpr_rig_map(&r, 0x90000000, 0x5000, TPR_RIG_P);
		assert_true(tpr_walk(r.mem, v, 0x90000000, &p));
		assert_true(!p.writable && !p.user && p.executable);
		tpr_rig_map(&r, 0x90000000, 0x5000, TPR_RIG_P | TPR_RIG_U | TPR_RIG_W);
		assert_true(tpr_walk(r.mem, v, 0x90000000, &p));
		assert_true(p.writable && p.user);
		tpr_rig_map(&r, 0x90000000, 0x5000, 0);
		assert_false(tpr_walk(r.mem, v, 0x90000000, &p));
		if (r.pae) {
			tpr_rig_map(&r, 0x90000000, 0x5000, TPR_RIG_P | TPR_RIG_NX);
			assert_true(tpr_walk(r.mem, v, 0x90000000, &p));
			assert_false(p.executable);
			v->efer = 0;
			assert_true(tpr_walk(r.mem, v, 0x90000000, &p));
			assert_true(p.executable);
		}
		tpr_rig_destroy(&r);
	}
}

/* A right that one level lacks is not there. */
static void test_rights_of_directory(void **state)
{
	struct tpr_rig r;
	struct tpr_page p;

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		uint32_t directory = ROOT, entry = 0x80000000u >> 22;
		uint64_t pde = 0;

		create(&r, modes[m]);
		if (r.pae) {
			gmem_read(r.mem, ROOT + 8 * 2, &directory, 4);
			directory &= ~0xfffu;
			entry = 0;
		}
		gmem_read(r.mem, directory + entry * (r.pae ? 8 : 4), &pde, r.pae ? 8 : 4);
		put(&r, directory + entry * (r.pae ? 8 : 4), pde & ~(uint64_t)TPR_RIG_W);
		assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001000, &p));
		assert_false(p.writable);
		tpr_rig_map(&r, 0x80001000, 0x1000, TPR_RIG_P | TPR_RIG_W | TPR_RIG_U);
		put(&r, directory + entry * (r.pae ? 8 : 4), pde & ~(uint64_t)TPR_RIG_U);
		assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001000, &p));
		assert_true(p.writable && !p.user);
		put(&r, directory + entry * (r.pae ? 8 : 4), pde & ~(uint64_t)TPR_RIG_P);
		assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001000, &p));
		tpr_rig_destroy(&r);
	}
}

static void test_large_pages(void **state)
{
	struct tpr_rig r;
	struct tpr_page p;

	(void)state;
	/* Two levels: bits 13 to 20 are address bits 32 to 39 (Intel SDM volume 3, table 4-4). */
	create(&r, false);
	put(&r, ROOT + 4 * (0xa0000000u >> 22), 0x00c00083 | 0x3u << 13);
	assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0xa0123456, &p));
	assert_true(p.gpa == 0x300d23456ull);
	assert_true(p.writable && !p.user);
	/* Without CR4.PSE it is a table. */
	r.vcpu[0].view.cr4 = 0;
	assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0xa0123456, &p));
	tpr_rig_destroy(&r);

	create(&r, true);
	tpr_rig_map(&r, 0xa0000000, 0, TPR_RIG_P);
	uint64_t pdpte = 0;
	gmem_read(r.mem, ROOT + 8 * 2, &pdpte, 8);
	put(&r, (uint32_t)(pdpte & ~0xfffull) + 8 * (0xa0000000u >> 21 & 0x1ff), 0x1200c00083ull);
	assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0xa0123456, &p));
	assert_true(p.gpa == 0x1200d23456ull);
	tpr_rig_destroy(&r);
}

static void test_modes(void **state)
{
	static const struct {
		uint64_t cr0, efer;
	} refused[] = {{1, 0}, {0x80000000, 0}, {0, 0}, {0x80000001, 0x500}};
	struct tpr_rig r;
	struct tpr_page p;
	uint32_t va;

	(void)state;
	create(&r, false);
	for (unsigned i = 0; i < 4; i++) {
		r.vcpu[0].view.cr0 = refused[i].cr0;
		r.vcpu[0].view.efer = refused[i].efer;
		assert_false(tpr_walk_possible(&r.vcpu[0].view));
		assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001000, &p));
		assert_false(tpr_walk_find(r.mem, &r.vcpu[0].view, TPR_RIG_APIC, &va));
	}
	tpr_rig_destroy(&r);
}

/* Tables outside RAM, in the hole, at the end of RAM, that lead to themselves. */
static void test_hostile_tables(void **state)
{
	struct tpr_rig r;
	struct tpr_page p;
	uint32_t va;

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		static const uint64_t roots[] = {0xa0000,    0xbf000,    TPR_RIG_MEMORY,
						 0xfee00000, 0xffffffff, 0xfffffffff000ull,
						 UINT64_MAX};
		uint8_t *all;

		create(&r, modes[m]);
		for (unsigned i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
			r.vcpu[0].view.cr3 = roots[i];
			assert_false(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001000, &p));
			assert_false(tpr_walk_find(r.mem, &r.vcpu[0].view, 0x5000, &va));
		}
		r.vcpu[0].view.cr3 = ROOT;
		/* Every entry leads to the root. */
		all = gmem_pointer(r.mem, ROOT, 4096);
		for (unsigned i = 0; i < 4096; i += r.pae ? 8 : 4)
			put(&r, ROOT + i, ROOT | 7);
		assert_true(tpr_walk(r.mem, &r.vcpu[0].view, 0x80001234, &p));
		assert_int_equal(p.gpa, ROOT | 0x234);
		assert_false(tpr_walk_find(r.mem, &r.vcpu[0].view, 0x5000, &va));
		memset(all, 0xff, 4096);
		tpr_walk(r.mem, &r.vcpu[0].view, 0x80001234, &p);
		assert_false(tpr_walk_find(r.mem, &r.vcpu[0].view, 0x5000, &va));
		tpr_rig_destroy(&r);
	}
}

static void test_read(void **state)
{
	struct tpr_rig r;
	uint8_t out[32];

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		const struct vcpu_view *v = &r.vcpu[0].view;

		create(&r, modes[m]);
		/* Two pages in a row that are not neighbours in memory. */
		tpr_rig_map(&r, 0x90000000, 0x100000, TPR_RIG_P);
		tpr_rig_map(&r, 0x90001000, 0x180000, TPR_RIG_P);
		memset(tpr_rig_at(&r, 0x80100ff8), 0x11, 8);
		memset(tpr_rig_at(&r, 0x80180000), 0x22, 8);
		assert_int_equal(tpr_walk_read(r.mem, v, 0x90000ff8, out, 16), 16);
		assert_int_equal(out[7], 0x11);
		assert_int_equal(out[8], 0x22);
		assert_int_equal(tpr_walk_read(r.mem, v, 0x90001ff8, out, 16), 8);
		assert_int_equal(tpr_walk_read(r.mem, v, 0x90002000, out, 16), 0);
		assert_int_equal(tpr_walk_read(r.mem, v, 0x90000000, out, 0), 0);
		/* Not RAM, and not around 4 GiB. */
		assert_int_equal(tpr_walk_read(r.mem, v, 0xfffe0080, out, 4), 0);
		tpr_rig_map(&r, 0xfffff000, 0x100000, TPR_RIG_P);
		tpr_rig_map(&r, 0, 0x100000, TPR_RIG_P);
		assert_int_equal(tpr_walk_read(r.mem, v, 0xfffffff8, out, 16), 8);
		tpr_rig_destroy(&r);
	}
}

static void test_find(void **state)
{
	struct tpr_rig r;
	uint32_t va;

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		const struct vcpu_view *v = &r.vcpu[0].view;

		create(&r, modes[m]);
		assert_true(tpr_walk_find(r.mem, v, TPR_RIG_APIC, &va));
		assert_int_equal(va, 0xfffe0000);
		assert_true(tpr_walk_find(r.mem, v, 0xc8000, &va));
		assert_int_equal(va, 0x800c8000);
		assert_false(tpr_walk_find(r.mem, v, 0xfec00000, &va));
		/* Neither read-only, nor the user's, nor in the lower half. */
		tpr_rig_map(&r, 0x90000000, 0xfec00000, TPR_RIG_P);
		tpr_rig_map(&r, 0x90001000, 0xfec00000, TPR_RIG_P | TPR_RIG_W | TPR_RIG_U);
		tpr_rig_map(&r, 0x7ffff000, 0xfec00000, TPR_RIG_P | TPR_RIG_W);
		assert_false(tpr_walk_find(r.mem, v, 0xfec00000, &va));
		tpr_rig_map(&r, 0xfffff000, 0xfec00000, TPR_RIG_P | TPR_RIG_W);
		assert_true(tpr_walk_find(r.mem, v, 0xfec00000, &va));
		assert_int_equal(va, 0xfffff000);
		tpr_rig_destroy(&r);
	}
}

static void test_find_large(void **state)
{
	struct tpr_rig r;
	uint32_t va;

	(void)state;
	create(&r, false);
	put(&r, ROOT + 4 * (0xa0000000u >> 22), 0xfec00083);
	assert_true(tpr_walk_find(r.mem, &r.vcpu[0].view, 0xfec05000, &va));
	assert_int_equal(va, 0xa0005000);
	tpr_rig_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pages),       cmocka_unit_test(test_rights),
	    cmocka_unit_test(test_large_pages), cmocka_unit_test(test_rights_of_directory),
	    cmocka_unit_test(test_modes),       cmocka_unit_test(test_hostile_tables),
	    cmocka_unit_test(test_read),        cmocka_unit_test(test_find),
	    cmocka_unit_test(test_find_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
