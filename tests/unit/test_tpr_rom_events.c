// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TPR option ROM, interrupted: before each instruction of each entry something happens, and the
 * entry must be right all the same. And what happens before there is anything to interrupt: the
 * announcement to a BIOS, the call of a dormant entry.
 */
#include "tpr_rom_rig.h"

#define BEFORE 0x81 /* the TPR before a call, and what is requested below it, above VALUE */
#define OTHER  0x91 /* the TPR of the other CPU */
#define IRR    0x61
#define VALUE  0xabcd0041u
#define VA     0x800c8000u
#define REAL   0xfffe0080u

enum event { NOTHING, NMI, INTERRUPT, MIGRATE, REQUEST, ARM, DISARM, NMI_ARM, NMI_DISARM };

struct plan {
	enum event first, second;
	unsigned at, again; /* before which instruction; again > at */
};

/* Runs from EIP until the ROM is left, without events. */
static void run_out(struct rig *g)
{
	uint32_t eip = 0;

	for (unsigned i = 0; i < 64; i++) {
		rig_step(g);
		uc_reg_read(g->uc, UC_X86_REG_EIP, &eip);
		if (eip - g->va >= TPR_ROM_SIZE)
			return;
	}
	fail_msg("an entry does not return");
}

static uint32_t nested_call(struct rig *g, unsigned entry, unsigned reg, uint32_t value,
			    uint32_t esp)
{
	uint32_t r[3] = {rig_entry(g, entry), esp - 4, RIG_CODE + 0x200};

	rig_write(g, r[1], &r[2], 4);
	uc_reg_write(g->uc, rig_id[reg], &value);
	uc_reg_write(g->uc, UC_X86_REG_EIP, &r[0]);
	uc_reg_write(g->uc, UC_X86_REG_ESP, &r[1]);
	run_out(g);
	uc_reg_read(g->uc, rig_id[reg], &value);
	return value;
}

static void change(struct rig *g, bool armed)
{
	if (armed && !g->cpu[g->current].armed)
		rig_arm(g, g->current);
	if (!armed && g->cpu[g->current].armed)
		rig_disarm(g, g->current);
}

/*
 * A handler on the same stack that raises the TPR and puts it back, as a HAL's does. The monitor
 * may arm or disarm the CPU behind its first access.
 */
static void handle(struct rig *g, enum event e)
{
	static const uint32_t frame[3] = {0xf00df00d, 0xf00df00d, 0xf00df00d};
	struct rig_state s;
	uint32_t flags, old;
	uint8_t tpr = rig_tpr(g, g->current);

	rig_get(g, &s);
	rig_write(g, s.r[ESP] - sizeof(frame), frame, sizeof(frame));
	flags = s.r[EFLAGS] & ~RIG_IF;
	uc_reg_write(g->uc, UC_X86_REG_EFLAGS, &flags);
	old = nested_call(g, TPR_ENTRY_LOAD + EDI, EDI, 0, s.r[ESP] - 16);
	assert_int_equal(old, tpr);
	rig_exit_from(g);
	if (e == NMI_ARM || e == NMI_DISARM)
		change(g, e == NMI_ARM);
	rig_enter(g);
	nested_call(g, TPR_ENTRY_STORE + ECX, ECX, 0xd1, s.r[ESP] - 16);
	nested_call(g, TPR_ENTRY_STORE + ESI, ESI, old, s.r[ESP] - 16);
	assert_int_equal(rig_tpr(g, g->current), tpr);
	rig_set(g, &s);
}

/* Whether it could happen: an interrupt needs IF, arming one who is not. */
static bool happen(struct rig *g, enum event e, uint32_t flags)
{
	if ((e == INTERRUPT || e == MIGRATE) && !(flags & RIG_IF))
		return false;
	rig_exit_from(g);
	if (e == REQUEST)
		g->cpu[g->current].irr = IRR;
	if (e == ARM || e == DISARM)
		change(g, e == ARM);
	if (rig_deliverable(&g->cpu[g->current]))
		g->cpu[g->current].noticed = true;
	rig_enter(g);
	if (e == MIGRATE)
		rig_set_current(g, 1);
	if (e == NMI || e == INTERRUPT || e == NMI_ARM || e == NMI_DISARM)
		handle(g, e);
	return true;
}

