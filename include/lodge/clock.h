/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time as devices see it. No device calls clock_gettime(2): tests put a clock here that they
 * step themselves.
 */
#ifndef LODGE_CLOCK_H
#define LODGE_CLOCK_H

#include <stdint.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

struct clock;

struct clock_ops {
	uint64_t (*monotonic_ns)(struct clock *c); /* never goes back; starts anywhere */
	int64_t (*wall_ns)(struct clock *c);       /* since 1970-01-01 00:00 UTC; may jump */
};

struct clock {
	const struct clock_ops *ops;
};

/* The host's clocks. Any thread. */
struct clock *clock_host(void);

static inline uint64_t clock_now_ns(struct clock *c)
{
	return c->ops->monotonic_ns(c);
}

static inline int64_t clock_wall_ns(struct clock *c)
{
	return c->ops->wall_ns(c);
}

#endif
