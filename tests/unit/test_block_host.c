/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks on what real hosts have, on each engine: errors of the kernel, a full file system, block
 * devices, and processes that want the same image at the same time.
 */
#include "block/driver.h"
#include "block_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB      1024ull
#define MIB      (1024ull * KIB)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct setup {
	enum block_aio aio;
	enum block_cache cache;
	const char *name;
} setups[] = {
    {BLOCK_AIO_IO_URING, BLOCK_CACHE_WRITEBACK, "io_uring, writeback"},
    {BLOCK_AIO_IO_URING, BLOCK_CACHE_NONE, "io_uring, none"},
    {BLOCK_AIO_IO_URING, BLOCK_CACHE_WRITETHROUGH, "io_uring, writethrough"},
    {BLOCK_AIO_IO_URING, BLOCK_CACHE_UNSAFE, "io_uring, unsafe"},
    {BLOCK_AIO_LIBAIO, BLOCK_CACHE_NONE, "libaio, none"},
    {BLOCK_AIO_LIBAIO, BLOCK_CACHE_DIRECTSYNC, "libaio, directsync"},
    {BLOCK_AIO_THREADS, BLOCK_CACHE_WRITEBACK, "threads, writeback"},
    {BLOCK_AIO_THREADS, BLOCK_CACHE_WRITETHROUGH, "threads, writethrough"},
};

static uint8_t *buffer; /* 1 MiB, page aligned */

static int setup(void **state)
{
	struct block_rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	if (!buffer)
		buffer = aligned_alloc(4096, MIB);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	free(*state);
	return 0;
}

static void open_with(struct block_rig *rig, const struct setup *s, const char *path,
		      enum block_format format)
{
	struct block_params p = {.aio = s->aio, .cache = s->cache, .on_enospc = BLOCK_PAUSE};
	struct refusal why = {0};

	p.image = (struct block_image){path, format, true};
	if (block_open(&p, rig->loop, &rig->block, &why))
		fail_msg("%s: %s", s->name, why.text);
}

/* --- errors --- */

static void on_done(struct io *io, int64_t result)
{
	io->result = result;
	io->done = NULL;
}

static int64_t perform(struct block_rig *rig, struct engine *e, enum io_kind kind, int fd,
		       uint64_t offset, uint64_t length)
{
	struct iovec iov = {buffer, length};
	struct io io = {.kind = kind,
			.fd = fd,
			.direct = true,
			.offset = offset,
			.length = length,
			.iov = &iov,
			.iov_count = 1,
			.done = on_done};

	engine_submit(e, &io);
	while (io.done)
		loop_step(rig->loop);
	return io.result;
}

/* Each engine says what the kernel says, and moves what the kernel moves. */
static void engines_tell_errors_alike(void **state)
{
	static const enum block_aio engines[] = {BLOCK_AIO_IO_URING, BLOCK_AIO_LIBAIO,
						 BLOCK_AIO_THREADS};
	struct rlimit limit, lower;
	struct block_rig *rig = *state;
	struct refusal why = {0};
	struct engine *e;

	signal(SIGXFSZ, SIG_IGN); /* as the program does */
	getrlimit(RLIMIT_FSIZE, &limit);
	lower = (struct rlimit){64 * KIB, limit.rlim_max};
	for (unsigned i = 0; i < COUNT(engines); i++) {
		int both, read_only, write_only, pipes[2];

		rig_make_file(rig, "disk", 64 * KIB - 512, 1);
		both = open(rig_path(rig, "disk"), O_RDWR | O_CLOEXEC);
		read_only = open(rig_path(rig, "disk"), O_RDONLY | O_CLOEXEC);
		write_only = open(rig_path(rig, "disk"), O_WRONLY | O_CLOEXEC);
		assert_int_equal(pipe(pipes), 0);
		if (engine_open(engines[i], true, 16, rig->loop, &e, &why))
			fail_msg("%s", why.text);
		assert_int_equal(perform(rig, e, IO_READ, both, 0, 4096), 4096);
		assert_int_equal(perform(rig, e, IO_READ, both, 60 * KIB, 8192), 3584);
		assert_int_equal(perform(rig, e, IO_READ, both, 64 * KIB, 4096), 0);
		assert_int_equal(perform(rig, e, IO_WRITE, read_only, 0, 4096), -EBADF);
		assert_int_equal(perform(rig, e, IO_READ, write_only, 0, 4096), -EBADF);
		assert_int_equal(perform(rig, e, IO_PUNCH, read_only, 0, 4096), -EBADF);
		assert_int_equal(perform(rig, e, IO_SYNC, pipes[1], 0, 0), -EINVAL);
		setrlimit(RLIMIT_FSIZE, &lower);
		assert_int_equal(perform(rig, e, IO_WRITE, both, 128 * KIB, 4096), -EFBIG);
		assert_int_equal(perform(rig, e, IO_WRITE, both, 62 * KIB, 4096), 2048);
		setrlimit(RLIMIT_FSIZE, &limit);
		engine_forget(e, both);
		engine_forget(e, read_only);
		engine_forget(e, write_only);
		engine_forget(e, pipes[1]);
		engine_destroy(e);
		close(both);
		close(read_only);
		close(write_only);
		close(pipes[0]);
		close(pipes[1]);
	}
}

