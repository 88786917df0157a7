// SPDX-License-Identifier: GPL-2.0-or-later
/* The patcher: what is patched, what is refused and why, what is remembered of it. */
#include "tpr_fixture.h"

#include <lodge/log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_patches(void **state)
{
	struct tpr_rig r;

	(void)state;
	for (unsigned pae = 0; pae < 2; pae++) {
		assert_true(tpr_rig_create(&r, pae, 2));
		memset(tpr_rig_at(&r, CODE), 0x90, 64);
		tpr_rig_put(&r, CODE, load_eax, sizeof(load_eax));
		tpr_rig_put(&r, CODE + 16, store_ecx, sizeof(store_ecx));
		tpr_rig_put(&r, CODE + 32, store_imm, sizeof(store_imm));
		tpr_rig_access(&r, 0, CODE);
		tpr_rig_access(&r, 0, CODE + 16);
		tpr_rig_access(&r, 0, CODE + 32);
		assert_int_equal(tpr_rig_call_target(&r, CODE), ROM_VA + TPR_ROM_ENTRY(0));
		assert_int_equal(tpr_rig_call_target(&r, CODE + 16), ROM_VA + TPR_ROM_ENTRY(9));
		assert_int_equal(tpr_rig_call_target(&r, CODE + 32), ROM_VA + TPR_ROM_ENTRY(16));
		/* Nothing beside the instructions, and the immediate stays. */
		assert_int_equal(*tpr_rig_at(&r, CODE + 5), 0x90);
		assert_int_equal(*tpr_rig_at(&r, CODE + 15), 0x90);
		assert_int_equal(*tpr_rig_at(&r, CODE + 22), 0x90);
		assert_memory_equal(tpr_rig_at(&r, CODE + 38), store_imm + 6, 4);
		assert_int_equal(tpr_rig_patched(&r), 3);
		assert_int_equal(r.traces, 3);
		assert_int_equal(r.wakes, 3);
		assert_false(r.vcpu[0].held);
		/* Armed once, with the record of its number. */
		assert_int_equal(r.vcpu[0].vapic, RECORD);
		assert_int_equal(r.vcpu[1].vapic, 0);
		tpr_rig_destroy(&r);
	}
}

/* Where the instruction goes over a page's end both pages are written. */
static void test_crosses_a_page(void **state)
{
	struct tpr_rig r;
	uint32_t at = 0x90000ffd;

	(void)state;
	create(&r, 1);
	tpr_rig_map(&r, 0x90000000, 0x100000, TPR_RIG_P);
	tpr_rig_map(&r, 0x90001000, 0x180000, TPR_RIG_P);
	tpr_rig_put(&r, 0x80100ffd, store_ecx, 3);
	tpr_rig_put(&r, 0x80180000, store_ecx + 3, 3);
	tpr_rig_access(&r, 0, at);
	assert_int_equal(tpr_rig_patched(&r), 1);
	assert_memory_equal(tpr_rig_at(&r, 0x80100ffd), "\x2e\xe8", 2);
	tpr_take_back(r.tpr);
	assert_memory_equal(tpr_rig_at(&r, 0x80100ffd), store_ecx, 3);
	assert_memory_equal(tpr_rig_at(&r, 0x80180000), store_ecx + 3, 3);
	tpr_rig_destroy(&r);

	create(&r, 1);
	tpr_rig_map(&r, 0x90000000, 0x100000, TPR_RIG_P);
	tpr_rig_put(&r, 0x80100ffd, store_ecx, 3);
	tpr_rig_access(&r, 0, at);
	assert_int_equal(tpr_rig_refused(&r, "truncated"), 1);
	/* The second page is the user's, is no RAM. */
	tpr_rig_map(&r, 0x90001000, 0x180000, TPR_RIG_P | TPR_RIG_U);
	tpr_rig_put(&r, 0x80180000, store_ecx + 3, 3);
	tpr_rig_access(&r, 0, at);
	assert_int_equal(tpr_rig_refused(&r, "code-rights"), 1);
	assert_int_equal(tpr_rig_patched(&r), 0);
	assert_memory_equal(tpr_rig_at(&r, 0x80100ffd), store_ecx, 3);
	tpr_rig_destroy(&r);
}

/* One condition that does not hold, the reason, and nothing written. */
struct refusal_case {
	const char *reason;
	void (*spoil)(struct tpr_rig *r);
};

