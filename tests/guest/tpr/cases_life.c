// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resets, hibernation as far as the ROM sees it, and the ROM's own start by a BIOS. Each runs in a
 * machine of its own. What must outlive a reset is in CMOS memory.
 */
#include "site.h"

#define ROM_FIRST  0xc0000u
#define ROM_END    0xf0000u
#define ROM_STEP   0x800u
#define CMOS_PHASE 0x40
#define CMOS_KEPT  0x48
#define KEPT_BYTES 6
#define VECTOR_LOW 0x51
#define SITES      4

static uint8_t rom_copy[ROM_END - ROM_FIRST];
static uint32_t rom_at, rom_bytes; /* physical */

static uint8_t cmos_read(uint32_t at)
{
	out8(0x70, (uint8_t)at);
	return in8(0x71);
}

static void cmos_write(uint32_t at, uint8_t value)
{
	out8(0x70, (uint8_t)at);
	out8(0x71, value);
}

static uint8_t phase(void)
{
	return cmos_read(CMOS_PHASE);
}

static void reset(void)
{
	out8(0xcf9, 0x02);
	out8(0xcf9, 0x06);
	wait_ms(5000);
	fail("no reset", 0);
}

static const enum kind kinds[SITES] = {KIND_LOAD, KIND_STORE, KIND_A1, KIND_A3};

static void make_sites(struct site *s, uint32_t cpu)
{
	for (uint32_t i = 0; i < SITES; i++) {
		site_make(&s[i], site_page_number(1) + 64 * i, kinds[i], EDI, 0, cpu);
		site_warm(&s[i]);
	}
}

/* By sites 0 (load) and 1 (store): values, masking, one delivery after the lowering. */
static void delivers(const struct site *s, const char *when)
{
	struct cpu *cpu = this_cpu();

	for (uint32_t i = 0; i < 100; i++) {
		uint32_t before = cpu->received[VECTOR_LOW];

		site_store(&s[1], 0x61);
		CHECK_EQUAL(site_load(&s[0]) & 0xf0, 0x60, when);
		interrupts_on();
		ipi_self(VECTOR_LOW);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before, when);
		site_store(&s[1], 0);
		settle();
		CHECK_EQUAL(cpu->received[VECTOR_LOW], before + 1, when);
		interrupts_off();
		CHECK_EQUAL(site_load(&s[2]), 0, when);
		site_store(&s[3], 0x81);
		CHECK_EQUAL(tpr_read_plain() & 0xf0, 0x80, when);
		tpr_write_plain(0);
	}
}

/* Reset with a raised TPR; the second start finds a machine like the first. */
static void case_reset(void)
{
	struct site s[SITES];

	CHECK_EQUAL(tpr_read_plain(), 0, "TPR at the start");
	make_sites(s, 0);
	delivers(s, "after the start");
	if (phase() < 3) {
		cmos_write(CMOS_PHASE, phase() + 1);
		site_store(&s[1], 0xff);
		reset();
	}
	cmos_write(CMOS_PHASE, 0);
}

/*
 * Hibernation: a machine starts anew with a fresh ROM, and the patched code is back in memory at
 * once. Nothing unpatched is left that could tell what the ROM needs. CMOS memory is the disk.
 */
static void case_hibernate(void)
{
	struct site s[SITES];

	if (phase() == 0) {
		make_sites(s, 0);
		delivers(s, "before hibernation");
		site_store(&s[1], 0xd1);
		for (uint32_t i = 0; i < SITES * KEPT_BYTES; i++)
			cmos_write(CMOS_KEPT + i, s[i / KEPT_BYTES].at[i % KEPT_BYTES]);
		cmos_write(CMOS_PHASE, 1);
		reset();
		return;
	}
	cmos_write(CMOS_PHASE, 0);
	for (uint32_t i = 0; i < SITES; i++) {
		site_make(&s[i], site_page_number(1) + 64 * i, kinds[i], EDI, 0, 0);
		for (uint32_t n = 0; n < s[i].length; n++)
			s[i].at[n] = cmos_read(CMOS_KEPT + i * KEPT_BYTES + n);
		CHECK(settings.patch != PATCH_ON || site_changed(&s[i]), "not patched", i);
	}
	delivers(s, "after hibernation");
	for (uint32_t n = 1; n < settings.cpus; n++)
		CHECK(cpus[n].ready, "processor", n);
}

