/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that disks live in: cache modes, alignment, locks, engines. */
#include "block/driver.h"
#include "block_fixture.h"

#include <fcntl.h>
#include <unistd.h>

/* What each mode asks of the host for a write, a write with FUA, zeroes with FUA and a flush. */
static void keeps_the_promises_of_its_mode(void **state)
{
	static const struct {
		enum block_cache cache;
		bool write_cache;
		unsigned durable; /* of two writes */
		unsigned syncs;
	} modes[] = {
	    {BLOCK_CACHE_WRITEBACK, true, 1, 2},     {BLOCK_CACHE_NONE, true, 1, 2},
	    {BLOCK_CACHE_WRITETHROUGH, false, 2, 2}, {BLOCK_CACHE_DIRECTSYNC, false, 2, 2},
	    {BLOCK_CACHE_UNSAFE, true, 0, 0},
	};
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(modes); i++) {
		rig_make_file(rig, "disk", MIB, 0);
		open_raw(rig, (struct block_params){.cache = modes[i].cache});
		fake_engine_log(&rig->fake, open(rig_path(rig, "disk"), O_RDONLY | O_CLOEXEC));
		memset(rig->fake.ios, 0, sizeof(rig->fake.ios));
		rig->fake.durable_writes = 0;
		assert_int_equal(block_geometry(rig->block)->write_cache, modes[i].write_cache);
		assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 0, buffer, 4096), 0);
		assert_int_equal(rig_do(rig, BLOCK_WRITE, BLOCK_FUA, 0, buffer, 4096), 0);
		assert_int_equal(rig->fake.durable_writes, modes[i].durable);
		assert_int_equal(rig_do(rig, BLOCK_WRITE_ZEROES, BLOCK_FUA, 0, NULL, 4096), 0);
		assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
		assert_int_equal(rig->fake.ios[IO_SYNC], modes[i].syncs);
		close(rig->fake.log_fd);
		rig->fake.log_fd = -1;
		rig_close(rig);
	}
}

static void bounces_what_is_misaligned(void **state)
{
	struct block_rig *rig = *state;

	rig_make_file(rig, "disk", MIB, 0);
	open_raw(rig, (struct block_params){.cache = BLOCK_CACHE_NONE});
	fill(buffer, MIB, 'm');
	for (unsigned i = 0; i < 3; i++) {
		uint64_t at = 512 * (3 + 40ull * i), n = i == 2 ? 400 * KIB : 512;

		assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, at, buffer + 1 + i, n), 0);
		assert_int_equal(
		    rig_do(rig, BLOCK_READ, 0, at - 512, buffer + 512 * KIB + 3, n + 1024), 0);
		assert_int_equal(sector_seed(buffer + 512 * KIB + 3), at / 512 - 1);
		assert_filled(buffer + 512 * KIB + 3 + 512, n, 'm');
		assert_int_equal(sector_seed(buffer + 512 * KIB + 3 + 512 + n), (at + n) / 512);
		fill(buffer, MIB, 'm');
	}
}

/* Sectors of one block written at the same time, misaligned: none may undo another. */
static void merges_in_turn(void **state)
{
	struct block_rig *rig = *state;
	static struct rig_request r[64];

	rig_make_file(rig, "disk", MIB, 0);
	open_raw(rig, (struct block_params){.cache = BLOCK_CACHE_NONE});
	((struct file *)rig->block->state)->alignment = 4096;
	rig->fake.shuffle = 7;
	for (unsigned i = 0; i < 64; i++) {
		fill(buffer + 1024ull * i, 512, (char)('A' + i % 32));
		rig_start(rig, &r[i], BLOCK_WRITE, 0, 512ull * i, buffer + 1024ull * i, 512);
	}
	for (unsigned i = 0; i < 64; i++)
		rig_wait(rig, &r[i]);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_filled(buffer + 512ull * i, 512, (char)('A' + i % 32));
	assert_int_equal(sector_seed(buffer + 64 * 512), 64);
}

static void reads_now_whatever_is_asked(void **state)
{
	struct block_rig *rig = *state;
	struct file *f;

	rig_make_file(rig, "disk", MIB - 512, 50);
	open_raw(rig, (struct block_params){.cache = BLOCK_CACHE_NONE, .read_only = true});
	f = rig->block->state;
	f->alignment = 4096;
	for (unsigned i = 0; i < 40; i++) {
		memset(buffer, 'x', 64 * KIB);
		assert_int_equal(
		    file_read_now(f, i * 512ull, buffer + i % 3, (i + 1) * 512ull, false), 0);
		for (unsigned j = 0; j <= i; j++)
			assert_int_equal(sector_seed(buffer + i % 3 + j * 512ul), 50 + i + j);
		assert_filled(buffer + i % 3 + (i + 1) * 512ul, 4096, 'x');
	}
	assert_int_equal(file_read_now(f, MIB - 1024, buffer, 2048, false), 0);
	assert_int_equal(sector_seed(buffer), 50 + 2046);
	assert_filled(buffer + 512, 1536, 0);
	f->alignment = 512;
	assert_int_equal(file_read_now(f, MIB - 1024, buffer, 1024, true), -ENODATA);
}

