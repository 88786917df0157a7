/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Engines: how reads and writes of host files are carried out without anybody waiting for them.
 *
 * An engine belongs to one loop and serves every file of one disk. It knows descriptors, bytes and
 * errno values, and nothing of images. Tests put one here that fails, cuts short, delays, or
 * remembers what a loss of power would lose.
 */
#ifndef BLOCK_ENGINE_H
#define BLOCK_ENGINE_H

#include <lodge/block.h>
#include <lodge/loop_ring.h>
#include <stddef.h>

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_SYNC,  /* fdatasync(2) */
	IO_PUNCH, /* the range reads as zeroes and takes no space; the file's size stays */
	IO_ZERO,  /* the range reads as zeroes and keeps its space; the file's size stays */
};

struct engine;

struct io {
	enum io_kind kind;
	int fd;
	bool durable; /* write: on stable storage before it is done */
	bool direct;  /* fd is O_DIRECT, and the transfer is aligned */
	uint64_t offset, length;
	const struct iovec
	    *iov; /* read, write: at most IOV_MAX elements of length bytes together */
	unsigned iov_count;
	/*
	 * result: bytes moved, maybe fewer than asked for, 0 at the end of the file; or -errno. On
	 * the loop's thread, never inside engine_submit().
	 */
	void (*done)(struct io *io, int64_t result);
	/* The engine's. */
	int64_t result;
	struct io *next;
	struct ring_op op;
	struct engine *engine;
};

struct engine_ops {
	const char *name;
	void (*submit)(struct engine *e, struct io *io); /* the loop's thread */
	int64_t (*run)(struct engine *e, struct io *io); /* now, on this thread; any thread */
	void (*forget)(struct engine *e, int fd);        /* fd will be closed; may be NULL */
	void (*destroy)(struct engine *e);               /* nothing is in work */
};

struct engine {
	const struct engine_ops *ops;
};

/* Takes io until its done(). */
static inline void engine_submit(struct engine *e, struct io *io)
{
	e->ops->submit(e, io);
}

/* Does io while the caller waits; done is not called. Returns what done would get. */
static inline int64_t engine_run(struct engine *e, struct io *io)
{
	return e->ops->run(e, io);
}

/* The loop's thread, or the loop does not run; nothing of fd is in work. */
static inline void engine_forget(struct engine *e, int fd)
{
	if (e->ops->forget)
		e->ops->forget(e, fd);
}

static inline void engine_destroy(struct engine *e)
{
	if (e)
		e->ops->destroy(e);
}

/*
 * The engine that kind names, or the best that works here for files opened in this way (direct:
 * O_DIRECT). 0, or -1 with *why. depth: ios in work at once that it is made for; more are taken.
 */
int engine_open(enum block_aio kind, bool direct, unsigned depth, struct loop *l,
		struct engine **out, struct refusal *why);

/* The system call that io stands for, with EINTR seen to. Any thread. */
int64_t io_perform(const struct io *io);

/* 0 or -errno. */
int engine_create_io_uring(struct loop *l, unsigned depth, struct engine **out);
int engine_create_libaio(struct loop *l, unsigned depth, struct engine **out);
int engine_create_threads(struct loop *l, struct engine **out);

#endif
