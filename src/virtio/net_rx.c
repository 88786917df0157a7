/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter: packets for the guest. Virtio 1.2, section 5.1.6.3 and 5.1.6.4.
 *
 * A packet needs one chain that holds it, or with MRG_RXBUF several that do together. Chains are
 * popped until it fits; when the driver has no more for now, those stay popped and the backend
 * keeps the packet. The driver sees all chains of a packet at once: Linux drops one of which it
 * sees only a part.
 *
 * A packet that will never fit, because a chain is too small without MRG_RXBUF, or because it needs
 * more of them than there may be, is dropped and counted, and its chains wait for a smaller one. A
 * chain that cannot hold even a header goes back empty.
 */
#include "virtio/net_internal.h"

#include <string.h>

#define BAD_BUFFERS_MAX 64u /* looked at for one packet */

enum room { ROOM, ROOM_LATER, ROOM_NEVER };

static enum room collect(struct virtio_net *n, struct net_rx *rx, struct virtq *q, uint64_t need)
{
	bool merge = virtio_has(&n->device, VIRTIO_NET_F_MRG_RXBUF);
	unsigned limit = merge ? NET_RX_CHAINS : 1, bad = 0;
	struct virtq_chain *c;
	int got;

	while (rx->held_bytes < need) {
		if (rx->held == limit || rx->pieces > 4 * NET_RX_CHAINS)
			return ROOM_NEVER;
		c = &rx->chain[rx->held];
		c->iov = rx->piece + rx->pieces;
		c->iov_max = NET_PIECES;
		got = virtq_pop(q, c);
		if (got == 0 && q->in_flight == q->size)
			return ROOM_NEVER;
		if (got != 1)
			return ROOM_LATER;
		if (c->in_bytes < n->header_size) {
			n->counters.rx_bad_buffers++;
			virtq_push(q, c, 0);
			if (++bad == BAD_BUFFERS_MAX)
				return ROOM_NEVER;
			continue;
		}
		rx->held++;
		rx->held_bytes += c->in_bytes;
		rx->pieces += c->out_count + c->in_count;
	}
	return ROOM;
}

/* The chains that a packet goes to, as one run of bytes. */
struct place {
	const struct virtq_chain *next;
	struct pieces left; /* of the one before */
};

/* There is room for n bytes. */
static void put(struct place *p, const void *data, size_t n)
{
	const uint8_t *from = data;
	size_t some;

	for (;;) {
		some = pieces_write(&p->left, from, n);
		from += some;
		n -= some;
		if (n == 0)
			return;
		p->left = pieces_in(p->next++);
	}
}

/* Forgets the oldest chains, and moves the others to the front. */
static void forget(struct net_rx *rx, unsigned used)
{
	unsigned i, count;

	rx->pieces = 0;
	rx->held_bytes = 0;
	for (i = used; i < rx->held; i++) {
		struct virtq_chain *c = &rx->chain[i - used];

		*c = rx->chain[i];
		count = c->out_count + c->in_count;
		memmove(rx->piece + rx->pieces, c->iov, count * sizeof(*c->iov));
		c->iov = rx->piece + rx->pieces;
		rx->pieces += count;
		rx->held_bytes += c->in_bytes;
	}
	rx->held -= used;
}

static void deliver(struct virtio_net *n, struct net_rx *rx, struct virtq *q, struct net_header *h,
		    const struct iovec *frame, unsigned count, uint64_t bytes)
{
	struct place place = {rx->chain, {NULL, 0}};
	uint32_t written[NET_RX_CHAINS];
	unsigned used = 0, i;

	while (bytes) {
		written[used] =
		    (uint32_t)(bytes < rx->chain[used].in_bytes ? bytes : rx->chain[used].in_bytes);
		bytes -= written[used++];
	}
	h->buffers = (uint16_t)used;
	put(&place, h, n->header_size);
	for (i = 0; i < count; i++)
		put(&place, frame[i].iov_base, frame[i].iov_len);
	virtq_push_all(q, rx->chain, written, used);
	forget(rx, used);
}

/* What the filter looks at: the addresses and a VLAN tag. */
static bool wanted(const struct virtio_net *n, const struct iovec *frame, unsigned count)
{
	uint8_t start[NET_FRAME_MIN + 2];
	size_t have = 0, part;
	unsigned i;

	for (i = 0; i < count && have < sizeof(start); i++) {
		part = sizeof(start) - have;
		if (part > frame[i].iov_len)
			part = frame[i].iov_len;
		memcpy(start + have, frame[i].iov_base, part);
		have += part;
	}
	return virtio_net_filter_pass(&n->filter, start, have);
}

bool virtio_net_receive(void *arg, unsigned pair, const struct net_header *h,
			const struct iovec *frame, unsigned count)
{
	struct virtio_net *n = arg;
	struct net_header header = *h;
	uint64_t bytes = 0;
	struct net_rx *rx;
	unsigned i;

	if (!n->started)
		return false;
	if (pair >= n->pairs_used) {
		n->counters.rx_inactive++;
		return true;
	}
	rx = &n->rx[pair];
	for (i = 0; i < count; i++)
		bytes += frame[i].iov_len;
	if (!(n->receive_offloads & NET_OFFLOAD_CSUM))
		header.flags &= (uint8_t)~NET_DATA_VALID;
	if (bytes < NET_FRAME_MIN || bytes > NET_FRAME_MAX ||
	    !net_header_fits(&header, bytes, n->receive_offloads)) {
		n->counters.rx_malformed++;
		return true;
	}
	if (!wanted(n, frame, count)) {
		n->counters.rx_filtered++;
		return true;
	}
	switch (collect(n, rx, net_rx_queue(n, pair), n->header_size + bytes)) {
	case ROOM:
		break;
	case ROOM_LATER:
		rx->ready = false;
		return false;
	case ROOM_NEVER:
		n->counters.rx_too_long++;
		return true;
	}
	deliver(n, rx, net_rx_queue(n, pair), &header, frame, count, n->header_size + bytes);
	n->counters.rx_packets++;
	n->counters.rx_bytes += bytes;
	return true;
}

void virtio_net_received(void *arg, unsigned pair)
{
	struct virtio_net *n = arg;

	if (n->started && pair < n->pairs_used)
		virtio_notify(&n->device, net_rx_queue(n, pair));
}

void virtio_net_rx_kicked(struct virtio_net *n, unsigned pair)
{
	if (!n->started || pair >= n->pairs_used || n->rx[pair].ready)
		return;
	n->rx[pair].ready = true;
	net_receive_ready(n->net, pair);
}

void virtio_net_rx_stop(struct virtio_net *n, unsigned pair)
{
	struct net_rx *rx = &n->rx[pair];

	forget(rx, rx->held);
	rx->ready = false;
	net_receive_stop(n->net, pair);
}
