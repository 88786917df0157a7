// SPDX-License-Identifier: GPL-2.0-or-later
/* Where a site lies and how it is reached: pages, permissions, aliases, segments, privilege. */
#include "site.h"

#define APIC_ALIAS         (WINDOW + 0x10000) /* another mapping of the APIC */
#define CODE_ALIAS         (WINDOW + 0x20000)
#define DECOY              (WINDOW + 0x30000) /* RAM; its address ends like the TPR's */
#define GENERAL_PROTECTION 13

extern void site_run_user(struct registers *r, const void *target);
extern const uint32_t site_exit[4];
extern void (*const site_run[4])(struct registers *r, const void *target);

/* The two pages are not neighbours in physical memory. */
static uint8_t *two_pages(uint64_t flags)
{
	uint8_t *first = site_page();
	uint8_t *gap = site_page(), *second = site_page();

	(void)gap;
	page_set(CODE_ALIAS, physical(first) | flags);
	page_set(CODE_ALIAS + PAGE, physical(second) | flags);
	return (uint8_t *)CODE_ALIAS;
}

static void case_page_crossing(void)
{
	static const enum kind kinds[] = {KIND_A1, KIND_LOAD, KIND_STORE_IMM, KIND_STORE_SIB};

	for (unsigned k = 0; k < 4; k++) {
		struct site s = {.length = 1};

		for (uint32_t before = 1; before < s.length + 1; before++) {
			uint8_t *pages = two_pages(PTE_RAM);

			site_make(&s, pages + PAGE - before, kinds[k], EBP, 0x51, 0);
			site_exercise(&s, true);
		}
	}
}

/* The half in the second page ends where nothing is mapped after it. */
static void case_page_end(void)
{
	struct site s;
	uint8_t *pages = two_pages(PTE_RAM);

	page_set(CODE_ALIAS + PAGE, 0);
	site_make(&s, pages + PAGE - 11, KIND_A1, EAX, 0, 0); /* 5 + the jump's 6 */
	site_exercise(&s, true);
}

/* CR0.WP is set: the guest itself could not write there. */
static void case_read_only(void)
{
	struct site s;
	uint8_t *page = site_page();

	site_make(&s, page + 32, KIND_STORE, ECX, 0, 0);
	page_set((uint32_t)page, physical(page) | PTE_P);
	site_exercise(&s, true);
	CHECK_EQUAL((uint32_t)page_get((uint32_t)page) & (PTE_P | PTE_W), PTE_P, "page's entry");
	page_set((uint32_t)page, physical(page) | PTE_RAM);
}

/* A page of code that is mapped twice: patched where it runs, by the address that it runs at. */
static void case_code_alias(void)
{
	struct site s;
	uint8_t *page = site_page();

	page_set(CODE_ALIAS, physical(page) | PTE_RAM);
	site_make(&s, (uint8_t *)CODE_ALIAS, KIND_LOAD, ESI, 0, 0);
	for (uint32_t i = 0; i < PATCH_TRIES && !site_changed(&s); i++) {
		tpr_write_plain(0x50);
		CHECK_EQUAL(site_load(&s), 0x50, "value");
	}
	site_check_bytes(&s, true);
}

/* RAM where the address only looks like the TPR's. Nothing is reported, nothing patched. */
static void case_decoy_ram(void)
{
	struct site s;
	uint8_t *ram = site_page();

	page_set(DECOY, physical(ram) | PTE_RAM);
	*(uint32_t *)(ram + 0x80) = 0x12345678;
	tpr_write_plain(0x60);
	site_make_va(&s, site_page(), KIND_LOAD, EBX, 0, 0, DECOY + 0x80);
	for (uint32_t i = 0; i < PATCH_TRIES; i++)
		CHECK_EQUAL(site_load(&s), 0x12345678, "decoy's value");
	CHECK(!site_changed(&s), "a decoy is patched", (uint32_t)s.at);
	site_make_va(&s, site_page(), KIND_STORE, EBX, 0, 0, DECOY + 0x80);
	site_store(&s, 0xcafe0041);
	CHECK_EQUAL(*(uint32_t *)(ram + 0x80), 0xcafe0041, "decoy after a store");
	CHECK_EQUAL(tpr_read_plain(), 0x60, "TPR");
	tpr_write_plain(0);
}

/* The APIC by another address than the one that is known: it must work, patched or not. */
static void case_apic_alias(void)
{
	struct site s;
	struct registers r;
	uint32_t seed = 5;

	page_set(APIC_ALIAS, LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD);
	site_make_va(&s, site_page(), KIND_STORE, EDX, 0, 0, APIC_ALIAS + 0x80);
	for (uint32_t i = 0; i < 20; i++) {
		site_registers(&r, &seed);
		site_step(&s, &r, 0, false);
	}
	site_make_va(&s, site_page(), KIND_LOAD, EDX, 0, 0, APIC_ALIAS + 0x80);
	for (uint32_t i = 0; i < 20; i++) {
		site_registers(&r, &seed);
		tpr_write_plain(0x70);
		site_step(&s, &r, 0x70, false);
	}
	page_set(APIC_ALIAS, 0);
}

