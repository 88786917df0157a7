// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: the cache of metadata, and the set of places where tables lie.
 *
 * Theory of operation: L2 tables, refcount blocks and the header are read and written in blocks of
 * 4 KiB, or of a cluster where that is smaller, aligned: which is what O_DIRECT wants too. A block
 * is changed in a copy, written, and only then changed in the cache: so the cache always holds what
 * the file holds, nothing in it is ever dirty, any block may be dropped at any time, and the death
 * of the process loses nothing. The block to drop is chosen by the clock algorithm.
 *
 * Past the file's end are zeroes, as after a loss of power between a table's allocation and its
 * first write.
 */
#include "block/qcow2.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CACHE_BLOCKS_MIN 64u
#define CACHE_BLOCKS_MAX 2048u

int qcow2_found_corrupt(struct qcow2 *q, const char *what)
{
	const char *none = NULL;

	atomic_compare_exchange_strong(&q->corrupt, &none, what);
	return -EIO;
}

/* --- cache --- */

static uint32_t blocks_wanted(const struct qcow2 *q)
{
	uint64_t clusters = q->header.size >> q->header.cluster_bits;
	/* All of L2, and about as much again for refcounts and small tables. */
	uint64_t n = clusters * q->entry_bytes / q->meta_bytes * 5 / 4;

	if (n < CACHE_BLOCKS_MIN)
		n = CACHE_BLOCKS_MIN;
	return n > CACHE_BLOCKS_MAX ? CACHE_BLOCKS_MAX : (uint32_t)n;
}

int qcow2_cache_create(struct qcow2 *q)
{
	struct qcow2_cache *c = &q->cache;
	uint32_t buckets = 64;
	void *memory;

	c->count = blocks_wanted(q);
	while (buckets < c->count)
		buckets *= 2;
	c->bucket_mask = buckets - 1;
	c->memory_bytes = (size_t)c->count * q->meta_bytes;
	c->block = calloc(c->count, sizeof(c->block[0]));
	c->bucket = calloc(buckets, sizeof(c->bucket[0]));
	q->scratch = aligned_alloc(FILE_ALIGN_MAX, FILE_ALIGN_MAX);
	memory =
	    mmap(NULL, c->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	c->memory = memory;
	if (!c->block || !c->bucket || !q->scratch)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->count; i++)
		c->block[i].data = c->memory + (size_t)i * q->meta_bytes;
	return 0;
}

void qcow2_cache_destroy(struct qcow2 *q)
{
	if (q->cache.memory)
		munmap(q->cache.memory, q->cache.memory_bytes);
	free(q->cache.block);
	free(q->cache.bucket);
	free(q->scratch);
	free(q->tables.slot);
}

static uint32_t *bucket_of(struct qcow2 *q, uint64_t offset)
{
	uint64_t hash = offset / q->meta_bytes * 0x9e3779b97f4a7c15ull;

	return &q->cache.bucket[hash >> 32 & q->cache.bucket_mask];
}

static struct qcow2_meta *find(struct qcow2 *q, uint64_t offset)
{
	for (uint32_t i = *bucket_of(q, offset); i; i = q->cache.block[i - 1].next) {
		if (q->cache.block[i - 1].offset == offset)
			return &q->cache.block[i - 1];
	}
	return NULL;
}

static void drop(struct qcow2 *q, struct qcow2_meta *m)
{
	uint32_t *link = bucket_of(q, m->offset), index = (uint32_t)(m - q->cache.block) + 1;

	while (*link != index)
		link = &q->cache.block[*link - 1].next;
	*link = m->next;
	m->used = false;
}

/* A block to put something else in. lock held. */
static struct qcow2_meta *victim(struct qcow2 *q)
{
	struct qcow2_cache *c = &q->cache;

	for (;;) {
		struct qcow2_meta *m = &c->block[c->hand];

		c->hand = (c->hand + 1) % c->count;
		if (!m->used)
			return m;
		if (!atomic_exchange_explicit(&m->recent, false, memory_order_relaxed)) {
			drop(q, m);
			return m;
		}
	}
}

