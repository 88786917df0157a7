/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel that takes doorbells of one bus, and lets tests ring them. */
#include "fake_doorbell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static int fake_arm(void *arg, struct doorbell *d)
{
	struct fake_doorbells *f = arg;
	int err;

	pthread_mutex_lock(&f->lock);
	err = f->count == FAKE_DOORBELLS ? -ENOSPC : f->refuse;
	if (!err) {
		f->armed[f->count++] = d;
		f->arms++;
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static void fake_disarm(void *arg, struct doorbell *d)
{
	struct fake_doorbells *f = arg;
	unsigned i;

	pthread_mutex_lock(&f->lock);
	for (i = 0; i < f->count && f->armed[i] != d; i++)
		;
	if (i == f->count)
		abort(); /* it was not armed */
	f->armed[i] = f->armed[--f->count];
	f->disarms++;
	pthread_mutex_unlock(&f->lock);
}

static const struct doorbell_ops fake_ops = {.arm = fake_arm, .disarm = fake_disarm};

void fake_doorbells_init(struct fake_doorbells *f, struct bus *b)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	bus_set_doorbell_ops(b, &fake_ops, f);
}

void fake_doorbells_fini(struct fake_doorbells *f)
{
	pthread_mutex_destroy(&f->lock);
}

bool fake_doorbells_write(struct fake_doorbells *f, struct bus *b, uint64_t addr, unsigned size,
			  uint64_t value)
{
	bool taken = false;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < f->count && !taken; i++) {
		const struct doorbell *d = f->armed[i];

		taken = d->addr == addr && (!d->size || d->size == size) &&
			(!d->match || d->value == value);
		if (taken)
			eventfd_write(d->fd, 1);
	}
	pthread_mutex_unlock(&f->lock);
	if (!taken)
		bus_write(b, addr, size, value);
	return taken;
}
