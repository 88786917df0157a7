// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes at random to disks of a guest and knows what must be in them.
 *
 *   disk_writer SEED COUNT DEVICE...
 *
 * The first 16 MiB of each device get the same COUNT steps, shared by four processes that keep to a
 * quarter each: writes, zeroes, discards with writes over them, flushes, and reads, which are
 * compared. At the end all is read. Prints "disk_writer: ok", status 0; else what differs, 1.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTOR  512u
#define PART    (4u << 20)
#define PARTS   4u
#define LONGEST (128u * 1024u)
#define SECTORS (PART / SECTOR)

static uint64_t state;

static uint64_t any(uint64_t below)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

struct disk {
	const char *path;
	int fd;
	off_t base;
};

static uint8_t *model, *buffer;

static void read_back(const struct disk *d, uint64_t at, uint64_t n)
{
	if (pread(d->fd, buffer, n, d->base + (off_t)at) != (ssize_t)n)
		die("read");
	for (uint64_t i = 0; i < n; i++) {
		if (buffer[i] != model[at + i]) {
			printf("disk_writer: %s: byte %llu is %#x, not %#x\n", d->path,
			       (unsigned long long)d->base + at + i, buffer[i], model[at + i]);
			_exit(1);
		}
	}
}

static void write_out(const struct disk *d, uint64_t at, uint64_t n)
{
	memcpy(buffer, model + at, n);
	if (pwrite(d->fd, buffer, n, d->base + (off_t)at) != (ssize_t)n)
		die("write");
}

static void range(const struct disk *d, unsigned long request, uint64_t at, uint64_t n)
{
	uint64_t where[2] = {(uint64_t)d->base + at, n};

	if (ioctl(d->fd, request, where) < 0)
		die(request == BLKDISCARD ? "discard" : "zero");
}

static void step(struct disk *disks, unsigned count)
{
	uint64_t kind = any(16), n = (1 + any(any(4) ? 16 : LONGEST / SECTOR)) * SECTOR, at;

	at = any((PART - n) / SECTOR + 1) * SECTOR;
	if (kind < 9) {
		for (uint64_t i = 0; i < n; i += 8) {
			uint64_t value = any(UINT64_MAX);

			memcpy(model + at + i, &value, 8);
		}
	} else if (kind < 11) {
		memset(model + at, 0, n);
	}
	for (unsigned i = 0; i < count; i++) {
		if (kind == 8)
			range(&disks[i], BLKDISCARD, at, n);
		if (kind < 9)
			write_out(&disks[i], at, n);
		else if (kind < 11)
			range(&disks[i], BLKZEROOUT, at, n);
		else if (kind == 11 && fdatasync(disks[i].fd) < 0)
			die("flush");
		else
			read_back(&disks[i], at, n);
	}
}

static void work(unsigned part, uint64_t seed, unsigned long steps, struct disk *disks,
		 unsigned count)
{
	state = seed * PARTS + part;
	for (unsigned i = 0; i < count; i++) {
		disks[i].base = (off_t)part * PART;
		disks[i].fd = open(disks[i].path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (disks[i].fd < 0)
			die(disks[i].path);
	}
	memset(model, 0, PART);
	for (unsigned i = 0; i < count; i++)
		range(&disks[i], BLKZEROOUT, 0, PART);
	while (steps--)
		step(disks, count);
	for (unsigned i = 0; i < count; i++) {
		for (uint64_t at = 0; at < PART; at += LONGEST)
			read_back(&disks[i], at, LONGEST);
		if (fdatasync(disks[i].fd) < 0)
			die("flush");
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 3 ? (unsigned)argc - 3 : 0;
	static struct disk disks[8];
	int failed = 0, status;

	if (count == 0 || count > sizeof(disks) / sizeof(disks[0]))
		return 2;
	model = malloc(PART);
	buffer = aligned_alloc(4096, LONGEST);
	if (!model || !buffer)
		die("memory");
	for (unsigned i = 0; i < count; i++)
		disks[i].path = argv[3 + i];
	for (unsigned part = 0; part < PARTS; part++) {
		if (fork() == 0)
			work(part, strtoull(argv[1], NULL, 10), strtoul(argv[2], NULL, 10) / PARTS,
			     disks, count);
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	puts(failed ? "disk_writer: failed" : "disk_writer: ok");
	return failed;
}
