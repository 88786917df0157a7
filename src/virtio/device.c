/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device without its transport: status, features, queues and their life.
 *
 * Theory of operation: Virtio 1.2, chapters 2 and 3. What the driver wants is kept under the
 * device's lock: status, `resetting`, and of each queue its place, `enabled` and `resetting`. What
 * is so is the loop's alone: started, running, stopping. One task on the loop, `sync`, compares the
 * two and does the next step. Whoever changes what is wanted posts it, and whoever ends a step
 * that took time calls it again, so no order of steps can lose one. A reset stays wanted until it
 * is done, and meanwhile the driver changes nothing: what it writes next belongs to the next life.
 *
 * A queue that starts is kicked once, so a kick that came too early (legacy drivers do that) may be
 * dropped. Kicks are watched edge-triggered: each write to the eventfd is an event, and nobody ever
 * reads it. That is one system call less for each; the counter would take centuries to fill.
 *
 * The hooks of a type are called without the lock, but for config_write(). From start() to
 * virtio_stopped() the loop reads `features`, and `ring` of the queues that run, without it: the
 * driver cannot change them before the reset that ends it all.
 *
 * A broken ring stops its queue only; DEVICE_NEEDS_RESET tells the driver, section 2.1.2.
 */
#include "virtio/device.h"

#include <lodge/log.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Below the time after which the machine gives a vCPU up. */
#define RESET_WAIT_NS    (2 * NS_PER_S)
#define RESET_LIMIT_NS   (30 * NS_PER_S) /* as long as guests themselves wait for a disk */

#define LEGACY_FEATURES  UINT32_MAX
#define LEGACY_ONLY      (VIRTIO_F_NOTIFY_ON_EMPTY | VIRTIO_F_ANY_LAYOUT)
#define STATUS_OF_DRIVER (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED)

static void forget_place(struct virtio_queue *q)
{
	q->place = (struct virtq_place){.size = q->size_max};
	q->vector = VIRTIO_NO_VECTOR;
	q->enabled = q->resetting = false;
}

/* Nothing runs. Lock held. */
static void finish_reset(struct virtio_device *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		forget_place(&v->queue[i]);
	v->status = 0;
	v->features = v->driver_chosen = 0;
	v->resetting = false;
	if (v->transport)
		v->transport->was_reset(v->transport_arg);
	pthread_cond_broadcast(&v->changed);
}

/* --- the loop's side --- */

static void stop_device(struct virtio_device *v)
{
	if (v->stopping)
		return;
	if (v->started) {
		v->stopping = true;
		v->type->stop(v);
		return;
	}
	pthread_mutex_lock(&v->lock);
	if (v->resetting)
		finish_reset(v);
	pthread_mutex_unlock(&v->lock);
}

void virtio_stopped(struct virtio_device *v)
{
	assert(v->stopping);
	loop_flush(v->loop);
	for (unsigned i = 0; i < v->queue_count; i++) {
		struct virtio_queue *q = &v->queue[i];

		virtq_stop(&q->ring);
		q->running = q->stopping = q->fresh = false;
	}
	v->started = v->stopping = false;
	stop_device(v);
}

static void stop_queue(struct virtio_device *v, struct virtio_queue *q)
{
	bool wanted;

	pthread_mutex_lock(&v->lock);
	wanted = q->resetting && !q->stopping;
	if (wanted && !q->running)
		forget_place(q);
	pthread_mutex_unlock(&v->lock);
	if (wanted && q->running) {
		q->stopping = true;
		v->type->stop_queue(v, &q->ring);
	}
}

void virtio_queue_stopped(struct virtio_device *v, struct virtq *ring)
{
	struct virtio_queue *q = &v->queue[ring->index];

	/* Else stop() has come in between, which answers for all. */
	if (!q->stopping || v->stopping)
		return;
	loop_flush(v->loop);
	virtq_stop(&q->ring);
	q->running = q->stopping = q->fresh = false;
	pthread_mutex_lock(&v->lock);
	forget_place(q);
	pthread_mutex_unlock(&v->lock);
}

