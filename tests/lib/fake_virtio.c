/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_virtio.h"

#include <stdlib.h>
#include <string.h>

static struct fake_virtio *of(struct virtio_device *v)
{
	return container_of(v, struct fake_virtio, v);
}

static void fake_start(struct virtio_device *v)
{
	of(v)->starts++;
}

static void fake_kicked(struct virtio_device *v, struct virtq *q)
{
	struct iovec iov[FAKE_VIRTIO_SEGMENTS];
	struct virtq_chain c = {.iov = iov, .iov_max = FAKE_VIRTIO_SEGMENTS};
	struct fake_virtio *f = of(v);

	f->kicks[q->index]++;
	while (!f->deaf && virtq_pop(q, &c) == 1) {
		f->chains++;
		virtq_push(q, &c, 0);
	}
	virtio_notify(v, q);
}

static void answer_due(struct task *t)
{
	struct fake_virtio *f = container_of(t, struct fake_virtio, answer);

	if (f->rounds) {
		f->rounds--;
		loop_post(f->v.loop, t);
	} else {
		fake_virtio_answer(f);
	}
}

static void asked(struct fake_virtio *f)
{
	if (f->slow)
		return;
	f->rounds = f->late;
	if (f->late)
		loop_post(f->v.loop, &f->answer);
	else
		fake_virtio_answer(f);
}

static void fake_stop(struct virtio_device *v)
{
	of(v)->stops++;
	of(v)->stop_asked = true;
	asked(of(v));
}

static void fake_stop_queue(struct virtio_device *v, struct virtq *q)
{
	of(v)->queue_stops++;
	of(v)->stop_queue_asked = q;
	asked(of(v));
}

static void fake_config_write(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
			      unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		if (offset + i < 4)
			v->config[offset + i] = bytes[i];
	}
}

static const struct virtio_type type = {
    .ops = {"fake", virtio_reset, NULL},
    .id = 4,
    .class_code = 0x00ff00,
    .start = fake_start,
    .kicked = fake_kicked,
    .stop = fake_stop,
    .stop_queue = fake_stop_queue,
    .config_write = fake_config_write,
};

static void queue_interrupt(void *arg, unsigned queue)
{
	((struct fake_virtio *)arg)->queue_interrupts[queue]++;
}

static void config_interrupt(void *arg)
{
	((struct fake_virtio *)arg)->config_interrupts++;
}

static void was_reset(void *arg)
{
	((struct fake_virtio *)arg)->resets++;
}

static const struct virtio_transport_ops transport = {queue_interrupt, config_interrupt, was_reset};

void fake_virtio_init(struct fake_virtio *f, const struct gmem *mem, struct loop *l,
		      uint64_t features)
{
	const struct virtio_device_params p = {
	    .type = &type,
	    .mem = mem,
	    .loop = l,
	    .features = features,
	    .config_size = FAKE_VIRTIO_CONFIG,
	    .queue_count = FAKE_VIRTIO_QUEUES,
	    .queue_size = 256,
	};

	memset(f, 0, sizeof(*f));
	if (virtio_device_init(&f->v, &p))
		abort();
	f->answer.fn = answer_due;
	virtio_attach(&f->v, &transport, f);
}

void fake_virtio_fini(struct fake_virtio *f)
{
	virtio_device_fini(&f->v);
}

void fake_virtio_answer(struct fake_virtio *f)
{
	struct virtq *q = f->stop_queue_asked;

	f->stop_queue_asked = NULL;
	if (f->stop_asked) {
		f->stop_asked = false;
		virtio_stopped(&f->v);
	} else if (q) {
		virtio_queue_stopped(&f->v, q);
	}
}
