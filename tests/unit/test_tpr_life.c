// SPDX-License-Identifier: GPL-2.0-or-later
/* The patcher's life: arming, repair, take-back, reset, hibernation, INIT. */
#include "tpr_fixture.h"

#include <lodge/log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A vCPU is armed by its first access in the ROM, with the word as its local APIC has it. */
static void test_arms(void **state)
{
	struct tpr_rig r;
	uint8_t *record;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, load_eax, sizeof(load_eax));
	r.vcpu[0].apic = (struct vcpu_apic){.tpr = 0x41, .in_service = 0x67, .requested = 0x93};
	tpr_rig_access(&r, 0, CODE);
	record = gmem_pointer(r.mem, RECORD, 64);
	assert_memory_equal(record, "\x41\x60\x00\x93\x01", 5);
	*tpr_rig_at(&r, TPR_RIG_KPCR(1) + 0x51) = 63;
	r.vcpu[1].apic.tpr = 0x3d;
	tpr_rig_access(&r, 1, ROM_VA + 0x1010);
	assert_int_equal(r.vcpu[1].vapic, RECORD + 63 * 64);
	assert_int_equal(r.vcpu[1].vapic % 64, 0);
	record = gmem_pointer(r.mem, RECORD + 63 * 64, 64);
	assert_int_equal(record[0], 0x3d);
	assert_int_equal(record[4], 1);
	/* Its number changes: the old record is given up. */
	*tpr_rig_at(&r, TPR_RIG_KPCR(1) + 0x51) = 7;
	tpr_rig_access(&r, 1, ROM_VA + 0x1010);
	assert_int_equal(r.vcpu[1].vapic, RECORD + 7 * 64);
	assert_int_equal(record[4], 0);
	/* The record of another vCPU is not to be had. */
	*tpr_rig_at(&r, TPR_RIG_KPCR(1) + 0x51) = 0;
	tpr_rig_access(&r, 1, ROM_VA + 0x1010);
	assert_int_equal(r.vcpu[1].vapic, RECORD + 7 * 64);
	assert_int_equal(tpr_rig_refused(&r, "cpu-number"), 1);
	tpr_rig_destroy(&r);
}

static void test_arming_fails(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, load_eax, sizeof(load_eax));
	r.fail_vapic = -EINVAL;
	tpr_rig_access(&r, 0, CODE);
	/* The site works, by the slow path. */
	assert_int_equal(tpr_rig_patched(&r), 1);
	assert_int_equal(tpr_rig_refused(&r, "host-error"), 1);
	assert_int_equal(*(uint8_t *)gmem_pointer(r.mem, RECORD + 4, 1), 0);
	r.fail_vapic = 0;
	r.fail_apic = -EIO;
	tpr_rig_access(&r, 0, ROM_VA + 0x1010);
	assert_int_equal(r.vcpu[0].vapic, 0);
	tpr_rig_destroy(&r);
}

/* Numbers that change for ever cost a bounded number of arms. */
static void test_arms_are_bounded(void **state)
{
	struct tpr_counters c;
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, load_eax, sizeof(load_eax));
	tpr_rig_access(&r, 0, CODE);
	for (unsigned i = 0; i < 3000; i++) {
		*tpr_rig_at(&r, TPR_RIG_KPCR(0) + 0x51) = (uint8_t)(i % 63 + 1);
		tpr_rig_access(&r, 0, ROM_VA + 0x1010);
	}
	tpr_get_counters(r.tpr, &c);
	assert_int_equal(c.arms, 1024);
	assert_true(r.wakes < 1100);
	tpr_rig_destroy(&r);
}

/* An armed vCPU's unpatched write reaches its record before it runs on. */
static void test_repairs(void **state)
{
	static const uint8_t byte_form[] = {0x8b, 0x03, 0x90, 0x90, 0x90, 0x90};
	struct tpr_counters c;
	struct tpr_rig r;
	uint8_t *record;

	(void)state;
	create(&r, 1);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_rig_put(&r, CODE + 16, byte_form, sizeof(byte_form));
	tpr_rig_access(&r, 0, CODE);
	record = gmem_pointer(r.mem, RECORD, 64);
	r.vcpu[0].vapic = 1; /* forgotten, as by an INIT */
	r.vcpu[0].apic.tpr = 0x71;
	tpr_access(r.tpr, 0, CODE + 16, true);
	assert_int_equal(record[0], 0x71);
	assert_int_equal(r.vcpu[0].vapic, RECORD);
	r.vcpu[0].apic.tpr = 0;
	tpr_access(r.tpr, 0, 0x1007e0401, false);
	assert_int_equal(record[0], 0);
	tpr_get_counters(r.tpr, &c);
	assert_int_equal(c.repairs, 2);
	assert_int_equal(c.reports, 3);
	tpr_rig_destroy(&r);
}

