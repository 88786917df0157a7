// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts and exceptions of the TPR guest: tables, dispatch, and the handler that only counts.
 */
#include "guest.h"

#define VECTORS      256
#define GATE         0x8e00u
#define GATE_USER    0xee00u
#define TSS_BYTES    104
#define FAULT_PAGE   14
#define ERROR_VECTOR 32 /* exceptions are below */

struct trap {
	uint32_t es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t vector, error, eip, cs, flags;
};

struct table_register {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));

extern const uint32_t trap_stubs[VECTORS], site_exit[4];
extern uint64_t boot_gdt[GDT_ENTRIES];
extern uint8_t cpu_stacks[];
extern const uint8_t await_hlt[];
void trap_dispatch(struct trap *t);
void site_user_back(void);

uint32_t halts_cut_short;

static uint64_t idt[VECTORS] __attribute__((aligned(8)));
static uint64_t gdts[CPU_MAX][GDT_ENTRIES] __attribute__((aligned(8)));
static uint32_t tss[CPU_MAX][TSS_BYTES / 4];
static handler *handlers[VECTORS];

/* By the stack, as a case may have put anything into fs. */
struct cpu *this_cpu(void)
{
	uint32_t esp;

	__asm__ volatile("movl %%esp, %0" : "=r"(esp));
	return &cpus[(esp - (uint32_t)cpu_stacks) / STACK_BYTES % CPU_MAX];
}

void isr_note(struct cpu *cpu, unsigned vector)
{
	uint32_t n = cpu->order_count;

	cpu->received[vector]++;
	if (n < sizeof(cpu->order) / sizeof(cpu->order[0]))
		cpu->order[n] = vector;
	cpu->order_count = n + 1;
	apic_eoi();
}

static void exception(struct cpu *cpu, struct trap *t)
{
	if (t->vector == FAULT_PAGE)
		__asm__ volatile("movl %%cr2, %0" : "=r"(cpu->fault_address));
	if (cpu->expected >> t->vector & 1 && cpu->number < 4) {
		cpu->trapped = t->vector + 1;
		t->eip = site_exit[cpu->number];
		t->cs = SEL_CODE;
		t->flags &= ~FLAG_DF;
		return;
	}
	put("not ok exception: ");
	put_number(t->vector);
	put(" on processor ");
	put_number(cpu->number);
	put(" at ");
	put_hex(t->eip, 8);
	put(" error ");
	put_hex(t->error, 8);
	put(" address ");
	put_hex(cpu->fault_address, 8);
	put_line("");
	out8(EXIT_PORT, 31);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void trap_dispatch(struct trap *t)
{
	struct cpu *cpu = this_cpu();

	if (t->eip == (uint32_t)await_hlt) {
		t->eip++;
		__atomic_fetch_add(&halts_cut_short, 1, __ATOMIC_RELAXED);
	}
	if (t->vector < ERROR_VECTOR && t->vector != VECTOR_SPURIOUS) {
		exception(cpu, t);
		return;
	}
	if (t->vector == VECTOR_SPURIOUS) /* no end of interrupt: Intel SDM volume 3, 11.9 */
		cpu->received[VECTOR_SPURIOUS]++;
	else if (handlers[t->vector])
		handlers[t->vector](cpu, t->vector);
	else
		isr_note(cpu, t->vector);
}

void on_interrupt(unsigned vector, handler *h)
{
	handlers[vector] = h;
	on_interrupt_raw(vector, (void (*)(void))trap_stubs[vector], false);
}

void on_interrupt_raw(unsigned vector, void (*stub)(void), bool user)
{
	uint32_t at = (uint32_t)stub;

	idt[vector] = (uint64_t)((at & 0xffff0000u) | (user ? GATE_USER : GATE)) << 32 |
		      (uint32_t)SEL_CODE << 16 | (at & 0xffff);
}

void traps_init(void)
{
	for (unsigned v = 0; v < VECTORS; v++)
		on_interrupt(v, NULL);
	on_interrupt_raw(VECTOR_RETURN, site_user_back, true);
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t bits)
{
	return (uint64_t)(base & 0xff000000u) << 32 | (uint64_t)bits << 40 |
	       (uint64_t)(limit & 0xf0000) << 32 | (uint64_t)(base & 0xffffff) << 16 |
	       (limit & 0xffff);
}

/* The tables of one processor, and fs with its KPCR. */
void traps_load(struct cpu *cpu)
{
	uint64_t *gdt = gdts[cpu->number];
	struct table_register g = {sizeof(gdts[0]) - 1, (uint32_t)gdt};
	struct table_register i = {sizeof(idt) - 1, (uint32_t)idt};
	uint32_t *t = tss[cpu->number];

	copy(gdt, boot_gdt, sizeof(gdts[0]));
	t[1] = (uint32_t)cpu_stacks + STACK_BYTES * cpu->number + STACK_BYTES / 4;
	t[2] = SEL_DATA;
	gdt[SEL_TSS / 8] = descriptor((uint32_t)t, TSS_BYTES - 1, 0x0089);
	gdt[SEL_PCR / 8] = descriptor((uint32_t)cpu->pcr, 1, 0xc093);
	gdt[SEL_USER_PCR / 8] = descriptor((uint32_t)cpu->pcr, 1, 0xc0f3);
	gdt[SEL_CODE16 / 8] = descriptor(KSEG0 + SITES_PA, 0xffff, 0x009b);
	__asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %w2\n\tmovw %w3, %%fs"
			 :
			 : "m"(g), "m"(i), "r"(SEL_TSS), "r"(SEL_PCR)
			 : "memory");
}
