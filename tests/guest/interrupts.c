// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts by the two 8259A or the I/O APIC, and what interrupts: the PIT, the RTC, the power
 * button, COM1.
 *
 * Intel 8259A, 8254, 82093AA and 82371AB data sheets; Motorola MC146818A. Each word waits in hlt,
 * so an interrupt that never comes shows as a guest that never ends.
 */
#include "probe.h"

#define PIC1            0x20
#define PIC2            0xa0
#define PIC_EOI         0x20
#define PIC_VECTORS     0x20  /* vectors of IRQ 0 to 15 */
#define ELCR2           0x4d1 /* level or edge of IRQ 8 to 15 */
#define PIT_CHANNEL0    0x40
#define PIT_CONTROL     0x43
#define PIT_RATE        0x34 /* channel 0, two bytes, mode 2 */
#define PIT_1KHZ        1193
#define IRQ_PIT         0
#define IOAPIC_TIMER    2 /* its input, as ACPI's source override says */
#define IOAPIC_ENTRY(n) (0x10 + 2 * (n))
#define IOAPIC_MASKED   0x10000
#define APIC_EOI        0xb0
#define APIC_SPURIOUS   0xf0
#define APIC_ENABLED    0x1ff
#define APIC_LINT0      0x350
#define APIC_MASKED     0x10000
#define RTC_A           0x0a
#define RTC_B           0x0b
#define RTC_C           0x0c
#define RTC_ALARM_ANY   0xff
#define RTC_A_1024HZ    0x26
#define RTC_B_24HOUR    0x02
#define RTC_B_ALARM     0x20
#define RTC_B_PERIODIC  0x40
#define RTC_COUNT_BYTE  0x50 /* battery-backed memory that nothing else uses */
#define UART_IER_DATA   0x01
#define UART_MCR_OUT2   0x08
#define INTERRUPT_COUNT 20
#define SELECTOR_CODE   0x08
#define GATE_INTERRUPT  0x8e00

struct gate {
	uint16_t offset_low, selector, type, offset_high;
};

extern const uint32_t exception_stubs[32], interrupt_stubs[16];

static struct gate idt[256] __attribute__((aligned(8)));
static void (*handlers[16])(void);
static volatile uint32_t interrupts;
static volatile bool button_seen;
static volatile bool text_over;

static void set_gate(unsigned vector, uint32_t offset)
{
	idt[vector] = (struct gate){
	    .offset_low = offset & 0xffff,
	    .selector = SELECTOR_CODE,
	    .type = GATE_INTERRUPT,
	    .offset_high = (uint16_t)(offset >> 16),
	};
}

/* The error code, where there is one, comes before eip. */
void exception_report(uint32_t vector, const uint32_t *stack)
{
	bool has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;

	put("probe: exception ");
	put_number(vector);
	put(" at 0x");
	put_hex(stack[has_code], 8);
	put("\n");
}

void interrupts_init(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint32_t)idt};
	static const uint8_t words[][2] = {
	    {PIC1, 0x11},
	    {PIC2, 0x11},
	    {PIC1 + 1, PIC_VECTORS},
	    {PIC2 + 1, PIC_VECTORS + 8},
	    {PIC1 + 1, 0x04},
	    {PIC2 + 1, 0x02},
	    {PIC1 + 1, 0x01},
	    {PIC2 + 1, 0x01},
	    {PIC1 + 1, 0xfb},
	    {PIC2 + 1, 0xff},
	};

	for (unsigned i = 0; i < 32; i++)
		set_gate(i, exception_stubs[i]);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		out8(words[i][0], words[i][1]);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static void enable(unsigned irq, void (*handler)(void))
{
	uint16_t mask = irq < 8 ? PIC1 + 1 : PIC2 + 1;

	handlers[irq] = handler;
	set_gate(PIC_VECTORS + irq, interrupt_stubs[irq]);
	out8(mask, in8(mask) & (uint8_t) ~(1u << irq % 8));
}

void interrupt_dispatch(unsigned irq)
{
	handlers[irq]();
	if (irq >= 8)
		out8(PIC2, PIC_EOI);
	out8(PIC1, PIC_EOI);
}

/* sti takes effect after hlt has begun, so nothing is missed in between. */
static void wait_for_interrupt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void count_interrupts(const char *name)
{
	while (interrupts < INTERRUPT_COUNT)
		wait_for_interrupt();
	put(name);
	put(": ");
	put_number(interrupts);
	put(" interrupts\n");
}

static uint8_t rtc_read(uint8_t index)
{
	out8(LAYOUT_PORT_RTC, index);
	return in8(LAYOUT_PORT_RTC + 1);
}

static void rtc_write(uint8_t index, uint8_t value)
{
	out8(LAYOUT_PORT_RTC, index);
	out8(LAYOUT_PORT_RTC + 1, value);
}

static void pit_interrupt(void)
{
	interrupts++;
}

