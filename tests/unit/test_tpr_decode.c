/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder of TPR accesses: each form with each register, each reason for a refusal, cut off at
 * each byte; and the call that takes an instruction's place, byte by byte.
 */
#include "tpr/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The register where Windows has it, and an immediate. */
#define T      0x80, 0x00, 0xfe, 0xff
#define IMM    0x41, 0x00, 0x00, 0x00
#define T_VA   0xfffe0080u

#define ROM_VA 0x800c8000u

static const struct tpr_cpu good_cpu = {
    .protected_mode = true, .code32 = true, .stack32 = true, .flat = true, .esp = 0x80551000};

/* T and IMM are put behind the first bytes; reg is put into the ModRM byte, if there is one. */
struct form {
	uint8_t first[4];
	uint8_t count;
	bool has_imm, has_reg;
	enum tpr_op op;
	uint8_t reg, entry;
	bool is_write;
};

static const struct form forms[] = {
    {{0xa1}, 1, false, false, TPR_LOAD, 0, 0, false},
    {{0xa3}, 1, false, false, TPR_STORE, 0, 8, true},
    {{0x8b, 0x05}, 2, false, true, TPR_LOAD, 0, 0, false},
    {{0x89, 0x05}, 2, false, true, TPR_STORE, 0, 8, true},
    {{0xc7, 0x05}, 2, true, false, TPR_STORE_IMM, 0, 16, true},
    {{0xff, 0x35}, 2, false, false, TPR_PUSH, 0, 17, false},
    {{0x8f, 0x05}, 2, false, false, TPR_POP, 0, 18, true},
    {{0x0f, 0xb6, 0x05}, 3, false, true, TPR_LOAD, 0, 0, false},
    {{0x0f, 0xb7, 0x05}, 3, false, true, TPR_LOAD, 0, 0, false},
    {{0x8b, 0x04, 0x25}, 3, false, true, TPR_LOAD, 0, 0, false},
    {{0x89, 0x04, 0x25}, 3, false, true, TPR_STORE, 0, 8, true},
    {{0xc7, 0x04, 0x25}, 3, true, false, TPR_STORE_IMM, 0, 16, true},
    {{0xff, 0x34, 0x25}, 3, false, false, TPR_PUSH, 0, 17, false},
    {{0x8f, 0x04, 0x25}, 3, false, false, TPR_POP, 0, 18, true},
    {{0x0f, 0xb6, 0x04, 0x25}, 4, false, true, TPR_LOAD, 0, 0, false},
    {{0x0f, 0xb7, 0x04, 0x25}, 4, false, true, TPR_LOAD, 0, 0, false},
    /* Without an index the scale means nothing. */
    {{0x8b, 0x04, 0x65}, 3, false, true, TPR_LOAD, 0, 0, false},
    {{0x8b, 0x04, 0xa5}, 3, false, true, TPR_LOAD, 0, 0, false},
    {{0x8b, 0x04, 0xe5}, 3, false, true, TPR_LOAD, 0, 0, false},
};

/* Returns the length; what follows is filled with what would make another instruction longer. */
static size_t build(const struct form *f, bool ds, uint8_t reg, uint8_t out[TPR_INSTRUCTION_MAX])
{
	static const uint8_t address[] = {T}, imm[] = {IMM};
	size_t at = 0, modrm;

	memset(out, 0x3e, TPR_INSTRUCTION_MAX);
	if (ds)
		out[at++] = 0x3e;
	modrm = at + (f->first[0] == 0x0f ? 2 : 1);
	memcpy(out + at, f->first, f->count);
	at += f->count;
	if (f->has_reg)
		out[modrm] |= (uint8_t)(reg << 3);
	memcpy(out + at, address, sizeof(address));
	at += sizeof(address);
	if (f->has_imm) {
		memcpy(out + at, imm, sizeof(imm));
		at += sizeof(imm);
	}
	return at;
}

