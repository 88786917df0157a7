// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: the header and the two tables that stay in memory, read and checked.
 *
 * Whatever the header says is compared with what it may be before anything is computed from it:
 * sizes have limits (those that QEMU has), tables lie whole and aligned in the file, and unknown
 * incompatible features refuse. The names of backing files in it are never opened, only shown.
 */
#include "block/qcow2.h"
#include "core/text.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FIELD      "--disk"
#define V2_LENGTH  72u
#define V3_LENGTH  104u
#define KNOWN_BITS 0x1full

/* A number in the header. */
static uint64_t get(const uint8_t *bytes, unsigned at, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value = value << 8 | bytes[at + i];
	return value;
}

struct parse {
	const uint8_t *bytes;
	size_t n;
	uint64_t file_size;
	struct qcow2_header *h;
	const char *path;
	struct refusal *why;
};

#define bad(p, ...) refuse((p)->why, STATUS_DATA, FIELD, (p)->path, "qcow2: " __VA_ARGS__)

static void read_fields(const struct parse *p)
{
	struct qcow2_header *h = p->h;
	const uint8_t *b = p->bytes;

	memset(h, 0, sizeof(*h));
	h->version = (uint32_t)get(b, 4, 4);
	h->cluster_bits = (uint32_t)get(b, 20, 4);
	h->size = get(b, 24, 8);
	h->l1_count = (uint32_t)get(b, 36, 4);
	h->l1_offset = get(b, 40, 8);
	h->reftable_offset = get(b, 48, 8);
	h->reftable_clusters = (uint32_t)get(b, 56, 4);
	h->snapshot_count = (uint32_t)get(b, 60, 4);
	h->snapshot_offset = get(b, 64, 8);
	h->refcount_order = 4;
	h->header_length = V2_LENGTH;
	if (h->version < 3)
		return;
	h->incompatible = get(b, 72, 8);
	h->compatible = get(b, 80, 8);
	h->autoclear = get(b, 88, 8);
	h->refcount_order = (uint32_t)get(b, 96, 4);
	h->header_length = (uint32_t)get(b, 100, 4);
	if (h->header_length > V3_LENGTH)
		h->compression = b[V3_LENGTH];
}

static int check_features(const struct parse *p)
{
	const struct qcow2_header *h = p->h;
	uint64_t unknown = h->incompatible & ~KNOWN_BITS;
	uint32_t crypt = (uint32_t)get(p->bytes, 32, 4);

	if (unknown)
		return bad(p, "needs feature %d, which this version does not know",
			   __builtin_ctzll(unknown));
	if (h->incompatible & QCOW2_INCOMPATIBLE_DATA_FILE)
		return bad(p, "has an external data file, which this version does not open");
	if (crypt)
		return bad(p, "is encrypted (%s), which this version cannot read",
			   crypt == 1   ? "AES"
			   : crypt == 2 ? "LUKS"
					: "unknown method");
	if (h->compression > 1)
		return bad(p, "compression type %u is unknown", h->compression);
	if (!h->compression != !(h->incompatible & QCOW2_INCOMPATIBLE_COMPRESSION))
		return bad(p, "compression type and incompatible features contradict each other");
	if ((h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2) && h->cluster_bits < 14)
		return bad(p, "extended L2 entries with clusters of %u bytes",
			   1u << h->cluster_bits);
	return 0;
}

/* A table of n bytes lies whole and aligned in the file. */
static bool is_in_file(const struct parse *p, uint64_t offset, uint64_t n)
{
	return (offset & ((1ull << p->h->cluster_bits) - 1)) == 0 && offset <= p->file_size &&
	       n <= p->file_size - offset;
}

static int check_tables(const struct parse *p)
{
	const struct qcow2_header *h = p->h;
	unsigned entry_bits = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 4 : 3;
	unsigned l1_bits = 2 * h->cluster_bits - entry_bits; /* of guest bytes behind an L1 entry */
	uint64_t needed = (h->size >> l1_bits) + ((h->size & ((1ull << l1_bits) - 1)) != 0);
	uint64_t reftable_bytes = (uint64_t)h->reftable_clusters << h->cluster_bits;

	if (h->l1_count > QCOW2_L1_BYTES_MAX / 8)
		return bad(p, "the L1 table of %u entries is too large", h->l1_count);
	if (h->l1_count < needed)
		return bad(p, "the L1 table of %u entries is too small", h->l1_count);
	if (h->l1_count && (!h->l1_offset || !is_in_file(p, h->l1_offset, h->l1_count * 8ull)))
		return bad(p, "the L1 table does not lie in the file");
	if (!h->reftable_clusters)
		return bad(p, "there is no refcount table");
	if (reftable_bytes > QCOW2_REFTABLE_BYTES_MAX)
		return bad(p, "the refcount table of %u clusters is too large",
			   h->reftable_clusters);
	if (!h->reftable_offset || !is_in_file(p, h->reftable_offset, reftable_bytes))
		return bad(p, "the refcount table does not lie in the file");
	if (h->snapshot_count > QCOW2_SNAPSHOTS_MAX)
		return bad(p, "%u snapshots are too many", h->snapshot_count);
	if (h->snapshot_count && (!h->snapshot_offset || !is_in_file(p, h->snapshot_offset, 40)))
		return bad(p, "the snapshot table does not lie in the file");
	return 0;
}

