// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC, the I/O APIC and the PIT of the TPR guest. Intel SDM volume 3, chapter 11. */
#include "guest.h"

#define SPURIOUS_ON     0x100u
#define ICR_BUSY        0x1000u
#define ICR_ASSERT      0x4000u
#define ICR_SELF        0x40000u
#define ICR_INIT        0x500u
#define ICR_STARTUP     0x600u
#define TIMER_PERIODIC  0x20000u
#define MASKED          0x10000u
#define DIVIDE_BY_1     0xbu
#define PIT_HZ          1193182u
#define SETTLE_TURNS    200u
#define WAIT_TURNS      3000000000u
#define TSC_WAIT        20000000000ull
#define IOAPIC_SELECT   (*(volatile uint32_t *)IOAPIC)
#define IOAPIC_DATA     (*(volatile uint32_t *)(IOAPIC + 0x10))
#define IOAPIC_REDIRECT 0x10u

uint32_t tpr_read_plain(void)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(TPR) : "memory");
	return value;
}

void tpr_write_plain(uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(TPR) : "memory");
}

void apic_init(void)
{
	tpr_write_plain(0);
	apic_write(APIC_LINT0, MASKED);
	apic_write(APIC_TIMER, MASKED);
	apic_write(APIC_SPURIOUS, SPURIOUS_ON | VECTOR_SPURIOUS);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_timer(uint32_t vector, uint32_t count, bool periodic)
{
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER, count ? vector | (periodic ? TIMER_PERIODIC : 0) : MASKED);
	apic_write(APIC_COUNT, count);
}

static void icr(uint32_t apic_id, uint32_t low)
{
	while (apic_read(APIC_ICR) & ICR_BUSY)
		;
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR, low);
}

/* With interrupts off: a handler that sends too would come between the two halves. */
static void icr_safe(uint32_t apic_id, uint32_t low)
{
	uint32_t flags;

	__asm__ volatile("pushfl; popl %0; cli" : "=r"(flags) : : "memory");
	icr(apic_id, low);
	__asm__ volatile("pushl %0; popfl" : : "r"(flags) : "memory", "cc");
}

void ipi(uint32_t apic_id, unsigned vector)
{
	icr_safe(apic_id, ICR_ASSERT | vector);
}

void ipi_self(unsigned vector)
{
	icr_safe(0, ICR_SELF | ICR_ASSERT | vector);
}

void ipi_init(uint32_t apic_id)
{
	icr_safe(apic_id, ICR_ASSERT | ICR_INIT);
}

void ipi_start(uint32_t apic_id, uint32_t address)
{
	icr_safe(apic_id, ICR_ASSERT | ICR_STARTUP | address >> 12);
}

bool apic_requested(unsigned vector)
{
	return apic_read(APIC_IRR + (vector / 32) * 16) >> vector % 32 & 1;
}

void ioapic_route(unsigned gsi, unsigned vector, uint32_t apic_id)
{
	IOAPIC_SELECT = IOAPIC_REDIRECT + 2 * gsi + 1;
	IOAPIC_DATA = apic_id << 24;
	IOAPIC_SELECT = IOAPIC_REDIRECT + 2 * gsi;
	IOAPIC_DATA = vector ? vector : MASKED;
}

void pit_start(uint32_t hz, unsigned vector)
{
	uint32_t divisor = hz ? PIT_HZ / hz : 0;

	/* Input 2 on a PC; 0 where KVM's own routing is left as it is. */
	ioapic_route(0, hz ? vector : 0, cpus[0].apic_id);
	ioapic_route(2, hz ? vector : 0, cpus[0].apic_id);
	if (!hz)
		return;
	out8(0x43, 0x34); /* counter 0, both bytes, rate generator */
	out8(0x40, (uint8_t)divisor);
	out8(0x40, (uint8_t)(divisor >> 8));
}

uint64_t tsc(void)
{
	uint64_t value;

	__asm__ volatile("rdtsc" : "=A"(value) : : "memory");
	return value;
}

void settle(void)
{
	for (uint32_t i = 0; i < SETTLE_TURNS; i++)
		__asm__ volatile("nop");
}

bool wait_for(volatile uint32_t *counter, uint32_t wanted)
{
	uint64_t end = tsc() + TSC_WAIT;

	for (uint32_t i = 0; *counter < wanted && i < WAIT_TURNS; i++) {
		__asm__ volatile("pause" : : : "memory");
		if (i % 1024 == 0 && tsc() > end)
			break;
	}
	return *counter >= wanted;
}
