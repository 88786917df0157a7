/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device's life, step by step. */
#include "virtio_rig.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void start(struct virtio_rig *r)
{
	virtio_rig_negotiate(r, VIRTIO_RIG_MODERN);
	assert_true(virtio_rig_status(r) & VIRTIO_STATUS_FEATURES_OK);
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++)
		virtio_rig_enable(r, i);
	virtio_rig_driver_ok(r);
	virtio_rig_settle(r);
	assert_int_equal(r->fake.starts, 1);
}

static void test_features(void **state)
{
	static const uint64_t bad[] = {
	    0,
	    VIRTIO_F_EVENT_IDX,                       /* no VERSION_1 */
	    VIRTIO_F_VERSION_1 | 0x8,                 /* not offered */
	    VIRTIO_F_VERSION_1 | 1ull << 63,          /* the same */
	    VIRTIO_F_VERSION_1 | VIRTIO_F_ANY_LAYOUT, /* not offered to such a driver */
	    VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED,
	};
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	assert_int_equal(virtio_offered(r.v, false),
			 (VIRTIO_RIG_OFFERED | VIRTIO_F_VERSION_1) & ~VIRTIO_F_ANY_LAYOUT);
	assert_int_equal(virtio_offered(r.v, true), VIRTIO_F_EVENT_IDX | VIRTIO_F_ANY_LAYOUT | 0x6);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		virtio_rig_negotiate(&r, bad[i]);
		assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING);
		/* It insists. */
		virtio_rig_driver_ok(&r);
		virtio_rig_settle(&r);
		assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING);
		assert_int_equal(r.fake.starts, 0);
	}
	virtio_rig_negotiate(&r, VIRTIO_F_VERSION_1 | 0x2);
	assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING | VIRTIO_STATUS_FEATURES_OK);
	virtio_rig_choose(&r, VIRTIO_F_VERSION_1 | 0x4);
	virtio_rig_driver_ok(&r);
	assert_int_equal(r.v->features, VIRTIO_F_VERSION_1 | 0x2);
	assert_true(virtio_has(r.v, VIRTIO_F_VERSION_1));
	assert_false(virtio_has(r.v, VIRTIO_F_VERSION_1 | 0x4));
	/* Bits do not go away, and some are not the driver's. */
	virtio_rig_set_status(&r, VIRTIO_STATUS_NEEDS_RESET | 0x30 | VIRTIO_STATUS_FAILED, false);
	assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING | VIRTIO_STATUS_FEATURES_OK |
						    VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FAILED);
	virtio_rig_fini(&r);
}

static void test_legacy_features(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	virtio_rig_set_status(&r, VIRTIO_RIG_GREETING, true);
	virtio_rig_choose(&r, VIRTIO_F_ANY_LAYOUT | 0x8 | 0x4);
	virtio_rig_enable(&r, 0);
	virtio_rig_add(&r, 0);
	/* Before DRIVER_OK, as some drivers do. */
	virtio_kick(r.v, 0);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.kicks[0], 0);
	virtio_rig_set_status(&r, VIRTIO_RIG_GREETING | VIRTIO_STATUS_DRIVER_OK, true);
	virtio_rig_settle(&r);
	assert_int_equal(r.v->features, VIRTIO_F_ANY_LAYOUT | 0x4);
	assert_int_equal(virtio_rig_used(&r, 0), 1);
	/* Too late. */
	virtio_rig_set_status(&r, VIRTIO_STATUS_FEATURES_OK, false);
	assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING | VIRTIO_STATUS_DRIVER_OK);
	/* It knows nothing of this bit. */
	fake_driver_write_avail(&r.driver[0], 1000, 0, 0);
	virtio_kick(r.v, 0);
	virtio_rig_settle(&r);
	assert_false(r.v->queue[0].ring.running);
	assert_int_equal(virtio_rig_status(&r), VIRTIO_RIG_GREETING | VIRTIO_STATUS_DRIVER_OK);
	virtio_rig_fini(&r);
}

