// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts against the TPR: none too early, none lost, none twice, in the right order. */
#include "site.h"

#define VECTOR_LOW  0x51
#define VECTOR_MID  0x61
#define VECTOR_HIGH 0x71
#define ROUNDS      300
#define PIT_RATE    1000

static struct cpu *const me = &cpus[0];
static struct site set, get; /* patched where there is a patcher */

static void clear(void)
{
	for (unsigned v = 0; v < 256; v++)
		me->received[v] = 0;
	me->order_count = 0;
}

static void warm(void)
{
	uint8_t *page = site_page();

	site_make(&set, page, KIND_STORE, ECX, 0, 0);
	site_make(&get, page + 64, KIND_LOAD, EDX, 0, 0);
	tpr_write_plain(0);
	site_warm(&set);
	site_warm(&get);
	site_store(&set, 0);
	clear();
	interrupts_on();
}

static void end(void)
{
	interrupts_off();
	tpr_write_plain(0);
}

/* Raise, message, lower: exactly one delivery, and at once after the lowering. */
static void raise_lower(void (*lower)(void), const char *how)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t before = me->received[VECTOR_LOW];

		site_store(&set, 0x61);
		ipi_self(VECTOR_LOW);
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before, "delivered below its priority");
		CHECK_EQUAL(site_load(&get) & 0xf0, 0x60, "TPR");
		lower();
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before + 1, how);
	}
}

static void lower_by_site(void)
{
	site_store(&set, 0x41);
}

static void lower_plain(void)
{
	tpr_write_plain(0x41);
}

static void lower_to_zero(void)
{
	site_store(&set, 0);
}

static void lower_hal(void)
{
	hal_lower(2);
}

static void case_raise_lower(void)
{
	warm();
	raise_lower(lower_by_site, "after lowering by a site");
	raise_lower(lower_to_zero, "after lowering to 0");
	raise_lower(lower_hal, "after KfLowerIrql");
	end();
}

/* The last lowering by code that nobody patches; and the raise too. */
static void case_unpatched_writer(void)
{
	warm();
	raise_lower(lower_plain, "after lowering by an unpatched writer");
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t before = me->received[VECTOR_LOW];

		tpr_write_plain(0x70);
		CHECK_EQUAL(site_load(&get) & 0xf0, 0x70, "unpatched raise, read by a site");
		apic_read(APIC_ID); /* an exit more, which must not bring back an old value */
		CHECK_EQUAL(site_load(&get) & 0xf0, 0x70, "the same after an exit");
		ipi_self(VECTOR_LOW);
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before, "unpatched raise does not mask");
		lower_by_site();
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before + 1, "lowered by a site");
		CHECK_EQUAL(tpr_read_plain() & 0xf0, 0x40, "TPR by the APIC");
		site_store(&set, 0x91);
		CHECK_EQUAL(tpr_read_plain() & 0xf0, 0x90, "TPR by the APIC");
		tpr_write_plain(0);
		CHECK_EQUAL(site_load(&get), 0, "unpatched lowering, read by a site");
	}
	end();
}

/* What is not above the TPR stays; what is comes through. All classes against all levels. */
static void case_classes(void)
{
	warm();
	for (uint32_t level = 0; level < 16; level++) {
		for (uint32_t class = 3; class < 14; class ++) {
			unsigned vector = class << 4 | 5;
			uint32_t before = me->received[vector];

			site_store(&set, level << 4 | 0xf);
			ipi_self(vector);
			settle();
			CHECK_EQUAL(me->received[vector], before + (class > level), "by its class");
			CHECK(apic_requested(vector) == (class <= level), "IRR", vector);
			site_store(&set, 0);
			settle();
			CHECK_EQUAL(me->received[vector], before + 1, "after 0");
		}
	}
	end();
}

/* Many are pending: lowering step by step lets them in one after the other, highest first. */
static void case_staircase(void)
{
	warm();
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		clear();
		site_store(&set, 0xff);
		for (unsigned class = 4; class < 12; class ++)
			ipi_self(class << 4 | 1);
		for (uint32_t class = 11; class >= 4; class --) {
			site_store(&set, class << 4);
			settle();
			CHECK_EQUAL(me->order_count, 11 - class, "on this step");
			site_store(&set, (class - 1) << 4 | 0xf);
			settle();
			CHECK_EQUAL(me->order_count, 12 - class, "one step down");
			CHECK_EQUAL(me->order[11 - class], class << 4 | 1, "the highest first");
		}
		clear();
		site_store(&set, 0xff);
		for (unsigned class = 4; class < 12; class ++)
			ipi_self(class << 4 | 1);
		site_store(&set, 0);
		settle();
		CHECK_EQUAL(me->order_count, 8, "all at once");
		for (uint32_t n = 0; n < 8; n++)
			CHECK_EQUAL(me->order[n], (11 - n) << 4 | 1, "the highest first");
	}
	end();
}

