/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers as a run of bytes. Any thread. The copies are made in here and nowhere else, so that a
 * compiler cannot read twice what the guest may change meanwhile.
 */
#include "virtio/pieces.h"

#include <assert.h>
#include <string.h>

/* Takes up to n bytes of the first element; *at: where they are. */
static size_t take(struct pieces *p, size_t n, char **at)
{
	struct iovec *first = p->iov;

	*at = first->iov_base;
	if (n < first->iov_len) {
		first->iov_base = *at + n;
		first->iov_len -= n;
		return n;
	}
	p->iov++;
	p->count--;
	return first->iov_len;
}

size_t pieces_read(struct pieces *p, void *dst, size_t n)
{
	size_t done = 0, some;
	char *at;

	for (; done < n && p->count; done += some) {
		some = take(p, n - done, &at);
		memcpy((char *)dst + done, at, some);
	}
	return done;
}

size_t pieces_write(struct pieces *p, const void *src, size_t n)
{
	size_t done = 0, some;
	char *at;

	for (; done < n && p->count; done += some) {
		some = take(p, n - done, &at);
		memcpy(at, (const char *)src + done, some);
	}
	return done;
}

size_t pieces_skip(struct pieces *p, size_t n)
{
	size_t done = 0;
	char *at;

	while (done < n && p->count)
		done += take(p, n - done, &at);
	return done;
}

uint8_t *pieces_take_last(struct pieces *p)
{
	struct iovec *last = p->iov + p->count - 1;

	assert(p->count && last->iov_len);
	if (--last->iov_len == 0)
		p->count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}
