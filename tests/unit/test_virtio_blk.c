/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk as a driver meets it: what is offered, requests of every kind and cut, caches, errors,
 * resets. Hostile drivers: test_virtio_blk_bad.c.
 */
#include "blk_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BASIC  (VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH)
#define SECTOR 512u

static struct blk_rig rig;
static uint8_t data[2 * SECTOR];

static void open_disk(struct block_params p, unsigned queues, uint64_t features)
{
	blk_rig_init(&rig, p, queues);
	assert_true(blk_rig_start(&rig, features, VIRTIO_BLK_QUEUE_SIZE));
}

static int teardown(void **state)
{
	(void)state;
	blk_rig_fini(&rig);
	return 0;
}

/* The number that fills a sector of the file as it was made, or as a test wrote it. */
static uint64_t number_in(const uint8_t *sector)
{
	uint64_t n[SECTOR / 8];

	memcpy(n, sector, sizeof(n));
	for (unsigned i = 1; i < SECTOR / 8; i++)
		assert_int_equal(n[i], n[0]);
	return n[0];
}

static void fill(uint8_t *sector, uint64_t number)
{
	for (unsigned i = 0; i < SECTOR / 8; i++)
		memcpy(sector + 8 * (size_t)i, &number, 8);
}

static uint64_t number_at(uint64_t sector)
{
	assert_int_equal(blk_rig_do(&rig, BLK_IN, sector, NULL, 0, SECTOR), BLK_OK);
	return number_in(blk_rig_in(&rig, 0));
}

static uint64_t config(unsigned offset, unsigned size)
{
	return virtio_config_read(rig.v, offset, size);
}

/* --- what is offered --- */

static void offers_a_plain_disk(void **state)
{
	const uint64_t wanted = VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_GEOMETRY |
				VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY |
				VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_DISCARD |
				VIRTIO_BLK_F_WRITE_ZEROES | VIRTQ_FEATURES;

	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	assert_int_equal(blk_rig_offered(&rig), wanted);
	assert_int_equal(config(0, 8), BLK_RIG_DISK / SECTOR);
	assert_int_equal(config(12, 4), VIRTIO_BLK_QUEUE_SIZE - 2);
	assert_int_equal(config(18, 1), 16); /* heads */
	assert_int_equal(config(19, 1), 63);
	assert_int_equal(config(20, 4), SECTOR);
	assert_int_equal(SECTOR << config(24, 1), block_geometry(rig.disk.block)->physical_size);
	assert_int_equal(config(32, 1), 1); /* writeback */
	assert_int_equal(config(34, 2), 1); /* queues */
	assert_int_equal(config(36, 4), 1u << 21);
	assert_int_equal(config(40, 4), 1);
	assert_int_equal(config(44, 4),
			 block_geometry(rig.disk.block)->discard_granularity / SECTOR);
	assert_int_equal(config(48, 4), 1u << 18);
	assert_int_equal(config(52, 4), 1);
	assert_int_equal(config(56, 1), 1);
	assert_int_equal(config(57, 1) | config(58, 2), 0);
	assert_int_equal(config(60, 4), 0); /* past its end */
	assert_int_equal(virtio_offered(rig.v, true) & VIRTIO_F_ANY_LAYOUT, VIRTIO_F_ANY_LAYOUT);
}

static void offers_what_the_image_allows(void **state)
{
	(void)state;
	open_disk((struct block_params){.read_only = true}, 2, BASIC);
	assert_int_equal(blk_rig_offered(&rig) & (VIRTIO_BLK_F_RO | VIRTIO_BLK_F_MQ |
						  VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES),
			 VIRTIO_BLK_F_RO | VIRTIO_BLK_F_MQ);
	assert_int_equal(config(34, 2), 2);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_IOERR);
	assert_int_equal(blk_rig_do(&rig, BLK_DISCARD, 0, data, 16, 0), BLK_UNSUPP);
	assert_int_equal(number_at(0), 1);
	blk_rig_fini(&rig);

	open_disk((struct block_params){.cache = BLOCK_CACHE_WRITETHROUGH}, 1, BASIC);
	assert_int_equal(config(32, 1), 0);
}

