// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that is not what NT is: odd KPCRs, a ROM that is gone, not executable or changed, many
 * sites, every width of port 7E. What is patched wrongly shows as a wrong value or a fault.
 */
#include "site.h"

#define PCR_COPY   (WINDOW + 0x50000)
#define ROM_FIRST  0xc0000u
#define ROM_END    0xf0000u
#define MANY       3000
#define PAGE_FAULT 14

extern void (*const site_run[4])(struct registers *r, const void *target);

static void set_fs(uint32_t base)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) gdtr;
	uint64_t *entry;

	__asm__ volatile("sgdt %0" : "=m"(gdtr));
	entry = (uint64_t *)gdtr.base + SEL_PCR / 8;
	*entry = 0x00c093000000ffffull | (uint64_t)(base & 0xff000000u) << 32 |
		 (uint64_t)(base & 0xffffff) << 16 | 0x00cf000000000000ull;
	__asm__ volatile("movw %w0, %%fs" : : "r"(SEL_PCR));
}

/* A KPCR with this number, and this address of itself (0: the right one). */
static void odd_pcr(uint8_t number, uint32_t self)
{
	static uint8_t page[PAGE] __attribute__((aligned(4096)));

	page_set(PCR_COPY, physical(page) | PTE_RAM);
	copy(page, cpus[0].pcr, PAGE);
	page[PCR_NUMBER] = number;
	self = self ? self : PCR_COPY;
	copy(page + PCR_SELF, &self, 4);
	set_fs(PCR_COPY);
}

/* A new site works there, and stays as it is when it must. */
static void works_unpatched(const char *why, bool may_be_patched)
{
	uint8_t *page = site_page();
	struct site load, store;

	site_make(&load, page, KIND_LOAD, EBX, 0, 0);
	site_make(&store, page + 64, KIND_STORE, ESI, 0, 0);
	for (uint32_t i = 0; i < 20; i++) {
		site_store(&store, 0x70);
		CHECK_EQUAL(tpr_read_plain() & 0xf0, 0x70, why);
		CHECK_EQUAL(site_load(&load) & 0xf0, 0x70, why);
		tpr_write_plain(0x30);
		CHECK_EQUAL(site_load(&load) & 0xf0, 0x30, why);
	}
	if (!may_be_patched && settings.patch == PATCH_ON)
		CHECK(!site_changed(&load) && !site_changed(&store), why, 0);
	tpr_write_plain(0);
}

static void works(const char *why)
{
	struct site s;

	site_make(&s, site_page(), KIND_STORE, EDX, 0, 0);
	site_exercise(&s, true);
	works_unpatched(why, true);
}

static void case_pcr_number(void)
{
	for (unsigned n = 64; n < 256; n += 21) {
		odd_pcr((uint8_t)n, 0);
		works_unpatched("KPCR number above 63", false);
	}
	odd_pcr(255, 0);
	works_unpatched("KPCR number 255", false);
	set_fs((uint32_t)cpus[0].pcr);
	works("after odd KPCR numbers");
}

static void case_pcr_place(void)
{
	static const uint32_t selfs[] = {1, 0xffffffff, PCR_COPY + 4, KSEG0};

	for (unsigned i = 0; i < sizeof(selfs) / sizeof(selfs[0]); i++) {
		odd_pcr(0, selfs[i]);
		works_unpatched("KPCR that is not itself", false);
	}
	page_set(PCR_COPY + PAGE, 0);
	set_fs(PCR_COPY + PAGE - 0x40); /* its number is in the next page, which is not there */
	works_unpatched("KPCR across the end of a page", false);
	set_fs(PCR_COPY + PAGE);
	works_unpatched("KPCR not mapped", false);
	set_fs(APIC);
	works_unpatched("KPCR in the APIC", false);
	set_fs(0xfffffff0);
	works_unpatched("KPCR at the end of the addresses", false);
	page_set(PCR_COPY + PAGE, 0xa0000 | PTE_RAM);
	set_fs(PCR_COPY + PAGE);
	works_unpatched("KPCR in a hole", false);
	page_set(PCR_COPY + PAGE, 0xfffff000u | PTE_RAM);
	works_unpatched("KPCR where no memory is", false);
	__asm__ volatile("movw %w0, %%fs" : : "r"(0));
	works_unpatched("no KPCR", false);
	set_fs((uint32_t)cpus[0].pcr);
	works("after odd KPCRs");
}

static void rom_map(uint64_t flags)
{
	for (uint32_t pa = ROM_FIRST; pa < ROM_END; pa += PAGE)
		page_set(KSEG0 + pa, flags & PTE_P ? pa | flags : 0);
}

static void case_rom_mapping(void)
{
	rom_map(0);
	works_unpatched("ROM not mapped", false);
	rom_map(PTE_P);
	works_unpatched("ROM read-only", false);
	if (settings.nx) {
		rom_map(PTE_RAM | PTE_NX);
		works_unpatched("ROM not executable", false);
	}
	for (uint32_t pa = ROM_FIRST; pa < ROM_END; pa += PAGE)
		page_set(KSEG0 + pa, (pa + 0x500000) | PTE_RAM);
	works_unpatched("other memory where the ROM was", false);
	rom_map(PTE_RAM);
	works_unpatched("after the ROM is back", true);
}

