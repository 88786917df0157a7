// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The engine of io_uring(7), in the ring of its loop (lodge/loop_ring.h).
 *
 * Theory of operation: what is submitted stands in the ring until the loop sleeps, which hands it
 * to the kernel, and waits, in one system call. So a request costs that call, whatever else it
 * brings.
 *
 * Files are registered when they are first used, which saves taking a reference for every io.
 * Buffers are not: the kernel pins registered memory, so registering guest RAM would commit all of
 * it and ask for as large a limit on locked memory.
 *
 * In work are never more than `depth`; what comes on top waits in a list.
 */
#include "block/engine.h"

#include <lodge/loop_ring.h>

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

struct uring {
	struct engine engine;
	struct loop *loop;
	struct task again; /* the kernel took none, and nothing is in work that would say when */
	struct io *waiting, **waiting_end;
	unsigned depth, in_work;
};

static struct uring *uring_of(struct engine *e)
{
	return (struct uring *)e;
}

/* --- submitting --- */

static void uring_forget(struct engine *e, int fd)
{
	loop_ring_forget_file(uring_of(e)->loop, fd);
}

static void fill(struct io_uring_sqe *sqe, const struct io *io, int fd)
{
	const int keep = FALLOC_FL_KEEP_SIZE;

	switch (io->kind) {
	case IO_READ:
		if (io->iov_count == 1)
			io_uring_prep_read(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len,
					   io->offset);
		else
			io_uring_prep_readv(sqe, fd, io->iov, io->iov_count, io->offset);
		break;
	case IO_WRITE:
		if (io->iov_count == 1)
			io_uring_prep_write(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len,
					    io->offset);
		else
			io_uring_prep_writev(sqe, fd, io->iov, io->iov_count, io->offset);
		sqe->rw_flags = io->durable ? RWF_DSYNC : 0;
		break;
	case IO_SYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_PUNCH:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE | keep, (off_t)io->offset,
					(off_t)io->length);
		break;
	case IO_ZERO:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_ZERO_RANGE | keep, (off_t)io->offset,
					(off_t)io->length);
		break;
	}
}

static void completed(struct ring_op *op, int result);

/* Puts io into the submission ring. False: there is no room. */
static bool enqueue(struct uring *u, struct io *io)
{
	struct io_uring_sqe *sqe = u->in_work < u->depth ? loop_ring_sqe(u->loop) : NULL;
	int index;

	if (!sqe)
		return false;
	index = loop_ring_file(u->loop, io->fd);
	fill(sqe, io, index < 0 ? io->fd : index);
	if (index >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io->op.done = completed;
	io->engine = &u->engine;
	io_uring_sqe_set_data(sqe, &io->op);
	u->in_work++;
	return true;
}

static void enqueue_waiting(struct uring *u)
{
	struct io *io;

	while ((io = u->waiting)) {
		struct io *next = io->next;

		if (!enqueue(u, io))
			break;
		u->waiting = next;
		if (!next)
			u->waiting_end = &u->waiting;
	}
	if (u->waiting && !u->in_work)
		loop_post(u->loop, &u->again);
}

static void try_again(struct task *t)
{
	enqueue_waiting(container_of(t, struct uring, again));
}

static void uring_submit(struct engine *e, struct io *io)
{
	struct uring *u = uring_of(e);

	if (!u->waiting && enqueue(u, io))
		return;
	io->next = NULL;
	*u->waiting_end = io;
	u->waiting_end = &io->next;
	if (!u->in_work)
		loop_post(u->loop, &u->again);
}

static void completed(struct ring_op *op, int result)
{
	struct io *io = container_of(op, struct io, op);
	struct uring *u = uring_of(io->engine);

	u->in_work--;
	if (u->waiting)
		enqueue_waiting(u);
	io->done(io, result);
}

static int64_t uring_run(struct engine *e, struct io *io)
{
	(void)e;
	return io_perform(io);
}

/* --- life --- */

static void uring_destroy(struct engine *e)
{
	struct uring *u = uring_of(e);

	assert(u->in_work == 0 && !u->waiting && !u->again.queued);
	free(u);
}

int engine_create_io_uring(struct loop *l, unsigned depth, struct engine **out)
{
	static const int needed[] = {IORING_OP_READ,   IORING_OP_WRITE, IORING_OP_READV,
				     IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
	static const struct engine_ops ops = {
	    .name = "io_uring",
	    .submit = uring_submit,
	    .run = uring_run,
	    .forget = uring_forget,
	    .destroy = uring_destroy,
	};
	int err = loop_ring_open(l, needed, sizeof(needed) / sizeof(needed[0]));
	struct uring *u;

	if (err)
		return err;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->engine.ops = &ops;
	u->loop = l;
	u->again.fn = try_again;
	u->waiting_end = &u->waiting;
	u->depth = depth;
	*out = &u->engine;
	return 0;
}