/* --- requests --- */

static void moves_data(void **state)
{
	static const uint64_t rings[] = {0, VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC,
					 VIRTIO_F_RING_PACKED | VIRTIO_F_INDIRECT_DESC,
					 VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER};

	(void)state;
	blk_rig_init(&rig, (struct block_params){0}, 1);
	for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		assert_true(blk_rig_start(&rig, BASIC | rings[i], 256));
		fill(data, 1000 + i);
		fill(data + SECTOR, 2000 + i);
		assert_int_equal(blk_rig_do(&rig, BLK_OUT, 5, data, 2 * SECTOR, 0), BLK_OK);
		assert_int_equal(number_at(5), 1000 + i);
		assert_int_equal(number_at(6), 2000 + i);
		assert_int_equal(number_at(4), 5);
		assert_int_equal(number_at(7), 8);
		assert_int_equal(blk_rig_do(&rig, BLK_FLUSH, 0, NULL, 0, 0), BLK_OK);
		assert_int_equal(rig.disk.fake.ios[IO_SYNC], i + 1);
		assert_true(blk_rig_reset(&rig));
	}
}

/* Header, data and status meet in one element, or are cut in the middle: ANY_LAYOUT. */
static void takes_any_layout(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, VIRTIO_F_ANY_LAYOUT);
	for (rig.out_cut = 0; rig.out_cut < sizeof(struct blk_header) + SECTOR; rig.out_cut++) {
		fill(data, 100 + rig.out_cut);
		assert_int_equal(blk_rig_do(&rig, BLK_OUT, 9, data, SECTOR, 0), BLK_OK);
		assert_int_equal(number_at(9), 100 + rig.out_cut);
	}
	rig.out_cut = 7;
	for (rig.in_cut = 0; rig.in_cut < SECTOR + 1; rig.in_cut++)
		assert_int_equal(number_at(9), 100 + sizeof(struct blk_header) + SECTOR - 1);
}

static void tells_its_serial(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	assert_int_equal(blk_rig_do(&rig, BLK_GET_ID, 0, NULL, 0, 20), BLK_OK);
	assert_memory_equal(blk_rig_in(&rig, 0), "SERIAL-OF-TWENTY-ONE", 20);
	assert_int_equal(blk_rig_do(&rig, BLK_GET_ID, 0, NULL, 0, 3), BLK_OK);
	assert_memory_equal(blk_rig_in(&rig, 0), "SER", 3);
	assert_int_equal(blk_rig_do(&rig, BLK_GET_ID, 0, NULL, 0, 21), BLK_IOERR);
	assert_int_equal(blk_rig_do(&rig, BLK_GET_ID, 0, NULL, 0, 0), BLK_OK);
}

static int do_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct blk_range range = {sector, sectors, flags};

	return blk_rig_do(&rig, type, sector, &range, sizeof(range), 0);
}

