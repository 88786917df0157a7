/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images, versions 2 and 3: what the files qcow2*.c share. The format is described in QEMU's
 * docs/interop/qcow2.txt; names here are its names. The theory of operation is in qcow2.c.
 *
 * Two locks. work_lock is held by whoever changes or loads metadata, for as long as that takes; the
 * loop's thread never takes it. lock is held for moments only, and guards what the loop's thread
 * looks at: l1[], the metadata cache and the set of tables. Who holds work_lock may read them
 * without it.
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "block/driver.h"

#include <pthread.h>

#define QCOW2_MAGIC                    0x514649fbu
#define QCOW2_L1_BYTES_MAX             (32u << 20)
#define QCOW2_REFTABLE_BYTES_MAX       (8u << 20)
#define QCOW2_SNAPSHOTS_MAX            65536u
#define QCOW2_SNAPSHOT_TABLE_MAX       (64u << 20)
#define QCOW2_BACKING_NAME_MAX         1023u

#define QCOW2_INCOMPATIBLE_DIRTY       (1ull << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT     (1ull << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE   (1ull << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (1ull << 4)

#define QCOW2_COPIED                   (1ull << 63) /* refcount is 1: writable in place */
#define QCOW2_COMPRESSED               (1ull << 62)
#define QCOW2_ZERO                     (1ull << 0)
#define QCOW2_OFFSET_MASK              0x00fffffffffffe00ull /* in entries of all tables */

#define QCOW2_SUBCLUSTERS              32u
#define QCOW2_FREE_MAX                 256u
#define QCOW2_PENDING_MAX              1024u
#define QCOW2_LINKS_MAX                128u
#define QCOW2_RANGES_MAX               4u

struct qcow2_header {
	uint32_t version, cluster_bits, refcount_order, header_length, snapshot_count;
	uint64_t size, l1_offset, reftable_offset, snapshot_offset;
	uint32_t l1_count, reftable_clusters;
	uint64_t incompatible, compatible, autoclear;
	uint8_t compression;                           /* 0 zlib, 1 zstd */
	char backing_name[QCOW2_BACKING_NAME_MAX + 1]; /* "" where there is none */
};

/* A block of metadata in memory: always what the file holds. */
struct qcow2_meta {
	uint64_t offset;
	uint8_t *data;
	uint32_t next; /* in its bucket, plus 1 */
	bool used;
	atomic_bool recent; /* set by readers */
};

struct qcow2_cache {
	struct qcow2_meta *block;
	uint32_t *bucket; /* plus 1 */
	uint8_t *memory;
	size_t memory_bytes;
	uint32_t count, hand, bucket_mask;
};

/* Host clusters that hold tables: a hash set of offsets, 0 being empty. */
struct qcow2_set {
	uint64_t *slot;
	size_t count, room;
};

struct qcow2_range {
	uint64_t from, to;
};

enum qcow2_kind { QCOW2_UNALLOCATED, QCOW2_ZEROES, QCOW2_DATA, QCOW2_DEFLATED };

/* What is behind some guest bytes, as far as it is alike and contiguous. */
struct qcow2_mapping {
	enum qcow2_kind kind;
	bool writable;   /* DATA: in place */
	uint64_t host;   /* DATA: file offset; DEFLATED: the L2 entry */
	uint64_t length; /* bytes */
};

/* An L2 entry; bitmap is 0 without extended L2. */
struct qcow2_entry {
	uint64_t word, bitmap;
};

/* A change of an L2 entry that waits for its data to be durable. */
struct qcow2_link {
	uint64_t guest; /* of the cluster */
	struct qcow2_entry old, new;
};

struct qcow2_job_list {
	struct qcow2_slot *first, **end;
};

