/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_net.h"

#include <string.h>

static void fake_close(struct net *n)
{
	(void)n;
}

static bool fake_send(struct net *n, unsigned queue, const struct net_header *h,
		      const struct iovec *frame, unsigned count, size_t size)
{
	struct fake_net *f = n->state;
	unsigned i = f->packets;

	if (f->room == 0)
		return false;
	f->room--;
	f->header = *h;
	f->size = net_gather(f->frame, sizeof(f->frame), frame, count);
	f->pieces = count;
	if (i < FAKE_NET_STAMPS) {
		f->queue[i] = queue;
		if (size >= NET_FRAME_MIN + 4)
			memcpy(&f->stamp[i], f->frame + NET_FRAME_MIN, 4);
	}
	f->packets++;
	return true;
}

static void fake_flush(struct net *n, unsigned queue)
{
	struct fake_net *f = n->state;

	(void)queue;
	f->flushes++;
}

static const struct net_backend backend = {
    .close = fake_close,
    .send = fake_send,
    .flush = fake_flush,
};

void fake_net_init(struct fake_net *f, struct loop *l, unsigned queues, unsigned offloads)
{
	memset(f, 0, sizeof(*f));
	f->net = (struct net){
	    .backend = &backend,
	    .state = f,
	    .loop = l,
	    .queues = queues,
	    .send_offloads = offloads,
	    .receive_offloads = offloads,
	    .link = true,
	    .pairs = 1,
	};
	f->room = UINT32_MAX;
}

bool fake_net_deliver(struct fake_net *f, unsigned queue, const struct net_header *h,
		      const void *frame, size_t size)
{
	const struct iovec iov = {(void *)(uintptr_t)frame, size};

	/* As net_deliver(), but for lengths, which are the adapter's business too. */
	if (!f->net.ready[queue] || !f->net.client.receive)
		return false;
	if (f->net.client.receive(f->net.client.arg, queue, h, &iov, 1))
		return true;
	f->net.ready[queue] = false;
	return false;
}
