/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic: the port by which a guest's kernel says that it panicked. */
#ifndef PLATFORM_PVPANIC_H
#define PLATFORM_PVPANIC_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <stdint.h>

#define PVPANIC_PANICKED     0x01u
#define PVPANIC_CRASH_LOADED 0x02u /* a crash kernel takes over: its reboot follows */
#define PVPANIC_SHUTDOWN     0x04u /* the guest is done and asks to be switched off */

struct pvpanic_params {
	struct bus *ports;
	uint16_t port;
	uint8_t events; /* PVPANIC_* that the guest is told of; others are ignored */
	/* events: one or more. vCPU thread, lock held; must not block. */
	void (*notify)(void *arg, uint8_t events);
	void *arg;
};

/* All that p points to outlives the device. 0 or -errno. */
int pvpanic_create(const struct pvpanic_params *p, struct device **out);

#endif
