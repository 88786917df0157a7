/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buses.
 *
 * Theory of operation: the mapped regions stand in an array sorted by address, searched by halves
 * under a read lock. What a call needs is copied out, the lock is dropped, the device's lock is
 * taken, and then it is checked that the region still lies where it was found: another vCPU may
 * have moved a BAR in between. If so the access counts as unclaimed, as if it had come in the
 * moment between the two places. As no bus lock is held during a call, a device may map and unmap
 * regions there, its own too. mapped, base and size are therefore read and written atomically.
 *
 * Doorbells follow their region: each step that can change where one belongs (region mapped or
 * unmapped, doorbell added) ends in place_doorbells(), which compares and mends, one at a time
 * under a lock of their own. So a region may move while its device adds doorbells.
 *
 * Runs on vCPU threads. Memory is allocated in bus_map() only.
 */
#include <lodge/bus.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACCESS_MAX 8u

struct bus {
	const char *name;
	uint64_t limit;
	pthread_rwlock_t lock; /* guards what follows */
	struct bus_region **regions;
	unsigned count, capacity;
	pthread_mutex_t doorbell_lock; /* guards what follows, and the lists of doorbells */
	const struct doorbell_ops *doorbell_ops;
	void *doorbell_arg;
};

/* A region as it was when it was looked up. */
struct target {
	struct bus_region *region;
	uint64_t base, size;
};

/* An access on its way through the regions, piece by piece. */
struct access {
	uint64_t addr;
	unsigned size;
	unsigned done;  /* bytes before the current piece */
	unsigned piece; /* bytes of the current piece */
	bool bytewise;  /* it is not inside one region */
	struct target target;
};

int bus_create(const char *name, uint64_t limit, struct bus **out)
{
	struct bus *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->name = name;
	b->limit = limit;
	err = pthread_rwlock_init(&b->lock, NULL);
	if (err) {
		free(b);
		return -err;
	}
	pthread_mutex_init(&b->doorbell_lock, NULL);
	*out = b;
	return 0;
}

void bus_destroy(struct bus *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->doorbell_lock);
	pthread_rwlock_destroy(&b->lock);
	free(b->regions);
	free(b);
}

