/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network backends: the seam between a network adapter of the guest and what carries its frames.
 *
 * All functions are for the thread of the loop that the backend was opened with, or for any one
 * thread while the loop does not run. A packet is a struct net_header and an Ethernet frame without
 * its checksum. Neither side queues without bound: a packet that the other side has no room for
 * stays where it is, and it is told when there is room.
 *
 * The adapter is never called from within a call of its own: it may call any function here from
 * its callbacks, and keeps no lock for them.
 *
 * A packet's content may be guest memory, which the guest may change at any time: a backend copies
 * what it decides on. The header is the adapter's copy.
 */
#ifndef LODGE_NET_H
#define LODGE_NET_H

#include <lodge/loop.h>
#include <lodge/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_FRAME_MAX    65550u /* bytes of an Ethernet frame: 64 KiB of IP and its header */
#define NET_FRAME_MIN    14u    /* shorter ones are dropped */
#define NET_MTU_DEFAULT  1500u
#define NET_FORWARDS_MAX 32u
#define NET_QUEUES_MAX   32u /* pairs */
#define NET_IOV_MAX      (64u + 2u)

/* virtio's struct virtio_net_hdr with num_buffers, section 5.1.6, which is Linux's too. */
struct net_header {
	uint8_t flags;    /* NET_NEEDS_CSUM, NET_DATA_VALID */
	uint8_t gso_type; /* NET_GSO_* */
	uint16_t header_size, gso_size, checksum_start, checksum_offset;
	uint16_t buffers; /* the adapter's own */
};

#define NET_NEEDS_CSUM 0x01u
#define NET_DATA_VALID 0x02u
#define NET_GSO_NONE   0u
#define NET_GSO_TCPV4  1u
#define NET_GSO_UDP    3u
#define NET_GSO_TCPV6  4u
#define NET_GSO_UDP_L4 5u
#define NET_GSO_ECN    0x80u

/* What one side may leave to the other. */
#define NET_OFFLOAD_CSUM 0x01u
#define NET_OFFLOAD_TSO4 0x02u
#define NET_OFFLOAD_TSO6 0x04u
#define NET_OFFLOAD_ECN  0x08u
#define NET_OFFLOAD_USO  0x10u

struct net;

enum net_kind { NET_NONE, NET_USER, NET_TAP, NET_PASST, NET_NULL, NET_DGRAM };

struct net_forward {
	bool udp;
	bool everywhere;       /* on all addresses of the host */
	uint32_t host_address; /* network byte order; 0: 127.0.0.1 */
	uint16_t host_port, guest_port;
};

struct net_params {
	enum net_kind kind; /* not NET_NONE: that is no adapter */
	const char *ifname; /* tap: an interface that is there */
	const char *path;   /* passt: its socket; dgram: our own, which is made */
	const char *peer;   /* dgram: the other side's, which may come and go */
	/* Instead of ifname, or of path: tap, one for each queue; passt, one. Taken over. */
	int fd[NET_QUEUES_MAX];
	unsigned fd_count;
	struct net_forward forward[NET_FORWARDS_MAX]; /* user */
	unsigned forward_count;
	/*
	 * user: nobody asked for it, so it costs nothing until the guest sends, and without
	 * libslirp the link goes down then, instead of a refusal now.
	 */
	bool by_default;
	unsigned queues; /* pairs that the adapter has, at least 1; a backend may use fewer */
	uint8_t mac[6];  /* of the guest */
};

/* The adapter's side. */
struct net_client {
	/*
	 * A packet for the guest, on one queue pair; the memory is the backend's and only good
	 * during the call. False: no room; it is not offered again before net_receive_ready().
	 */
	bool (*receive)(void *arg, unsigned queue, const struct net_header *h,
			const struct iovec *frame, unsigned count);
	/* The end of a batch of receive(): interrupt the guest now. */
	void (*received)(void *arg, unsigned queue);
	/* net_send() has room again. */
	void (*send_ready)(void *arg, unsigned queue);
	void (*link_changed)(void *arg, bool up);
	void *arg;
};

/*
 * 0, or -1 with *why: 64 what p says makes no sense, 69 an interface, a socket, a library or a host
 * port is not to be had, 73 our socket cannot be made, 77. Passed descriptors are closed then too.
 */
int net_open(const struct net_params *p, struct loop *l, struct net **out, struct refusal *why);
/* The loop does not run. NULL: nothing. */
void net_close(struct net *n);

/* After opening, once. Nothing is received before net_receive_ready(). */
void net_connect(struct net *n, const struct net_client *c);

unsigned net_queues(const struct net *n);
/* Of packets to net_send(); constant. */
unsigned net_offloads(const struct net *n);
/* Of packets to receive(): what it can do, and what the guest wants of it, at first nothing. */
unsigned net_receive_offloads(const struct net *n);
void net_set_offloads(struct net *n, unsigned offloads);
bool net_link(const struct net *n);

/* How many pairs the guest uses, at least 1; it may receive on any of them. */
void net_set_queues(struct net *n, unsigned pairs);

/* The guest has buffers again on this queue, or for the first time; or none for now. */
void net_receive_ready(struct net *n, unsigned queue);
void net_receive_stop(struct net *n, unsigned queue);

/*
 * Whether all that h asks for is among offloads, lies in the frame of size bytes and goes together.
 * Clears fields that mean nothing then, and limits header_size, which is only a hint (5.1.6.2.2).
 * For packets of either direction.
 */
bool net_header_fits(struct net_header *h, size_t size, unsigned offloads);

/*
 * A packet of the guest: NET_FRAME_MIN to NET_FRAME_MAX bytes in at most NET_IOV_MAX pieces, with a
 * header that net_header_fits() with net_offloads() or fewer, no flag but NET_NEEDS_CSUM, and
 * buffers 0. True: it is sent, or dropped as a network may, and the memory is the caller's again.
 * False: no room; send_ready() says when.
 */
bool net_send(struct net *n, unsigned queue, const struct net_header *h, const struct iovec *frame,
	      unsigned count);
/* The end of a batch of net_send(). */
void net_flush(struct net *n, unsigned queue);

#endif
