/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that stands still until a test steps it. */
#include "fake_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Far above what a device sets off in one step; a timer that never rests goes past it. */
#define ROUNDS_MAX 10000u

static uint64_t fake_monotonic_ns(struct clock *c)
{
	return atomic_load(&((struct fake_clock *)c)->monotonic_ns);
}

static int64_t fake_wall_ns(struct clock *c)
{
	return atomic_load(&((struct fake_clock *)c)->wall_ns);
}

static const struct clock_ops fake_ops = {
    .monotonic_ns = fake_monotonic_ns,
    .wall_ns = fake_wall_ns,
};

void fake_clock_init(struct fake_clock *f, int64_t wall_s)
{
	f->clock.ops = &fake_ops;
	atomic_store(&f->monotonic_ns, 1000000007ull);
	atomic_store(&f->wall_ns, wall_s * (int64_t)NS_PER_S);
}

void fake_clock_step(struct fake_clock *f, uint64_t ns)
{
	atomic_fetch_add(&f->monotonic_ns, ns);
	atomic_fetch_add(&f->wall_ns, (int64_t)ns);
}

void fake_clock_jump(struct fake_clock *f, int64_t ns)
{
	atomic_fetch_add(&f->wall_ns, ns);
}

static unsigned run_until_idle(struct loop *l)
{
	unsigned rounds, ran = 0, n;

	for (rounds = 0; (n = loop_step(l)); rounds++) {
		assert_true(rounds < ROUNDS_MAX);
		ran += n;
	}
	return ran;
}

unsigned fake_clock_run(struct fake_clock *f, struct loop *l, uint64_t ns, uint64_t step_ns)
{
	unsigned ran = run_until_idle(l);

	assert_true(step_ns > 0);
	while (ns) {
		uint64_t step = ns < step_ns ? ns : step_ns;

		fake_clock_step(f, step);
		ns -= step;
		ran += run_until_idle(l);
	}
	return ran;
}
