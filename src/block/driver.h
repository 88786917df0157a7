/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formats: what raw, qcow2 and overlays give to block.c, and get from it.
 *
 * block.c checks requests, holds them back, keeps order where a format needs it, and answers. A
 * format carries out one request in one slot. Slots are allocated at open, so nothing is later.
 */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include "block/file.h"

/* First member of a format's own. */
struct slot {
	struct block *block;
	struct block_request *request;
	bool durable; /* on stable storage before slot_finish() */
	/* block.c's */
	bool exclusive;
	int err;
	struct slot *next, **link, *finished_next;
};

struct driver {
	size_t slot_bytes;
	/* Ends in slot_finish(), inside or later. The request is within the device and allowed. */
	void (*start)(struct block *b, struct slot *s);
	/* True: nothing else may be in work in the same units (block->unit). NULL: never. */
	bool (*exclusive)(const struct block *b, const struct block_request *r);
	/*
	 * Reads while the caller waits; any thread. 0 or -errno. buffer is aligned to
	 * FILE_ALIGN_MAX, offset and n are multiples of BLOCK_SECTOR; past the device's end are
	 * zeroes.
	 */
	int (*read_now)(struct block *b, uint64_t offset, void *buffer, size_t n);
	void (*close)(struct block *b); /* nothing in work; frees state, which may be half made */
};

struct block_queue {
	struct block_request *first, **end;
};

struct block {
	const struct driver *driver;
	void *state; /* the format's */
	char *name;  /* of the image, for messages */
	struct loop *loop;
	struct engine *engine;
	bool owns_engine;
	struct block *backing; /* NULL: zeroes */
	struct block_geometry geometry;
	struct block_counters counters;
	enum block_on_error on_enospc, on_eio;
	bool write_through;
	bool frozen;   /* found to be corrupt: nothing is written any more */
	uint64_t unit; /* bytes, a power of 2: see driver.exclusive */
	void (*observe)(void *arg, const struct block_event *e);
	void *observe_arg;

	/* block.c's */
	struct slot *free, *in_work, *finished, **finished_end;
	void *slots;
	unsigned in_work_count, exclusive_count, starting;
	struct block_queue waiting, held, rejected;
	bool paused, draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct task deliver;
};

/* The slot's request is done. The loop's thread. */
void slot_finish(struct slot *s, int err);

/* The image contradicts itself: writes fail with -EIO from now on. The loop's thread. */
void block_freeze(struct block *b, const char *detail);

/*
 * A device without a format as yet: driver, state, geometry and unit are filled in by who opens
 * it, before block_prepare(). NULL: no memory.
 */
struct block *block_new(const char *name, struct loop *l, struct engine *e);
int block_prepare(struct block *b, const struct driver *d, unsigned depth); /* 0 or -ENOMEM */

struct image_params {
	const char *path;
	bool writable;
	enum block_cache cache;
	unsigned depth;
	struct loop *loop;
	struct engine *engine;
	struct block *backing; /* becomes the device's when the call succeeds */
	bool format_stated;    /* as in struct block_image */
};

/* 0, or -1 with *why. */
int raw_open(const struct image_params *p, struct block **out, struct refusal *why);
int qcow2_open(const struct image_params *p, struct block **out, struct refusal *why);
/* A temporary file over base, which becomes the device's when the call succeeds. */
int overlay_open(struct block *base, unsigned depth, struct block **out, struct refusal *why);

/* block_open() with an engine that stays the caller's. */
int block_open_with(const struct block_params *p, struct loop *l, struct engine *e,
		    struct block **out, struct refusal *why);

#endif
