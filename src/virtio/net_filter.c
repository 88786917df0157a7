/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter: which received frames the driver wants. Virtio 1.2, sections 5.1.6.5.1 to
 * 5.1.6.5.3.
 *
 * Until the driver says otherwise all are, as drivers without a control queue expect. Filtering may
 * let too much through (the section calls it best effort), never too little: a table of more
 * addresses than we keep stands for all of its kind, and frames tagged with VLAN 0, which carry
 * only a priority, belong to no VLAN.
 */
#include "virtio/net_internal.h"

#include <string.h>

enum { PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST };

static bool listed(const struct net_macs *m, const uint8_t *mac)
{
	unsigned i;

	for (i = 0; i < m->count; i++) {
		if (!memcmp(m->mac[i], mac, sizeof(m->mac[i])))
			return true;
	}
	return m->overflow;
}

static bool pass_vlan(const struct net_filter *f, const uint8_t *frame, size_t size)
{
	unsigned id;

	if (!f->vlan_filter || size < NET_FRAME_MIN + 2 || frame[12] != 0x81 || frame[13] != 0)
		return true;
	id = (frame[14] & 0xfu) << 8 | frame[15];
	return id == 0 || f->vlan[id / 64] >> id % 64 & 1;
}

bool virtio_net_filter_pass(const struct net_filter *f, const uint8_t *frame, size_t size)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (f->mode[PROMISC])
		return true;
	if (!pass_vlan(f, frame, size))
		return false;
	if (!memcmp(frame, broadcast, sizeof(broadcast)))
		return !f->mode[NOBCAST];
	if (frame[0] & 1)
		return !f->mode[NOMULTI] && (f->mode[ALLMULTI] || listed(&f->multicast, frame));
	if (f->mode[NOUNI])
		return false;
	return f->mode[ALLUNI] || !memcmp(frame, f->mac, sizeof(f->mac)) ||
	       listed(&f->unicast, frame);
}

void virtio_net_filter_reset(struct virtio_net *n)
{
	struct net_filter *f = &n->filter;

	memset(f, 0, sizeof(*f));
	f->mode[PROMISC] = true;
	f->vlan_filter = virtio_has(&n->device, VIRTIO_NET_F_CTRL_VLAN);
}
