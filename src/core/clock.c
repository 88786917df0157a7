/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's clocks.
 *
 * Theory of operation: CLOCK_MONOTONIC and CLOCK_REALTIME, read through the vDSO without a system
 * call. The monotonic one is also what epoll_pwait2(2) measures its timeout by.
 */
#include <lodge/clock.h>

#include <time.h>

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * (int64_t)NS_PER_S + ts.tv_nsec;
}

static uint64_t host_monotonic_ns(struct clock *c)
{
	(void)c;
	return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

static int64_t host_wall_ns(struct clock *c)
{
	(void)c;
	return read_ns(CLOCK_REALTIME);
}

static const struct clock_ops host_ops = {
    .monotonic_ns = host_monotonic_ns,
    .wall_ns = host_wall_ns,
};

struct clock *clock_host(void)
{
	static struct clock host = {&host_ops};

	return &host;
}
