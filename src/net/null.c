/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network on which nobody is: what is sent is gone, and nothing comes. For tests and figures. */
#include "net/backend.h"

static int null_open(struct net *n, const struct net_params *p, struct refusal *why)
{
	(void)why;
	n->queues = p->queues;
	n->send_offloads = n->receive_offloads = NET_TCP_OFFLOADS | NET_OFFLOAD_USO;
	n->link = true;
	return 0;
}

static void null_close(struct net *n)
{
	(void)n;
}

static bool null_send(struct net *n, unsigned queue, const struct net_header *h,
		      const struct iovec *frame, unsigned count, size_t size)
{
	(void)n;
	(void)queue;
	(void)h;
	(void)frame;
	(void)count;
	(void)size;
	return true;
}

const struct net_backend net_null = {.open = null_open, .close = null_close, .send = null_send};
