/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw disks and what all disks have in common: checks, errors, pause, drain. */
#include "block_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t file_size(struct block_rig *rig, const char *name)
{
	struct stat st;

	assert_int_equal(stat(rig_path(rig, name), &st), 0);
	return (uint64_t)st.st_size;
}

static void reads_and_writes(void **state)
{
	struct block_rig *rig = *state;

	rig_make_file(rig, "disk", MIB, 1000);
	open_raw(rig, (struct block_params){0});
	assert_int_equal(block_geometry(rig->block)->size, MIB);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 512 * 7, buffer, 512), 0);
	assert_int_equal(sector_seed(buffer), 1007);
	fill(buffer, 8192, 'w');
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, MIB - 8192, buffer, 8192), 0);
	fill(buffer, MIB, 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	assert_int_equal(sector_seed(buffer + MIB - 8192 - 512), 1000 + 2048 - 17);
	assert_filled(buffer + MIB - 8192, 8192, 'w');
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(rig->fake.ios[IO_SYNC], 1);
	assert_int_equal(block_counters(rig->block)->requests[BLOCK_READ], 2);
	assert_int_equal(block_counters(rig->block)->bytes[BLOCK_READ], MIB + 512);
}

static void refuses_what_is_outside(void **state)
{
	static const struct {
		uint64_t offset, length;
		int err;
	} cases[] = {
	    {0, 0, 0},
	    {MIB, 0, 0},
	    {MIB - 512, 512, 0},
	    {MIB - 512, 1024, -EINVAL},
	    {MIB, 512, -EINVAL},
	    {UINT64_MAX - 511, 512, -EINVAL},
	    {UINT64_MAX & ~511ull, 1024, -EINVAL},
	    {1, 512, -EINVAL},
	    {0, 511, -EINVAL},
	    {256, 512, -EINVAL},
	    {0, MIB + 512, -EINVAL},
	};
	struct block_rig *rig = *state;
	struct rig_request r;

	rig_make_file(rig, "disk", MIB, 0);
	open_raw(rig, (struct block_params){0});
	for (unsigned i = 0; i < COUNT(cases); i++) {
		for (int op = BLOCK_READ; op <= BLOCK_WRITE_ZEROES; op++) {
			if (op == BLOCK_FLUSH)
				continue;
			assert_int_equal(
			    rig_do(rig, op, 0, cases[i].offset, buffer, cases[i].length),
			    cases[i].err);
		}
	}
	/* The vectors must be as long as the request says. */
	rig_start(rig, &r, BLOCK_READ, 0, 0, buffer, 512);
	rig_wait(rig, &r);
	r.done = false;
	r.iov.iov_len = 1024;
	block_submit(rig->block, &r.request);
	rig_wait(rig, &r);
	assert_int_equal(r.err, -EINVAL);
}

static void refuses_writes_when_read_only(void **state)
{
	struct block_rig *rig = *state;

	rig_make_file(rig, "disk", MIB, 5);
	open_raw(rig, (struct block_params){.read_only = true});
	assert_true(block_geometry(rig->block)->read_only);
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 0, buffer, 512), -EROFS);
	assert_int_equal(rig_do(rig, BLOCK_WRITE_ZEROES, 0, 0, NULL, 512), -EROFS);
	assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, 0, NULL, 512), -EROFS);
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 512), 0);
	assert_int_equal(rig->fake.ios[IO_WRITE], 0);
}

/* 1 byte, a sector less one, one more: the last sector is whole to the guest. */
static void rounds_the_size_up(void **state)
{
	static const uint64_t sizes[] = {1, 511, 513, 1023};
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(sizes); i++) {
		uint64_t whole = (sizes[i] + 511) / 512 * 512;

		rig_make_file(rig, "disk", sizes[i], 0x4141414141414100ull);
		open_raw(rig, (struct block_params){0});
		assert_int_equal(block_geometry(rig->block)->size, whole);
		fill(buffer, 2048, 'x');
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, whole - 512, buffer, 512), 0);
		assert_filled(buffer + (sizes[i] - (whole - 512)), whole - sizes[i], 0);
		fill(buffer, 512, 'y');
		assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, whole - 512, buffer, 512), 0);
		rig_close(rig);
		assert_int_equal(file_size(rig, "disk"), whole);
	}
}

static void survives_a_file_that_is_cut_or_grows(void **state)
{
	struct block_rig *rig = *state;

	rig_make_file(rig, "disk", MIB, 0);
	open_raw(rig, (struct block_params){0});
	assert_int_equal(truncate(rig_path(rig, "disk"), 512 * KIB), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 600 * KIB, buffer, 4096), -EIO);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 512 * KIB - 512, buffer, 1024), -EIO);
	assert_int_equal(rig->last_event.kind, BLOCK_EVENT_ERROR);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 512 * KIB - 512, buffer, 512), 0);
	assert_int_equal(truncate(rig_path(rig, "disk"), 2 * MIB), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, MIB, buffer, 512), -EINVAL);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 600 * KIB, buffer, 4096), 0);
}

