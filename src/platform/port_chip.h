/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port_chip: what a chip with one run of ports is made of, and its beginning and end. */
#ifndef PLATFORM_PORT_CHIP_H
#define PLATFORM_PORT_CHIP_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <pthread.h>
#include <stdint.h>

/* First member of a chip that calloc(3) gave; its region's callbacks are told the chip. */
struct port_chip {
	struct device device;
	pthread_mutex_t lock; /* held around each access by the guest */
	struct bus *ports;
	struct bus_region region;
};

/*
 * The last step of a create function: maps `count` ports from `port` on and gives *out. On failure,
 * -errno of bus_map(), the chip is freed.
 */
int port_chip_create(struct port_chip *c, const struct device_ops *ops,
		     const struct bus_region_ops *region_ops, struct bus *ports, uint16_t port,
		     unsigned count, struct device **out);

/* device_ops.destroy of such a chip, or the end of one that has more to undo. */
void port_chip_destroy(struct device *d);

#endif