struct qcow2 {
	struct block *block;
	struct file *file;
	struct qcow2_header header;
	uint64_t cluster_size;
	unsigned l2_bits;         /* of the number of entries in an L2 table */
	unsigned entry_bytes;     /* 8, or 16 with extended L2 */
	unsigned subcluster_bits; /* cluster_bits without extended L2 */
	uint32_t meta_bytes;      /* of a block in the cache */
	uint64_t refblock_entries;
	bool writable;

	pthread_mutex_t lock, work_lock;
	uint64_t *l1;
	struct qcow2_cache cache;
	struct qcow2_set tables; /* L2 tables and refcount blocks */
	struct qcow2_range
	    fixed[QCOW2_RANGES_MAX];  /* header, L1 table, refcount table, snapshots */
	const char *_Atomic corrupt;  /* what is wrong with the image; NULL: nothing */
	_Atomic uint64_t meta_writes; /* metadata was written so often */
	uint64_t meta_synced;         /* of these so many are durable; the loop's thread */

	/* Under work_lock. */
	uint64_t *reftable;
	uint64_t reftable_count;
	uint64_t search;     /* host cluster from which to look for free ones */
	uint64_t clean_from; /* file offset from which there was nothing when it was opened */
	uint64_t reaches;    /* the file's size is at least this */
	uint64_t free[QCOW2_FREE_MAX]; /* allocated, unused, durably so, and all zeroes */
	unsigned free_first, free_count, reserve_next;
	uint64_t
	    pending[QCOW2_PENDING_MAX]; /* to lose a reference once what was written is durable */
	unsigned pending_count;
	struct qcow2_link link[QCOW2_LINKS_MAX];
	unsigned link_count;
	bool link_needs_sync;
	uint8_t *scratch; /* meta_bytes */
	uint8_t *cluster; /* a cluster, and behind it room for 2 compressed ones */
	struct qcow2_inflate *inflate;

	/* The worker. */
	pthread_t thread;
	bool thread_runs;
	pthread_mutex_t job_lock; /* guards what follows */
	pthread_cond_t job_cond;
	struct qcow2_job_list todo, done;
	bool stop;
	struct task deliver; /* the loop's */
};

/* Remembers what is wrong with the image; -EIO. */
int qcow2_found_corrupt(struct qcow2 *q, const char *what);

/* --- qcow2.c --- */
extern const struct driver qcow2_driver;
int qcow2_start_worker(struct qcow2 *q); /* 0 or -errno */

/* --- qcow2_header.c --- */
/* bytes: the file's first n. 0, or -1 with *why. */
int qcow2_parse_header(const uint8_t *bytes, size_t n, uint64_t file_size, struct qcow2_header *h,
		       const char *path, struct refusal *why);
/* Loads and checks the tables that stay in memory. 0, or -1 with *why. */
int qcow2_load_tables(struct qcow2 *q, struct refusal *why);
/* Changes n bytes of the header, in the file. work_lock. 0 or -errno. */
int qcow2_write_header(struct qcow2 *q, unsigned at, const void *bytes, unsigned n);
int qcow2_mark_corrupt(struct qcow2 *q);

/* --- qcow2_meta.c: work_lock unless said otherwise. 0 or -errno --- */
int qcow2_cache_create(struct qcow2 *q);
void qcow2_cache_destroy(struct qcow2 *q);
/* The cached block at offset, or NULL. lock or work_lock. */
const uint8_t *qcow2_meta_cached(struct qcow2 *q, uint64_t offset);
int qcow2_meta_load(struct qcow2 *q, uint64_t offset, const uint8_t **data);
/* Copies the block to q->scratch, to be changed there and written. */
int qcow2_meta_edit(struct qcow2 *q, uint64_t offset);
int qcow2_meta_write(struct qcow2 *q, uint64_t offset);
/* The range got new content without the cache. */
void qcow2_meta_forget(struct qcow2 *q, uint64_t offset, uint64_t length);
/* Durable: all that was written. */
int qcow2_sync(struct qcow2 *q);
bool qcow2_set_has(const struct qcow2_set *s, uint64_t offset);
/* -EEXIST when it is there. */
int qcow2_set_add(struct qcow2_set *s, uint64_t offset);
void qcow2_set_remove(struct qcow2_set *s, uint64_t offset);