static void discards_and_zeroes(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1,
		  BASIC | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES);
	assert_int_equal(do_range(BLK_ZEROES, 8, 8, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.ios[IO_PUNCH], 0);
	assert_int_equal(number_at(8) | number_at(15), 0);
	assert_int_equal(number_at(7), 8);
	assert_int_equal(number_at(16), 17);
	assert_int_equal(do_range(BLK_ZEROES, 16, 8, 1), BLK_OK);
	assert_int_equal(rig.disk.fake.ios[IO_PUNCH], 1);
	assert_int_equal(number_at(16) | number_at(23), 0);
	assert_int_equal(do_range(BLK_DISCARD, 24, 8, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.ios[IO_PUNCH], 2);
	assert_int_equal(do_range(BLK_DISCARD, 24, 0, 0), BLK_OK);
	/* 5.2.6.2 */
	assert_int_equal(do_range(BLK_DISCARD, 32, 8, 1), BLK_UNSUPP);
	assert_int_equal(do_range(BLK_ZEROES, 32, 8, 2), BLK_UNSUPP);
	/* Outside. */
	assert_int_equal(do_range(BLK_DISCARD, BLK_RIG_DISK / SECTOR, 1, 0), BLK_IOERR);
	assert_int_equal(do_range(BLK_ZEROES, UINT64_MAX, 1, 0), BLK_IOERR);
	assert_int_equal(do_range(BLK_ZEROES, 0, UINT32_MAX, 0), BLK_IOERR);
	assert_int_equal(do_range(BLK_DISCARD, 0, (1u << 21) + 1, 0), BLK_IOERR);
	assert_int_equal(number_at(32), 33);
}

static void knows_no_other_request(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	for (uint32_t t = 0; t < 40; t++) {
		if (t != BLK_IN && t != BLK_OUT && t != BLK_FLUSH && t != BLK_GET_ID)
			assert_int_equal(blk_rig_do(&rig, t, 0, data, SECTOR, 0), BLK_UNSUPP);
	}
	/* Barriers of the legacy interface. */
	assert_int_equal(blk_rig_do(&rig, 0x80000001, 0, data, SECTOR, 0), BLK_UNSUPP);
	assert_int_equal(number_at(0), 1);
}

static void keeps_its_queues_apart(void **state)
{
	uint32_t length;
	unsigned slot;

	(void)state;
	open_disk((struct block_params){0}, 2, BASIC | VIRTIO_BLK_F_MQ);
	blk_rig_request(&rig, 1, 3, BLK_IN, 20, NULL, 0, SECTOR);
	blk_rig_request(&rig, 0, 4, BLK_IN, 30, NULL, 0, SECTOR);
	blk_rig_kick(&rig, 0);
	blk_rig_kick(&rig, 1);
	blk_rig_run(&rig);
	assert_true(blk_rig_get(&rig, 0, &slot, &length));
	assert_int_equal(slot, 4);
	assert_int_equal(number_in(blk_rig_in(&rig, 4)), 31);
	assert_true(blk_rig_get(&rig, 1, &slot, &length));
	assert_int_equal(slot, 3);
	assert_int_equal(number_in(blk_rig_in(&rig, 3)), 21);
}

/* --- batches --- */

static void interrupts_once_a_batch(void **state)
{
	uint32_t length;
	unsigned slot;

	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	for (unsigned i = 0; i < 32; i++)
		blk_rig_request(&rig, 0, i, i % 5 ? BLK_IN : BLK_GET_ID, i, NULL, 0,
				i % 5 ? SECTOR : 20);
	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	for (unsigned i = 0; i < 32; i++) {
		assert_true(blk_rig_get(&rig, 0, &slot, &length));
		assert_int_equal(length, slot % 5 ? SECTOR + 1 : 21);
		assert_int_equal(blk_rig_in(&rig, slot)[length - 1], BLK_OK);
	}
	assert_false(blk_rig_get(&rig, 0, &slot, &length));
	/* Once for what needed no disk, once for the rest. */
	assert_in_range(rig.interrupts[0], 1, 2);
}

/* A ring full at once is taken at once, and the next chain is kicked for. */
static void takes_a_full_ring(void **state)
{
	uint32_t length;
	unsigned slot;

	(void)state;
	open_disk((struct block_params){0}, 1, BASIC | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX);
	for (unsigned i = 0; i < 256; i++)
		assert_true(blk_rig_request(&rig, 0, i, BLK_IN, i % 100, NULL, 0, SECTOR));
	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	for (unsigned i = 0; i < 256; i++) {
		assert_true(blk_rig_get(&rig, 0, &slot, &length));
		assert_int_equal(number_in(blk_rig_in(&rig, slot)), slot % 100 + 1);
	}
	assert_true(blk_rig_request(&rig, 0, 0, BLK_IN, 0, NULL, 0, SECTOR));
	fake_driver_publish(&rig.driver[0]);
	assert_true(fake_driver_must_kick(&rig.driver[0], 1));
}

/* --- caches --- */

static void writes_through_for_who_cannot_flush(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, VIRTIO_F_VERSION_1);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.durable_writes, 1);
	assert_int_equal(blk_rig_do(&rig, BLK_FLUSH, 0, NULL, 0, 0), BLK_UNSUPP);
	assert_true(blk_rig_reset(&rig));

	assert_true(blk_rig_start(&rig, BASIC, 256));
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.durable_writes, 1);
	assert_true(blk_rig_reset(&rig));

	/* 5.2.5.2 */
	assert_true(blk_rig_start(&rig, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_CONFIG_WCE, 256));
	assert_int_equal(config(32, 1), 0);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.durable_writes, 2);
}

