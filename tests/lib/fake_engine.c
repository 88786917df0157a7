// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/iov.h"

static struct fake_engine *fake_of(struct engine *e)
{
	return (struct fake_engine *)e;
}

uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* --- the log --- */

static void remember(struct fake_engine *e, enum io_kind kind, const struct io *io, uint64_t n)
{
	struct log_entry *entry;

	if (e->log_count == e->log_room) {
		e->log_room = e->log_room ? 2 * e->log_room : 256;
		e->log = realloc(e->log, e->log_room * sizeof(e->log[0]));
		if (!e->log)
			abort();
	}
	entry = &e->log[e->log_count++];
	*entry = (struct log_entry){.kind = kind, .offset = io->offset, .length = n};
	entry->durable = io->durable;
	if (kind != IO_WRITE)
		return;
	entry->data = malloc(n);
	if (!entry->data)
		abort();
	iov_gather(entry->data, io->iov, io->iov_count, 0, n);
}

static void grow(uint8_t **content, uint64_t *size, uint64_t to)
{
	if (to <= *size)
		return;
	*content = realloc(*content, to);
	if (!*content)
		abort();
	memset(*content + *size, 0, to - *size);
	*size = to;
}

static void apply(uint8_t **content, uint64_t *size, const struct log_entry *l, uint64_t from,
		  uint64_t n)
{
	uint64_t at = l->offset + from;

	if (l->kind == IO_WRITE) {
		grow(content, size, at + n);
		memcpy(*content + at, l->data + from, n);
	} else if (at < *size) {
		memset(*content + at, 0, at + n > *size ? *size - at : n);
	}
}

/* Of the first count entries all, or those that are durable by themselves, can no longer be lost.
 */
static void settle(struct fake_engine *e, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		apply(&e->durable, &e->durable_size, &e->log[i], 0, e->log[i].length);
		free(e->log[i].data);
	}
	if (count)
		memmove(e->log, e->log + count, (e->log_count - count) * sizeof(e->log[0]));
	e->log_count -= count;
}

void fake_engine_log(struct fake_engine *e, int fd)
{
	char path[64];
	struct stat st;
	int plain;

	e->log_fd = fd;
	settle(e, e->log_count);
	free(e->durable);
	/* By a descriptor of our own: fd may be O_DIRECT. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	plain = open(path, O_RDONLY | O_CLOEXEC);
	if (plain < 0 || fstat(plain, &st) < 0)
		abort();
	e->durable_size = (uint64_t)st.st_size;
	e->durable = malloc(e->durable_size + 1);
	if (!e->durable || pread(plain, e->durable, e->durable_size, 0) != (ssize_t)e->durable_size)
		abort();
	close(plain);
}

uint8_t *fake_engine_crash(struct fake_engine *e, uint64_t seed, uint64_t *size)
{
	uint8_t *content = malloc(e->durable_size + 1);
	uint64_t mode = next_random(&seed) % 8, n;

	if (!content)
		abort();
	memcpy(content, e->durable, e->durable_size);
	*size = e->durable_size;
	for (size_t i = 0; i < e->log_count; i++) {
		const struct log_entry *l = &e->log[i];
		uint64_t fate = next_random(&seed);

		/* Nothing, all, half of the entries whole, or any sectors of any. */
		if (!l->durable && (mode == 0 || (mode >= 2 && mode <= 4 && fate & 1)))
			continue;
		for (uint64_t at = 0; at < l->length; at += n) {
			n = BLOCK_SECTOR - (l->offset + at) % BLOCK_SECTOR;
			if (n > l->length - at)
				n = l->length - at;
			if (l->durable || mode <= 4 || next_random(&seed) & 1)
				apply(&content, size, l, at, n);
		}
	}
	return content;
}

/* --- the engine --- */

static bool is_struck(struct fake_engine *e, const struct io *io)
{
	struct fault *f = &e->fault;

	if (!f->err || !(f->kinds >> io->kind & 1) ||
	    (f->to && (io->offset >= f->to || io->offset + io->length <= f->from)))
		return false;
	if (f->after) {
		f->after--;
		return false;
	}
	if (!f->times)
		return false;
	if (f->times != FAULT_ALWAYS)
		f->times--;
	f->struck |= 1u << io->kind;
	return true;
}

static int64_t perform_short(struct fake_engine *e, const struct io *io)
{
	struct iovec part[64];
	struct io cut = *io;
	uint64_t n;

	if (io->kind == IO_SYNC) /* here nobody's power is lost but the fake's */
		return 0;
	if (!e->longest || io->length <= e->longest ||
	    (io->kind != IO_READ && io->kind != IO_WRITE))
		return io_perform(io);
	cut.iov = part;
	cut.iov_count = iov_part(part, 64, io->iov, io->iov_count, 0, e->longest, &n);
	return io_perform(&cut);
}

static int64_t fake_run(struct engine *engine, struct io *io)
{
	struct fake_engine *e = fake_of(engine);
	int64_t result;
	size_t before;

	pthread_mutex_lock(&e->lock);
	e->ios[io->kind]++;
	e->durable_writes += io->kind == IO_WRITE && io->durable;
	before = e->log_count;
	if (is_struck(e, io)) {
		e->durable_struck |= io->kind == IO_WRITE && io->durable;
		result = e->fault.err == FAULT_NOTHING ? 0 : -e->fault.err;
	} else {
		result = perform_short(e, io);
		if (io->fd == e->log_fd && result >= 0) {
			if (io->kind == IO_WRITE)
				remember(e, IO_WRITE, io, (uint64_t)result);
			else if (io->kind == IO_PUNCH || io->kind == IO_ZERO)
				remember(e, IO_PUNCH, io, io->length);
			else if (io->kind == IO_SYNC)
				settle(e, before);
		}
	}
	if (e->after_io)
		e->after_io(e->after_io_arg);
	pthread_mutex_unlock(&e->lock);
	return result;
}

static void fake_submit(struct engine *engine, struct io *io)
{
	struct fake_engine *e = fake_of(engine);
	struct io **end = &e->pending;

	while (*end)
		end = &(*end)->next;
	io->next = NULL;
	*end = io;
	e->pending_count++;
	if (!e->hold)
		loop_post(e->loop, &e->deliver);
}

static void deliver(struct task *t)
{
	struct fake_engine *e = container_of(t, struct fake_engine, deliver);
	struct io *io, **link;

	while (e->pending && !e->hold) {
		link = &e->pending;
		if (e->shuffle) {
			for (uint64_t skip = next_random(&e->shuffle) % e->pending_count; skip;
			     skip--)
				link = &(*link)->next;
		}
		io = *link;
		*link = io->next;
		e->pending_count--;
		io->done(io, fake_run(&e->engine, io));
	}
}

void fake_engine_release(struct fake_engine *e)
{
	e->hold = false;
	loop_post(e->loop, &e->deliver);
}

static void fake_destroy(struct engine *e)
{
	(void)e;
}

void fake_engine_init(struct fake_engine *e, struct loop *l)
{
	static const struct engine_ops ops = {
	    .name = "fake", .submit = fake_submit, .run = fake_run, .destroy = fake_destroy};

	memset(e, 0, sizeof(*e));
	e->engine.ops = &ops;
	e->loop = l;
	e->deliver.fn = deliver;
	e->log_fd = -1;
	pthread_mutex_init(&e->lock, NULL);
}

void fake_engine_destroy(struct fake_engine *e)
{
	settle(e, e->log_count);
	free(e->log);
	free(e->durable);
	pthread_mutex_destroy(&e->lock);
}
