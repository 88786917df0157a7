/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet of a hostile guest: 12 bytes of header, and its frame. What net_header_fits() lets
 * through can be sent, and completed without a byte outside the frame; the checksum then holds.
 */
#include "net/backend.h"
#include "script.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t sum_of(const uint8_t *p, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++) {
		sum += i % 2 ? (uint32_t)p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct net_params p = {.kind = NET_NULL, .queues = 1};
	struct refusal why = {0};
	struct net_header h;
	struct net *n = NULL;
	struct iovec iov[2];
	uint8_t *frame;
	size_t start;
	bool fits;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	size -= sizeof(h);
	frame = malloc(size ? size : 1);
	must(frame != NULL);
	memcpy(frame, data + sizeof(h), size);
	must(!net_open(&p, NULL, &n, &why));
	iov[0] = (struct iovec){frame, size / 3};
	iov[1] = (struct iovec){frame + size / 3, size - size / 3};
	fits = size >= NET_FRAME_MIN && size <= NET_FRAME_MAX && net_header_fits(&h, size, ~0u);
	must(!fits || net_send(n, 0, &h, iov, 2));
	net_close(n);
	if (fits && (h.flags & NET_NEEDS_CSUM)) {
		start = h.checksum_start;
		must(start + h.checksum_offset + 2 <= size);
		/* As a stack leaves it: with the pseudo header's sum, here 0. */
		memset(frame + start + h.checksum_offset, 0, 2);
		net_complete_checksum(frame, size, &h);
		must(h.checksum_offset % 2 || sum_of(frame + start, size - start) == 0xffff);
	}
	free(frame);
	return 0;
}
