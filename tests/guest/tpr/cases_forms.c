// SPDX-License-Identifier: GPL-2.0-or-later
/* Every instruction form with every register, and the values that go through it. */
#include "site.h"

static void one_form(enum kind kind, unsigned reg, bool must_be_patched)
{
	struct site s;

	site_make(&s, site_page() + 64, kind, reg, 0x41, 0);
	site_exercise(&s, must_be_patched);
}

static void registers_of(enum kind kind)
{
	bool loads = kind == KIND_LOAD || kind == KIND_LOAD_SIB || kind == KIND_LOAD_DS;

	for (unsigned reg = 0; reg < 8; reg++)
		if (!(loads && reg == ESP))
			one_form(kind, reg, true);
}

static void case_a1(void)
{
	one_form(KIND_A1, EAX, true);
}

static void case_a3(void)
{
	one_form(KIND_A3, EAX, true);
}

static void case_load(void)
{
	/* QEMU's read of edi calls itself for ever where there are several processors. */
	if (settings.patch == PATCH_QEMU)
		one_form(KIND_LOAD, ECX, true);
	else
		registers_of(KIND_LOAD);
}

static void case_store(void)
{
	registers_of(KIND_STORE);
}

static void case_push(void)
{
	one_form(KIND_PUSH, EAX, true);
}

static void case_pop(void)
{
	one_form(KIND_POP, EAX, true);
}

/* The immediate stays where it is; some of its bytes look like instructions. */
static void case_store_imm(void)
{
	static const uint32_t values[] = {0,          0x41,       0xff,      0xffffffff,
					  0xe8e8e8d1, 0xcccccc3d, 0x9090c3ef};

	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct site s;

		site_make(&s, site_page() + 64 + i, KIND_STORE_IMM, EAX, values[i], 0);
		site_exercise(&s, true);
	}
}

static void case_load_sib(void)
{
	registers_of(KIND_LOAD_SIB);
}

static void case_store_sib(void)
{
	registers_of(KIND_STORE_SIB);
}

static void case_load_prefixed(void)
{
	registers_of(KIND_LOAD_DS);
}

static void case_store_prefixed(void)
{
	registers_of(KIND_STORE_DS);
}

/* A load into ESP must stay as it is or work; the stack is of no use after it. */
static void case_load_esp(void)
{
	if (settings.patch == PATCH_QEMU) /* its call goes to address 0 */
		return;
	one_form(KIND_LOAD, ESP, false);
	one_form(KIND_LOAD_SIB, ESP, false);
	one_form(KIND_LOAD_DS, ESP, false);
}

static void case_other_forms(void)
{
	for (unsigned kind = KIND_LOAD_AT; kind < KIND_COUNT; kind++) {
		uint32_t before = failures();

		one_form((enum kind)kind, EAX, false);
		if (failures() != before)
			fail(kind_names[kind], kind);
	}
}

/* All 256 values through patched code only: nothing is lost to KVM's idea of the TPR. */
static void case_all_values(void)
{
	struct site load, store, imm;
	uint8_t *page = site_page();

	site_make(&load, page, KIND_LOAD, EDX, 0, 0);
	site_make(&store, page + 64, KIND_STORE, EBX, 0, 0);
	site_make(&imm, page + 128, KIND_STORE_IMM, EAX, 0x41, 0);
	site_warm(&load);
	site_warm(&store);
	site_warm(&imm);
	for (uint32_t v = 0; v < 256; v++) {
		uint32_t mask = settings.patch == PATCH_ON ? 0xff : 0xf0;

		site_store(&store, v | 0xabcdef00);
		CHECK_EQUAL(site_load(&load) & mask, v & mask, "value by a patched load");
		CHECK_EQUAL(tpr_read_plain() & mask, v & mask, "value by the APIC");
		CHECK_EQUAL(site_load(&load) & mask, v & mask, "value after an exit");
		site_store(&imm, 0);
		CHECK_EQUAL(site_load(&load) & mask, 0x41 & mask, "immediate");
	}
	tpr_write_plain(0);
}

/* Back to back, as in KfLowerIrql, and the HAL's own functions with all levels. */
static void case_hal(void)
{
	for (uint32_t turn = 0; turn < 40; turn++) {
		for (uint8_t level = 1; level < 32; level++) {
			uint8_t wanted = tpr_to_irql[irql_to_tpr[level] >> 4];
			uint8_t dpc = tpr_to_irql[VECTOR_DPC >> 4], old;
			uint32_t lock = 0;

			CHECK_EQUAL(hal_raise(level), 0, "level before it");
			CHECK_EQUAL(hal_level(), wanted, "level");
			hal_lower(0);
			CHECK_EQUAL(hal_raise_to_dpc(), 0, "level before it");
			CHECK_EQUAL(hal_raise(level), dpc, "level before it");
			hal_lower(1);
			old = hal_lock(&lock);
			CHECK_EQUAL(old, 1, "level before the lock");
			CHECK_EQUAL(hal_level(), dpc, "level in the lock");
			hal_unlock(&lock, old);
			CHECK_EQUAL(hal_level(), 1, "level after the lock");
			hal_lower(0);
		}
	}
	if (settings.patch == PATCH_ON) {
		/* 5-byte form of its own only for eax: this one is 89 0D. */
		CHECK(hal_lower_write[0] == 0x2e && hal_lower_write[1] == 0xe8,
		      "KfLowerIrql is not patched", hal_lower_write[0]);
	} else if (settings.patch == PATCH_OFF) {
		CHECK(hal_lower_write[0] == 0x89, "KfLowerIrql was changed", hal_lower_write[0]);
	}
}

/* 64 sites one after the other without a gap: each is told from its neighbours. */
static void case_dense(void)
{
	static struct site sites[64];
	uint8_t *page = site_page(), *at = page;

	for (unsigned i = 0; i < 64; i++) {
		static const enum kind kinds[] = {KIND_A1, KIND_STORE, KIND_LOAD, KIND_A3,
						  KIND_STORE_IMM};
		enum kind kind = kinds[i % 5];

		site_make(&sites[i], at, kind, i % 7 == 4 ? ESI : i % 7, 0x41, 0);
		at += sites[i].length;
	}
	for (unsigned turn = 0; turn < 2 * PATCH_TRIES && !site_changed(&sites[63]); turn++) {
		site_load(&sites[0]); /* falls through all of them */
		if (settings.patch != PATCH_ON && turn == 4)
			break;
	}
	site_load(&sites[0]);
	for (unsigned i = 0; i < 63; i++)
		sites[i].total = sites[i].length; /* the next one follows */
	for (unsigned i = 0; i < 64; i++)
		site_check_bytes(&sites[i], true);
	tpr_write_plain(0);
}

const struct named_case form_cases[] = {{"form-a1", case_a1, 1},
					{"form-a3", case_a3, 1},
					{"form-load", case_load, 1},
					{"form-store", case_store, 1},
					{"form-push", case_push, 1},
					{"form-pop", case_pop, 1},
					{"form-store-imm", case_store_imm, 1},
					{"form-load-sib", case_load_sib, 1},
					{"form-store-sib", case_store_sib, 1},
					{"form-load-prefixed", case_load_prefixed, 1},
					{"form-store-prefixed", case_store_prefixed, 1},
					{"form-load-esp", case_load_esp, 1},
					{"form-others", case_other_forms, 1},
					{"all-values", case_all_values, 1},
					{"hal", case_hal, 1},
					{"dense", case_dense, 1},
					{0}};
