// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ticks: a grid of time in cycles of a 32768 Hz crystal. All divisions are by whole seconds first,
 * so that nothing overflows and no error adds up.
 */
#include "platform/ticks.h"

#include <lodge/clock.h>

void ticks_restart(struct ticks *t, uint32_t cycles, uint64_t now_ns)
{
	*t = (struct ticks){.cycles = cycles, .base_ns = now_ns};
}

static uint64_t fresh_ticks(struct ticks *t, uint64_t now_ns)
{
	uint64_t ns = now_ns - t->base_ns;
	uint64_t cycles = ns / NS_PER_S * TICKS_HZ + ns % NS_PER_S * TICKS_HZ / NS_PER_S;
	uint64_t fresh = cycles / t->cycles - t->seen;

	t->seen += fresh;
	return fresh;
}

bool ticks_poll(struct ticks *t, uint64_t now_ns)
{
	t->owed = 0;
	return t->cycles && fresh_ticks(t, now_ns);
}

bool ticks_give(struct ticks *t, uint64_t now_ns, bool ready)
{
	uint64_t owed, owed_max;

	if (!t->cycles)
		return false;
	owed = t->owed + fresh_ticks(t, now_ns);
	owed_max = t->cycles < TICKS_HZ / 4 ? TICKS_HZ / 4 / t->cycles : 1;
	t->owed = (uint32_t)(owed < owed_max ? owed : owed_max);
	if (!t->owed || !ready || now_ns < t->pace_ns)
		return false;
	t->owed--;
	t->pace_ns = now_ns + t->cycles * NS_PER_S / TICKS_HZ / 2;
	return true;
}

uint64_t ticks_due_ns(const struct ticks *t)
{
	uint64_t cycles = (t->seen + 1) * t->cycles;

	if (!t->cycles)
		return UINT64_MAX;
	if (t->owed)
		return t->pace_ns;
	return t->base_ns + cycles / TICKS_HZ * NS_PER_S +
	       (cycles % TICKS_HZ * NS_PER_S + TICKS_HZ - 1) / TICKS_HZ;
}
