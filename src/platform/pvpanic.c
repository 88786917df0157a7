// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pvpanic: one byte-wide port. Reading gives the events that are supported, writing tells of some.
 *
 * Source: QEMU's specification of the device (docs/specs/pvpanic), whose driver every Linux has;
 * the guest finds the port through ACPI (QEMU0001).
 */
#include "platform/pvpanic.h"
#include "platform/port_chip.h"

#include <errno.h>
#include <stdlib.h>

struct pvpanic {
	struct port_chip chip;
	uint8_t events;
	void (*notify)(void *arg, uint8_t events);
	void *arg;
};

static uint64_t pvpanic_read(void *dev, uint64_t offset, unsigned size)
{
	const struct pvpanic *p = dev;

	(void)offset;
	(void)size;
	return p->events;
}

static void pvpanic_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pvpanic *p = dev;
	uint8_t events = (uint8_t)value & p->events;

	(void)offset;
	(void)size;
	if (events)
		p->notify(p->arg, events);
}

static const struct bus_region_ops pvpanic_region_ops = {
    .name = "pvpanic",
    .read = pvpanic_read,
    .write = pvpanic_write,
    .width_max = 1,
};

static const struct device_ops pvpanic_device_ops = {
    .name = "pvpanic",
    .destroy = port_chip_destroy,
};

int pvpanic_create(const struct pvpanic_params *params, struct device **out)
{
	struct pvpanic *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->events = params->events;
	p->notify = params->notify;
	p->arg = params->arg;
	return port_chip_create(&p->chip, &pvpanic_device_ops, &pvpanic_region_ops, params->ports,
				params->port, 1, out);
}