/* The index of the first region that ends after addr, or count. Lock held. */
static unsigned first_ending_after(const struct bus *b, uint64_t addr)
{
	unsigned low = 0, high = b->count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		const struct bus_region *r = b->regions[mid];

		if (r->base + (r->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int reserve_slot(struct bus *b)
{
	unsigned capacity = b->capacity ? 2 * b->capacity : 16;
	struct bus_region **regions;

	if (b->count < b->capacity)
		return 0;
	regions = realloc(b->regions, capacity * sizeof(regions[0]));
	if (!regions)
		return -ENOMEM;
	b->regions = regions;
	b->capacity = capacity;
	return 0;
}

/* Lock held for writing. */
static int insert(struct bus *b, struct bus_region *r, uint64_t base, uint64_t size)
{
	unsigned pos = first_ending_after(b, base);
	int err;

	if (pos < b->count && b->regions[pos]->base <= base + (size - 1))
		return -EEXIST;
	err = reserve_slot(b);
	if (err)
		return err;
	memmove(&b->regions[pos + 1], &b->regions[pos], (b->count - pos) * sizeof(b->regions[0]));
	b->regions[pos] = r;
	b->count++;
	__atomic_store_n(&r->base, base, __ATOMIC_RELAXED);
	__atomic_store_n(&r->size, size, __ATOMIC_RELAXED);
	__atomic_store_n(&r->mapped, true, __ATOMIC_RELEASE);
	return 0;
}

static void disarm(struct bus *b, struct doorbell *d)
{
	if (d->armed && b->doorbell_ops)
		b->doorbell_ops->disarm(b->doorbell_arg, d);
	d->armed = false;
}

static void arm(struct bus *b, struct doorbell *d, uint64_t addr)
{
	d->addr = addr;
	d->armed = b->doorbell_ops && b->doorbell_ops->arm(b->doorbell_arg, d) == 0;
}

/* Doorbell lock held. A region that moves is unmapped in between, and this is called then. */
static void place_doorbells(struct bus *b, struct bus_region *r)
{
	bool mapped = __atomic_load_n(&r->mapped, __ATOMIC_ACQUIRE);
	uint64_t base = __atomic_load_n(&r->base, __ATOMIC_RELAXED);

	for (struct doorbell *d = r->doorbells; d; d = d->next) {
		if (d->armed && !mapped)
			disarm(b, d);
		if (mapped && !d->armed)
			arm(b, d, base + d->offset);
	}
}

static void region_moved(struct bus *b, struct bus_region *r)
{
	pthread_mutex_lock(&b->doorbell_lock);
	place_doorbells(b, r);
	pthread_mutex_unlock(&b->doorbell_lock);
}

void bus_set_doorbell_ops(struct bus *b, const struct doorbell_ops *ops, void *arg)
{
	pthread_mutex_lock(&b->doorbell_lock);
	b->doorbell_ops = ops;
	b->doorbell_arg = arg;
	pthread_mutex_unlock(&b->doorbell_lock);
}

void bus_add_doorbell(struct bus *b, struct bus_region *r, struct doorbell *d)
{
	pthread_mutex_lock(&b->doorbell_lock);
	d->armed = false;
	d->next = r->doorbells;
	r->doorbells = d;
	place_doorbells(b, r);
	pthread_mutex_unlock(&b->doorbell_lock);
}

void bus_remove_doorbell(struct bus *b, struct bus_region *r, struct doorbell *d)
{
	struct doorbell **link = &r->doorbells;

	pthread_mutex_lock(&b->doorbell_lock);
	while (*link && *link != d)
		link = &(*link)->next;
	if (*link) {
		*link = d->next;
		disarm(b, d);
	}
	pthread_mutex_unlock(&b->doorbell_lock);
}

int bus_map(struct bus *b, struct bus_region *r, uint64_t base, uint64_t size)
{
	int err;

	assert(!r->mapped);
	if (size == 0 || base > b->limit || size - 1 > b->limit - base)
		return -EINVAL;
	pthread_rwlock_wrlock(&b->lock);
	err = insert(b, r, base, size);
	pthread_rwlock_unlock(&b->lock);
	if (!err)
		region_moved(b, r);
	return err;
}

void bus_unmap(struct bus *b, struct bus_region *r)
{
	unsigned pos;

	pthread_rwlock_wrlock(&b->lock);
	if (r->mapped) {
		pos = first_ending_after(b, r->base);
		assert(pos < b->count && b->regions[pos] == r);
		b->count--;
		memmove(&b->regions[pos], &b->regions[pos + 1],
			(b->count - pos) * sizeof(b->regions[0]));
		__atomic_store_n(&r->mapped, false, __ATOMIC_RELEASE);
	}
	pthread_rwlock_unlock(&b->lock);
	region_moved(b, r);
}

static bool find(struct bus *b, uint64_t addr, struct target *t)
{
	unsigned pos;
	bool found;

	pthread_rwlock_rdlock(&b->lock);
	pos = first_ending_after(b, addr);
	found = pos < b->count && b->regions[pos]->base <= addr;
	if (found) {
		t->region = b->regions[pos];
		t->base = t->region->base;
		t->size = t->region->size;
	}
	pthread_rwlock_unlock(&b->lock);
	return found;
}

/* Takes the device's lock; false, without it, when the region has gone elsewhere meanwhile. */
static bool enter(const struct target *t)
{
	struct bus_region *r = t->region;

	if (r->lock)
		pthread_mutex_lock(r->lock);
	if (__atomic_load_n(&r->mapped, __ATOMIC_ACQUIRE) &&
	    __atomic_load_n(&r->base, __ATOMIC_RELAXED) == t->base &&
	    __atomic_load_n(&r->size, __ATOMIC_RELAXED) == t->size)
		return true;
	if (r->lock)
		pthread_mutex_unlock(r->lock);
	return false;
}

static void leave(const struct target *t)
{
	if (t->region->lock)
		pthread_mutex_unlock(t->region->lock);
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

/* Bytes above the bus's limit belong to nobody, and addresses do not wrap to 0. */
static bool reachable(const struct bus *b, const struct access *a)
{
	return a->addr <= b->limit && a->done <= b->limit - a->addr;
}

/* The largest power of two that the region takes and that is left. */
static unsigned piece_size(const struct access *a)
{
	unsigned size = a->target.region->ops->width_max;

	while (size > a->size - a->done)
		size /= 2;
	return size;
}

/* Goes to the next piece that a region claims and enters the region; false at the end. */
static bool access_next(struct bus *b, struct access *a)
{
	struct target *t = &a->target;

	for (a->done += a->piece; a->done < a->size && reachable(b, a); a->done += a->piece) {
		uint64_t addr = a->addr + a->done;

		a->piece = 1;
		if (!find(b, addr, t)) {
			a->bytewise = true;
			continue;
		}
		if (t->size - (addr - t->base) < a->size - a->done)
			a->bytewise = true;
		if (!a->bytewise)
			a->piece = piece_size(a);
		if (enter(t))
			return true;
	}
	return false;
}

uint64_t bus_read(struct bus *b, uint64_t addr, unsigned size)
{
	struct access a = {.addr = addr, .size = size};
	struct target *t = &a.target;
	uint64_t value = ones(size), mask;

	assert(size >= 1 && size <= ACCESS_MAX);
	while (access_next(b, &a)) {
		mask = ones(a.piece) << 8 * a.done;
		value &= ~mask;
		value |=
		    mask & t->region->ops->read(t->region->dev, addr + a.done - t->base, a.piece)
			       << 8 * a.done;
		leave(t);
	}
	return value;
}

void bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t value)
{
	struct access a = {.addr = addr, .size = size};
	struct target *t = &a.target;

	assert(size >= 1 && size <= ACCESS_MAX);
	while (access_next(b, &a)) {
		t->region->ops->write(t->region->dev, addr + a.done - t->base, a.piece,
				      value >> 8 * a.done & ones(a.piece));
		leave(t);
	}
}

void bus_each(struct bus *b, void (*fn)(const struct bus_region *r, void *arg), void *arg)
{
	unsigned i;

	pthread_rwlock_rdlock(&b->lock);
	for (i = 0; i < b->count; i++)
		fn(b->regions[i], arg);
	pthread_rwlock_unlock(&b->lock);
}
