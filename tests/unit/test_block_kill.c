/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Death in earnest: a process that writes is killed with SIGKILL, again and again, and whatever it
 * had been told is done must be in the image. The parent and the writer share a page of memory that
 * says, for each sector, what was begun and what was done.
 *
 * LODGE_KILL_CYCLES: how often, default 40. Each cycle goes on with the image that the one before
 * left; each engine, format and mode has its turn.
 */
#include "block_rig.h"
#include "qcow2_check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define SECTORS   8192u
#define DISK      (SECTORS * 512ull)
#define IN_FLIGHT 16u
#define REGION    (SECTORS / IN_FLIGHT)
#define TRIES     400u

static const struct {
	enum block_format format;
	enum block_cache cache;
	enum block_aio aio;
	const char *options;
} setups[] = {
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_WRITEBACK, BLOCK_AIO_AUTO, "cluster_size=64k"},
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_NONE, BLOCK_AIO_IO_URING, "cluster_size=4k"},
    {BLOCK_FORMAT_RAW, BLOCK_CACHE_WRITEBACK, BLOCK_AIO_IO_URING, NULL},
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_WRITEBACK, BLOCK_AIO_THREADS, "cluster_size=512"},
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_WRITETHROUGH, BLOCK_AIO_AUTO, "extended_l2=on"},
    {BLOCK_FORMAT_RAW, BLOCK_CACHE_NONE, BLOCK_AIO_LIBAIO, NULL},
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_NONE, BLOCK_AIO_LIBAIO, "cluster_size=64k"},
    {BLOCK_FORMAT_QCOW2, BLOCK_CACHE_UNSAFE, BLOCK_AIO_AUTO, "compat=0.10"},
};

struct shared {
	_Atomic uint64_t begun[SECTORS], done[SECTORS];
	_Atomic uint64_t writes; /* done, over all cycles */
};

struct writer {
	struct rig_request r;
	unsigned sector, n;
	uint64_t number;
	uint8_t *buffer;
};

static void set_params(struct block_params *p, struct block_rig *rig, unsigned n)
{
	*p = (struct block_params){.cache = setups[n].cache, .aio = setups[n].aio};
	p->image = (struct block_image){rig_path(rig, "disk"), setups[n].format, true};
}

/* One more write in the writer's own region, so that there is one at a time to each sector. */
static void begin(struct block_rig *rig, struct shared *shared, struct writer *w, unsigned region,
		  uint64_t *seed)
{
	w->n = 1 + (unsigned)(next_random(seed) % 40);
	w->sector = region * REGION + (unsigned)(next_random(seed) % (REGION - w->n));
	w->number = next_random(seed) | 1;
	if (next_random(seed) % 8 == 0)
		w->number = 0;
	for (unsigned i = 0; i < w->n; i++)
		atomic_store(&shared->begun[w->sector + i], w->number);
	for (unsigned i = 0; i < w->n * 64; i++)
		memcpy(w->buffer + 8ul * i, &w->number, 8);
	rig_start(rig, &w->r, w->number ? BLOCK_WRITE : BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP,
		  w->sector * 512ull, w->number ? w->buffer : NULL, w->n * 512ull);
}

static void end(struct shared *shared, const struct writer *w)
{
	for (unsigned i = 0; i < w->n; i++)
		atomic_store(&shared->done[w->sector + i], w->number);
	atomic_fetch_add(&shared->writes, 1);
}

static void write_until_killed(struct block_rig *rig, struct shared *shared, unsigned setup,
			       uint64_t seed)
{
	static struct writer writer[IN_FLIGHT];
	static const struct timespec nap = {.tv_nsec = 10000};
	struct refusal why = {0};
	struct block_params p;

	set_params(&p, rig, setup);
	if (loop_create(clock_host(), &rig->loop) || block_open(&p, rig->loop, &rig->block, &why)) {
		fprintf(stderr, "%s\n", why.text);
		_exit(1);
	}
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		writer[i].buffer = aligned_alloc(4096, 32768);
		begin(rig, shared, &writer[i], i, &seed);
	}
	for (;;) {
		if (!loop_step(rig->loop))
			nanosleep(&nap, NULL);
		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			if (!writer[i].r.done)
				continue;
			if (writer[i].r.err)
				_exit(2);
			end(shared, &writer[i]);
			begin(rig, shared, &writer[i], i, &seed);
		}
	}
}