static void check_form(const struct form *f, bool ds, uint8_t reg)
{
	uint8_t bytes[TPR_INSTRUCTION_MAX];
	size_t length = build(f, ds, reg, bytes), count;
	struct tpr_plan p;

	for (count = 0; count <= sizeof(bytes); count++) {
		enum tpr_refusal want = count < length ? TPR_REFUSE_TRUNCATED : TPR_ACCEPTED;

		if (f->op == TPR_LOAD && reg == 4 && count >= length)
			want = TPR_REFUSE_LOAD_ESP;
		memset(&p, 0xee, sizeof(p));
		assert_string_equal(tpr_refusal_name(tpr_decode(bytes, count, &good_cpu, &p)),
				    tpr_refusal_name(want));
		if (want) {
			assert_int_equal(p.length, 0xee);
			continue;
		}
		assert_int_equal(p.op, f->op);
		assert_int_equal(p.reg, reg);
		assert_int_equal(p.entry, f->entry + reg);
		assert_int_equal(p.length, length);
		assert_int_equal(p.patch_length, length - (f->has_imm ? 4 : 0));
		assert_int_equal(p.is_write, f->is_write);
		assert_int_equal(p.tpr_va, T_VA);
	}
}

static void test_every_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		for (unsigned reg = 0; reg < (forms[i].has_reg ? 8u : 1u); reg++) {
			check_form(&forms[i], false, (uint8_t)reg);
			check_form(&forms[i], true, (uint8_t)reg);
		}
}

struct refused {
	uint8_t bytes[TPR_INSTRUCTION_MAX];
	enum tpr_refusal why;
};