/* More at once than an engine was made for: what does not fit waits. */
static void engines_take_more_than_they_hold(void **state)
{
	static const enum block_aio engines[] = {BLOCK_AIO_IO_URING, BLOCK_AIO_LIBAIO,
						 BLOCK_AIO_THREADS};
	static struct iovec iov[512];
	static struct io io[512];
	struct block_rig *rig = *state;
	struct refusal why = {0};
	struct engine *e;

	rig_make_file(rig, "disk", MIB, 0x7700);
	for (unsigned i = 0; i < COUNT(engines); i++) {
		int fd = open(rig_path(rig, "disk"), O_RDWR | O_DIRECT | O_CLOEXEC);

		if (engine_open(engines[i], true, 4, rig->loop, &e, &why))
			fail_msg("%s", why.text);
		memset(buffer, 0, MIB);
		for (unsigned j = 0; j < COUNT(io); j++) {
			iov[j] = (struct iovec){buffer + j * 2048, 2048};
			io[j] = (struct io){.kind = IO_READ,
					    .fd = fd,
					    .direct = true,
					    .offset = j * 2048ull,
					    .length = 2048,
					    .iov = &iov[j],
					    .iov_count = 1,
					    .done = on_done};
			engine_submit(e, &io[j]);
		}
		for (unsigned j = 0; j < COUNT(io); j++) {
			uint64_t number;

			while (io[j].done)
				loop_step(rig->loop);
			assert_int_equal(io[j].result, 2048);
			memcpy(&number, iov[j].iov_base, sizeof(number));
			assert_int_equal(number, 0x7700 + j * 4);
		}
		engine_forget(e, fd);
		engine_destroy(e);
		close(fd);
	}
}

/* --- a full file system --- */

/* A small tmpfs at the folder "small", for this process only. False: not allowed here. */
static bool mount_small(struct block_rig *rig)
{
	const char *path = rig_path(rig, "small");

	return mkdir(path, 0700) == 0 &&
	       (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", path, "tmpfs", 0, "size=768k") == 0;
}

/* Writes more than there is room for; makes room when the disk has paused. */
static void fill_up(struct block_rig *rig, const struct setup *s, enum block_format format)
{
	enum { PIECE = 32 * 1024, PIECES = 16 };
	static struct rig_request r[PIECES];
	unsigned pauses = 0;

	rig_make_file(rig, "small/filler", 400 * KIB, 0);
	if (format == BLOCK_FORMAT_RAW)
		rig_shell(rig, "truncate -s 1M small/disk");
	else
		rig_shell(rig, "qemu-img create -f qcow2 -o cluster_size=4k small/disk 1M");
	open_with(rig, s, rig_path(rig, "small/disk"), format);
	for (unsigned i = 0; i < PIECES; i++) {
		memset(buffer + (size_t)i * PIECE, (int)('a' + i), PIECE);
		rig_start(rig, &r[i], BLOCK_WRITE, 0, (uint64_t)i * PIECE,
			  buffer + (size_t)i * PIECE, PIECE);
	}
	for (unsigned i = 0; i < PIECES; i++) {
		while (!r[i].done) {
			if (!loop_step(rig->loop))
				usleep(10);
			if (!block_paused(rig->block))
				continue;
			if (++pauses == 3)
				unlink(rig_path(rig, "small/filler"));
			block_resume(rig->block);
		}
		if (r[i].err)
			fail_msg("%s: piece %u: %s", s->name, i, strerror(-r[i].err));
	}
	if (pauses < 3)
		fail_msg("%s: it was never full", s->name);
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	memset(buffer, 0, MIB);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, MIB), 0);
	for (unsigned i = 0; i < PIECES * PIECE; i++)
		assert_int_equal(buffer[i], 'a' + i / PIECE);
	rig_close(rig);
	if (format == BLOCK_FORMAT_QCOW2)
		assert_int_equal(
		    rig_shell(rig, "qemu-img check -q small/disk; test $? = 0 -o $? = 3"), 0);
	unlink(rig_path(rig, "small/disk"));
}

