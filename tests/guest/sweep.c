// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is there and what is not: every port at every size, PCI bus 0, memory where nobody is, all
 * memory of a size, all processors, and what the boot loader said.
 */
#include "probe.h"

#define PCI_ADDRESS     LAYOUT_PORT_PCI_CONFIG
#define PCI_DATA        (LAYOUT_PORT_PCI_CONFIG + 4)
#define HOLE            0xd0000000u
#define MIB             0x100000u
#define APIC_ICR        (LAYOUT_LOCAL_APIC + 0x300)
#define APIC_SVR        (LAYOUT_LOCAL_APIC + 0xf0)
#define ICR_PENDING     0x00001000u
#define ICR_INIT_OTHERS 0x000c4500u /* all excluding self, assert, INIT */
#define ICR_SIPI_OTHERS 0x000c4600u
#define TRAMPOLINE      0x8000u
#define AP_WAIT_MS      60000u
#define TOUCH_START     (16 * MIB)
#define TOUCH_STEP      4096u

/* Writes there would end the run, garble the output, or move what the rest of it needs. */
static const struct {
	uint16_t first, last;
} not_written[] = {
    {LAYOUT_PORT_KBD_DATA, LAYOUT_PORT_KBD_STATUS},
    {LAYOUT_PORT_RTC, LAYOUT_PORT_RTC + 1},
    {LAYOUT_PORT_SYSCTL, LAYOUT_PORT_SYSCTL},
    {EXIT_PORT, EXIT_PORT},
    {LAYOUT_PORT_COM2, LAYOUT_PORT_COM2 + 7},
    {LAYOUT_PORT_COM1, LAYOUT_PORT_COM1 + 7},
    {LAYOUT_PORT_PVPANIC, LAYOUT_PORT_PVPANIC},
    {LAYOUT_PORT_PM, LAYOUT_PORT_PM + 0x3f},
    {LAYOUT_PORT_PCI_CONFIG, LAYOUT_PORT_PCI_CONFIG + 7},
};

/* Nobody is there on any machine that the probe runs on. */
static const uint16_t empty_ports[] = {0x100, 0x2e8, 0x5f0, 0x1234, 0x8000, 0xfffc};

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern volatile uint32_t ap_count;
extern volatile uint32_t ap_floods;
volatile uint32_t ap_floods;
volatile uint32_t ap_count;

static uint32_t in_sized(uint32_t port, unsigned size)
{
	return size == 1   ? in8((uint16_t)port)
	       : size == 2 ? in16((uint16_t)port)
			   : in32((uint16_t)port);
}

static void out_sized(uint32_t port, unsigned size, uint32_t value)
{
	if (size == 1)
		out8((uint16_t)port, (uint8_t)value);
	else if (size == 2)
		out16((uint16_t)port, (uint16_t)value);
	else
		out32((uint16_t)port, value);
}

static uint32_t all_ones(unsigned size)
{
	return size == 4 ? 0xffffffffu : (1u << 8 * size) - 1;
}

static bool may_write(uint32_t port, unsigned size)
{
	for (unsigned i = 0; i < sizeof(not_written) / sizeof(not_written[0]); i++) {
		if (port <= not_written[i].last && port + size > not_written[i].first)
			return false;
	}
	return true;
}

static void report(const char *what, uint32_t count)
{
	put(what);
	put_number(count);
	put("\n");
}

static unsigned empty_ports_answering(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof(empty_ports) / sizeof(empty_ports[0]); i++) {
		for (unsigned size = 1; size <= 4; size *= 2)
			wrong += in_sized(empty_ports[i], size) != all_ones(size);
	}
	return wrong;
}