static void test_take_back(void **state)
{
	struct tpr_counters c;
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_rig_put(&r, CODE + 16, store_imm, sizeof(store_imm));
	tpr_rig_put(&r, CODE + 32, load_eax, sizeof(load_eax));
	tpr_rig_access(&r, 0, CODE);
	tpr_rig_access(&r, 0, CODE + 16);
	tpr_rig_access(&r, 0, CODE + 32);
	/* The guest used the third place for something else. */
	*tpr_rig_at(&r, CODE + 32) = 0xcc;
	tpr_take_back(r.tpr);
	assert_memory_equal(tpr_rig_at(&r, CODE), store_ecx, sizeof(store_ecx));
	assert_memory_equal(tpr_rig_at(&r, CODE + 16), store_imm, sizeof(store_imm));
	assert_int_equal(*tpr_rig_at(&r, CODE + 32), 0xcc);
	assert_memory_not_equal(tpr_rig_at(&r, CODE + 33), load_eax + 1, 4);
	assert_int_equal(r.vcpu[0].vapic, 0);
	tpr_get_counters(r.tpr, &c);
	assert_int_equal(c.taken_back, 2);
	tpr_rig_access(&r, 0, CODE);
	assert_int_equal(tpr_rig_refused(&r, "stopped"), 1);
	assert_memory_equal(tpr_rig_at(&r, CODE), store_ecx, sizeof(store_ecx));
	tpr_rig_destroy(&r);
}

/* The page was dropped and read again: patched anew, one entry of the journal. */
static void test_page_comes_back(void **state)
{
	struct tpr_counters c;
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < 3; i++) {
		patch_store(&r, CODE);
		assert_int_equal(tpr_rig_call_target(&r, CODE), ROM_VA + TPR_ROM_ENTRY(9));
	}
	tpr_take_back(r.tpr);
	tpr_get_counters(r.tpr, &c);
	assert_int_equal(c.taken_back, 1);
	tpr_rig_destroy(&r);
}

/* The guest writes over the ROM, or takes it out of its page tables. */
static void test_rom_changes(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 2; how++) {
		struct tpr_rig r;

		create(&r, 1);
		tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
		tpr_rig_put(&r, CODE + 16, load_eax, sizeof(load_eax));
		tpr_rig_access(&r, 0, CODE);
		if (how)
			*tpr_rig_at(&r, ROM_VA + 0x210) ^= 1;
		else
			tpr_rig_map(&r, ROM_VA + 0x1000, 0x5000, 3);
		tpr_rig_access(&r, 0, CODE + 16);
		assert_int_equal(tpr_rig_refused(&r, "rom-changed"), 1);
		assert_memory_equal(tpr_rig_at(&r, CODE), store_ecx, sizeof(store_ecx));
		assert_memory_equal(tpr_rig_at(&r, CODE + 16), load_eax, sizeof(load_eax));
		assert_int_equal(r.vcpu[0].vapic, 0);
		tpr_rig_destroy(&r);
	}
}

/* The ROM is somewhere else in the guest's address space. */
static void test_finds_the_rom(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < 3; i++) {
		tpr_rig_map(&r, ROM_VA + 0x1000 * i, 0, 0);
		tpr_rig_map(&r, 0xe0123000 + 0x1000 * i, TPR_RIG_ROM + 0x1000 * i, 3);
	}
	patch_store(&r, CODE);
	assert_int_equal(tpr_rig_call_target(&r, CODE), 0xe0123000 + TPR_ROM_ENTRY(9));
	tpr_rig_destroy(&r);
}