static void check_format(struct block_rig *rig, unsigned setup)
{
	struct qcow2_check check;
	int fd = open(rig_path(rig, "disk"), O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *image = malloc((size_t)size);

	assert_int_equal(pread(fd, image, (size_t)size, 0), size);
	close(fd);
	qcow2_check_image(image, (size_t)size, &check);
	free(image);
	if (check.corruptions)
		fail_msg("setup %u: %s", setup, check.what);
}

static void check_content(struct block_rig *rig, struct shared *shared, unsigned setup)
{
	static uint8_t content[DISK];
	struct block_params p;
	struct refusal why = {0};
	uint64_t value;

	set_params(&p, rig, setup);
	p.read_only = true;
	if (block_open(&p, rig->loop, &rig->block, &why))
		fail_msg("%s", why.text);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, content, DISK), 0);
	rig_close(rig);
	for (unsigned i = 0; i < SECTORS; i++) {
		memcpy(&value, content + i * 512ul, 8);
		if (value != atomic_load(&shared->done[i]) &&
		    value != atomic_load(&shared->begun[i]))
			fail_msg("setup %u: sector %u holds %llx; done %llx, begun %llx", setup, i,
				 (unsigned long long)value,
				 (unsigned long long)atomic_load(&shared->done[i]),
				 (unsigned long long)atomic_load(&shared->begun[i]));
		/* What was under way is what is there, one way or the other. */
		atomic_store(&shared->done[i], value);
		atomic_store(&shared->begun[i], value);
	}
}

static void kill_once(struct block_rig *rig, struct shared *shared, unsigned setup, uint64_t *seed)
{
	struct timespec life = {.tv_nsec = 3000000 + (long)(next_random(seed) % 40000000)};
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		write_until_killed(rig, shared, setup, next_random(seed));
	nanosleep(&life, NULL);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status))
		fail_msg("setup %u: the writer ended by itself: %d", setup, WEXITSTATUS(status));
	if (setups[setup].format == BLOCK_FORMAT_QCOW2)
		check_format(rig, setup);
	check_content(rig, shared, setup);
}

static void loses_nothing_that_was_done(void **state)
{
	const char *asked = getenv("LODGE_KILL_CYCLES");
	unsigned cycles = asked ? (unsigned)strtoul(asked, NULL, 10) : 40;
	unsigned each = (cycles + COUNT(setups) - 1) / COUNT(setups);
	struct shared *shared;
	struct block_rig rig;
	uint64_t seed = 77, writes = 0;

	(void)state;
	shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	rig_init(&rig);
	for (unsigned n = 0; n < COUNT(setups); n++) {
		memset(shared, 0, sizeof(*shared));
		if (setups[n].options)
			rig_shell(&rig, "rm -f disk; qemu-img create -f qcow2 -o %s disk %llu",
				  setups[n].options, DISK);
		else
			rig_shell(&rig, "rm -f disk; truncate -s %llu disk", DISK);
		/* On a busy host a writer may be killed before its first write. */
		for (unsigned i = 0; i < each || (!atomic_load(&shared->writes) && i < TRIES); i++)
			kill_once(&rig, shared, n, &seed);
		writes += atomic_load(&shared->writes);
		assert_true(atomic_load(&shared->writes) > 0);
	}
	print_message("%u cycles, %llu writes done\n", each * (unsigned)COUNT(setups),
		      (unsigned long long)writes);
	rig_destroy(&rig);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(loses_nothing_that_was_done)};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