void word_ports(const char *argument)
{
	uint32_t answering[5] = {0}, written = 0;

	(void)argument;
	for (unsigned size = 1; size <= 4; size *= 2) {
		for (uint32_t port = 0; port <= 0xffff; port++)
			answering[size] += in_sized(port, size) != all_ones(size);
	}
	report("ports: bytes answering: ", answering[1]);
	for (uint32_t port = 0; port <= 0xffff; port += port < 0x1000 ? 1 : 61) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			if (may_write(port, size)) {
				out_sized(port, size, 0xffffffff);
				out_sized(port, size, 0);
				written++;
			}
		}
	}
	interrupts_init(); /* the PICs were written too */
	report("ports: written: ", written);
	report("ports: empty and answering: ", empty_ports_answering());
}

static uint32_t pci_read(unsigned devfn, unsigned offset)
{
	out32(PCI_ADDRESS, 0x80000000u | devfn << 8 | offset);
	return in32(PCI_DATA);
}

void word_pci(const char *argument)
{
	(void)argument;
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		uint32_t id = pci_read(devfn, 0);

		if (id == 0xffffffff)
			continue;
		put("pci 00:");
		put_hex(devfn >> 3, 2);
		put(".");
		put_number(devfn & 7);
		put(" ");
		put_hex(id & 0xffff, 4);
		put(":");
		put_hex(id >> 16, 4);
		put(" class ");
		put_hex(pci_read(devfn, 8) >> 8, 6);
		put("\n");
	}
}

/* Reads all ones at every size, also after a write. */
static bool is_empty_at(uint32_t address)
{
	volatile uint8_t *p8 = (volatile uint8_t *)address;
	volatile uint16_t *p16 = (volatile uint16_t *)address;
	volatile uint32_t *p32 = (volatile uint32_t *)address;

	*p8 = 0x12;
	*p16 = 0x1234;
	*p32 = 0x12345678;
	return *p8 == 0xff && *p16 == 0xffff && *p32 == 0xffffffff;
}

void word_memory(const char *argument)
{
	static const struct {
		const char *name;
		uint32_t address;
	} places[] = {
	    {"PCI hole", HOLE},
	    {"PCI hole, across a page", HOLE + 0xffe},
	    {"VGA window", 0xa0000},
	    {"below the I/O APIC", 0xfebffff0},
	};

	(void)argument;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		put("memory: ");
		put(places[i].name);
		put_line(is_empty_at(places[i].address) ? ": empty" : ": answers");
	}
}

/* Writes to each page of so many MiB, from 16 MiB on. */
void word_touch(const char *argument)
{
	uint32_t size = text_number(argument) * MIB;

	for (uint32_t at = TOUCH_START; at < TOUCH_START + size; at += TOUCH_STEP)
		*(volatile uint8_t *)at = 1;
	report("touched MiB: ", size / MIB);
}

static void send_to_others(uint32_t command)
{
	volatile uint32_t *icr = (volatile uint32_t *)(uint32_t)APIC_ICR;

	*icr = command;
	while (*icr & ICR_PENDING)
		;
}

/* Starts all other processors; the argument is how many there are in all. */
void word_smp(const char *argument)
{
	uint32_t expected = text_number(argument);
	volatile uint32_t *svr = (volatile uint32_t *)(uint32_t)APIC_SVR;

	*svr |= 0x100;
	for (uint32_t i = 0; &ap_trampoline[i] < ap_trampoline_end; i++)
		((volatile uint8_t *)TRAMPOLINE)[i] = ap_trampoline[i];
	send_to_others(ICR_INIT_OTHERS);
	wait_ms(10);
	send_to_others(ICR_SIPI_OTHERS | TRAMPOLINE >> 12);
	wait_ms(10);
	if (ap_count + 1 < expected)
		send_to_others(ICR_SIPI_OTHERS | TRAMPOLINE >> 12);
	for (uint32_t ms = 0; ap_count + 1 < expected && ms < AP_WAIT_MS; ms += 10)
		wait_ms(10);
	report("processors: ", ap_count + 1);
}

/* The same, and the others write to COM1 without end. */
void word_smp_flood(const char *argument)
{
	ap_floods = 1;
	word_smp(argument);
}
