// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: opening an image.
 *
 * Nothing is written to an image that is opened read-only. For writing, an image must not be marked
 * corrupt or dirty, and the autoclear features, none of which we keep up, are cleared first.
 */
#include "block/qcow2.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FIELD "--disk"

static void set_geometry(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;

	q->cluster_size = 1ull << h->cluster_bits;
	q->entry_bytes = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 16 : 8;
	q->subcluster_bits = q->entry_bytes == 16 ? h->cluster_bits - 5 : h->cluster_bits;
	q->l2_bits = h->cluster_bits - (q->entry_bytes == 16 ? 4 : 3);
	q->meta_bytes =
	    q->cluster_size < FILE_ALIGN_MAX ? (uint32_t)q->cluster_size : FILE_ALIGN_MAX;
	q->refblock_entries = q->cluster_size * 8 >> h->refcount_order;
	q->clean_from = q->file->block_device
			    ? UINT64_MAX
			    : (q->file->size + q->cluster_size - 1) & ~(q->cluster_size - 1);
	q->reaches = q->file->size;
	q->block->unit = q->cluster_size;
	q->block->geometry.size = h->size;
	q->block->geometry.physical_size = q->file->physical;
	q->block->geometry.discard_granularity = (uint32_t)q->cluster_size;
	q->block->geometry.can_discard = q->writable;
}

static int read_header(struct qcow2 *q, struct refusal *why)
{
	/* Up to the longest name that can be in it, in whole blocks. */
	static const size_t room = 1u << 16;
	uint8_t *bytes = aligned_alloc(FILE_ALIGN_MAX, room);
	int err;

	if (!bytes)
		return refuse_errno(why, ENOMEM, FIELD, q->file->path, NULL);
	err = file_read_now(q->file, 0, bytes, room, false);
	if (err)
		err = refuse_errno(why, err, FIELD, q->file->path, "qcow2 header");
	else
		err =
		    qcow2_parse_header(bytes, room, q->file->size, &q->header, q->file->path, why);
	free(bytes);
	return err;
}

static int check_state(const struct qcow2 *q, const struct image_params *p, struct refusal *why)
{
	const struct qcow2_header *h = &q->header;

	if (p->backing && !*h->backing_name)
		return refuse(why, STATUS_USAGE, FIELD, p->path,
			      "rests on no other image, but backing= names one");
	if (!p->backing && *h->backing_name)
		return refuse(why, STATUS_USAGE, FIELD, p->path,
			      "needs backing=FILE: it rests on '%.200s'", h->backing_name);
	if (q->file->alignment > 1u << q->subcluster_bits || q->file->alignment > q->meta_bytes)
		return refuse(why, STATUS_UNAVAILABLE, FIELD, p->path,
			      "qcow2: its clusters are too small for direct I/O here; use "
			      "cache=writeback");
	if (!q->writable)
		return 0;
	if (h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT)
		return refuse(why, STATUS_DATA, FIELD, p->path,
			      "qcow2: is marked corrupt; mend it with qemu-img check -r all, or "
			      "open it with ro");
	if (h->incompatible & QCOW2_INCOMPATIBLE_DIRTY)
		return refuse(why, STATUS_DATA, FIELD, p->path,
			      "qcow2: was not closed (lazy refcounts); mend it with qemu-img check "
			      "-r all, or open it with ro");
	return 0;
}

static int prepare_for_writing(struct qcow2 *q, struct refusal *why)
{
	static const uint64_t none;
	int err = 0;

	if (!q->writable || !q->header.autoclear)
		return 0;
	err = qcow2_write_header(q, 88, &none, sizeof(none));
	if (!err)
		err = qcow2_sync(q);
	return err ? refuse_errno(why, err, FIELD, q->file->path, "qcow2 header") : 0;
}

static int set_up(struct qcow2 *q, const struct image_params *p, struct refusal *why)
{
	int err;

	if (file_open(p->path, p->writable, p->cache, p->engine, &q->file, why) ||
	    read_header(q, why))
		return -1;
	q->writable = p->writable;
	set_geometry(q);
	if (check_state(q, p, why))
		return -1;
	err = qcow2_cache_create(q);
	if (err)
		return refuse_errno(why, err, FIELD, p->path, "qcow2 cache");
	if (qcow2_load_tables(q, why) || qcow2_inflate_create(q, why) ||
	    prepare_for_writing(q, why))
		return -1;
	err = qcow2_start_worker(q);
	return err ? refuse_errno(why, err, FIELD, p->path, "thread") : 0;
}

int qcow2_open(const struct image_params *p, struct block **out, struct refusal *why)
{
	struct block *b = block_new(p->path, p->loop, p->engine);
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!b || !q || block_prepare(b, &qcow2_driver, p->depth)) {
		if (b)
			b->driver = NULL;
		block_close(b);
		free(q);
		return refuse_errno(why, ENOMEM, FIELD, p->path, NULL);
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->work_lock, NULL);
	pthread_mutex_init(&q->job_lock, NULL);
	pthread_cond_init(&q->job_cond, NULL);
	b->state = q;
	q->block = b;
	if (set_up(q, p, why)) {
		block_close(b);
		return -1;
	}
	b->backing = p->backing;
	*out = b;
	return 0;
}
