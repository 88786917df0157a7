/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter: commands of the driver. Virtio 1.2, section 5.1.6.5.
 *
 * A command is a class, a code and its arguments, and is answered with one byte. Each byte of it is
 * read once, in order, and nothing changes before all were there and none is left over. What is
 * wrong, unknown, or of a feature that was not accepted is answered with ERR; only a chain without
 * room for the answer goes back without one.
 */
#include "virtio/net_internal.h"

#include <string.h>

#define CONTROL_BUDGET 16u /* commands in a pass of the loop */

enum { ACK_OK, ACK_ERR };

/* The next argument. False: there are not so many bytes. */
static bool take(struct pieces *arguments, void *to, size_t n)
{
	return pieces_read(arguments, to, n) == n;
}

static bool take_last(struct pieces *arguments, void *to, size_t n)
{
	return take(arguments, to, n) && arguments->count == 0;
}

static bool set_mode(struct virtio_net *n, unsigned code, struct pieces *a)
{
	uint8_t on;

	if (!take_last(a, &on, sizeof(on)))
		return false;
	n->filter.mode[code] = on;
	return true;
}

static bool take_macs(struct pieces *a, struct net_macs *m)
{
	uint32_t count;
	size_t bytes;

	if (!take(a, &count, sizeof(count)))
		return false;
	m->overflow = count > NET_MACS_MAX;
	m->count = m->overflow ? 0 : count;
	bytes = (size_t)count * sizeof(m->mac[0]);
	return (m->overflow ? pieces_skip(a, bytes) : pieces_read(a, m->mac, bytes)) == bytes;
}

static bool set_mac_table(struct virtio_net *n, unsigned code, struct pieces *a)
{
	struct net_macs unicast, multicast;

	(void)code;
	if (!take_macs(a, &unicast) || !take_macs(a, &multicast) || a->count)
		return false;
	n->filter.unicast = unicast;
	n->filter.multicast = multicast;
	return true;
}

static bool set_mac(struct virtio_net *n, unsigned code, struct pieces *a)
{
	uint8_t mac[6];

	(void)code;
	if (!take_last(a, mac, sizeof(mac)))
		return false;
	memcpy(n->filter.mac, mac, sizeof(mac));
	virtio_change_config(&n->device, NET_CONFIG_MAC, mac, sizeof(mac));
	return true;
}

static bool set_vlan(struct virtio_net *n, unsigned code, struct pieces *a)
{
	uint16_t id;

	if (!take_last(a, &id, sizeof(id)) || id >= NET_VLANS)
		return false;
	if (code)
		n->filter.vlan[id / 64] &= ~(1ull << id % 64);
	else
		n->filter.vlan[id / 64] |= 1ull << id % 64;
	return true;
}

static bool acknowledge_announce(struct virtio_net *n, unsigned code, struct pieces *a)
{
	(void)code;
	if (a->count || !(n->status & NET_STATUS_ANNOUNCE))
		return false;
	virtio_net_set_status(n, NET_STATUS_ANNOUNCE, false);
	return true;
}

static bool set_pairs(struct virtio_net *n, unsigned code, struct pieces *a)
{
	uint16_t pairs;

	(void)code;
	if (!take_last(a, &pairs, sizeof(pairs)) || pairs < 1 || pairs > n->pairs_max)
		return false;
	virtio_net_set_pairs(n, pairs);
	return true;
}

static bool set_guest_offloads(struct virtio_net *n, unsigned code, struct pieces *a)
{
	uint64_t features;

	(void)code;
	if (!take_last(a, &features, sizeof(features)) ||
	    (features & (VIRTIO_NET_GUEST_OFFLOADS & n->device.features)) != features)
		return false;
	n->receive_offloads = virtio_net_guest_offloads(features);
	net_set_offloads(n->net, n->receive_offloads);
	return true;
}

static const struct command {
	uint8_t class, first, last; /* codes */
	uint64_t feature;
	bool (*run)(struct virtio_net *n, unsigned code, struct pieces *a);
} commands[] = {
    {0, 0, 1, VIRTIO_NET_F_CTRL_RX, set_mode},
    {0, 2, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, set_mode},
    {1, 0, 0, VIRTIO_NET_F_CTRL_RX, set_mac_table},
    {1, 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, set_mac},
    {2, 0, 1, VIRTIO_NET_F_CTRL_VLAN, set_vlan},
    {3, 0, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, acknowledge_announce},
    {4, 0, 0, VIRTIO_NET_F_MQ, set_pairs},
    {5, 0, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, set_guest_offloads},
};

static bool run(struct virtio_net *n, const struct virtq_chain *chain)
{
	struct pieces a = pieces_out(chain);
	const struct command *c;
	uint8_t code[2];

	if (!take(&a, code, sizeof(code)))
		return false;
	for (c = commands; c < commands + sizeof(commands) / sizeof(commands[0]); c++) {
		if (c->class == code[0] && code[1] >= c->first && code[1] <= c->last)
			return virtio_has(&n->device, c->feature) && c->run(n, code[1], &a);
	}
	return false;
}

static void answer(struct virtio_net *n, struct virtq *q, const struct virtq_chain *c)
{
	uint8_t ack = ACK_ERR;

	n->counters.commands++;
	if (c->in_bytes && run(n, c))
		ack = ACK_OK;
	else
		n->counters.commands_refused++;
	if (c->in_bytes)
		*(uint8_t *)c->iov[c->out_count].iov_base = ack;
	virtq_push(q, c, c->in_bytes ? 1 : 0);
}

void virtio_net_control_kicked(struct virtio_net *n)
{
	struct virtq_chain c = {.iov = n->control_piece, .iov_max = NET_PIECES};
	struct virtq *q = &n->device.queue[n->control].ring;
	unsigned left = CONTROL_BUDGET;

	while (left && virtq_pop(q, &c) == 1) {
		answer(n, q, &c);
		left--;
	}
	virtio_notify(&n->device, q);
	if (left == 0)
		loop_post(n->device.loop, &n->control_more);
}

static void on_more(struct task *t)
{
	struct virtio_net *n = container_of(t, struct virtio_net, control_more);

	if (n->started && n->control)
		virtio_net_control_kicked(n);
}

void virtio_net_control_init(struct virtio_net *n)
{
	n->control_more.fn = on_more;
}