static void reset(struct tpr_rig *r)
{
	struct device *d = tpr_device(r->tpr);

	d->ops->reset(d);
	for (unsigned i = 0; i < TPR_RIG_CPUS; i++) {
		r->vcpu[i].vapic = 0;
		r->vcpu[i].held = r->vcpu[i].reporting = false;
	}
	assert_int_equal(tpr_place_rom(r->tpr, TPR_RIG_ROM), 0);
	assert_int_equal(tpr_start(r->tpr), 0);
}

static void test_reset(void **state)
{
	uint8_t call[sizeof(store_ecx)];
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	patch_store(&r, CODE);
	memcpy(call, tpr_rig_at(&r, CODE), sizeof(call));
	tpr_access(r.tpr, 1, ROM_VA + 0x1010, true);
	reset(&r);
	assert_false(tpr_pending(r.tpr));
	assert_memory_equal(tpr_rig_at(&r, ROM_VA + 0x200), "\xe6\x7e", 2);
	assert_int_equal(*(uint8_t *)gmem_pointer(r.mem, RECORD + 4, 1), 0);
	assert_true(r.vcpu[0].reporting && r.vcpu[1].reporting);
	/* The journal is empty: nothing is put back into the new guest's memory. */
	tpr_rig_put(&r, CODE, call, sizeof(call));
	tpr_take_back(r.tpr);
	assert_memory_equal(tpr_rig_at(&r, CODE), call, sizeof(call));
	reset(&r);
	tpr_rig_put(&r, CODE, store_imm, sizeof(store_imm));
	tpr_rig_access(&r, 0, CODE);
	assert_int_equal(tpr_rig_patched(&r), 2);
	tpr_rig_destroy(&r);
}

/* A guest that hibernated: a fresh ROM, patched code, no unpatched site that tells the address. */
static void test_dormant_call(void **state)
{
	struct tpr_counters c;
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	tpr_rig_out(&r, 1, ROM_VA + TPR_ROM_ENTRY(9) + 2, 1, 0);
	assert_int_equal(r.vcpu[1].view.rip, ROM_VA + TPR_ROM_ENTRY(9));
	assert_false(r.vcpu[1].held);
	assert_memory_not_equal(tpr_rig_at(&r, ROM_VA + TPR_ROM_ENTRY(9)), "\xe6\x7e", 2);
	/* Another vCPU made the OUT before; KVM shows it at the instruction. */
	tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(0), 1, 0);
	assert_int_equal(r.vcpu[0].view.rip, ROM_VA + TPR_ROM_ENTRY(0));
	tpr_get_counters(r.tpr, &c);
	assert_int_equal(c.activations, 1);
	/* Then the slow path is reported, and the vCPU armed. */
	tpr_rig_access(&r, 1, ROM_VA + 0x1010);
	assert_int_equal(r.vcpu[1].vapic, RECORD + 64);
	tpr_rig_destroy(&r);
}

/* The TPR is where no HAL has it. */
static void test_dormant_call_searches(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	tpr_rig_map(&r, 0xfffe0000, 0, 0);
	tpr_rig_map(&r, 0xffd00000, TPR_RIG_APIC, 3);
	tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(0) + 2, 1, 0);
	assert_int_equal(r.vcpu[0].view.rip, ROM_VA + TPR_ROM_ENTRY(0));
	tpr_rig_destroy(&r);

	/* Nowhere: it cannot go on. */
	create(&r, 1);
	tpr_rig_map(&r, 0xfffe0000, 0, 0);
	tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(0) + 2, 1, 0);
	assert_true(r.vcpu[0].held);
	reset(&r);
	assert_false(r.vcpu[0].held);
	tpr_rig_destroy(&r);
}

/* A fresh ROM is put over the one that the patched code leads to. */
static void patch_and_refresh(struct tpr_rig *r)
{
	static uint8_t pristine[TPR_ROM_SIZE];

	gmem_read(r->mem, TPR_RIG_ROM, pristine, sizeof(pristine));
	patch_store(r, CODE);
	gmem_write(r->mem, TPR_RIG_ROM, pristine, sizeof(pristine));
}

