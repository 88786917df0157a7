/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8042: the keyboard controller of a PC, with a keyboard and a mouse plugged in.
 */
#ifndef PLATFORM_I8042_H
#define PLATFORM_I8042_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/irq.h>
#include <stdbool.h>
#include <stdint.h>

struct i8042_params {
	struct bus *ports;
	uint16_t data_port;
	uint16_t status_port;
	struct irq_chip *irq;
	uint32_t keyboard_gsi, mouse_gsi;
	/* The guest pulsed the processor's reset line. vCPU thread, lock held; must not block. */
	void (*reset)(void *arg);
	void *arg;
};

/* All that p points to outlives the controller. 0 or -errno. */
int i8042_create(const struct i8042_params *p, struct device **out);

/*
 * A key, pressed or released, as the bytes of scan code set 2; n <= 15. Any thread. False when the
 * guest has not taken earlier ones (try again later) or has turned the keyboard off.
 */
bool i8042_key(struct device *d, const uint8_t *codes, unsigned n);

/*
 * Motion since the last call (right, up and, for the wheel, towards the user are positive) and the
 * buttons held now: 1 left, 2 right, 4 middle, 8 and 16 the fourth and fifth. Any thread.
 */
void i8042_mouse(struct device *d, int dx, int dy, int dz, uint8_t buttons);

/* For tests: every index and register is within its range. Takes the device's lock. */
bool i8042_check(struct device *d);

#endif
