/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-rng, Virtio 1.2, section 5.4.
 *
 * Theory of operation: each chain gets random bytes, at most CHAIN_MAX of them: the device may give
 * less than was asked for (5.4.6.1). After PASS_MAX bytes or CHAINS_MAX chains the loop's other
 * work has its turn, whatever the driver asks for. Bytes go from the host's kernel into guest
 * memory without a copy. While the kernel has none, which is shortly after it booted only, the
 * chain at hand waits and is tried again by a timer.
 *
 * A chain without room for a byte is given back as it came.
 */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE 8u
/* A descriptor may lie in several regions of RAM. */
#define PIECES_MAX (QUEUE_SIZE * GMEM_REGIONS_MAX)

#define CHAIN_MAX  4096u
#define PASS_MAX   (16 * CHAIN_MAX)
#define CHAINS_MAX 64u
#define RETRY_NS   (100 * NS_PER_MS)

struct rng {
	struct virtio_device v;
	ssize_t (*random)(void *buf, size_t n);
	struct task pass;
	struct timer retry;
	struct virtq *ring; /* NULL: stopped */
	struct virtq_chain chain;
	bool held; /* chain was popped and not given back */
	struct iovec iov[PIECES_MAX];
};

static struct rng *rng_of(struct virtio_device *v)
{
	return container_of(v, struct rng, v);
}

static ssize_t host_random(void *buf, size_t n)
{
	return getrandom(buf, n, GRND_NONBLOCK);
}

/* Bytes written. It ends early when the kernel has no more. */
static uint32_t fill(const struct rng *g)
{
	const struct virtq_chain *c = &g->chain;
	uint32_t done = 0;

	for (unsigned i = c->out_count; i < c->out_count + c->in_count && done < CHAIN_MAX; i++) {
		size_t want = c->iov[i].iov_len;
		ssize_t n;

		if (want > CHAIN_MAX - done)
			want = CHAIN_MAX - done;
		n = g->random(c->iov[i].iov_base, want);
		if (n > 0)
			done += (uint32_t)n;
		if (n != (ssize_t)want)
			break;
	}
	return done;
}

/* Chains are left, or may be. */
static bool serve(struct rng *g)
{
	unsigned chains, bytes = 0;
	uint32_t written;

	for (chains = 0; chains < CHAINS_MAX && bytes < PASS_MAX; chains++) {
		if (!g->held && virtq_pop(g->ring, &g->chain) != 1)
			return false;
		written = fill(g);
		g->held = !written && g->chain.in_count;
		if (g->held) {
			loop_timer_set_after(g->v.loop, &g->retry, RETRY_NS);
			return false;
		}
		virtq_push(g->ring, &g->chain, written);
		bytes += written;
	}
	return true;
}

static void run(struct rng *g)
{
	if (!g->ring)
		return;
	if (serve(g))
		loop_post(g->v.loop, &g->pass);
	virtio_notify(&g->v, g->ring);
}

static void pass_due(struct task *t)
{
	run(container_of(t, struct rng, pass));
}

static void retry_due(struct timer *t)
{
	run(container_of(t, struct rng, retry));
}

static void rng_start(struct virtio_device *v)
{
	(void)v;
}

/* Not at once: a driver that kicks for ever must not keep the others waiting. */
static void rng_kicked(struct virtio_device *v, struct virtq *q)
{
	rng_of(v)->ring = q;
	loop_post(v->loop, &rng_of(v)->pass);
}

static void halt(struct rng *g)
{
	g->ring = NULL;
	g->held = false;
}

static void rng_stop(struct virtio_device *v)
{
	halt(rng_of(v));
	virtio_stopped(v);
}

static void rng_stop_queue(struct virtio_device *v, struct virtq *q)
{
	halt(rng_of(v));
	virtio_queue_stopped(v, q);
}

static void rng_destroy(struct device *d)
{
	struct rng *g = container_of(d, struct rng, v.base);

	loop_timer_cancel(g->v.loop, &g->retry);
	virtio_device_fini(&g->v);
	free(g);
}

static const struct virtio_type rng_type = {
    .ops = {"virtio-rng", virtio_reset, rng_destroy},
    .id = 4,
    .class_code = 0x00ff00,
    .start = rng_start,
    .kicked = rng_kicked,
    .stop = rng_stop,
    .stop_queue = rng_stop_queue,
};

int virtio_rng_create(const struct virtio_rng_params *p, struct virtio_device **out)
{
	const struct virtio_device_params params = {
	    .type = &rng_type,
	    .mem = p->mem,
	    .loop = p->loop,
	    .features = VIRTQ_FEATURES & ~VIRTIO_F_INDIRECT_DESC,
	    .queue_count = 1,
	    .queue_size = QUEUE_SIZE,
	};
	struct rng *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	err = virtio_device_init(&g->v, &params);
	if (err) {
		free(g);
		return err;
	}
	g->random = p->random ? p->random : host_random;
	g->pass.fn = pass_due;
	timer_init(&g->retry, retry_due);
	g->chain.iov = g->iov;
	g->chain.iov_max = PIECES_MAX;
	*out = &g->v;
	return 0;
}
