/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of raw disks begin with: a folder and a buffer of their own for each. */
#ifndef BLOCK_FIXTURE_H
#define BLOCK_FIXTURE_H

#include "block_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB      1024ull
#define MIB      (1024ull * KIB)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *buffer; /* 1 MiB, page aligned */

static inline int setup(void **state)
{
	struct block_rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	if (!buffer)
		buffer = aligned_alloc(4096, MIB);
	memset(buffer, 0, MIB);
	*state = rig;
	return 0;
}

static inline int teardown(void **state)
{
	rig_destroy(*state);
	free(*state);
	return 0;
}

static inline void open_raw(struct block_rig *rig, struct block_params p)
{
	p.image.path = rig_path(rig, "disk");
	rig_open(rig, &p);
}

static inline void fill(char *at, uint64_t n, char value)
{
	memset(at, value, n);
}

static inline void assert_filled(const char *at, uint64_t n, char value)
{
	for (uint64_t i = 0; i < n; i++) {
		if (at[i] != value)
			fail_msg("byte %llu is %#x, not %#x", (unsigned long long)i,
				 (unsigned char)at[i], (unsigned char)value);
	}
}

/* Of a sector that rig_make_file() wrote. */
static inline uint64_t sector_seed(const char *at)
{
	uint64_t seed;

	memcpy(&seed, at, sizeof(seed));
	return seed;
}

#endif
