// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: from guest offsets to what is behind them, by L1 and L2 tables.
 *
 * Every entry is checked when it is used: no reserved bits, aligned, within what the refcount table
 * can describe, and not in a place that is known to hold a table. So a guest, or who made the
 * image, cannot have the image's own tables read or written as data.
 */
#include "block/qcow2.h"

#include <endian.h>
#include <string.h>

#define RESERVED_BITS 0x3f000000000001feull /* of an L2 entry that is not compressed */

static uint64_t subcluster_size(const struct qcow2 *q)
{
	return 1ull << q->subcluster_bits;
}

static bool is_covered(const struct qcow2 *q, uint64_t host)
{
	return host >> q->header.cluster_bits < q->reftable_count * q->refblock_entries;
}

bool qcow2_is_table_place(const struct qcow2 *q, uint64_t host)
{
	if (host & (q->cluster_size - 1) || !is_covered(q, host))
		return false;
	for (unsigned i = 0; i < QCOW2_RANGES_MAX; i++) {
		if (host < q->fixed[i].to && q->fixed[i].from < host + q->cluster_size)
			return false;
	}
	return true;
}

bool qcow2_is_data_place(const struct qcow2 *q, uint64_t host)
{
	return qcow2_is_table_place(q, host) && !qcow2_set_has(&q->tables, host);
}

void qcow2_deflated_range(const struct qcow2 *q, uint64_t word, uint64_t *offset, uint64_t *length)
{
	unsigned shift = 62 - (q->header.cluster_bits - 8);
	uint64_t sectors = (word & (QCOW2_COMPRESSED - 1)) >> shift;

	*offset = word & ((1ull << shift) - 1);
	*length = (sectors + 1) * BLOCK_SECTOR - (*offset & (BLOCK_SECTOR - 1));
}

/* --- entries --- */

uint64_t qcow2_entry_place(const struct qcow2 *q, uint64_t guest)
{
	uint64_t table = q->l1[qcow2_l1_index(q, guest)] & QCOW2_OFFSET_MASK;
	uint64_t index = guest >> q->header.cluster_bits & ((1ull << q->l2_bits) - 1);

	return table ? table + index * q->entry_bytes : 0;
}

static struct qcow2_entry parse_entry(const struct qcow2 *q, const uint8_t *at)
{
	struct qcow2_entry e = {0};

	memcpy(&e.word, at, 8);
	e.word = be64toh(e.word);
	if (q->entry_bytes == 16) {
		memcpy(&e.bitmap, at + 8, 8);
		e.bitmap = be64toh(e.bitmap);
	}
	return e;
}

/* -EAGAIN: not in the cache. */
static int entry_cached(struct qcow2 *q, uint64_t guest, struct qcow2_entry *e)
{
	uint64_t place = qcow2_entry_place(q, guest),
		 block = place & ~(uint64_t)(q->meta_bytes - 1);
	const uint8_t *data;

	*e = (struct qcow2_entry){0};
	if (!place)
		return 0;
	data = qcow2_meta_cached(q, block);
	if (!data)
		return -EAGAIN;
	*e = parse_entry(q, data + (place - block));
	return 0;
}

int qcow2_load_l2(struct qcow2 *q, uint64_t guest)
{
	uint64_t place = qcow2_entry_place(q, guest);
	const uint8_t *data;

	return place ? qcow2_meta_load(q, place & ~(uint64_t)(q->meta_bytes - 1), &data) : 0;
}

static int check_entry(struct qcow2 *q, const struct qcow2_entry *e)
{
	uint64_t offset = e->word & QCOW2_OFFSET_MASK, both;

	if (e->word & QCOW2_COMPRESSED) {
		uint64_t length;

		qcow2_deflated_range(q, e->word, &offset, &length);
		if (e->bitmap || !is_covered(q, offset + length))
			return qcow2_found_corrupt(q, "a compressed cluster lies outside");
		return 0;
	}
	if (e->word & RESERVED_BITS)
		return qcow2_found_corrupt(q, "an L2 entry has reserved bits set");
	if (offset && !qcow2_is_data_place(q, offset))
		return qcow2_found_corrupt(q, "an L2 entry points where no data can be");
	if (e->word & QCOW2_ZERO && (q->header.version < 3 || q->entry_bytes == 16))
		return qcow2_found_corrupt(q, "an L2 entry has the zero flag of another format");
	both = e->bitmap & e->bitmap >> 32;
	if ((uint32_t)both || (!offset && (uint32_t)e->bitmap))
		return qcow2_found_corrupt(q, "an L2 entry's bitmap contradicts itself");
	return 0;
}

int qcow2_parse_entry(struct qcow2 *q, const uint8_t *at, struct qcow2_entry *e)
{
	*e = parse_entry(q, at);
	return check_entry(q, e);
}

int qcow2_get_entry(struct qcow2 *q, uint64_t guest, struct qcow2_entry *e)
{
	int err = qcow2_load_l2(q, guest);

	if (!err)
		err = entry_cached(q, guest, e);
	return err ? err : check_entry(q, e);
}

/* --- mappings --- */

/* The subcluster of guest, by its cluster's entry. */
static struct qcow2_mapping map_one(const struct qcow2 *q, const struct qcow2_entry *e,
				    uint64_t guest)
{
	struct qcow2_mapping m = {.kind = QCOW2_UNALLOCATED};
	uint64_t in_cluster = guest & (q->cluster_size - 1);
	unsigned sub = (unsigned)(in_cluster >> q->subcluster_bits);
	uint64_t offset = e->word & QCOW2_OFFSET_MASK;

	m.length = subcluster_size(q) - (guest & (subcluster_size(q) - 1));
	if (e->word & QCOW2_COMPRESSED) {
		m.kind = QCOW2_DEFLATED;
		m.host = e->word;
		m.length = q->cluster_size - in_cluster;
	} else if (q->entry_bytes == 16 ? e->bitmap >> (sub + 32) & 1 : e->word & QCOW2_ZERO) {
		m.kind = QCOW2_ZEROES;
	} else if (q->entry_bytes == 16 ? e->bitmap >> sub & 1 : offset != 0) {
		m.kind = QCOW2_DATA;
		m.host = offset + in_cluster;
		m.writable = (e->word & QCOW2_COPIED) != 0;
	}
	return m;
}

static bool continues(const struct qcow2_mapping *m, const struct qcow2_mapping *next)
{
	if (m->kind != next->kind || m->kind == QCOW2_DEFLATED)
		return false;
	return m->kind != QCOW2_DATA ||
	       (next->host == m->host + m->length && next->writable == m->writable);
}

int qcow2_map_cached(struct qcow2 *q, uint64_t guest, uint64_t length, struct qcow2_mapping *m)
{
	struct qcow2_mapping next;
	struct qcow2_entry e;
	int err = entry_cached(q, guest, &e);

	if (!err)
		err = check_entry(q, &e);
	if (err)
		return err;
	*m = map_one(q, &e, guest);
	while (m->length < length) {
		uint64_t at = guest + m->length;

		if ((at & (q->cluster_size - 1)) == 0 &&
		    (entry_cached(q, at, &e) || check_entry(q, &e)))
			break;
		next = map_one(q, &e, at);
		if (!continues(m, &next))
			break;
		m->length += next.length;
	}
	if (m->length > length)
		m->length = length;
	return 0;
}

int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t length, struct qcow2_mapping *m)
{
	int err = qcow2_load_l2(q, guest);

	return err ? err : qcow2_map_cached(q, guest, length, m);
}
