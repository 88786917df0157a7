// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chooses an engine, and performs an io as the system call that it stands for.
 */
#include "block/engine.h"

#include <errno.h>
#include <fcntl.h>
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

int engine_open(enum block_aio kind, bool direct, unsigned depth, struct loop *l,
		struct engine **out, struct refusal *why)
{
	int err;

	(void)direct;
	(void)depth;
	if (kind != BLOCK_AIO_AUTO && kind != BLOCK_AIO_THREADS)
		return refuse(why, STATUS_UNAVAILABLE, "--disk", "aio", "not in this version");
	err = engine_create_threads(l, out);
	return err ? refuse_errno(why, err, "--disk", "aio", "threads") : 0;
}