static void start_queue(struct virtio_device *v, struct virtio_queue *q)
{
	struct virtq_place place;
	bool wanted;

	pthread_mutex_lock(&v->lock);
	wanted = q->enabled && !q->resetting && !q->running;
	place = q->place;
	pthread_mutex_unlock(&v->lock);
	if (!wanted)
		return;
	q->running = q->fresh = true;
	/* If it breaks at once, the driver has been told. */
	(void)virtq_start(&q->ring, &place, v->features);
}

static void kick_queue(struct virtio_device *v, struct virtio_queue *q)
{
	if (q->running && !q->stopping && !v->stopping) {
		q->fresh = false;
		v->type->kicked(v, &q->ring);
	}
}

static void sync_now(struct virtio_device *v)
{
	bool reset, run;

	pthread_mutex_lock(&v->lock);
	reset = v->resetting;
	run = v->status & VIRTIO_STATUS_DRIVER_OK;
	pthread_mutex_unlock(&v->lock);
	if (reset) {
		stop_device(v);
		return;
	}
	for (unsigned i = 0; i < v->queue_count; i++)
		stop_queue(v, &v->queue[i]);
	if (!run)
		return;
	for (unsigned i = 0; i < v->queue_count; i++)
		start_queue(v, &v->queue[i]);
	if (!v->started) {
		v->started = true;
		v->type->start(v);
	}
	for (unsigned i = 0; i < v->queue_count; i++) {
		if (v->queue[i].fresh)
			kick_queue(v, &v->queue[i]);
	}
}

static void sync_due(struct task *t)
{
	sync_now(container_of(t, struct virtio_device, sync));
}

static void kick_came(struct watch *w, uint32_t revents)
{
	struct virtio_queue *q = container_of(w, struct virtio_queue, kick);

	(void)revents;
	kick_queue(q->device, q);
}

static void ring_broken(struct virtq *ring, const char *why)
{
	struct virtio_queue *q = container_of(ring, struct virtio_queue, ring);

	log_guest(LOG_WARNING, "%s: queue %u stopped: %s", q->device->type->ops.name, ring->index,
		  why);
	virtio_needs_reset(q->device, NULL);
}

/* --- life --- */

static int queue_init(struct virtio_device *v, unsigned index, uint16_t size)
{
	struct virtio_queue *q = &v->queue[index];

	q->ring = (struct virtq){.mem = v->mem, .broken = ring_broken, .index = index};
	q->device = v;
	q->size_max = size;
	forget_place(q);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0)
		return -errno;
	q->kick = (struct watch){.fd = q->kick_fd, .events = EPOLLIN | EPOLLET, .fn = kick_came};
	return loop_watch(v->loop, &q->kick);
}

static void locks_init(struct virtio_device *v)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int virtio_device_init(struct virtio_device *v, const struct virtio_device_params *p)
{
	int err = 0;

	assert(p->queue_count >= 1 && p->queue_count <= VIRTIO_QUEUES_MAX);
	assert(p->config_size <= VIRTIO_CONFIG_MAX && p->queue_size <= VIRTQ_SIZE_MAX);
	assert(p->queue_size && !(p->queue_size & (p->queue_size - 1)));
	assert(p->type->stop_queue || !(p->features & VIRTIO_F_RING_RESET));
	memset(v, 0, sizeof(*v));
	v->type = p->type;
	v->base.ops = &p->type->ops;
	v->mem = p->mem;
	v->loop = p->loop;
	v->offered = p->features | VIRTIO_F_VERSION_1;
	v->config_size = p->config_size;
	v->sync.fn = sync_due;
	v->reset_limit_ns = RESET_LIMIT_NS;
	locks_init(v);
	v->queue = calloc(p->queue_count, sizeof(v->queue[0]));
	if (!v->queue)
		err = -ENOMEM;
	while (!err && v->queue_count < p->queue_count)
		err = queue_init(v, v->queue_count++, p->queue_size);
	if (err)
		virtio_device_fini(v);
	return err;
}