/*
 * One call with events. Returns false when the entry has no instruction plan->at. *changed: the CPU
 * that was current when a TPR changed, -1 if none did.
 */
static bool run_plan(struct rig *g, unsigned entry, const struct plan *plan, int *changed)
{
	struct rig_call call = {entry, VALUE, BEFORE, RIG_IF | 0x8d7};
	struct rig_state before, want, s;
	uint8_t tpr[2] = {rig_tpr(g, 0), rig_tpr(g, 1)};
	unsigned n = 0;

	rig_prepare(g, &call, &before);
	rig_expect(&call, &before, &want);
	*changed = -1;
	for (s = before; s.r[EIP] - g->va < TPR_ROM_SIZE && n < 64; n++) {
		if (n == plan->at && plan->first)
			happen(g, plan->first, s.r[EFLAGS]);
		if (n == plan->again && plan->second)
			happen(g, plan->second, s.r[EFLAGS]);
		rig_step(g);
		if (rig_tpr(g, 0) != tpr[0] || rig_tpr(g, 1) != tpr[1]) {
			assert_int_equal(*changed, -1);
			assert_int_equal(rig_tpr(g, !g->current), tpr[!g->current]);
			*changed = (int)g->current;
			tpr[g->current] = rig_tpr(g, g->current);
		}
		rig_get(g, &s);
	}
	if (entry < TPR_ENTRY_STORE && plan->first == MIGRATE)
		want.r[entry] = s.r[entry];
	for (unsigned i = 0; i < RIG_REGISTERS; i++)
		assert_int_equal(s.r[i], want.r[i]);
	assert_int_equal(g->bad, 0);
	return n > plan->at;
}

static void start(struct rig *g, bool armed, uint8_t irr)
{
	for (unsigned i = 0; i < 2; i++) {
		if (g->cpu[i].armed)
			rig_disarm(g, i);
		g->cpu[i] = (struct rig_cpu){.tpr = BEFORE, .irr = irr};
		if (armed && !(g->image.single_cpu && i))
			rig_arm(g, i);
	}
	rig_set_current(g, 0);
}

/* Every boundary of every entry; what was stored is the TPR, and what it lets through is known. */
static void every_boundary(struct rig *g, enum event event, bool armed, uint8_t irr)
{
	int changed;

	for (unsigned n = 0; n < TPR_ENTRY_COUNT; n++) {
		struct plan plan = {.first = event, .again = 99};
		bool more = true;

		if (n == TPR_ENTRY_LOAD + ESP)
			continue;
		for (; more; plan.at++) {
			start(g, armed, irr);
			more = run_plan(g, n, &plan, &changed);
			assert_int_equal(changed, rig_is_load(n) ? -1 : 0);
			if (rig_is_load(n))
				continue;
			assert_int_equal(rig_tpr(g, 0),
					 (uint8_t)(n == TPR_ENTRY_STORE + ESP ? RIG_ESP : VALUE));
			if (more)
				assert_int_equal(g->cpu[0].noticed, g->cpu[0].irr != 0);
		}
		assert_true(plan.at > 1);
	}
}

static void boundaries_of(bool single)
{
	static const enum event events[] = {NOTHING, NMI,     INTERRUPT, ARM,
					    DISARM,  NMI_ARM, NMI_DISARM};
	struct rig g;

	rig_create(&g, single, VA, REAL);
	rig_activate(&g);
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		for (unsigned j = 0; j < 4; j++)
			every_boundary(&g, events[i], j & 1, j & 2 ? IRR : 0);
	every_boundary(&g, REQUEST, true, 0);
	every_boundary(&g, REQUEST, false, 0);
	rig_destroy(&g);
}

static void test_boundaries(void **state)
{
	(void)state;
	boundaries_of(false);
}