static void locks_out_a_second_writer(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.image.path = rig_path(rig, "disk")};
	struct refusal why = {0};
	struct block *second = NULL;

	rig_make_file(rig, "disk", MIB, 0);
	rig_open(rig, &p);
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &second, &why), -1);
	assert_int_equal(why.status, STATUS_UNAVAILABLE);
	assert_non_null(strstr(why.text, "in use already"));
	p.read_only = true;
	why = (struct refusal){0};
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &second, &why), -1);
	rig_close(rig);
	/* Readers share. */
	rig_open(rig, &p);
	why = (struct refusal){0};
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &second, &why), 0);
	block_close(second);
	p.read_only = false;
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &second, &why), -1);
}

/* QEMU's tools see our locks, and we theirs. */
static void locks_out_qemu(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.image.path = rig_path(rig, "disk")};
	struct refusal why = {0};
	struct block *second = NULL;

	if (rig_shell(rig, "command -v qemu-io"))
		skip();
	rig_make_file(rig, "disk", MIB, 0);
	rig_open(rig, &p);
	assert_int_equal(rig_shell(rig, "qemu-io -f raw -c 'write 0 512' disk 2>&1 | grep -q lock"),
			 0);
	assert_int_not_equal(rig_shell(rig, "qemu-img convert -f raw disk copy"), 0);
	rig_close(rig);
	p.read_only = true;
	rig_open(rig, &p);
	assert_int_equal(rig_shell(rig, "qemu-img convert -f raw disk copy"), 0);
	assert_int_not_equal(rig_shell(rig, "qemu-io -f raw -c 'write 0 512' disk"), 0);
	rig_close(rig);
	p.read_only = false;
	rig_shell(rig, "(echo 'write 0 512'; sleep 2) | qemu-io -f raw disk & sleep 0.5");
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &second, &why), -1);
	assert_non_null(strstr(why.text, "in use already"));
}

/* The real thing, in every mode: random writers of separate regions at once, against a copy. */
static void works_on_every_engine(void **state)
{
	static const struct {
		enum block_aio aio;
		enum block_cache cache;
		const char *name;
	} cases[] = {
	    {BLOCK_AIO_AUTO, BLOCK_CACHE_WRITEBACK, NULL},
	    {BLOCK_AIO_IO_URING, BLOCK_CACHE_WRITEBACK, "io_uring"},
	    {BLOCK_AIO_IO_URING, BLOCK_CACHE_NONE, "io_uring"},
	    {BLOCK_AIO_IO_URING, BLOCK_CACHE_WRITETHROUGH, "io_uring"},
	    {BLOCK_AIO_IO_URING, BLOCK_CACHE_DIRECTSYNC, "io_uring"},
	    {BLOCK_AIO_LIBAIO, BLOCK_CACHE_NONE, "libaio"},
	    {BLOCK_AIO_LIBAIO, BLOCK_CACHE_DIRECTSYNC, "libaio"},
	    {BLOCK_AIO_THREADS, BLOCK_CACHE_WRITEBACK, "threads"},
	    {BLOCK_AIO_THREADS, BLOCK_CACHE_NONE, "threads"},
	    {BLOCK_AIO_THREADS, BLOCK_CACHE_WRITETHROUGH, "threads"},
	};
	struct block_rig *rig = *state;
	static struct rig_request r[300];
	uint64_t seed = 1;
	char *copy = malloc(MIB);

	for (unsigned k = 0; k < COUNT(cases); k++) {
		struct block_params p = {.image.path = rig_path(rig, "disk"),
					 .aio = cases[k].aio,
					 .cache = cases[k].cache,
					 .depth = 100};
		struct refusal why = {0};

		rig_make_file(rig, "disk", MIB, 3);
		if (block_open(&p, rig->loop, &rig->block, &why))
			fail_msg("case %u: %s", k, why.text);
		if (cases[k].name)
			assert_string_equal(block_engine_name(rig->block), cases[k].name);
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, copy, MIB), 0);
		for (unsigned i = 0; i < 300; i++) {
			uint64_t at = i * 3072ull + next_random(&seed) % 3 * 512;
			uint64_t n = (1 + next_random(&seed) % 3) * 512;
			bool zero = i % 10 == 9;

			if (zero)
				fill(copy + at, n, 0);
			else
				fill(copy + at, n, (char)(i + k));
			rig_start(rig, &r[i], zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
				  i % 7 ? 0 : BLOCK_FUA, at, zero ? NULL : copy + at, n);
		}
		for (unsigned i = 0; i < 300; i++) {
			rig_wait(rig, &r[i]);
			assert_int_equal(r[i].err, 0);
		}
		assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
		assert_memory_equal(copy, buffer, MIB);
		assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, 0, NULL, 4096), 0);
		rig_close(rig);
	}
	free(copy);
}

static void refuses_libaio_through_the_page_cache(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.image.path = rig_path(rig, "disk"), .aio = BLOCK_AIO_LIBAIO};
	struct refusal why = {0};

	rig_make_file(rig, "disk", MIB, 3);
	assert_int_equal(block_open(&p, rig->loop, &rig->block, &why), -1);
	assert_int_equal(why.status, STATUS_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(keeps_the_promises_of_its_mode),
	    TEST(bounces_what_is_misaligned),
	    TEST(merges_in_turn),
	    TEST(reads_now_whatever_is_asked),
	    TEST(locks_out_a_second_writer),
	    TEST(locks_out_qemu),
	    TEST(works_on_every_engine),
	    TEST(refuses_libaio_through_the_page_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
