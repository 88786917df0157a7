// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: making guest clusters writable in place, and making them zero.
 *
 * Theory of operation: a write never carries its data through here. What it needs is that its
 * clusters have a place in the file of their own; once they have one, with the content that the
 * guest saw before, the write goes there like any other. So an L2 entry always points to what the
 * guest last flushed or something newer, whatever a crash leaves of what came after.
 *
 * In two steps, so that many share a flush. Preparing takes a cluster from the stock, which is zero
 * and allocated durably, and copies to it what the guest sees now, unless that is zeroes. Linking
 * flushes if anything was copied, writes the L2 entries, and releases what they pointed to before.
 *
 * An L2 table that a snapshot shares is copied in the same manner before its first change. A new
 * table is a cluster from the stock: its zeroes say "unallocated", which is what was there before,
 * so the L1 entry may be written at once.
 */
#include "block/qcow2.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static uint64_t place_of(const struct qcow2_entry *e)
{
	return e->word & QCOW2_COMPRESSED ? 0 : e->word & QCOW2_OFFSET_MASK;
}

/* --- L2 tables --- */

static int write_l1_entry(struct qcow2 *q, uint64_t index, uint64_t word)
{
	uint64_t place = q->header.l1_offset + index * 8, stored = htobe64(word);
	uint64_t block = place & ~(uint64_t)(q->meta_bytes - 1);
	int err = qcow2_meta_edit(q, block);

	if (err)
		return err;
	memcpy(q->scratch + (place - block), &stored, 8);
	err = qcow2_meta_write(q, block);
	if (err)
		return err;
	pthread_mutex_lock(&q->lock);
	q->l1[index] = word;
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* What stands in a shared table is shared too: no entry may say that it is not. */
static int copy_table(struct qcow2 *q, uint64_t from, uint64_t to)
{
	int err = 0;

	for (uint64_t at = 0; at < q->cluster_size && !err; at += q->meta_bytes) {
		err = qcow2_meta_edit(q, from + at);
		for (unsigned i = 0; i < q->meta_bytes; i += q->entry_bytes) {
			if (!(q->scratch[i] & (QCOW2_COMPRESSED >> 56)))
				q->scratch[i] &= (uint8_t) ~(QCOW2_COPIED >> 56);
		}
		if (!err)
			err = qcow2_meta_write(q, to + at);
	}
	return err ? err : qcow2_sync(q);
}

static int replace_l2(struct qcow2 *q, uint64_t index, uint64_t old)
{
	uint64_t table;
	int err = qcow2_allocate(q, &table);

	if (err)
		return err;
	qcow2_meta_forget(q, table, q->cluster_size);
	pthread_mutex_lock(&q->lock);
	err = qcow2_set_add(&q->tables, table);
	pthread_mutex_unlock(&q->lock);
	if (err)
		return err == -EEXIST ? qcow2_found_corrupt(q, "a free cluster holds a table")
				      : err;
	if (old)
		err = copy_table(q, old, table);
	if (!err)
		err = write_l1_entry(q, index, table | QCOW2_COPIED);
	pthread_mutex_lock(&q->lock);
	if (err)
		qcow2_set_remove(&q->tables, table);
	else if (old)
		qcow2_set_remove(&q->tables, old);
	pthread_mutex_unlock(&q->lock);
	if (err)
		return err;
	return old ? qcow2_release(q, old) : 0;
}

/* The L2 table of guest is there, and only the disk's own. */
static int own_l2(struct qcow2 *q, uint64_t guest)
{
	uint64_t index = qcow2_l1_index(q, guest), word = q->l1[index], refcount;
	uint64_t table = word & QCOW2_OFFSET_MASK;
	int err;

	if (table && word & QCOW2_COPIED)
		return 0;
	if (!table)
		return replace_l2(q, index, 0);
	err = qcow2_get_refcount(q, table, &refcount);
	if (err)
		return err;
	if (refcount == 0)
		return qcow2_found_corrupt(q, "an L2 table has refcount 0");
	return refcount == 1 ? write_l1_entry(q, index, table | QCOW2_COPIED)
			     : replace_l2(q, index, table);
}

/* --- preparing --- */

static bool is_zero(const uint8_t *p, uint64_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int put(struct qcow2 *q, uint64_t host, uint64_t n)
{
	q->link_needs_sync = true;
	return file_write_now(q->file, host, q->cluster, n);
}

/*
 * Puts what the guest sees at [guest, guest + n), n bytes that are not allocated, to host. clean:
 * there are zeroes already. zero: that is what it sees.
 */
static int put_old(struct qcow2 *q, uint64_t guest, uint64_t n, uint64_t host, bool zero,
		   bool clean)
{
	struct block *backing = q->block->backing;
	int err;

	if (!zero && backing && guest < backing->geometry.size) {
		qcow2_inflate_forget(q);
		err = backing->driver->read_now(backing, guest, q->cluster, n);
		if (err)
			return err;
		if (!is_zero(q->cluster, n))
			return put(q, host, n);
	}
	if (clean)
		return 0;
	q->link_needs_sync = true;
	return file_zero_now(q->file, host, n, false);
}

static int copy_cluster(struct qcow2 *q, uint64_t from, uint64_t to)
{
	int err;

	qcow2_inflate_forget(q);
	err = file_read_now(q->file, from, q->cluster, q->cluster_size, false);
	return err ? err : put(q, to, q->cluster_size);
}

/* The subclusters of a cluster that [from, to) touches, as bits; all without extended L2. */
static uint64_t touched(const struct qcow2 *q, uint64_t from, uint64_t to)
{
	unsigned first, last;

	if (q->entry_bytes == 8)
		return 0;
	first = (unsigned)((from & (q->cluster_size - 1)) >> q->subcluster_bits);
	last = (unsigned)(((to - 1) & (q->cluster_size - 1)) >> q->subcluster_bits);
	return (2ull << last) - (1ull << first);
}

/* The old content of the subclusters in bits that are not allocated. */
static int put_old_subclusters(struct qcow2 *q, struct qcow2_link *l, uint64_t bits, bool clean)
{
	uint64_t host = place_of(&l->new), size = 1ull << q->subcluster_bits;
	int err = 0;

	if (q->entry_bytes == 8)
		return put_old(q, l->guest, q->cluster_size, host, l->old.word & QCOW2_ZERO, clean);
	for (unsigned i = 0; i < QCOW2_SUBCLUSTERS && !err; i++) {
		if (bits >> i & 1 && !(l->old.bitmap >> i & 1))
			err = put_old(q, l->guest + i * size, size, host + i * size,
				      l->old.bitmap >> (i + 32) & 1, clean);
	}
	return err;
}

/* Where the cluster will be, and what of its content is there. */
static int place_cluster(struct qcow2 *q, struct qcow2_link *l, uint64_t bits)
{
	uint64_t old = place_of(&l->old), refcount = 1, host = old;
	bool data = q->entry_bytes == 16 || !(l->old.word & QCOW2_ZERO);
	int err = 0;

	if (old && !(l->old.word & QCOW2_COPIED))
		err = qcow2_get_refcount(q, old, &refcount);
	if (!err && refcount == 0)
		return qcow2_found_corrupt(q, "a data cluster has refcount 0");
	if (!err && (!old || refcount > 1))
		err = qcow2_allocate(q, &host);
	if (err)
		return err;
	l->new.word = host | QCOW2_COPIED;
	if (l->old.word & QCOW2_COMPRESSED) {
		err = qcow2_inflate_cluster(q, l->old.word);
		return err ? err : put(q, host, q->cluster_size);
	}
	if (old && host != old && data)
		err = copy_cluster(q, old, host);
	if (err || (old && q->entry_bytes == 8 && data))
		return err;
	return put_old_subclusters(q, l, bits, host != old && !(old && data));
}

static bool is_planned(const struct qcow2 *q, uint64_t guest)
{
	for (unsigned i = 0; i < q->link_count; i++) {
		if (q->link[i].guest == guest)
			return true;
	}
	return false;
}

/* The part [from, to) of one cluster. */
static int prepare_cluster(struct qcow2 *q, uint64_t from, uint64_t to)
{
	uint64_t bits = touched(q, from, to);
	struct qcow2_link *l = &q->link[q->link_count];
	int err;

	*l = (struct qcow2_link){.guest = from & ~(q->cluster_size - 1)};
	err = own_l2(q, from);
	if (!err)
		err = qcow2_get_entry(q, from, &l->old);
	if (err)
		return err;
	if (l->old.word & QCOW2_COPIED && !(l->old.word & (QCOW2_ZERO | QCOW2_COMPRESSED)) &&
	    place_of(&l->old) && (bits & ~l->old.bitmap) == 0)
		return 0;
	l->new.bitmap = (l->old.bitmap | bits) & ~(bits << 32);
	if (l->old.word & QCOW2_COMPRESSED && q->entry_bytes == 16)
		l->new.bitmap = UINT32_MAX;
	err = place_cluster(q, l, bits);
	if (!err)
		q->link_count++;
	else if (place_of(&l->new) && place_of(&l->new) != place_of(&l->old))
		qcow2_release(q, place_of(&l->new)); /* it fails already */
	return err;
}

int qcow2_prepare(struct qcow2 *q, uint64_t at, uint64_t length)
{
	uint64_t end = at + length, to;
	int err = 0;

	for (; at < end && !err && q->link_count < QCOW2_LINKS_MAX; at = to) {
		to = (at & ~(q->cluster_size - 1)) + q->cluster_size;
		if (to > end)
			to = end;
		if (!is_planned(q, at & ~(q->cluster_size - 1)))
			err = prepare_cluster(q, at, to);
	}
	return err;
}

/* --- linking --- */

static void store_entry(const struct qcow2 *q, uint8_t *at, const struct qcow2_entry *e)
{
	uint64_t word = htobe64(e->word), bitmap = htobe64(e->bitmap);

	memcpy(at, &word, 8);
	if (q->entry_bytes == 16)
		memcpy(at + 8, &bitmap, 8);
}

/* Writes the entries from *i on that lie in one block; moves *i behind them. */
static int link_block(struct qcow2 *q, unsigned *i)
{
	uint64_t place = qcow2_entry_place(q, q->link[*i].guest);
	uint64_t block = place & ~(uint64_t)(q->meta_bytes - 1);
	int err = qcow2_meta_edit(q, block);

	if (err)
		return err;
	for (; *i < q->link_count; ++*i) {
		place = qcow2_entry_place(q, q->link[*i].guest);
		if ((place & ~(uint64_t)(q->meta_bytes - 1)) != block)
			break;
		store_entry(q, q->scratch + (place - block), &q->link[*i].new);
	}
	return qcow2_meta_write(q, block);
}

static int by_guest(const void *x, const void *y)
{
	const struct qcow2_link *a = x, *b = y;

	return (a->guest > b->guest) - (a->guest < b->guest);
}

int qcow2_link(struct qcow2 *q)
{
	int err = q->link_needs_sync ? qcow2_sync(q) : 0;
	unsigned i;

	/* Neighbours share a write. */
	qsort(q->link, q->link_count, sizeof(q->link[0]), by_guest);
	for (i = 0; i < q->link_count && !err;)
		err = link_block(q, &i);
	for (i = 0; i < q->link_count && !err; i++) {
		const struct qcow2_link *l = &q->link[i];

		if (place_of(&l->old) != place_of(&l->new))
			err = qcow2_release_entry(q, l->old.word, false);
	}
	q->link_count = 0;
	q->link_needs_sync = false;
	return err;
}

/* --- zeroes --- */

/* What makes the cluster read as zeroes. False: nothing needs to change. */
static bool zero_entry(const struct qcow2 *q, const struct qcow2_entry *old, bool unmap,
		       bool discard, struct qcow2_entry *new)
{
	bool keep = !unmap && q->header.version >= 3 && place_of(old) && old->word & QCOW2_COPIED;
	bool unallocated = !(old->word & ~QCOW2_COPIED) && !old->bitmap;
	bool covers = q->block->backing != NULL; /* it has to hide something */

	*new = (struct qcow2_entry){0};
	if (unallocated && (discard || !covers))
		return false;
	if (keep)
		new->word = place_of(old) | QCOW2_COPIED;
	if (keep || covers) {
		if (q->entry_bytes == 16)
			new->bitmap = (uint64_t)UINT32_MAX << 32;
		else
			new->word |= QCOW2_ZERO;
	}
	return new->word != old->word || new->bitmap != old->bitmap;
}

/* The clusters of [*at, end) whose entries lie in one block; moves *at behind them. */
static int zero_block(struct qcow2 *q, uint64_t *at, uint64_t end, bool unmap, bool discard)
{
	uint64_t released[FILE_ALIGN_MAX / 8];
	uint64_t place = qcow2_entry_place(q, *at), block = place & ~(uint64_t)(q->meta_bytes - 1);
	unsigned n = 0;
	bool changed = false;
	int err = qcow2_meta_edit(q, block);

	for (; !err && *at < end && place - block < q->meta_bytes;
	     *at += q->cluster_size, place += q->entry_bytes) {
		uint8_t *stored = q->scratch + (place - block);
		struct qcow2_entry old, new;

		err = qcow2_parse_entry(q, stored, &old);
		if (err || !zero_entry(q, &old, unmap, discard, &new))
			continue;
		store_entry(q, stored, &new);
		changed = true;
		if (place_of(&old) != place_of(&new) || old.word & QCOW2_COMPRESSED)
			released[n++] = old.word;
	}
	if (!err && changed)
		err = qcow2_meta_write(q, block);
	for (unsigned i = 0; i < n && !err; i++)
		err = qcow2_release_entry(q, released[i], true);
	return err;
}

int qcow2_zero_clusters(struct qcow2 *q, uint64_t at, uint64_t length, bool unmap, bool discard)
{
	uint64_t end = at + length, span = 1ull << (q->l2_bits + q->header.cluster_bits);
	bool covers = q->block->backing != NULL;
	int err = 0;

	while (at < end && !err) {
		bool none = !(q->l1[qcow2_l1_index(q, at)] & QCOW2_OFFSET_MASK);

		if (none && (discard || !covers)) {
			at = (at & ~(span - 1)) + span;
			continue;
		}
		err = own_l2(q, at);
		if (!err)
			err = zero_block(q, &at, end, unmap, discard);
	}
	return err;
}
