// SPDX-License-Identifier: GPL-2.0-or-later
/* Parts of scattered buffers. */
#include "block/iov.h"

#include <string.h>

uint64_t iov_length(const struct iovec *iov, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return UINT64_MAX;
	}
	return sum;
}

/* One step through a part: the bytes of one element. */
struct piece {
	char *at;
	size_t n;
};

static bool next_piece(const struct iovec **iov, unsigned *n, uint64_t *skip, uint64_t *length,
		       struct piece *p)
{
	while (*n && *skip >= (*iov)->iov_len) {
		*skip -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (!*n || !*length)
		return false;
	p->at = (char *)(*iov)->iov_base + *skip;
	p->n = (*iov)->iov_len - *skip;
	if (p->n > *length)
		p->n = *length;
	*length -= p->n;
	*skip += p->n;
	return true;
}

unsigned iov_part(struct iovec *dst, unsigned max, const struct iovec *iov, unsigned n,
		  uint64_t skip, uint64_t length, uint64_t *taken)
{
	struct piece p;
	unsigned i;

	*taken = 0;
	for (i = 0; i < max && next_piece(&iov, &n, &skip, &length, &p); i++) {
		dst[i].iov_base = p.at;
		dst[i].iov_len = p.n;
		*taken += p.n;
	}
	return i;
}

void iov_fill(const struct iovec *iov, unsigned n, uint64_t skip, const void *src, uint64_t length)
{
	const char *from = src;
	struct piece p;

	while (next_piece(&iov, &n, &skip, &length, &p)) {
		memcpy(p.at, from, p.n);
		from += p.n;
	}
}

void iov_zero(const struct iovec *iov, unsigned n, uint64_t skip, uint64_t length)
{
	struct piece p;

	while (next_piece(&iov, &n, &skip, &length, &p))
		memset(p.at, 0, p.n);
}

void iov_gather(void *dst, const struct iovec *iov, unsigned n, uint64_t skip, uint64_t length)
{
	char *to = dst;
	struct piece p;

	while (next_piece(&iov, &n, &skip, &length, &p)) {
		memcpy(to, p.at, p.n);
		to += p.n;
	}
}

bool iov_aligned(const struct iovec *iov, unsigned n, uint32_t alignment)
{
	uintptr_t all = 0;

	for (unsigned i = 0; i < n; i++)
		all |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return (all & (alignment - 1)) == 0;
}
