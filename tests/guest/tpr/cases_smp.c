// SPDX-License-Identifier: GPL-2.0-or-later
/* Several processors: one site on all of them, code and mappings that change under it. */
#include "site.h"

#define ROUNDS         40
#define ALIAS          (WINDOW + 0x40000)
#define VECTOR_LOW     0x51
#define UNCLAIMED_PORT 0x2e0

extern void (*const site_run[4])(struct registers *r, const void *target);

static struct site sites[ROUNDS];
static struct site set, get;
static volatile uint32_t meeting, stop;

static void on_all(cpu_work *work)
{
	meeting = 0;
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_call(n, work, n);
	work(0);
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_wait(n);
}

static void warm(void)
{
	uint8_t *page = site_page();

	site_make(&set, page, KIND_STORE, ECX, 0, CPU_ANY);
	site_make(&get, page + 64, KIND_LOAD, EDX, 0, CPU_ANY);
	site_warm(&set);
	site_warm(&get);
	site_store(&set, 0);
}

/* All run a site that nobody has run before, at the same time. */
static void race(uint32_t n)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t tpr = 0x40 + n * 0x10;

		tpr_write_plain(tpr);
		barrier(&meeting, settings.cpus);
		if (sites[i].kind == KIND_STORE)
			site_store(&sites[i], tpr + 0x40);
		else
			CHECK_EQUAL(site_load(&sites[i]), tpr, "loaded in the race");
		if (sites[i].kind == KIND_STORE)
			CHECK_EQUAL(tpr_read_plain() & 0xf0, tpr + 0x40, "stored in the race");
	}
	tpr_write_plain(0);
}

static void case_race(void)
{
	uint8_t *page = site_page();

	for (uint32_t i = 0; i < ROUNDS; i++)
		site_make(&sites[i], page + 64 * i, i % 2 ? KIND_STORE : KIND_LOAD, i / 2 % 4, 0,
			  CPU_ANY);
	on_all(race);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		site_warm(&sites[i]);
		site_check_bytes(&sites[i], true);
	}
	tpr_write_plain(0);
}

/* Each has a TPR of its own, through the same sites. */
static void own_tpr(uint32_t n)
{
	uint32_t mask = settings.patch == PATCH_ON ? 0xff : 0xf0;

	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t tpr = (i * 16 + n * 32) & 0xff;

		if (settings.patch == PATCH_ON)
			tpr |= n;
		site_store(&set, tpr);
		if (i % 64 == 0)
			barrier(&meeting, settings.cpus);
		CHECK_EQUAL(site_load(&get) & mask, tpr & mask, "its own TPR");
	}
	site_store(&set, 0);
}

static void case_own_tpr(void)
{
	warm();
	on_all(own_tpr);
}

/* A message from another processor, while the level is raised; then it falls. */
static volatile uint32_t step;

static void masked_target(uint32_t n)
{
	struct cpu *cpu = &cpus[n];

	interrupts_on();
	for (uint32_t i = 0; i < ROUNDS * 4; i++) {
		uint32_t before = cpu->received[VECTOR_LOW];

		site_store(&set, 0x61);
		step = 2 * i + 1;
		while (step < 2 * i + 2)
			__asm__ volatile("pause" : : : "memory");
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before, "delivered below its priority");
		site_store(&set, 0x41);
		CHECK(wait_for(&cpu->received[VECTOR_LOW], before + 1), "lost", i);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before + 1, "delivered twice");
	}
	site_store(&set, 0);
	interrupts_off();
}

static void case_cross_message(void)
{
	warm();
	step = 0;
	cpu_call(1, masked_target, 1);
	for (uint32_t i = 0; i < ROUNDS * 4; i++) {
		wait_for(&step, 2 * i + 1);
		ipi(cpus[1].apic_id, VECTOR_LOW);
		step = 2 * i + 2;
	}
	cpu_wait(1);
}

/* 8 bytes that change at once: the instruction, and what fills up. */
static void rewrite(uint32_t n)
{
	volatile uint64_t *at = (volatile uint64_t *)sites[0].at;
	uint64_t images[2];

	copy(&images[0], sites[0].code, 8);
	copy(&images[1], sites[1].code, 8);
	for (uint32_t i = n; !stop; i++) {
		uint64_t image = images[i % 2];

		__asm__ volatile("lock cmpxchg8b %0"
				 : "+m"(*at)
				 : "A"(*at), "b"((uint32_t)image), "c"((uint32_t)(image >> 32))
				 : "memory", "cc");
		for (uint32_t delay = 0; delay < 2000; delay++)
			__asm__ volatile("pause");
	}
}

