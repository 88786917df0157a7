/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the network adapter share. All of it is the loop's, unless it says otherwise.
 */
#ifndef VIRTIO_NET_INTERNAL_H
#define VIRTIO_NET_INTERNAL_H

#include "virtio/net.h"
#include "virtio/pieces.h"

/* Feature bits, section 5.1.3. */
#define VIRTIO_NET_F_CSUM                (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM          (1ull << 1)
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS (1ull << 2)
#define VIRTIO_NET_F_MTU                 (1ull << 3)
#define VIRTIO_NET_F_MAC                 (1ull << 5)
#define VIRTIO_NET_F_GUEST_TSO4          (1ull << 7)
#define VIRTIO_NET_F_GUEST_TSO6          (1ull << 8)
#define VIRTIO_NET_F_GUEST_ECN           (1ull << 9)
#define VIRTIO_NET_F_HOST_TSO4           (1ull << 11)
#define VIRTIO_NET_F_HOST_TSO6           (1ull << 12)
#define VIRTIO_NET_F_HOST_ECN            (1ull << 13)
#define VIRTIO_NET_F_MRG_RXBUF           (1ull << 15)
#define VIRTIO_NET_F_STATUS              (1ull << 16)
#define VIRTIO_NET_F_CTRL_VQ             (1ull << 17)
#define VIRTIO_NET_F_CTRL_RX             (1ull << 18)
#define VIRTIO_NET_F_CTRL_VLAN           (1ull << 19)
#define VIRTIO_NET_F_CTRL_RX_EXTRA       (1ull << 20)
#define VIRTIO_NET_F_GUEST_ANNOUNCE      (1ull << 21)
#define VIRTIO_NET_F_MQ                  (1ull << 22)
#define VIRTIO_NET_F_CTRL_MAC_ADDR       (1ull << 23)
#define VIRTIO_NET_F_GUEST_USO4          (1ull << 54)
#define VIRTIO_NET_F_GUEST_USO6          (1ull << 55)
#define VIRTIO_NET_F_HOST_USO            (1ull << 56)

/* Those that CTRL_GUEST_OFFLOADS can change. */
#define VIRTIO_NET_GUEST_OFFLOADS                                                                  \
	(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 |             \
	 VIRTIO_NET_F_GUEST_ECN | VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6)

/* Configuration, section 5.1.4. */
#define NET_CONFIG_MAC      0u
#define NET_CONFIG_STATUS   6u
#define NET_CONFIG_PAIRS    8u
#define NET_CONFIG_MTU      10u
#define NET_CONFIG_SIZE     12u
#define NET_STATUS_LINK_UP  1u
#define NET_STATUS_ANNOUNCE 2u

#define NET_QUEUE_SIZE      256u

/*
 * What a driver may count on: pieces of one chain. A chain of as many buffers as the ring has, and
 * some that lie across regions of RAM.
 */
#define NET_PIECES (NET_QUEUE_SIZE + GMEM_REGIONS_MAX)

/* Of one received packet: as many as a driver needs whose buffers hold a frame of 1500 bytes. */
#define NET_RX_CHAINS 64u

struct net_rx {
	/* Chains that were popped and not filled, oldest first: a packet was too long for them. */
	struct virtq_chain chain[NET_RX_CHAINS];
	unsigned held;
	uint64_t held_bytes;
	struct iovec piece[NET_PIECES + 4 * NET_RX_CHAINS]; /* theirs */
	unsigned pieces;
	bool ready; /* the backend was told that there are buffers */
};

struct net_tx {
	struct virtio_net *net;
	struct task more; /* the budget of a pass was not enough, or the backend has room again */
	struct virtq_chain chain;
	bool held;    /* chain is popped and not sent */
	bool waiting; /* for the backend's room */
	struct net_header header;
	struct pieces frame; /* of chain */
	struct iovec piece[NET_PIECES];
};

#define NET_MACS_MAX 64u /* of each kind; with more, all of the kind are let through */
#define NET_VLANS    4096u

struct net_macs {
	unsigned count;
	bool overflow;
	uint8_t mac[NET_MACS_MAX][6];
};

/* Sections 5.1.6.5.1 to 5.1.6.5.3. */
struct net_filter {
	bool mode[6]; /* by command: promisc, allmulti, alluni, nomulti, nouni, nobcast */
	uint8_t mac[6];
	struct net_macs unicast, multicast;
	bool vlan_filter;
	uint64_t vlan[NET_VLANS / 64];
};

struct virtio_net {
	struct virtio_device device;
	struct net *net;
	unsigned pairs; /* that the device has */
	uint8_t mac[6]; /* after a reset */
	struct task mac_written;

	bool started;
	uint16_t status;
	/* From start() on. */
	unsigned header_size;                     /* in buffers: 10 or 12 */
	unsigned pairs_max, pairs_used;           /* by negotiation; by command */
	unsigned control;                         /* its queue; 0: none */
	unsigned send_offloads, receive_offloads; /* NET_OFFLOAD_*; the latter by command */
	struct net_filter filter;

	struct net_rx *rx; /* pairs of each */
	struct net_tx *tx;
	struct task control_more;
	struct iovec control_piece[NET_PIECES];
	struct virtio_net_counters counters;
	uint8_t linear[NET_FRAME_MAX]; /* for a frame of more than NET_IOV_MAX pieces */
};

static inline struct virtio_net *virtio_net_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_net, device);
}

static inline struct virtq *net_rx_queue(struct virtio_net *n, unsigned pair)
{
	return &n->device.queue[2 * (size_t)pair].ring;
}

static inline struct virtq *net_tx_queue(struct virtio_net *n, unsigned pair)
{
	return &n->device.queue[2 * (size_t)pair + 1].ring;
}

/* net.c */
void virtio_net_set_pairs(struct virtio_net *n, unsigned pairs);
/* NET_OFFLOAD_* of VIRTIO_NET_GUEST_OFFLOADS. */
unsigned virtio_net_guest_offloads(uint64_t guest);
/* NET_STATUS_* */
void virtio_net_set_status(struct virtio_net *n, uint16_t bits, bool on);

/* net_rx.c */
bool virtio_net_receive(void *arg, unsigned pair, const struct net_header *h,
			const struct iovec *frame, unsigned count);
void virtio_net_received(void *arg, unsigned pair);
/* There may be buffers. */
void virtio_net_rx_kicked(struct virtio_net *n, unsigned pair);
void virtio_net_rx_stop(struct virtio_net *n, unsigned pair);

/* net_tx.c */
void virtio_net_tx_kicked(struct virtio_net *n, unsigned pair);
void virtio_net_send_ready(void *arg, unsigned pair);
void virtio_net_tx_init(struct virtio_net *n, struct net_tx *tx);
void virtio_net_tx_stop(struct virtio_net *n, unsigned pair);

/* net_filter.c */
void virtio_net_filter_reset(struct virtio_net *n);
/* frame: at least NET_FRAME_MIN bytes, readable as one piece up to `size`. */
bool virtio_net_filter_pass(const struct net_filter *f, const uint8_t *frame, size_t size);

/* net_ctrl.c */
void virtio_net_control_kicked(struct virtio_net *n);
void virtio_net_control_init(struct virtio_net *n);

#endif
