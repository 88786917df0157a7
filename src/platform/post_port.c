// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * post_port: the latch of the power-on self-test code (IBM PC/AT Technical Reference). A read
 * gives the last byte written. The last few are kept for a report: where a guest without output
 * got to. Repetitions are kept once, so that a kernel that writes here to wait does not push out
 * what the firmware said.
 */
#include "platform/post_port.h"
#include "platform/port_chip.h"

#include <errno.h>
#include <stdlib.h>

struct post_port {
	struct port_chip chip;
	uint8_t codes[POST_PORT_HISTORY];
	unsigned next, count;
	uint8_t last;
};

static uint64_t post_port_read(void *dev, uint64_t offset, unsigned size)
{
	const struct post_port *p = dev;

	(void)offset;
	(void)size;
	return p->last;
}

static void post_port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct post_port *p = dev;
	uint8_t code = (uint8_t)value;

	(void)offset;
	(void)size;
	if (p->count && code == p->last)
		return;
	p->last = code;
	p->codes[p->next] = code;
	p->next = (p->next + 1) % POST_PORT_HISTORY;
	if (p->count < POST_PORT_HISTORY)
		p->count++;
}

static const struct bus_region_ops post_port_region_ops = {
    .name = "post_port",
    .read = post_port_read,
    .write = post_port_write,
    .width_max = 1,
};

unsigned post_port_history(struct device *d, uint8_t codes[POST_PORT_HISTORY])
{
	struct post_port *p = container_of(d, struct post_port, chip.device);
	unsigned count, i;

	pthread_mutex_lock(&p->chip.lock);
	count = p->count;
	for (i = 0; i < count; i++)
		codes[i] = p->codes[(p->next + POST_PORT_HISTORY - count + i) % POST_PORT_HISTORY];
	pthread_mutex_unlock(&p->chip.lock);
	return count;
}

static void post_port_reset(struct device *d)
{
	struct post_port *p = container_of(d, struct post_port, chip.device);

	pthread_mutex_lock(&p->chip.lock);
	p->next = 0;
	p->count = 0;
	p->last = 0;
	pthread_mutex_unlock(&p->chip.lock);
}

static const struct device_ops post_port_device_ops = {
    .name = "post_port",
    .reset = post_port_reset,
    .destroy = port_chip_destroy,
};

int post_port_create(const struct post_port_params *params, struct device **out)
{
	struct post_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	return port_chip_create(&p->chip, &post_port_device_ops, &post_port_region_ops,
				params->ports, params->port, 1, out);
}
