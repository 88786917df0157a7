/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The probe: a guest that does what its command line says and talks over COM1.
 *
 * Freestanding 32-bit code, loaded by the multiboot protocol, flat protected mode without paging,
 * general registers only: what every kind of KVM runs, also one that emulates most of it.
 */
#ifndef GUEST_PROBE_H
#define GUEST_PROBE_H

#include "machine/layout.h"

#include <stdbool.h>
#include <stdint.h>

/* 82371AB power management at LAYOUT_PORT_PM. */
#define PM_STATUS    (LAYOUT_PORT_PM + 0x00)
#define PM_ENABLE    (LAYOUT_PORT_PM + 0x02)
#define PM_CONTROL   (LAYOUT_PORT_PM + 0x04)
#define PM_TIMER     (LAYOUT_PORT_PM + 0x08)
#define PM_BUTTON    0x0100
#define PM_SCI_EN    0x0001
#define PM_SLEEP_S5  0x2000 /* SUS_EN, SUS_TYP 0 */
#define PM_TIMER_KHZ 3580u
/* 16550 at COM1; what is received waits until DTR and RTS say that somebody listens. */
#define UART_IER        (LAYOUT_PORT_COM1 + 1)
#define UART_FCR        (LAYOUT_PORT_COM1 + 2)
#define UART_MCR        (LAYOUT_PORT_COM1 + 4)
#define UART_FCR_ENABLE 0x01
#define UART_MCR_LISTEN 0x03
#define EXIT_PORT       0xf4

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* One instruction for many bytes, as drivers of FIFOs do it. */
static inline void out8_string(uint16_t port, const char *bytes, uint32_t count)
{
	__asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

static inline void halt(void)
{
	__asm__ volatile("hlt" : : : "memory");
}

/* text.c: COM1 */
void put_char(char c); /* waits for room in the transmitter */
void put(const char *text);
void put_line(const char *text);
void put_number(uint64_t value);
void put_hex(uint32_t value, unsigned digits);
bool get_char(char *c); /* false: nothing was received */

bool text_equals(const char *a, const char *b);
uint32_t text_length(const char *text);
uint32_t text_number(const char *text); /* decimal or 0x; stops at what is no digit */

/* interrupts.c */
void interrupts_init(void);
void interrupt_dispatch(unsigned irq); /* called by start.S */
void exception_report(uint32_t vector, const uint32_t *stack);

/* The words. argument is what follows, "" if nothing does. */
void word_pit(const char *argument);
void word_pit_ioapic(const char *argument);
void word_rtc(const char *argument);
void word_rtc_alarm(const char *argument);
void word_button(const char *argument);
void word_echo_irq(const char *argument);
void word_reboot_count(const char *argument);
void word_ports(const char *argument);
void word_pci(const char *argument);
void word_disk_write(const char *argument); /* disk.c */
void word_disk_once(const char *argument);
void word_memory(const char *argument);
void word_touch(const char *argument);
void word_smp(const char *argument);
void word_smp_flood(const char *argument);
void word_info(const char *argument);

/* By the power management timer. */
void wait_ms(uint32_t ms);
void power_off(void) __attribute__((noreturn));

/* probe.c: what the boot loader left */
extern uint32_t boot_magic, boot_information;

#endif
