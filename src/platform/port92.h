/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port92: system control port A, with the fast reset and the fast A20 gate. */
#ifndef PLATFORM_PORT92_H
#define PLATFORM_PORT92_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <stdint.h>

struct port92_params {
	struct bus *ports;
	uint16_t port;
	/* Bit 0 rose. vCPU thread, lock held; must not block. */
	void (*reset)(void *arg);
	void *arg;
};

/* All that p points to outlives the device. 0 or -errno. */
int port92_create(const struct port92_params *p, struct device **out);

#endif
