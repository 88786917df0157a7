// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each entry of the TPR option ROM by itself, both makes of the image, armed and not: registers,
 * flags, stack, memory, accesses to the real TPR, polls. What may come in between is in
 * test_tpr_rom_events.c.
 */
#include "tpr_rom_rig.h"

/* A state of the CPU's interrupts, and whether lowering the TPR to `value` lets something through.
 */
struct situation {
	const char *name;
	bool armed;
	uint8_t isr, irr;
};

static const struct situation situations[] = {
    {"not armed", false, 0, 0},
    {"not armed, requested", false, 0, 0x51},
    {"armed, quiet", true, 0, 0},
    {"requested below all", true, 0, 0x10},
    {"requested at DPC level", true, 0, 0x4f},
    {"requested above", true, 0, 0x51},
    {"requested at the top", true, 0, 0xff},
    {"requested, one of its class in service", true, 0x50, 0x5f},
    {"requested, one above in service", true, 0xd0, 0x51},
    {"requested, one below in service", true, 0x30, 0x51},
};

static const uint32_t values[] = {0, 0x3d, 0x41, 0x4f, 0x50, 0xd1, 0xff, 0xdeadbe41, 0xffffff00};

static const uint32_t flags[] = {2, 2 | RIG_IF, 2 | RIG_FLAGS, 2 | RIG_FLAGS | RIG_IF,
				 /* NT, IOPL 3, ID */
				 2 | 0x4000 | 0x3000 | 0x200000 | RIG_IF | 0x41};
#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static void check_stack(struct rig *g, const struct rig_call *c, uint32_t value)
{
	for (unsigned i = 0; i < 0x400; i++) {
		uint32_t is = rig_dword(g, RIG_STACK + i * 4);
		uint32_t was = 0x5a000000 + i;

		if (i == 0x200 && c->entry == TPR_ENTRY_POP)
			continue; /* popped: it may be anything */
		if (i == 0x1ff && c->entry == TPR_ENTRY_PUSH)
			assert_int_equal(is, c->before);
		else if (i < 0x200 - TPR_ENTRY_STACK / 4 || i >= 0x200)
			assert_int_equal(is, was);
	}
	assert_int_equal(rig_dword(g, RIG_CODE + 0x100), value);
}

/* One call; everything about it. Returns how many instructions it took. */
static unsigned run_call(struct rig *g, const struct rig_call *c, const struct situation *now)
{
	struct rig_cpu *cpu = &g->cpu[0];
	struct rig_state before, want, after;
	uint8_t record[TPR_RECORD_SIZE];
	uint32_t value;
	unsigned steps = 0;
	bool deliverable;

	if (cpu->armed)
		rig_disarm(g, 0);
	*cpu = (struct rig_cpu){.tpr = c->before, .isr = now->isr, .irr = now->irr};
	if (now->armed)
		rig_arm(g, 0);
	memcpy(record, rig_record(g, 0), sizeof(record));
	g->reads = g->writes = g->polls = g->calls = 0;
	value = rig_prepare(g, c, &before);
	do {
		rig_step(g);
		rig_get(g, &after);
	} while (after.r[EIP] >= g->va && after.r[EIP] < g->va + TPR_ROM_SIZE && ++steps < 64);

	rig_expect(c, &before, &want);
	for (unsigned i = 0; i < RIG_REGISTERS; i++)
		assert_int_equal(after.r[i], want.r[i]);
	check_stack(g, c, value);
	assert_int_equal(g->bad + g->calls, 0);
	assert_int_equal(g->reads, !now->armed && rig_is_load(c->entry));
	assert_int_equal(g->writes, !now->armed && !rig_is_load(c->entry));
	assert_int_equal(rig_tpr(g, 0), rig_is_load(c->entry) ? c->before : (uint8_t)value);
	deliverable = (now->irr & 0xf0) > (rig_max((uint8_t)value, now->isr) & 0xf0);
	assert_int_equal(g->polls, now->armed && !rig_is_load(c->entry) && deliverable);
	if (g->polls)
		assert_int_equal(g->poll_flags & RIG_IF, c->flags & RIG_IF);
	if (now->armed)
		record[TPR_RECORD_TPR] = rig_tpr(g, 0);
	else
		record[TPR_RECORD_OFF] = rig_record(g, 0)[TPR_RECORD_OFF];
	assert_memory_equal(record, rig_record(g, 0), sizeof(record));
	return steps + 1;
}

static void run_entry(struct rig *g, unsigned entry)
{
	for (unsigned s = 0; s < sizeof(situations) / sizeof(situations[0]); s++)
		for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			run_call(g,
				 &(struct rig_call){entry, values[v], (uint8_t)(0xff - v * 0x13),
						    flags[(s + v) % FLAGS]},
				 &situations[s]);
}

static void run_all(bool single, uint32_t va, uint32_t real)
{
	struct rig g;

	rig_create(&g, single, va, real);
	rig_activate(&g);
	for (unsigned n = 0; n < TPR_ENTRY_COUNT; n++)
		if (n != TPR_ENTRY_LOAD + ESP)
			run_entry(&g, n);
	rig_destroy(&g);
}

static void test_entries(void **state)
{
	(void)state;
	run_all(false, 0x800c8000, 0xfffe0080);
}

static void test_entries_elsewhere(void **state)
{
	(void)state;
	run_all(false, 0xe1234000, 0xfeed0080);
}

static void test_entries_single(void **state)
{
	(void)state;
	run_all(true, 0x800c8000, 0xfffe0080);
}

static void test_entries_single_elsewhere(void **state)
{
	(void)state;
	run_all(true, 0xe1234000, 0xfeed0080);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_entries),
	    cmocka_unit_test(test_entries_elsewhere),
	    cmocka_unit_test(test_entries_single),
	    cmocka_unit_test(test_entries_single_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
