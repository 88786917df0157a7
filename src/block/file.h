/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that images live in: whole transfers at any offset, over an engine that knows neither.
 *
 * Here is what every format needs of the host: the cache mode, the alignment that O_DIRECT asks
 * for, transfers cut short, ends of files, and the rule that a failed fdatasync(2) is final: Linux
 * may have marked the lost pages clean, so that a second try would succeed and mean nothing. So is
 * a durable write through the page cache that failed in its flush.
 */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include "block/engine.h"

#include <errno.h>
#include <stdatomic.h>

#define FILE_PARTS      64u
#define FILE_ALIGN_MAX  4096u
#define FILE_BOUNCE     (128u << 10)
#define FILE_BOUNCES    4u
#define FILE_ZERO_BYTES (64u << 10)
#define FILE_AGAIN_MAX  1000u /* -EAGAIN in a row */

struct file_op;

struct file_bounce {
	char *buffer;
	bool busy;
};

struct file {
	char *path;
	int fd;
	struct engine *engine;
	bool writable, direct, block_device, unsafe;
	uint32_t alignment; /* of offsets, lengths and addresses; 1 without O_DIRECT */
	uint32_t physical;  /* bytes that the file system or device writes at once */
	uint64_t size;      /* bytes, when it was opened */
	atomic_bool sync_failed;
	atomic_bool no_punch, no_zero; /* the file system cannot */

	/* The loop's thread only. */
	struct file_op *writes; /* in work, with O_DIRECT */
	struct file_op *waiting, **waiting_end;
	struct file_bounce bounce[FILE_BOUNCES];
	char *bounce_memory;
};

/* One transfer, embedded in its owner; iov and its buffers stay until done(). */
struct file_op {
	enum io_kind kind;
	bool durable;     /* write: on stable storage before it is done */
	bool end_is_zero; /* read: past the file's end are zeroes, not -EIO */
	bool optional;    /* punch: where it cannot be done, nothing is done */
	uint64_t offset, length;
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t skip; /* bytes of iov that come before this transfer's */
	void (*done)(struct file_op *op,
		     int err); /* the loop's thread; never inside file_submit() */

	/* file.c's */
	struct file *file;
	struct io io;
	uint64_t moved; /* bytes */
	bool bounced, merging, zero_by_write;
	unsigned again;
	struct file_bounce *bounce;
	struct file_op *next, **link;
	struct iovec part[FILE_PARTS];
};

/*
 * Opens and locks. writable: for reading and writing. 0, or -1 with *why. The engine stays the
 * caller's.
 */
int file_open(const char *path, bool writable, enum block_cache cache, struct engine *e,
	      struct file **out, struct refusal *why);
/* A file without a name in $TMPDIR, or /var/tmp; gone when closed, or when the process ends. */
int file_open_temporary(struct engine *e, uint64_t size, struct file **out, struct refusal *why);
void file_close(struct file *f); /* nothing in work; NULL: nothing */

void file_submit(struct file *f, struct file_op *op);

/* Whether an io came to nothing, and is to be tried again; *again counts how often it was. */
static inline bool file_is_to_try_again(int64_t result, unsigned *again)
{
	return result == -EINTR || (result == -EAGAIN && (*again)++ < FILE_AGAIN_MAX);
}

/* Whether a flush is needed: 0, -EALREADY where flushes are ignored, -EIO after one that failed. */
static inline int file_sync_state(struct file *f)
{
	if (f->unsafe)
		return -EALREADY;
	return atomic_load(&f->sync_failed) ? -EIO : 0;
}

/*
 * The same while the caller waits, on any thread. With O_DIRECT offset, buffer and n must be
 * multiples of f->alignment, except in a file_read_now() without whole. With whole it gives
 * -ENODATA where the file ends before; else what lies past its end reads as zeroes. 0 or -errno.
 */
int file_read_now(struct file *f, uint64_t offset, void *buffer, size_t n, bool whole);
int file_write_now(struct file *f, uint64_t offset, const void *buffer, size_t n);
int file_zero_now(struct file *f, uint64_t offset, uint64_t length, bool punch);
int file_sync_now(struct file *f);

/* Locks (lock.c): against a second writer, as QEMU does. 0, or -1 with *why. */
int file_lock(int fd, const char *path, bool writable, struct refusal *why);
void file_unlock(int fd); /* before it is closed */

#endif
