/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mc146818: the clock of a PC and its battery-backed memory.
 */
#ifndef PLATFORM_MC146818_H
#define PLATFORM_MC146818_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/irq.h>
#include <lodge/loop.h>
#include <stdbool.h>
#include <stdint.h>

struct mc146818_params {
	struct bus *ports;
	uint16_t port; /* index; data at the next, a second bank of memory at the two after that */
	struct irq_chip *irq;
	uint32_t gsi;
	struct loop *loop;       /* runs its interrupts; its clock is the time shown, as UTC */
	uint64_t ram_below_4gib; /* bytes, for the memory sizes that firmware reads */
	uint64_t ram_above_4gib;
};

/*
 * All that p points to outlives the clock. Writes to the index ports may come late, in order
 * (vm_coalesce_ports()). 0 or -errno.
 */
int mc146818_create(const struct mc146818_params *p, struct device **out);

/* What firmware finds in byte `index` of the first bank, 0x10 to 0x7f. Before a vCPU runs. */
void mc146818_set_byte(struct device *d, uint8_t index, uint8_t value);

/* For tests: every index and register is within its range. Takes the device's lock. */
bool mc146818_check(struct device *d);

#endif
