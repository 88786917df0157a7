/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk under drivers that are broken or hostile. Tests are named after what once went wrong
 * in other monitors.
 */
#include "blk_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ALL                                                                                        \
	(VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD |                          \
	 VIRTIO_BLK_F_WRITE_ZEROES | VIRTIO_BLK_F_MQ)
#define SECTOR 512u
#define NEEDS  VIRTIO_STATUS_NEEDS_RESET
#define HEADER ((unsigned)sizeof(struct blk_header))

static struct blk_rig rig;
static const uint32_t kinds[] = {BLK_IN,      BLK_OUT,    BLK_FLUSH,    BLK_GET_ID,
				 BLK_DISCARD, BLK_ZEROES, 2 /* SCSI */, 0xffffffff};

#define KINDS       (sizeof(kinds) / sizeof(kinds[0]))
#define KNOWN_KINDS 6u

static void open_disk(uint64_t features)
{
	blk_rig_init(&rig, (struct block_params){0}, 2);
	assert_true(blk_rig_start(&rig, features, VIRTIO_BLK_QUEUE_SIZE));
}

static int teardown(void **state)
{
	(void)state;
	blk_rig_fini(&rig);
	return 0;
}

/* The one answer that there is: its status, and its length in *length. */
static int answer(unsigned in_bytes, uint32_t *length)
{
	unsigned slot;
	int status;

	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	if (!blk_rig_get(&rig, 0, &slot, length))
		return BLK_UNANSWERED;
	status = blk_rig_in(&rig, slot)[in_bytes - 1];
	assert_false(blk_rig_get(&rig, 0, &slot, length));
	return status;
}

static bool is_broken(unsigned queue)
{
	return !rig.v->queue[queue].ring.running;
}

/* Header of a kind in slot 0, and n bytes of zeroes behind it: a range of nothing, if it is one. */
static void put_header(uint32_t type, uint64_t sector)
{
	struct blk_header h = {type, 0, sector};

	memset(blk_rig_out(&rig, 0), 0, BLK_RIG_SLOT / 2);
	memcpy(blk_rig_out(&rig, 0), &h, sizeof(h));
}

static bool has_right_length(uint32_t type, unsigned n)
{
	switch (type) {
	case BLK_IN:
	case BLK_OUT:
		return n % SECTOR == 0;
	case BLK_FLUSH:
		return n == 0;
	case BLK_GET_ID:
		return n <= VIRTIO_BLK_SERIAL_BYTES;
	default:
		return n == sizeof(struct blk_range);
	}
}

/* CVE-2011-1750: lengths that are no multiple of a sector. */
static void takes_any_length_of_any_request(void **state)
{
	uint32_t length;

	(void)state;
	open_disk(ALL);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		bool to_read = kinds[kind] == BLK_IN || kinds[kind] == BLK_GET_ID;

		put_header(kinds[kind], 0);
		for (unsigned n = 0; n <= 4097; n++) {
			int right = has_right_length(kinds[kind], n) ? BLK_OK : BLK_IOERR;

			assert_true(blk_rig_add(&rig, 0, 0, HEADER + (to_read ? 0 : n),
						1 + (to_read ? n : 0)));
			assert_int_equal(answer(1 + (to_read ? n : 0), &length),
					 kind < KNOWN_KINDS ? right : BLK_UNSUPP);
		}
	}
}

static void answers_what_has_data_both_ways(void **state)
{
	uint32_t length;

	(void)state;
	open_disk(ALL);
	for (unsigned kind = 0; kind < KNOWN_KINDS; kind++) {
		put_header(kinds[kind], 0);
		assert_true(blk_rig_add(&rig, 0, 0, HEADER + SECTOR, SECTOR + 1));
		assert_int_equal(answer(SECTOR + 1, &length), BLK_IOERR);
		assert_int_equal(length, 1);
	}
}

static void answers_what_has_half_a_header(void **state)
{
	uint32_t length;

	(void)state;
	open_disk(ALL);
	put_header(BLK_FLUSH, 0);
	for (unsigned n = 0; n < HEADER; n++) {
		assert_true(blk_rig_add(&rig, 0, 0, n, 1));
		assert_int_equal(answer(1, &length), BLK_IOERR);
	}
	assert_true(blk_rig_add(&rig, 0, 0, HEADER, 1));
	assert_int_equal(answer(1, &length), BLK_OK);
}

