/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's life: created by the wiring function, reset with the machine, destroyed in reverse
 * order of creation. How a device is reached is the business of bus.h and pci.h.
 */
#ifndef LODGE_DEVICE_H
#define LODGE_DEVICE_H

#include <lodge/container.h>
#include <stdbool.h>

struct device;

struct device_ops {
	const char *name; /* the part number: "mc146818" */
	/* vCPUs are stopped; back to the state after power-on. NULL: it has none. */
	void (*reset)(struct device *d);
	void (*destroy)(struct device *d); /* vCPUs and the loop are gone; frees d */
};

/* Embedded in each device's struct. */
struct device {
	const struct device_ops *ops;
	struct device *older; /* the machine's list */
	bool stuck;           /* its reset gave up: it may still write to guest memory */
};

static inline void device_reset(struct device *d)
{
	if (d->ops->reset)
		d->ops->reset(d);
}

#endif
