/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An input of a fuzz target as a script of steps: numbers, and zeroes past its end. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include "must.h"

#include <stdbool.h>
#include <stdint.h>

struct script {
	const uint8_t *at, *end;
};

static inline uint8_t next8(struct script *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

static inline uint32_t next32(struct script *s)
{
	uint32_t value = next8(s);

	value |= (uint32_t)next8(s) << 8;
	value |= (uint32_t)next8(s) << 16;
	return value | (uint32_t)next8(s) << 24;
}

#endif
