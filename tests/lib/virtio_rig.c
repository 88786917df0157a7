/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "must.h"
#include "virtio_rig.h"

#include <lodge/log.h>
#include <string.h>

#define QUEUE_SIZE 16u

void virtio_rig_init(struct virtio_rig *r)
{
	memset(r, 0, sizeof(*r));
	log_set_level(LOG_ERROR);
	fake_clock_init(&r->clock, 0);
	must(!loop_create(&r->clock.clock, &r->loop) && !gmem_create(VIRTIO_RIG_RAM, &r->mem) &&
	     !gmem_place(r->mem, 0, 0, VIRTIO_RIG_RAM));
	r->v = &r->fake.v;
	fake_virtio_init(&r->fake, r->mem, r->loop, VIRTIO_RIG_OFFERED);
}

void virtio_rig_fini(struct virtio_rig *r)
{
	fake_virtio_fini(&r->fake);
	loop_destroy(r->loop);
	gmem_destroy(r->mem);
}

void virtio_rig_settle(struct virtio_rig *r)
{
	unsigned i;

	for (i = 0; i < 16 && loop_step(r->loop); i++)
		;
	must(i < 16);
}

uint8_t virtio_rig_status(struct virtio_rig *r)
{
	uint8_t s;

	pthread_mutex_lock(&r->v->lock);
	s = r->v->status;
	pthread_mutex_unlock(&r->v->lock);
	return s;
}

void virtio_rig_set_status(struct virtio_rig *r, uint8_t status, bool legacy)
{
	pthread_mutex_lock(&r->v->lock);
	virtio_set_status(r->v, status, legacy);
	pthread_mutex_unlock(&r->v->lock);
}

void virtio_rig_choose(struct virtio_rig *r, uint64_t features)
{
	pthread_mutex_lock(&r->v->lock);
	virtio_choose(r->v, features);
	pthread_mutex_unlock(&r->v->lock);
}

void virtio_rig_negotiate(struct virtio_rig *r, uint64_t features)
{
	virtio_rig_set_status(r, VIRTIO_RIG_GREETING, false);
	virtio_rig_choose(r, features);
	virtio_rig_set_status(r, VIRTIO_RIG_GREETING | VIRTIO_STATUS_FEATURES_OK, false);
}

void virtio_rig_driver_ok(struct virtio_rig *r)
{
	virtio_rig_set_status(r, VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK, false);
}

void virtio_rig_enable(struct virtio_rig *r, unsigned queue)
{
	struct fake_driver *d = &r->driver[queue];
	struct virtio_queue *q;

	fake_driver_init(d, r->mem, (gpa_t)queue * FAKE_DRIVER_BYTES, QUEUE_SIZE, false, false);
	pthread_mutex_lock(&r->v->lock);
	q = virtio_queue_open(r->v, queue);
	if (q)
		q->place = (struct virtq_place){d->size, d->desc, d->driver, d->device};
	virtio_enable_queue(r->v, queue);
	pthread_mutex_unlock(&r->v->lock);
}

void virtio_rig_reset_queue(struct virtio_rig *r, unsigned queue)
{
	pthread_mutex_lock(&r->v->lock);
	virtio_reset_queue(r->v, queue);
	pthread_mutex_unlock(&r->v->lock);
}

void virtio_rig_add(struct virtio_rig *r, unsigned queue)
{
	const struct fake_buffer b = {VIRTIO_RIG_BUFFERS, 64, true};

	must(fake_driver_add(&r->driver[queue], &b, 1, false) >= 0);
	fake_driver_publish(&r->driver[queue]);
}

unsigned virtio_rig_used(struct virtio_rig *r, unsigned queue)
{
	unsigned n = 0, id;
	uint32_t length;

	while (fake_driver_get(&r->driver[queue], &id, &length))
		n++;
	return n;
}
