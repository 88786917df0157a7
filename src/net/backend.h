/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network backends: what each gives to net.c, and gets from it.
 *
 * net.c keeps which queues may receive, and drops received packets that are no frame. A backend
 * carries packets. It calls the adapter from the loop's callbacks only, never from within its
 * hooks, as a hook may be under a call of the adapter's.
 */
#ifndef NET_BACKEND_H
#define NET_BACKEND_H

#include <lodge/net.h>
#include <lodge/status.h>
#include <sys/un.h>

/* Packets that a backend hands over in one callback, so that others of the loop have their turn. */
#define NET_BATCH        64u

#define NET_TCP_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN)

struct net_backend {
	/* Fills n->state, queues, send_offloads, receive_offloads and link. 0, or -1 with *why. */
	int (*open)(struct net *n, const struct net_params *p, struct refusal *why);
	void (*close)(struct net *n); /* after open() was 0 */
	/*
	 * size is what frame has, NET_FRAME_MIN to NET_FRAME_MAX, and h fits it, within
	 * send_offloads, and is 0 where it says nothing.
	 */
	bool (*send)(struct net *n, unsigned queue, const struct net_header *h,
		     const struct iovec *frame, unsigned count, size_t size);
	/* These may be NULL. */
	void (*flush)(struct net *n, unsigned queue);
	void (*ready_changed)(struct net *n, unsigned queue); /* n->ready */
	void (*offloads_changed)(struct net *n);              /* n->offloads */
	void (*pairs_changed)(struct net *n);                 /* n->pairs */
};

struct net {
	const struct net_backend *backend;
	void *state; /* the backend's */
	struct loop *loop;
	unsigned queues;
	unsigned send_offloads, receive_offloads; /* what it can do */
	bool link;
	/* What the adapter wants. */
	struct net_client client;
	unsigned offloads; /* of received packets */
	unsigned pairs;
	bool ready[NET_QUEUES_MAX];
};

extern const struct net_backend net_user, net_tap, net_passt, net_null, net_dgram;

/*
 * For backends, from the loop's callbacks. Hands a packet over; false: no room, and n->ready[queue]
 * is false now. Frames too short or too long are dropped, which is true.
 */
bool net_deliver(struct net *n, unsigned queue, const struct net_header *h, const void *frame,
		 size_t size);
bool net_deliver_pieces(struct net *n, unsigned queue, const struct net_header *h,
			const struct iovec *frame, unsigned count, size_t size);
void net_delivered(struct net *n, unsigned queue);
void net_send_ready(struct net *n, unsigned queue);
void net_change_link(struct net *n, bool up);

/* Copies at most size bytes of a frame; how many there were. */
size_t net_gather(void *to, size_t size, const struct iovec *frame, unsigned count);
/*
 * The Internet checksum's sum of RFC 1071 over size bytes and what was summed before, folded to 16
 * bits, in network byte order; the checksum is its complement.
 */
uint16_t net_sum(uint16_t before, const void *p, size_t size);
/* The checksum that h leaves to us, section 5.1.6.2; h fits size. Others: nothing. */
void net_complete_checksum(uint8_t *frame, size_t size, const struct net_header *h);

/* 0, or -1 with *why: no path, or one too long. */
int net_unix_address(struct sockaddr_un *a, const char *what, const char *path,
		     struct refusal *why);

#endif
