// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sites. Encodings: Intel SDM volume 2. What a store may do below the stack pointer is left open:
 * a patched instruction is a call. Everything else is compared.
 */
#include "site.h"

#define INT3      0xcc
#define ROM_FIRST 0xc0000u
#define ROM_END   0xf0000u

extern const uint32_t site_exit[4];
extern void (*const site_run[4])(struct registers *r, const void *target);

const char *const kind_names[KIND_COUNT] = {"mov eax,[T]",
					    "mov [T],eax",
					    "mov r,[T]",
					    "mov [T],r",
					    "push [T]",
					    "pop [T]",
					    "mov [T],imm",
					    "mov r,[T] by SIB",
					    "mov [T],r by SIB",
					    "mov r,[T] with prefix",
					    "mov [T],r with prefix",
					    "mov eax,[edi]",
					    "mov [edi],eax",
					    "mov [T],cl",
					    "movzx edx,byte [T]",
					    "mov dx,[T]",
					    "xchg [T],ebx",
					    "and [T],imm",
					    "or [T],ecx",
					    "cmp [T],imm",
					    "test [T],ecx"};

/* The opcode bytes before the address; reg goes into bits 3-5 of the byte at modrm. */
static const struct {
	uint8_t bytes[4], count, modrm, imm;
	bool reads, writes;
} encodings[KIND_COUNT] = {
    [KIND_A1] = {{0xa1}, 1, 0, 0, true, false},
    [KIND_A3] = {{0xa3}, 1, 0, 0, false, true},
    [KIND_LOAD] = {{0x8b, 0x05}, 2, 1, 0, true, false},
    [KIND_STORE] = {{0x89, 0x05}, 2, 1, 0, false, true},
    [KIND_PUSH] = {{0xff, 0x35}, 2, 0, 0, true, false},
    [KIND_POP] = {{0x8f, 0x05}, 2, 0, 0, false, true},
    [KIND_STORE_IMM] = {{0xc7, 0x05}, 2, 0, 4, false, true},
    [KIND_LOAD_SIB] = {{0x8b, 0x04, 0x25}, 3, 1, 0, true, false},
    [KIND_STORE_SIB] = {{0x89, 0x04, 0x25}, 3, 1, 0, false, true},
    [KIND_LOAD_DS] = {{0x3e, 0x8b, 0x05}, 3, 2, 0, true, false},
    [KIND_STORE_DS] = {{0x3e, 0x89, 0x05}, 3, 2, 0, false, true},
    [KIND_LOAD_AT] = {{0x8b, 0x07}, 2, 0, 0, true, false},
    [KIND_STORE_AT] = {{0x89, 0x07}, 2, 0, 0, false, true},
    [KIND_STORE_BYTE] = {{0x88, 0x0d}, 2, 0, 0, false, false},
    [KIND_LOAD_BYTE] = {{0x0f, 0xb6, 0x15}, 3, 0, 0, true, false},
    [KIND_LOAD_WORD] = {{0x66, 0x8b, 0x15}, 3, 0, 0, true, false},
    [KIND_XCHG] = {{0x87, 0x1d}, 2, 0, 0, true, true},
    [KIND_AND] = {{0x81, 0x25}, 2, 0, 4, true, true},
    [KIND_OR] = {{0x09, 0x0d}, 2, 0, 0, true, true},
    [KIND_CMP] = {{0x81, 0x3d}, 2, 0, 4, true, false},
    [KIND_TEST] = {{0x85, 0x0d}, 2, 0, 0, true, false},
};

uint8_t *site_page_number(uint32_t n)
{
	return (uint8_t *)(KSEG0 + SITES_PA + n % SITE_PAGES * PAGE);
}

/* The first pages belong to cases by their number. */
uint8_t *site_page(void)
{
	static uint32_t next = 32;
	uint8_t *page = site_page_number(next);

	next = next + 1 == SITE_PAGES ? 32 : next + 1;
	for (uint32_t i = 0; i < PAGE; i++)
		page[i] = INT3;
	return page;
}

void site_make_va(struct site *s, uint8_t *at, enum kind kind, unsigned reg, uint32_t imm,
		  uint32_t cpu, uint32_t va)
{
	uint32_t n = encodings[kind].count;
	uint32_t exit = cpu == CPU_ANY ? PCR_EXIT : (uint32_t)&site_exit[cpu];

	s->at = at;
	s->kind = kind;
	s->reg = kind == KIND_A1 || kind == KIND_A3 ? EAX : reg;
	s->imm = imm;
	copy(s->code, encodings[kind].bytes, n);
	if (encodings[kind].modrm)
		s->code[encodings[kind].modrm] |= (uint8_t)(reg << 3);
	if (kind != KIND_LOAD_AT && kind != KIND_STORE_AT) {
		copy(s->code + n, &va, 4);
		n += 4;
	}
	copy(s->code + n, &imm, encodings[kind].imm);
	n += encodings[kind].imm;
	s->length = n;
	if (cpu == CPU_ANY)
		s->code[n++] = 0x64; /* fs */
	s->code[n] = 0xff;           /* jmp [exit] */
	s->code[n + 1] = 0x25;
	copy(s->code + n + 2, &exit, 4);
	s->total = n + 6;
	copy(at, s->code, s->total);
}

