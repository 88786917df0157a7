/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A receiver of MSI messages that writes them down. Give &f->chip to who creates routes. */
#ifndef FAKE_MSI_H
#define FAKE_MSI_H

#include <lodge/msi.h>

#include <pthread.h>

#define FAKE_MSI_HISTORY 1024u

struct fake_msi {
	struct msi_chip chip;
	pthread_mutex_t lock;                         /* guards what follows */
	struct msi_message history[FAKE_MSI_HISTORY]; /* later ones are counted only */
	unsigned count;                               /* of messages since init or clear */
	unsigned routes;                              /* attached now */
	unsigned changes; /* of messages of routes, since init or clear */
};

void fake_msi_init(struct fake_msi *f);
void fake_msi_fini(struct fake_msi *f);

/* Forgets the history; routes stay. */
void fake_msi_clear(struct fake_msi *f);

unsigned fake_msi_count(struct fake_msi *f);
struct msi_message fake_msi_last(struct fake_msi *f); /* zeroes when there was none */

#endif
