/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine that misbehaves as it is told, and remembers what a loss of power could lose.
 *
 * It works on real files, so that these always hold what survives the death of the process. With a
 * log, each write is also remembered until a flush makes it durable; fake_engine_crash() then
 * builds what may be left after a loss of power: all that was durable, and of the rest any sectors.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include "block/engine.h"

#include <limits.h>
#include <pthread.h>

#define FAULT_ALWAYS  UINT32_MAX
#define FAULT_NOTHING INT_MAX /* in place of an errno value: nothing is moved, and no error */

struct fault {
	int err;           /* positive errno value; 0: none */
	unsigned kinds;    /* bits 1 << enum io_kind */
	uint32_t after;    /* so many of these work first */
	uint32_t times;    /* then so many fail */
	uint64_t from, to; /* only those that touch [from, to); to 0: all */
	unsigned struck;   /* kinds that did fail, as bits */
};

struct log_entry {
	enum io_kind kind; /* IO_WRITE, IO_PUNCH */
	uint64_t offset, length;
	uint8_t *data;
	bool durable;
};

struct fake_engine {
	struct engine engine;
	struct loop *loop;
	struct task deliver;
	pthread_mutex_t lock;
	struct io *pending, *ready;
	unsigned pending_count;
	bool hold;        /* finish nothing until fake_engine_release() */
	uint64_t shuffle; /* seed: finish in any order; 0: in order */
	uint64_t longest; /* bytes that one transfer moves; 0: no limit */
	struct fault fault;
	uint64_t ios[IO_ZERO + 1]; /* carried out, by kind */
	unsigned durable_writes;
	bool durable_struck; /* a write that was to be durable by itself failed */

	void (*after_io)(void *arg); /* on whatever thread, lock held; may be NULL */
	void *after_io_arg;

	int log_fd;       /* its writes are remembered; -1: none */
	uint8_t *durable; /* the file's content that nothing can lose */
	uint64_t durable_size;
	struct log_entry *log;
	size_t log_count, log_room;
};

void fake_engine_init(struct fake_engine *e, struct loop *l);
void fake_engine_destroy(struct fake_engine *e);

/* Finishes what is held, and goes on. */
void fake_engine_release(struct fake_engine *e);

/* Remembers the writes of fd, whose content now is durable. */
void fake_engine_log(struct fake_engine *e, int fd);
/*
 * One state that a loss of power now could leave: *size bytes, to be freed. seed chooses. Each
 * sector of what was not flushed is there or not.
 */
uint8_t *fake_engine_crash(struct fake_engine *e, uint64_t seed, uint64_t *size);

/* splitmix64: the next number, and the state moved on. */
uint64_t next_random(uint64_t *state);

#endif
