/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TPR patching: from the bytes of an instruction to a plan, and from a plan to a CALL.
 *
 * Intel SDM volume 2, sections 2.1 (prefixes, ModRM, SIB), A.3 and A.4 (opcode maps); 32-bit code
 * only. A table lists the forms that are accepted, and those that are refused for a reason of their
 * own so that counters say what a guest would gain from; the first row that fits decides.
 *
 * Accepted are the forms whose effect an entry of the ROM repeats to the last bit of every register
 * and flag: moves of 32 bits, push and pop. A zero-extending load of 8 or 16 bits is one of 32,
 * since the register's upper 24 bits read as 0 (Intel SDM volume 3, section 11.8.3.1). An absolute
 * address is encoded with a SIB byte or without. All of these have at least the 5 bytes of a CALL;
 * [reg] has not. A DS prefix changes nothing and becomes one more byte of padding; CS, ES and SS
 * would, where a guest gives them other rights, and FS and GS have bases.
 *
 * Left out: byte stores, which KVM's local APIC ignores; a load of ESP, under which an entry cannot
 * return; everything that sets flags, and exchanges, which no known HAL applies to this register.
 */
#include "tpr/decode.h"

#include "core/array.h"

#include <assert.h>
#include <string.h>

#define TPR_PAGE_OFFSET 0x080u /* of the register, Intel SDM volume 3, table 11-1 */
#define PAGE_MASK       0xfffu

#define CALL_LENGTH     5u
#define PREFIX_CS       0x2e
#define PREFIX_DS       0x3e
#define OPCODE_CALL     0xe8
#define REG_ESP         4u
#define IMM32_LENGTH    4u

/* What follows the opcode. Values below 8: a ModRM byte whose reg field has this value. */
enum { ANY_REG = 8, OFFSET, NOTHING };

struct form {
	uint16_t opcode, mask; /* 0x0fxx: of the second map */
	uint8_t operand;
	enum tpr_op op; /* if accepted */
	enum tpr_refusal refusal;
};

static const struct form forms[] = {
    {0x00a1, 0xffff, OFFSET, TPR_LOAD, TPR_ACCEPTED},
    {0x00a3, 0xffff, OFFSET, TPR_STORE, TPR_ACCEPTED},
    {0x008b, 0xffff, ANY_REG, TPR_LOAD, TPR_ACCEPTED},
    {0x0089, 0xffff, ANY_REG, TPR_STORE, TPR_ACCEPTED},
    {0x00c7, 0xffff, 0, TPR_STORE_IMM, TPR_ACCEPTED},
    {0x00ff, 0xffff, 6, TPR_PUSH, TPR_ACCEPTED},
    {0x008f, 0xffff, 0, TPR_POP, TPR_ACCEPTED},
    {0x0fb6, 0xfffe, ANY_REG, TPR_LOAD, TPR_ACCEPTED}, /* and 0f b7 */

    {0x00a2, 0xffff, NOTHING, 0, TPR_REFUSE_BYTE_STORE},
    {0x0088, 0xffff, NOTHING, 0, TPR_REFUSE_BYTE_STORE},
    {0x00c6, 0xffff, 0, 0, TPR_REFUSE_BYTE_STORE},
    {0x00a0, 0xffff, NOTHING, 0, TPR_REFUSE_BYTE_LOAD},
    {0x008a, 0xffff, NOTHING, 0, TPR_REFUSE_BYTE_LOAD},
    {0x0086, 0xfffe, NOTHING, 0, TPR_REFUSE_EXCHANGE},
    {0x0038, 0xfffc, NOTHING, 0, TPR_REFUSE_COMPARE}, /* cmp with a register */
    {0x0080, 0xfffc, 7, 0, TPR_REFUSE_COMPARE},       /* cmp with an immediate */
    {0x0084, 0xfffe, NOTHING, 0, TPR_REFUSE_COMPARE}, /* test */
    {0x00f6, 0xfffe, 0, 0, TPR_REFUSE_COMPARE},
    {0x00f6, 0xfffe, 1, 0, TPR_REFUSE_COMPARE},
    {0x0000, 0xffc4, NOTHING, 0, TPR_REFUSE_ARITHMETIC}, /* add to xor */
    {0x0080, 0xfffc, ANY_REG, 0, TPR_REFUSE_ARITHMETIC},
    {0x00f6, 0xfffe, ANY_REG, 0, TPR_REFUSE_ARITHMETIC},
    {0x00fe, 0xfffe, 0, 0, TPR_REFUSE_ARITHMETIC}, /* inc, dec */
    {0x00fe, 0xfffe, 1, 0, TPR_REFUSE_ARITHMETIC},
    {0x0f30, 0xffff, NOTHING, 0, TPR_REFUSE_WRMSR},
};