static void completes_short_transfers(void **state)
{
	struct block_rig *rig = *state;
	struct fault again = {.err = EAGAIN, .kinds = 3, .times = 20};

	rig_make_file(rig, "disk", MIB, 77);
	open_raw(rig, (struct block_params){0});
	rig->fake.longest = 1000;
	rig->fake.fault = again;
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 512, buffer, 64 * KIB), 0);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(sector_seed(buffer + 512ull * i), 78 + i);
	fill(buffer, 64 * KIB, 's');
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 512, buffer, 64 * KIB), 0);
	rig->fake.longest = 0;
	fill(buffer, MIB, 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	assert_int_equal(sector_seed(buffer), 77);
	assert_filled(buffer + 512, 64 * KIB, 's');
	assert_int_equal(sector_seed(buffer + 512 + 64 * KIB), 77 + 129);
	/* An engine that says EAGAIN for ever does not hold us for ever. */
	rig->fake.fault.times = FAULT_ALWAYS;
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 512), -EAGAIN);
}

static void takes_many_small_vectors(void **state)
{
	struct block_rig *rig = *state;
	static struct iovec iov[1024];
	struct rig_request r;

	rig_make_file(rig, "disk", MIB, 9);
	open_raw(rig, (struct block_params){0});
	rig->fake.longest = 300;
	for (unsigned i = 0; i < 1024; i++)
		iov[i] = (struct iovec){buffer + 2ull * i, 2};
	rig_start(rig, &r, BLOCK_READ, 0, 512, buffer, 512);
	rig_wait(rig, &r);
	r.done = false;
	r.request.iov = iov;
	r.request.iov_count = 1024;
	r.request.length = 2048;
	block_submit(rig->block, &r.request);
	rig_wait(rig, &r);
	assert_int_equal(r.err, 0);
	assert_int_equal(sector_seed(buffer + 1536), 13);
}

static void zeroes_and_discards(void **state)
{
	struct block_rig *rig = *state;
	struct stat st;

	rig_make_file(rig, "disk", MIB, 0x7777777777770000ull);
	open_raw(rig, (struct block_params){0});
	assert_true(block_geometry(rig->block)->can_discard);
	assert_int_equal(rig_do(rig, BLOCK_WRITE_ZEROES, 0, 4096, NULL, 8192), 0);
	assert_int_equal(rig_do(rig, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 512, NULL, 512), 0);
	assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, 512 * KIB, NULL, 512 * KIB), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	assert_filled(buffer + 4096, 8192, 0);
	assert_filled(buffer + 512, 512, 0);
	assert_int_equal(sector_seed(buffer + 1024), 0x7777777777770002ull);
	assert_filled(buffer + 512 * KIB, 512 * KIB, 0);
	assert_int_equal(stat(rig_path(rig, "disk"), &st), 0);
	assert_true(st.st_blocks * 512 <= 512 * (int64_t)KIB);
}

/* A file system without fallocate(2). */
static void writes_zeroes_where_it_must(void **state)
{
	struct block_rig *rig = *state;
	struct fault none = {
	    .err = EOPNOTSUPP, .kinds = 1 << IO_PUNCH | 1 << IO_ZERO, .times = FAULT_ALWAYS};

	rig_make_file(rig, "disk", MIB, 0x7777777777770000ull);
	open_raw(rig, (struct block_params){0});
	rig->fake.fault = none;
	assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, 0, NULL, 4096), 0);
	assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, 0, NULL, 4096), 0);
	assert_int_equal(rig->fake.ios[IO_WRITE], 0);
	assert_int_equal(rig_do(rig, BLOCK_WRITE_ZEROES, 0, 512, NULL, MIB - 512), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	assert_int_equal(sector_seed(buffer), 0x7777777777770000ull);
	assert_filled(buffer + 512, MIB - 512, 0);
}

