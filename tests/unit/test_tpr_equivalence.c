/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An instruction and what replaces it do the same: decoder, encoder and ROM together. Each form is
 * run in an emulated CPU as the guest wrote it, against the real TPR, and then as the call that the
 * patcher puts there, from the same random state. Registers, flags, stack and TPR must be equal to
 * the last bit, with either make of the ROM, armed and not.
 */
#include "tpr_rom_rig.h"

#include "tpr/decode.h"

#define RUNS       8u /* of each instruction */
#define STEPS_MAX  64u
#define ROM_VA     0x800c8000u
#define REAL       0xfffe0080u
#define STACK_SIZE 0x1000u
#define CODE       0x80400000u
#define CODE_SIZE  0x200000u
#define SLOT_SIZE  32u /* each run has a place of its own: Unicorn keeps what it translated */

struct form {
	uint8_t bytes[4];
	uint8_t count;
	bool has_reg, has_imm;
};

static const struct form forms[] = {
    {{0xa1}, 1, false, false},
    {{0xa3}, 1, false, false},
    {{0x8b, 0x05}, 2, true, false},
    {{0x89, 0x05}, 2, true, false},
    {{0xc7, 0x05}, 2, false, true},
    {{0xff, 0x35}, 2, false, false},
    {{0x8f, 0x05}, 2, false, false},
    {{0x0f, 0xb6, 0x05}, 3, true, false},
    {{0x0f, 0xb7, 0x05}, 3, true, false},
    {{0x8b, 0x04, 0x25}, 3, true, false},
    {{0x89, 0x04, 0x25}, 3, true, false},
    {{0xc7, 0x04, 0x25}, 3, false, true},
    {{0xff, 0x34, 0x25}, 3, false, false},
    {{0x8f, 0x04, 0x25}, 3, false, false},
    {{0x0f, 0xb6, 0x04, 0x25}, 4, true, false},
    {{0x0f, 0xb7, 0x04, 0x25}, 4, true, false},
};

/* What an instruction can see and change. */
struct world {
	struct rig_state cpu;
	uint8_t tpr, requested; /* in the local APIC */
	uint8_t stack[STACK_SIZE];
};

static uint32_t random_state = 0x2545f491;

/* xorshift32, G. Marsaglia. */
static uint32_t random32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static size_t build(const struct form *f, bool ds, unsigned reg, uint8_t *out)
{
	const uint32_t address = REAL, imm = random32();
	size_t at = 0;

	if (ds)
		out[at++] = 0x3e;
	memcpy(out + at, f->bytes, f->count);
	if (f->has_reg)
		out[at + (f->bytes[0] == 0x0f ? 2 : 1)] |= (uint8_t)(reg << 3);
	at += f->count;
	memcpy(out + at, &address, sizeof(address));
	at += sizeof(address);
	if (f->has_imm) {
		memcpy(out + at, &imm, sizeof(imm));
		at += sizeof(imm);
	}
	return at;
}

static void make_world(struct world *w, uint32_t ip)
{
	for (unsigned i = 0; i < 8; i++)
		w->cpu.r[i] = random32();
	w->cpu.r[ESP] = RIG_ESP + random32() % 64;
	w->cpu.r[EIP] = ip;
	w->cpu.r[EFLAGS] = 2 | (random32() & (RIG_FLAGS | RIG_IF));
	w->tpr = (uint8_t)random32();
	w->requested = random32() % 3 ? (uint8_t)random32() : 0;
	for (unsigned i = 0; i < STACK_SIZE; i++)
		w->stack[i] = (uint8_t)random32();
}

/* Runs the bytes at EIP until the instruction behind them is next; *w becomes what they left. */
static void run(struct rig *g, struct world *w, const uint8_t *bytes, size_t length, bool armed)
{
	uint32_t ip = w->cpu.r[EIP];

	if (g->cpu[0].armed)
		rig_disarm(g, 0);
	g->cpu[0] = (struct rig_cpu){.tpr = w->tpr, .irr = w->requested};
	if (armed)
		rig_arm(g, 0);
	rig_write(g, RIG_STACK, w->stack, sizeof(w->stack));
	rig_write(g, ip, bytes, length);
	rig_set(g, &w->cpu);
	for (unsigned steps = 0; w->cpu.r[EIP] != ip + length && steps < STEPS_MAX; steps++) {
		rig_step(g);
		rig_get(g, &w->cpu);
	}
	w->tpr = rig_tpr(g, 0);
	assert_int_equal(uc_mem_read(g->uc, RIG_STACK, w->stack, sizeof(w->stack)), UC_ERR_OK);
}

/* Below ESP, an entry may leave anything in as many bytes as it was promised. */
static void compare(const struct world *was, const struct world *a, const struct world *b)
{
	uint32_t dead = was->cpu.r[ESP] - RIG_STACK - TPR_ENTRY_STACK;
	uint32_t live = a->cpu.r[ESP] - RIG_STACK;

	for (unsigned i = 0; i < RIG_REGISTERS; i++)
		assert_int_equal(a->cpu.r[i], b->cpu.r[i]);
	assert_int_equal(a->tpr, b->tpr);
	assert_memory_equal(a->stack, b->stack, dead);
	assert_memory_equal(a->stack + live, b->stack + live, STACK_SIZE - live);
}

static unsigned slot;

static void check(struct rig *g, const struct form *f, bool ds, unsigned reg)
{
	static const struct tpr_cpu cpu = {
	    .protected_mode = true, .code32 = true, .stack32 = true, .flat = true, .esp = RIG_ESP};

	for (unsigned n = 0; n < RUNS; n++) {
		static struct world was, original, patched;
		uint8_t bytes[TPR_INSTRUCTION_MAX];
		size_t length = build(f, ds, reg, bytes);
		struct tpr_plan p;

		make_world(&was, CODE + slot++ * SLOT_SIZE);
		original = patched = was;
		run(g, &original, bytes, length, false);
		assert_int_equal(original.cpu.r[EIP], was.cpu.r[EIP] + length);
		was.cpu.r[EIP] = patched.cpu.r[EIP] = CODE + slot++ * SLOT_SIZE;
		original.cpu.r[EIP] = was.cpu.r[EIP] + (uint32_t)length;
		assert_int_equal(tpr_decode(bytes, length, &cpu, &p), TPR_ACCEPTED);
		assert_int_equal(p.length, length);
		g->bad = g->reads = g->writes = 0;
		tpr_encode_call(&p, was.cpu.r[EIP], rig_entry(g, p.entry), bytes);
		run(g, &patched, bytes, length, n % 2);
		compare(&was, &original, &patched);
		assert_int_equal(g->bad, 0);
		assert_int_equal(g->reads + g->writes, n % 2 ? 0 : 1);
	}
}

static void check_all(bool single)
{
	struct rig g;

	slot = 0;
	rig_create(&g, single, ROM_VA, REAL);
	rig_activate(&g);
	assert_int_equal(uc_mem_map(g.uc, CODE, CODE_SIZE, UC_PROT_ALL), UC_ERR_OK);
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct form *f = &forms[i];
		bool loads = f->bytes[0] == 0x8b || f->bytes[0] == 0x0f;

		for (unsigned reg = 0; reg < (f->has_reg ? 8u : 1u); reg++) {
			if (loads && reg == ESP)
				continue; /* refused */
			check(&g, f, false, reg);
			check(&g, f, true, reg);
		}
	}
	rig_destroy(&g);
}

static void test_several_cpus(void **state)
{
	(void)state;
	check_all(false);
}

static void test_single_cpu(void **state)
{
	(void)state;
	check_all(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_several_cpus),
	    cmocka_unit_test(test_single_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