static const struct refused refused[] = {
    {{0x66, 0xa1, T}, TPR_REFUSE_OPERAND_SIZE},
    {{0x66, 0xc7, 0x05, T, 0x41, 0x00}, TPR_REFUSE_OPERAND_SIZE},
    {{0x3e, 0x66, 0xa1, T}, TPR_REFUSE_OPERAND_SIZE},
    {{0x67, 0xa1, 0x80, 0x00}, TPR_REFUSE_ADDRESS_SIZE},
    {{0xf0, 0x87, 0x05, T}, TPR_REFUSE_LOCK},
    {{0xf2, 0xa1, T}, TPR_REFUSE_REPEAT},
    {{0xf3, 0xa3, T}, TPR_REFUSE_REPEAT},
    {{0x26, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x2e, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x36, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x64, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x65, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x3e, 0x3e, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x3e, 0x64, 0xa1, T}, TPR_REFUSE_SEGMENT},
    {{0x0f, 0x30}, TPR_REFUSE_WRMSR},
    {{0xa2, T}, TPR_REFUSE_BYTE_STORE},
    {{0x88, 0x05, T}, TPR_REFUSE_BYTE_STORE},
    {{0xc6, 0x05, T, 0x41}, TPR_REFUSE_BYTE_STORE},
    {{0xa0, T}, TPR_REFUSE_BYTE_LOAD},
    {{0x8a, 0x05, T}, TPR_REFUSE_BYTE_LOAD},
    {{0x86, 0x05, T}, TPR_REFUSE_EXCHANGE},
    {{0x87, 0x0d, T}, TPR_REFUSE_EXCHANGE},
    {{0x38, 0x05, T}, TPR_REFUSE_COMPARE},
    {{0x39, 0x05, T}, TPR_REFUSE_COMPARE},
    {{0x3b, 0x05, T}, TPR_REFUSE_COMPARE},
    {{0x80, 0x3d, T, 0x41}, TPR_REFUSE_COMPARE},
    {{0x81, 0x3d, T, IMM}, TPR_REFUSE_COMPARE},
    {{0x83, 0x3d, T, 0x41}, TPR_REFUSE_COMPARE},
    {{0x84, 0x05, T}, TPR_REFUSE_COMPARE},
    {{0x85, 0x05, T}, TPR_REFUSE_COMPARE},
    {{0xf6, 0x05, T, 0x41}, TPR_REFUSE_COMPARE},
    {{0xf7, 0x05, T, IMM}, TPR_REFUSE_COMPARE},
    {{0xf7, 0x0d, T, IMM}, TPR_REFUSE_COMPARE},
    {{0x01, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0x0b, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0x21, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0x33, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0x83, 0x25, T, 0x0f}, TPR_REFUSE_ARITHMETIC},
    {{0x81, 0x0d, T, IMM}, TPR_REFUSE_ARITHMETIC},
    {{0xf7, 0x15, T}, TPR_REFUSE_ARITHMETIC},
    {{0xfe, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0xff, 0x05, T}, TPR_REFUSE_ARITHMETIC},
    {{0xff, 0x0d, T}, TPR_REFUSE_ARITHMETIC},
    {{0x90}, TPR_REFUSE_OPCODE},
    {{0xff, 0x15, T}, TPR_REFUSE_OPCODE},       /* call [T] */
    {{0xff, 0x3d, T}, TPR_REFUSE_OPCODE},       /* FF /7 */
    {{0xc7, 0x0d, T, IMM}, TPR_REFUSE_OPCODE},  /* C7 /1 */
    {{0x8f, 0x0d, T}, TPR_REFUSE_OPCODE},       /* 8F /1, XOP's place */
    {{0x8d, 0x05, T}, TPR_REFUSE_OPCODE},       /* lea */
    {{0x8c, 0x05, T}, TPR_REFUSE_OPCODE},       /* mov [T], es */
    {{0x0f, 0xbe, 0x05, T}, TPR_REFUSE_OPCODE}, /* movsx: bit 7 would spread */
    {{0x0f, 0x3e, 0xa1, T}, TPR_REFUSE_OPCODE},
    {{0xe8, T}, TPR_REFUSE_OPCODE},              /* what stands there after a patch */
    {{0x8b, 0x00}, TPR_REFUSE_REGISTER_ADDRESS}, /* [eax] */
    {{0x8b, 0x06}, TPR_REFUSE_REGISTER_ADDRESS}, /* [esi] */
    {{0x8b, 0x41, 0x80}, TPR_REFUSE_REGISTER_ADDRESS},
    {{0x8b, 0x85, T}, TPR_REFUSE_REGISTER_ADDRESS},          /* [ebp+T] */
    {{0x8b, 0x04, 0x05, T}, TPR_REFUSE_REGISTER_ADDRESS},    /* [eax*1+T] */
    {{0x8b, 0x04, 0x2d, T}, TPR_REFUSE_REGISTER_ADDRESS},    /* [ebp*1+T] */
    {{0x8b, 0x04, 0x24}, TPR_REFUSE_REGISTER_ADDRESS},       /* [esp] */
    {{0x8b, 0x44, 0x25, 0x00}, TPR_REFUSE_REGISTER_ADDRESS}, /* [ebp+0] */
    {{0x8b, 0x84, 0x25, T}, TPR_REFUSE_REGISTER_ADDRESS},    /* [ebp+T] */
    {{0x8b, 0xc1}, TPR_REFUSE_NO_MEMORY},
    {{0x89, 0xc5, T}, TPR_REFUSE_NO_MEMORY},
    {{0x0f, 0xb6, 0xc0}, TPR_REFUSE_NO_MEMORY},
    {{0xa1, 0x7f, 0x00, 0xfe, 0xff}, TPR_REFUSE_WRONG_ADDRESS},
    {{0xa1, 0x81, 0x00, 0xfe, 0xff}, TPR_REFUSE_WRONG_ADDRESS},
    {{0xa1, 0x80, 0x08, 0xfe, 0xff}, TPR_REFUSE_WRONG_ADDRESS},
    {{0xa1, 0x90, 0x00, 0xfe, 0xff}, TPR_REFUSE_WRONG_ADDRESS},
    {{0xc7, 0x05, 0xb0, 0x00, 0xfe, 0xff, 0, 0, 0, 0}, TPR_REFUSE_WRONG_ADDRESS}, /* EOI */
    {{0x8b, 0x25, T}, TPR_REFUSE_LOAD_ESP},
    {{0x0f, 0xb6, 0x25, T}, TPR_REFUSE_LOAD_ESP},
};

