/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device's life with vCPUs and a loop that race. */
#include "virtio_rig.h"
#include "core/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(((struct virtio_rig *)arg)->loop), 0);
	return NULL;
}

static void exchange(struct virtio_rig *r, unsigned queue)
{
	virtio_rig_add(r, queue);
	virtio_kick(r->v, queue);
	for (unsigned i = 0; i < 20000; i++) {
		if (virtio_rig_used(r, queue))
			return;
		usleep(100);
	}
	fail_msg("queue %u does not run", queue);
}

/* A driver's whole life, with one way of ending it each. */
static void live(struct virtio_rig *r, unsigned round)
{
	virtio_rig_negotiate(r, VIRTIO_RIG_MODERN);
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
		virtio_rig_enable(r, i);
		virtio_kick(r->v, i);
	}
	virtio_rig_driver_ok(r);
	exchange(r, round % FAKE_VIRTIO_QUEUES);
	if (round % 3 == 0) {
		virtio_rig_reset_queue(r, 0);
		while (virtio_kick(r->v, 0), pthread_mutex_lock(&r->v->lock),
		       r->v->queue[0].resetting) {
			pthread_mutex_unlock(&r->v->lock);
			usleep(10);
		}
		pthread_mutex_unlock(&r->v->lock);
		virtio_rig_enable(r, 0);
		exchange(r, 0);
	}
	virtio_kick(r->v, 1);
}

static void end(struct virtio_rig *r, unsigned round)
{
	switch (round % 3) {
	case 0:
		virtio_rig_set_status(r, 0, false);
		while (virtio_rig_status(r))
			usleep(10);
		break;
	case 1:
		pthread_mutex_lock(&r->v->lock);
		virtio_set_status(r->v, 0, true);
		virtio_wait_reset(r->v);
		assert_int_equal(r->v->status, 0);
		pthread_mutex_unlock(&r->v->lock);
		break;
	default:
		device_reset(&r->v->base);
	}
	assert_int_equal(virtio_rig_status(r), 0);
}

/* Another vCPU that does as it likes. */
static void *meddle(void *arg)
{
	struct virtio_rig *r = arg;

	for (unsigned i = 0; i < 3000; i++) {
		virtio_kick(r->v, i % (FAKE_VIRTIO_QUEUES + 1));
		pthread_mutex_lock(&r->v->lock);
		virtio_config_write(r->v, i % 20, 1u << i % 4, i);
		virtio_config_read(r->v, i % 20, 1u << i % 4);
		virtio_choose(r->v, VIRTIO_RIG_MODERN);
		pthread_mutex_unlock(&r->v->lock);
		virtio_change_config(r->v, 8, &i, sizeof(i));
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t loop, other;
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	assert_int_equal(thread_start(&loop, "loop", run_loop, &r), 0);
	assert_int_equal(thread_start(&other, "other", meddle, &r), 0);
	for (unsigned round = 0; round < 300; round++) {
		/* Nothing runs now; the loop sees it with the next start. */
		r.fake.late = round % 5;
		live(&r, round);
		end(&r, round);
	}
	assert_int_equal(pthread_join(other, NULL), 0);
	loop_stop(r.loop);
	assert_int_equal(pthread_join(loop, NULL), 0);
	assert_int_equal(r.fake.starts, 300);
	assert_int_equal(r.fake.stops, 300);
	virtio_rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
