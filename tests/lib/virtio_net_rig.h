/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network adapter with a fake backend, on a loop that the test steps, and the driver's side. */
#ifndef VIRTIO_NET_RIG_H
#define VIRTIO_NET_RIG_H

#include "fake_clock.h"
#include "fake_driver.h"
#include "fake_net.h"
#include "virtio/net_internal.h"

#define NET_RIG_PAIRS    2u
#define NET_RIG_QUEUES   (2 * NET_RIG_PAIRS + 1)
#define NET_RIG_RAM      0x4000000u
#define NET_RIG_RING     0x100000u /* bytes of RAM of each queue, from 0 on */
#define NET_RIG_BUFFERS  0x1000000u
#define NET_RIG_OFFLOADS 0x1fu
#define NET_RIG_ALL      UINT64_MAX
#define NET_RIG_LEGACY   UINT32_MAX /* features: of a legacy driver */

struct virtio_net_rig {
	struct fake_clock clock;
	struct loop *loop;
	struct gmem *mem;
	struct fake_net backend;
	struct virtio_device *v;
	struct virtio_net *n;
	struct fake_driver driver[NET_RIG_QUEUES];
	unsigned control; /* its queue */
	unsigned header;  /* bytes */
	bool indirect;
	unsigned queue_interrupts[NET_RIG_QUEUES], config_interrupts;
	gpa_t next; /* free memory for buffers */
};

void virtio_net_rig_init(struct virtio_net_rig *r, unsigned offloads);
void virtio_net_rig_fini(struct virtio_net_rig *r);

/* Steps the loop until it has nothing to do. */
void virtio_net_rig_settle(struct virtio_net_rig *r);

/* Resets, and starts with those of features that are offered. size: of each queue. */
void virtio_net_rig_start(struct virtio_net_rig *r, uint64_t features, uint16_t size);
void virtio_net_rig_reset(struct virtio_net_rig *r);

/* Guest memory that nobody uses, filled with 0xa5. */
gpa_t virtio_net_rig_memory(struct virtio_net_rig *r, size_t size);
uint8_t *virtio_net_rig_at(struct virtio_net_rig *r, gpa_t a, size_t size);

/* Adds a chain and shows it. Its id. */
int virtio_net_rig_add(struct virtio_net_rig *r, unsigned queue, const struct fake_buffer *b,
		       unsigned n);
/* Rings the doorbell if the device wants that, and settles. */
void virtio_net_rig_kick(struct virtio_net_rig *r, unsigned queue);
/* The next used chain: whether there is one. */
bool virtio_net_rig_used(struct virtio_net_rig *r, unsigned queue, uint32_t *length);

/* A packet in one buffer; not kicked. h NULL: zeroes. */
void virtio_net_rig_send(struct virtio_net_rig *r, unsigned pair, const struct net_header *h,
			 const void *frame, size_t size);
/* n buffers for packets, of size bytes each. The first one's address; they follow each other. */
gpa_t virtio_net_rig_offer(struct virtio_net_rig *r, unsigned pair, unsigned n, uint32_t size);
/* The answer of the device; 0xa5: there was none. */
uint8_t virtio_net_rig_command(struct virtio_net_rig *r, const void *command, size_t size);

#endif
