// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: refcounts, and which clusters are free.
 *
 * Theory of operation: nothing may point to a cluster before its refcount is durable, and nothing
 * may be put in a freed cluster before it is durable that nothing points to it. Both would cost a
 * flush for every cluster, so both are done for many at once.
 *
 * Allocation takes from a stock. To fill it, a number of free clusters get refcount 1, those where
 * anything was written before are made to read as zeroes, and then the file is flushed, once. What
 * is in stock is therefore allocated and zero, durably, and may be linked without further ado. The
 * stock grows with use: a disk that writes little takes little ahead. What is left goes back at
 * close; after a crash it is leaked, which qemu-img check -r leaks mends and nothing else minds.
 *
 * A cluster that loses a reference waits in a list. Once the file was flushed after that, clusters
 * whose last reference it was are emptied by a hole, and go to the stock or lose their refcount.
 *
 * Refcount blocks and a larger refcount table are made as QEMU makes them: a block describes
 * itself, in the first cluster that it covers; a table and the blocks for it lie behind all that
 * the old one covers.
 */
#include "block/qcow2.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define STOCK_FIRST 8u

static uint64_t cluster_of(const struct qcow2 *q, uint64_t host)
{
	return host >> q->header.cluster_bits;
}

/* --- entries of a block: 2^order bits each, big-endian; below 8 bits the lowest come first --- */

static uint64_t get_field(const uint8_t *block, uint64_t index, unsigned order)
{
	unsigned bits = 1u << order, bytes = bits / 8;
	uint64_t value = 0;

	if (bits < 8)
		return block[index * bits / 8] >> (index * bits % 8) & ((1u << bits) - 1);
	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | block[index * bytes + i];
	return value;
}

static void set_field(uint8_t *block, uint64_t index, unsigned order, uint64_t value)
{
	unsigned bits = 1u << order, bytes = bits / 8, shift = (unsigned)(index * bits % 8);
	uint8_t mask;

	if (bits < 8) {
		mask = (uint8_t)(((1u << bits) - 1) << shift);
		block += index * bits / 8;
		*block = (uint8_t)((*block & ~mask) | value << shift);
		return;
	}
	for (unsigned i = bytes; i-- > 0; value >>= 8)
		block[index * bytes + i] = (uint8_t)value;
}

/* Where a cluster's refcount is: a cache block, and an index in it. */
struct place {
	uint64_t block;        /* file offset; 0: the refcount block does not exist */
	uint64_t index, count; /* count: entries in the cache block */
};

static struct place find_place(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t table = cluster / q->refblock_entries, in_block = cluster % q->refblock_entries;
	uint64_t count = (uint64_t)q->meta_bytes * 8 >> q->header.refcount_order;
	struct place p = {.index = in_block % count, .count = count};
	uint64_t offset = table < q->reftable_count ? q->reftable[table] & QCOW2_OFFSET_MASK : 0;

	if (offset)
		p.block = offset + in_block / count * q->meta_bytes;
	return p;
}

int qcow2_get_refcount(struct qcow2 *q, uint64_t host, uint64_t *refcount)
{
	struct place p = find_place(q, cluster_of(q, host));
	const uint8_t *data;
	int err;

	*refcount = 0;
	if (!p.block)
		return 0;
	err = qcow2_meta_load(q, p.block, &data);
	if (!err)
		*refcount = get_field(data, p.index, q->header.refcount_order);
	return err;
}

/* Clusters first[0..n-1] are sorted, or at least mostly: one write for each run in a block. */
static int set_refcounts(struct qcow2 *q, const uint64_t *host, unsigned n, uint64_t value)
{
	unsigned i = 0;
	int err;

	while (i < n) {
		struct place p = find_place(q, cluster_of(q, host[i])), next = p;

		if (!p.block)
			return qcow2_found_corrupt(q, "a refcount block is missing");
		err = qcow2_meta_edit(q, p.block);
		if (err)
			return err;
		while (next.block == p.block) {
			set_field(q->scratch, next.index, q->header.refcount_order, value);
			if (++i == n)
				break;
			next = find_place(q, cluster_of(q, host[i]));
		}
		err = qcow2_meta_write(q, p.block);
		if (err)
			return err;
	}
	return 0;
}

/* --- refcount blocks and table --- */

static int add_table(struct qcow2 *q, uint64_t offset)
{
	int err;

	pthread_mutex_lock(&q->lock);
	err = qcow2_set_add(&q->tables, offset);
	pthread_mutex_unlock(&q->lock);
	return err == -EEXIST ? qcow2_found_corrupt(q, "a free cluster holds a table") : err;
}

