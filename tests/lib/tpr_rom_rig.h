/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TPR option ROM in an emulated 32-bit CPU (Unicorn), an instruction at a time, with a model of
 * what KVM does with the local APIC and the vapic word at each exit (arch/x86/kvm/lapic.c: sync
 * from the word, evaluate, sync to it). Two CPUs, of which one runs: FS and `current` say which.
 */
#ifndef TPR_ROM_RIG_H
#define TPR_ROM_RIG_H

#include "tpr/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unicorn/unicorn.h>

#define RIG_BASE  0xc8000ull
#define RIG_CODE  0x80100000u
#define RIG_STACK 0x80200000u
#define RIG_KPCR  0x81000000u /* of CPU 0; CPU 1's is a page further */
#define RIG_ESP   (RIG_STACK + 0x800)
#define RIG_FLAGS 0xcd5u /* the arithmetic flags and DF */
#define RIG_IF    0x200u

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, EIP, EFLAGS, RIG_REGISTERS };

static const int rig_id[RIG_REGISTERS] = {
    UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX, UC_X86_REG_ESP,
    UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI, UC_X86_REG_EIP, UC_X86_REG_EFLAGS,
};

struct rig_cpu {
	uint8_t tpr, isr, irr; /* of the local APIC */
	bool armed;            /* KVM has the record's address */
	bool noticed;          /* KVM knows that something is deliverable */
};

struct rig {
	uc_engine *uc;
	struct gmem *mem;
	struct tpr_image image;
	uint32_t va, real;
	struct rig_cpu cpu[2];
	unsigned current;
	unsigned reads, writes, polls, calls; /* calls: of a dormant entry */
	uint32_t poll_flags;
	uint64_t bad; /* accesses of a kind that must not be */
};

struct rig_state {
	uint32_t r[RIG_REGISTERS];
};

static inline uint8_t *rig_record(struct rig *g, unsigned cpu)
{
	return gmem_pointer(g->mem, tpr_image_record(&g->image, cpu), TPR_RECORD_SIZE);
}

static inline uint8_t rig_max(uint8_t a, uint8_t b)
{
	return a > b ? a : b;
}

static inline bool rig_deliverable(const struct rig_cpu *c)
{
	return (c->irr & 0xf0) > (rig_max(c->tpr, c->isr) & 0xf0);
}

/* The TPR as the guest must see it. */
static inline uint8_t rig_tpr(struct rig *g, unsigned cpu)
{
	return g->cpu[cpu].armed ? rig_record(g, cpu)[TPR_RECORD_TPR] : g->cpu[cpu].tpr;
}

static inline void rig_exit_from(struct rig *g)
{
	if (g->cpu[g->current].armed)
		g->cpu[g->current].tpr = rig_record(g, g->current)[TPR_RECORD_TPR];
	if (rig_deliverable(&g->cpu[g->current]))
		g->cpu[g->current].noticed = true;
}

static inline void rig_enter(struct rig *g)
{
	const struct rig_cpu *c = &g->cpu[g->current];
	uint8_t *record = rig_record(g, g->current);

	if (!c->armed)
		return;
	record[TPR_RECORD_TPR] = c->tpr;
	record[TPR_RECORD_ISR] = c->isr & 0xf0;
	record[TPR_RECORD_IRR] = c->irr;
}

static uint64_t rig_on_read(uc_engine *uc, uint64_t offset, unsigned size, void *arg)
{
	struct rig *g = arg;

	(void)uc;
	rig_exit_from(g);
	g->reads++;
	if (offset != 0x80 || (size != 1 && size != 4))
		g->bad++;
	rig_enter(g);
	return g->cpu[g->current].tpr;
}

static void rig_on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *arg)
{
	struct rig *g = arg;

	(void)uc;
	rig_exit_from(g);
	g->writes++;
	if (offset != 0x80 || size != 4)
		g->bad++; /* KVM would ignore it */
	g->cpu[g->current].tpr = (uint8_t)value;
	if (rig_deliverable(&g->cpu[g->current]))
		g->cpu[g->current].noticed = true;
	rig_enter(g);
}