static void pauses_and_resumes(void **state)
{
	struct block_rig *rig = *state;
	struct fault full = {.err = ENOSPC, .kinds = 1 << IO_WRITE, .times = 1};
	struct rig_request a, b, c;

	rig_make_file(rig, "disk", MIB, 1);
	open_raw(rig, (struct block_params){.on_enospc = BLOCK_PAUSE});
	fill(buffer, 4096, 'a');
	fill(buffer + 4096, 4096, 'b');
	rig->fake.fault = full;
	rig_start(rig, &a, BLOCK_WRITE, 0, 0, buffer, 4096);
	rig_settle(rig);
	assert_false(a.done);
	assert_true(block_paused(rig->block));
	assert_int_equal(rig->events, 1);
	assert_int_equal(rig->last_event.kind, BLOCK_EVENT_PAUSED);
	assert_int_equal(rig->last_event.err, -ENOSPC);
	rig_start(rig, &b, BLOCK_WRITE, 0, 4096, buffer + 4096, 4096);
	rig_start(rig, &c, BLOCK_FLUSH, 0, 0, NULL, 0);
	rig_settle(rig);
	assert_false(b.done || c.done);
	block_resume(rig->block);
	rig_wait(rig, &c);
	rig_wait(rig, &a);
	rig_wait(rig, &b);
	assert_int_equal(a.err | b.err | c.err, 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 8192), 0);
	assert_filled(buffer, 4096, 'a');
	assert_filled(buffer + 4096, 4096, 'b');
	/* Any other error goes to the guest. */
	rig->fake.fault = (struct fault){.err = EIO, .kinds = 1 << IO_WRITE, .times = 1};
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 0, buffer, 512), -EIO);
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 0, buffer, 512), 0);
}

static void cancels_what_is_held(void **state)
{
	struct block_rig *rig = *state;
	struct fault broken = {.err = EIO, .kinds = 1 << IO_READ, .times = FAULT_ALWAYS};
	struct rig_request a, b;

	rig_make_file(rig, "disk", MIB, 1);
	open_raw(rig, (struct block_params){.on_eio = BLOCK_PAUSE});
	rig->fake.fault = broken;
	rig_start(rig, &a, BLOCK_READ, 0, 0, buffer, 512);
	rig_settle(rig);
	rig_start(rig, &b, BLOCK_READ, 0, 0, buffer, 512);
	block_cancel(rig->block);
	assert_int_equal(a.err, -ECANCELED);
	assert_int_equal(b.err, -ECANCELED);
	assert_false(block_paused(rig->block));
}

/* fdatasync(2) that failed once may "succeed" the next time although data was lost. */
static void never_forgets_a_failed_flush(void **state)
{
	struct block_rig *rig = *state;
	struct fault once = {.err = EIO, .kinds = 1 << IO_SYNC, .times = 1};

	rig_make_file(rig, "disk", MIB, 1);
	open_raw(rig, (struct block_params){.on_eio = BLOCK_PAUSE});
	rig->fake.fault = once;
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_false(block_paused(rig->block));
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(rig->fake.ios[IO_SYNC], 1);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 512), 0);
}

static void count_call(void *arg)
{
	++*(unsigned *)arg;
}

static void drains(void **state)
{
	struct block_rig *rig = *state;
	struct rig_request a, b;
	unsigned calls = 0;

	rig_make_file(rig, "disk", MIB, 1);
	open_raw(rig, (struct block_params){0});
	rig->fake.hold = true;
	rig_start(rig, &a, BLOCK_READ, 0, 0, buffer, 512);
	block_drain(rig->block, count_call, &calls);
	rig_start(rig, &b, BLOCK_READ, 0, 0, buffer, 512);
	rig_settle(rig);
	assert_int_equal(calls, 0);
	fake_engine_release(&rig->fake);
	rig_settle(rig);
	assert_true(a.done && !b.done);
	assert_int_equal(calls, 1);
	block_undrain(rig->block);
	rig_wait(rig, &b);
	block_drain(rig->block, count_call, &calls);
	assert_int_equal(calls, 2);
	block_undrain(rig->block);
}

/* Storage that does not answer is not waited for without end. */
static void settles_or_gives_up(void **state)
{
	struct block_rig *rig = *state;
	struct rig_request a, b;

	rig_make_file(rig, "disk", MIB, 1);
	open_raw(rig, (struct block_params){0});
	assert_true(block_settle(rig->block, 0));
	block_undrain(rig->block);
	rig->fake.hold = true;
	rig_start(rig, &a, BLOCK_READ, 0, 0, buffer, 512);
	assert_false(block_settle(rig->block, 2000000));
	rig_start(rig, &b, BLOCK_READ, 0, 0, buffer, 512);
	fake_engine_release(&rig->fake);
	assert_true(block_settle(rig->block, 10000000000));
	assert_true(a.done && !b.done);
	block_cancel(rig->block);
	assert_int_equal(b.err, -ECANCELED);
}

/* More requests than slots, finished in any order. */
static void takes_more_than_its_depth(void **state)
{
	struct block_rig *rig = *state;
	static struct rig_request r[64];

	rig_make_file(rig, "disk", MIB, 500);
	open_raw(rig, (struct block_params){.depth = 3});
	rig->fake.shuffle = 42;
	for (unsigned i = 0; i < 64; i++)
		rig_start(rig, &r[i], BLOCK_READ, 0, 512ull * i, buffer + 512ull * i, 512);
	for (unsigned i = 0; i < 64; i++) {
		rig_wait(rig, &r[i]);
		assert_int_equal(r[i].err, 0);
		assert_int_equal(sector_seed(buffer + 512ull * i), 500 + i);
	}
}

