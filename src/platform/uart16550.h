/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uart16550: one serial port of a PC. Its transmitter is always ready; what the guest sends goes to
 * a character stream at once, what the stream has waits there until the guest can take it.
 */
#ifndef PLATFORM_UART16550_H
#define PLATFORM_UART16550_H

#include <lodge/bus.h>
#include <lodge/chr.h>
#include <lodge/device.h>
#include <lodge/irq.h>
#include <lodge/loop.h>
#include <stdbool.h>
#include <stdint.h>

struct uart16550_params {
	struct bus *ports;
	uint16_t port; /* the first of eight */
	struct irq_chip *irq;
	uint32_t gsi;
	struct chr *chr;   /* NULL: sent bytes vanish, none arrive */
	struct loop *loop; /* where chr calls from; runs the character timeout */
};

/*
 * All that p points to outlives the port. Writes to the first port, and to no other of the eight,
 * may come late and in a batch (vm_coalesce_ports()). 0 or -errno.
 */
int uart16550_create(const struct uart16550_params *p, struct device **out);

/* For tests: every index and register is within its range. Takes the device's lock. */
bool uart16550_check(struct device *d);

#endif
