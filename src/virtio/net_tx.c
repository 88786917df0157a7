/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter: packets of the guest. Virtio 1.2, section 5.1.6.2.
 *
 * A pass sends at most TX_BUDGET packets and then lets the loop's others have their turn. A packet
 * that the backend has no room for stays popped, at most one a queue, and the ring is left alone
 * until there is room: so the driver's queue fills, and it stops its senders.
 *
 * The header is copied once, checked, and the copy is what the backend gets. What it asks for must
 * have been negotiated and lie inside the frame; else the packet is dropped, which is what a wire
 * does, counted, and the chain given back.
 */
#include "virtio/net_internal.h"

#include <string.h>

#define TX_BUDGET 64u

static unsigned tx_pair(const struct net_tx *tx)
{
	return (unsigned)(tx - tx->net->tx);
}

/* False: the packet is not one. */
static bool parse(struct virtio_net *n, struct net_tx *tx)
{
	struct virtq_chain *c = &tx->chain;
	uint64_t bytes;

	memset(&tx->header, 0, sizeof(tx->header));
	if (c->out_bytes < n->header_size + NET_FRAME_MIN ||
	    c->out_bytes > n->header_size + NET_FRAME_MAX)
		return false;
	bytes = c->out_bytes - n->header_size;
	tx->frame = pieces_out(c);
	pieces_read(&tx->frame, &tx->header, n->header_size);
	tx->header.flags &= NET_NEEDS_CSUM; /* the only one that a driver may set */
	tx->header.buffers = 0;
	return net_header_fits(&tx->header, bytes, n->send_offloads);
}

/* False: the backend has no room. */
static bool send_held(struct virtio_net *n, struct net_tx *tx)
{
	struct pieces frame = tx->frame;
	struct iovec one = {n->linear, 0};

	if (frame.count > NET_IOV_MAX) {
		/* Whole elements are taken, so those of tx->frame stay as they are. */
		one.iov_len = pieces_read(&frame, n->linear, sizeof(n->linear));
		frame = (struct pieces){&one, 1};
	}
	return net_send(n->net, tx_pair(tx), &tx->header, frame.iov, frame.count);
}

/* Whether a packet is there, popped and not broken. */
static bool next_packet(struct virtio_net *n, struct net_tx *tx, struct virtq *q, unsigned *left)
{
	while (*left && !tx->held && virtq_pop(q, &tx->chain) == 1) {
		--*left;
		tx->held = parse(n, tx);
		if (!tx->held) {
			n->counters.tx_malformed++;
			virtq_push(q, &tx->chain, 0);
		}
	}
	return tx->held;
}

void virtio_net_tx_kicked(struct virtio_net *n, unsigned pair)
{
	struct net_tx *tx = &n->tx[pair];
	struct virtq *q = net_tx_queue(n, pair);
	unsigned left = TX_BUDGET;

	if (!n->started || pair >= n->pairs_used || tx->waiting)
		return;
	while (next_packet(n, tx, q, &left)) {
		if (!send_held(n, tx)) {
			tx->waiting = true;
			break;
		}
		tx->held = false;
		n->counters.tx_packets++;
		n->counters.tx_bytes += tx->chain.out_bytes - n->header_size;
		virtq_push(q, &tx->chain, 0);
	}
	net_flush(n->net, pair);
	virtio_notify(&n->device, q);
	if (left == 0 && !tx->waiting)
		loop_post(n->device.loop, &tx->more);
}

static void on_more(struct task *t)
{
	struct net_tx *tx = container_of(t, struct net_tx, more);

	virtio_net_tx_kicked(tx->net, tx_pair(tx));
}

void virtio_net_send_ready(void *arg, unsigned pair)
{
	struct virtio_net *n = arg;

	if (pair >= n->pairs)
		return;
	n->tx[pair].waiting = false;
	virtio_net_tx_kicked(n, pair);
}

void virtio_net_tx_init(struct virtio_net *n, struct net_tx *tx)
{
	tx->net = n;
	tx->more.fn = on_more;
	tx->chain.iov = tx->piece;
	tx->chain.iov_max = NET_PIECES;
}

void virtio_net_tx_stop(struct virtio_net *n, unsigned pair)
{
	n->tx[pair].held = n->tx[pair].waiting = false;
}
