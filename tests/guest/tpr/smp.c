// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processors: how they start (Intel SDM volume 3, 9.4.4: INIT, then a start-up message), their
 * KPCRs, and work given to them. A processor without work halts until VECTOR_IPI.
 */
#include "guest.h"

#define PCR_BYTES   4096
#define START_TURNS 40
#define START_TSC   500000000ull

struct cpu cpus[CPU_MAX];

extern uint8_t cpu_stacks[], ap_trampoline[], ap_trampoline_end[], ap_rom[];
extern uint32_t ap_stack;
extern const uint32_t site_exit[4];
static uint8_t pcrs[CPU_MAX][PCR_BYTES] __attribute__((aligned(4096)));
static volatile uint32_t starting;

void ap_main(void);

static void pcr_init(struct cpu *cpu)
{
	cpu->pcr = (uint8_t *)(cpu->number ? WINDOW + 0x300000 + PAGE * cpu->number : FIRST_PCR);
	page_set((uint32_t)cpu->pcr, physical(pcrs[cpu->number]) | PTE_RAM | PTE_G);
	*(uint32_t *)(cpu->pcr + PCR_SELF) = (uint32_t)cpu->pcr;
	*(uint32_t *)(cpu->pcr + PCR_EXIT) = cpu->number < 4 ? site_exit[cpu->number] : 0;
	cpu->pcr[PCR_NUMBER] = (uint8_t)cpu->number;
}

static void isr_wake(struct cpu *cpu, unsigned vector)
{
	(void)cpu;
	(void)vector;
	apic_eoi();
}

/* Never returns; interrupts are on while there is no work, and the TPR is 0. */
void ap_main(void)
{
	struct cpu *cpu = &cpus[starting];

	traps_load(cpu);
	apic_init();
	cpu->apic_id = apic_read(APIC_ID) >> 24;
	cpu->ready = true;
	for (;;) {
		interrupts_off();
		if (!cpu->work) {
			await_interrupt();
			continue;
		}
		cpu->work(cpu->argument);
		cpu->work = NULL;
	}
}

/* Which APIC a processor has: APIC IDs count from 0, and the first processor's is 0. */
static uint32_t apic_of(uint32_t number)
{
	return settings.reverse ? settings.cpus - number : number;
}

void cpu_start_with_rom(uint32_t number, uint16_t segment, uint16_t offset)
{
	struct cpu *cpu = &cpus[number];
	uint8_t *code = (uint8_t *)(KSEG0 + TRAMPOLINE);
	uint16_t rom[2] = {offset, segment};

	copy(code, ap_trampoline, (uint32_t)(ap_trampoline_end - ap_trampoline));
	copy(code + (ap_rom - ap_trampoline), rom, sizeof(rom));
	starting = number;
	ap_stack = (uint32_t)cpu_stacks + STACK_BYTES * (number + 1);
	cpu->number = number;
	cpu->apic_id = apic_of(number);
	cpu->ready = false;
	cpu->work = NULL;
	pcr_init(cpu);
	ipi_init(cpu->apic_id);
	wait_ms(1);
	paging_for(number); /* once it has stopped to use its old ones */
	/* Again after a while, as everybody does; it goes unheard when the first one did its work.
	 */
	for (uint32_t turn = 0; turn < START_TURNS && !cpu->ready; turn++) {
		ipi_start(cpu->apic_id, TRAMPOLINE);
		for (uint64_t end = tsc() + START_TSC; !cpu->ready && tsc() < end;)
			__asm__ volatile("pause" : : : "memory");
	}
	if (!cpu->ready) {
		fail("a processor does not start", number);
		put_line("done");
		out8(EXIT_PORT, 30);
	}
}

void cpu_start(uint32_t number)
{
	cpu_start_with_rom(number, 0, 0);
}

void cpu_stop(uint32_t number)
{
	cpus[number].ready = false;
	ipi_init(cpus[number].apic_id);
}

void cpu_call(uint32_t number, cpu_work *work, uint32_t argument)
{
	cpus[number].argument = argument;
	__atomic_store_n(&cpus[number].work, work, __ATOMIC_SEQ_CST);
	ipi(cpus[number].apic_id, VECTOR_IPI);
}

void cpu_wait(uint32_t number)
{
	while (cpus[number].work)
		__asm__ volatile("pause" : : : "memory");
}

void barrier(volatile uint32_t *at, uint32_t count)
{
	uint32_t mine = __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);

	while (*at < (mine / count + 1) * count)
		__asm__ volatile("pause" : : : "memory");
}

void cpus_init(void)
{
	pcr_init(&cpus[0]);
	traps_load(&cpus[0]);
	apic_init();
	cpus[0].apic_id = apic_read(APIC_ID) >> 24;
	on_interrupt(VECTOR_IPI, isr_wake);
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_start(n);
}