/* --- qcow2_map.c --- */
/* lock, or work_lock. -EAGAIN: not in the cache. -EIO: corrupt. length > 0. */
int qcow2_map_cached(struct qcow2 *q, uint64_t guest, uint64_t length, struct qcow2_mapping *m);
/* work_lock. */
int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t length, struct qcow2_mapping *m);
int qcow2_load_l2(struct qcow2 *q, uint64_t guest);
int qcow2_get_entry(struct qcow2 *q, uint64_t guest, struct qcow2_entry *e);
/* The entry at a place in memory, checked. */
int qcow2_parse_entry(struct qcow2 *q, const uint8_t *at, struct qcow2_entry *e);
/* Where the L2 entry of guest is in the file; 0 where there is no table. */
uint64_t qcow2_entry_place(const struct qcow2 *q, uint64_t guest);
/* The cluster may be touched as data. lock or work_lock. */
bool qcow2_is_data_place(const struct qcow2 *q, uint64_t host);
bool qcow2_is_table_place(const struct qcow2 *q, uint64_t host);
/* The file's range of a compressed cluster, from its L2 entry. */
void qcow2_deflated_range(const struct qcow2 *q, uint64_t word, uint64_t *offset, uint64_t *length);
static inline uint64_t qcow2_l1_index(const struct qcow2 *q, uint64_t guest)
{
	return guest >> (q->l2_bits + q->header.cluster_bits);
}

/* --- qcow2_inflate.c --- */
/* Makes sure of the library. 0, or -1 with *why. */
int qcow2_inflate_create(struct qcow2 *q, struct refusal *why);
void qcow2_inflate_destroy(struct qcow2 *q);
/* The content of a compressed cluster, to q->cluster. work_lock. */
int qcow2_inflate_cluster(struct qcow2 *q, uint64_t word);
/* q->cluster gets other content. */
void qcow2_inflate_forget(struct qcow2 *q);

/* --- qcow2_refcount.c: work_lock. 0 or -errno --- */
int qcow2_get_refcount(struct qcow2 *q, uint64_t host, uint64_t *refcount);
/* A cluster that is allocated and reads as zeroes, both durably. */
int qcow2_allocate(struct qcow2 *q, uint64_t *host);
/* The cluster loses a reference, once what was written until now is durable. */
int qcow2_release(struct qcow2 *q, uint64_t host);
/* The same for what an L2 entry points to. punch: its content may be lost now. */
int qcow2_release_entry(struct qcow2 *q, uint64_t word, bool punch);
/* Gives back what was allocated ahead; at close. */
int qcow2_settle_refcounts(struct qcow2 *q);

/* --- qcow2_write.c: work_lock. 0 or -errno --- */
/*
 * Plans and copies what makes guest bytes [at, at + length) writable in place; qcow2_link() makes
 * it so, for all that was planned. Plans less where q->link is full.
 */
int qcow2_prepare(struct qcow2 *q, uint64_t at, uint64_t length);
int qcow2_link(struct qcow2 *q);
/* Whole clusters: they read as zeroes, or, with discard, as anything. */
int qcow2_zero_clusters(struct qcow2 *q, uint64_t at, uint64_t length, bool unmap, bool discard);

/* --- qcow2_snapshot.c --- */
struct qcow2_snapshot {
	char id[64], name[256]; /* cut where longer */
	uint64_t disk_size, vm_state_size;
	uint32_t date_s; /* since 1970 */
};
/* Reads and checks the table; calls fn for each where fn is not NULL. 0, or -1 with *why. */
int qcow2_read_snapshots(struct qcow2 *q, void (*fn)(void *arg, const struct qcow2_snapshot *s),
			 void *arg, struct refusal *why);

#endif