/* A fresh ROM put over the active one without a reset. */
static void test_fresh_rom(void **state)
{
	struct tpr_rig r;

	(void)state;
	for (unsigned cpus = 1; cpus <= 2; cpus++) {
		create(&r, cpus);
		patch_and_refresh(&r);
		assert_true(r.vcpu[0].vapic);
		tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(9) + 2, 1, 0);
		assert_int_equal(r.vcpu[0].view.rip, ROM_VA + TPR_ROM_ENTRY(9));
		assert_memory_not_equal(tpr_rig_at(&r, ROM_VA + TPR_ROM_ENTRY(9)), "\xe6\x7e", 2);
		assert_int_equal(r.vcpu[0].vapic, 0);
		tpr_rig_access(&r, 0, ROM_VA + 0x1010);
		assert_int_equal(r.vcpu[0].vapic, RECORD);
		tpr_rig_destroy(&r);
	}
}

/* An OUT from anywhere else wakes nobody; reads give ones. */
static void test_stray_outs(void **state)
{
	static const uint32_t places[] = {CODE,
					  ROM_VA,
					  ROM_VA + 0x201,
					  ROM_VA + 0x204,
					  ROM_VA + 0x2e + TPR_ROM_ENTRY(3),
					  ROM_VA + 0x1002,
					  0,
					  1};
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (unsigned size = 1; size <= 4; size *= 2)
			tpr_rig_out(&r, 0, places[i], size, 1);
		assert_int_equal(r.vcpu[0].view.rip, places[i]);
	}
	assert_int_equal(r.wakes, 0);
	assert_int_equal(bus_read(r.ports, 0x7e, 2), 0xffff);
	/* From no vCPU at all: gathered writes, a fuzzer. */
	r.current = VCPU_NONE;
	bus_write(r.ports, 0x7e, 1, 0);
	tpr_rig_destroy(&r);
}

/* A BIOS runs the ROM's initialization from where it copied it. */
static void test_announcement(void **state)
{
	struct tpr_rig r;
	struct vcpu_view *v = &r.vcpu[0].view;
	gpa_t place = 0xd0200;

	(void)state;
	create(&r, 1);
	patch_store(&r, CODE);
	v->cr0 = 0;
	v->cs.base = 0xd0200;
	tpr_rig_out(&r, 0, 0x50, 2, TPR_ROM_ABI); /* nothing with 55 aa lies there */
	assert_memory_not_equal(gmem_pointer(r.mem, place, 2), "\x55\xaa", 2);
	gmem_write(r.mem, place, "\x55\xaa", 2);
	tpr_rig_out(&r, 0, 0x50, 2, TPR_ROM_ABI + 1);
	assert_memory_not_equal(gmem_pointer(r.mem, place + 0x200, 2), "\xe6\x7e", 2);
	tpr_rig_out(&r, 0, 0x50, 2, TPR_ROM_ABI);
	assert_memory_equal(gmem_pointer(r.mem, place + 0x200, 2), "\xe6\x7e", 2);
	assert_int_equal(r.vcpu[0].vapic, 0);
	tpr_rig_destroy(&r);
}

/* After an INIT, KVM has forgotten the word. */
static void test_lost(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	patch_store(&r, CODE);
	r.vcpu[0].vapic = 1;
	tpr_vapic_lost(r.tpr, 0);
	assert_true(r.vcpu[0].held);
	tpr_rig_serve(&r);
	assert_false(r.vcpu[0].held);
	assert_int_equal(r.vcpu[0].vapic, RECORD); /* the guest relies on it already */
	r.vcpu[0].view.cr0 = 0x10;
	tpr_vapic_lost(r.tpr, 0);
	tpr_rig_serve(&r);
	assert_int_equal(r.vcpu[0].vapic, 0);
	assert_int_equal(*(uint8_t *)gmem_pointer(r.mem, RECORD + 4, 1), 0);
	tpr_vapic_lost(r.tpr, 1); /* was never armed */
	tpr_rig_serve(&r);
	tpr_rig_destroy(&r);
}

