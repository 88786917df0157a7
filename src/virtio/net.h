/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network adapter: Virtio 1.2, section 5.1. The wiring puts a backend behind it. */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "virtio/device.h"

#include <lodge/net.h>

struct virtio_net_params {
	const struct gmem *mem;
	struct loop *loop; /* the backend's */
	struct net *net;   /* not connected yet; outlives the device */
	uint8_t mac[6];
	uint16_t mtu;   /* that the driver is told; 0: it is not */
	unsigned pairs; /* of queues wanted, one a vCPU; it has no more than the backend */
};

/* What became of packets and commands. "dropped" is the sum of all packets that went nowhere. */
struct virtio_net_counters {
	uint64_t tx_packets, tx_bytes; /* to the backend; it may still drop them */
	uint64_t tx_malformed;         /* dropped: header or length break the rules */
	uint64_t rx_packets, rx_bytes;
	uint64_t rx_filtered;    /* dropped: the driver did not ask for its address or VLAN */
	uint64_t rx_too_long;    /* dropped: longer than the buffers of the driver */
	uint64_t rx_malformed;   /* dropped: from the backend, not a frame or an unwanted offload */
	uint64_t rx_inactive;    /* dropped: for a queue that the driver does not use */
	uint64_t rx_bad_buffers; /* given back empty: they cannot hold a header */
	uint64_t commands, commands_refused;
};

/* 0 or -errno. It ends by its base.ops->destroy(). */
int virtio_net_create(const struct virtio_net_params *p, struct virtio_device **out);

/* Asks the driver to announce itself to the network. The loop's thread. */
void virtio_net_announce(struct virtio_device *v);

/* The loop's thread, or the loop does not run. */
const struct virtio_net_counters *virtio_net_counters(struct virtio_device *v);

#endif
