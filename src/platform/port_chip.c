// SPDX-License-Identifier: GPL-2.0-or-later
/* port_chip: a device with one run of ports and one lock, on the heap. */
#include "platform/port_chip.h"

#include <stdlib.h>

int port_chip_create(struct port_chip *c, const struct device_ops *ops,
		     const struct bus_region_ops *region_ops, struct bus *ports, uint16_t port,
		     unsigned count, struct device **out)
{
	int err;

	c->device.ops = ops;
	c->ports = ports;
	pthread_mutex_init(&c->lock, NULL);
	c->region = (struct bus_region){.ops = region_ops, .dev = c, .lock = &c->lock};
	err = bus_map(ports, &c->region, port, count);
	if (err)
		port_chip_destroy(&c->device);
	else
		*out = &c->device;
	return err;
}

void port_chip_destroy(struct device *d)
{
	struct port_chip *c = container_of(d, struct port_chip, device);

	bus_unmap(c->ports, &c->region);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
