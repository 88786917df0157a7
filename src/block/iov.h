/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of scattered buffers. A part is named by bytes to skip and bytes to take. */
#ifndef BLOCK_IOV_H
#define BLOCK_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes in all elements; UINT64_MAX when their sum does not fit. */
uint64_t iov_length(const struct iovec *iov, unsigned n);

/*
 * Puts the part into dst, at most max elements; returns how many, and in *taken how many bytes
 * they are: fewer than length where max did not do.
 */
unsigned iov_part(struct iovec *dst, unsigned max, const struct iovec *iov, unsigned n,
		  uint64_t skip, uint64_t length, uint64_t *taken);

/* To and from the part; what lies past the elements' end is left alone. */
void iov_fill(const struct iovec *iov, unsigned n, uint64_t skip, const void *src, uint64_t length);
void iov_zero(const struct iovec *iov, unsigned n, uint64_t skip, uint64_t length);
void iov_gather(void *dst, const struct iovec *iov, unsigned n, uint64_t skip, uint64_t length);

/* Whether each element's address and length is a multiple of alignment, a power of 2. */
bool iov_aligned(const struct iovec *iov, unsigned n, uint32_t alignment);

#endif