/* The bytes' address is not where the access goes: a data segment with a base. */
static void case_shifted_data(void)
{
	static const uint8_t enter[] = {0x8e, 0xdb}, leave[] = {0x8e, 0xd9}; /* mov ds,bx; ds,cx */
	uint8_t *page = site_page();
	struct site s;

	page_set(DECOY, physical(page) | PTE_RAM);
	for (uint32_t i = 0; i < 20; i++) {
		/* base 0x1000 + FFFDF080: first it looks like a decoy, then like the TPR itself */
		uint32_t va = i < 10 ? TPR - 0x1000 : TPR;
		struct registers r;
		uint32_t seed = 9;

		site_registers(&r, &seed);
		r.gpr[EBX] = SEL_DATA_OFF;
		r.gpr[ECX] = SEL_DATA;
		copy(page, enter, 2);
		site_make_va(&s, page + 2, KIND_LOAD, EDX, 0, 0, va);
		copy(s.at + s.length, leave, 2);
		copy(s.at + s.length + 2, s.code + s.length, 6);
		tpr_write_plain(0x90);
		site_run[0](&r, page);
		if (i < 10)
			CHECK_EQUAL(r.gpr[EDX], 0x90, "value through a segment");
		CHECK(!site_changed(&s) || settings.patch == PATCH_QEMU,
		      "patched behind a segment's base", i);
	}
	tpr_write_plain(0);
}

/* Code in a segment with a base: its address is not the instruction pointer. */
static void case_shifted_code(void)
{
	uint8_t *page = site_page();
	uint32_t at = (uint32_t)page + 64 - 0x1000, back = site_exit[0];
	struct site s;

	for (uint32_t i = 0; i < 20; i++) {
		struct registers r;
		uint32_t seed = 3;
		uint16_t selector = SEL_CODE_OFF;

		site_registers(&r, &seed);
		page[0] = 0xea; /* jmp far */
		copy(page + 1, &at, 4);
		copy(page + 5, &selector, 2);
		site_make(&s, page + 64, KIND_LOAD, EDI, 0, 0);
		selector = SEL_CODE;
		s.at[s.length] = 0xea;
		copy(s.at + s.length + 1, &back, 4);
		copy(s.at + s.length + 5, &selector, 2);
		tpr_write_plain(0x30);
		site_run[0](&r, page);
		CHECK_EQUAL(r.gpr[EDI], 0x30, "value");
		CHECK(!site_changed(&s), "patched in a shifted segment", i);
	}
	tpr_write_plain(0);
}

/* 16-bit code: the same bytes mean another instruction; with prefixes they reach the TPR. */
static void case_code16(void)
{
	uint8_t *page = site_page_number(0); /* the segment's base */
	uint32_t offset = 16, back = site_exit[0];
	static const uint8_t load[] = {0x66, 0x67, 0xa1, 0x80, 0x00, 0xfe, 0xff};
	static const uint8_t go_back[] = {0x66, 0xea};
	uint16_t selector = SEL_CODE16;
	uint8_t *jump = site_page();

	jump[0] = 0xea;
	copy(jump + 1, &offset, 4);
	copy(jump + 5, &selector, 2);
	selector = SEL_CODE;
	copy(page + 16, load, sizeof(load));
	copy(page + 16 + sizeof(load), go_back, 2);
	copy(page + 18 + sizeof(load), &back, 4);
	copy(page + 22 + sizeof(load), &selector, 2);
	for (uint32_t i = 0; i < 20; i++) {
		struct registers r;
		uint32_t seed = 4;

		site_registers(&r, &seed);
		tpr_write_plain(0x20);
		site_run[0](&r, jump);
		CHECK_EQUAL(r.gpr[EAX], 0x20, "value");
		CHECK(same(page + 16, load, sizeof(load)), "16-bit code is patched", i);
	}
	tpr_write_plain(0);
}

/* Privilege level 3 with an APIC that users may reach: a call into the ROM would fault. */
static void case_user(void)
{
	uint8_t *page = site_page();
	static const uint8_t back[] = {0xcd, VECTOR_RETURN};
	struct site s;

	page_set((uint32_t)page, physical(page) | PTE_RAM | PTE_U);
	page_set(APIC, LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD | PTE_U);
	for (uint32_t i = 0; i < 20; i++) {
		struct registers r;
		uint32_t seed = 6;

		site_registers(&r, &seed);
		r.gpr[ESP] = (uint32_t)page + PAGE - 64;
		site_make(&s, page + 16, KIND_LOAD, ESI, 0, 0);
		copy(s.at + s.length, back, 2);
		tpr_write_plain(0x40);
		site_run_user(&r, s.at);
		CHECK_EQUAL(r.gpr[ESI], 0x40, "value");
		CHECK(!site_changed(&s), "user code is patched", i);
	}
	page_set(APIC, LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD);
	page_set((uint32_t)page, physical(page) | PTE_RAM);
	tpr_write_plain(0);
}

/* Early Server 2003 writes the TPR before it has a stack: no call may be there. */
static void case_esp_zero(void)
{
	struct site s;
	uint32_t seed = 8;

	site_make(&s, site_page(), KIND_STORE_IMM, EAX, 0x41, 0);
	for (uint32_t i = 0; i < 20; i++) {
		struct registers r;

		site_registers(&r, &seed);
		r.gpr[ESP] = 0;
		r.flags &= ~FLAG_IF;
		site_step(&s, &r, 0, false);
	}
	if (settings.patch != PATCH_QEMU)
		CHECK(!site_changed(&s), "patched with ESP 0", (uint32_t)s.at);
}

const struct named_case place_cases[] = {{"page-crossing", case_page_crossing, 1},
					 {"page-end", case_page_end, 1},
					 {"read-only-page", case_read_only, 1},
					 {"code-alias", case_code_alias, 1},
					 {"decoy-ram", case_decoy_ram, 1},
					 {"apic-alias", case_apic_alias, 1},
					 {"shifted-data", case_shifted_data, 1},
					 {"shifted-code", case_shifted_code, 1},
					 {"code16", case_code16, 1},
					 {"user-mode", case_user, 1},
					 {"esp-zero", case_esp_zero, 1},
					 {0}};
