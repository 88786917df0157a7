// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's load of the disk benchmark: direct I/O by Linux's own asynchronous interface, at
 * random places or one after the other, as fio with ioengine=libaio does it: one io_submit(2) a
 * request, then whatever is done is taken and replaced.
 *
 *   disk_load DEVICE SCALE LOAD...
 *
 * Each load runs with two counts, SCALE times those of the table, so that the difference of the two
 * is free of what surrounds it. Before, between and after them stands a line "mark LOAD NUMBER" and
 * a pause in which the host may read its counters. "value LOAD COUNT CYCLES": what the time-stamp
 * counter says of it.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define DEPTH_MAX 32u
#define PAUSE_NS  300000000

struct load {
	const char *name;
	unsigned opcode, bytes, depth, counts[2];
	bool in_order;
};

static const struct load loads[] = {
    {"read-4k-1", IOCB_CMD_PREAD, 4096, 1, {150, 450}, false},
    {"read-4k-4", IOCB_CMD_PREAD, 4096, 4, {150, 450}, false},
    {"read-4k-32", IOCB_CMD_PREAD, 4096, 32, {150, 450}, false},
    {"write-4k-1", IOCB_CMD_PWRITE, 4096, 1, {150, 450}, false},
    {"write-4k-32", IOCB_CMD_PWRITE, 4096, 32, {150, 450}, false},
    {"read-128k-1", IOCB_CMD_PREAD, 131072, 1, {50, 150}, true},
    {"write-128k-1", IOCB_CMD_PWRITE, 131072, 1, {50, 150}, true},
};

static aio_context_t context;
static int disk;
static uint64_t blocks, next_block, seed = 1;
static void *buffers;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t place(const struct load *l)
{
	uint64_t in_disk = blocks / (l->bytes / 4096);

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (l->in_order ? next_block++ : seed >> 33) % in_disk * l->bytes;
}

static void submit(const struct load *l, unsigned slot)
{
	struct iocb cb = {
	    .aio_data = slot,
	    .aio_lio_opcode = (uint16_t)l->opcode,
	    .aio_fildes = (uint32_t)disk,
	    .aio_buf = (uintptr_t)buffers + slot * l->bytes,
	    .aio_nbytes = l->bytes,
	    .aio_offset = (int64_t)place(l),
	};
	struct iocb *one = &cb;

	if (syscall(SYS_io_submit, context, 1, &one) != 1)
		die("io_submit");
}

static uint64_t run(const struct load *l, unsigned count)
{
	struct io_event events[DEPTH_MAX];
	unsigned sent = 0, done = 0;
	uint64_t start = __rdtsc();

	while (sent < l->depth && sent < count)
		submit(l, sent++);
	while (done < count) {
		long n = syscall(SYS_io_getevents, context, 1, (long)l->depth, events, NULL);

		if (n < 1)
			die("io_getevents");
		for (long i = 0; i < n; i++) {
			if (events[i].res != (int64_t)l->bytes) {
				fprintf(stderr, "an I/O ended with %lld\n",
					(long long)events[i].res);
				exit(1);
			}
			if (sent < count) {
				submit(l, (unsigned)events[i].data);
				sent++;
			}
		}
		done += (unsigned)n;
	}
	return __rdtsc() - start;
}

static void mark(const struct load *l, unsigned number)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};

	printf("mark %s %u\n", l->name, number);
	fflush(stdout);
	nanosleep(&pause, NULL);
}

static const struct load *find(const char *name)
{
	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		if (strcmp(loads[i].name, name) == 0)
			return &loads[i];
	}
	fprintf(stderr, "disk_load: no load %s\n", name);
	exit(1);
}

int main(int argc, char **argv)
{
	uint64_t bytes = 0;

	unsigned scale = argc > 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;

	disk = argc > 3 ? open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0)
		die("disk");
	blocks = bytes / 4096;
	buffers = aligned_alloc(4096, (size_t)DEPTH_MAX * 131072);
	if (!buffers || syscall(SYS_io_setup, DEPTH_MAX, &context) < 0)
		die("io_setup");
	memset(buffers, 0x5a, (size_t)DEPTH_MAX * 131072);
	for (int i = 3; i < argc; i++) {
		const struct load *l = find(argv[i]);

		run(l, 100); /* warm */
		mark(l, 0);
		for (unsigned k = 0; k < 2; k++) {
			uint64_t cycles = run(l, scale * l->counts[k]);

			printf("value %s %u %llu\n", l->name, scale * l->counts[k],
			       (unsigned long long)cycles);
			mark(l, k + 1);
		}
	}
	puts("disk_load: done");
	return 0;
}
