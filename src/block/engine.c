// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chooses an engine, and performs an io as the system call that it stands for.
 */
#include "block/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int64_t perform_once(const struct io *io)
{
	const int keep = FALLOC_FL_KEEP_SIZE;
	int mode = io->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE | keep : FALLOC_FL_ZERO_RANGE | keep;

	switch (io->kind) {
	case IO_READ:
		return preadv(io->fd, io->iov, (int)io->iov_count, (off_t)io->offset);
	case IO_WRITE:
		return pwritev2(io->fd, io->iov, (int)io->iov_count, (off_t)io->offset,
				io->durable ? RWF_DSYNC : 0);
	case IO_SYNC:
		return fdatasync(io->fd);
	case IO_PUNCH:
	case IO_ZERO:
		break;
	}
	return fallocate(io->fd, mode, (off_t)io->offset, (off_t)io->length);
}

int64_t io_perform(const struct io *io)
{
	int64_t n;

	do
		n = perform_once(io);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* 0 or -errno. */
static int create(enum block_aio kind, bool direct, unsigned depth, struct loop *l,
		  struct engine **out)
{
	switch (kind) {
	case BLOCK_AIO_IO_URING:
		return engine_create_io_uring(l, depth, out);
	case BLOCK_AIO_LIBAIO:
		return direct ? engine_create_libaio(l, depth, out) : -EINVAL;
	case BLOCK_AIO_THREADS:
	case BLOCK_AIO_AUTO:
		break;
	}
	return engine_create_threads(l, out);
}

int engine_open(enum block_aio kind, bool direct, unsigned depth, struct loop *l,
		struct engine **out, struct refusal *why)
{
	static const char *const names[] = {"auto", "io_uring", "libaio", "threads"};
	int err;

	if (kind == BLOCK_AIO_AUTO) {
		err = create(BLOCK_AIO_IO_URING, direct, depth, l, out);
		if (err)
			err = create(BLOCK_AIO_LIBAIO, direct, depth, l, out);
		if (err)
			err = create(BLOCK_AIO_THREADS, direct, depth, l, out);
	} else {
		err = create(kind, direct, depth, l, out);
	}
	if (kind == BLOCK_AIO_LIBAIO && !direct)
		return refuse(why, STATUS_USAGE, "--disk", "aio",
			      "libaio needs cache=none or cache=directsync");
	return err ? refuse(why, STATUS_UNAVAILABLE, "--disk", "aio", "%s: %s", names[kind],
			    strerror(-err))
		   : 0;
}
