/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-rng: entropy for the guest from the host's kernel. Virtio 1.2, section 5.4. */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "virtio/device.h"

#include <sys/types.h>

struct virtio_rng_params {
	const struct gmem *mem;
	struct loop *loop;
	/* As getrandom(2) with GRND_NONBLOCK, which it is when NULL; for tests. */
	ssize_t (*random)(void *buf, size_t n);
};

/* 0 or -errno. Destroyed by base.ops when the loop is gone. */
int virtio_rng_create(const struct virtio_rng_params *p, struct virtio_device **out);

#endif
