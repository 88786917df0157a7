/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtqueue over a little guest memory, its driver, and what became of it. */
#ifndef VIRTQ_RIG_H
#define VIRTQ_RIG_H

#include "fake_driver.h"
#include "virtio/virtq.h"

#define RIG_RAM      0x400000u /* bytes of each of two regions, at 0 and at RIG_HIGH */
#define RIG_HIGH     0x1000000u
#define RIG_BUFFERS  0x300000u /* guest address of memory that no ring uses */
#define RIG_SEGMENTS 16u

struct virtq_rig {
	struct virtq q; /* first: broken() is told it */
	struct gmem *mem;
	struct fake_driver driver;
	uint64_t features;
	struct iovec iov[RIG_SEGMENTS];
	struct virtq_chain chain; /* of iov */
	unsigned broken;          /* how often */
	const char *why;
};

/* Memory only. */
void virtq_rig_init(struct virtq_rig *r);
void virtq_rig_fini(struct virtq_rig *r);

struct virtq_place virtq_rig_place(const struct virtq_rig *r);

/* A fresh driver and a started queue; may be called again. */
void virtq_rig_start(struct virtq_rig *r, uint16_t size, uint64_t features);

#endif