static const struct tpr_cpu refused_cpus[] = {
    [TPR_REFUSE_REAL_MODE] = {false, false, false, true, true, true, 0, 4096},
    [TPR_REFUSE_VM86] = {true, true, false, true, true, true, 0, 4096},
    [TPR_REFUSE_LONG_MODE] = {true, false, true, true, true, true, 0, 4096},
    [TPR_REFUSE_CODE16] = {true, false, false, false, true, true, 0, 4096},
    [TPR_REFUSE_STACK16] = {true, false, false, true, false, true, 0, 4096},
    [TPR_REFUSE_USER_MODE] = {true, false, false, true, true, true, 3, 4096},
    [TPR_REFUSE_NOT_FLAT] = {true, false, false, true, true, false, 0, 4096},
    [TPR_REFUSE_NO_STACK] = {true, false, false, true, true, true, 0, 63},
};

/* No reason without a case, and none that leaves a plan behind. */
static void test_every_refusal(void **state)
{
	static const uint8_t load[TPR_INSTRUCTION_MAX] = {0xa1, T};
	bool seen[TPR_REFUSAL_COUNT] = {[TPR_ACCEPTED] = true, [TPR_REFUSE_TRUNCATED] = true};
	struct tpr_plan p = {.length = 0xee};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		enum tpr_refusal got =
		    tpr_decode(refused[i].bytes, sizeof(refused[i].bytes), &good_cpu, &p);

		if (got != refused[i].why)
			fail_msg("case %zu: %s", i, tpr_refusal_name(got));
		seen[got] = true;
	}
	for (i = 1; i < ARRAY_SIZE(refused_cpus); i++) {
		assert_int_equal(tpr_decode(load, sizeof(load), &refused_cpus[i], &p), i);
		seen[i] = true;
	}
	for (i = 0; i < TPR_REFUSAL_COUNT; i++)
		assert_true(seen[i]);
	assert_int_equal(p.length, 0xee);
}

static void test_stack_boundaries(void **state)
{
	static const uint8_t store[] = {0xc7, 0x05, T, IMM};
	static const struct {
		uint32_t esp;
		enum tpr_refusal want;
	} cases[] = {
	    {0, TPR_REFUSE_NO_STACK},   {4, TPR_REFUSE_NO_STACK},   {63, TPR_REFUSE_NO_STACK},
	    {64, TPR_ACCEPTED},         {0x7fffffff, TPR_ACCEPTED}, {0x80000000, TPR_ACCEPTED},
	    {0xffffffff, TPR_ACCEPTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tpr_cpu cpu = good_cpu;
		struct tpr_plan p;

		cpu.esp = cases[i].esp;
		assert_int_equal(tpr_decode(store, sizeof(store), &cpu, &p), cases[i].want);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TPR_REFUSAL_COUNT; i++) {
		const char *name = tpr_refusal_name((enum tpr_refusal)i);

		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"),
				 strlen(name));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(name, tpr_refusal_name((enum tpr_refusal)k));
	}
	assert_string_equal(tpr_refusal_name(TPR_REFUSE_BYTE_STORE), "byte-store");
	assert_string_equal(tpr_refusal_name(TPR_REFUSAL_COUNT), "unknown");
	assert_string_equal(tpr_op_name(TPR_STORE_IMM), "store-immediate");
	assert_string_equal(tpr_op_name(TPR_OP_COUNT), "unknown");
}

struct call {
	uint8_t original[TPR_INSTRUCTION_MAX];
	uint32_t ip, target;
	uint8_t patched[TPR_INSTRUCTION_MAX]; /* all of the original's length */
};

