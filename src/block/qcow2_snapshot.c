// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: the table of internal snapshots. They are shown, and what they share with the disk is left
 * alone when the disk is written; they are neither made, nor taken back, nor deleted.
 */
#include "block/qcow2.h"
#include "core/text.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_BYTES 40u

static uint64_t get(const uint8_t *bytes, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void copy_text(char *dst, size_t room, const uint8_t *src, size_t n)
{
	if (n > room - 1)
		n = room - 1;
	memcpy(dst, src, n);
	dst[n] = '\0';
	text_sanitize(dst);
}

struct table {
	struct qcow2 *q;
	uint8_t *bytes;
	uint64_t length;
};

/* One entry at *at; moves *at behind it. NULL, or what is wrong with it. */
static const char *parse(const struct table *t, uint64_t *at, struct qcow2_snapshot *s)
{
	const uint8_t *b = t->bytes + *at;
	uint64_t room = t->length - *at, extra, id, name, l1_offset, l1_count, whole;

	if (room < ENTRY_BYTES)
		return "a snapshot lies past the file's end";
	l1_offset = get(b, 8);
	l1_count = get(b + 8, 4);
	id = get(b + 12, 2);
	name = get(b + 14, 2);
	s->date_s = (uint32_t)get(b + 16, 4);
	s->vm_state_size = get(b + 32, 4);
	extra = get(b + 36, 4);
	whole = ENTRY_BYTES + extra + id + name;
	if (extra > 1024 || whole > room)
		return "a snapshot's extra data is too long";
	if (l1_count > QCOW2_L1_BYTES_MAX / 8 || l1_offset & (t->q->cluster_size - 1) ||
	    l1_offset > t->q->file->size || l1_count * 8 > t->q->file->size - l1_offset)
		return "a snapshot's L1 table does not lie in the file";
	s->disk_size = t->q->header.size;
	if (extra >= 8)
		s->vm_state_size = get(b + ENTRY_BYTES, 8);
	if (extra >= 16)
		s->disk_size = get(b + ENTRY_BYTES + 8, 8);
	copy_text(s->id, sizeof(s->id), b + ENTRY_BYTES + extra, id);
	copy_text(s->name, sizeof(s->name), b + ENTRY_BYTES + extra + id, name);
	*at += (whole + 7) & ~7ull;
	if (*at > t->length)
		*at = t->length;
	return NULL;
}

static int load(struct table *t, struct refusal *why)
{
	const struct qcow2_header *h = &t->q->header;
	uint64_t most = (uint64_t)h->snapshot_count * (ENTRY_BYTES + 1024 + 2 * 65536);
	size_t room;
	int err;

	t->length = t->q->file->size - h->snapshot_offset;
	if (t->length > most)
		t->length = most;
	if (t->length > QCOW2_SNAPSHOT_TABLE_MAX)
		t->length = QCOW2_SNAPSHOT_TABLE_MAX;
	room = (t->length + FILE_ALIGN_MAX - 1) & ~(size_t)(FILE_ALIGN_MAX - 1);
	t->bytes = aligned_alloc(FILE_ALIGN_MAX, room);
	if (!t->bytes)
		return refuse_errno(why, ENOMEM, "--disk", t->q->file->path, "snapshots");
	err = file_read_now(t->q->file, h->snapshot_offset, t->bytes, room, false);
	return err ? refuse_errno(why, err, "--disk", t->q->file->path, "snapshots") : 0;
}

int qcow2_read_snapshots(struct qcow2 *q, void (*fn)(void *arg, const struct qcow2_snapshot *s),
			 void *arg, struct refusal *why)
{
	struct table t = {.q = q};
	struct qcow2_snapshot s;
	const char *wrong = NULL;
	uint64_t at = 0;
	int err;

	if (!q->header.snapshot_count)
		return 0;
	err = load(&t, why);
	for (uint32_t i = 0; !err && !wrong && i < q->header.snapshot_count; i++) {
		wrong = parse(&t, &at, &s);
		if (!wrong && fn)
			fn(arg, &s);
	}
	if (wrong)
		err =
		    refuse(why, STATUS_DATA, "--disk", q->file->path, "qcow2: corrupt: %s", wrong);
	q->fixed[3] =
	    (struct qcow2_range){q->header.snapshot_offset, q->header.snapshot_offset + at};
	free(t.bytes);
	return err;
}
