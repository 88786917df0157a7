/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What firmware's tables are written with: little-endian fields, and sums that come to 0. */
#ifndef BOOT_TABLE_H
#define BOOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

static inline void put_le(uint8_t *p, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* The byte that, in a place that is 0 now, makes the sum of n bytes 0. */
static inline uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

#endif