/* The sequences of XP's HAL first, then where the displacement wraps around. */
static const struct call calls[] = {
    {{0xa1, T}, 0x80701000, 0x800c8200, {0xe8, 0xfb, 0x71, 0x9c, 0xff}},
    {{0xa3, T}, 0x80701000, 0x800c8400, {0xe8, 0xfb, 0x73, 0x9c, 0xff}},
    {{0x89, 0x0d, T}, 0x80701000, 0x800c8440, {0x2e, 0xe8, 0x3a, 0x74, 0x9c, 0xff}},
    {{0xff, 0x35, T}, 0x80701000, 0x800c8640, {0x2e, 0xe8, 0x3a, 0x76, 0x9c, 0xff}},
    {{0xc7, 0x05, T, IMM}, 0x80701000, 0x800c8600, {0x2e, 0xe8, 0xfa, 0x75, 0x9c, 0xff, IMM}},
    {{0x0f, 0xb6, 0x05, T}, 0x1000, 0x2000, {0x2e, 0x2e, 0xe8, 0xf9, 0x0f, 0x00, 0x00}},
    {{0x0f, 0xb6, 0x04, 0x25, T}, 0x1000, 0x2000, {0x2e, 0x2e, 0x2e, 0xe8, 0xf8, 0x0f, 0, 0}},
    {{0x3e, 0x0f, 0xb6, 0x04, 0x25, T},
     0x1000,
     0x2000,
     {0x2e, 0x2e, 0x2e, 0x2e, 0xe8, 0xf7, 0x0f, 0, 0}},
    {{0x3e, 0xc7, 0x04, 0x25, T, IMM},
     0x1000,
     0x2000,
     {0x2e, 0x2e, 0x2e, 0xe8, 0xf8, 0x0f, 0, 0, IMM}},
    {{0xa1, T}, 0x1000, 0x1005, {0xe8, 0, 0, 0, 0}},
    {{0xa1, T}, 0x1000, 0x1000, {0xe8, 0xfb, 0xff, 0xff, 0xff}},
    {{0xa1, T}, 0x1000, 0x1004, {0xe8, 0xff, 0xff, 0xff, 0xff}},
    {{0xa1, T}, 0xfffffffb, 0x0, {0xe8, 0, 0, 0, 0}},
    {{0xa1, T}, 0xfffffffc, 0x0, {0xe8, 0xff, 0xff, 0xff, 0xff}},
    {{0xa1, T}, 0xfffff000, 0x200, {0xe8, 0xfb, 0x11, 0x00, 0x00}},
    {{0xa1, T}, 0x00001000, 0xfffff000, {0xe8, 0xfb, 0xdf, 0xff, 0xff}},
    {{0xa1, T}, 0x0, 0x80000004, {0xe8, 0xff, 0xff, 0xff, 0x7f}},
    {{0xa1, T}, 0x0, 0x80000005, {0xe8, 0x00, 0x00, 0x00, 0x80}},
};

static void test_call_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *c = &calls[i];
		uint8_t bytes[TPR_INSTRUCTION_MAX], want[TPR_INSTRUCTION_MAX];
		struct tpr_plan p;

		memcpy(bytes, c->original, sizeof(bytes));
		assert_int_equal(tpr_decode(bytes, sizeof(bytes), &good_cpu, &p), TPR_ACCEPTED);
		memset(bytes + p.length, 0xcc, sizeof(bytes) - p.length);
		memcpy(want, bytes, sizeof(want));
		memcpy(want, c->patched, p.length);
		tpr_encode_call(&p, c->ip, c->target, bytes);
		assert_memory_equal(bytes, want, sizeof(want));
	}
}

/* What one form became is known again, as the entry that it was made for; and is not patched twice.
 */