static void no_paging(struct tpr_rig *r)
{
	r->vcpu[0].view.cr0 = 1;
}
static void real_mode(struct tpr_rig *r)
{
	r->vcpu[0].view.cr0 = 0;
}
static void long_mode(struct tpr_rig *r)
{
	r->vcpu[0].view.efer = 0x500;
}
static void vm86(struct tpr_rig *r)
{
	r->vcpu[0].view.rflags |= 1u << 17;
}
static void code16(struct tpr_rig *r)
{
	r->vcpu[0].view.cs.db = false;
}
static void stack16(struct tpr_rig *r)
{
	r->vcpu[0].view.ss.db = false;
}
static void ring3(struct tpr_rig *r)
{
	r->vcpu[0].view.ss.dpl = 3;
}
static void code_base(struct tpr_rig *r)
{
	r->vcpu[0].view.cs.base = 16;
}
static void data_limit(struct tpr_rig *r)
{
	r->vcpu[0].view.ds.limit = 0xfffff;
}
static void data_down(struct tpr_rig *r)
{
	r->vcpu[0].view.ss.type = 7;
}
static void esp_zero(struct tpr_rig *r)
{
	r->vcpu[0].view.rsp = 0;
}
static void esp_unmapped(struct tpr_rig *r)
{
	r->vcpu[0].view.rsp = 0xa0000000;
}
static void esp_page(struct tpr_rig *r)
{
	r->vcpu[0].view.rsp = 0x80150010;
	tpr_rig_map(r, 0x8014f000, 0, 0);
}
static void apic_off(struct tpr_rig *r)
{
	r->vcpu[0].view.apic_base &= ~0x800ull;
}
static void apic_x2(struct tpr_rig *r)
{
	r->vcpu[0].view.apic_base |= 0x400;
}
static void apic_moved(struct tpr_rig *r)
{
	r->vcpu[0].view.apic_base += 0x1000;
}
static void decoy(struct tpr_rig *r)
{
	tpr_rig_map(r, 0xfffe0000, 0x5000, 3);
}
static void tpr_user(struct tpr_rig *r)
{
	tpr_rig_map(r, 0xfffe0000, TPR_RIG_APIC, 7);
}
static void tpr_unmapped(struct tpr_rig *r)
{
	tpr_rig_map(r, 0xfffe0000, 0, 0);
}
static void fs_user(struct tpr_rig *r)
{
	r->vcpu[0].view.fs.base = 0x7ffdf000;
}
static void fs_short(struct tpr_rig *r)
{
	r->vcpu[0].view.fs.limit = 0x50;
}
static void fs_absent(struct tpr_rig *r)
{
	r->vcpu[0].view.fs.present = false;
}
static void fs_wraps(struct tpr_rig *r)
{
	r->vcpu[0].view.fs.base = 0xfffffff0;
}
static void not_nt(struct tpr_rig *r)
{
	*tpr_rig_at(r, TPR_RIG_KPCR(0) + 0x1c) ^= 1;
}
static void number_64(struct tpr_rig *r)
{
	*tpr_rig_at(r, TPR_RIG_KPCR(0) + 0x51) = 64;
}
static void number_255(struct tpr_rig *r)
{
	*tpr_rig_at(r, TPR_RIG_KPCR(0) + 0x51) = 255;
}
static void code_user(struct tpr_rig *r)
{
	tpr_rig_map(r, CODE, CODE - TPR_RIG_KSEG0, 7);
}
static void code_nx(struct tpr_rig *r)
{
	tpr_rig_map(r, CODE, CODE - TPR_RIG_KSEG0, 3 | TPR_RIG_NX);
}
static void code_gone(struct tpr_rig *r)
{
	tpr_rig_map(r, CODE, 0, 0);
}
static void code_mmio(struct tpr_rig *r)
{
	tpr_rig_map(r, CODE, 0xfec00000, 3);
}
static void rom_gone(struct tpr_rig *r)
{
	tpr_rig_map(r, ROM_VA, 0, 0);
}
static void rom_second_page(struct tpr_rig *r)
{
	tpr_rig_map(r, ROM_VA + 0x1000, 0x5000, 3);
}
static void rom_read_only(struct tpr_rig *r)
{
	tpr_rig_map(r, ROM_VA + 0x2000, 0xca000, 1);
}
static void rom_user(struct tpr_rig *r)
{
	tpr_rig_map(r, ROM_VA + 0x2000, 0xca000, 7);
}
static void rom_nx(struct tpr_rig *r)
{
	tpr_rig_map(r, ROM_VA, 0xc8000, 3 | TPR_RIG_NX);
}
static void view_fails(struct tpr_rig *r)
{
	r->fail_view = -EIO;
}