static const char *const refusal_names[TPR_REFUSAL_COUNT] = {
    [TPR_ACCEPTED] = "accepted",
    [TPR_REFUSE_REAL_MODE] = "real-mode",
    [TPR_REFUSE_VM86] = "virtual-8086-mode",
    [TPR_REFUSE_LONG_MODE] = "long-mode",
    [TPR_REFUSE_CODE16] = "16-bit-code",
    [TPR_REFUSE_STACK16] = "16-bit-stack",
    [TPR_REFUSE_USER_MODE] = "user-mode",
    [TPR_REFUSE_NOT_FLAT] = "segment-not-flat",
    [TPR_REFUSE_NO_STACK] = "no-stack",
    [TPR_REFUSE_TRUNCATED] = "truncated",
    [TPR_REFUSE_OPERAND_SIZE] = "operand-size-prefix",
    [TPR_REFUSE_ADDRESS_SIZE] = "address-size-prefix",
    [TPR_REFUSE_LOCK] = "lock-prefix",
    [TPR_REFUSE_REPEAT] = "repeat-prefix",
    [TPR_REFUSE_SEGMENT] = "segment-prefix",
    [TPR_REFUSE_WRMSR] = "wrmsr",
    [TPR_REFUSE_BYTE_STORE] = "byte-store",
    [TPR_REFUSE_BYTE_LOAD] = "byte-load",
    [TPR_REFUSE_EXCHANGE] = "exchange",
    [TPR_REFUSE_COMPARE] = "compare",
    [TPR_REFUSE_ARITHMETIC] = "arithmetic",
    [TPR_REFUSE_OPCODE] = "opcode",
    [TPR_REFUSE_REGISTER_ADDRESS] = "register-address",
    [TPR_REFUSE_NO_MEMORY] = "no-memory-operand",
    [TPR_REFUSE_WRONG_ADDRESS] = "wrong-address",
    [TPR_REFUSE_LOAD_ESP] = "load-esp",
};

static const char *const op_names[TPR_OP_COUNT] = {
    [TPR_LOAD] = "load", [TPR_STORE] = "store", [TPR_STORE_IMM] = "store-immediate",
    [TPR_PUSH] = "push", [TPR_POP] = "pop",
};

static const uint8_t op_entry[TPR_OP_COUNT] = {
    [TPR_LOAD] = TPR_ENTRY_LOAD,
    [TPR_STORE] = TPR_ENTRY_STORE,
    [TPR_STORE_IMM] = TPR_ENTRY_STORE_IMM,
    [TPR_PUSH] = TPR_ENTRY_PUSH,
    [TPR_POP] = TPR_ENTRY_POP,
};

const char *tpr_refusal_name(enum tpr_refusal r)
{
	return (unsigned)r < TPR_REFUSAL_COUNT ? refusal_names[r] : "unknown";
}

const char *tpr_op_name(enum tpr_op op)
{
	return (unsigned)op < TPR_OP_COUNT ? op_names[op] : "unknown";
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static enum tpr_refusal check_cpu(const struct tpr_cpu *cpu)
{
	if (!cpu->protected_mode)
		return TPR_REFUSE_REAL_MODE;
	if (cpu->vm86)
		return TPR_REFUSE_VM86;
	if (cpu->long_mode)
		return TPR_REFUSE_LONG_MODE;
	if (!cpu->code32)
		return TPR_REFUSE_CODE16;
	if (!cpu->stack32)
		return TPR_REFUSE_STACK16;
	if (cpu->cpl != 0)
		return TPR_REFUSE_USER_MODE;
	if (!cpu->flat)
		return TPR_REFUSE_NOT_FLAT;
	return cpu->esp < TPR_ENTRY_STACK ? TPR_REFUSE_NO_STACK : TPR_ACCEPTED;
}

static enum tpr_refusal refusal_of_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x66:
		return TPR_REFUSE_OPERAND_SIZE;
	case 0x67:
		return TPR_REFUSE_ADDRESS_SIZE;
	case 0xf0:
		return TPR_REFUSE_LOCK;
	case 0xf2:
	case 0xf3:
		return TPR_REFUSE_REPEAT;
	case 0x26:
	case PREFIX_CS:
	case 0x36:
	case PREFIX_DS:
	case 0x64:
	case 0x65:
		return TPR_REFUSE_SEGMENT;
	default:
		return TPR_ACCEPTED;
	}
}

/* NULL: none. modrm: the byte after the opcode, -1 if it is not there. */
static const struct form *find_form(uint16_t opcode, int modrm)
{
	for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
		const struct form *f = &forms[i];

		if ((opcode & f->mask) == f->opcode &&
		    (f->operand >= ANY_REG || modrm < 0 || (modrm >> 3 & 7) == f->operand))
			return f;
	}
	return NULL;
}

/*
 * at: offset of the ModRM byte, which is there, of a form that is accepted. Moves *at behind ModRM
 * and SIB.
 */
