/* SPDX-License-Identifier: GPL-2.0-or-later */
/* post_port: port 0x80, where firmware writes how far it has come and kernels write to wait. */
#ifndef PLATFORM_POST_PORT_H
#define PLATFORM_POST_PORT_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <stdint.h>

#define POST_PORT_HISTORY 16u

struct post_port_params {
	struct bus *ports;
	uint16_t port;
};

/* Writes may come late and in a batch (vm_coalesce_ports()). 0 or -errno. */
int post_port_create(const struct post_port_params *p, struct device **out);

/* The last codes written, oldest first; returns how many. Any thread. */
unsigned post_port_history(struct device *d, uint8_t codes[POST_PORT_HISTORY]);

#endif
