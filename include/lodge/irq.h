/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines: what a device holds to raise an interrupt.
 *
 * A line is one source's vote on one global system interrupt (GSI). A GSI is asserted while any
 * of its lines is, so PCI functions can share one. Lines are the leaf of the lock order: any
 * thread, any lock held, and no line ever calls back into a device.
 */
#ifndef LODGE_IRQ_H
#define LODGE_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IRQ_GSI_COUNT 24u /* pins of one I/O APIC (82093AA) */

struct irq_chip_ops {
	/* Drives pin gsi. Called under the chip's lock, on transitions only. */
	void (*set)(void *arg, uint32_t gsi, bool asserted);
};

struct irq_chip {
	const struct irq_chip_ops *ops;
	void *arg;
	pthread_mutex_t lock;
	uint32_t votes[IRQ_GSI_COUNT];
};

struct irq_line {
	struct irq_chip *chip; /* NULL: not connected, and changes go nowhere */
	uint32_t gsi;
	bool asserted; /* this source's vote; guarded by chip->lock */
};

void irq_chip_init(struct irq_chip *chip, const struct irq_chip_ops *ops, void *arg);
void irq_chip_fini(struct irq_chip *chip);

/* Connects a line; gsi < IRQ_GSI_COUNT is asserted. */
void irq_line_init(struct irq_line *line, struct irq_chip *chip, uint32_t gsi);

/* Idempotent. */
void irq_set(struct irq_line *line, bool asserted);

/* Edge sources: up and down again under one lock. */
void irq_pulse(struct irq_line *line);

#endif