static void test_boundaries_single(void **state)
{
	(void)state;
	boundaries_of(true);
}

/* Armed and later disarmed in the middle of one call; or disarmed and armed in one stop. */
static void twice_of(bool single, uint8_t irr)
{
	static const unsigned entries[] = {TPR_ENTRY_LOAD + EAX, TPR_ENTRY_STORE + ECX,
					   TPR_ENTRY_STORE_IMM, TPR_ENTRY_POP};
	struct rig g;
	int changed;

	rig_create(&g, single, VA, REAL);
	rig_activate(&g);
	for (unsigned e = 0; e < 4; e++)
		for (unsigned i = 0; i < 32 * 32; i++) {
			struct plan plan = {ARM, DISARM, i / 32, i % 32};

			if (plan.at > plan.again)
				continue;
			if (plan.at == plan.again) {
				plan.first = DISARM;
				plan.second = ARM;
			}
			start(&g, plan.first == DISARM, irr);
			run_plan(&g, entries[e], &plan, &changed);
			assert_int_equal(rig_tpr(&g, 0), e ? (uint8_t)VALUE : BEFORE);
			assert_int_equal(g.cpu[0].noticed, e && irr);
		}
	rig_destroy(&g);
}

static void test_armed_twice(void **state)
{
	(void)state;
	twice_of(false, 0);
	twice_of(false, IRR);
	twice_of(true, 0);
	twice_of(true, IRR);
}

/* Who was current when a record was read last. */
struct reader {
	const struct rig *rig;
	unsigned cpu;
};

static void on_record(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
		      void *arg)
{
	(void)uc;
	(void)type;
	(void)address;
	(void)size;
	(void)value;
	((struct reader *)arg)->cpu = ((struct reader *)arg)->rig->current;
}

/* The thread is moved to the other CPU: what it reads or writes is the TPR of the CPU it is on. */
static void test_migration(void **state)
{
	struct rig g;
	struct reader reader = {.rig = &g};
	struct rig_state s;
	uc_hook hook;
	int changed;

	(void)state;
	rig_create(&g, false, VA, REAL);
	rig_activate(&g);
	uc_hook_add(g.uc, &hook, UC_HOOK_MEM_READ, (void *)(uintptr_t)on_record, &reader,
		    VA + TPR_ROM_RECORDS, VA + TPR_ROM_SIZE - 1);
	for (unsigned n = 0; n < TPR_ENTRY_COUNT; n++) {
		struct plan plan = {.first = MIGRATE, .again = 99};
		bool more = n != TPR_ENTRY_LOAD + ESP;

		for (; more; plan.at++) {
			start(&g, true, 0);
			rig_record(&g, 1)[TPR_RECORD_TPR] = g.cpu[1].tpr = OTHER;
			more = run_plan(&g, n, &plan, &changed);
			assert_int_equal(changed == -1, rig_is_load(n));
			rig_get(&g, &s);
			if (rig_is_load(n))
				assert_int_equal(n == TPR_ENTRY_PUSH ? rig_dword(&g, s.r[ESP])
								     : s.r[n],
						 reader.cpu ? OTHER : BEFORE);
		}
	}
	rig_destroy(&g);
}

/* XP's raise and lower: two loads into EAX and two stores of ECX; a CALL for each. */
static void test_cost(void **state)
{
	static const unsigned limit[2][2] = {{7, 11}, {2, 6}};

	(void)state;
	for (unsigned single = 0; single < 2; single++) {
		static const unsigned entries[2] = {TPR_ENTRY_LOAD + EAX, TPR_ENTRY_STORE + ECX};
		struct rig g;
		int changed;

		rig_create(&g, single, VA, REAL);
		rig_activate(&g);
		for (unsigned i = 0; i < 2; i++) {
			struct plan plan = {.at = limit[single][i] - 1, .again = 99};

			start(&g, true, 0);
			assert_true(run_plan(&g, entries[i], &plan, &changed));
			plan.at++;
			start(&g, true, 0);
			assert_false(run_plan(&g, entries[i], &plan, &changed));
		}
		rig_destroy(&g);
	}
}

