// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The engine of io_uring(7), by liburing.
 *
 * Theory of operation: what is submitted during one round of the loop stands in the submission ring
 * and goes to the kernel in one io_uring_enter(2), by a task at the start of the next round. What
 * completes at once, as reads of the page cache do, is answered right there. The rest makes the
 * ring's descriptor readable, which the loop watches, so that there is no eventfd to be read.
 *
 * Files are registered when they are first used, which saves taking a reference for every io.
 * Buffers are not: the kernel pins registered memory, so registering guest RAM would commit all of
 * it and ask for as large a limit on locked memory.
 *
 * In work are never more than the ring has entries; what comes on top waits in a list. liburing is
 * linked statically: most of it is inline functions that fit one version of its library only.
 *
 * Needed: the operations of Linux 5.6. COOP_TASKRUN (5.19) spares the loop's thread interruptions.
 */
#include "block/engine.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define FILES_MAX   16u
#define ENTRIES_MAX 1024u

struct uring {
	struct engine engine;
	struct loop *loop;
	struct io_uring ring;
	struct watch watch;
	struct task flush;
	struct io *waiting, **waiting_end;
	unsigned entries, in_work;
	int file[FILES_MAX]; /* descriptors that are registered, by index; -1: free */
	bool files_registered;
};

static struct uring *uring_of(struct engine *e)
{
	return (struct uring *)e;
}

/* --- submitting --- */

/* The index of fd among the registered files, or -1. */
static int fixed_file(struct uring *u, int fd)
{
	int vacant = -1;

	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (u->file[i] == fd)
			return (int)i;
		if (u->file[i] < 0)
			vacant = (int)i;
	}
	if (!u->files_registered || vacant < 0 ||
	    io_uring_register_files_update(&u->ring, (unsigned)vacant, &fd, 1) != 1)
		return -1;
	u->file[vacant] = fd;
	return vacant;
}

static void uring_forget(struct engine *e, int fd)
{
	struct uring *u = uring_of(e);
	int none = -1;

	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (u->file[i] == fd) {
			io_uring_register_files_update(&u->ring, i, &none, 1);
			u->file[i] = -1;
		}
	}
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

/* Puts io into the submission ring. False: there is no room. */
static bool enqueue(struct uring *u, struct io *io)
{
	struct io_uring_sqe *sqe = u->in_work < u->entries ? io_uring_get_sqe(&u->ring) : NULL;
	int index;

	if (!sqe)
		return false;
	index = fixed_file(u, io->fd);
	fill(sqe, io, index < 0 ? io->fd : index);
	if (index >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
	u->in_work++;
	return true;
}

static void uring_submit(struct engine *e, struct io *io)
{
	struct uring *u = uring_of(e);

	if (u->waiting || !enqueue(u, io)) {
		io->next = NULL;
		*u->waiting_end = io;
		u->waiting_end = &io->next;
	}
	loop_post(u->loop, &u->flush);
}

/* --- completing --- */

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
}

/* Answers what is done; at most a ring full, so that the loop's other users get their turn. */
static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe;

	for (unsigned n = 0; n < 2 * u->entries && io_uring_peek_cqe(&u->ring, &cqe) == 0; n++) {
		struct io *io = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		u->in_work--;
		io->done(io, result);
	}
	if (u->waiting) {
		enqueue_waiting(u);
		loop_post(u->loop, &u->flush);
	}
}

static void flush(struct task *t)
{
	struct uring *u = (struct uring *)((char *)t - offsetof(struct uring, flush));

	enqueue_waiting(u);
	if (io_uring_sq_ready(&u->ring)) {
		io_uring_submit(&u->ring);
		/* The kernel is short of memory, or wants completions taken first. */
		if (io_uring_sq_ready(&u->ring))
			loop_post(u->loop, &u->flush);
	}
	reap(u);
}

static void on_ready(struct watch *w, uint32_t revents)
{
	struct uring *u = (struct uring *)((char *)w - offsetof(struct uring, watch));

	(void)revents;
	reap(u);
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

	assert(u->in_work == 0 && !u->waiting);
	loop_unwatch(u->loop, &u->watch);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static bool has_operations(struct io_uring *ring)
{
	static const int needed[] = {IORING_OP_READ,   IORING_OP_WRITE, IORING_OP_READV,
				     IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool all = probe != NULL;

	for (unsigned i = 0; all && i < sizeof(needed) / sizeof(needed[0]); i++)
		all = io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	return all;
}

static int set_up(struct uring *u)
{
	int err = io_uring_queue_init(u->entries, &u->ring, IORING_SETUP_COOP_TASKRUN);

	if (err == -EINVAL)
		err = io_uring_queue_init(u->entries, &u->ring, 0);
	if (err)
		return err;
	if (!has_operations(&u->ring))
		err = -ENOSYS;
	u->files_registered = io_uring_register_files(&u->ring, u->file, FILES_MAX) == 0;
	u->watch.fd = u->ring.ring_fd;
	u->watch.events = EPOLLIN;
	u->watch.fn = on_ready;
	if (!err)
		err = loop_watch(u->loop, &u->watch);
	if (err)
		io_uring_queue_exit(&u->ring);
	return err;
}

int engine_create_io_uring(struct loop *l, unsigned depth, struct engine **out)
{
	static const struct engine_ops ops = {
	    .name = "io_uring",
	    .submit = uring_submit,
	    .run = uring_run,
	    .forget = uring_forget,
	    .destroy = uring_destroy,
	};
	struct uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->engine.ops = &ops;
	u->loop = l;
	u->flush.fn = flush;
	u->waiting_end = &u->waiting;
	u->entries = depth < ENTRIES_MAX ? depth : ENTRIES_MAX;
	for (unsigned i = 0; i < FILES_MAX; i++)
		u->file[i] = -1;
	err = set_up(u);
	if (err) {
		free(u);
		return err;
	}
	*out = &u->engine;
	return 0;
}
