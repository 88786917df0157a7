// SPDX-License-Identifier: GPL-2.0-or-later
/* What a freestanding program lacks: text, memory, COM1, and waiting. */
#include "probe.h"

#define LSR               (LAYOUT_PORT_COM1 + 5)
#define LSR_DATA_READY    0x01
#define LSR_TRANSMIT_FREE 0x20

void *memcpy(void *to, const void *from, __SIZE_TYPE__ size);
void *memset(void *to, int value, __SIZE_TYPE__ size);

void *memcpy(void *to, const void *from, __SIZE_TYPE__ size)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

void *memset(void *to, int value, __SIZE_TYPE__ size)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return start;
}

bool text_equals(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

uint32_t text_length(const char *text)
{
	uint32_t n = 0;

	while (text[n])
		n++;
	return n;
}

uint32_t text_number(const char *text)
{
	uint32_t base = 10, value = 0;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	for (;; text++) {
		uint32_t digit = *text >= '0' && *text <= '9'   ? (uint32_t)(*text - '0')
				 : *text >= 'a' && *text <= 'f' ? (uint32_t)(*text - 'a' + 10)
								: 99;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

void put_char(char c)
{
	while (!(in8(LSR) & LSR_TRANSMIT_FREE))
		;
	out8(LAYOUT_PORT_COM1, (uint8_t)c);
}

bool get_char(char *c)
{
	if (!(in8(LSR) & LSR_DATA_READY))
		return false;
	*c = (char)in8(LAYOUT_PORT_COM1);
	return true;
}

void put(const char *text)
{
	while (*text)
		put_char(*text++);
}

void put_line(const char *text)
{
	put(text);
	put("\n");
}

/* No 64-bit division in a freestanding 32-bit program: by decimal places. */
void put_number(uint64_t value)
{
	char digit[20];
	unsigned count = 0;

	do {
		uint64_t tenth = 0, rest = value;

		for (int bit = 60; bit >= 0; bit--) {
			if (rest >> bit >= 10) {
				rest -= 10ull << bit;
				tenth |= 1ull << bit;
			}
		}
		digit[count++] = (char)('0' + (char)rest);
		value = tenth;
	} while (value);
	while (count)
		put_char(digit[--count]);
}

void put_hex(uint32_t value, unsigned digits)
{
	while (digits--)
		put_char("0123456789abcdef"[value >> 4 * digits & 15]);
}

void wait_ms(uint32_t ms)
{
	for (; ms; ms--) {
		uint32_t start = in32(PM_TIMER);

		while (((in32(PM_TIMER) - start) & 0xffffff) < PM_TIMER_KHZ)
			;
	}
}

void power_off(void)
{
	for (;;) {
		out16(PM_CONTROL, PM_SLEEP_S5 | PM_SCI_EN);
		halt();
	}
}