/* After hibernation: patched callers, a ROM as the BIOS loaded it. */
static void test_dormant(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2 * TPR_ENTRY_COUNT; n++) {
		unsigned entry = n / 2;
		struct rig_call call = {entry, VALUE, BEFORE, RIG_IF | 0x8d7};
		struct rig_state before, want, s;
		struct rig g;

		if (entry == TPR_ENTRY_LOAD + ESP)
			continue;
		rig_create(&g, n & 1, VA, REAL);
		g.cpu[0].tpr = BEFORE;
		rig_prepare(&g, &call, &before);
		rig_expect(&call, &before, &want);
		rig_step(&g);
		assert_int_equal(g.calls, 1);
		rig_get(&g, &s);
		assert_int_equal(tpr_image_entry_at(s.r[EIP] - 2 - VA), entry);
		s.r[EIP] -= 2;
		assert_memory_equal(&s, &before, sizeof(s));
		rig_activate(&g);
		rig_set(&g, &s);
		run_out(&g);
		rig_get(&g, &s);
		assert_memory_equal(&s, &want, sizeof(s));
		if (!rig_is_load(entry) && entry != TPR_ENTRY_STORE + ESP)
			assert_int_equal(g.cpu[0].tpr, (uint8_t)VALUE);
		rig_destroy(&g);
	}
}

struct announcement {
	unsigned count;
	uint32_t value;
	uint64_t base;
};

static void on_announce(uc_engine *uc, uint32_t port, int size, uint32_t value, void *arg)
{
	struct announcement *a = arg;
	uint32_t linear; /* which is what Unicorn has for EIP in real mode */

	uc_reg_read(uc, UC_X86_REG_EIP, &linear);
	a->count += port == TPR_ROM_PORT && size == 2;
	a->value = value;
	a->base = linear & ~511u;
}

/* As a BIOS does: a far call of offset 3 in real mode. */
static void test_announcement(void **state)
{
	const uint16_t segment = RIG_BASE >> 4, ax = 0x1234, sp = 0xff00;
	const uint16_t back[2] = {0x7000, 0x100};
	struct announcement a = {0};
	uint16_t r[2];
	struct rig g;
	uc_engine *uc;
	uc_hook hook;

	(void)state;
	rig_create(&g, false, VA, REAL);
	assert_int_equal(uc_open(UC_ARCH_X86, UC_MODE_16, &uc), UC_ERR_OK);
	assert_int_equal(
	    uc_mem_map_ptr(uc, 0, 0x100000, UC_PROT_ALL, gmem_pointer(g.mem, 0, 0x100000)),
	    UC_ERR_OK);
	uc_hook_add(uc, &hook, UC_HOOK_INSN, (void *)(uintptr_t)on_announce, &a, 1, 0,
		    UC_X86_INS_OUT);
	uc_reg_write(uc, UC_X86_REG_CS, &segment);
	uc_reg_write(uc, UC_X86_REG_AX, &ax);
	uc_reg_write(uc, UC_X86_REG_SP, &sp);
	uc_mem_write(uc, sp, back, sizeof(back));
	assert_int_equal(uc_emu_start(uc, RIG_BASE + 3, 0x8000, 0, 16), UC_ERR_OK);
	uc_reg_read(uc, UC_X86_REG_SP, &r[0]);
	uc_reg_read(uc, UC_X86_REG_AX, &r[1]);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.value & 0xffff, TPR_ROM_ABI);
	assert_int_equal(a.base, RIG_BASE);
	assert_int_equal(r[0], sp + 4);
	assert_int_equal(r[1], ax);
	uc_close(uc);
	rig_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_announcement),
	    cmocka_unit_test(test_dormant),
	    cmocka_unit_test(test_cost),
	    cmocka_unit_test(test_boundaries),
	    cmocka_unit_test(test_boundaries_single),
	    cmocka_unit_test(test_armed_twice),
	    cmocka_unit_test(test_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
