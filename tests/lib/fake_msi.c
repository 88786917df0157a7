/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A receiver of MSI messages that writes them down. */
#include "fake_msi.h"

#include <stdlib.h>
#include <string.h>

static void fake_attach(void *arg, struct msi_route *r)
{
	struct fake_msi *f = arg;

	(void)r;
	pthread_mutex_lock(&f->lock);
	f->routes++;
	pthread_mutex_unlock(&f->lock);
}

static void fake_detach(void *arg, struct msi_route *r)
{
	struct fake_msi *f = arg;

	(void)r;
	pthread_mutex_lock(&f->lock);
	f->routes--;
	pthread_mutex_unlock(&f->lock);
}

static void fake_change(void *arg, struct msi_route *r, const struct msi_message *m)
{
	struct fake_msi *f = arg;

	pthread_mutex_lock(&f->lock);
	r->message = *m;
	f->changes++;
	pthread_mutex_unlock(&f->lock);
}

static void fake_send(void *arg, struct msi_route *r)
{
	struct fake_msi *f = arg;

	if (!msi_message_valid(&r->message))
		abort();
	pthread_mutex_lock(&f->lock);
	if (f->count < FAKE_MSI_HISTORY)
		f->history[f->count] = r->message;
	f->count++;
	pthread_mutex_unlock(&f->lock);
}

static const struct msi_chip_ops fake_ops = {
    .attach = fake_attach,
    .detach = fake_detach,
    .change = fake_change,
    .send = fake_send,
};

void fake_msi_init(struct fake_msi *f)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	f->chip = (struct msi_chip){.ops = &fake_ops, .arg = f};
}

void fake_msi_fini(struct fake_msi *f)
{
	pthread_mutex_destroy(&f->lock);
}

void fake_msi_clear(struct fake_msi *f)
{
	pthread_mutex_lock(&f->lock);
	f->count = f->changes = 0;
	pthread_mutex_unlock(&f->lock);
}

unsigned fake_msi_count(struct fake_msi *f)
{
	unsigned count;

	pthread_mutex_lock(&f->lock);
	count = f->count;
	pthread_mutex_unlock(&f->lock);
	return count;
}

struct msi_message fake_msi_last(struct fake_msi *f)
{
	struct msi_message last = {0};

	pthread_mutex_lock(&f->lock);
	if (f->count && f->count <= FAKE_MSI_HISTORY)
		last = f->history[f->count - 1];
	pthread_mutex_unlock(&f->lock);
	return last;
}