static void remove_table(struct qcow2 *q, uint64_t offset)
{
	pthread_mutex_lock(&q->lock);
	qcow2_set_remove(&q->tables, offset);
	pthread_mutex_unlock(&q->lock);
}

/* A refcount block at offset whose first entries, count of them from index, are 1. */
static int write_refblock(struct qcow2 *q, uint64_t offset, uint64_t index, uint64_t count)
{
	int err = 0;

	qcow2_meta_forget(q, offset, q->cluster_size);
	for (uint64_t at = 0; at < q->cluster_size && !err; at += q->meta_bytes) {
		uint64_t entries = (uint64_t)q->meta_bytes * 8 >> q->header.refcount_order;
		uint64_t first = at / q->meta_bytes * entries;

		memset(q->scratch, 0, q->meta_bytes);
		for (uint64_t i = 0; i < entries; i++) {
			if (first + i >= index && first + i < index + count)
				set_field(q->scratch, i, q->header.refcount_order, 1);
		}
		err = qcow2_meta_write(q, offset + at);
	}
	return err;
}

static int write_reftable_entry(struct qcow2 *q, uint64_t index, uint64_t offset)
{
	uint64_t place = q->header.reftable_offset + index * 8, word = htobe64(offset);
	uint64_t block = place & ~(uint64_t)(q->meta_bytes - 1);
	int err = qcow2_meta_edit(q, block);

	if (err)
		return err;
	memcpy(q->scratch + (place - block), &word, 8);
	err = qcow2_meta_write(q, block);
	if (!err)
		q->reftable[index] = offset;
	return err;
}

/* Makes the block that describes cluster, in that very cluster. */
static int make_refblock(struct qcow2 *q, uint64_t cluster)
{
	uint64_t offset = cluster << q->header.cluster_bits;
	int err = add_table(q, offset);

	if (err)
		return err;
	err = write_refblock(q, offset, cluster % q->refblock_entries, 1);
	if (!err)
		err = qcow2_sync(q);
	if (!err)
		err = write_reftable_entry(q, cluster / q->refblock_entries, offset);
	if (err)
		remove_table(q, offset);
	return err;
}

struct growth {
	uint64_t first;                  /* cluster that the new table starts at */
	uint64_t table_clusters, blocks; /* how many of each */
	uint64_t entries;                /* in the new table */
	uint64_t *table;                 /* host order */
};

static int plan_growth(const struct qcow2 *q, struct growth *g)
{
	uint64_t per_cluster = q->cluster_size / 8, wanted;

	g->first = q->reftable_count * q->refblock_entries;
	g->table_clusters = q->reftable_count / per_cluster * 3 / 2 + 1;
	for (g->blocks = 1;; g->blocks = wanted) {
		wanted =
		    (g->table_clusters + g->blocks + q->refblock_entries - 1) / q->refblock_entries;
		while (g->table_clusters * per_cluster < q->reftable_count + wanted)
			g->table_clusters++;
		if (wanted <= g->blocks)
			break;
	}
	g->entries = g->table_clusters * per_cluster;
	if (g->table_clusters * q->cluster_size > QCOW2_REFTABLE_BYTES_MAX)
		return -ENOSPC;
	g->table = calloc(g->entries, 8);
	return g->table ? 0 : -ENOMEM;
}

static int write_new_blocks(struct qcow2 *q, const struct growth *g)
{
	uint64_t left = g->table_clusters + g->blocks, n;
	int err = 0;

	for (uint64_t i = 0; i < g->blocks && !err; i++, left -= n) {
		uint64_t offset = (g->first + g->table_clusters + i) << q->header.cluster_bits;

		n = left < q->refblock_entries ? left : q->refblock_entries;
		err = add_table(q, offset);
		if (!err)
			err = write_refblock(q, offset, 0, n);
		g->table[q->reftable_count + i] = offset;
	}
	return err;
}

static int write_new_table(struct qcow2 *q, const struct growth *g)
{
	uint64_t offset = g->first << q->header.cluster_bits, at, i, word;
	int err = 0;

	qcow2_meta_forget(q, offset, g->table_clusters * q->cluster_size);
	for (at = 0; at < g->entries * 8 && !err; at += q->meta_bytes) {
		for (i = 0; i < q->meta_bytes / 8; i++) {
			word = htobe64(g->table[at / 8 + i]);
			memcpy(q->scratch + i * 8, &word, 8);
		}
		err = qcow2_meta_write(q, offset + at);
	}
	return err ? err : qcow2_sync(q);
}

