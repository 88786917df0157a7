// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Raw images: the file is the disk.
 *
 * Theory of operation: a request is one transfer of the file, and where it must be durable and is
 * not a write, a flush after it. The disk's size is the file's when it was opened, rounded up to a
 * sector: what lies between the file's end and the sector's reads as zeroes, and writing there
 * makes the file longer. A file that somebody cuts short later gives -EIO where it ended; one that
 * grows does not make the disk larger.
 *
 * With O_DIRECT the file's size must suit the alignment: else a write of the last sector would
 * leave a longer file behind, and so a larger disk at the next start.
 */
#include "block/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct raw_slot {
	struct slot slot;
	struct file_op op;
	bool sync_next;
};

static struct file *file_of(const struct block *b)
{
	return b->state;
}

static void op_done(struct file_op *op, int err)
{
	struct raw_slot *s = container_of(op, struct raw_slot, op);

	if (!err && s->sync_next) {
		s->sync_next = false;
		op->kind = IO_SYNC;
		file_submit(op->file, op);
		return;
	}
	slot_finish(&s->slot, err);
}

static enum io_kind kind_of(const struct block_request *r)
{
	switch (r->op) {
	case BLOCK_READ:
		return IO_READ;
	case BLOCK_WRITE:
		return IO_WRITE;
	case BLOCK_DISCARD:
		return IO_PUNCH;
	case BLOCK_WRITE_ZEROES:
		return r->flags & BLOCK_MAY_UNMAP ? IO_PUNCH : IO_ZERO;
	case BLOCK_FLUSH:
		break;
	}
	return IO_SYNC;
}

static void raw_start(struct block *b, struct slot *slot)
{
	struct raw_slot *s = (struct raw_slot *)slot;
	const struct block_request *r = slot->request;
	struct file *f = file_of(b);
	int sync = file_sync_state(f);

	if ((r->op == BLOCK_FLUSH || (slot->durable && r->op != BLOCK_READ)) && sync == -EIO) {
		slot_finish(slot, -EIO);
		return;
	}
	if (r->op == BLOCK_FLUSH && sync) {
		slot_finish(slot, 0);
		return;
	}
	s->op = (struct file_op){
	    .kind = kind_of(r),
	    .durable = slot->durable && !sync,
	    .end_is_zero = r->offset + r->length > f->size,
	    .optional = r->op == BLOCK_DISCARD,
	    .offset = r->offset,
	    .length = r->length,
	    .iov = r->iov,
	    .iov_count = r->iov_count,
	    .done = op_done,
	};
	s->sync_next = r->op == BLOCK_WRITE_ZEROES && s->op.durable;
	if (r->op == BLOCK_DISCARD && atomic_load(&f->no_punch))
		slot_finish(slot, 0);
	else
		file_submit(f, &s->op);
}

static int raw_read_now(struct block *b, uint64_t offset, void *buffer, size_t n)
{
	return file_read_now(file_of(b), offset, buffer, n, false);
}

static void raw_close(struct block *b)
{
	file_close(b->state);
}

static const struct driver raw = {
    .slot_bytes = sizeof(struct raw_slot),
    .start = raw_start,
    .read_now = raw_read_now,
    .close = raw_close,
};

#define CONVERT "convert it (qemu-img convert -O qcow2) or say format=raw"
#define UNPACK  "unpack it or say format=raw"

/* How images of other formats start; of a fixed VHD only the end tells. */
static const struct {
	const char *name;
	unsigned offset, bytes;
	const char *magic, *remedy;
} other_formats[] = {
    {"qcow2", 0, 4, "QFI\xfb", "say format=qcow2 or format=raw"},
    {"QED", 0, 4, "QED\0", CONVERT},
    {"VMDK", 0, 4, "KDMV", CONVERT},
    {"VMDK", 0, 4, "COWD", CONVERT},
    {"VMDK", 0, 21, "# Disk DescriptorFile", CONVERT},
    {"VDI", 64, 4, "\x7f\x10\xda\xbe", CONVERT},
    {"VHDX", 0, 8, "vhdxfile", CONVERT},
    {"VHD", 0, 8, "conectix", CONVERT},
    {"Parallels", 0, 8, "WithoutF", CONVERT},
    {"Parallels", 0, 8, "WithouFr", CONVERT},
    {"gzip", 0, 3, "\x1f\x8b\x08", UNPACK},
    {"xz", 0, 6,
     "\xfd"
     "7zXZ\0",
     UNPACK},
    {"zstd", 0, 4, "\x28\xb5\x2f\xfd", UNPACK},
};

/*
 * A file whose format nobody stated is not taken for raw when it starts as an image of another
 * does: who made it meant that it is one, and a guest that writes to it would destroy that; or a
 * guest wrote so, to have it opened as one by somebody else.
 */
static int check_format(struct file *f, struct refusal *why)
{
	static char start[FILE_ALIGN_MAX] __attribute__((aligned(FILE_ALIGN_MAX)));
	int err = file_read_now(f, 0, start, sizeof(start), false);

	if (err)
		return refuse_errno(why, err, "--disk", f->path, NULL);
	for (unsigned i = 0; i < sizeof(other_formats) / sizeof(other_formats[0]); i++) {
		if (memcmp(start + other_formats[i].offset, other_formats[i].magic,
			   other_formats[i].bytes) == 0)
			return refuse(why, STATUS_DATA, "--disk", f->path,
				      "starts as %s files do; %s", other_formats[i].name,
				      other_formats[i].remedy);
	}
	return 0;
}

int raw_open(const struct image_params *p, struct block **out, struct refusal *why)
{
	struct block *b = block_new(p->path, p->loop, p->engine);
	struct file *f = NULL;

	if (!b || block_prepare(b, &raw, p->depth)) {
		block_close(b);
		return refuse_errno(why, ENOMEM, "--disk", p->path, NULL);
	}
	if (file_open(p->path, p->writable, p->cache, p->engine, &f, why))
		goto refused;
	b->state = f;
	if (!p->format_stated && check_format(f, why))
		goto refused;
	if (p->writable && f->size % f->alignment) {
		refuse(why, STATUS_DATA, "--disk", p->path,
		       "its size is not a multiple of %u bytes, which direct I/O needs here; use "
		       "cache=writeback",
		       f->alignment);
		goto refused;
	}
	if (f->size > INT64_MAX - BLOCK_SECTOR) {
		refuse(why, STATUS_DATA, "--disk", p->path, "is too large");
		goto refused;
	}
	b->geometry.size = (f->size + BLOCK_SECTOR - 1) & ~(uint64_t)(BLOCK_SECTOR - 1);
	b->geometry.physical_size = f->physical;
	b->geometry.discard_granularity = f->physical;
	b->geometry.can_discard = p->writable;
	*out = b;
	return 0;
refused:
	block_close(b);
	return -1;
}