static void breaks_on_what_has_no_status(void **state)
{
	uint32_t length;

	(void)state;
	open_disk(ALL);
	put_header(BLK_FLUSH, 0);
	assert_true(blk_rig_add(&rig, 0, 0, HEADER, 0));
	assert_int_equal(answer(1, &length), BLK_UNANSWERED);
	assert_true(is_broken(0));
	assert_int_equal(rig.v->status & NEEDS, NEEDS);
	assert_int_equal(rig.config_interrupts, 1);
	/* The other queue goes on, and a reset mends this one. */
	assert_true(blk_rig_request(&rig, 1, 0, BLK_IN, 0, NULL, 0, SECTOR));
	blk_rig_kick(&rig, 1);
	blk_rig_run(&rig);
	assert_int_equal(blk_rig_in(&rig, 0)[SECTOR], BLK_OK);
	assert_true(blk_rig_reset(&rig));
	assert_true(blk_rig_start(&rig, ALL, 256));
	assert_int_equal(blk_rig_do(&rig, BLK_IN, 0, NULL, 0, SECTOR), BLK_OK);
}

static void answers_what_is_outside_the_disk(void **state)
{
	const uint64_t end = BLK_RIG_DISK / SECTOR;
	const uint64_t sectors[] = {
	    end - 1,          end,        end + 1,        1ull << 32, 1ull << 55,
	    (1ull << 55) - 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
	static const uint8_t data[2 * SECTOR];

	(void)state;
	open_disk(ALL);
	for (unsigned i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		int one = i == 0 ? BLK_OK : BLK_IOERR;

		assert_int_equal(blk_rig_do(&rig, BLK_IN, sectors[i], NULL, 0, SECTOR), one);
		assert_int_equal(blk_rig_do(&rig, BLK_OUT, sectors[i], data, SECTOR, 0), one);
		assert_int_equal(blk_rig_do(&rig, BLK_IN, sectors[i], NULL, 0, 2 * SECTOR),
				 BLK_IOERR);
		assert_int_equal(blk_rig_do(&rig, BLK_OUT, sectors[i], data, 2 * SECTOR, 0),
				 BLK_IOERR);
	}
}

/* CVE-2016-5403: more requests than the queue has room for. */
static void takes_no_more_than_the_queue_holds(void **state)
{
	struct fake_driver *d = &rig.driver[0];

	(void)state;
	open_disk(ALL);
	rig.disk.fake.hold = true;
	put_header(BLK_FLUSH, 0);
	assert_true(blk_rig_add(&rig, 0, 0, HEADER, 1));
	blk_rig_kick(&rig, 0);
	blk_rig_run(&rig);
	/* The same head again, for ever. */
	for (uint16_t i = 1; i < 1000; i++) {
		fake_driver_write_avail(d, (uint16_t)(i + 1), i, 0);
		virtio_kick(rig.v, 0);
		blk_rig_run(&rig);
	}
	assert_true(is_broken(0));
	assert_int_equal(rig.disk.fake.pending_count, 1);
	fake_engine_release(&rig.disk.fake);
	blk_rig_run(&rig);
	assert_int_equal(blk_rig_in(&rig, 0)[0], BLK_RIG_POISON); /* memory is left alone */
}

/* CVE-2016-6490, CVE-2016-7422: empty and endless buffers; CVE-2024-3446: those outside RAM. */
static void answers_bad_buffers_and_reaches_ram_only(void **state)
{
	static const struct fake_desc bad[] = {
	    {.address = BLK_RIG_BUFFERS, .length = 0},
	    {.address = BLK_RIG_BUFFERS, .length = 1u << 31},
	    {.address = BLK_RIG_BUFFERS, .length = UINT32_MAX},
	    {.address = UINT64_MAX, .length = 16},
	    {.address = UINT64_MAX - 15, .length = 16},
	    {.address = BLK_RIG_RAM - 8, .length = 16},
	    {.address = BLK_RIG_RAM, .length = 16},
	    {.address = 0xfec00000, .length = 16}, /* I/O APIC */
	    {.address = 0xfee00000, .length = 16}, /* local APIC */
	    {.address = 0xe0000000, .length = 16}, /* where BARs are */
	};

	(void)state;
	open_disk(ALL);
	for (unsigned i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		struct fake_desc d = bad[i / 2];

		d.first = i % 2 ? 2 : 0; /* for the device to write, or to read */
		fake_driver_write_desc(&rig.driver[0], rig.driver[0].desc, 0, d);
		fake_driver_write_avail(&rig.driver[0], 1, 0, 0);
		virtio_kick(rig.v, 0);
		blk_rig_run(&rig);
		assert_true(is_broken(0));
		assert_false(is_broken(1));
		assert_int_equal(rig.disk.fake.pending_count, 0);
		assert_true(blk_rig_reset(&rig));
		assert_true(blk_rig_start(&rig, ALL, 256));
	}
}

/* CVE-2024-8612: a length of more than was written, with what was there before. */
static void returned_lengths_count_bytes_that_were_written(void **state)
{
	static const unsigned sizes[] = {0, 1, 20, 21, SECTOR, SECTOR + 1, 4096, 4608};
	unsigned written, n;
	uint32_t length;
	uint8_t *in;

	(void)state;
	open_disk(ALL);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
			n = sizes[i / 2];
			/* Half of them fail on the host. */
			rig.disk.fake.fault = (struct fault){
			    .err = i % 2 ? EIO : 0, .kinds = ~0u, .times = FAULT_ALWAYS};
			put_header(kinds[kind], 0);
			assert_true(blk_rig_add(&rig, 0, 0, HEADER, n + 1));
			assert_int_not_equal(answer(n + 1, &length), BLK_UNANSWERED);
			in = blk_rig_in(&rig, 0);
			for (unsigned at = written = 0; at < BLK_RIG_SLOT / 2; at++)
				written += in[at] != BLK_RIG_POISON;
			assert_int_equal(length, written);
			assert_true(length == 1 || length == n + 1);
		}
	}
}

