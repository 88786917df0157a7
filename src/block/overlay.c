// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ephemeral disks: what the guest writes goes to a temporary file, and is forgotten.
 *
 * Theory of operation: the temporary file is sparse and of the disk's size; it has no name, so that
 * it is gone however the process ends. A bitmap says for each sector whether it was written since
 * the start. A write goes to the temporary file and then marks its sectors; a read is cut where the
 * marks change, and each part comes from the one or from the other. Nothing has to survive
 * anything, so flushes do nothing.
 *
 * A discard, and zeroes that may be unmapped, make a hole in the temporary file and mark the
 * sectors: they then read as zeroes.
 *
 * The bitmap takes a bit a sector: 32 MiB of addresses for a disk of 128 GiB, of which the host
 * backs with memory only what is touched.
 */
#include "block/driver.h"
#include "block/iov.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

struct overlay {
	struct file *file;
	uint8_t *written; /* a bit a sector */
	size_t written_bytes;
};

struct overlay_slot {
	struct slot slot;
	struct file_op op;
	struct block_request below; /* to the image */
	struct iovec part[IOV_MAX];
	uint64_t moved; /* bytes of the request that were read */
	uint64_t taken; /* bytes of the part in work */
};

static void read_on(struct overlay_slot *s);

static bool is_written(const struct overlay *o, uint64_t sector)
{
	return o->written[sector / 8] >> (sector % 8) & 1;
}

static void mark_written(struct overlay *o, uint64_t offset, uint64_t length)
{
	uint64_t first = offset / BLOCK_SECTOR, end = first + length / BLOCK_SECTOR;

	for (; first < end && first % 8; first++)
		o->written[first / 8] |= (uint8_t)(1u << (first % 8));
	for (; first + 8 <= end; first += 8)
		o->written[first / 8] = 0xff;
	for (; first < end; first++)
		o->written[first / 8] |= (uint8_t)(1u << (first % 8));
}

static void part_done(struct overlay_slot *s, int err)
{
	s->moved += s->taken;
	if (err || s->moved == s->slot.request->length)
		slot_finish(&s->slot, err);
	else
		read_on(s);
}

static void below_done(struct block_request *r, int err)
{
	part_done(container_of(r, struct overlay_slot, below), err);
}

static void op_done(struct file_op *op, int err)
{
	struct overlay_slot *s = container_of(op, struct overlay_slot, op);
	const struct block_request *r = s->slot.request;

	if (r->op == BLOCK_READ) {
		part_done(s, err);
		return;
	}
	if (!err)
		mark_written(s->slot.block->state, r->offset, r->length);
	slot_finish(&s->slot, err);
}

/* Reads up to where the marks change. */
static void read_on(struct overlay_slot *s)
{
	struct block *b = s->slot.block;
	struct overlay *o = b->state;
	const struct block_request *r = s->slot.request;
	uint64_t at = r->offset + s->moved, end = r->offset + r->length, to = at + BLOCK_SECTOR;
	bool here = is_written(o, at / BLOCK_SECTOR);

	while (to < end && is_written(o, to / BLOCK_SECTOR) == here)
		to += BLOCK_SECTOR;
	if (here) {
		s->taken = to - at;
		s->op = (struct file_op){.kind = IO_READ,
					 .offset = at,
					 .length = s->taken,
					 .end_is_zero = true,
					 .iov = r->iov,
					 .iov_count = r->iov_count,
					 .skip = s->moved,
					 .done = op_done};
		file_submit(o->file, &s->op);
		return;
	}
	s->below = (struct block_request){
	    .op = BLOCK_READ, .offset = at, .iov = s->part, .done = below_done};
	s->below.iov_count =
	    iov_part(s->part, IOV_MAX, r->iov, r->iov_count, s->moved, to - at, &s->taken);
	s->below.length = s->taken;
	block_submit(b->backing, &s->below);
}

static void overlay_start(struct block *b, struct slot *slot)
{
	struct overlay_slot *s = (struct overlay_slot *)slot;
	const struct block_request *r = slot->request;
	struct overlay *o = b->state;

	if (r->op == BLOCK_FLUSH) {
		slot_finish(slot, 0);
		return;
	}
	if (r->op == BLOCK_READ) {
		s->moved = 0;
		read_on(s);
		return;
	}
	s->op = (struct file_op){.kind = r->op == BLOCK_WRITE ? IO_WRITE : IO_PUNCH,
				 .offset = r->offset,
				 .length = r->length,
				 .iov = r->iov,
				 .iov_count = r->iov_count,
				 .done = op_done};
	file_submit(o->file, &s->op);
}

static void overlay_close(struct block *b)
{
	struct overlay *o = b->state;

	if (!o)
		return;
	file_close(o->file);
	if (o->written)
		munmap(o->written, o->written_bytes);
	free(o);
}

static const struct driver overlay = {
    .slot_bytes = sizeof(struct overlay_slot),
    .start = overlay_start,
    .close = overlay_close,
};

static int set_up(struct block *b, const struct block *base, struct refusal *why)
{
	struct overlay *o = calloc(1, sizeof(*o));
	void *map;

	b->state = o;
	if (!o)
		return refuse_errno(why, ENOMEM, "--disk", b->name, NULL);
	o->written_bytes = (size_t)(base->geometry.size / BLOCK_SECTOR / 8 + 1);
	map = mmap(NULL, o->written_bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return refuse_errno(why, errno, "--disk", b->name, "ephemeral");
	o->written = map;
	return file_open_temporary(b->engine, base->geometry.size, &o->file, why);
}

int overlay_open(struct block *base, unsigned depth, struct block **out, struct refusal *why)
{
	struct block *b = block_new(base->name, base->loop, base->engine);

	if (!b || block_prepare(b, &overlay, depth)) {
		block_close(b);
		return refuse_errno(why, ENOMEM, "--disk", base->name, NULL);
	}
	if (set_up(b, base, why)) {
		block_close(b);
		return -1;
	}
	b->geometry = base->geometry;
	b->geometry.can_discard = true;
	b->backing = base;
	*out = b;
	return 0;
}