void word_pit(const char *argument)
{
	(void)argument;
	interrupts = 0;
	out8(PIT_CONTROL, PIT_RATE);
	out8(PIT_CHANNEL0, PIT_1KHZ & 0xff);
	out8(PIT_CHANNEL0, PIT_1KHZ >> 8);
	enable(IRQ_PIT, pit_interrupt);
	count_interrupts("pit");
}

static void ioapic_write(unsigned index, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)LAYOUT_IOAPIC = index;
	*(volatile uint32_t *)(uintptr_t)(LAYOUT_IOAPIC + 0x10) = value;
}

static void apic_write(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(LAYOUT_LOCAL_APIC + offset) = value;
}

static void ioapic_interrupt(void)
{
	interrupts++;
	apic_write(APIC_EOI, 0);
}

/* The PIT by input 2 of the I/O APIC alone: the PIC cannot reach the processor. */
void word_pit_ioapic(const char *argument)
{
	(void)argument;
	interrupts = 0;
	apic_write(APIC_LINT0, APIC_MASKED);
	apic_write(APIC_SPURIOUS, APIC_ENABLED);
	handlers[IRQ_PIT] = ioapic_interrupt;
	set_gate(PIC_VECTORS + IRQ_PIT, interrupt_stubs[IRQ_PIT]);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER) + 1, 0);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), PIC_VECTORS + IRQ_PIT);
	out8(PIT_CONTROL, PIT_RATE);
	out8(PIT_CHANNEL0, PIT_1KHZ & 0xff);
	out8(PIT_CHANNEL0, PIT_1KHZ >> 8);
	count_interrupts("pit-ioapic");
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_MASKED);
}

static void rtc_interrupt(void)
{
	interrupts++;
	rtc_read(RTC_C);
}

void word_rtc(const char *argument)
{
	(void)argument;
	interrupts = 0;
	rtc_write(RTC_A, RTC_A_1024HZ);
	rtc_write(RTC_B, RTC_B_24HOUR | RTC_B_PERIODIC);
	rtc_read(RTC_C);
	enable(LAYOUT_GSI_RTC, rtc_interrupt);
	count_interrupts("rtc");
	rtc_write(RTC_B, RTC_B_24HOUR);
	rtc_read(RTC_C);
}

/* An alarm whose hours, minutes and seconds all match anything comes with the next second. */
void word_rtc_alarm(const char *argument)
{
	(void)argument;
	interrupts = 0;
	rtc_write(1, RTC_ALARM_ANY);
	rtc_write(3, RTC_ALARM_ANY);
	rtc_write(5, RTC_ALARM_ANY);
	rtc_write(RTC_B, RTC_B_24HOUR | RTC_B_ALARM);
	rtc_read(RTC_C);
	enable(LAYOUT_GSI_RTC, rtc_interrupt);
	while (!interrupts)
		wait_for_interrupt();
	rtc_write(RTC_B, RTC_B_24HOUR);
	put_line("rtc-alarm: it rang");
}

static void button_interrupt(void)
{
	if (in16(PM_STATUS) & PM_BUTTON) {
		out16(PM_STATUS, PM_BUTTON);
		button_seen = true;
	}
}

void word_button(const char *argument)
{
	(void)argument;
	out16(PM_STATUS, PM_BUTTON);
	out16(PM_ENABLE, PM_BUTTON);
	out16(PM_CONTROL, in16(PM_CONTROL) | PM_SCI_EN);
	out8(ELCR2, in8(ELCR2) | 1u << (LAYOUT_GSI_SCI - 8));
	enable(LAYOUT_GSI_SCI, button_interrupt);
	put_line("waiting for the button");
	while (!button_seen)
		wait_for_interrupt();
	put_line("the button was pressed");
}

static void com1_interrupt(void)
{
	char c;

	while (get_char(&c)) {
		put_char(c);
		text_over = text_over || c == 'q';
	}
}

/* Echoes until a q, asleep in between. */
void word_echo_irq(const char *argument)
{
	(void)argument;
	enable(LAYOUT_GSI_COM1, com1_interrupt);
	out8(UART_FCR, UART_FCR_ENABLE);
	out8(UART_MCR, UART_MCR_OUT2 | UART_MCR_LISTEN);
	out8(UART_IER, UART_IER_DATA);
	put_line("echoing");
	while (!text_over)
		wait_for_interrupt();
	out8(UART_IER, 0);
	put_line("");
}

/* Reboots until the battery-backed memory has counted that often. */
void word_reboot_count(const char *argument)
{
	uint8_t count = rtc_read(RTC_COUNT_BYTE);

	if (count < text_number(argument)) {
		rtc_write(RTC_COUNT_BYTE, count + 1);
		out8(LAYOUT_PORT_KBD_STATUS, 0xfe);
		for (;;)
			halt();
	}
	rtc_write(RTC_COUNT_BYTE, 0);
	put("rebooted ");
	put_number(count);
	put(" times\n");
}
