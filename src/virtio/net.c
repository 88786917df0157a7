/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter: features, configuration and life.
 *
 * Theory of operation: Virtio 1.2, section 5.1. Packets to send are in net_tx.c, received ones in
 * net_rx.c and net_filter.c, the control queue in net_ctrl.c. All runs on one loop, which is also
 * the backend's, so no data path takes a lock. Nothing is in flight between two callbacks of the
 * loop: the backend gives memory back before its functions return, and so a stop is over at once.
 *
 * What the backend can do is offered; what the driver accepted is what packets may ask for. The
 * control queue is the last one of those that were negotiated (5.1.2): the third without MQ.
 *
 * Left out: RSS and hash reports (no backend has hashes), UFO (gone from Linux), notification
 * coalescing (interrupts are one a batch already), STANDBY.
 */
#include "virtio/net_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	unsigned offload;
	uint64_t host, guest;
} offload_features[] = {
    {NET_OFFLOAD_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
    {NET_OFFLOAD_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
    {NET_OFFLOAD_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
    {NET_OFFLOAD_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
    {NET_OFFLOAD_USO, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6},
};

#define OFFLOAD_FEATURES (sizeof(offload_features) / sizeof(offload_features[0]))

static uint64_t features_of(unsigned send, unsigned receive)
{
	uint64_t features = 0;
	unsigned i;

	for (i = 0; i < OFFLOAD_FEATURES; i++) {
		if (send & offload_features[i].offload)
			features |= offload_features[i].host;
		if (receive & offload_features[i].offload)
			features |= offload_features[i].guest;
	}
	return features;
}

/* Without checksums there is nothing else: section 5.1.3.1. */
static unsigned offloads_of(uint64_t features, bool guest)
{
	unsigned offloads = 0, i;
	uint64_t all;

	for (i = 0; i < OFFLOAD_FEATURES; i++) {
		all = guest ? offload_features[i].guest : offload_features[i].host;
		if ((features & all) == all)
			offloads |= offload_features[i].offload;
	}
	return offloads & NET_OFFLOAD_CSUM ? offloads : 0;
}

unsigned virtio_net_guest_offloads(uint64_t guest)
{
	return offloads_of(guest, true);
}

void virtio_net_set_status(struct virtio_net *n, uint16_t bits, bool on)
{
	if (on)
		n->status |= bits;
	else
		n->status &= (uint16_t)~bits;
	virtio_change_config(&n->device, NET_CONFIG_STATUS, &n->status, sizeof(n->status));
}

void virtio_net_announce(struct virtio_device *v)
{
	struct virtio_net *n = virtio_net_of(v);

	if (n->started && virtio_has(v, VIRTIO_NET_F_GUEST_ANNOUNCE | VIRTIO_NET_F_CTRL_VQ))
		virtio_net_set_status(n, NET_STATUS_ANNOUNCE, true);
}

/* A link that comes back may lead elsewhere than before. */
static void on_link_changed(void *arg, bool up)
{
	struct virtio_net *n = arg;

	virtio_net_set_status(n, NET_STATUS_LINK_UP, up);
	if (up)
		virtio_net_announce(&n->device);
}

void virtio_net_set_pairs(struct virtio_net *n, unsigned pairs)
{
	unsigned i;

	for (i = pairs; i < n->pairs_used; i++)
		virtio_net_rx_stop(n, i);
	n->pairs_used = pairs;
	net_set_queues(n->net, pairs);
	for (i = 0; i < pairs; i++) {
		virtio_net_rx_kicked(n, i);
		virtio_net_tx_kicked(n, i);
	}
}

static void read_mac(struct virtio_net *n)
{
	pthread_mutex_lock(&n->device.lock);
	memcpy(n->filter.mac, n->device.config + NET_CONFIG_MAC, sizeof(n->filter.mac));
	pthread_mutex_unlock(&n->device.lock);
}

static void net_start(struct virtio_device *v)
{
	struct virtio_net *n = virtio_net_of(v);

	n->header_size = sizeof(struct net_header);
	if (!virtio_has(v, VIRTIO_F_VERSION_1) && !virtio_has(v, VIRTIO_NET_F_MRG_RXBUF))
		n->header_size -= sizeof(uint16_t);
	n->pairs_max = virtio_has(v, VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ) ? n->pairs : 1;
	n->pairs_used = 1;
	n->control = virtio_has(v, VIRTIO_NET_F_CTRL_VQ) ? 2 * n->pairs_max : 0;
	n->send_offloads = offloads_of(v->features, false);
	n->receive_offloads = offloads_of(v->features, true);
	virtio_net_filter_reset(n);
	read_mac(n);
	net_set_offloads(n->net, n->receive_offloads);
	net_set_queues(n->net, n->pairs_used);
	n->started = true;
}

static void net_kicked(struct virtio_device *v, struct virtq *q)
{
	struct virtio_net *n = virtio_net_of(v);
	unsigned pair = q->index / 2;

	if (n->control && q->index == n->control)
		virtio_net_control_kicked(n);
	else if (pair >= n->pairs_max)
		return;
	else if (q->index % 2)
		virtio_net_tx_kicked(n, pair);
	else
		virtio_net_rx_kicked(n, pair);
}

static void net_stop(struct virtio_device *v)
{
	struct virtio_net *n = virtio_net_of(v);
	unsigned i;

	n->started = false;
	for (i = 0; i < n->pairs; i++) {
		virtio_net_rx_stop(n, i);
		virtio_net_tx_stop(n, i);
	}
	virtio_net_set_status(n, NET_STATUS_ANNOUNCE, false);
	virtio_change_config(v, NET_CONFIG_MAC, n->mac, sizeof(n->mac));
	virtio_stopped(v);
}

static void net_stop_queue(struct virtio_device *v, struct virtq *q)
{
	struct virtio_net *n = virtio_net_of(v);
	unsigned pair = q->index / 2;

	if (pair < n->pairs_max && q->index % 2)
		virtio_net_tx_stop(n, pair);
	else if (pair < n->pairs_max)
		virtio_net_rx_stop(n, pair);
	virtio_queue_stopped(v, q);
}

static void on_mac_written(struct task *t)
{
	read_mac(container_of(t, struct virtio_net, mac_written));
}

/* Legacy drivers without CTRL_MAC_ADDR set the address here; section 5.1.4.3. */
static void net_config_write(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
			     unsigned size)
{
	unsigned i;

	if (v->driver_chosen & VIRTIO_F_VERSION_1 || offset >= NET_CONFIG_STATUS)
		return;
	for (i = 0; i < size && offset + i < NET_CONFIG_STATUS; i++)
		v->config[offset + i] = bytes[i];
	loop_post(v->loop, &virtio_net_of(v)->mac_written);
}

static void net_destroy(struct device *base)
{
	struct virtio_net *n = virtio_net_of(container_of(base, struct virtio_device, base));

	virtio_device_fini(&n->device);
	free(n->rx);
	free(n->tx);
	free(n);
}

static const struct virtio_type net_type = {
    .ops = {"virtio-net", virtio_reset, net_destroy},
    .id = 1,
    .class_code = 0x020000, /* network, Ethernet */
    .start = net_start,
    .kicked = net_kicked,
    .stop = net_stop,
    .stop_queue = net_stop_queue,
    .config_write = net_config_write,
};

static uint64_t net_features(const struct virtio_net *n, const struct virtio_net_params *p)
{
	uint64_t features = VIRTQ_FEATURES | VIRTIO_F_ANY_LAYOUT | VIRTIO_NET_F_MAC |
			    VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CTRL_VQ |
			    VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_RX_EXTRA |
			    VIRTIO_NET_F_CTRL_VLAN | VIRTIO_NET_F_CTRL_MAC_ADDR |
			    VIRTIO_NET_F_GUEST_ANNOUNCE |
			    features_of(net_offloads(p->net), net_receive_offloads(p->net));

	if (net_receive_offloads(p->net))
		features |= VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
	if (p->mtu)
		features |= VIRTIO_NET_F_MTU;
	if (n->pairs > 1)
		features |= VIRTIO_NET_F_MQ;
	return features;
}

static void fill_config(struct virtio_net *n, const struct virtio_net_params *p)
{
	uint16_t pairs = (uint16_t)n->pairs;
	uint8_t *config = n->device.config;

	n->status = net_link(p->net) ? NET_STATUS_LINK_UP : 0;
	memcpy(n->mac, p->mac, sizeof(n->mac));
	memcpy(config + NET_CONFIG_MAC, n->mac, sizeof(n->mac));
	memcpy(config + NET_CONFIG_STATUS, &n->status, sizeof(n->status));
	memcpy(config + NET_CONFIG_PAIRS, &pairs, sizeof(pairs));
	memcpy(config + NET_CONFIG_MTU, &p->mtu, sizeof(p->mtu));
}

static int net_init(struct virtio_net *n, const struct virtio_net_params *p)
{
	struct virtio_device_params device = {
	    .type = &net_type,
	    .mem = p->mem,
	    .loop = p->loop,
	    .features = net_features(n, p),
	    .config_size = NET_CONFIG_SIZE,
	    .queue_count = 2 * n->pairs + 1,
	    .queue_size = NET_QUEUE_SIZE,
	};
	struct net_client client = {
	    .receive = virtio_net_receive,
	    .received = virtio_net_received,
	    .send_ready = virtio_net_send_ready,
	    .link_changed = on_link_changed,
	    .arg = n,
	};
	int err = virtio_device_init(&n->device, &device);
	unsigned i;

	if (err)
		return err;
	n->net = p->net;
	n->mac_written.fn = on_mac_written;
	for (i = 0; i < n->pairs; i++)
		virtio_net_tx_init(n, &n->tx[i]);
	virtio_net_control_init(n);
	fill_config(n, p);
	net_connect(p->net, &client);
	return 0;
}

int virtio_net_create(const struct virtio_net_params *p, struct virtio_device **out)
{
	struct virtio_net *n = calloc(1, sizeof(*n));
	int err = -ENOMEM;

	if (!n)
		return err;
	n->pairs = p->pairs < net_queues(p->net) ? p->pairs : net_queues(p->net);
	assert(n->pairs >= 1 && n->pairs <= NET_QUEUES_MAX);
	n->rx = calloc(n->pairs, sizeof(*n->rx));
	n->tx = calloc(n->pairs, sizeof(*n->tx));
	if (n->rx && n->tx)
		err = net_init(n, p);
	if (err) {
		free(n->rx);
		free(n->tx);
		free(n);
		return err;
	}
	*out = &n->device;
	return 0;
}

const struct virtio_net_counters *virtio_net_counters(struct virtio_device *v)
{
	return &virtio_net_of(v)->counters;
}