void virtio_device_fini(struct virtio_device *v)
{
	for (unsigned i = 0; v->queue && i < v->queue_count; i++) {
		loop_unwatch(v->loop, &v->queue[i].kick);
		if (v->queue[i].kick_fd >= 0)
			close(v->queue[i].kick_fd);
	}
	free(v->queue);
	v->queue = NULL;
	v->queue_count = 0;
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->lock);
}

/* Lock held, dropped meanwhile. False: it is not over. */
static bool await_reset(struct virtio_device *v, uint64_t limit_ns)
{
	uint64_t until = clock_now_ns(clock_host()) + limit_ns;
	const struct timespec due = {.tv_sec = (time_t)(until / NS_PER_S),
				     .tv_nsec = (long)(until % NS_PER_S)};
	int err = 0;

	while (v->resetting && !err)
		err = pthread_cond_timedwait(&v->changed, &v->lock, &due);
	return !v->resetting;
}

void virtio_reset(struct device *base)
{
	struct virtio_device *v = container_of(base, struct virtio_device, base);
	uint64_t limit = v->reset_limit_ns, first = limit < RESET_WAIT_NS ? limit : RESET_WAIT_NS;
	bool here = loop_is_here(v->loop);

	pthread_mutex_lock(&v->lock);
	v->resetting = true;
	pthread_mutex_unlock(&v->lock);
	if (here)
		sync_now(v);
	else
		loop_post(v->loop, &v->sync);
	/* Here, nobody else would end it. */
	assert(!here || !v->resetting);
	pthread_mutex_lock(&v->lock);
	if (!await_reset(v, first)) {
		log_warning("%s: a reset waits for what the host has in work", v->type->ops.name);
		base->stuck = !await_reset(v, limit - first);
	}
	pthread_mutex_unlock(&v->lock);
}

/* --- what types say --- */

void virtio_notify(struct virtio_device *v, struct virtq *q)
{
	if (virtq_interrupt_needed(q))
		v->transport->queue_interrupt(v->transport_arg, q->index);
}

/* Sections 2.1.2 and 2.3: not before DRIVER_OK. */
static bool hears_of_config(const struct virtio_device *v)
{
	return v->status & VIRTIO_STATUS_DRIVER_OK && !v->resetting;
}

void virtio_change_config(struct virtio_device *v, unsigned offset, const void *data, unsigned size)
{
	assert(offset <= v->config_size && size <= v->config_size - offset);
	pthread_mutex_lock(&v->lock);
	if (memcmp(&v->config[offset], data, size) != 0) {
		memcpy(&v->config[offset], data, size);
		v->generation++;
		if (hears_of_config(v))
			v->transport->config_interrupt(v->transport_arg);
	}
	pthread_mutex_unlock(&v->lock);
}

void virtio_tell_config(struct virtio_device *v)
{
	pthread_mutex_lock(&v->lock);
	if (hears_of_config(v))
		v->transport->config_interrupt(v->transport_arg);
	pthread_mutex_unlock(&v->lock);
}

void virtio_needs_reset(struct virtio_device *v, const char *why)
{
	if (why)
		log_guest(LOG_WARNING, "%s: needs a reset: %s", v->type->ops.name, why);
	pthread_mutex_lock(&v->lock);
	/* Legacy drivers do not know the bit. */
	if (hears_of_config(v) && v->features & VIRTIO_F_VERSION_1 &&
	    !(v->status & VIRTIO_STATUS_NEEDS_RESET)) {
		v->status |= VIRTIO_STATUS_NEEDS_RESET;
		v->transport->config_interrupt(v->transport_arg);
	}
	pthread_mutex_unlock(&v->lock);
}

/* --- what transports say --- */

void virtio_attach(struct virtio_device *v, const struct virtio_transport_ops *ops, void *arg)
{
	v->transport = ops;
	v->transport_arg = arg;
}

uint64_t virtio_offered(const struct virtio_device *v, bool legacy)
{
	return legacy ? v->offered & LEGACY_FEATURES : v->offered & ~LEGACY_ONLY;
}

