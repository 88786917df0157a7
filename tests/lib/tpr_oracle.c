/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tpr_oracle.h"

#include "core/dynlib.h"
#include <Zydis/Zydis.h>
#include <string.h>

#define GUARD 16u

struct zydis_api {
	ZyanStatus (*init)(ZydisDecoder *decoder, ZydisMachineMode mode, ZydisStackWidth stack);
	ZyanStatus (*decode)(const ZydisDecoder *decoder, const void *bytes, ZyanUSize count,
			     ZydisDecodedInstruction *instruction, ZydisDecodedOperand *operands);
};

static const struct dynlib_symbol symbols[] = {
    DYNLIB_SYMBOL(struct zydis_api, init, "ZydisDecoderInit"),
    DYNLIB_SYMBOL(struct zydis_api, decode, "ZydisDecoderDecodeFull"),
};

static const struct dynlib library = {"libZydis.so.4.0", "libzydis4.0", symbols, 2};

static struct zydis_api zydis;
static ZydisDecoder decoder;

struct view {
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

const struct tpr_cpu tpr_oracle_cpu = {
    .protected_mode = true, .code32 = true, .stack32 = true, .flat = true, .esp = 0x80551000};

int tpr_oracle_load(struct refusal *why)
{
	if (dynlib_load(&library, &zydis, "decoder test", why) < 0)
		return -1;
	return ZYAN_SUCCESS(
		   zydis.init(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32))
		   ? 0
		   : -1;
}

static bool view_of(const uint8_t *bytes, size_t count, struct view *v)
{
	return ZYAN_SUCCESS(zydis.decode(&decoder, bytes, count, &v->instruction, v->operand));
}

static bool is_gpr32(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_EAX &&
	       o->reg.value <= ZYDIS_REGISTER_EDI;
}

/* The register's page offset, absolute, in DS. */
static bool is_tpr(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
	       o->mem.segment == ZYDIS_REGISTER_DS && o->mem.base == ZYDIS_REGISTER_NONE &&
	       o->mem.index == ZYDIS_REGISTER_NONE && o->mem.disp.has_displacement &&
	       (o->mem.disp.value & 0xfff) == 0x080;
}

static bool is_dword(const ZydisDecodedOperand *o)
{
	return o->size == 32;
}

static bool prefixes_are_harmless(const ZydisDecodedInstruction *i)
{
	return i->raw.prefix_count == 0 ||
	       (i->raw.prefix_count == 1 && i->raw.prefixes[0].value == 0x3e);
}

/* Which operation an entry of the ROM offers; the operand that is memory. NULL: none. */
static const ZydisDecodedOperand *classify(const struct view *v, struct tpr_plan *p)
{
	const ZydisDecodedOperand *to = &v->operand[0], *from = &v->operand[1];

	switch (v->instruction.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (is_tpr(from) && is_dword(from) && is_gpr32(to)) {
			p->op = TPR_LOAD;
			p->reg = (uint8_t)(to->reg.value - ZYDIS_REGISTER_EAX);
			return from;
		}
		if (!is_tpr(to) || !is_dword(to))
			return NULL;
		p->op = from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? TPR_STORE_IMM : TPR_STORE;
		if (p->op == TPR_STORE && !is_gpr32(from))
			return NULL;
		if (p->op == TPR_STORE)
			p->reg = (uint8_t)(from->reg.value - ZYDIS_REGISTER_EAX);
		return to;
	case ZYDIS_MNEMONIC_MOVZX:
		p->op = TPR_LOAD;
		p->reg = (uint8_t)(to->reg.value - ZYDIS_REGISTER_EAX);
		return is_tpr(from) && is_gpr32(to) ? from : NULL;
	case ZYDIS_MNEMONIC_PUSH:
		p->op = TPR_PUSH;
		return is_tpr(to) && is_dword(to) ? to : NULL;
	case ZYDIS_MNEMONIC_POP:
		p->op = TPR_POP;
		return is_tpr(to) && is_dword(to) ? to : NULL;
	default:
		return NULL;
	}
}

/* Memory that an instruction touches besides the operand in question and the stack. */
static bool touches_more(const struct view *v, const ZydisDecodedOperand *tpr)
{
	for (unsigned i = 0; i < v->instruction.operand_count; i++) {
		const ZydisDecodedOperand *o = &v->operand[i];

		if (o != tpr && o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN ||
		     o->mem.base != ZYDIS_REGISTER_ESP))
			return true;
	}
	return false;
}

