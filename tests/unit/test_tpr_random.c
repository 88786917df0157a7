/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random bytes through the decoder of TPR accesses, held against libzydis: nothing is accepted that
 * is not such an access in a form that an entry of the ROM repeats, nothing of the kind is refused,
 * and nothing is written outside the instruction. A third of the strings is uniform; the rest is
 * put together from what instructions are made of, so that thousands of each form are accepted.
 *
 * LODGE_TPR_RANDOM_COUNT and LODGE_TPR_RANDOM_SEED choose other strings.
 */
#include "tpr_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DEFAULT_COUNT 10000000ul

static uint64_t random_state;

/* xorshift64*, G. Marsaglia and S. Vigna. */
static uint32_t random32(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 0x2545f4914f6cdd1dull >> 32);
}

static bool one_in(uint32_t n)
{
	return random32() % n == 0;
}

static uint8_t pick(const uint8_t *from, size_t count)
{
	return from[random32() % count];
}

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t random_address(void)
{
	if (one_in(3))
		return 0xfffe0080;
	return one_in(8) ? random32() : (random32() & 0xfffff000) | 0x080;
}

/* Puts an instruction at the start of random bytes: what follows it may be looked at too. */
static void grow_instruction(uint8_t bytes[TPR_INSTRUCTION_MAX])
{
	static const uint8_t prefixes[] = {0x3e, 0x3e, 0x3e, 0x26, 0x2e, 0x36, 0x64,
					   0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
	static const uint8_t opcodes[] = {0xa1, 0xa3, 0x8b, 0x8b, 0x8b, 0x89, 0x89, 0x89,
					  0xc7, 0xff, 0x8f, 0x0f, 0x0f, 0xa0, 0xa2, 0x88,
					  0x8a, 0xc6, 0x87, 0x39, 0x3b, 0x81, 0x83, 0x85,
					  0xf7, 0x8c, 0x8e, 0x8d, 0x69, 0x6b, 0x09, 0x21};
	static const uint8_t second[] = {0xb6, 0xb6, 0xb7, 0xb7, 0xbe, 0xbf, 0xaf, 0x30, 0x18};
	static const uint8_t bases[] = {0x25, 0x25, 0x65, 0xa5, 0xe5, 0x24, 0x05, 0x2d};
	size_t at = 0;
	uint8_t opcode;

	while (one_in(4) && at < 4)
		bytes[at++] = pick(prefixes, sizeof(prefixes));
	opcode = one_in(8) ? (uint8_t)random32() : pick(opcodes, sizeof(opcodes));
	bytes[at++] = opcode;
	if (opcode == 0x0f)
		bytes[at++] = pick(second, sizeof(second));
	if ((opcode & 0xfc) != 0xa0) {
		/* The reg fields that groups know come more often. */
		uint8_t reg = one_in(3) ? (uint8_t)(random32() % 2 * 6) : random32() & 7;
		bool sib = one_in(3);

		bytes[at++] =
		    one_in(6) ? (uint8_t)random32() : (uint8_t)(reg << 3 | (sib ? 0x04 : 0x05));
		if (sib)
			bytes[at++] = pick(bases, sizeof(bases));
	}
	put32(bytes + at, random_address());
	if (one_in(8))
		bytes[random32() % (at + 4)] ^= (uint8_t)(1u << random32() % 8);
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static void report(unsigned long number, const uint8_t *bytes, size_t count, const char *wrong)
{
	char hex[3 * TPR_INSTRUCTION_MAX + 1] = "";

	for (size_t i = 0; i < count; i++)
		snprintf(hex + 3 * i, 4, "%02x ", bytes[i]);
	fail_msg("string %lu: %s: %s", number, hex, wrong);
}

static void test_random_strings(void **state)
{
	unsigned long count = number_from("LODGE_TPR_RANDOM_COUNT", DEFAULT_COUNT);
	unsigned long seed = number_from("LODGE_TPR_RANDOM_SEED", 1);
	unsigned long accepted[TPR_ENTRY_COUNT] = {0}, total = 0;
	uint8_t bytes[TPR_INSTRUCTION_MAX];
	struct tpr_plan plan;

	(void)state;
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned long i = 0; i < count; i++) {
		size_t length = one_in(16) ? random32() % (sizeof(bytes) + 1) : sizeof(bytes);
		const char *wrong;

		for (size_t k = 0; k < 12; k += 4)
			put32(bytes + k, random32());
		put32(bytes + sizeof(bytes) - 4, random32());
		if (i % 3)
			grow_instruction(bytes);
		wrong = tpr_oracle_check(bytes, length, random32(), random32() & 0xfffff000, &plan);
		if (wrong)
			report(i, bytes, length, wrong);
		if (plan.length) {
			accepted[plan.entry]++;
			total++;
		}
	}
	printf("# %lu strings, seed %lu: %lu accepted\n", count, seed, total);
	if (count < 100000)
		return;
	/* Each form often enough to have been tried in all its encodings. */
	for (unsigned e = 0; e < TPR_ENTRY_COUNT; e++)
		if (e == 4)
			assert_int_equal(accepted[e], 0);
		else
			assert_true(accepted[e] > count / 1000);
}

static int load(void **state)
{
	struct refusal why = {0};

	(void)state;
	if (tpr_oracle_load(&why) == 0)
		return 0;
	fprintf(stderr, "%s\n", why.text);
	return -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_strings)};

	return cmocka_run_group_tests(tests, load, NULL);
}
