/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An interrupt controller that writes down what its pins do. Give &f->chip to irq_line_init(). */
#ifndef FAKE_IRQ_H
#define FAKE_IRQ_H

#include <lodge/irq.h>

#define FAKE_IRQ_HISTORY 4096u

struct fake_irq_event {
	uint32_t gsi;
	bool asserted;
};

struct fake_irq {
	struct irq_chip chip;
	struct fake_irq_event history[FAKE_IRQ_HISTORY]; /* later events are counted only */
	unsigned count;                                  /* of events since init or clear */
	bool level[IRQ_GSI_COUNT];
	unsigned rises[IRQ_GSI_COUNT]; /* of each pin since init or clear */
};

void fake_irq_init(struct fake_irq *f);
void fake_irq_fini(struct fake_irq *f);

/* Forgets the history; levels stay. */
void fake_irq_clear(struct fake_irq *f);

bool fake_irq_level(struct fake_irq *f, uint32_t gsi);
unsigned fake_irq_rises(struct fake_irq *f, uint32_t gsi);

#endif