static void set_writeback(unsigned offset, unsigned size, uint64_t value)
{
	pthread_mutex_lock(&rig.v->lock);
	virtio_config_write(rig.v, offset, size, value);
	pthread_mutex_unlock(&rig.v->lock);
}

static void lets_the_driver_turn_its_cache_off(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	set_writeback(32, 1, 0);
	assert_int_equal(config(32, 1), 1); /* not negotiated */
	assert_true(blk_rig_reset(&rig));

	assert_true(blk_rig_start(&rig, BASIC | VIRTIO_BLK_F_CONFIG_WCE, 256));
	set_writeback(0, 8, 0);
	set_writeback(33, 1, 0xff);
	set_writeback(28, 4, 0);
	assert_int_equal(config(0, 8), BLK_RIG_DISK / SECTOR);
	assert_int_equal(config(33, 1), 0);
	assert_int_equal(config(32, 1), 1);
	set_writeback(32, 4, 0);
	assert_int_equal(config(32, 1), 0);
	assert_int_equal(config(34, 2), 1);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.durable_writes, 1);
	set_writeback(32, 1, 0xfe);
	assert_int_equal(config(32, 1), 1);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(rig.disk.fake.durable_writes, 1);
	set_writeback(32, 1, 0);
	assert_true(blk_rig_reset(&rig));
	assert_int_equal(config(32, 1), 1);
}

/* --- errors --- */

static void reports_errors(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	rig.disk.fake.fault = (struct fault){.err = EIO, .kinds = ~0u, .times = 3};
	assert_int_equal(blk_rig_do(&rig, BLK_IN, 0, NULL, 0, SECTOR), BLK_IOERR);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_IOERR);
	assert_int_equal(blk_rig_do(&rig, BLK_FLUSH, 0, NULL, 0, 0), BLK_IOERR);
	assert_int_equal(number_at(0), 1);
	rig.disk.fake.fault = (struct fault){.err = ENOSPC, .kinds = 1 << IO_WRITE, .times = 1};
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_IOERR);
}

static void waits_for_space(void **state)
{
	uint32_t length;
	unsigned slot;

	(void)state;
	open_disk((struct block_params){.on_enospc = BLOCK_PAUSE}, 1, BASIC);
	rig.disk.fake.fault = (struct fault){.err = ENOSPC, .kinds = 1 << IO_WRITE, .times = 1};
	fill(data, 77);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 3, data, SECTOR, 0), BLK_UNANSWERED);
	assert_true(block_paused(rig.disk.block));
	block_resume(rig.disk.block);
	blk_rig_run(&rig);
	assert_true(blk_rig_get(&rig, 0, &slot, &length));
	assert_int_equal(blk_rig_in(&rig, slot)[0], BLK_OK);
	assert_int_equal(number_at(3), 77);
}

/* --- resets --- */

static void forgets_what_is_held_when_reset(void **state)
{
	(void)state;
	open_disk((struct block_params){.on_enospc = BLOCK_PAUSE}, 1, BASIC);
	rig.disk.fake.fault = (struct fault){.err = ENOSPC, .kinds = 1 << IO_WRITE, .times = 1};
	for (unsigned i = 0; i < 9; i++)
		blk_rig_request(&rig, 0, i, BLK_OUT, i, data, SECTOR, 0);
	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	assert_true(block_paused(rig.disk.block));
	assert_true(blk_rig_reset(&rig));
	assert_false(block_paused(rig.disk.block));
	assert_true(blk_rig_start(&rig, BASIC, 256));
	fill(data, 5);
	assert_int_equal(blk_rig_do(&rig, BLK_OUT, 0, data, SECTOR, 0), BLK_OK);
	assert_int_equal(number_at(0), 5);
}