/* CVE-2016-2858: sizes that a guest chose, on the stack. */
static void survives_huge_requests(void **state)
{
	struct fake_buffer b[FAKE_DRIVER_BUFFERS];
	unsigned id;
	uint32_t length;

	(void)state;
	open_disk(ALL | VIRTIO_F_INDIRECT_DESC);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		put_header(kinds[kind], 0);
		b[0] = (struct fake_buffer){BLK_RIG_BUFFERS, HEADER, false};
		for (unsigned i = 1; i < FAKE_DRIVER_BUFFERS; i++)
			b[i] = (struct fake_buffer){BLK_RIG_BUFFERS, 0x800000, true};
		assert_true(fake_driver_add(&rig.driver[0], b, FAKE_DRIVER_BUFFERS, true) >= 0);
		blk_rig_kick(&rig, 0);
		blk_rig_run(&rig);
		assert_true(fake_driver_get(&rig.driver[0], &id, &length));
		assert_int_equal(length, 1);
	}
}

/* CVE-2026-45782, CVE-2021-3748: what completes after its device or queue was reset. */
static void resets_with_requests_in_flight(void **state)
{
	static const uint8_t data[SECTOR];
	uint64_t seed = 28;
	unsigned sent, slot, queue;
	uint32_t length;

	(void)state;
	blk_rig_init(&rig, (struct block_params){.on_enospc = BLOCK_PAUSE}, 2);
	for (unsigned round = 0; round < 400; round++) {
		assert_true(blk_rig_start(&rig, ALL | VIRTIO_F_RING_RESET, 256));
		rig.disk.fake.shuffle = next_random(&seed) | 1;
		rig.disk.fake.hold = next_random(&seed) % 2;
		rig.disk.fake.fault = (struct fault){.err = round % 3 ? 0 : ENOSPC,
						     .kinds = 1 << IO_WRITE,
						     .after = next_random(&seed) % 100,
						     .times = 1};
		for (sent = 0; sent < 128; sent++) {
			bool out = next_random(&seed) % 2;

			assert_true(blk_rig_request(&rig, sent % 2, sent, out ? BLK_OUT : BLK_IN,
						    sent % 100, data, out ? SECTOR : 0,
						    out ? 0 : SECTOR));
		}
		blk_rig_kick(&rig, 0);
		blk_rig_kick(&rig, 1);
		for (unsigned steps = next_random(&seed) % 8; steps; steps--)
			loop_step(rig.disk.loop);
		if (next_random(&seed) % 4 == 0) {
			queue = next_random(&seed) % 2;
			pthread_mutex_lock(&rig.v->lock);
			virtio_reset_queue(rig.v, queue);
			pthread_mutex_unlock(&rig.v->lock);
			loop_step(rig.disk.loop);
		}
		if (next_random(&seed) % 8 == 0) {
			blk_rig_fini(&rig); /* the machine ends */
			blk_rig_init(&rig, (struct block_params){.on_enospc = BLOCK_PAUSE}, 2);
			continue;
		}
		blk_rig_reset(&rig);
		for (queue = 0; queue < 2; queue++) {
			while (blk_rig_get(&rig, queue, &slot, &length))
				;
		}
		fake_engine_release(&rig.disk.fake);
		blk_rig_run(&rig);
		assert_int_equal(rig.v->status, 0);
		assert_false(block_paused(rig.disk.block));
		assert_int_equal(rig.disk.fake.pending_count, 0);
	}
}

