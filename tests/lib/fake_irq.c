/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An interrupt controller that writes down what its pins do. The chip's lock guards all of it. */
#include "fake_irq.h"

#include <string.h>

static void fake_set(void *arg, uint32_t gsi, bool asserted)
{
	struct fake_irq *f = arg;

	if (f->count < FAKE_IRQ_HISTORY)
		f->history[f->count] = (struct fake_irq_event){gsi, asserted};
	f->count++;
	f->level[gsi] = asserted;
	if (asserted)
		f->rises[gsi]++;
}

static const struct irq_chip_ops fake_ops = {.set = fake_set};

void fake_irq_init(struct fake_irq *f)
{
	memset(f, 0, sizeof(*f));
	irq_chip_init(&f->chip, &fake_ops, f);
}

void fake_irq_fini(struct fake_irq *f)
{
	irq_chip_fini(&f->chip);
}

void fake_irq_clear(struct fake_irq *f)
{
	pthread_mutex_lock(&f->chip.lock);
	f->count = 0;
	memset(f->rises, 0, sizeof(f->rises));
	pthread_mutex_unlock(&f->chip.lock);
}

bool fake_irq_level(struct fake_irq *f, uint32_t gsi)
{
	bool level;

	pthread_mutex_lock(&f->chip.lock);
	level = f->level[gsi];
	pthread_mutex_unlock(&f->chip.lock);
	return level;
}

unsigned fake_irq_rises(struct fake_irq *f, uint32_t gsi)
{
	unsigned rises;

	pthread_mutex_lock(&f->chip.lock);
	rises = f->rises[gsi];
	pthread_mutex_unlock(&f->chip.lock);
	return rises;
}