/* False: the bytes must be refused. */
static bool expect(const uint8_t *bytes, size_t count, struct tpr_plan *p)
{
	static const uint8_t entry[TPR_OP_COUNT] = {0, 8, 16, 17, 18}; /* the ABI, said again */
	const ZydisDecodedOperand *tpr;
	struct view v;

	memset(p, 0, sizeof(*p));
	if (!view_of(bytes, count, &v) || !prefixes_are_harmless(&v.instruction))
		return false;
	tpr = classify(&v, p);
	if (!tpr || (p->op == TPR_LOAD && p->reg == 4) || touches_more(&v, tpr))
		return false;
	p->is_write = (tpr->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
	p->length = v.instruction.length;
	p->patch_length = (uint8_t)(p->length - (p->op == TPR_STORE_IMM ? 4 : 0));
	p->tpr_va = (uint32_t)tpr->mem.disp.value;
	p->entry = (uint8_t)(entry[p->op] + p->reg);
	return true;
}

static bool same_plan(const struct tpr_plan *a, const struct tpr_plan *b)
{
	return a->op == b->op && a->reg == b->reg && a->entry == b->entry &&
	       a->length == b->length && a->patch_length == b->patch_length &&
	       a->is_write == b->is_write && a->tpr_va == b->tpr_va;
}

/* One instruction of the original's length that calls the entry, and nothing else has changed. */
static const char *check_call(const uint8_t *bytes, uint32_t ip, uint32_t rom_va,
			      const struct tpr_plan *p)
{
	uint8_t before[GUARD + TPR_INSTRUCTION_MAX + GUARD], after[sizeof(before)];
	uint32_t target = rom_va + 0x200u + p->entry * 64u;
	uint8_t *at = after + GUARD;
	uint8_t patch_length = 0;
	struct view v;
	size_t i;

	memset(before, 0xa5, sizeof(before));
	memcpy(before + GUARD, bytes, p->length);
	memcpy(after, before, sizeof(after));
	tpr_encode_call(p, ip, target, at);
	for (i = 0; i < sizeof(after); i++)
		if ((i < GUARD || i >= GUARD + p->patch_length) && after[i] != before[i])
			return "wrote outside the call";
	if (!view_of(at, p->patch_length, &v))
		return "the call is no instruction";
	if (v.instruction.mnemonic != ZYDIS_MNEMONIC_CALL ||
	    v.instruction.length != p->patch_length || !v.operand[0].imm.is_relative)
		return "no near call of the right length";
	if (ip + p->patch_length + (uint32_t)v.operand[0].imm.value.s != target)
		return "the call goes elsewhere";
	if (tpr_decode_call(at, p->patch_length, ip, rom_va, &patch_length) != p->entry ||
	    patch_length != p->patch_length)
		return "does not know its own call";
	if (tpr_decode_call(at, p->patch_length - 1u, ip, rom_va, &patch_length) != -1)
		return "takes a truncated call for its own";
	return NULL;
}

const char *tpr_oracle_check(const uint8_t *bytes, size_t count, uint32_t ip, uint32_t rom_va,
			     struct tpr_plan *plan)
{
	const struct tpr_plan untouched = {.op = TPR_POP, .reg = 0x55, .tpr_va = 0x55555555};
	struct tpr_plan expected;
	bool accept = expect(bytes, count, &expected);
	enum tpr_refusal r;

	*plan = untouched;
	r = tpr_decode(bytes, count, &tpr_oracle_cpu, plan);
	if (r && !same_plan(plan, &untouched))
		return "changed the plan and refused";
	if (r)
		plan->length = 0;
	if (r && accept)
		return tpr_refusal_name(r);
	if (!r && !accept)
		return "accepted what it must refuse";
	if (r)
		return NULL;
	if (!same_plan(plan, &expected))
		return "another plan than expected";
	if (tpr_decode(bytes, plan->length - 1u, &tpr_oracle_cpu, &expected) !=
	    TPR_REFUSE_TRUNCATED)
		return "accepted a truncated instruction";
	return check_call(bytes, ip, rom_va, plan);
}