static void rig_on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *arg)
{
	struct rig *g = arg;

	(void)value;
	if (port != TPR_ROM_PORT || (size != 1 && size != 4))
		g->bad++;
	else if (size == 1)
		g->calls++;
	else
		g->polls++;
	uc_reg_read(uc, UC_X86_REG_EFLAGS, &g->poll_flags);
	rig_exit_from(g);
	rig_enter(g);
}

/* After the host wrote to the ROM: code that was translated before is forgotten. */
static inline void rig_forget(struct rig *g)
{
	assert_int_equal(uc_ctl_remove_cache(g->uc, g->va, g->va + TPR_ROM_SIZE), UC_ERR_OK);
}

/* FS := this CPU's KPCR, as its GDT would have it. */
static inline void rig_set_current(struct rig *g, unsigned cpu)
{
	uint16_t selector = (uint16_t)(8 * (cpu + 1));

	g->current = cpu;
	assert_int_equal(uc_reg_write(g->uc, UC_X86_REG_FS, &selector), UC_ERR_OK);
}

static inline void rig_write(struct rig *g, uint32_t address, const void *bytes, size_t n)
{
	assert_int_equal(uc_mem_write(g->uc, address, bytes, n), UC_ERR_OK);
}

static inline uint32_t rig_dword(struct rig *g, uint32_t address)
{
	uint32_t value;

	assert_int_equal(uc_mem_read(g->uc, address, &value, sizeof(value)), UC_ERR_OK);
	return value;
}

static inline void rig_set(struct rig *g, const struct rig_state *s)
{
	for (unsigned i = 0; i < RIG_REGISTERS; i++)
		assert_int_equal(uc_reg_write(g->uc, rig_id[i], &s->r[i]), UC_ERR_OK);
}

static inline void rig_get(struct rig *g, struct rig_state *s)
{
	for (unsigned i = 0; i < RIG_REGISTERS; i++)
		assert_int_equal(uc_reg_read(g->uc, rig_id[i], &s->r[i]), UC_ERR_OK);
}

/* Executes the instruction at EIP. */
static inline void rig_step(struct rig *g)
{
	uint32_t eip;

	uc_reg_read(g->uc, UC_X86_REG_EIP, &eip);
	assert_int_equal(uc_emu_start(g->uc, eip, 0, 0, 1), UC_ERR_OK);
}

static inline uint32_t rig_entry(const struct rig *g, unsigned number)
{
	return g->va + TPR_ROM_ENTRY(number);
}

