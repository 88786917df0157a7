/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that writes a sink's bytes to a descriptor which may block; and what it may call. */
#ifndef CONSOLE_SINK_THREAD_H
#define CONSOLE_SINK_THREAD_H

#include "console/sink.h"

struct sink_thread;

/* 0 or -errno. */
int sink_thread_start(struct sink *s, int fd, struct sink_thread **out);

/* There are bytes. Sink lock held. */
void sink_thread_wake(struct sink_thread *t);

/*
 * Lets it write the rest within limit_ns and ends it: true. If write(2) does not come back it is
 * left behind, false: the sink and its memory then stay until the process ends.
 */
bool sink_thread_stop(struct sink_thread *t, uint64_t limit_ns);

/* Of sink.c. Lock held for fill and drop. False: there was nothing. */
bool sink_stage_fill(struct sink *s);
void sink_stage_drop(struct sink *s);
void sink_stage_advance(struct sink *s, size_t n);
void sink_warn(struct sink *s, int err);

#endif
