// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asynchronous transfers of a file.
 *
 * Theory of operation: a transfer is carried out in steps, one io of the engine at a time, each
 * starting where the one before ended. Mostly there is one step. There are more when the engine
 * moved fewer bytes than asked for, when the buffers have more than FILE_PARTS pieces from where
 * the step starts, or when the transfer is bounced.
 *
 * O_DIRECT asks for aligned offsets, lengths and addresses. A transfer that is not aligned goes
 * through a bounce buffer, of which a file has a few; who finds none waits. A misaligned write
 * reads what it does not cover, merges and writes the whole (a merging write). It must not run
 * beside another write of the same blocks, so writes with O_DIRECT are listed while they are in
 * work, and a write that meets a merging one, or is one that meets any, waits.
 *
 * What has to wait stands in one list, which is looked through again whenever something ends.
 */
#include "block/file.h"
#include "block/iov.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

static const char zeroes[FILE_ZERO_BYTES] __attribute__((aligned(FILE_ALIGN_MAX)));

static void step(struct file_op *op);

static uint64_t block_down(const struct file *f, uint64_t at)
{
	return at & ~(uint64_t)(f->alignment - 1);
}

static uint64_t block_up(const struct file *f, uint64_t at)
{
	return block_down(f, at + f->alignment - 1);
}

static bool is_merging(const struct file *f, const struct file_op *op)
{
	return ((op->offset | op->length) & (f->alignment - 1)) != 0;
}

/* Whether the blocks that a and b touch have one in common. */
static bool meets(const struct file *f, const struct file_op *a, const struct file_op *b)
{
	return block_down(f, a->offset) < block_up(f, b->offset + b->length) &&
	       block_down(f, b->offset) < block_up(f, a->offset + a->length);
}

static bool must_wait_for_write(const struct file *f, const struct file_op *op)
{
	for (const struct file_op *w = f->writes; w; w = w->next) {
		if ((op->merging || w->merging) && meets(f, op, w))
			return true;
	}
	return false;
}

static void list_write(struct file *f, struct file_op *op)
{
	op->next = f->writes;
	if (op->next)
		op->next->link = &op->next;
	op->link = &f->writes;
	f->writes = op;
}

static void unlist_write(struct file_op *op)
{
	*op->link = op->next;
	if (op->next)
		op->next->link = op->link;
	op->link = NULL;
}

static struct file_bounce *free_bounce(struct file *f)
{
	for (unsigned i = 0; i < FILE_BOUNCES; i++) {
		if (!f->bounce[i].busy)
			return &f->bounce[i];
	}
	return NULL;
}

/* Gets op what it needs to start; false: it has to wait. */
static bool admit(struct file *f, struct file_op *op)
{
	bool listed = f->direct && op->kind == IO_WRITE;

	if (listed && must_wait_for_write(f, op))
		return false;
	if (op->bounced) {
		op->bounce = free_bounce(f);
		if (!op->bounce)
			return false;
		op->bounce->busy = true;
	}
	if (listed)
		list_write(f, op);
	return true;
}

static void admit_waiting(struct file *f)
{
	struct file_op *op = f->waiting, *next;

	f->waiting = NULL;
	f->waiting_end = &f->waiting;
	for (; op; op = next) {
		next = op->next;
		if (admit(f, op)) {
			step(op);
		} else {
			op->next = NULL;
			*f->waiting_end = op;
			f->waiting_end = &op->next;
		}
	}
}

static void finish(struct file_op *op, int err)
{
	struct file *f = op->file;

	if (op->link)
		unlist_write(op);
	if (op->bounce) {
		op->bounce->busy = false;
		op->bounce = NULL;
	}
	if (f->waiting)
		admit_waiting(f);
	op->done(op, err);
}

