/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the network adapter begin with: a rig of their own for each, started. */
#ifndef VIRTIO_NET_FIXTURE_H
#define VIRTIO_NET_FIXTURE_H

#include "virtio_net_rig.h"

#define SIZE 64u /* of a ring */

static struct virtio_net_rig rig;

static inline int setup(void **state)
{
	(void)state;
	virtio_net_rig_init(&rig, NET_RIG_OFFLOADS);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	virtio_net_rig_fini(&rig);
	return 0;
}

/* A packet for the first pair. h NULL: zeroes. */
static inline bool deliver(const struct net_header *h, const void *frame, size_t size)
{
	static const struct net_header none;

	return fake_net_deliver(&rig.backend, 0, h ? h : &none, frame, size);
}

#define NET_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
