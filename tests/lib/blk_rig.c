/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "blk_rig.h"
#include "must.h"

#include <string.h>

static void queue_interrupt(void *arg, unsigned queue)
{
	((struct blk_rig *)arg)->interrupts[queue]++;
}

static void config_interrupt(void *arg)
{
	((struct blk_rig *)arg)->config_interrupts++;
}

static void was_reset(void *arg)
{
	(void)arg;
}

static const struct virtio_transport_ops transport = {queue_interrupt, config_interrupt, was_reset};

void blk_rig_init(struct blk_rig *r, struct block_params p, unsigned queues)
{
	struct virtio_blk_params blk = {.queues = queues, .serial = "SERIAL-OF-TWENTY-ONE-"};

	memset(r, 0, sizeof(*r));
	must(gmem_create(BLK_RIG_RAM, &r->mem) == 0);
	must(gmem_place(r->mem, 0, 0, BLK_RIG_RAM) == 0);
	rig_init(&r->disk);
	rig_make_file(&r->disk, "disk", BLK_RIG_DISK, 1);
	p.image.path = rig_path(&r->disk, "disk");
	rig_open(&r->disk, &p);
	blk.mem = r->mem;
	blk.loop = r->disk.loop;
	blk.disk = r->disk.block;
	must(virtio_blk_create(&blk, &r->v) == 0);
	virtio_attach(r->v, &transport, r);
}

void blk_rig_fini(struct blk_rig *r)
{
	fake_engine_release(&r->disk.fake);
	r->v->base.ops->destroy(&r->v->base);
	r->disk.block = NULL;
	blk_rig_run(r); /* nothing of it is left there */
	rig_destroy(&r->disk);
	gmem_destroy(r->mem);
}

void blk_rig_run(struct blk_rig *r)
{
	for (unsigned i = 0; loop_step(r->disk.loop); i++)
		must(i < 100000);
}

uint64_t blk_rig_offered(const struct blk_rig *r)
{
	return virtio_offered(r->v, false);
}

bool blk_rig_start(struct blk_rig *r, uint64_t features, uint16_t size)
{
	bool legacy = !(features & VIRTIO_F_VERSION_1), ok;

	r->features = features;
	r->indirect = features & VIRTIO_F_INDIRECT_DESC;
	pthread_mutex_lock(&r->v->lock);
	virtio_set_status(r->v, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER, legacy);
	virtio_choose(r->v, features);
	virtio_set_status(r->v, VIRTIO_STATUS_FEATURES_OK, legacy);
	ok = legacy || r->v->status & VIRTIO_STATUS_FEATURES_OK;
	for (unsigned i = 0; ok && i < r->v->queue_count; i++) {
		struct fake_driver *d = &r->driver[i];
		struct virtio_queue *q = virtio_queue_open(r->v, i);

		fake_driver_init(d, r->mem, (gpa_t)i * FAKE_DRIVER_BYTES, size,
				 features & VIRTIO_F_RING_PACKED, features & VIRTIO_F_EVENT_IDX);
		must(q != NULL);
		q->place = (struct virtq_place){size, d->desc, d->driver, d->device};
		virtio_enable_queue(r->v, i);
	}
	if (ok)
		virtio_set_status(r->v, VIRTIO_STATUS_DRIVER_OK, legacy);
	pthread_mutex_unlock(&r->v->lock);
	blk_rig_run(r);
	return ok;
}

bool blk_rig_reset(struct blk_rig *r)
{
	bool over;

	pthread_mutex_lock(&r->v->lock);
	virtio_set_status(r->v, 0, false);
	pthread_mutex_unlock(&r->v->lock);
	blk_rig_run(r);
	pthread_mutex_lock(&r->v->lock);
	over = r->v->status == 0;
	pthread_mutex_unlock(&r->v->lock);
	return over;
}

static gpa_t slot_address(unsigned slot)
{
	must(slot < BLK_RIG_SLOTS);
	return BLK_RIG_BUFFERS + (gpa_t)slot * BLK_RIG_SLOT;
}

uint8_t *blk_rig_out(const struct blk_rig *r, unsigned slot)
{
	return gmem_pointer(r->mem, slot_address(slot), BLK_RIG_SLOT / 2);
}

uint8_t *blk_rig_in(const struct blk_rig *r, unsigned slot)
{
	return blk_rig_out(r, slot) + BLK_RIG_SLOT / 2;
}

static unsigned cut(struct fake_buffer *b, gpa_t at, unsigned bytes, unsigned after, bool write)
{
	if (bytes == 0)
		return 0;
	if (after == 0 || after >= bytes) {
		b[0] = (struct fake_buffer){at, bytes, write};
		return 1;
	}
	b[0] = (struct fake_buffer){at, after, write};
	b[1] = (struct fake_buffer){at + after, bytes - after, write};
	return 2;
}

bool blk_rig_add(struct blk_rig *r, unsigned queue, unsigned slot, unsigned out_bytes,
		 unsigned in_bytes)
{
	gpa_t at = slot_address(slot);
	struct fake_buffer b[4];
	unsigned n;
	int id;

	must(out_bytes <= BLK_RIG_SLOT / 2 && in_bytes <= BLK_RIG_SLOT / 2);
	memset(blk_rig_in(r, slot), BLK_RIG_POISON, BLK_RIG_SLOT / 2);
	n = cut(b, at, out_bytes, r->out_cut, false);
	n += cut(&b[n], at + BLK_RIG_SLOT / 2, in_bytes, r->in_cut, true);
	id = fake_driver_add(&r->driver[queue], b, n, r->indirect);
	if (id >= 0)
		r->slot_of[queue][id] = slot;
	return id >= 0;
}

bool blk_rig_request(struct blk_rig *r, unsigned queue, unsigned slot, uint32_t type,
		     uint64_t sector, const void *data, unsigned bytes, unsigned in_bytes)
{
	struct blk_header h = {type, 0, sector};
	uint8_t *out = blk_rig_out(r, slot);

	memcpy(out, &h, sizeof(h));
	if (bytes)
		memcpy(out + sizeof(h), data, bytes);
	return blk_rig_add(r, queue, slot, sizeof(h) + bytes, in_bytes + 1);
}

void blk_rig_kick(struct blk_rig *r, unsigned queue)
{
	fake_driver_publish(&r->driver[queue]);
	virtio_kick(r->v, queue);
}

bool blk_rig_get(struct blk_rig *r, unsigned queue, unsigned *slot, uint32_t *length)
{
	unsigned id;

	if (!fake_driver_get(&r->driver[queue], &id, length))
		return false;
	*slot = r->slot_of[queue][id];
	return true;
}

int blk_rig_do(struct blk_rig *r, uint32_t type, uint64_t sector, const void *data, unsigned bytes,
	       unsigned in_bytes)
{
	uint32_t length;
	unsigned slot;

	must(blk_rig_request(r, 0, 0, type, sector, data, bytes, in_bytes));
	blk_rig_kick(r, 0);
	blk_rig_run(r);
	if (!blk_rig_get(r, 0, &slot, &length))
		return BLK_UNANSWERED;
	return blk_rig_in(r, 0)[in_bytes];
}