struct flipper {
	pthread_t thread;
	atomic_bool stop;
};

/* What the driver says of slot 0, well and badly by turns, while the device reads it. */
static void *flip(void *arg)
{
	static const struct blk_header good = {BLK_OUT, 0, 3}, far = {BLK_OUT, 0, 1ull << 55},
				       other = {BLK_DISCARD, 0, 3};
	struct flipper *f = arg;
	uint8_t *slot = blk_rig_out(&rig, 0);

	while (!atomic_load(&f->stop)) {
		memcpy(slot, &good, sizeof(good));
		memcpy(slot, &far, sizeof(far));
		memcpy(slot, &other, sizeof(other));
		/* Also read as a range: of one sector, and of all there are. */
		memcpy(slot + HEADER, &(struct blk_range){3, 1, 0}, sizeof(struct blk_range));
		memcpy(slot + HEADER, &(struct blk_range){3, UINT32_MAX, 0},
		       sizeof(struct blk_range));
	}
	return NULL;
}

/* CVE-2015-8550, CVE-2025-58151: what is checked must be what is used. */
static void checks_what_it_uses_while_the_driver_changes_it(void **state)
{
	static uint8_t content[BLK_RIG_DISK];
	struct flipper f = {.stop = false};
	unsigned done = 0;
	uint32_t length;

	(void)state;
	open_disk(ALL);
	put_header(BLK_OUT, 3);
	pthread_create(&f.thread, NULL, flip, &f);
	for (unsigned i = 0; i < 3000; i++) {
		int status;

		/* As long as a write of one sector, or as a range. */
		assert_true(blk_rig_add(&rig, 0, 0,
					HEADER + (i % 2 ? SECTOR : sizeof(struct blk_range)), 1));
		status = answer(1, &length);
		assert_true(status >= BLK_OK && status <= BLK_UNSUPP);
		done += status == BLK_OK;
	}
	atomic_store(&f.stop, true);
	pthread_join(f.thread, NULL);
	assert_true(done > 0);
	assert_int_equal(rig_do(&rig.disk, BLOCK_READ, 0, 0, content, sizeof(content)), 0);
	for (unsigned i = 0; i < BLK_RIG_DISK / SECTOR; i++) {
		uint64_t number;

		memcpy(&number, content + (size_t)i * SECTOR, sizeof(number));
		if (i != 3)
			assert_int_equal(number, 1 + i);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(takes_any_length_of_any_request),
	    TEST(answers_what_has_data_both_ways),
	    TEST(answers_what_has_half_a_header),
	    TEST(breaks_on_what_has_no_status),
	    TEST(answers_what_is_outside_the_disk),
	    TEST(takes_no_more_than_the_queue_holds),
	    TEST(answers_bad_buffers_and_reaches_ram_only),
	    TEST(returned_lengths_count_bytes_that_were_written),
	    TEST(survives_huge_requests),
	    TEST(resets_with_requests_in_flight),
	    TEST(checks_what_it_uses_while_the_driver_changes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
