// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the TPR costs, in ticks of the time-stamp counter, which are instructions in the
 * deterministic lab: "pair" for a raise and a lowering of the level, "load" for a machine with a
 * clock at 1 kHz, DPCs and work on every processor, as a busy XP has it.
 */
#include "site.h"

#define PAIRS_FIRST   4
#define PAIRS_WARM_UP 1000
#define CLOCK_HZ      1000
#define DPC_EVERY     16

void hal_clock_interrupt(void);
void hal_ipi_interrupt(void);
void hal_dpc_interrupt(void);
void load_clock(void);
void load_cross(void);
void load_dpc(void);

static volatile uint32_t ticks, crosses, dpcs, sink;
static uint32_t done;

static void pair(void)
{
	hal_raise(2);
	hal_lower(0);
}

static void case_pair(void)
{
	uint64_t start = tsc(), first;

	for (uint32_t i = 0; i < PAIRS_FIRST; i++)
		pair();
	first = tsc();
	for (uint32_t i = 0; i < PAIRS_WARM_UP; i++)
		pair();
	value("first", (first - start) / PAIRS_FIRST);
	start = tsc();
	for (uint32_t i = 0; i < settings.count; i++)
		pair();
	value("span", tsc() - start);
	value("pairs", settings.count);
}

static void compute(uint32_t instructions)
{
	for (uint32_t i = 0; i < instructions / 4; i++)
		sink = sink * 5 + i;
}

void load_dpc(void)
{
	dpcs++;
	compute(settings.work / 4);
}

void load_clock(void)
{
	ticks++;
	for (uint32_t n = 1; n < settings.cpus; n++)
		ipi(cpus[n].apic_id, VECTOR_CROSS);
	ipi_self(VECTOR_DPC);
	compute(settings.work / 8);
}

void load_cross(void)
{
	__atomic_fetch_add(&crosses, 1, __ATOMIC_SEQ_CST);
	ipi_self(VECTOR_DPC);
	compute(settings.work / 8);
}

/* A unit: three raises of the level with as much work within and between them; now and then a DPC.
 */
static void load_unit(uint32_t n, uint32_t *lock)
{
	uint8_t old = hal_raise_to_dpc();

	compute(settings.work / 4);
	if (n % DPC_EVERY == 0)
		ipi_self(VECTOR_DPC);
	hal_lower(old);
	compute(settings.work / 4);
	old = hal_lock(lock);
	compute(settings.work / 4);
	hal_unlock(lock, old);
	old = hal_raise(1);
	compute(settings.work / 4);
	hal_lower(old);
}

static void load_work(uint32_t units)
{
	uint32_t lock = 0;

	interrupts_on();
	for (uint32_t i = 0; i < units; i++)
		load_unit(i, &lock);
	interrupts_off();
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	ipi(cpus[0].apic_id, VECTOR_IPI);
}

static void case_load(void)
{
	uint64_t start;

	on_interrupt_raw(VECTOR_CLOCK, hal_clock_interrupt, false);
	on_interrupt_raw(VECTOR_CROSS, hal_ipi_interrupt, false);
	on_interrupt_raw(VECTOR_DPC, hal_dpc_interrupt, false);
	start = tsc();
	pit_start(CLOCK_HZ, VECTOR_CLOCK);
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_call(n, load_work, settings.count);
	load_work(settings.count);
	while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < settings.cpus) {
		await_interrupt();
		interrupts_off();
	}
	value("span", tsc() - start);
	pit_start(0, 0);
	value("units", settings.count * settings.cpus);
	value("ticks", ticks);
	value("dpcs", dpcs);
	CHECK(dpcs >= settings.count / DPC_EVERY, "too few DPCs", dpcs);
	CHECK(ticks > 0, "no clock", ticks);
}

const struct named_case load_cases[] = {{"pair", case_pair, 1}, {"load", case_load, 1}, {0}};
