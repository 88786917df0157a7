/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request's buffers as a run of bytes, whatever elements the driver cut it into (Virtio 1.2,
 * section 2.6.4). What is taken is gone from the pieces; their elements are changed.
 */
#ifndef VIRTIO_PIECES_H
#define VIRTIO_PIECES_H

#include "virtio/virtq.h"

#include <stddef.h>

struct pieces {
	struct iovec *iov; /* none is empty */
	unsigned count;
};

static inline struct pieces pieces_out(const struct virtq_chain *c)
{
	return (struct pieces){c->iov, c->out_count};
}

static inline struct pieces pieces_in(const struct virtq_chain *c)
{
	return (struct pieces){c->iov + c->out_count, c->in_count};
}

/* Copies the first n bytes, each of them once, and takes them. How many there were, at most n. */
size_t pieces_read(struct pieces *p, void *dst, size_t n);
size_t pieces_write(struct pieces *p, const void *src, size_t n);
/* Takes the first n bytes. How many there were, at most n. */
size_t pieces_skip(struct pieces *p, size_t n);

/* Takes the last byte of at least one. */
uint8_t *pieces_take_last(struct pieces *p);

#endif
