/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel that takes doorbells of one bus, and lets tests ring them. */
#ifndef FAKE_DOORBELL_H
#define FAKE_DOORBELL_H

#include <lodge/bus.h>

#define FAKE_DOORBELLS 64u

struct fake_doorbells {
	pthread_mutex_t lock; /* guards what follows */
	struct doorbell *armed[FAKE_DOORBELLS];
	unsigned count;
	unsigned arms, disarms; /* since init */
	int refuse;             /* -errno of the next arms; 0: they succeed */
};

/* Takes those of b from now on. */
void fake_doorbells_init(struct fake_doorbells *f, struct bus *b);
void fake_doorbells_fini(struct fake_doorbells *f);

/* As a guest's write: to the doorbell that takes it, else to b. True: a doorbell took it. */
bool fake_doorbells_write(struct fake_doorbells *f, struct bus *b, uint64_t addr, unsigned size,
			  uint64_t value);

#endif