/* The ROM goes while patched code calls it: the guest's own fault, and all is well when it is back.
 */
static void case_rom_unmapped_armed(void)
{
	struct site s;
	uint32_t faults = 0;

	site_make(&s, site_page(), KIND_LOAD, EDX, 0, 0);
	site_warm(&s);
	cpus[0].expected = 1u << PAGE_FAULT;
	for (uint32_t i = 0; i < 10; i++) {
		rom_map(0);
		cpus[0].trapped = 0;
		site_load(&s);
		faults += cpus[0].trapped == PAGE_FAULT + 1;
		tpr_write_plain(0x40);
		tpr_read_plain();
		rom_map(PTE_RAM);
		CHECK_EQUAL(site_load(&s) & 0xf0, 0x40, "after it is back");
	}
	cpus[0].expected = 0;
	if (settings.patch == PATCH_OFF)
		CHECK_EQUAL(faults, 0, "faults");
	tpr_write_plain(0);
	works_unpatched("after the ROM is back", true);
}

/* Any value in any width; none of it is an announcement or a dormant stub's call. */
static void case_port_7e(void)
{
	uint32_t seed = 99;
	struct site s;

	site_make(&s, site_page(), KIND_LOAD, EDX, 0, 0);
	site_warm(&s);
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t v = random_number(&seed);

		tpr_write_plain(v & 0xf0);
		out8(0x7e, (uint8_t)v);
		CHECK_EQUAL(site_load(&s) & 0xf0, v & 0xf0, "after an 8-bit write");
		out32(0x7e, v);
		CHECK_EQUAL(site_load(&s) & 0xf0, v & 0xf0, "after a 32-bit write");
		in8(0x7e);
		in16(0x7e);
		in32(0x7e);
		out8(0x7f, (uint8_t)v);
		out16(0x7e, i < 8 ? (uint16_t)(i * 0x80) : (uint16_t)v);
		CHECK_EQUAL(site_load(&s) & 0xf0, v & 0xf0, "after a 16-bit write");
	}
	tpr_write_plain(0);
	works("after writes to port 7E");
}

/* The APIC off by its spurious vector register: KVM then keeps no copy in step. */
static void case_apic_off(void)
{
	struct site load, store;

	site_make(&load, site_page(), KIND_LOAD, EDX, 0, 0);
	site_make(&store, site_page(), KIND_STORE, EDX, 0, 0);
	site_warm(&load);
	site_warm(&store);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t v = i * 0x10 & 0xf0;

		apic_write(APIC_SPURIOUS, VECTOR_SPURIOUS);
		tpr_write_plain(v);
		CHECK_EQUAL(site_load(&load) & 0xf0, v, "unpatched write, APIC off");
		site_store(&store, v ^ 0xf0);
		CHECK_EQUAL(tpr_read_plain() & 0xf0, v ^ 0xf0, "patched write, APIC off");
		apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
		CHECK_EQUAL(site_load(&load) & 0xf0, v ^ 0xf0, "APIC on again");
	}
	tpr_write_plain(0);
}

/* More sites than anybody keeps a list of. */
static void case_many_sites(void)
{
	static struct site s;

	for (uint32_t i = 0; i < MANY; i++) {
		uint8_t *at = site_page_number(64 + i / 128) + i % 128 * 32;

		site_make(&s, at, i % 2 ? KIND_LOAD : KIND_A1, EBP, 0, 0);
		tpr_write_plain(i & 0xf0);
		CHECK_EQUAL(site_load(&s) & 0xf0, i & 0xf0, "value");
		CHECK_EQUAL(site_load(&s) & 0xf0, i & 0xf0, "value again");
	}
	tpr_write_plain(0);
}

/* The same few bytes, written anew each time, as a loader puts code pages back. */
static void case_restored_code(void)
{
	uint8_t *page = site_page();
	uint32_t changed = 0;
	struct site s;

	for (uint32_t i = 0; i < 300; i++) {
		site_make(&s, page, i % 3 ? KIND_LOAD : KIND_STORE_IMM, ECX, 0x50, 0);
		if (s.kind == KIND_STORE_IMM) {
			site_store(&s, 0);
			CHECK_EQUAL(tpr_read_plain() & 0xf0, 0x50, "stored");
		} else {
			tpr_write_plain(i & 0xf0);
			CHECK_EQUAL(site_load(&s) & 0xf0, i & 0xf0, "loaded");
		}
		changed += site_changed(&s);
	}
	CHECK(settings.patch != PATCH_OFF || !changed, "patched although it is off", changed);
	tpr_write_plain(0);
}

const struct named_case hostile_cases[] = {{"kpcr-number", case_pcr_number, 1},
					   {"kpcr-place", case_pcr_place, 1},
					   {"port-7e", case_port_7e, 1},
					   {"apic-off", case_apic_off, 1},
					   {"many-sites", case_many_sites, 1},
					   {"restored-code", case_restored_code, 1},
					   {0}};

/* A patcher may give up for good on a guest that does this, so each has a machine of its own. */
const struct named_case rom_cases[] = {
    {"rom-mapping", case_rom_mapping, 1}, {"rom-unmapped-armed", case_rom_unmapped_armed, 1}, {0}};
