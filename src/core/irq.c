/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines.
 *
 * Theory of operation: a wired OR, counted. Each line is one vote; a pin is driven when its first
 * vote comes and released when its last one goes, under the chip's lock, so that the pin's
 * transitions reach the controller in the order of the votes. The lock is the leaf of the lock
 * order: ops->set() drives a pin and calls nobody.
 */
#include <lodge/irq.h>

#include <assert.h>
#include <string.h>

void irq_chip_init(struct irq_chip *chip, const struct irq_chip_ops *ops, void *arg)
{
	chip->ops = ops;
	chip->arg = arg;
	memset(chip->votes, 0, sizeof(chip->votes));
	pthread_mutex_init(&chip->lock, NULL);
}

void irq_chip_fini(struct irq_chip *chip)
{
	pthread_mutex_destroy(&chip->lock);
}

void irq_line_init(struct irq_line *line, struct irq_chip *chip, uint32_t gsi)
{
	assert(gsi < IRQ_GSI_COUNT);
	line->chip = chip;
	line->gsi = gsi;
	line->asserted = false;
}

void irq_set(struct irq_line *line, bool asserted)
{
	struct irq_chip *chip = line->chip;
	uint32_t *votes;

	if (!chip)
		return;
	pthread_mutex_lock(&chip->lock);
	if (line->asserted != asserted) {
		votes = &chip->votes[line->gsi];
		line->asserted = asserted;
		if (asserted ? (*votes)++ == 0 : --*votes == 0)
			chip->ops->set(chip->arg, line->gsi, asserted);
	}
	pthread_mutex_unlock(&chip->lock);
}

void irq_pulse(struct irq_line *line)
{
	struct irq_chip *chip = line->chip;

	if (!chip)
		return;
	pthread_mutex_lock(&chip->lock);
	/* While another vote holds the pin up, there is no edge to be seen. */
	if (chip->votes[line->gsi] == 0) {
		chip->ops->set(chip->arg, line->gsi, true);
		chip->ops->set(chip->arg, line->gsi, false);
	}
	pthread_mutex_unlock(&chip->lock);
}