static const struct refusal_case refusal_cases[] = {
    {"no-paging", no_paging},
    {"real-mode", real_mode},
    {"long-mode", long_mode},
    {"virtual-8086-mode", vm86},
    {"16-bit-code", code16},
    {"16-bit-stack", stack16},
    {"user-mode", ring3},
    {"segment-not-flat", code_base},
    {"segment-not-flat", data_limit},
    {"segment-not-flat", data_down},
    {"no-stack", esp_zero},
    {"stack-unmapped", esp_unmapped},
    {"stack-unmapped", esp_page},
    {"apic-off", apic_off},
    {"apic-off", apic_x2},
    {"not-the-tpr", apic_moved},
    {"not-the-tpr", decoy},
    {"not-the-tpr", tpr_user},
    {"not-the-tpr", tpr_unmapped},
    {"no-kpcr", fs_user},
    {"no-kpcr", fs_short},
    {"no-kpcr", fs_absent},
    {"no-kpcr", fs_wraps},
    {"no-kpcr", not_nt},
    {"cpu-number", number_64},
    {"cpu-number", number_255},
    {"code-rights", code_user},
    {"code-rights", code_nx},
    {"code-unmapped", code_gone},
    {"code-unmapped", code_mmio},
    {"no-rom", rom_gone},
    {"no-rom", rom_second_page},
    {"no-rom", rom_read_only},
    {"no-rom", rom_user},
    {"no-rom", rom_nx},
    {"host-error", view_fails},
};

static void test_refusals(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(refusal_cases) / sizeof(refusal_cases[0]); i++) {
		const struct refusal_case *c = &refusal_cases[i];
		static uint8_t before[TPR_RIG_MEMORY];
		struct tpr_rig r;

		assert_true(tpr_rig_create(&r, true, 1));
		tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
		c->spoil(&r);
		gmem_read(r.mem, 0, before, 0xa0000);
		gmem_read(r.mem, 0xc0000, before + 0xc0000, TPR_RIG_MEMORY - 0xc0000);
		tpr_rig_access(&r, 0, CODE);
		if (tpr_rig_refused(&r, c->reason) != 1)
			fail_msg("case %u: not refused as %s", i, c->reason);
		assert_int_equal(tpr_rig_patched(&r), 0);
		assert_false(r.vcpu[0].held);
		assert_int_equal(r.vcpu[0].vapic, 0);
		assert_memory_equal(before, gmem_pointer(r.mem, 0, 0xa0000), 0xa0000);
		assert_memory_equal(before + 0xc0000,
				    gmem_pointer(r.mem, 0xc0000, TPR_RIG_MEMORY - 0xc0000),
				    TPR_RIG_MEMORY - 0xc0000);
		tpr_rig_destroy(&r);
	}
}

/* KVM's word on where it was is a hint: anything may stand there. */
static void test_garbage_rip(void **state)
{
	static const uint64_t places[] = {0,          5,           0x7fffffff, 0xffffffff,
					  0xfffffffe, 0x1007e0401, UINT64_MAX, ROM_VA + 0x200};
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		tpr_access(r.tpr, 0, places[i], false);
		tpr_rig_serve(&r);
	}
	assert_int_equal(tpr_rig_patched(&r), 0);
	tpr_rig_destroy(&r);
}

/* Code in the lower half, in the ROM under another address. */
static void test_code_place(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_rig_map(&r, 0x00400000, CODE - TPR_RIG_KSEG0, 3);
	tpr_rig_access(&r, 0, 0x00400000);
	assert_int_equal(tpr_rig_refused(&r, "code-place"), 1);
	patch_store(&r, ROM_VA + 0x2fe0);
	assert_int_equal(tpr_rig_refused(&r, "code-place"), 2);
	assert_int_equal(tpr_rig_patched(&r), 0);
	tpr_rig_destroy(&r);
}

/* Both reported before either was served: the second finds it done. */
static void test_two_at_one_site(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_access(r.tpr, 0, CODE, true);
	tpr_access(r.tpr, 1, CODE, true);
	assert_true(r.vcpu[0].held && r.vcpu[1].held);
	tpr_rig_serve(&r);
	assert_false(r.vcpu[0].held || r.vcpu[1].held);
	assert_int_equal(tpr_rig_patched(&r), 1);
	assert_int_equal(tpr_rig_refused(&r, "already-patched"), 1);
	tpr_rig_access(&r, 1, CODE);
	assert_int_equal(tpr_rig_patched(&r), 1);
	assert_int_equal(tpr_rig_refused(&r, "already-patched"), 2);
	tpr_rig_destroy(&r);
}

