/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network backend behind the real src/net/net.c that keeps what it is given. */
#ifndef FAKE_NET_H
#define FAKE_NET_H

#include "net/backend.h"

#define FAKE_NET_STAMPS 1024u

struct fake_net {
	struct net net;
	unsigned room; /* packets that it still takes */
	unsigned flushes;
	unsigned packets; /* sent since init */
	/* Of each: its queue, and the four bytes after its Ethernet header, if it has them. */
	unsigned queue[FAKE_NET_STAMPS];
	uint32_t stamp[FAKE_NET_STAMPS];
	/* The newest one. */
	struct net_header header;
	size_t size;
	unsigned pieces;
	uint8_t frame[NET_FRAME_MAX];
};

/* Takes all packets; the link is up. */
void fake_net_init(struct fake_net *f, struct loop *l, unsigned queues, unsigned offloads);

/* To the adapter. False: no room. */
bool fake_net_deliver(struct fake_net *f, unsigned queue, const struct net_header *h,
		      const void *frame, size_t size);

#endif
