/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exit_port: a port whose write ends the run, for test guests. */
#ifndef PLATFORM_EXIT_PORT_H
#define PLATFORM_EXIT_PORT_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <stdint.h>

struct exit_port_params {
	struct bus *ports;
	uint16_t port; /* the first of four */
	/* What was written, 1, 2 or 4 bytes of it. vCPU thread, lock held; must not block. */
	void (*written)(void *arg, uint32_t value);
	void *arg;
};

/* All that p points to outlives the device. 0 or -errno. */
int exit_port_create(const struct exit_port_params *p, struct device **out);

#endif