static void waits_for_what_is_in_work(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	rig.disk.fake.hold = true;
	blk_rig_request(&rig, 0, 0, BLK_IN, 0, NULL, 0, SECTOR);
	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	assert_false(blk_rig_reset(&rig));
	fake_engine_release(&rig.disk.fake);
	blk_rig_run(&rig);
	assert_int_equal(rig.v->status, 0);
	/* The status belongs to a driver that is gone. */
	assert_int_equal(blk_rig_in(&rig, 0)[SECTOR], BLK_RIG_POISON);
}

static void ends_with_an_interrupt_due(void **state)
{
	(void)state;
	open_disk((struct block_params){0}, 1, BASIC);
	blk_rig_request(&rig, 0, 0, BLK_GET_ID, 0, NULL, 0, 20);
	blk_rig_kick(&rig, 0);
	assert_int_equal(loop_step(rig.disk.loop), 1);
	assert_int_equal(rig.interrupts[0], 0);
}

static void reset_queue(unsigned queue)
{
	pthread_mutex_lock(&rig.v->lock);
	virtio_reset_queue(rig.v, queue);
	pthread_mutex_unlock(&rig.v->lock);
	blk_rig_run(&rig);
}

/* What one queue holds is given up; what the other holds is tried again and then waits on. */
static void resets_one_queue(void **state)
{
	uint32_t length;
	unsigned slot;

	(void)state;
	open_disk((struct block_params){.on_enospc = BLOCK_PAUSE}, 2,
		  BASIC | VIRTIO_BLK_F_MQ | VIRTIO_F_RING_RESET);
	rig.disk.fake.fault =
	    (struct fault){.err = ENOSPC, .kinds = 1 << IO_WRITE, .times = FAULT_ALWAYS};
	fill(data, 60);
	blk_rig_request(&rig, 0, 0, BLK_OUT, 1, data, SECTOR, 0);
	fill(data, 61);
	blk_rig_request(&rig, 1, 1, BLK_OUT, 2, data, SECTOR, 0);
	blk_rig_kick(&rig, 0);
	blk_rig_kick(&rig, 1);
	blk_rig_run(&rig);
	assert_true(block_paused(rig.disk.block));
	reset_queue(0);
	assert_false(rig.v->queue[0].resetting);
	assert_false(rig.v->queue[0].enabled);
	assert_true(block_paused(rig.disk.block));
	assert_false(blk_rig_get(&rig, 0, &slot, &length));
	assert_false(blk_rig_get(&rig, 1, &slot, &length));
	rig.disk.fake.fault.err = 0;
	block_resume(rig.disk.block);
	blk_rig_run(&rig);
	assert_false(blk_rig_get(&rig, 0, &slot, &length));
	assert_true(blk_rig_get(&rig, 1, &slot, &length));
	assert_int_equal(blk_rig_in(&rig, slot)[0], BLK_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(offers_a_plain_disk),
	    TEST(offers_what_the_image_allows),
	    TEST(moves_data),
	    TEST(takes_any_layout),
	    TEST(tells_its_serial),
	    TEST(discards_and_zeroes),
	    TEST(knows_no_other_request),
	    TEST(keeps_its_queues_apart),
	    TEST(interrupts_once_a_batch),
	    TEST(takes_a_full_ring),
	    TEST(writes_through_for_who_cannot_flush),
	    TEST(lets_the_driver_turn_its_cache_off),
	    TEST(reports_errors),
	    TEST(waits_for_space),
	    TEST(forgets_what_is_held_when_reset),
	    TEST(waits_for_what_is_in_work),
	    TEST(resets_one_queue),
	    TEST(ends_with_an_interrupt_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