static bool find_rom(void)
{
	for (uint32_t at = ROM_FIRST; at < ROM_END; at += ROM_STEP) {
		const uint8_t *p = (const uint8_t *)(KSEG0 + at);

		if (p[0] != 0x55 || p[1] != 0xaa || !p[2])
			continue;
		rom_at = at;
		rom_bytes = (p[2] * 512u + PAGE - 1) & ~(PAGE - 1);
		if (rom_bytes > sizeof(rom_copy))
			return false;
		copy(rom_copy, p, rom_bytes);
		return true;
	}
	CHECK(settings.patch == PATCH_OFF, "no ROM", 0);
	return false;
}

/* The ROM as it was before its first use, put back while patched code runs, again and again. */
static void case_fresh_rom(void)
{
	struct site s[SITES];

	if (!find_rom())
		return;
	make_sites(s, 0);
	delivers(s, "before");
	for (uint32_t i = 0; i < 10; i++) {
		copy((void *)(KSEG0 + rom_at), rom_copy, rom_bytes);
		if (i % 2)
			site_load(&s[0]); /* whatever its value */
		tpr_write_plain(0);
		delivers(s, "with a fresh ROM");
	}
}

static struct site shared[SITES];

static void delivers_there(uint32_t n)
{
	(void)n;
	delivers(shared, "on another processor, with a fresh ROM");
}

/* The same with all processors, each coming into the dormant ROM by itself. */
static void case_fresh_rom_smp(void)
{
	if (!find_rom())
		return;
	make_sites(shared, CPU_ANY);
	for (uint32_t i = 0; i < 6; i++) {
		copy((void *)(KSEG0 + rom_at), rom_copy, rom_bytes);
		for (uint32_t n = 1; n < settings.cpus; n++)
			cpu_call(n, delivers_there, n);
		delivers(shared, "with a fresh ROM");
		for (uint32_t n = 1; n < settings.cpus; n++)
			cpu_wait(n);
	}
}

/* A BIOS starts the ROM: fresh image, its initialization called in real mode. */
static void case_rom_init(void)
{
	uint32_t last = settings.cpus - 1;

	if (!find_rom())
		return;
	make_sites(shared, CPU_ANY);
	delivers(shared, "before");
	for (uint32_t i = 0; i < 4; i++) {
		if (i % 2)
			copy((void *)(KSEG0 + rom_at), rom_copy, rom_bytes);
		cpu_stop(last);
		cpu_start_with_rom(last, (uint16_t)(rom_at >> 4), 3);
		cpu_call(last, delivers_there, last);
		delivers(shared, "after the ROM's start");
		cpu_wait(last);
	}
}

/* Its memory holds what a program gone wild has left. The guest may end here as it likes. */
static void case_rom_garbage(void)
{
	uint32_t seed = settings.seed;
	struct site s[SITES];
	uint8_t *rom;

	if (!find_rom())
		return;
	make_sites(s, 0);
	rom = (uint8_t *)(KSEG0 + rom_at);
	cpus[0].expected = 0x7fffff; /* all exceptions end a site's run */
	for (uint32_t i = 0; i < 200; i++) {
		for (uint32_t n = 0; n < 64; n++)
			rom[random_number(&seed) % rom_bytes] = (uint8_t)random_number(&seed);
		site_load(&s[0]);
		tpr_write_plain(0x40);
		site_store(&s[1], 0);
		site_make(&s[2], site_page(), KIND_LOAD, EDX, 0, 0);
		site_load(&s[2]);
		out8(0x7e, (uint8_t)i);
	}
}

/* Two numbers for one processor, one number for two. Its own fault; nobody else's. */
static void case_pcr_swapped(void)
{
	struct site s[SITES];

	make_sites(s, 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct site fresh;

		cpus[0].pcr[PCR_NUMBER] = (uint8_t)(i * 37);
		site_load(&s[0]);
		site_store(&s[1], i & 0x70);
		site_make(&fresh, site_page(), KIND_LOAD, EDX, 0, 0);
		site_load(&fresh);
		tpr_write_plain(0);
	}
}

const struct named_case life_cases[] = {{"reset", case_reset, 1},
					{"hibernate", case_hibernate, 1},
					{"fresh-rom", case_fresh_rom, 1},
					{"fresh-rom-smp", case_fresh_rom_smp, 2},
					{"rom-init", case_rom_init, 2},
					{"rom-garbage", case_rom_garbage, 1},
					{"kpcr-swapped", case_pcr_swapped, 1},
					{0}};