static enum tpr_refusal check_address_form(const uint8_t *bytes, size_t count, size_t *at)
{
	uint8_t modrm = bytes[(*at)++];

	if ((modrm & 0xc0) == 0xc0)
		return TPR_REFUSE_NO_MEMORY;
	if ((modrm & 0xc7) == 0x05)
		return TPR_ACCEPTED;
	if ((modrm & 0xc7) != 0x04)
		return TPR_REFUSE_REGISTER_ADDRESS;
	if (*at >= count)
		return TPR_REFUSE_TRUNCATED;
	/* No base, no index; without an index the scale means nothing. */
	return (bytes[(*at)++] & 0x3f) == 0x25 ? TPR_ACCEPTED : TPR_REFUSE_REGISTER_ADDRESS;
}

/* at: offset behind the opcode of a form that is accepted. */
static enum tpr_refusal make_plan(const uint8_t *bytes, size_t count, size_t at,
				  const struct form *f, struct tpr_plan *out)
{
	struct tpr_plan plan = {.op = f->op, .is_write = f->op != TPR_LOAD && f->op != TPR_PUSH};
	size_t tail = f->op == TPR_STORE_IMM ? IMM32_LENGTH : 0;
	enum tpr_refusal r;

	if (f->operand == ANY_REG)
		plan.reg = bytes[at] >> 3 & 7;
	if (f->operand != OFFSET) {
		r = check_address_form(bytes, count, &at);
		if (r)
			return r;
	}
	if (count - at < sizeof(plan.tpr_va) + tail)
		return TPR_REFUSE_TRUNCATED;
	plan.tpr_va = get32(bytes + at);
	at += sizeof(plan.tpr_va);
	if ((plan.tpr_va & PAGE_MASK) != TPR_PAGE_OFFSET)
		return TPR_REFUSE_WRONG_ADDRESS;
	if (plan.op == TPR_LOAD && plan.reg == REG_ESP)
		return TPR_REFUSE_LOAD_ESP;
	plan.entry = (uint8_t)(op_entry[plan.op] + plan.reg);
	plan.patch_length = (uint8_t)at;
	plan.length = (uint8_t)(at + tail);
	*out = plan;
	return TPR_ACCEPTED;
}

enum tpr_refusal tpr_decode(const uint8_t *bytes, size_t count, const struct tpr_cpu *cpu,
			    struct tpr_plan *out)
{
	enum tpr_refusal r = check_cpu(cpu);
	const struct form *f;
	uint16_t opcode;
	size_t at = 0;

	if (r)
		return r;
	if (count && bytes[0] == PREFIX_DS)
		at = 1;
	if (at >= count)
		return TPR_REFUSE_TRUNCATED;
	r = refusal_of_prefix(bytes[at]);
	if (r)
		return r;
	opcode = bytes[at++];
	if (opcode == 0x0f) {
		if (at >= count)
			return TPR_REFUSE_TRUNCATED;
		opcode = (uint16_t)(0x0f00 | bytes[at++]);
	}
	f = find_form(opcode, at < count ? bytes[at] : -1);
	if (!f)
		return TPR_REFUSE_OPCODE;
	if (f->operand <= ANY_REG && at >= count)
		return TPR_REFUSE_TRUNCATED;
	return f->refusal ? f->refusal : make_plan(bytes, count, at, f, out);
}

void tpr_encode_call(const struct tpr_plan *p, uint32_t ip, uint32_t target,
		     uint8_t out[TPR_PATCH_MAX])
{
	uint32_t displacement = target - (ip + p->patch_length);
	uint8_t *at;

	assert(p->patch_length >= CALL_LENGTH && p->patch_length <= TPR_PATCH_MAX);
	memset(out, PREFIX_CS, p->patch_length - CALL_LENGTH);
	at = out + p->patch_length - CALL_LENGTH;
	*at++ = OPCODE_CALL;
	for (unsigned i = 0; i < sizeof(displacement); i++)
		*at++ = (uint8_t)(displacement >> 8 * i);
}

int tpr_decode_call(const uint8_t *bytes, size_t count, uint32_t ip, uint32_t rom_va,
		    uint8_t *patch_length)
{
	uint32_t offset, entry;
	size_t at = 0;

	while (at < count && at < TPR_PATCH_MAX - CALL_LENGTH && bytes[at] == PREFIX_CS)
		at++;
	if (count - at < CALL_LENGTH || bytes[at] != OPCODE_CALL)
		return -1;
	offset = ip + (uint32_t)at + CALL_LENGTH + get32(bytes + at + 1) - rom_va;
	entry = (offset - TPR_ENTRY_OFFSET) / TPR_ENTRY_SIZE;
	if (offset % TPR_ENTRY_SIZE || entry >= TPR_ENTRY_COUNT ||
	    entry == TPR_ENTRY_LOAD + REG_ESP)
		return -1;
	*patch_length = (uint8_t)(at + CALL_LENGTH);
	return (int)entry;
}