static void test_own_call(void **state)
{
	static const uint32_t ips[] = {0, 0x80701ffe, ROM_VA - 9, ROM_VA + 0x4000, 0xfffffff9};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms) * 2 * ARRAY_SIZE(ips); i++) {
		const struct form *f = &forms[i / 2 % ARRAY_SIZE(forms)];
		uint32_t ip = ips[i / 2 / ARRAY_SIZE(forms)];
		uint8_t bytes[TPR_INSTRUCTION_MAX];
		size_t length = build(f, i % 2, 3, bytes);
		uint8_t patch_length = 0xee;
		struct tpr_plan p;

		assert_int_equal(tpr_decode(bytes, length, &good_cpu, &p), TPR_ACCEPTED);
		tpr_encode_call(&p, ip, ROM_VA + 0x200 + p.entry * 64u, bytes);
		for (size_t count = 0; count < p.patch_length; count++)
			assert_int_equal(tpr_decode_call(bytes, count, ip, ROM_VA, &patch_length),
					 -1);
		assert_int_equal(patch_length, 0xee);
		assert_int_equal(tpr_decode_call(bytes, length, ip, ROM_VA, &patch_length),
				 p.entry);
		assert_int_equal(patch_length, p.patch_length);
		assert_int_not_equal(tpr_decode(bytes, length, &good_cpu, &p), TPR_ACCEPTED);
		/* Elsewhere, or with the ROM elsewhere, it is some other call. */
		assert_int_equal(tpr_decode_call(bytes, length, ip + 1, ROM_VA, &patch_length), -1);
		assert_int_equal(tpr_decode_call(bytes, length, ip, ROM_VA + 0x1000, &patch_length),
				 -1);
	}
}

static void test_foreign_call(void **state)
{
	static const struct {
		uint32_t offset; /* of what is called, in the ROM */
		int want;
	} cases[] = {
	    {0x200, 0},
	    {0x240, 1},
	    {0x200 + 3 * 64, 3},
	    {0x200 + 4 * 64, -1}, /* no entry loads ESP */
	    {0x200 + 5 * 64, 5},
	    {0x200 + 12 * 64, 12},
	    {0x200 + 18 * 64, 18},
	    {0x200 + 19 * 64, -1},
	    {0x1ff, -1},
	    {0x1c0, -1},
	    {0x201, -1},
	    {0x23f, -1},
	    {0, -1},
	    {0xffffffc0, -1},
	    {0x80000200, -1},
	    {0x4000, -1},
	};
	static const uint8_t prefixed[] = {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xe8, 0xf6, 1, 0, 0};
	static const uint8_t other_prefix[] = {0x3e, 0xe8, 0xfa, 1, 0, 0};
	static const uint8_t jump[] = {0xe9, 0xfb, 1, 0, 0};
	uint8_t length;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tpr_plan p = {.patch_length = 5};
		uint8_t bytes[TPR_PATCH_MAX];

		tpr_encode_call(&p, 0x80701000, ROM_VA + cases[i].offset, bytes);
		assert_int_equal(tpr_decode_call(bytes, 5, 0x80701000, ROM_VA, &length),
				 cases[i].want);
	}
	assert_int_equal(tpr_decode_call(prefixed, 10, ROM_VA, ROM_VA, &length), -1);
	assert_int_equal(tpr_decode_call(prefixed + 1, 9, ROM_VA + 1, ROM_VA, &length), 0);
	assert_int_equal(length, 9);
	assert_int_equal(tpr_decode_call(other_prefix, 6, ROM_VA, ROM_VA, &length), -1);
	assert_int_equal(tpr_decode_call(jump, 5, ROM_VA, ROM_VA, &length), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_form),       cmocka_unit_test(test_every_refusal),
	    cmocka_unit_test(test_stack_boundaries), cmocka_unit_test(test_names),
	    cmocka_unit_test(test_call_bytes),       cmocka_unit_test(test_own_call),
	    cmocka_unit_test(test_foreign_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
