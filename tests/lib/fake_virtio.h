/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device type and a transport that write down what happens to them. The device gives each
 * chain back as it is; it can be told to answer stop() and stop_queue() later.
 */
#ifndef FAKE_VIRTIO_H
#define FAKE_VIRTIO_H

#include "virtio/device.h"

#define FAKE_VIRTIO_QUEUES   4u
#define FAKE_VIRTIO_SEGMENTS 8u
#define FAKE_VIRTIO_CONFIG   16u /* bytes, of which the driver may write the first 4 */

struct fake_virtio {
	struct virtio_device v;
	bool slow;     /* stops are answered by fake_virtio_answer() */
	bool deaf;     /* kicks are counted only */
	unsigned late; /* or so many rounds of the loop later */
	struct task answer;
	unsigned rounds; /* until then */
	bool stop_asked;
	struct virtq *stop_queue_asked;
	unsigned starts, stops, queue_stops, kicks[FAKE_VIRTIO_QUEUES];
	unsigned chains;
	/* The transport's. */
	atomic_uint queue_interrupts[FAKE_VIRTIO_QUEUES], config_interrupts, resets;
};

/* features: as in params. With a transport of its own, which another may replace. */
void fake_virtio_init(struct fake_virtio *f, const struct gmem *mem, struct loop *l,
		      uint64_t features);
void fake_virtio_fini(struct fake_virtio *f);

/* Answers what stops were asked; the loop's thread. */
void fake_virtio_answer(struct fake_virtio *f);

#endif