/* An interrupt's own class masks while it is served, whatever the TPR says. */
static uint32_t depth, deepest;

static void isr_nested(struct cpu *cpu, unsigned vector)
{
	uint32_t low = cpu->received[VECTOR_LOW], high = cpu->received[VECTOR_HIGH];

	cpu->received[vector]++;
	if (++depth > deepest)
		deepest = depth;
	if (vector == VECTOR_MID) {
		site_store(&set, 0);
		interrupts_on();
		ipi_self(VECTOR_LOW);
		ipi_self(VECTOR_MID + 1);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], low, "below the one that is served");
		CHECK_EQUAL(cpu->received[VECTOR_MID + 1], cpu->received[VECTOR_MID] - 1,
			    "the same class");
		site_store(&set, 0x81);
		ipi_self(VECTOR_HIGH);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_HIGH], high, "above it, but below the TPR");
		site_store(&set, 0x31);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_HIGH], high + 1, "above it");
		CHECK_EQUAL(cpu->received[VECTOR_LOW], low, "below it, after the TPR is lower");
		interrupts_off();
		site_store(&set, 0);
	}
	depth--;
	apic_eoi();
}

static void case_nested(void)
{
	warm();
	for (unsigned i = 0; i < 4; i++)
		on_interrupt((uint8_t[]){VECTOR_LOW, VECTOR_MID, VECTOR_HIGH, VECTOR_MID + 1}[i],
			     isr_nested);
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		clear();
		ipi_self(VECTOR_MID);
		settle();
		CHECK_EQUAL(me->received[VECTOR_MID], 1, "served");
		CHECK_EQUAL(me->received[VECTOR_MID + 1], 1, "same class, after it");
		CHECK_EQUAL(me->received[VECTOR_LOW], 1, "lower class, after it");
		CHECK_EQUAL(me->received[VECTOR_HIGH], 1, "higher class, within it");
	}
	CHECK_EQUAL(deepest, 2, "depth");
	for (unsigned v = VECTOR_LOW; v <= VECTOR_HIGH; v++)
		on_interrupt(v, NULL);
	end();
}

/* Interrupts off while the TPR falls: the flag stays off, and what waits comes with STI. */
static void case_interrupt_flag(void)
{
	warm();
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t before = me->received[VECTOR_LOW];

		site_store(&set, 0x61);
		ipi_self(VECTOR_LOW);
		interrupts_off();
		site_store(&set, 0);
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before, "with interrupts off");
		interrupts_on();
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], before + 1, "after STI");
	}
	end();
}

/* From the I/O APIC and the APIC's own timer: these come while the guest is elsewhere. */
static void case_devices(void)
{
	warm();
	pit_start(PIT_RATE, VECTOR_MID);
	apic_timer(VECTOR_LOW, 1500000, true);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t mid, low;

		site_store(&set, 0x61);
		mid = me->received[VECTOR_MID];
		low = me->received[VECTOR_LOW];
		for (uint64_t end_at = tsc() + 6000000; tsc() < end_at;)
			site_load(&get);
		CHECK_EQUAL(me->received[VECTOR_MID], mid, "the PIT is masked");
		CHECK_EQUAL(me->received[VECTOR_LOW], low, "the timer is masked");
		site_store(&set, 0x51);
		CHECK(wait_for(&me->received[VECTOR_MID], mid + 1), "the PIT after it", i);
		CHECK_EQUAL(me->received[VECTOR_LOW], low, "the timer is masked still");
		site_store(&set, 0);
		CHECK(wait_for(&me->received[VECTOR_LOW], low + 1), "the timer after it", i);
	}
	pit_start(0, 0);
	apic_timer(0, 0, false);
	settle();
	end();
}

/* Halted at a level: what is above it wakes, what is below waits for the lowering. */
static void case_halt(void)
{
	warm();
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		uint32_t low = me->received[VECTOR_LOW], high = me->received[VECTOR_HIGH];

		interrupts_off();
		site_store(&set, 0x61);
		ipi_self(VECTOR_LOW);
		apic_timer(VECTOR_HIGH, 200000, false);
		while (me->received[VECTOR_HIGH] == high) {
			await_interrupt();
			interrupts_off();
		}
		CHECK_EQUAL(me->received[VECTOR_LOW], low, "below the level of the halt");
		interrupts_on();
		site_store(&set, 0x41);
		settle();
		CHECK_EQUAL(me->received[VECTOR_LOW], low + 1, "after it");
	}
	end();
}

const struct named_case deliver_cases[] = {{"raise-lower", case_raise_lower, 1},
					   {"unpatched-writer", case_unpatched_writer, 1},
					   {"priority-classes", case_classes, 1},
					   {"staircase", case_staircase, 1},
					   {"nested-interrupts", case_nested, 1},
					   {"interrupt-flag", case_interrupt_flag, 1},
					   {"timers", case_devices, 1},
					   {"halt", case_halt, 1},
					   {0}};
