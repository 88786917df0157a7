/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk: a disk for a driver of Virtio 1.2, section 5.2, or of a legacy one. */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "virtio/device.h"

#include <lodge/block.h>

#define VIRTIO_BLK_QUEUES_MAX   64u
#define VIRTIO_BLK_QUEUE_SIZE   256u
#define VIRTIO_BLK_SERIAL_BYTES 20u

/* Feature bits, section 5.2.3. */
#define VIRTIO_BLK_F_SEG_MAX      (1ull << 2)
#define VIRTIO_BLK_F_GEOMETRY     (1ull << 4)
#define VIRTIO_BLK_F_RO           (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE     (1ull << 6)
#define VIRTIO_BLK_F_FLUSH        (1ull << 9)
#define VIRTIO_BLK_F_TOPOLOGY     (1ull << 10)
#define VIRTIO_BLK_F_CONFIG_WCE   (1ull << 11)
#define VIRTIO_BLK_F_MQ           (1ull << 12)
#define VIRTIO_BLK_F_DISCARD      (1ull << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ull << 14)

struct virtio_blk_params {
	const struct gmem *mem;
	struct loop *loop;  /* that disk was opened with */
	struct block *disk; /* the device's, once it is created */
	unsigned queues;    /* 1 to VIRTIO_BLK_QUEUES_MAX: one a vCPU is best */
	const char *serial; /* of which VIRTIO_BLK_SERIAL_BYTES are shown; NULL: none */
};

/*
 * 0 or -errno. It is destroyed by base.ops, which waits for what is in work and closes the disk;
 * the loop does not run then.
 */
int virtio_blk_create(const struct virtio_blk_params *p, struct virtio_device **out);

#endif
