/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small 32-bit kernel that uses the task priority register as Windows XP's HAL does: linked at
 * 0x80000000 and up, the APIC at FFFE0000, a KPCR in fs, its own page tables (2-level or PAE), one
 * or several processors. What it does is a list of cases on its command line; their results go to
 * COM1, a line each:
 *
 *     ok NAME            not ok NAME: REASON            value NAME NUMBER            done
 */
#ifndef TPR_GUEST_H
#define TPR_GUEST_H

#include "../probe.h"
#include "layout.h"

#include <stddef.h>

#define FLAG_CF       0x001u
#define FLAG_FIXED    0x002u
#define FLAG_IF       0x200u
#define FLAG_DF       0x400u
#define FLAGS_STATUS  0x8d5u /* OF SF ZF AF PF CF */
#define FLAGS_CHECKED (FLAGS_STATUS | FLAG_DF | FLAG_IF)

#define PTE_P         0x001u
#define PTE_W         0x002u
#define PTE_U         0x004u
#define PTE_PCD       0x010u
#define PTE_G         0x100u
#define PTE_NX        (1ull << 63)
#define PTE_RAM       (PTE_P | PTE_W)
#define PAGE          4096u

#define APIC_ID       0x020u
#define APIC_EOI      0x0b0u
#define APIC_SPURIOUS 0x0f0u
#define APIC_ISR      0x100u
#define APIC_IRR      0x200u
#define APIC_ICR      0x300u
#define APIC_ICR_HIGH 0x310u
#define APIC_TIMER    0x320u
#define APIC_LINT0    0x350u
#define APIC_COUNT    0x380u
#define APIC_DIVIDE   0x3e0u

/* How the monitor patches: from the command line, "patch=". */
enum patching { PATCH_OFF, PATCH_ON, PATCH_QEMU };

struct settings {
	bool pae, nx, reverse; /* reverse: further processors start from the last one down */
	enum patching patch;
	uint32_t cpus, count, work, seed;
};

struct cpu;
typedef void handler(struct cpu *cpu, unsigned vector);
typedef void cpu_work(uint32_t argument);

struct cpu {
	uint32_t number, apic_id;
	uint8_t *pcr;
	volatile bool ready;
	cpu_work *volatile work;
	uint32_t argument;
	uint32_t expected;         /* exceptions that end a site's run, a bit each */
	volatile uint32_t trapped; /* the last of them, plus 1 */
	uint32_t fault_address;
	volatile uint32_t received[256];
	volatile uint32_t order[16], order_count; /* the vectors of isr_note(), in order */
};

/* In the order of the processor's encoding. */
enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
struct registers {
	uint32_t gpr[8], flags;
};

extern struct settings settings;
extern struct cpu cpus[CPU_MAX];

struct cpu *this_cpu(void);

/* kernel.c: results */
void fail(const char *reason, uint32_t value);
void fail2(const char *reason, uint32_t a, uint32_t b);
void value(const char *name, uint64_t number);
uint32_t failures(void);
#define CHECK(good, reason, value)                                                                 \
	do {                                                                                       \
		if (!(good))                                                                       \
			fail(reason, value);                                                       \
	} while (0)
#define CHECK_EQUAL(is, wanted, reason)                                                            \
	do {                                                                                       \
		uint32_t is_ = (is), wanted_ = (wanted);                                           \
		if (is_ != wanted_)                                                                \
			fail2(reason, is_, wanted_);                                               \
	} while (0)
uint32_t random_number(uint32_t *state);
void copy(void *to, const void *from, uint32_t bytes);
bool same(const void *a, const void *b, uint32_t bytes);

/* paging.c */
void paging_init(void);
void paging_for(uint32_t number);           /* tables for the next processor that starts */
void page_set(uint32_t va, uint64_t entry); /* and the translation of this processor flushed */
uint64_t page_get(uint32_t va);
void page_flush(uint32_t va);
uint32_t physical(const void *p); /* of the kernel's own memory */

/* traps.c */
void traps_init(void);
void traps_load(struct cpu *cpu);
void on_interrupt(unsigned vector, handler *h);
void on_interrupt_raw(unsigned vector, void (*stub)(void), bool user);
/*
 * Turns interrupts on and halts; on when it returns. An interrupt may only come once the processor
 * halts (Intel SDM volume 2, STI). One that comes between the two is counted and HLT left out, or
 * its processor would sleep for good: QEMU's SVM does not load the interrupt shadow in VMRUN.
 */
void await_interrupt(void);
extern uint32_t halts_cut_short;
void isr_note(struct cpu *cpu, unsigned vector); /* the handler of vectors that have no other */

/* apic.c */
static inline uint32_t apic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(APIC + reg);
}
static inline void apic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(APIC + reg) = value;
}
/* Through a register, so that nobody can patch it. */
uint32_t tpr_read_plain(void);
void tpr_write_plain(uint32_t value);
void apic_init(void);
void apic_eoi(void);
void apic_timer(uint32_t vector, uint32_t count, bool periodic); /* count 0: off */
void ipi(uint32_t apic_id, unsigned vector);
void ipi_self(unsigned vector);
void ipi_init(uint32_t apic_id);
void ipi_start(uint32_t apic_id, uint32_t address);
bool apic_requested(unsigned vector); /* in IRR */
void ioapic_route(unsigned gsi, unsigned vector, uint32_t apic_id);
void pit_start(uint32_t hz, unsigned vector); /* 0: off */
uint64_t tsc(void);
static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}
/* Gives an interrupt the time to come that needs no exit: a few instructions. */
void settle(void);
/* Waits for *counter to reach wanted, without an exit of its own; false: it took far too long. */
bool wait_for(volatile uint32_t *counter, uint32_t wanted);

/* smp.c */
void cpus_init(void);
void cpu_start(uint32_t number);
void cpu_start_with_rom(uint32_t number, uint16_t segment, uint16_t offset);
void cpu_stop(uint32_t number);                                    /* INIT */
void cpu_call(uint32_t number, cpu_work *work, uint32_t argument); /* returns at once */
void cpu_wait(uint32_t number);
void barrier(volatile uint32_t *at, uint32_t count);

/* virtio.c */
bool host_messages_init(void); /* false: there is no virtio-rng */
/* The vector comes to the first processor, soon; the one before must have come. */
void host_message(unsigned vector);

/* hal.S; levels in ecx, as XP's fastcalls have them */
uint8_t hal_raise(uint8_t level) __attribute__((fastcall));
void hal_lower(uint8_t level) __attribute__((fastcall));
uint8_t hal_raise_to_dpc(void);
uint8_t hal_level(void);
uint8_t hal_lock(uint32_t *lock) __attribute__((fastcall));
void hal_unlock(uint32_t *lock, uint8_t level) __attribute__((fastcall));
extern const uint8_t irql_to_tpr[32], tpr_to_irql[16];
extern const uint8_t hal_lower_write[];

/* cases_*.c: each has a table; kernel.c knows the tables */
struct named_case {
	const char *name;
	void (*run)(void);
	uint32_t cpus; /* at least; with fewer the case is left out of its group */
};
extern const struct named_case form_cases[], place_cases[], deliver_cases[], smp_cases[],
    hostile_cases[], rom_cases[], life_cases[], load_cases[], stress_cases[];

#endif
