/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reading end of a stream: from a descriptor to the port, no faster than the guest takes it. */
#ifndef CONSOLE_INPUT_H
#define CONSOLE_INPUT_H

#include "console/escape.h"

#include <lodge/chr.h>
#include <lodge/loop.h>
#include <stdatomic.h>

#define INPUT_PENDING_BYTES 4096u
#define INPUT_STALL_NS      (5 * NS_PER_S)

struct input_params {
	struct loop *loop;
	void *arg;
	/* The descriptor gives no more: 0 is the end of it, else an errno value. Input has stopped.
	 */
	void (*over)(void *arg, int err);
	/* The user typed the escape key and a command. Only with input_start(..., true). */
	void (*command)(void *arg, enum escape_result r);
};

struct input {
	struct input_params p;
	struct chr_port port;
	int fd; /* -1: stopped */
	struct watch watch;
	bool watching;
	bool unpollable; /* a regular file: always ready */
	bool keyboard;   /* look for the escape key, and keep looking for it */
	bool flooded;    /* the guest takes nothing and pending is full: drop, but look on */
	struct escape escape;
	struct timer again, stall;
	atomic_bool waiting; /* pending holds bytes that the port had no room for */
	_Atomic uint64_t received, lost;
	uint8_t pending[INPUT_PENDING_BYTES];
	unsigned at, used; /* bytes pending[at .. used) are for the guest */
};

void input_init(struct input *in, const struct input_params *p);

/* Reads fd from now on; fd never blocks, and stays the caller's. Not started. */
void input_start(struct input *in, int fd, bool keyboard);

/* Reads no more. What is pending still goes to the guest. */
void input_stop(struct input *in);

/* As if typed. What does not fit is dropped. */
void input_type(struct input *in, const char *text);

/* The port has room again. Any thread. */
void input_accept(struct input *in);

/* No callback comes any more. The loop does not run. */
void input_fini(struct input *in);

#endif
