/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sites: one instruction that accesses the TPR, written into a page of code at run time, run with
 * chosen registers and flags, and compared with what the instruction set says it does.
 */
#ifndef TPR_GUEST_SITE_H
#define TPR_GUEST_SITE_H

#include "guest.h"

#define SITE_CODE_MAX 24
#define CPU_ANY       99
#define PATCH_TRIES   200 /* a patcher may wait for more reports of a site */

enum kind {
	KIND_A1,        /* mov eax,[T] */
	KIND_A3,        /* mov [T],eax */
	KIND_LOAD,      /* mov r,[T] */
	KIND_STORE,     /* mov [T],r */
	KIND_PUSH,      /* push dword [T] */
	KIND_POP,       /* pop dword [T] */
	KIND_STORE_IMM, /* mov dword [T],imm */
	KIND_LOAD_SIB,  /* the address by a SIB byte */
	KIND_STORE_SIB,
	KIND_LOAD_DS, /* with a redundant prefix */
	KIND_STORE_DS,
	KIND_PATCHED_BY_ALL,                /* the last one above must be patched */
	KIND_LOAD_AT = KIND_PATCHED_BY_ALL, /* mov eax,[edi] */
	KIND_STORE_AT,                      /* mov [edi],eax */
	KIND_STORE_BYTE,                    /* mov [T],cl: KVM drops it */
	KIND_LOAD_BYTE,                     /* movzx edx,byte [T] */
	KIND_LOAD_WORD,                     /* mov dx,[T] */
	KIND_XCHG,                          /* xchg [T],ebx */
	KIND_AND,                           /* and dword [T],imm */
	KIND_OR,                            /* or [T],ecx */
	KIND_CMP,                           /* cmp dword [T],imm */
	KIND_TEST,                          /* test [T],ecx */
	KIND_COUNT
};

struct site {
	uint8_t *at; /* of the instruction */
	enum kind kind;
	unsigned reg;
	uint32_t imm;
	uint32_t length; /* of the instruction, without what goes back */
	uint32_t total;
	uint8_t code[SITE_CODE_MAX];
};

extern const char *const kind_names[KIND_COUNT];

/* A page of the sites' own memory, full of int3. Pages are given out round and round. */
uint8_t *site_page(void);
uint8_t *site_page_number(uint32_t n); /* the nth, as it is */

/*
 * Writes the instruction to `at`, and what goes back to processor `cpu` after it; CPU_ANY: to the
 * one that runs it, by its KPCR.
 */
void site_make(struct site *s, uint8_t *at, enum kind kind, unsigned reg, uint32_t imm,
	       uint32_t cpu);
void site_make_va(struct site *s, uint8_t *at, enum kind kind, unsigned reg, uint32_t imm,
		  uint32_t cpu, uint32_t va); /* another address than the TPR's */
bool site_changed(const struct site *s);

/* A stack for code of this processor, and registers without a TPR's address among them. */
void site_registers(struct registers *r, uint32_t *seed);

/*
 * Runs the site once from where the TPR is `tpr`, with registers *r, and checks registers, flags,
 * stack and the TPR after it. exact: all eight bits of a TPR must survive (else the upper four).
 */
void site_step(const struct site *s, struct registers *r, uint8_t tpr, bool exact);

/* Runs it until it is patched, with checks, and then some; as the settings say it must end. */
void site_exercise(struct site *s, bool must_be_patched);

/* The bytes outside the instruction are untouched; inside is one call into the ROM, or nothing. */
void site_check_bytes(const struct site *s, bool must_be_patched);

/* Once, no checks: a processor's own site. Loads: the register's value after it. */
uint32_t site_load(const struct site *s);
void site_store(const struct site *s, uint32_t value);
void site_warm(const struct site *s); /* until it is patched, or no patcher is here */

#endif
