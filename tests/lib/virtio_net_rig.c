/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "must.h"
#include "virtio_net_rig.h"

#include <lodge/log.h>
#include <string.h>

static void on_queue_interrupt(void *arg, unsigned queue)
{
	struct virtio_net_rig *r = arg;

	r->queue_interrupts[queue]++;
}

static void on_config_interrupt(void *arg)
{
	struct virtio_net_rig *r = arg;

	r->config_interrupts++;
}

static void on_reset(void *arg)
{
	(void)arg;
}

static const struct virtio_transport_ops transport = {
    .queue_interrupt = on_queue_interrupt,
    .config_interrupt = on_config_interrupt,
    .was_reset = on_reset,
};

void virtio_net_rig_init(struct virtio_net_rig *r, unsigned offloads)
{
	struct virtio_net_params p = {.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56},
				      .mtu = 1400,
				      .pairs = NET_RIG_PAIRS + 1 /* more than the backend has */};

	memset(r, 0, sizeof(*r));
	log_set_level(LOG_ERROR);
	fake_clock_init(&r->clock, 0);
	must(!loop_create(&r->clock.clock, &r->loop) && !gmem_create(NET_RIG_RAM, &r->mem) &&
	     !gmem_place(r->mem, 0, 0, NET_RIG_RAM));
	fake_net_init(&r->backend, r->loop, NET_RIG_PAIRS, offloads);
	p.mem = r->mem;
	p.loop = r->loop;
	p.net = &r->backend.net;
	must(!virtio_net_create(&p, &r->v));
	r->n = virtio_net_of(r->v);
	virtio_attach(r->v, &transport, r);
	r->next = NET_RIG_BUFFERS;
}

void virtio_net_rig_fini(struct virtio_net_rig *r)
{
	r->v->base.ops->destroy(&r->v->base);
	loop_destroy(r->loop);
	gmem_destroy(r->mem);
}

void virtio_net_rig_settle(struct virtio_net_rig *r)
{
	unsigned i;

	for (i = 0; i < 1000 && loop_step(r->loop); i++)
		;
	must(i < 1000);
}

void virtio_net_rig_reset(struct virtio_net_rig *r)
{
	pthread_mutex_lock(&r->v->lock);
	virtio_set_status(r->v, 0, false);
	pthread_mutex_unlock(&r->v->lock);
	virtio_net_rig_settle(r);
	must(!r->v->status);
}

static void enable_queue(struct virtio_net_rig *r, unsigned queue, uint16_t size)
{
	struct fake_driver *d = &r->driver[queue];
	uint64_t features = r->v->features ? r->v->features : r->v->driver_chosen;
	struct virtio_queue *q;

	fake_driver_init(d, r->mem, (gpa_t)queue * NET_RIG_RING, size,
			 features & VIRTIO_F_RING_PACKED, features & VIRTIO_F_EVENT_IDX);
	q = virtio_queue_open(r->v, queue);
	must(q != NULL);
	q->place = (struct virtq_place){d->size, d->desc, d->driver, d->device};
	virtio_enable_queue(r->v, queue);
}

void virtio_net_rig_start(struct virtio_net_rig *r, uint64_t features, uint16_t size)
{
	bool legacy = !(features & VIRTIO_F_VERSION_1);
	uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

	virtio_net_rig_reset(r);
	features &= virtio_offered(r->v, legacy);
	r->indirect = features & VIRTIO_F_INDIRECT_DESC;
	r->header = features & (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF) ? 12 : 10;
	r->control = features & VIRTIO_NET_F_MQ ? 2 * NET_RIG_PAIRS : 2;
	pthread_mutex_lock(&r->v->lock);
	virtio_set_status(r->v, status, legacy);
	virtio_choose(r->v, features);
	virtio_set_status(r->v, status | VIRTIO_STATUS_FEATURES_OK, legacy);
	must(legacy || r->v->status & VIRTIO_STATUS_FEATURES_OK);
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		enable_queue(r, i, size);
	virtio_set_status(r->v, status | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK,
			  legacy);
	pthread_mutex_unlock(&r->v->lock);
	virtio_net_rig_settle(r);
	memset(r->queue_interrupts, 0, sizeof(r->queue_interrupts));
	r->config_interrupts = 0;
	r->next = NET_RIG_BUFFERS;
}

gpa_t virtio_net_rig_memory(struct virtio_net_rig *r, size_t size)
{
	gpa_t a = r->next;

	if (size > NET_RIG_RAM - a)
		a = NET_RIG_BUFFERS;
	r->next = a + size;
	memset(virtio_net_rig_at(r, a, size), 0xa5, size);
	return a;
}

uint8_t *virtio_net_rig_at(struct virtio_net_rig *r, gpa_t a, size_t size)
{
	uint8_t *p = gmem_pointer(r->mem, a, size);

	must(p != NULL);
	return p;
}

int virtio_net_rig_add(struct virtio_net_rig *r, unsigned queue, const struct fake_buffer *b,
		       unsigned n)
{
	int id = fake_driver_add(&r->driver[queue], b, n, r->indirect && n > 1);

	must(id >= 0);
	fake_driver_publish(&r->driver[queue]);
	return id;
}

void virtio_net_rig_kick(struct virtio_net_rig *r, unsigned queue)
{
	if (fake_driver_must_kick(&r->driver[queue], r->driver[queue].size))
		virtio_kick(r->v, queue);
	virtio_net_rig_settle(r);
}

bool virtio_net_rig_used(struct virtio_net_rig *r, unsigned queue, uint32_t *length)
{
	uint32_t unused;
	unsigned id;

	return fake_driver_get(&r->driver[queue], &id, length ? length : &unused);
}

void virtio_net_rig_send(struct virtio_net_rig *r, unsigned pair, const struct net_header *h,
			 const void *frame, size_t size)
{
	static const struct net_header none;
	struct fake_buffer b = {virtio_net_rig_memory(r, r->header + size + 1),
				(uint32_t)(r->header + size), false};

	must(!gmem_write(r->mem, b.address, h ? h : &none, r->header) &&
	     !gmem_write(r->mem, b.address + r->header, frame, size));
	virtio_net_rig_add(r, 2 * pair + 1, &b, 1);
}

gpa_t virtio_net_rig_offer(struct virtio_net_rig *r, unsigned pair, unsigned n, uint32_t size)
{
	gpa_t a = virtio_net_rig_memory(r, (size_t)n * size);

	for (unsigned i = 0; i < n; i++) {
		const struct fake_buffer b = {a + (gpa_t)i * size, size, true};

		virtio_net_rig_add(r, 2 * pair, &b, 1);
	}
	virtio_net_rig_kick(r, 2 * pair);
	return a;
}

uint8_t virtio_net_rig_command(struct virtio_net_rig *r, const void *command, size_t size)
{
	const struct fake_buffer b[2] = {{virtio_net_rig_memory(r, size), (uint32_t)size, false},
					 {virtio_net_rig_memory(r, 1), 1, true}};
	uint32_t length;

	must(!gmem_write(r->mem, b[0].address, command, size));
	virtio_net_rig_add(r, r->control, b, 2);
	virtio_net_rig_kick(r, r->control);
	must(virtio_net_rig_used(r, r->control, &length) && length == 1);
	return *virtio_net_rig_at(r, b[1].address, 1);
}
