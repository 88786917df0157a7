// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The engine of Linux AIO, for hosts without io_uring: io_submit(2), io_getevents(2).
 *
 * Theory of operation: it is asynchronous for O_DIRECT only, so only such reads and writes go
 * there; all else (flushes, fallocate, the page cache) goes to an engine of threads beside it. What
 * is submitted in one round of the loop is one io_submit(2), by a task. Completions signal an
 * eventfd that the loop watches.
 *
 * The four system calls are made directly: the library of this name adds little more to them.
 */
#include "block/engine.h"

#include <assert.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES_MAX 256u

struct aio {
	struct engine engine;
	struct engine *threads;
	struct loop *loop;
	aio_context_t context;
	struct watch watch;
	struct task flush;
	struct io *waiting, **waiting_end;
	struct iocb iocb[ENTRIES_MAX];
	struct iocb *free[ENTRIES_MAX], *prepared[ENTRIES_MAX];
	unsigned free_count, prepared_count, in_work;
};

static struct aio *aio_of(struct engine *e)
{
	return (struct aio *)e;
}

static void prepare(struct aio *a, struct io *io)
{
	struct iocb *c = a->free[--a->free_count];

	memset(c, 0, sizeof(*c));
	c->aio_data = (uintptr_t)io;
	c->aio_fildes = (uint32_t)io->fd;
	c->aio_lio_opcode = io->kind == IO_READ ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV;
	c->aio_buf = (uintptr_t)io->iov;
	c->aio_nbytes = io->iov_count;
	c->aio_offset = (int64_t)io->offset;
	c->aio_rw_flags = io->kind == IO_WRITE && io->durable ? RWF_DSYNC : 0;
	c->aio_flags = IOCB_FLAG_RESFD;
	c->aio_resfd = (uint32_t)a->watch.fd;
	a->prepared[a->prepared_count++] = c;
}

static void aio_submit(struct engine *e, struct io *io)
{
	struct aio *a = aio_of(e);

	if (!io->direct || (io->kind != IO_READ && io->kind != IO_WRITE)) {
		engine_submit(a->threads, io);
		return;
	}
	io->next = NULL;
	*a->waiting_end = io;
	a->waiting_end = &io->next;
	loop_post(a->loop, &a->flush);
}

static void finish(struct aio *a, struct iocb *c, int64_t result)
{
	/* As the kernel gives it back: a number. */
	struct io *io = (struct io *)(uintptr_t)c->aio_data; /* NOLINT(performance-no-int-to-ptr) */

	a->free[a->free_count++] = c;
	io->done(io, result);
}

static void flush(struct task *t)
{
	struct aio *a = (struct aio *)((char *)t - offsetof(struct aio, flush));
	struct iocb *refused;
	struct io *io;
	long n;

	while ((io = a->waiting) && a->free_count) {
		a->waiting = io->next;
		prepare(a, io);
	}
	if (!a->waiting)
		a->waiting_end = &a->waiting;
	if (!a->prepared_count)
		return;
	n = syscall(SYS_io_submit, a->context, (long)a->prepared_count, a->prepared);
	if (n > 0) {
		a->in_work += (unsigned)n;
		a->prepared_count -= (unsigned)n;
		memmove(a->prepared, a->prepared + n, a->prepared_count * sizeof(a->prepared[0]));
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The first one cannot be: it is answered, the others have another try. */
		refused = a->prepared[0];
		a->prepared_count--;
		memmove(a->prepared, a->prepared + 1, a->prepared_count * sizeof(a->prepared[0]));
		finish(a, refused, -errno);
	}
	if (a->prepared_count && (n > 0 || !a->in_work || errno != EAGAIN))
		loop_post(a->loop, &a->flush);
}

static void on_ready(struct watch *w, uint32_t revents)
{
	struct aio *a = (struct aio *)((char *)w - offsetof(struct aio, watch));
	struct io_event event[ENTRIES_MAX];
	struct timespec none = {0};
	uint64_t count;
	long n;

	(void)revents;
	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
	n = syscall(SYS_io_getevents, a->context, 0L, (long)ENTRIES_MAX, event, &none);
	for (long i = 0; i < n; i++) {
		/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
		struct iocb *c = (struct iocb *)(uintptr_t)event[i].obj;

		a->in_work--;
		finish(a, c, event[i].res);
	}
	if (a->waiting || a->prepared_count)
		loop_post(a->loop, &a->flush);
}

static int64_t aio_run(struct engine *e, struct io *io)
{
	(void)e;
	return io_perform(io);
}

static void aio_destroy(struct engine *e)
{
	struct aio *a = aio_of(e);

	assert(a->in_work == 0 && a->prepared_count == 0 && !a->waiting);
	engine_destroy(a->threads);
	if (a->watch.slot)
		loop_unwatch(a->loop, &a->watch);
	if (a->watch.fd >= 0)
		close(a->watch.fd);
	if (a->context)
		syscall(SYS_io_destroy, a->context);
	free(a);
}

int engine_create_libaio(struct loop *l, unsigned depth, struct engine **out)
{
	static const struct engine_ops ops = {
	    .name = "libaio", .submit = aio_submit, .run = aio_run, .destroy = aio_destroy};
	struct aio *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->engine.ops = &ops;
	a->loop = l;
	a->flush.fn = flush;
	a->waiting_end = &a->waiting;
	a->free_count = depth < ENTRIES_MAX ? depth : ENTRIES_MAX;
	for (unsigned i = 0; i < a->free_count; i++)
		a->free[i] = &a->iocb[i];
	a->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->watch.events = EPOLLIN;
	a->watch.fn = on_ready;
	err = a->watch.fd < 0 ? -errno : 0;
	if (!err && syscall(SYS_io_setup, a->free_count, &a->context) < 0)
		err = -errno;
	if (!err)
		err = engine_create_threads(l, &a->threads);
	if (!err)
		err = loop_watch(l, &a->watch);
	if (err) {
		aio_destroy(&a->engine);
		return err;
	}
	*out = &a->engine;
	return 0;
}
