/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ticks: the bookkeeping of a periodic interrupt whose acknowledgement may come late.
 *
 * Ticks lie on a fixed grid of time. Those that could not be given in time are owed, and given
 * later at twice the rate; at most a quarter of a second's worth is owed, so that a pause is not
 * followed by a storm. Guarded by its owner's lock.
 */
#ifndef PLATFORM_TICKS_H
#define PLATFORM_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#define TICKS_HZ 32768u /* of the crystal */

struct ticks {
	uint32_t cycles;  /* of the crystal, a tick; 0 while off */
	uint64_t base_ns; /* tick n is n ticks later */
	uint64_t seen;    /* ticks up to this one are counted */
	uint32_t owed;
	uint64_t pace_ns; /* none is given before */
};

void ticks_restart(struct ticks *t, uint32_t cycles, uint64_t now_ns);

/* True when the grid passed a tick since the last look. None is owed after it. */
bool ticks_poll(struct ticks *t, uint64_t now_ns);

/* Counts what has passed; true when one is to be given now, which `ready` allows. */
bool ticks_give(struct ticks *t, uint64_t now_ns, bool ready);

/* When ticks_give() may next be true; UINT64_MAX while off. */
uint64_t ticks_due_ns(const struct ticks *t);

#endif