static void use_new_table(struct qcow2 *q, struct growth *g)
{
	pthread_mutex_lock(&q->lock);
	free(q->reftable);
	q->reftable = g->table;
	q->reftable_count = g->entries;
	q->header.reftable_offset = g->first << q->header.cluster_bits;
	q->header.reftable_clusters = (uint32_t)g->table_clusters;
	q->fixed[2].from = q->header.reftable_offset;
	q->fixed[2].to = q->fixed[2].from + g->table_clusters * q->cluster_size;
	pthread_mutex_unlock(&q->lock);
}

static int grow_reftable(struct qcow2 *q)
{
	uint64_t old = q->header.reftable_offset, old_clusters = q->header.reftable_clusters;
	uint8_t fields[12];
	struct growth g;
	uint64_t word;
	int err = plan_growth(q, &g);

	if (err)
		return err;
	memcpy(g.table, q->reftable, q->reftable_count * 8);
	err = write_new_blocks(q, &g);
	if (!err)
		err = write_new_table(q, &g);
	if (!err) {
		word = htobe64(g.first << q->header.cluster_bits);
		memcpy(fields, &word, 8);
		fields[8] = (uint8_t)(g.table_clusters >> 24);
		fields[9] = (uint8_t)(g.table_clusters >> 16);
		fields[10] = (uint8_t)(g.table_clusters >> 8);
		fields[11] = (uint8_t)g.table_clusters;
		err = qcow2_write_header(q, 48, fields, sizeof(fields));
	}
	if (err) {
		for (uint64_t i = 0; i < g.blocks; i++)
			remove_table(q, g.table[q->reftable_count + i]);
		free(g.table);
		return err;
	}
	use_new_table(q, &g);
	err = qcow2_sync(q);
	for (uint64_t i = 0; i < old_clusters && !err; i++)
		err = qcow2_release(q, old + i * q->cluster_size);
	return err;
}

/* --- the stock --- */

static void put_in_stock(struct qcow2 *q, uint64_t host)
{
	q->free[(q->free_first + q->free_count++) % QCOW2_FREE_MAX] = host;
}

/*
 * Sees to the clusters that wait to lose a reference; all that was written is durable. What nothing
 * refers to any more is emptied, and then, as long as keep allows, put aside in spare[] with its
 * refcount as it is, else it is free.
 */
static int settle(struct qcow2 *q, bool keep, uint64_t *spare, unsigned *spares)
{
	uint64_t refcount;
	int err = 0;

	for (*spares = 0; q->pending_count && !err; q->pending_count -= !err) {
		uint64_t host = q->pending[q->pending_count - 1];

		err = qcow2_get_refcount(q, host, &refcount);
		if (err)
			break;
		if (refcount == 0)
			return qcow2_found_corrupt(q, "a cluster in use has refcount 0");
		if (refcount == 1)
			err = file_zero_now(q->file, host, q->cluster_size, true);
		if (err)
			break;
		if (refcount == 1 && keep && q->free_count + *spares < QCOW2_FREE_MAX / 2) {
			spare[(*spares)++] = host;
			continue;
		}
		err = set_refcounts(q, &host, 1, refcount - 1);
		if (refcount == 1 && cluster_of(q, host) < q->search)
			q->search = cluster_of(q, host);
	}
	return err;
}

static int settle_pending(struct qcow2 *q, bool keep)
{
	uint64_t spare[QCOW2_FREE_MAX / 2];
	unsigned spares;
	int err = settle(q, keep, spare, &spares);

	if (!err && spares)
		err = qcow2_sync(q);
	for (unsigned i = 0; i < spares && !err; i++)
		put_in_stock(q, spare[i]);
	return err;
}

/* Clusters with refcount 0 from q->search on, at most n. Makes refcount blocks on the way. */
static int find_free(struct qcow2 *q, uint64_t *host, unsigned n, unsigned *found)
{
	uint64_t refcount;
	int err = 0;

	for (*found = 0; *found < n && !err; q->search++) {
		uint64_t offset = q->search << q->header.cluster_bits;

		if (q->search >= q->reftable_count * q->refblock_entries) {
			if (*found)
				return 0;
			err = grow_reftable(q);
			q->search--;
			continue;
		}
		if (!find_place(q, q->search).block) {
			if (!qcow2_is_data_place(q, offset))
				return qcow2_found_corrupt(q, "a table has no refcount");
			err = make_refblock(q, q->search);
			continue;
		}
		err = qcow2_get_refcount(q, offset, &refcount);
		if (!err && refcount == 0) {
			if (!qcow2_is_data_place(q, offset))
				return qcow2_found_corrupt(q, "a table has refcount 0");
			host[(*found)++] = offset;
		}
	}
	return err;
}