/* One address, two pages, as under two page tables: both are put back. */
static void test_two_pages_at_one_address(void **state)
{
	const uint32_t other = CODE + 0x3000;
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	tpr_rig_put(&r, CODE, store_ecx, sizeof(store_ecx));
	tpr_rig_put(&r, other, store_ecx, sizeof(store_ecx));
	tpr_rig_access(&r, 0, CODE);
	tpr_rig_map(&r, CODE, other - TPR_RIG_KSEG0, 3);
	tpr_rig_access(&r, 0, CODE);
	assert_int_equal(tpr_rig_patched(&r), 2);
	tpr_take_back(r.tpr);
	assert_memory_equal(tpr_rig_at(&r, CODE), store_ecx, sizeof(store_ecx));
	assert_memory_equal(tpr_rig_at(&r, other), store_ecx, sizeof(store_ecx));
	tpr_rig_destroy(&r);
}

/* A vCPU is disarmed after the guest changed the ROM: the change is not taken for ours. */
static void test_lost_with_fresh_rom(void **state)
{
	struct tpr_rig r;

	(void)state;
	for (unsigned cpus = 1; cpus <= 2; cpus++) {
		create(&r, cpus);
		patch_and_refresh(&r);
		r.vcpu[0].view.cr0 = 0x10;
		tpr_vapic_lost(r.tpr, 0);
		tpr_rig_serve(&r);
		r.vcpu[0].view.cr0 = 0x80010001;
		tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(9) + 2, 1, 0);
		assert_memory_not_equal(tpr_rig_at(&r, ROM_VA + TPR_ROM_ENTRY(9)), "\xe6\x7e", 2);
		tpr_rig_destroy(&r);
	}
}

/* Searches that led to nothing before do not keep a hibernated guest from going on. */
static void test_dormant_call_after_searches(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	tpr_rig_map(&r, ROM_VA, 0, 0);
	for (unsigned i = 0; i < 2; i++)
		patch_store(&r, CODE + 16 * i);
	assert_int_equal(tpr_rig_refused(&r, "no-rom"), 2);
	tpr_rig_map(&r, ROM_VA, TPR_RIG_ROM, 3);
	tpr_rig_map(&r, 0xfffe0000, 0, 0);
	tpr_rig_map(&r, 0xffd00000, TPR_RIG_APIC, 3);
	tpr_rig_out(&r, 0, ROM_VA + TPR_ROM_ENTRY(0) + 2, 1, 0);
	assert_false(r.vcpu[0].held);
	tpr_rig_destroy(&r);
}

/* A guest that needs no patches was here before; the next one does. */
static void test_announcement_turns_reports_on(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 1);
	for (unsigned i = 0; i < 5000; i++)
		tpr_access(r.tpr, 0, CODE, true);
	assert_false(r.vcpu[0].reporting);
	r.vcpu[0].view.cr0 = 0;
	r.vcpu[0].view.cs.base = TPR_RIG_ROM;
	tpr_rig_out(&r, 0, 0x50, 2, TPR_ROM_ABI);
	tpr_access(r.tpr, 0, CODE, true);
	assert_true(r.vcpu[0].reporting);
	tpr_rig_destroy(&r);
}

static void test_start_fails(void **state)
{
	struct tpr_rig r;

	(void)state;
	create(&r, 2);
	r.fail_report = -EINVAL;
	assert_int_equal(tpr_start(r.tpr), -EINVAL);
	assert_int_equal(tpr_place_rom(r.tpr, 0xa0000), -EFAULT);
	tpr_rig_access(&r, 0, CODE);
	tpr_rig_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arms),
	    cmocka_unit_test(test_arming_fails),
	    cmocka_unit_test(test_arms_are_bounded),
	    cmocka_unit_test(test_repairs),
	    cmocka_unit_test(test_take_back),
	    cmocka_unit_test(test_page_comes_back),
	    cmocka_unit_test(test_rom_changes),
	    cmocka_unit_test(test_finds_the_rom),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_dormant_call),
	    cmocka_unit_test(test_dormant_call_searches),
	    cmocka_unit_test(test_fresh_rom),
	    cmocka_unit_test(test_stray_outs),
	    cmocka_unit_test(test_announcement),
	    cmocka_unit_test(test_lost),
	    cmocka_unit_test(test_two_pages_at_one_address),
	    cmocka_unit_test(test_lost_with_fresh_rom),
	    cmocka_unit_test(test_dormant_call_after_searches),
	    cmocka_unit_test(test_announcement_turns_reports_on),
	    cmocka_unit_test(test_start_fails),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