static int read_backing_name(const struct parse *p)
{
	uint64_t offset = get(p->bytes, 8, 8);
	uint32_t length = (uint32_t)get(p->bytes, 16, 4);
	uint64_t room = 1ull << p->h->cluster_bits;

	if (!offset)
		return 0;
	if (length > QCOW2_BACKING_NAME_MAX)
		return bad(p, "the backing file's name of %u bytes is too long", length);
	if (room > p->n)
		room = p->n;
	if (offset < p->h->header_length || offset > room || length > room - offset)
		return bad(p, "the backing file's name does not lie in the header");
	memcpy(p->h->backing_name, p->bytes + offset, length);
	text_sanitize(p->h->backing_name);
	return 0;
}

int qcow2_parse_header(const uint8_t *bytes, size_t n, uint64_t file_size, struct qcow2_header *h,
		       const char *path, struct refusal *why)
{
	struct parse p = {bytes, n, file_size, h, path, why};

	if (n < V3_LENGTH + 8 || file_size < V2_LENGTH || get(bytes, 0, 4) != QCOW2_MAGIC)
		return bad(&p, "this is no qcow2 image");
	read_fields(&p);
	if (h->version < 2 || h->version > 3)
		return bad(&p, "version %u is unknown", h->version);
	if (h->cluster_bits < 9 || h->cluster_bits > 21)
		return bad(&p, "clusters of 2^%u bytes are not possible", h->cluster_bits);
	if (h->version >= 3 &&
	    (h->header_length < V3_LENGTH || h->header_length > 1ull << h->cluster_bits))
		return bad(&p, "a header of %u bytes is not possible", h->header_length);
	if (h->refcount_order > 6)
		return bad(&p, "refcounts of 2^%u bits are not possible", h->refcount_order);
	if (h->size > INT64_MAX || h->size % BLOCK_SECTOR)
		return bad(&p, "a size of %llu bytes is not possible", (unsigned long long)h->size);
	if (check_features(&p) || check_tables(&p))
		return -1;
	return read_backing_name(&p);
}

/* --- tables --- */

static int load_table(struct qcow2 *q, uint64_t offset, uint64_t bytes, uint64_t **out)
{
	/* Whole blocks, for O_DIRECT. */
	size_t room = (bytes + FILE_ALIGN_MAX - 1) & ~(uint64_t)(FILE_ALIGN_MAX - 1);
	int err;

	*out = aligned_alloc(FILE_ALIGN_MAX, room ? room : FILE_ALIGN_MAX);
	if (!*out)
		return -ENOMEM;
	err = file_read_now(q->file, offset, *out, room, false);
	for (size_t i = 0; i < bytes / 8; i++)
		(*out)[i] = be64toh((*out)[i]);
	return err;
}

/* The tables that entries point to are each there once, and nowhere else. */
static int note_tables(struct qcow2 *q, const uint64_t *entry, uint64_t n, const char **what)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t offset = entry[i] & QCOW2_OFFSET_MASK;
		int err;

		if (!offset)
			continue;
		if (!qcow2_is_table_place(q, offset)) {
			*what = "a table lies where none can be";
			return -EIO;
		}
		err = qcow2_set_add(&q->tables, offset);
		if (err) {
			*what = "two tables lie in one place";
			return err;
		}
	}
	return 0;
}

static void note_fixed(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;

	q->fixed[0] = (struct qcow2_range){0, q->cluster_size};
	q->fixed[1] = (struct qcow2_range){h->l1_offset, h->l1_offset + h->l1_count * 8ull};
	q->fixed[2] = (struct qcow2_range){
	    h->reftable_offset, h->reftable_offset + h->reftable_clusters * q->cluster_size};
}

static bool fixed_overlap(const struct qcow2 *q)
{
	for (unsigned i = 0; i < QCOW2_RANGES_MAX; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (q->fixed[i].from < q->fixed[j].to && q->fixed[j].from < q->fixed[i].to)
				return true;
		}
	}
	return false;
}

int qcow2_load_tables(struct qcow2 *q, struct refusal *why)
{
	const struct qcow2_header *h = &q->header;
	struct parse p = {.path = q->file->path, .why = why};
	const char *what = "no memory for its tables";
	int err;

	note_fixed(q);
	q->reftable_count = h->reftable_clusters * (q->cluster_size / 8);
	err = load_table(q, h->l1_offset, h->l1_count * 8ull, &q->l1);
	if (!err)
		err = load_table(q, h->reftable_offset, q->reftable_count * 8, &q->reftable);
	if (err)
		return refuse_errno(why, err, FIELD, q->file->path, "qcow2 tables");
	if (qcow2_read_snapshots(q, NULL, NULL, why))
		return -1;
	if (fixed_overlap(q))
		return bad(&p, "corrupt: header and tables overlap");
	err = note_tables(q, q->l1, h->l1_count, &what);
	if (!err)
		err = note_tables(q, q->reftable, q->reftable_count, &what);
	return err ? bad(&p, "corrupt: %s", what) : 0;
}

/* --- changes --- */

int qcow2_write_header(struct qcow2 *q, unsigned at, const void *bytes, unsigned n)
{
	int err = qcow2_meta_edit(q, 0);

	if (err)
		return err;
	memcpy(q->scratch + at, bytes, n);
	return qcow2_meta_write(q, 0);
}

int qcow2_mark_corrupt(struct qcow2 *q)
{
	uint64_t bits = htobe64(q->header.incompatible | QCOW2_INCOMPATIBLE_CORRUPT);
	int err;

	if (!q->writable || q->header.version < 3)
		return 0;
	err = qcow2_write_header(q, 72, &bits, sizeof(bits));
	return err ? err : qcow2_sync(q);
}