/* The part of the transfer that the bounce buffer takes now, and the blocks around it. */
static uint64_t bounce_window(const struct file_op *op, uint64_t *start, uint64_t *length)
{
	uint64_t at = op->offset + op->moved, room, n = op->length - op->moved;

	*start = block_down(op->file, at);
	room = FILE_BOUNCE - (at - *start);
	if (n > room)
		n = room;
	*length = block_up(op->file, at + n) - *start;
	return n;
}

static void submit_io(struct file_op *op, enum io_kind kind, uint64_t offset, uint64_t length)
{
	op->io.kind = kind;
	op->io.fd = op->file->fd;
	op->io.durable = op->durable;
	op->io.direct = op->file->direct;
	op->io.offset = offset;
	op->io.length = length;
	engine_submit(op->file->engine, &op->io);
}

static void bounce_write(struct file_op *op)
{
	uint64_t start, length, n = bounce_window(op, &start, &length);
	uint64_t at = op->offset + op->moved - start;

	iov_gather(op->bounce->buffer + at, op->iov, op->iov_count, op->skip + op->moved, n);
	op->part[0] = (struct iovec){op->bounce->buffer, length};
	submit_io(op, IO_WRITE, start, length);
}

static void bounce_step(struct file_op *op)
{
	uint64_t start, length, n = bounce_window(op, &start, &length);

	op->io.iov = op->part;
	op->io.iov_count = 1;
	if (op->kind == IO_WRITE && n == length) {
		bounce_write(op);
		return;
	}
	op->part[0] = (struct iovec){op->bounce->buffer, length};
	submit_io(op, IO_READ, start, length);
}

static void zero_step(struct file_op *op)
{
	uint64_t left = op->length - op->moved, n = 0;
	unsigned i;

	for (i = 0; i < FILE_PARTS && n < left; i++) {
		op->part[i].iov_base = (void *)zeroes;
		op->part[i].iov_len = left - n < sizeof(zeroes) ? left - n : sizeof(zeroes);
		n += op->part[i].iov_len;
	}
	op->io.iov = op->part;
	op->io.iov_count = i;
	submit_io(op, IO_WRITE, op->offset + op->moved, n);
}

/* Starts what comes next; something is left to do. */
static void step(struct file_op *op)
{
	uint64_t n = op->length - op->moved;

	if (op->kind == IO_SYNC ||
	    ((op->kind == IO_PUNCH || op->kind == IO_ZERO) && !op->zero_by_write)) {
		submit_io(op, op->kind, op->offset, op->length);
	} else if (op->zero_by_write) {
		zero_step(op);
	} else if (op->bounced) {
		bounce_step(op);
	} else if (op->skip + op->moved == 0 && op->iov_count <= IOV_MAX &&
		   n == iov_length(op->iov, op->iov_count)) {
		op->io.iov = op->iov;
		op->io.iov_count = op->iov_count;
		submit_io(op, op->kind, op->offset, n);
	} else {
		op->io.iov = op->part;
		op->io.iov_count = iov_part(op->part, FILE_PARTS, op->iov, op->iov_count,
					    op->skip + op->moved, n, &n);
		submit_io(op, op->kind, op->offset + op->moved, n);
	}
}

static void advance(struct file_op *op, uint64_t n)
{
	op->moved += n;
	if (op->moved == op->length)
		finish(op, 0);
	else
		step(op);
}

/* The file ended at op->moved. */
static void end_of_file(struct file_op *op)
{
	if (op->end_is_zero)
		iov_zero(op->iov, op->iov_count, op->skip + op->moved, op->length - op->moved);
	finish(op, op->end_is_zero ? 0 : -EIO);
}

static void read_done(struct file_op *op, uint64_t n)
{
	/* A direct read that is cut short between blocks has met the end of the file. */
	bool end = n == 0 || (n < op->io.length && (n & (op->file->alignment - 1)));

	op->moved += n;
	if (op->moved < op->length && end)
		end_of_file(op);
	else if (op->moved < op->length)
		step(op);
	else
		finish(op, 0);
}

