/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtq_rig.h"

#include <stdlib.h>
#include <string.h>

static void on_broken(struct virtq *q, const char *why)
{
	struct virtq_rig *r = (struct virtq_rig *)q;

	r->broken++;
	r->why = why;
}

void virtq_rig_init(struct virtq_rig *r)
{
	memset(r, 0, sizeof(*r));
	if (gmem_create(2ull * RIG_RAM, &r->mem) || gmem_place(r->mem, 0, 0, RIG_RAM) ||
	    gmem_place(r->mem, RIG_HIGH, RIG_RAM, RIG_RAM))
		abort();
	r->chain = (struct virtq_chain){.iov = r->iov, .iov_max = RIG_SEGMENTS};
}

void virtq_rig_fini(struct virtq_rig *r)
{
	gmem_destroy(r->mem);
}

struct virtq_place virtq_rig_place(const struct virtq_rig *r)
{
	return (struct virtq_place){r->driver.size, r->driver.desc, r->driver.driver,
				    r->driver.device};
}

void virtq_rig_start(struct virtq_rig *r, uint16_t size, uint64_t features)
{
	struct virtq_place place;

	r->features = features;
	fake_driver_init(&r->driver, r->mem, 0, size, features & VIRTIO_F_RING_PACKED,
			 features & VIRTIO_F_EVENT_IDX);
	r->q.mem = r->mem;
	r->q.broken = on_broken;
	r->broken = 0;
	r->why = NULL;
	place = virtq_rig_place(r);
	if (!virtq_start(&r->q, &place, features))
		abort();
}