static bool settled(const struct virtio_device *v)
{
	return v->status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

void virtio_choose(struct virtio_device *v, uint64_t features)
{
	if (!settled(v))
		v->driver_chosen = features;
}

/* Section 2.2.2. */
static void set_features_ok(struct virtio_device *v)
{
	uint64_t chosen = v->driver_chosen;

	if (settled(v))
		return;
	if (chosen & ~virtio_offered(v, false) || !(chosen & VIRTIO_F_VERSION_1)) {
		log_guest(LOG_WARNING, "%s: the driver's choice of features, 0x%llx, is refused",
			  v->type->ops.name, (unsigned long long)chosen);
		return;
	}
	v->features = chosen;
	v->status |= VIRTIO_STATUS_FEATURES_OK;
}

static void set_driver_ok(struct virtio_device *v, bool legacy)
{
	if (!settled(v)) {
		if (!legacy)
			return;
		v->features = v->driver_chosen & virtio_offered(v, true);
	}
	v->status |= VIRTIO_STATUS_DRIVER_OK;
	loop_post(v->loop, &v->sync);
}

static void ask_reset(struct virtio_device *v)
{
	if (!(v->status & VIRTIO_STATUS_DRIVER_OK)) {
		/* Nothing was ever asked of the loop. */
		finish_reset(v);
		return;
	}
	v->resetting = true;
	loop_post(v->loop, &v->sync);
}

void virtio_set_status(struct virtio_device *v, uint8_t status, bool legacy)
{
	if (v->resetting)
		return;
	if (status == 0) {
		ask_reset(v);
		return;
	}
	v->status |= status & STATUS_OF_DRIVER;
	if (status & VIRTIO_STATUS_FEATURES_OK && !legacy)
		set_features_ok(v);
	if (status & VIRTIO_STATUS_DRIVER_OK && !(v->status & VIRTIO_STATUS_DRIVER_OK))
		set_driver_ok(v, legacy);
}

void virtio_wait_reset(struct virtio_device *v)
{
	if (v->resetting && loop_is_here(v->loop)) {
		pthread_mutex_unlock(&v->lock);
		sync_now(v);
		pthread_mutex_lock(&v->lock);
		return;
	}
	if (!await_reset(v, RESET_WAIT_NS))
		log_guest(LOG_WARNING, "%s: a reset takes longer than its driver waits",
			  v->type->ops.name);
}

static bool config_holds(const struct virtio_device *v, uint64_t offset, unsigned size)
{
	return offset <= v->config_size && size <= v->config_size - offset;
}

uint64_t virtio_config_read(struct virtio_device *v, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	if (config_holds(v, offset, size))
		memcpy(&value, &v->config[offset], size);
	return value;
}

void virtio_config_write(struct virtio_device *v, uint64_t offset, unsigned size, uint64_t value)
{
	uint8_t bytes[8];

	if (!config_holds(v, offset, size) || !v->type->config_write || v->resetting)
		return;
	memcpy(bytes, &value, sizeof(bytes));
	v->type->config_write(v, (unsigned)offset, bytes, size);
}

struct virtio_queue *virtio_queue_open(struct virtio_device *v, unsigned queue)
{
	struct virtio_queue *q = queue < v->queue_count ? &v->queue[queue] : NULL;

	return q && !q->enabled && !v->resetting ? q : NULL;
}

void virtio_enable_queue(struct virtio_device *v, unsigned queue)
{
	struct virtio_queue *q = virtio_queue_open(v, queue);

	if (!q)
		return;
	q->enabled = true;
	if (v->status & VIRTIO_STATUS_DRIVER_OK)
		loop_post(v->loop, &v->sync);
}

void virtio_reset_queue(struct virtio_device *v, unsigned queue)
{
	if (queue >= v->queue_count || !(v->features & VIRTIO_F_RING_RESET) || v->resetting)
		return;
	if (!v->queue[queue].enabled)
		return;
	v->queue[queue].resetting = true;
	loop_post(v->loop, &v->sync);
}

void virtio_kick(struct virtio_device *v, unsigned queue)
{
	if (queue < v->queue_count)
		eventfd_write(v->queue[queue].kick_fd, 1);
}
