/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writing end of a stream: a ring that any thread fills, and whatever takes its bytes away. */
#ifndef CONSOLE_SINK_H
#define CONSOLE_SINK_H

#include "console/ring.h"

#include <lodge/loop.h>
#include <pthread.h>
#include <stdbool.h>

#define SINK_RING_BYTES  65536u
#define SINK_STAGE_BYTES 4096u
#define SINK_FLUSH_NS    NS_PER_S
#define SINK_GATHER_NS   (5 * NS_PER_MS)

enum sink_how {
	SINK_POLL,   /* fd never blocks (O_NONBLOCK, or a device that cannot); the loop writes */
	SINK_SEND,   /* fd is a socket; the loop sends, without waiting */
	SINK_THREAD, /* a write may block for as long as it likes: a thread of its own writes */
};

struct sink_params {
	struct loop *loop;
	const char *name; /* for messages: "serial0"; outlives the sink */
	/* The reader is gone for good, on the loop's thread. NULL: an error drops the bytes at hand
	 * and the next ones are tried again, as with a full disk. */
	void (*gone)(void *arg, int err);
	void (*has_room)(void *arg); /* after sink_room() gave 0; may be NULL. As in lodge/chr.h */
	void *arg;
};

struct sink {
	struct sink_params p;
	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct ring ring;
	bool attached;     /* somebody takes bytes away */
	bool scheduled;    /* and was told that there are some */
	bool hurried;      /* and that there are many */
	bool room_wanted;  /* sink_room() gave 0 since p.has_room was called */
	uint64_t lost;     /* bytes never handed to anyone */
	uint8_t last_byte; /* written; 0: none yet */
	bool saw_escape;   /* ESC was among them */
	/* What is being written: taken out of the ring, so that nothing drops it meanwhile. Owned
	 * by the loop's thread, or by the sink's own. */
	size_t stage_at, stage_used;
	size_t stage_mark;   /* bytes of the mark at the stage's start */
	uint64_t stage_lost; /* what the mark says */
	bool warned;
	/* SINK_POLL, SINK_SEND: loop thread. */
	enum sink_how how;
	int fd;
	struct watch watch;
	bool watching;
	struct timer timer;
	/* SINK_THREAD; guarded by lock. */
	struct sink_thread *thread;
	uint8_t stage[SINK_STAGE_BYTES]; /* last: its page stays untouched until bytes come */
};

/* 0 or -errno. */
int sink_init(struct sink *s, const struct sink_params *p);

/* Any thread; never blocks, never allocates. */
void sink_write(struct sink *s, const uint8_t *buf, size_t n);

/* Bytes that sink_write() takes without dropping any; SIZE_MAX while nobody is attached. Any
 * thread.
 */
size_t sink_room(struct sink *s);
void sink_forget_room(struct sink *s); /* p.has_room is not called any more. Any thread. */

/*
 * From now on fd takes the bytes, those that wait first; the sink owns and closes it. Loop thread,
 * not attached. 0 or -errno, and then fd stays the caller's.
 */
int sink_attach(struct sink *s, int fd, enum sink_how how);

/* Lets the reader go; what was not handed over waits for the next one. Loop thread. Not
 * SINK_THREAD. */
void sink_detach(struct sink *s);

/* Hands over what it can within limit_ns, then detaches. The loop does not run. */
void sink_finish(struct sink *s, uint64_t limit_ns);

/*
 * After sink_finish(); no one writes any more. False: a thread that hangs in write(2) still uses
 * *s, whose memory must stay until the process ends.
 */
bool sink_fini(struct sink *s);

uint64_t sink_lost(struct sink *s);

#endif
