// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * port92: system control port A.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, System Control Port A;
 * bits 0 and 1 as PCs kept them. Bit 0, from 0 to 1, resets the processor; bit 1 is A20, a bit
 * without effect here, since memory never wraps at 1 MiB. The other bits (disk light, password
 * lock, watchdog) read 0.
 */
#include "platform/port92.h"
#include "platform/port_chip.h"

#include <errno.h>
#include <stdlib.h>

#define PORT92_RESET 0x01
#define PORT92_A20   0x02

struct port92 {
	struct port_chip chip;
	uint8_t value;
	void (*reset)(void *arg);
	void *arg;
};

static uint64_t port92_read(void *dev, uint64_t offset, unsigned size)
{
	const struct port92 *p = dev;

	(void)offset;
	(void)size;
	return p->value;
}

static void port92_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct port92 *p = dev;
	uint8_t risen = (uint8_t)value & (uint8_t)~p->value;

	(void)offset;
	(void)size;
	p->value = value & (PORT92_RESET | PORT92_A20);
	if (risen & PORT92_RESET)
		p->reset(p->arg);
}

static const struct bus_region_ops port92_region_ops = {
    .name = "port92",
    .read = port92_read,
    .write = port92_write,
    .width_max = 1,
};

static void port92_reset(struct device *d)
{
	struct port92 *p = container_of(d, struct port92, chip.device);

	pthread_mutex_lock(&p->chip.lock);
	p->value = PORT92_A20;
	pthread_mutex_unlock(&p->chip.lock);
}

static const struct device_ops port92_device_ops = {
    .name = "port92",
    .reset = port92_reset,
    .destroy = port_chip_destroy,
};

int port92_create(const struct port92_params *params, struct device **out)
{
	struct port92 *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->value = PORT92_A20;
	p->reset = params->reset;
	p->arg = params->arg;
	return port_chip_create(&p->chip, &port92_device_ops, &port92_region_ops, params->ports,
				params->port, 1, out);
}