void site_make(struct site *s, uint8_t *at, enum kind kind, unsigned reg, uint32_t imm,
	       uint32_t cpu)
{
	site_make_va(s, at, kind, reg, imm, cpu, TPR);
}

bool site_changed(const struct site *s)
{
	return !same(s->at, s->code, s->length);
}

void site_registers(struct registers *r, uint32_t *seed)
{
	uint32_t esp;

	__asm__ volatile("movl %%esp, %0" : "=r"(esp));
	for (unsigned i = 0; i < 8; i++)
		r->gpr[i] = random_number(seed);
	r->gpr[ESP] = (esp - STACK_BYTES / 2) & ~0xffu;
	r->flags = (random_number(seed) & (FLAGS_STATUS | FLAG_DF)) | FLAG_FIXED;
}

static uint32_t flags_of(uint32_t result)
{
	uint32_t flags = result ? 0 : 0x40;
	uint8_t parity = (uint8_t)result;

	parity ^= parity >> 4;
	parity ^= parity >> 2;
	parity ^= parity >> 1;
	return flags | (result >> 31 ? 0x80 : 0) | (parity & 1 ? 0 : 4);
}

/* CF, PF, ZF, SF and OF of a - b; AF as well. */
static uint32_t flags_of_difference(uint32_t a, uint32_t b)
{
	uint32_t d = a - b;

	return flags_of(d) | (a < b) | ((a ^ b ^ d) & 0x10) |
	       (((a ^ b) & (a ^ d)) >> 31 ? 0x800 : 0);
}

/* What the instruction does to the registers, to the word on top of the stack and to the TPR. */
struct effect {
	struct registers r;
	uint32_t flags_known;
	uint8_t tpr;
	bool pushed;
};

static void model(const struct site *s, const struct registers *r, uint32_t popped, uint8_t tpr,
		  struct effect *e)
{
	uint32_t result;

	e->r = *r;
	e->tpr = tpr;
	e->pushed = s->kind == KIND_PUSH;
	e->flags_known = FLAGS_CHECKED;
	switch (s->kind) {
	case KIND_PUSH:
		e->r.gpr[ESP] -= 4;
		break;
	case KIND_POP:
		e->r.gpr[ESP] += 4;
		e->tpr = (uint8_t)popped;
		break;
	case KIND_STORE_IMM:
		e->tpr = (uint8_t)s->imm;
		break;
	case KIND_STORE_BYTE:
		break;
	case KIND_STORE_AT:
		e->tpr = (uint8_t)r->gpr[EAX];
		break;
	case KIND_LOAD_AT:
		e->r.gpr[EAX] = tpr;
		break;
	case KIND_LOAD_BYTE:
		e->r.gpr[EDX] = tpr;
		break;
	case KIND_LOAD_WORD:
		e->r.gpr[EDX] = (r->gpr[EDX] & 0xffff0000u) | tpr;
		break;
	case KIND_XCHG:
		e->r.gpr[EBX] = tpr;
		e->tpr = (uint8_t)r->gpr[EBX];
		break;
	case KIND_AND:
	case KIND_OR:
	case KIND_TEST:
		result = s->kind == KIND_OR    ? tpr | r->gpr[ECX]
			 : s->kind == KIND_AND ? tpr & s->imm
					       : tpr & r->gpr[ECX];
		if (s->kind != KIND_TEST)
			e->tpr = (uint8_t)result;
		e->r.flags = (r->flags & ~FLAGS_STATUS) | flags_of(result);
		e->flags_known &= ~0x10u; /* AF is undefined */
		break;
	case KIND_CMP:
		e->r.flags = (r->flags & ~FLAGS_STATUS) | flags_of_difference(tpr, s->imm);
		break;
	default:
		if (encodings[s->kind].reads)
			e->r.gpr[s->reg] = tpr;
		else
			e->tpr = (uint8_t)r->gpr[s->reg];
	}
}