/* Between the look and the stop, another vCPU wrote there. */
static void test_rewritten_meanwhile(void **state)
{
	static const uint8_t other[] = {0xb8, 0x80, 0x00, 0xfe, 0xff, 0xc3};
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_access(r.tpr, 0, CODE, true);
	tpr_rig_put(&r, CODE, other, sizeof(other));
	tpr_rig_serve(&r);
	assert_int_equal(tpr_rig_patched(&r), 0);
	assert_int_equal(tpr_rig_refused(&r, "opcode"), 1);
	assert_memory_equal(tpr_rig_at(&r, CODE), other, sizeof(other));
	/* Likewise the page tables. */
	tpr_rig_put(&r, CODE + 0x20, store_ecx, sizeof(store_ecx));
	tpr_access(r.tpr, 0, CODE + 0x20, true);
	tpr_rig_map(&r, TPR_RIG_TPR & ~0xfffu, 0x5000, 3);
	tpr_rig_serve(&r);
	assert_int_equal(tpr_rig_refused(&r, "not-the-tpr"), 1);
	assert_int_equal(tpr_rig_patched(&r), 0);
	tpr_rig_destroy(&r);
}

/* A hot site that cannot be patched is looked at less and less, until other code stands there. */
static void test_refused_site_is_remembered(void **state)
{
	static const uint8_t indirect[] = {0x8b, 0x03, 0x90, 0x90, 0x90, 0x90};
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	tpr_rig_put(&r, CODE, indirect, sizeof(indirect));
	for (unsigned i = 0; i < 4000; i++)
		tpr_rig_access(&r, 0, CODE);
	assert_int_equal(tpr_rig_refused(&r, "register-address"), 4000);
	assert_true(r.vcpu[0].views < 40);
	assert_int_equal(r.wakes, 0);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	for (unsigned i = 0; i < 256; i++)
		tpr_rig_access(&r, 0, CODE);
	assert_int_equal(tpr_rig_patched(&r), 1);
	tpr_rig_destroy(&r);
}

/* Reports are turned off where they lead to nothing, never while a vCPU is armed. */
static void test_gives_up(void **state)
{
	static const uint8_t indirect[] = {0x8b, 0x03, 0x90, 0x90, 0x90, 0x90};
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, indirect, sizeof(indirect));
	for (unsigned i = 0; i < 5000; i++)
		tpr_rig_access(&r, 1, CODE);
	assert_false(r.vcpu[1].reporting);
	assert_true(r.vcpu[0].reporting);
	patch_store(&r, CODE + 16);
	assert_true(r.vcpu[1].reporting);
	for (unsigned i = 0; i < 5000; i++)
		tpr_rig_access(&r, 1, CODE);
	assert_true(r.vcpu[1].reporting);
	tpr_rig_destroy(&r);
}

static void test_table_is_bounded(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < 1100; i++)
		tpr_rig_put(&r, CODE + 0x50000 + 8 * i, store_ecx, sizeof(store_ecx));
	for (unsigned i = 0; i < 1100; i++)
		tpr_rig_access(&r, 0, CODE + 0x50000 + 8 * i);
	assert_int_equal(tpr_rig_patched(&r), 1024);
	assert_int_equal(tpr_rig_refused(&r, "table-full"), 1100 - 1024);
	assert_memory_equal(tpr_rig_at(&r, CODE + 0x50000 + 8 * 1024), store_ecx, 6);
	assert_true(r.wakes < 1024 + 8);
	/* Room comes with pages that hold something else by now. */
	memset(tpr_rig_at(&r, CODE + 0x50000), 0, 8 * 100);
	for (unsigned i = 1100; i < 1300; i++)
		tpr_rig_put(&r, CODE + 0x50000 + 8 * i, store_ecx, sizeof(store_ecx));
	for (unsigned i = 1100; i < 1300; i++)
		tpr_rig_access(&r, 0, CODE + 0x50000 + 8 * i);
	assert_int_equal(tpr_rig_patched(&r), 1024 + 100);
	tpr_rig_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_patches),
	    cmocka_unit_test(test_crosses_a_page),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_garbage_rip),
	    cmocka_unit_test(test_code_place),
	    cmocka_unit_test(test_two_at_one_site),
	    cmocka_unit_test(test_rewritten_meanwhile),
	    cmocka_unit_test(test_refused_site_is_remembered),
	    cmocka_unit_test(test_gives_up),
	    cmocka_unit_test(test_table_is_bounded),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
