/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A byte queue that drops its oldest bytes. */
/*
 * Theory of operation: start and used say which bytes wait; the next byte goes to start + used,
 * modulo size. An emptied ring begins again at index 0, so that a reader who keeps up makes only
 * the first page or two of the buffer dirty.
 */
#include "console/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ring_init(struct ring *r, size_t size)
{
	assert(size > 0);
	memset(r, 0, sizeof(*r));
	r->buf = malloc(size);
	if (!r->buf)
		return -ENOMEM;
	r->size = size;
	return 0;
}

void ring_fini(struct ring *r)
{
	free(r->buf);
	memset(r, 0, sizeof(*r));
}

size_t ring_write(struct ring *r, const uint8_t *buf, size_t n)
{
	size_t dropped = 0, at, first;

	if (n > r->size) {
		dropped = n - r->size;
		buf += dropped;
		n = r->size;
	}
	if (n > r->size - r->used) {
		size_t over = n - (r->size - r->used);

		r->start = (r->start + over) % r->size;
		r->used -= over;
		dropped += over;
	}
	r->lost += dropped;
	at = (r->start + r->used) % r->size;
	first = n < r->size - at ? n : r->size - at;
	memcpy(r->buf + at, buf, first);
	memcpy(r->buf, buf + first, n - first);
	r->used += n;
	return dropped;
}

size_t ring_read(struct ring *r, uint8_t *dst, size_t max)
{
	size_t n = max < r->used ? max : r->used;
	size_t first = n < r->size - r->start ? n : r->size - r->start;

	memcpy(dst, r->buf + r->start, first);
	memcpy(dst + first, r->buf, n - first);
	r->used -= n;
	r->start = r->used ? (r->start + n) % r->size : 0;
	return n;
}

uint64_t ring_take_lost(struct ring *r)
{
	uint64_t lost = r->lost;

	r->lost = 0;
	return lost;
}
