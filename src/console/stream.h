/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct chr as its backends see it: one of stdio.c, file.c, unix.c, pty.c stands behind each. */
#ifndef CONSOLE_STREAM_H
#define CONSOLE_STREAM_H

#include "console/input.h"
#include "console/sink.h"

#include <lodge/console.h>

struct backend {
	/*
	 * Opens path (NULL: the kind takes none) and sets c->state. Nothing that a later refusal
	 * would have to mend may happen but what close() mends. 0, or -1 with *why.
	 */
	int (*open)(struct chr *c, const char *path, struct refusal *why);
	/* The loop runs: attach readers, speak. */
	void (*start)(struct chr *c);
	/* Input came to its end (0) or failed; it has stopped. May be NULL. */
	void (*input_over)(struct chr *c, int err);
	/* The reader went away; the sink is still attached. NULL: errors drop what is at hand. */
	void (*reader_gone)(struct chr *c, int err);
	/* Before the sink is finished. May be NULL. */
	void (*finish)(struct chr *c);
	/* Loop thread; the loop does not run. Frees state. */
	void (*close)(struct chr *c);
	/* As open() would refuse, leaving nothing. */
	int (*check)(const char *name, const char *path, struct refusal *why);
};

extern const struct backend backend_stdio, backend_file, backend_unix, backend_pty;

struct chr {
	char name[CONFIG_PORT_NAME_MAX + 1]; /* "serial0" */
	struct loop *loop;
	const struct backend *backend; /* NULL: null, nobody ever reads */
	void *state;
	struct timer start;
	bool started;
	struct observer *observer;
	void (*quit)(void *arg);
	void *quit_arg;
	_Atomic uint64_t written, first_write_ns;
	struct sink sink;
	struct input input;
};

/* Refuses an output that cannot be made: 77 for want of permission, else 73. Returns -1. */
int refuse_output(struct refusal *why, int err, const char *name, const char *path);

/* Shows text to whoever sits at the terminal, never waiting. Lines end in CR LF. */
void stdio_say(const char *text);

/* What a chr does with what it sees: observe.c. Any thread. */
void observer_feed(struct observer *o, const uint8_t *buf, size_t n);

#endif
