/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A byte queue of fixed size that forgets the oldest byte when it is full. Locked by its owner. */
#ifndef CONSOLE_RING_H
#define CONSOLE_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
	uint8_t *buf;  /* allocated, its pages untouched until bytes come */
	size_t size;   /* bytes */
	size_t start;  /* index of the oldest byte */
	size_t used;   /* bytes that wait */
	uint64_t lost; /* bytes dropped since the last ring_take_lost() */
};

/* 0 or -ENOMEM. size > 0. */
int ring_init(struct ring *r, size_t size);
void ring_fini(struct ring *r);

/* Takes all n bytes, dropping the oldest ones where needed. Returns how many were dropped. */
size_t ring_write(struct ring *r, const uint8_t *buf, size_t n);

/* Moves at most max bytes, oldest first, to dst. Returns how many. */
size_t ring_read(struct ring *r, uint8_t *dst, size_t max);

/* How many bytes were dropped before the oldest one that waits, and starts counting afresh. */
uint64_t ring_take_lost(struct ring *r);

#endif