static inline void rig_create(struct rig *g, bool single, uint32_t va, uint32_t real)
{
	static const uint8_t number[2] = {0, 1};
	/* Data: base RIG_KPCR and the page behind it, limit 0x1fff as NT's; flat. Code: flat. */
	static const uint64_t gdt[] = {0, 0x8140920000001fff, 0x8140920010001fff,
				       0x00cf92000000ffff, 0x00cf9a000000ffff};
	static const int flat[] = {UC_X86_REG_SS, UC_X86_REG_DS, UC_X86_REG_ES};
	uc_x86_mmr gdtr = {.base = RIG_CODE + 0x800, .limit = sizeof(gdt) - 1};
	uint8_t *rom;
	uc_hook hook;

	*g = (struct rig){.va = va, .real = real};
	assert_int_equal(gmem_create(0x200000, &g->mem), 0);
	assert_int_equal(gmem_place(g->mem, 0, 0, 0x200000), 0);
	assert_int_equal(tpr_image_place(&g->image, g->mem, RIG_BASE, single), 0);
	rom = gmem_pointer(g->mem, RIG_BASE, TPR_ROM_SIZE);
	assert_int_equal(uc_open(UC_ARCH_X86, UC_MODE_32, &g->uc), UC_ERR_OK);
	assert_int_equal(uc_mem_map_ptr(g->uc, va, TPR_ROM_SIZE, UC_PROT_ALL, rom), UC_ERR_OK);
	assert_int_equal(uc_mem_map(g->uc, RIG_CODE, 0x1000, UC_PROT_ALL), UC_ERR_OK);
	assert_int_equal(uc_mem_map(g->uc, RIG_STACK, 0x1000, UC_PROT_ALL), UC_ERR_OK);
	assert_int_equal(uc_mem_map(g->uc, RIG_KPCR, 0x2000, UC_PROT_ALL), UC_ERR_OK);
	assert_int_equal(
	    uc_mmio_map(g->uc, real & ~0xfffu, 0x1000, rig_on_read, g, rig_on_write, g), UC_ERR_OK);
	assert_int_equal(uc_hook_add(g->uc, &hook, UC_HOOK_INSN, (void *)(uintptr_t)rig_on_out, g,
				     1, 0, UC_X86_INS_OUT),
			 UC_ERR_OK);
	rig_write(g, (uint32_t)gdtr.base, gdt, sizeof(gdt));
	assert_int_equal(uc_reg_write(g->uc, UC_X86_REG_GDTR, &gdtr), UC_ERR_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(uc_reg_write(g->uc, flat[i], &(uint16_t){0x18}), UC_ERR_OK);
	assert_int_equal(uc_reg_write(g->uc, UC_X86_REG_CS, &(uint16_t){0x20}), UC_ERR_OK);
	rig_write(g, RIG_KPCR + TPR_KPCR_NUMBER, &number[0], 1);
	rig_write(g, RIG_KPCR + 0x1000 + TPR_KPCR_NUMBER, &number[1], 1);
	rig_set_current(g, 0);
}

static inline void rig_destroy(struct rig *g)
{
	uc_close(g->uc);
	gmem_destroy(g->mem);
}

static inline void rig_activate(struct rig *g)
{
	assert_int_equal(tpr_image_activate(&g->image, g->va, g->real), 0);
	rig_forget(g);
}

/* As the patcher does: from the local APIC to the record. */
static inline void rig_arm(struct rig *g, unsigned cpu)
{
	struct rig_cpu *c = &g->cpu[cpu];

	c->armed = true;
	assert_int_equal(
	    tpr_image_arm(&g->image, cpu, c->tpr | (c->isr & 0xf0u) << 8 | (uint32_t)c->irr << 24),
	    0);
	rig_forget(g);
}

static inline void rig_disarm(struct rig *g, unsigned cpu)
{
	g->cpu[cpu].armed = false;
	assert_int_equal(tpr_image_disarm(&g->image, cpu), 0);
	rig_forget(g);
}

struct rig_call {
	unsigned entry;
	uint32_t value; /* to be stored */
	uint8_t before; /* the TPR before */
	uint32_t flags;
};

static inline bool rig_is_load(unsigned entry)
{
	return entry < TPR_ENTRY_STORE || entry == TPR_ENTRY_PUSH;
}

/* Registers and stack as a CALL from RIG_CODE leaves them. Returns what is to become the TPR. */
static inline uint32_t rig_prepare(struct rig *g, const struct rig_call *c, struct rig_state *s)
{
	uint32_t value = c->value;
	uint32_t stack[0x400];

	for (unsigned i = 0; i < 0x400; i++)
		stack[i] = 0x5a000000 + i;
	for (unsigned i = 0; i < 8; i++)
		s->r[i] = 0x11111111u * (i + 1);
	s->r[ESP] = RIG_ESP - 4;
	s->r[EIP] = rig_entry(g, c->entry);
	s->r[EFLAGS] = c->flags;
	if (c->entry == TPR_ENTRY_STORE + ESP)
		value = RIG_ESP;
	else if (c->entry >= TPR_ENTRY_STORE && c->entry < TPR_ENTRY_STORE_IMM)
		s->r[c->entry - TPR_ENTRY_STORE] = value;
	else if (c->entry == TPR_ENTRY_POP)
		stack[0x200] = value;
	stack[0x1ff] = RIG_CODE + 0x100;
	rig_write(g, RIG_STACK, stack, sizeof(stack));
	rig_write(g, RIG_CODE + 0x100, &value, sizeof(value));
	rig_set(g, s);
	return value;
}

/* What the original instruction would have left. */
static inline void rig_expect(const struct rig_call *c, const struct rig_state *before,
			      struct rig_state *after)
{
	*after = *before;
	after->r[ESP] = RIG_ESP;
	after->r[EIP] = RIG_CODE + 0x100;
	if (c->entry < TPR_ENTRY_STORE)
		after->r[c->entry] = c->before;
	if (c->entry == TPR_ENTRY_STORE_IMM)
		after->r[EIP] += 4;
	if (c->entry == TPR_ENTRY_PUSH)
		after->r[ESP] -= 4;
	if (c->entry == TPR_ENTRY_POP)
		after->r[ESP] += 4;
}

#endif