static void bounce_done(struct file_op *op, uint64_t got)
{
	uint64_t start, length, n = bounce_window(op, &start, &length);
	uint64_t at = op->offset + op->moved - start;

	if (op->io.kind == IO_WRITE) {
		/* Blocks that were cut off are written again: the window starts anew. */
		advance(op, got > at ? (got - at < n ? got - at : n) : 0);
		return;
	}
	if (op->kind == IO_WRITE) {
		for (; got < length; got++)
			op->bounce->buffer[got] = 0;
		bounce_write(op);
		return;
	}
	if (got > at) {
		if (got - at < n)
			n = got - at;
		iov_fill(op->iov, op->iov_count, op->skip + op->moved, op->bounce->buffer + at, n);
		advance(op, n);
	} else {
		end_of_file(op);
	}
}

/* The file system has no such call: zeroes are written. A punch that cannot be is nothing lost. */
static void without_fallocate(struct file_op *op)
{
	atomic_store(op->kind == IO_PUNCH ? &op->file->no_punch : &op->file->no_zero, true);
	if (op->optional) {
		finish(op, 0);
		return;
	}
	op->zero_by_write = true;
	step(op);
}

/*
 * Whether an error may be the only word of pages that the host could not write back, be they this
 * transfer's or others': Linux says it once for each open file. A durable write through the page
 * cache flushes after it wrote; errors that it has for itself are told apart.
 */
static bool is_lost(const struct io *io, int64_t result)
{
	if (io->kind != IO_WRITE || !io->durable || io->direct)
		return io->kind == IO_SYNC;
	return result != -ENOSPC && result != -EDQUOT && result != -EFBIG && result != -ENOMEM &&
	       result != -EAGAIN && result != -EINVAL && result != -EOPNOTSUPP;
}

static void io_done(struct io *io, int64_t result)
{
	struct file_op *op = container_of(io, struct file_op, io);

	if (file_is_to_try_again(result, &op->again)) {
		engine_submit(op->file->engine, io);
		return;
	}
	if (result == -EOPNOTSUPP && (op->kind == IO_PUNCH || op->kind == IO_ZERO) &&
	    !op->zero_by_write) {
		without_fallocate(op);
		return;
	}
	if (result < 0 && is_lost(io, result))
		atomic_store(&op->file->sync_failed, true);
	/* Another that was in work at the same time may have been told what was ours. */
	if (result >= 0 && (io->kind == IO_SYNC || io->durable) &&
	    atomic_load(&op->file->sync_failed))
		result = -EIO;
	if (result == 0 && io->kind == IO_WRITE)
		result = -EIO;
	if (result < 0) {
		finish(op, (int)result);
		return;
	}
	op->again = 0;
	if (io->kind == IO_SYNC || io->kind == IO_PUNCH || io->kind == IO_ZERO)
		finish(op, 0);
	else if (op->bounced)
		bounce_done(op, (uint64_t)result);
	else if (io->kind == IO_READ)
		read_done(op, (uint64_t)result);
	else
		advance(op, (uint64_t)result);
}

void file_submit(struct file *f, struct file_op *op)
{
	bool data = op->kind == IO_READ || op->kind == IO_WRITE;

	assert(op->kind == IO_SYNC || op->length);
	op->file = f;
	op->io.done = io_done;
	op->io.iov = NULL;
	op->io.iov_count = 0;
	op->moved = 0;
	op->again = 0;
	op->bounce = NULL;
	op->link = NULL;
	op->zero_by_write = (op->kind == IO_PUNCH && atomic_load(&f->no_punch)) ||
			    (op->kind == IO_ZERO && atomic_load(&f->no_zero));
	op->merging = data && is_merging(f, op);
	op->bounced = data && f->direct &&
		      (op->merging || (op->skip & (f->alignment - 1)) ||
		       !iov_aligned(op->iov, op->iov_count, f->alignment));
	if (!data || admit(f, op)) {
		step(op);
		return;
	}
	op->next = NULL;
	*f->waiting_end = op;
	f->waiting_end = &op->next;
}