static void test_kicks(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	virtio_rig_negotiate(&r, VIRTIO_RIG_MODERN);
	virtio_rig_enable(&r, 1);
	virtio_kick(r.v, 1);
	virtio_kick(r.v, FAKE_VIRTIO_QUEUES);
	virtio_kick(r.v, UINT32_MAX);
	virtio_rig_settle(&r);
	virtio_rig_driver_ok(&r);
	virtio_rig_settle(&r);
	/* Once, whatever came before; queues that do not run never. */
	assert_int_equal(r.fake.kicks[0], 0);
	assert_int_equal(r.fake.kicks[1], 1);
	virtio_kick(r.v, 0);
	virtio_kick(r.v, 1);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.kicks[0], 0);
	assert_int_equal(r.fake.kicks[1], 2);
	/* Nothing is left to be done again and again. */
	assert_int_equal(loop_step(r.loop), 0);
	/* A queue that comes late. */
	virtio_rig_enable(&r, 0);
	virtio_rig_add(&r, 0);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_used(&r, 0), 1);
	assert_int_equal(r.fake.starts, 1);
	assert_int_equal(r.fake.queue_interrupts[0], 1);
	virtio_rig_fini(&r);
}

static void test_reset(void **state)
{
	const uint8_t ready =
	    VIRTIO_RIG_GREETING | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	start(&r);
	r.v->queue[3].enabled = false;
	r.fake.slow = true;
	virtio_rig_set_status(&r, 0, false);
	assert_int_equal(virtio_rig_status(&r), ready);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.stops, 1);
	/* As long as the device works, nothing that the driver does counts. */
	assert_int_equal(virtio_rig_status(&r), ready);
	virtio_rig_set_status(&r, 0, false);
	virtio_rig_set_status(&r, VIRTIO_STATUS_FAILED, false);
	virtio_rig_reset_queue(&r, 1);
	virtio_kick(r.v, 2);
	assert_null(virtio_queue_open(r.v, 3));
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_status(&r), ready);
	assert_int_equal(r.fake.kicks[2], 1);
	assert_int_equal(r.fake.stops, 1);
	assert_int_equal(r.fake.resets, 0);
	fake_virtio_answer(&r.fake);
	assert_int_equal(virtio_rig_status(&r), 0);
	assert_int_equal(r.fake.resets, 1);
	assert_int_equal(r.v->features, 0);
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
		assert_false(r.v->queue[i].enabled || r.v->queue[i].ring.running);
		assert_int_equal(r.v->queue[i].place.size, 256);
		assert_int_equal(r.v->queue[i].place.desc, 0);
	}
	/* And again, with nothing left over. */
	r.fake.starts = 0;
	start(&r);
	assert_int_equal(r.fake.kicks[2], 2);
	virtio_rig_set_status(&r, 0, false);
	virtio_rig_driver_ok(&r);
	virtio_rig_settle(&r);
	fake_virtio_answer(&r.fake);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_status(&r), 0);
	assert_int_equal(r.fake.starts, 1);
	virtio_rig_fini(&r);
}

/* Nothing runs yet, so nobody has to be asked. */
static void test_reset_at_once(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	virtio_rig_set_status(&r, 0, false);
	assert_int_equal(virtio_rig_status(&r), 0);
	virtio_rig_negotiate(&r, VIRTIO_RIG_MODERN);
	virtio_rig_enable(&r, 0);
	virtio_rig_reset_queue(&r, 0);
	virtio_rig_set_status(&r, 0, false);
	assert_int_equal(virtio_rig_status(&r), 0);
	assert_non_null(virtio_queue_open(r.v, 0));
	virtio_rig_settle(&r);
	/* Here DRIVER_OK was said, but the loop has not heard of it. */
	virtio_rig_negotiate(&r, VIRTIO_RIG_MODERN);
	virtio_rig_enable(&r, 0);
	virtio_rig_driver_ok(&r);
	virtio_rig_set_status(&r, 0, false);
	assert_int_not_equal(virtio_rig_status(&r), 0);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_status(&r), 0);
	assert_int_equal(r.fake.starts + r.fake.stops + r.fake.kicks[0], 0);
	virtio_rig_fini(&r);
}

