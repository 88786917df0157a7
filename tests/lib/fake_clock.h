/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that stands still until a test steps it. Give &f->clock to what is tested. */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <lodge/clock.h>
#include <lodge/loop.h>
#include <stdatomic.h>

struct fake_clock {
	struct clock clock;
	_Atomic uint64_t monotonic_ns;
	_Atomic int64_t wall_ns;
};

/* wall_s: seconds since 1970, UTC. The monotonic clock starts at an odd value, not at 0. */
void fake_clock_init(struct fake_clock *f, int64_t wall_s);

/* Both clocks go forward. Any thread. */
void fake_clock_step(struct fake_clock *f, uint64_t ns);

/* The wall clock alone jumps, as when somebody sets it. */
void fake_clock_jump(struct fake_clock *f, int64_t ns);

/*
 * Goes forward by ns in steps of step_ns, and after each runs the loop until it has nothing to do.
 * Returns how many callbacks ran. Fails the test when the loop does not come to rest.
 */
unsigned fake_clock_run(struct fake_clock *f, struct loop *l, uint64_t ns, uint64_t step_ns);

#endif