/* Code is rewritten while it runs and is patched: either image's effect, never anything else. */
static void case_rewritten(void)
{
	uint8_t *at = site_page() + 64;
	uint32_t wanted = 0, tpr;

	site_make(&sites[1], at, KIND_STORE, EBX, 0, 0);
	site_make(&sites[0], at, KIND_STORE, ECX, 0, 0);
	sites[0].code[6] = sites[1].code[6] = at[6] = 0x90;
	sites[0].code[7] = sites[1].code[7] = at[7] = 0x90;
	stop = 0;
	site_make(&sites[2], at + 8, KIND_A1, EAX, 0, 0); /* a load, then back */
	cpu_call(1, rewrite, 0);
	for (uint32_t i = 0; i < 3000; i++) {
		struct registers r;
		uint32_t seed = i + 1;

		site_registers(&r, &seed);
		r.gpr[ECX] = (i % 14 + 1) << 4;
		r.gpr[EBX] = (i % 13 + 2) << 4;
		wanted = r.gpr[ECX];
		tpr = r.gpr[EBX];
		site_run[0](&r, at);
		CHECK((r.gpr[EAX] & 0xf0) == wanted || (r.gpr[EAX] & 0xf0) == tpr, "TPR",
		      r.gpr[EAX]);
	}
	stop = 1;
	cpu_wait(1);
	tpr_write_plain(0);
}

/* What the address of the access means changes meanwhile: the APIC, or RAM. */
static void remap(uint32_t ram)
{
	for (uint32_t i = 0; !stop; i++) {
		page_set(ALIAS, i % 2 ? ram | PTE_RAM : LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD);
		for (uint32_t delay = 0; delay < 3000; delay++)
			__asm__ volatile("pause");
	}
}

static void case_remapped_apic(void)
{
	uint8_t *ram = site_page();

	*(uint32_t *)(ram + 0x80) = 0x77777777;
	page_set(ALIAS, LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD);
	stop = 0;
	tpr_write_plain(0x60);
	site_make_va(&sites[0], site_page(), KIND_LOAD, EBX, 0, 0, ALIAS + 0x80);
	cpu_call(1, remap, physical(ram));
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t is;

		page_flush(ALIAS);
		is = site_load(&sites[0]);
		CHECK(is == 0x60 || is == 0x77777777, "value", is);
	}
	stop = 1;
	cpu_wait(1);
	page_set(ALIAS, 0);
	tpr_write_plain(0);
}

/* The page of the code goes away, and comes back, while its reports are on their way. */
static void unmap_code(uint32_t pa)
{
	for (uint32_t i = 0; !stop; i++) {
		page_set(ALIAS + PAGE, i % 2 ? 0 : pa | PTE_RAM);
		for (uint32_t delay = 0; delay < 3000; delay++)
			__asm__ volatile("pause");
	}
}

static void case_unmapped_code(void)
{
	uint8_t *page = site_page();

	page_set(ALIAS + PAGE, physical(page) | PTE_RAM);
	stop = 0;
	tpr_write_plain(0x60);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		site_make(&sites[i], page + 64 * i, KIND_LOAD, EBX, 0, 0);
		sites[i].at = (uint8_t *)ALIAS + PAGE + 64 * i;
	}
	cpu_call(1, unmap_code, physical(page));
	cpus[0].expected = 1u << 14;
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t is;

		page_flush(ALIAS + PAGE);
		cpus[0].trapped = 0;
		is = site_load(&sites[i % ROUNDS]);
		CHECK(is == 0x60 || cpus[0].trapped, "value", is);
	}
	cpus[0].expected = 0;
	stop = 1;
	cpu_wait(1);
	page_set(ALIAS + PAGE, 0);
	tpr_write_plain(0);
}

/*
 * INIT takes a processor out at a raised level; when it comes back its TPR is 0, and works. KVM
 * tells nobody of INIT, so a patcher sees it at the processor's first exit to user space.
 */
static void hold(uint32_t n)
{
	(void)n;
	site_store(&set, 0xe1);
	barrier(&meeting, 2);
	for (;;)
		site_load(&get);
}

static void after_init(uint32_t n)
{
	struct cpu *cpu = &cpus[n];

	in8(UNCLAIMED_PORT);
	CHECK_EQUAL(site_load(&get), 0, "TPR after INIT");
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t before = cpu->received[VECTOR_LOW];

		site_store(&set, 0x61);
		interrupts_on();
		ipi_self(VECTOR_LOW);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before, "early after INIT");
		site_store(&set, 0);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before + 1, "after INIT");
		interrupts_off();
	}
}

static void case_init(void)
{
	uint32_t last = settings.cpus - 1;

	warm();
	for (uint32_t i = 0; i < 5; i++) {
		cpu_call(last, after_init, last);
		cpu_wait(last);
		meeting = 0;
		cpu_call(last, hold, last);
		barrier(&meeting, 2);
		if (i % 2)
			cpu_stop(last);
		cpu_start(last);
		cpu_call(last, after_init, last);
		cpu_wait(last);
	}
}

const struct named_case smp_cases[] = {
    {"race-one-site", case_race, 2},          {"own-tpr", case_own_tpr, 2},
    {"cross-message", case_cross_message, 2}, {"rewritten-code", case_rewritten, 2},
    {"remapped-apic", case_remapped_apic, 2}, {"unmapped-code", case_unmapped_code, 2},
    {"init-processor", case_init, 2},         {0}};