static void test_queue_reset(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	start(&r);
	r.fake.slow = true;
	virtio_rig_reset_queue(&r, 1);
	virtio_rig_reset_queue(&r, FAKE_VIRTIO_QUEUES);
	virtio_rig_settle(&r);
	virtio_rig_reset_queue(&r, 1);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.queue_stops, 1);
	assert_true(r.v->queue[1].resetting && r.v->queue[1].enabled);
	/* It cannot be had back before it is given up. */
	virtio_rig_enable(&r, 1);
	virtio_kick(r.v, 1);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.kicks[1], 1);
	fake_virtio_answer(&r.fake);
	assert_false(r.v->queue[1].resetting || r.v->queue[1].enabled);
	/* The others never noticed. */
	virtio_rig_add(&r, 0);
	virtio_kick(r.v, 0);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_used(&r, 0), 1);
	virtio_rig_enable(&r, 1);
	virtio_rig_add(&r, 1);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_used(&r, 1), 1);
	/* A reset of all overtakes that of one. */
	virtio_rig_reset_queue(&r, 1);
	virtio_rig_settle(&r);
	virtio_rig_set_status(&r, 0, false);
	virtio_rig_settle(&r);
	virtio_queue_stopped(r.v, &r.v->queue[1].ring);
	assert_true(r.v->queue[1].resetting);
	assert_int_not_equal(virtio_rig_status(&r), 0);
	fake_virtio_answer(&r.fake);
	assert_int_equal(virtio_rig_status(&r), 0);
	/* Not negotiated. */
	r.fake.starts = r.fake.queue_stops = 0;
	virtio_rig_negotiate(&r, VIRTIO_F_VERSION_1);
	virtio_rig_enable(&r, 0);
	virtio_rig_driver_ok(&r);
	virtio_rig_reset_queue(&r, 0);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.queue_stops, 0);
	assert_true(r.v->queue[0].enabled);
	virtio_rig_fini(&r);
}

static void test_broken(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	virtio_rig_negotiate(&r, VIRTIO_RIG_MODERN);
	virtio_rig_enable(&r, 0);
	virtio_rig_enable(&r, 1);
	/* Outside RAM: it breaks while it starts. */
	virtio_rig_enable(&r, 2);
	r.v->queue[2].place.device = VIRTIO_RIG_RAM - 4;
	virtio_rig_driver_ok(&r);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.starts, 1);
	assert_true(virtio_rig_status(&r) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(r.fake.config_interrupts, 1);
	/* Says more than its ring has. */
	fake_driver_write_avail(&r.driver[0], 1000, 0, 0);
	virtio_kick(r.v, 0);
	virtio_rig_settle(&r);
	assert_false(r.v->queue[0].ring.running);
	assert_int_equal(r.fake.config_interrupts, 1);
	virtio_kick(r.v, 0);
	virtio_kick(r.v, 2);
	virtio_rig_add(&r, 1);
	virtio_kick(r.v, 1);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_used(&r, 1), 1);
	/* It cannot write the bit away; a reset heals. */
	virtio_rig_driver_ok(&r);
	assert_true(virtio_rig_status(&r) & VIRTIO_STATUS_NEEDS_RESET);
	virtio_rig_set_status(&r, 0, false);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_status(&r), 0);
	r.fake.starts = 0;
	start(&r);
	virtio_rig_add(&r, 0);
	virtio_kick(r.v, 0);
	virtio_rig_settle(&r);
	assert_int_equal(virtio_rig_used(&r, 0), 1);
	virtio_rig_fini(&r);
}

static void test_config(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	virtio_change_config(r.v, 8, bytes, 8);
	assert_int_equal(r.v->generation, 1);
	assert_int_equal(r.fake.config_interrupts, 0);
	assert_int_equal(virtio_config_read(r.v, 8, 8), 0x0807060504030201);
	assert_int_equal(virtio_config_read(r.v, 15, 1), 8);
	assert_int_equal(virtio_config_read(r.v, 15, 2), 0);
	assert_int_equal(virtio_config_read(r.v, 16, 1), 0);
	assert_int_equal(virtio_config_read(r.v, UINT64_MAX, 4), 0);
	assert_int_equal(virtio_config_read(r.v, UINT64_MAX - 7, 8), 0);
	start(&r);
	virtio_change_config(r.v, 8, bytes, 8);
	assert_int_equal(r.fake.config_interrupts, 0);
	virtio_change_config(r.v, 9, bytes, 1);
	assert_int_equal(r.v->generation, 2);
	assert_int_equal(r.fake.config_interrupts, 1);
	/* Of what the driver writes the device takes the first four bytes. */
	virtio_config_write(r.v, 2, 4, 0xaabbccdd);
	assert_int_equal(virtio_config_read(r.v, 0, 8), 0x00000000ccdd0000);
	virtio_config_write(r.v, 14, 4, ~0ull);
	virtio_config_write(r.v, UINT64_MAX, 8, ~0ull);
	assert_int_equal(virtio_config_read(r.v, 8, 8), 0x0807060504030101);
	virtio_needs_reset(r.v, "test");
	virtio_needs_reset(r.v, "test");
	assert_int_equal(r.fake.config_interrupts, 2);
	virtio_rig_fini(&r);
}

