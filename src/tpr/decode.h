/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides whether an instruction that accessed the local APIC's task priority register can become a
 * CALL of the option ROM, and encodes that CALL. Pure: bytes in, bytes out, nothing kept; any
 * thread. The bytes come from the guest and may be anything.
 *
 * The CALL is one instruction of exactly the original's length, padded by CS prefixes, so no
 * boundary appears inside it and the original can be put back at any time. Only `mov [TPR], imm32`
 * keeps its last 4 bytes: the entry finds the immediate at its return address.
 *
 * What the bytes cannot tell is the caller's to check: that tpr_va is the register in the page
 * tables of now, that all of [ip, ip + length) is mapped, and that the ROM is where target says.
 */
#ifndef TPR_DECODE_H
#define TPR_DECODE_H

#include "tpr/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TPR_INSTRUCTION_MAX 15u /* bytes; Intel SDM volume 2, section 2.3.11 */
#define TPR_PATCH_MAX       9u  /* bytes of the longest CALL */

/* Why an instruction stays as it is; tpr_refusal_name() has the words that users see. */
enum tpr_refusal {
	TPR_ACCEPTED,
	/* The state of the CPU. */
	TPR_REFUSE_REAL_MODE,
	TPR_REFUSE_VM86,
	TPR_REFUSE_LONG_MODE,
	TPR_REFUSE_CODE16,
	TPR_REFUSE_STACK16,
	TPR_REFUSE_USER_MODE,
	TPR_REFUSE_NOT_FLAT,
	TPR_REFUSE_NO_STACK, /* ESP below TPR_ENTRY_STACK: a CALL would wrap around, or fault */
	/* The bytes. */
	TPR_REFUSE_TRUNCATED,
	TPR_REFUSE_OPERAND_SIZE,
	TPR_REFUSE_ADDRESS_SIZE,
	TPR_REFUSE_LOCK,
	TPR_REFUSE_REPEAT,
	TPR_REFUSE_SEGMENT,    /* any but a single DS, which says what holds anyway */
	TPR_REFUSE_WRMSR,      /* the register of an x2APIC */
	TPR_REFUSE_BYTE_STORE, /* KVM ignores them: a patch would bring them to life */
	TPR_REFUSE_BYTE_LOAD,
	TPR_REFUSE_EXCHANGE,
	TPR_REFUSE_COMPARE,
	TPR_REFUSE_ARITHMETIC,
	TPR_REFUSE_OPCODE,
	TPR_REFUSE_REGISTER_ADDRESS, /* [reg] and the like */
	TPR_REFUSE_NO_MEMORY,        /* a register is the operand */
	TPR_REFUSE_WRONG_ADDRESS,    /* the low 12 bits are not the register's */
	TPR_REFUSE_LOAD_ESP,
	TPR_REFUSAL_COUNT
};

enum tpr_op { TPR_LOAD, TPR_STORE, TPR_STORE_IMM, TPR_PUSH, TPR_POP, TPR_OP_COUNT };

/* What the bytes mean depends on it, and whether a CALL may stand there. */
struct tpr_cpu {
	bool protected_mode;  /* CR0.PE */
	bool vm86;            /* EFLAGS.VM */
	bool long_mode;       /* EFER.LMA */
	bool code32, stack32; /* CS.D, SS.B */
	bool flat;            /* CS, SS and DS: base 0, limit 4 GiB */
	uint8_t cpl;
	uint32_t esp;
};

struct tpr_plan {
	enum tpr_op op;
	uint8_t reg;          /* of TPR_LOAD and TPR_STORE: 0 EAX, 1 ECX, ... 7 EDI */
	uint8_t entry;        /* of the ROM, TPR_ENTRY_* */
	uint8_t length;       /* of the instruction, bytes */
	uint8_t patch_length; /* of the CALL, bytes from the instruction's start; 5 to 9 */
	bool is_write;
	uint32_t tpr_va; /* the address in the instruction */
};

/*
 * bytes: what stands at the instruction's start; count: how many could be read, all of
 * TPR_INSTRUCTION_MAX unless the next page is missing. Fills *out if it returns TPR_ACCEPTED,
 * otherwise leaves it alone.
 */
enum tpr_refusal tpr_decode(const uint8_t *bytes, size_t count, const struct tpr_cpu *cpu,
			    struct tpr_plan *out);

/* "byte-store"; "accepted" for 0. Names of counters: they stay as they are. */
const char *tpr_refusal_name(enum tpr_refusal r);
const char *tpr_op_name(enum tpr_op op); /* "load" */

/* The CALL from ip to target, p->patch_length bytes; the rest of out is left alone. */
void tpr_encode_call(const struct tpr_plan *p, uint32_t ip, uint32_t target,
		     uint8_t out[TPR_PATCH_MAX]);

/*
 * Whether bytes begin with a CALL that tpr_encode_call() could have made, from ip to an entry of
 * the ROM at rom_va. Returns the entry's number, -1 if not; *patch_length is then unchanged.
 */
int tpr_decode_call(const uint8_t *bytes, size_t count, uint32_t ip, uint32_t rom_va,
		    uint8_t *patch_length);

#endif