/*
 * The file reaches to the clusters' end, so that none lies past it whatever is lost later: readers
 * would find zeroes there, but qemu-img check calls it corrupt.
 */
static int reach(struct qcow2 *q, const uint64_t *host, unsigned n)
{
	uint64_t end = 0;
	int err;

	for (unsigned i = 0; i < n; i++) {
		if (host[i] + q->cluster_size > end)
			end = host[i] + q->cluster_size;
	}
	if (end <= q->reaches)
		return 0;
	memset(q->scratch, 0, q->meta_bytes);
	err = file_write_now(q->file, end - q->meta_bytes, q->scratch, q->meta_bytes);
	if (!err)
		q->reaches = end;
	return err;
}

static int fill_stock(struct qcow2 *q)
{
	uint64_t host[QCOW2_FREE_MAX / 2];
	unsigned n = q->reserve_next, found;
	int err;

	if (q->pending_count) {
		err = qcow2_sync(q);
		if (!err)
			err = settle_pending(q, true);
		if (err || q->free_count)
			return err;
	}
	err = find_free(q, host, n, &found);
	for (unsigned i = 0; i < found && !err; i++) {
		if (host[i] < q->clean_from)
			err = file_zero_now(q->file, host[i], q->cluster_size, true);
	}
	if (!err)
		err = reach(q, host, found);
	if (!err)
		err = set_refcounts(q, host, found, 1);
	if (!err)
		err = qcow2_sync(q);
	if (err)
		return err;
	for (unsigned i = 0; i < found; i++)
		put_in_stock(q, host[i]);
	if (2 * n <= QCOW2_FREE_MAX / 2 && 2ull * n * q->cluster_size <= 64ull << 20)
		q->reserve_next = 2 * n;
	return 0;
}

int qcow2_allocate(struct qcow2 *q, uint64_t *host)
{
	int err = 0;

	if (!q->reserve_next)
		q->reserve_next = STOCK_FIRST;
	if (!q->free_count)
		err = fill_stock(q);
	if (err)
		return err;
	*host = q->free[q->free_first];
	q->free_first = (q->free_first + 1) % QCOW2_FREE_MAX;
	q->free_count--;
	return 0;
}

int qcow2_release(struct qcow2 *q, uint64_t host)
{
	int err = 0;

	if (q->pending_count == QCOW2_PENDING_MAX) {
		err = qcow2_sync(q);
		if (!err)
			err = settle_pending(q, true);
	}
	if (!err)
		q->pending[q->pending_count++] = host;
	return err;
}

int qcow2_release_entry(struct qcow2 *q, uint64_t word, bool punch)
{
	uint64_t host = word & QCOW2_OFFSET_MASK, length, refcount = 0;
	int err = 0;

	if (!(word & QCOW2_COMPRESSED)) {
		if (host && punch)
			err = qcow2_get_refcount(q, host, &refcount);
		if (host && punch && !err && refcount == 1)
			err = file_zero_now(q->file, host, q->cluster_size, true);
		return host && !err ? qcow2_release(q, host) : err;
	}
	/* Several may lie in one host cluster: it has one reference for each. */
	qcow2_deflated_range(q, word, &host, &length);
	length += host & (q->cluster_size - 1);
	host &= ~(q->cluster_size - 1);
	for (uint64_t at = 0; at < length && !err; at += q->cluster_size) {
		if (!qcow2_is_data_place(q, host + at))
			return qcow2_found_corrupt(q, "a compressed cluster lies in a table");
		err = qcow2_release(q, host + at);
	}
	return err;
}

int qcow2_settle_refcounts(struct qcow2 *q)
{
	uint64_t host;
	int err = qcow2_sync(q);

	if (!err)
		err = settle_pending(q, false);
	while (q->free_count && !err) {
		err = qcow2_allocate(q, &host);
		if (!err)
			err = set_refcounts(q, &host, 1, 0);
	}
	return err ? err : qcow2_sync(q);
}
