/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake virtio device, its loop and a driver that calls what a transport would. Any thread may be
 * the driver.
 */
#ifndef VIRTIO_RIG_H
#define VIRTIO_RIG_H

#include "fake_clock.h"
#include "fake_driver.h"
#include "fake_virtio.h"

#define VIRTIO_RIG_RAM      0x1000000u
#define VIRTIO_RIG_BUFFERS  (VIRTIO_RIG_RAM - 0x10000u)
#define VIRTIO_RIG_GREETING (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define VIRTIO_RIG_OFFERED  (VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_RESET | VIRTIO_F_ANY_LAYOUT | 0x6)
#define VIRTIO_RIG_MODERN   (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET)

struct virtio_rig {
	struct fake_virtio fake;
	struct virtio_device *v;
	struct fake_clock clock;
	struct loop *loop;
	struct gmem *mem;
	struct fake_driver driver[FAKE_VIRTIO_QUEUES];
};

void virtio_rig_init(struct virtio_rig *r);
void virtio_rig_fini(struct virtio_rig *r);

/* Steps the loop until it has nothing to do. */
void virtio_rig_settle(struct virtio_rig *r);

uint8_t virtio_rig_status(struct virtio_rig *r);
void virtio_rig_set_status(struct virtio_rig *r, uint8_t status, bool legacy);
void virtio_rig_choose(struct virtio_rig *r, uint64_t features);
/* Up to FEATURES_OK. */
void virtio_rig_negotiate(struct virtio_rig *r, uint64_t features);
void virtio_rig_driver_ok(struct virtio_rig *r);
/* An empty ring in its place. */
void virtio_rig_enable(struct virtio_rig *r, unsigned queue);
void virtio_rig_reset_queue(struct virtio_rig *r, unsigned queue);

/* Adds a chain; the device does not hear of it. */
void virtio_rig_add(struct virtio_rig *r, unsigned queue);
/* How many chains came back since the last time. */
unsigned virtio_rig_used(struct virtio_rig *r, unsigned queue);

#endif