static bool can_be_direct(struct block_rig *rig)
{
	int fd = open(rig_path(rig, "small/probe"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void waits_for_room_on_every_engine(void **state)
{
	struct block_rig *rig = *state;
	bool direct;

	if (!mount_small(rig)) {
		print_message("# no small file system can be mounted here\n");
		skip();
	}
	direct = can_be_direct(rig);
	if (!direct)
		print_message("# tmpfs has no direct I/O here: those modes are left out\n");
	for (unsigned i = 0; i < COUNT(setups); i++) {
		bool wants = setups[i].cache == BLOCK_CACHE_NONE ||
			     setups[i].cache == BLOCK_CACHE_DIRECTSYNC;

		if (wants && !direct)
			continue;
		fill_up(rig, &setups[i], BLOCK_FORMAT_RAW);
		fill_up(rig, &setups[i], BLOCK_FORMAT_QCOW2);
	}
	umount(rig_path(rig, "small"));
}

/* --- block devices --- */

/* Random writes, zeroes and discards to a part of the device, against a copy. */
static void use_device(struct block_rig *rig, const struct setup *s, const char *path,
		       enum block_format format)
{
	uint8_t *want = calloc(1, 512 * KIB);
	uint64_t seed = 3;

	open_with(rig, s, path, format);
	if (format == BLOCK_FORMAT_RAW)
		assert_int_equal(block_geometry(rig->block)->size, 4 * MIB);
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, 0, want, 512 * KIB), 0);
	for (unsigned i = 0; i < 120; i++) {
		uint64_t at = next_random(&seed) % 900 * 512,
			 n = 512 * (1 + next_random(&seed) % 100);
		bool zero = i % 8 == 7;

		memset(want + at, zero ? 0 : (int)i + 1, n);
		if (i % 8 == 3)
			assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, at, NULL, n), 0);
		assert_int_equal(rig_do(rig, zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
					i % 16 == 7 ? BLOCK_MAY_UNMAP : 0, at,
					zero ? NULL : want + at, n),
				 0);
	}
	assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 512 * KIB), 0);
	if (memcmp(want, buffer, 512 * KIB) != 0)
		fail_msg("%s: a block device reads differently", s->name);
	rig_close(rig);
	free(want);
}

static void uses_block_devices(void **state)
{
	struct block_rig *rig = *state;
	char path[64] = "";
	FILE *f;

	rig_make_file(rig, "file", 4 * MIB, 0);
	if (rig_shell(rig, "losetup --find --show file >device")) {
		print_message("# no loop device can be had: block devices are not tried\n");
		skip();
	}
	f = fopen(rig_path(rig, "device"), "r");
	assert_non_null(fgets(path, sizeof(path), f));
	fclose(f);
	path[strcspn(path, "\n")] = '\0';
	for (unsigned i = 0; i < COUNT(setups); i++) {
		use_device(rig, &setups[i], path, BLOCK_FORMAT_RAW);
		assert_int_equal(rig_shell(rig, "qemu-img create -q -f qcow2 %s 1M", path), 0);
		use_device(rig, &setups[i], path, BLOCK_FORMAT_QCOW2);
		assert_int_equal(rig_shell(rig, "qemu-img check -q -f qcow2 %s", path), 0);
	}
	rig_shell(rig, "losetup -d %s", path);
}

/* --- locks --- */

static void race(struct block_rig *rig, _Atomic int *writers, unsigned rounds)
{
	struct block_params p = {.image = {rig_path(rig, "disk"), BLOCK_FORMAT_RAW, true}};
	unsigned won = 0;

	for (unsigned i = 0; i < rounds; i++) {
		struct refusal why = {0};

		if (block_open(&p, rig->loop, &rig->block, &why))
			continue;
		won++;
		if (atomic_fetch_add(writers, 1) != 0)
			_exit(2);
		usleep(500);
		atomic_fetch_sub(writers, 1);
		block_close(rig->block);
	}
	_exit(won ? 0 : 1);
}

/* Of processes that start at the same time, again and again, there is never more than one writer.
 */
static void lets_one_writer_in_of_many(void **state)
{
	struct block_rig *rig = *state;
	_Atomic int *writers =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child[4];
	unsigned won = 0;
	int status;

	assert_true(writers != MAP_FAILED);
	rig_make_file(rig, "disk", 64 * KIB, 0);
	for (unsigned i = 0; i < COUNT(child); i++) {
		child[i] = fork();
		assert_true(child[i] >= 0);
		if (!child[i]) {
			struct block_rig own = *rig;

			if (loop_create(clock_host(), &own.loop))
				_exit(3);
			race(&own, writers, 25);
		}
	}
	for (unsigned i = 0; i < COUNT(child); i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		won += WEXITSTATUS(status) == 0;
	}
	assert_true(won > 0);
	munmap(writers, 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(engines_tell_errors_alike),
	    TEST(engines_take_more_than_they_hold),
	    TEST(uses_block_devices),
	    TEST(lets_one_writer_in_of_many),
	    TEST(waits_for_room_on_every_engine), /* last: it leaves this mount namespace */
	};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