static void compare(const struct site *s, const struct registers *r, const struct effect *e)
{
	static const char *const names[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

	for (unsigned i = 0; i < 8; i++)
		CHECK_EQUAL(r->gpr[i], e->r.gpr[i], names[i]);
	CHECK_EQUAL(r->flags & e->flags_known, e->r.flags & e->flags_known, "flags");
	if (e->pushed)
		CHECK_EQUAL(*(uint32_t *)r->gpr[ESP], e->tpr, "pushed");
	(void)s;
}

void site_step(const struct site *s, struct registers *r, uint8_t tpr, bool exact)
{
	uint32_t cpu = this_cpu()->number, popped = r->gpr[EBX] ^ 0x5a5a0000u;
	uint8_t mask = exact ? 0xff : 0xf0;
	uint32_t *stack = (uint32_t *)r->gpr[ESP];
	bool memory_stack = r->gpr[ESP] != 0;
	struct effect e;
	uint32_t above[4];

	if (s->kind == KIND_LOAD_AT || s->kind == KIND_STORE_AT)
		r->gpr[EDI] = TPR;
	if (memory_stack) {
		for (unsigned i = 0; i < 4; i++)
			stack[i] = above[i] = popped + i;
	}
	model(s, r, popped, tpr, &e);
	site_run[cpu](r, s->at);
	if (memory_stack)
		CHECK(same(stack, above, sizeof(above)), "memory above the stack", 0);
	compare(s, r, &e);
	CHECK_EQUAL(tpr_read_plain() & mask, e.tpr & mask, "TPR after it");
	tpr_write_plain(0);
}

void site_check_bytes(const struct site *s, bool must_be_patched)
{
	const uint8_t *p = s->at;
	uint32_t prefixes = 0, rel, target, patch;

	CHECK(same(p + s->length, s->code + s->length, s->total - s->length), "bytes after it",
	      (uint32_t)p);
	if (settings.patch == PATCH_QEMU)
		return;
	if (!site_changed(s)) {
		CHECK(!must_be_patched || settings.patch == PATCH_OFF, "not patched", (uint32_t)p);
		return;
	}
	CHECK(settings.patch == PATCH_ON, "patched although it is off", (uint32_t)p);
	patch = s->kind == KIND_STORE_IMM ? s->length - 4 : s->length;
	while (p[prefixes] == 0x2e)
		prefixes++;
	copy(&rel, p + prefixes + 1, 4);
	target = (uint32_t)p + prefixes + 5 + rel - KSEG0;
	CHECK_EQUAL(p[prefixes], 0xe8, "opcode");
	CHECK_EQUAL(prefixes + 5, patch, "length of the call");
	CHECK(target >= ROM_FIRST && target < ROM_END, "target of the call", target);
	CHECK(same(p + patch, s->code + patch, s->length - patch), "immediate", (uint32_t)p);
}

/* The TPR before each step is written where no patcher can help, so every step crosses over. */
void site_exercise(struct site *s, bool must_be_patched)
{
	static const uint8_t levels[] = {0x41, 0x00, 0xff, 0x3d, 0xd1, 0x10, 0xef, 0x80};
	uint32_t seed = settings.seed * 77 + s->kind * 8 + s->reg + 1, after = 0;
	struct registers r;

	for (uint32_t turn = 0; turn < PATCH_TRIES && after < 16; turn++) {
		uint8_t tpr = levels[turn % 8] & 0xf0;

		site_registers(&r, &seed);
		if (s->kind == KIND_STORE || s->kind == KIND_STORE_SIB || s->kind == KIND_STORE_DS)
			if (s->reg == ESP)
				r.gpr[ESP] += levels[turn % 8] & ~3u;
		if (turn % 3 == 2 && !(encodings[s->kind].reads && s->reg == ESP))
			r.flags |= FLAG_IF; /* no interrupt must find the stack of a bad ESP */
		tpr_write_plain(tpr);
		site_step(s, &r, tpr, false);
		if (site_changed(s) || settings.patch != PATCH_ON || !must_be_patched)
			after++;
		if (failures() > 3)
			break;
	}
	site_check_bytes(s, must_be_patched);
}

uint32_t site_load(const struct site *s)
{
	uint32_t seed = 1;
	struct registers r;

	site_registers(&r, &seed);
	r.gpr[EDI] = TPR;
	site_run[this_cpu()->number](&r, s->at);
	return r.gpr[s->reg];
}

void site_store(const struct site *s, uint32_t value)
{
	uint32_t seed = 1;
	struct registers r;

	site_registers(&r, &seed);
	r.gpr[EDI] = TPR;
	r.gpr[s->reg] = value;
	site_run[this_cpu()->number](&r, s->at);
}

void site_warm(const struct site *s)
{
	for (uint32_t i = 0; i < PATCH_TRIES && !site_changed(s); i++) {
		if (encodings[s->kind].writes)
			site_store(s, 0);
		else
			site_load(s);
		if (settings.patch == PATCH_OFF)
			return;
	}
	if (settings.patch == PATCH_ON)
		CHECK(site_changed(s), "not patched", (uint32_t)s->at);
}
