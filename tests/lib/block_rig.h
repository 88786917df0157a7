/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk on a fake engine or a real one, in a folder of its own, driven from the test's thread. */
#ifndef BLOCK_RIG_H
#define BLOCK_RIG_H

#include "fake_engine.h"

#include <lodge/block.h>

struct block_rig {
	struct loop *loop;
	struct fake_engine fake;
	char folder[64];
	struct block *block;
	struct block_event last_event;
	unsigned events;
};

struct rig_request {
	struct block_request request;
	struct iovec iov;
	int err;
	bool done;
};

void rig_init(struct block_rig *rig);
void rig_destroy(struct block_rig *rig); /* closes the disk; removes the folder */

/* The path of a file in the folder: valid until the next eight calls. */
const char *rig_path(struct block_rig *rig, const char *name);
/* Makes a file of size bytes whose sector n repeats the number seed + n in each 8 bytes. */
void rig_make_file(struct block_rig *rig, const char *name, uint64_t size, uint64_t seed);
/* Runs a shell command in the folder; its status. Output goes to the file "log" there. */
int rig_shell(struct block_rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Opens on the fake engine; the test fails when that is refused. */
void rig_open(struct block_rig *rig, const struct block_params *p);
void rig_close(struct block_rig *rig);

void rig_start(struct block_rig *rig, struct rig_request *r, enum block_op op, unsigned flags,
	       uint64_t offset, void *buffer, uint64_t length);
void rig_wait(struct block_rig *rig, const struct rig_request *r);
/* Runs the loop until it rests. */
void rig_settle(struct block_rig *rig);
/* All of the above: the request's result. */
int rig_do(struct block_rig *rig, enum block_op op, unsigned flags, uint64_t offset, void *buffer,
	   uint64_t length);

#endif