const uint8_t *qcow2_meta_cached(struct qcow2 *q, uint64_t offset)
{
	struct qcow2_meta *m = find(q, offset);

	if (!m)
		return NULL;
	atomic_store_explicit(&m->recent, true, memory_order_relaxed);
	return m->data;
}

/* Puts content there, in place of what may be cached. */
static struct qcow2_meta *store(struct qcow2 *q, uint64_t offset, const uint8_t *content)
{
	struct qcow2_meta *m;

	pthread_mutex_lock(&q->lock);
	m = find(q, offset);
	if (!m) {
		uint32_t *bucket = bucket_of(q, offset);

		m = victim(q);
		m->offset = offset;
		m->next = *bucket;
		m->used = true;
		*bucket = (uint32_t)(m - q->cache.block) + 1;
	}
	atomic_store_explicit(&m->recent, true, memory_order_relaxed);
	memcpy(m->data, content, q->meta_bytes);
	pthread_mutex_unlock(&q->lock);
	return m;
}

int qcow2_meta_load(struct qcow2 *q, uint64_t offset, const uint8_t **data)
{
	const struct qcow2_meta *m = find(q, offset);
	int err;

	if (!m) {
		err = file_read_now(q->file, offset, q->scratch, q->meta_bytes, false);
		if (err)
			return err;
		m = store(q, offset, q->scratch);
	}
	*data = m->data;
	return 0;
}

int qcow2_meta_edit(struct qcow2 *q, uint64_t offset)
{
	const uint8_t *data;
	int err = qcow2_meta_load(q, offset, &data);

	if (!err)
		memcpy(q->scratch, data, q->meta_bytes);
	return err;
}

int qcow2_meta_write(struct qcow2 *q, uint64_t offset)
{
	int err;

	atomic_fetch_add(&q->meta_writes, 1);
	err = file_write_now(q->file, offset, q->scratch, q->meta_bytes);
	if (err)
		return err;
	store(q, offset, q->scratch);
	return 0;
}

void qcow2_meta_forget(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	struct qcow2_meta *m;

	pthread_mutex_lock(&q->lock);
	for (uint64_t at = offset; at < offset + length; at += q->meta_bytes) {
		m = find(q, at);
		if (m)
			drop(q, m);
	}
	pthread_mutex_unlock(&q->lock);
}

int qcow2_sync(struct qcow2 *q)
{
	return file_sync_now(q->file);
}

/* --- set --- */

static uint64_t *probe(const struct qcow2_set *s, uint64_t offset)
{
	size_t i = (size_t)((offset >> 9) * 0x9e3779b97f4a7c15ull >> 20) & (s->room - 1);

	while (s->slot[i] && s->slot[i] != offset)
		i = (i + 1) & (s->room - 1);
	return &s->slot[i];
}

bool qcow2_set_has(const struct qcow2_set *s, uint64_t offset)
{
	return s->room && *probe(s, offset) == offset;
}

static int set_resize(struct qcow2_set *s, size_t room)
{
	struct qcow2_set larger = {calloc(room, sizeof(larger.slot[0])), s->count, room};

	if (!larger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->room; i++) {
		if (s->slot[i])
			*probe(&larger, s->slot[i]) = s->slot[i];
	}
	free(s->slot);
	*s = larger;
	return 0;
}

int qcow2_set_add(struct qcow2_set *s, uint64_t offset)
{
	int err = 0;

	if (2 * (s->count + 1) > s->room)
		err = set_resize(s, s->room ? 2 * s->room : 64);
	if (err)
		return err;
	if (*probe(s, offset))
		return -EEXIST;
	*probe(s, offset) = offset;
	s->count++;
	return 0;
}

/* Rare: what follows in the run is put in anew, so that it is found. */
void qcow2_set_remove(struct qcow2_set *s, uint64_t offset)
{
	size_t i;
	uint64_t moved;

	if (!qcow2_set_has(s, offset))
		return;
	i = (size_t)(probe(s, offset) - s->slot);
	s->slot[i] = 0;
	s->count--;
	for (i = (i + 1) & (s->room - 1); s->slot[i]; i = (i + 1) & (s->room - 1)) {
		moved = s->slot[i];
		s->slot[i] = 0;
		*probe(s, moved) = moved;
	}
}