static void refuses_what_cannot_be_a_disk(void **state)
{
	static const struct {
		const char *name;
		int status;
	} cases[] = {
	    {"missing", STATUS_NO_INPUT}, {".", STATUS_NO_INPUT}, {"fifo", STATUS_NO_INPUT}};
	struct block_rig *rig = *state;

	assert_int_equal(mkfifo(rig_path(rig, "fifo"), 0600), 0);
	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct block_params p = {.image.path = rig_path(rig, cases[i].name),
					 .read_only = true};
		struct refusal why = {0};
		struct block *b = NULL;

		assert_int_equal(block_open(&p, rig->loop, &b, &why), -1);
		if (why.status != cases[i].status)
			fail_msg("%s: status %d: %s", cases[i].name, why.status, why.text);
	}
}

/* A guest may have written the magic number of another format into its disk. */
static void takes_no_qcow2_for_raw(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.image.path = rig_path(rig, "disk")};
	struct refusal why = {0};

	rig_make_file(rig, "disk", MIB, 0xfb494651);
	assert_int_equal(block_open(&p, rig->loop, &rig->block, &why), -1);
	assert_int_equal(why.status, STATUS_DATA);
	assert_non_null(strstr(why.text, "format=raw"));
	p.image.format_stated = true;
	rig_open(rig, &p);
}

static void takes_no_other_format_for_raw(void **state)
{
	static const struct {
		const char *name;
		off_t offset;
		size_t bytes;
		const char *start;
	} cases[] = {
	    {"VMDK", 0, 4, "KDMV"},
	    {"VMDK", 0, 21, "# Disk DescriptorFile"},
	    {"VDI", 64, 4, "\x7f\x10\xda\xbe"},
	    {"VHDX", 0, 8, "vhdxfile"},
	    {"VHD", 0, 8, "conectix"},
	    {"gzip", 0, 3, "\x1f\x8b\x08"},
	    {"xz", 0, 6, "\xfd\x37zXZ\0"},
	    {"zstd", 0, 4, "\x28\xb5\x2f\xfd"},
	};
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct block_params p = {.image.path = rig_path(rig, "other")};
		struct refusal why = {0};
		struct block *b;
		int fd;

		rig_make_file(rig, "other", MIB, 0);
		fd = open(p.image.path, O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, cases[i].start, cases[i].bytes, cases[i].offset),
				 cases[i].bytes);
		close(fd);
		assert_int_equal(block_open(&p, rig->loop, &b, &why), -1);
		assert_int_equal(why.status, STATUS_DATA);
		if (!strstr(why.text, cases[i].name) || !strstr(why.text, "format=raw"))
			fail_msg("%s: %s", cases[i].name, why.text);
	}
}

static void forgets_what_is_ephemeral(void **state)
{
	struct block_rig *rig = *state;
	static char disk[512 * 1024], back[512 * 1024];
	uint64_t seed = 99;

	rig_make_file(rig, "disk", sizeof(disk), 31);
	open_raw(rig, (struct block_params){.ephemeral = true});
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, disk, sizeof(disk)), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t at = next_random(&seed) % 1000 * 512,
			 n = (next_random(&seed) % 24 + 1) * 512;

		if (i % 10 == 9) {
			assert_int_equal(
			    rig_do(rig, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, at, NULL, n), 0);
			memset(disk + at, 0, n);
			continue;
		}
		memset(disk + at, (int)i, n);
		assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, at, disk + at, n), 0);
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, back, sizeof(back)), 0);
		assert_memory_equal(disk, back, sizeof(back));
	}
	rig_close(rig);
	rig_make_file(rig, "same", sizeof(disk), 31);
	assert_int_equal(rig_shell(rig, "cmp disk same && test $(ls | wc -l) = 3"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(reads_and_writes),
	    TEST(refuses_what_is_outside),
	    TEST(refuses_writes_when_read_only),
	    TEST(rounds_the_size_up),
	    TEST(survives_a_file_that_is_cut_or_grows),
	    TEST(completes_short_transfers),
	    TEST(takes_many_small_vectors),
	    TEST(zeroes_and_discards),
	    TEST(writes_zeroes_where_it_must),
	    TEST(pauses_and_resumes),
	    TEST(cancels_what_is_held),
	    TEST(never_forgets_a_failed_flush),
	    TEST(drains),
	    TEST(settles_or_gives_up),
	    TEST(takes_more_than_its_depth),
	    TEST(refuses_what_cannot_be_a_disk),
	    TEST(takes_no_qcow2_for_raw),
	    TEST(takes_no_other_format_for_raw),
	    TEST(forgets_what_is_ephemeral),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