/* Any order of what a driver can do, ended by a reset and a start that must work. */
static void test_any_order(void **state)
{
	uint64_t seed = 1;
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	for (unsigned round = 0; round < 2000; round++) {
		r.fake.slow = round & 1;
		r.fake.deaf = true;
		for (unsigned step = 0; step < 12; step++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned queue = (unsigned)(seed >> 60) % FAKE_VIRTIO_QUEUES;

			switch (seed >> 33 & 7) {
			case 0:
				virtio_rig_negotiate(&r, VIRTIO_RIG_MODERN);
				break;
			case 1:
				virtio_rig_driver_ok(&r);
				break;
			case 2:
				virtio_rig_enable(&r, queue);
				break;
			case 3:
				virtio_rig_reset_queue(&r, queue);
				break;
			case 4:
				virtio_kick(r.v, queue);
				break;
			case 5:
				virtio_rig_set_status(&r, 0, false);
				break;
			case 6:
				fake_virtio_answer(&r.fake);
				break;
			default:
				loop_step(r.loop);
			}
		}
		r.fake.deaf = r.fake.slow = false;
		fake_virtio_answer(&r.fake);
		virtio_rig_settle(&r);
		virtio_rig_set_status(&r, 0, false);
		virtio_rig_settle(&r);
		assert_int_equal(virtio_rig_status(&r), 0);
		r.fake.starts = 0;
		start(&r);
		for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
			virtio_rig_add(&r, i);
			virtio_kick(r.v, i);
			virtio_rig_settle(&r);
			assert_int_equal(virtio_rig_used(&r, i), 1);
		}
	}
	virtio_rig_fini(&r);
}

static void test_machine_reset(void **state)
{
	struct virtio_rig r;

	(void)state;
	virtio_rig_init(&r);
	device_reset(&r.v->base);
	start(&r);
	device_reset(&r.v->base);
	assert_int_equal(virtio_rig_status(&r), 0);
	assert_int_equal(r.fake.stops, 1);
	r.fake.starts = 0;
	start(&r);
	/* A legacy driver waits; the loop is here. */
	pthread_mutex_lock(&r.v->lock);
	virtio_set_status(r.v, 0, true);
	virtio_wait_reset(r.v);
	assert_int_equal(r.v->status, 0);
	virtio_wait_reset(r.v);
	pthread_mutex_unlock(&r.v->lock);
	virtio_rig_fini(&r);
}

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

/* Storage that does not answer: the machine's reset gives up, and says so. */
static void test_machine_reset_is_bounded(void **state)
{
	struct virtio_rig r;
	pthread_t thread;

	(void)state;
	virtio_rig_init(&r);
	start(&r);
	r.fake.slow = true;
	r.v->reset_limit_ns = NS_PER_MS;
	pthread_create(&thread, NULL, run_loop, r.loop);
	while (loop_is_here(r.loop))
		sched_yield();
	device_reset(&r.v->base);
	assert_true(r.v->base.stuck);
	assert_int_not_equal(virtio_rig_status(&r), 0);
	loop_stop(r.loop);
	pthread_join(thread, NULL);
	virtio_rig_settle(&r);
	assert_int_equal(r.fake.stops, 1);
	fake_virtio_answer(&r.fake);
	assert_int_equal(virtio_rig_status(&r), 0);
	virtio_rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_features),
	    cmocka_unit_test(test_legacy_features),
	    cmocka_unit_test(test_kicks),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_reset_at_once),
	    cmocka_unit_test(test_queue_reset),
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_config),
	    cmocka_unit_test(test_any_order),
	    cmocka_unit_test(test_machine_reset),
	    cmocka_unit_test(test_machine_reset_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
