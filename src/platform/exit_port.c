// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exit_port: what QEMU calls isa-debug-exit (four ports wide, as test guests configure it). A
 * write of 1, 2 or 4 bytes reports its value; what becomes of it is the machine's business. Reads
 * give 0. It keeps no state.
 */
#include "platform/exit_port.h"
#include "platform/port_chip.h"

#include <errno.h>
#include <stdlib.h>

#define PORTS 4u

struct exit_port {
	struct port_chip chip;
	void (*written)(void *arg, uint32_t value);
	void *arg;
};

static uint64_t exit_port_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0;
}

static void exit_port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct exit_port *e = dev;

	(void)offset;
	(void)size;
	e->written(e->arg, (uint32_t)value);
}

static const struct bus_region_ops exit_port_region_ops = {
    .name = "exit_port",
    .read = exit_port_read,
    .write = exit_port_write,
    .width_max = 4,
};

static const struct device_ops exit_port_device_ops = {
    .name = "exit_port",
    .destroy = port_chip_destroy,
};

int exit_port_create(const struct exit_port_params *p, struct device **out)
{
	struct exit_port *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->written = p->written;
	e->arg = p->arg;
	return port_chip_create(&e->chip, &exit_port_device_ops, &exit_port_region_ops, p->ports,
				p->port, PORTS, out);
}
