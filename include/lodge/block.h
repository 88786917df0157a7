/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block devices: the seam between a disk that a guest sees and the file behind it.
 *
 * A disk controller submits requests and gets each of them back exactly once, on the thread of the
 * loop that the device was opened with, and never inside block_submit(). Requests of one device
 * may complete in any order; a controller that needs order waits. All functions are for the loop's
 * thread, or for any one thread while the loop does not run.
 *
 * Promises. A request that is done with 0 has happened: its data survives the death of this
 * process (SIGKILL too). A flush that is done with 0 makes all writes that were done before it was
 * submitted survive the host's loss of power; so does BLOCK_FUA for its own write, and so does
 * every write where block_geometry.write_cache is false. With BLOCK_CACHE_UNSAFE nothing survives
 * a loss of power for sure.
 */
#ifndef LODGE_BLOCK_H
#define LODGE_BLOCK_H

#include <lodge/loop.h>
#include <lodge/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLOCK_SECTOR        512u /* offset and length of every request are multiples of it */
#define BLOCK_BACKING_MAX   8u
#define BLOCK_DEPTH_DEFAULT 128u

struct block;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

#define BLOCK_FUA       1u /* write, write zeroes: on stable storage before it is done */
#define BLOCK_MAY_UNMAP 2u /* write zeroes: the space may be given back */

/*
 * The caller's from done() on, the block layer's before. iov and what it points to stay as they are
 * until then; what a read has put there is undefined when it failed.
 */
struct block_request {
	enum block_op op;
	unsigned flags;
	uint64_t offset, length; /* bytes; 0 for a flush. Read, write: length is that of iov */
	const struct iovec *iov; /* read, write; at most IOV_MAX elements, none of length 0 */
	unsigned iov_count;
	/*
	 * err: 0 or -errno. -EINVAL: outside the device or misaligned; -EROFS: read-only;
	 * -EOPNOTSUPP: cannot discard; -ENOSPC; -EIO; -ECANCELED: block_cancel().
	 */
	void (*done)(struct block_request *r, int err);
	struct block_request *next; /* the block layer's, as is status */
	int status;
};

enum block_cache {
	BLOCK_CACHE_WRITEBACK,    /* through the host's page cache */
	BLOCK_CACHE_NONE,         /* O_DIRECT */
	BLOCK_CACHE_WRITETHROUGH, /* page cache, each write durable before it is done */
	BLOCK_CACHE_DIRECTSYNC,   /* O_DIRECT, each write durable before it is done */
	BLOCK_CACHE_UNSAFE,       /* flushes are ignored */
};

enum block_aio { BLOCK_AIO_AUTO, BLOCK_AIO_IO_URING, BLOCK_AIO_LIBAIO, BLOCK_AIO_THREADS };
enum block_format { BLOCK_FORMAT_RAW, BLOCK_FORMAT_QCOW2 };

/* What to do when the host's I/O failed: tell the guest, or hold the request until block_resume().
 */
enum block_on_error { BLOCK_REPORT, BLOCK_PAUSE };

struct block_image {
	const char *path;
	enum block_format format;
	bool format_stated; /* by the operator; else a raw image must not look like a qcow2 one */
};

struct block_params {
	struct block_image image;
	struct block_image backing[BLOCK_BACKING_MAX]; /* nearest first; qcow2 opens no other */
	unsigned backing_count;
	bool read_only;
	bool ephemeral; /* writes go to a temporary file without a name; the image is not written */
	enum block_cache cache;
	enum block_aio aio;
	enum block_on_error on_enospc, on_eio;
	unsigned depth; /* requests in work at once, the others wait; 0: BLOCK_DEPTH_DEFAULT */
};

struct block_geometry {
	uint64_t size;                /* bytes, a multiple of BLOCK_SECTOR */
	uint32_t logical_size;        /* bytes; smaller writes are not possible */
	uint32_t physical_size;       /* bytes, a power of 2; smaller writes cost more */
	uint32_t discard_granularity; /* bytes; smaller discards may do nothing */
	bool read_only, can_discard;
	bool write_cache; /* false: every write is durable when done */
};

enum block_event_kind {
	BLOCK_EVENT_ERROR,   /* a request failed and the guest was told */
	BLOCK_EVENT_PAUSED,  /* a request failed and is held, as is all that follows */
	BLOCK_EVENT_CORRUPT, /* the image contradicts itself and is no longer written */
};

struct block_event {
	enum block_event_kind kind;
	enum block_op op;
	int err; /* -errno */
	uint64_t offset;
	const char *detail; /* CORRUPT: what; else NULL */
};

struct block_counters {
	uint64_t requests[BLOCK_WRITE_ZEROES + 1]; /* done, by enum block_op */
	uint64_t bytes[BLOCK_WRITE_ZEROES + 1];
	uint64_t errors, pauses;
};

/* Opens, checks and locks the image and what it rests on. 0, or -1 with *why. */
int block_open(const struct block_params *p, struct loop *l, struct block **out,
	       struct refusal *why);
/*
 * Cancels what has not started, waits for what has, writes back, closes. The loop does not run, or
 * nothing is in work. A failure to write back is logged. NULL: nothing.
 */
void block_close(struct block *b);

/* As block_close() waits, but only while something ends every limit_ns: else false; leave it. */
bool block_settle(struct block *b, uint64_t limit_ns);

const struct block_geometry *block_geometry(const struct block *b);
const struct block_counters *block_counters(const struct block *b);
const char *block_engine_name(const struct block *b); /* "io_uring", "libaio", "threads" */

void block_submit(struct block *b, struct block_request *r);

/* fn may be NULL. Called before the done() of the request that it is about. */
void block_observe(struct block *b, void (*fn)(void *arg, const struct block_event *e), void *arg);

/* Starts nothing more, and calls fn once nothing is in work; inside, when that is so already. */
void block_drain(struct block *b, void (*fn)(void *arg), void *arg);
void block_undrain(struct block *b);

/* After BLOCK_EVENT_PAUSED: tries the held requests again, in their order. */
bool block_paused(const struct block *b);
void block_resume(struct block *b);
/* Gives back with -ECANCELED all that is held or waits. What is in work goes on. */
void block_cancel(struct block *b);

#endif
