/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buses: which device answers a guest's port or memory access.
 *
 * There are two instances, ports (64 KiB) and memory-mapped I/O. A region belongs to one device and
 * is told offsets from its own base. An access wider than the region takes is split into
 * little-endian pieces; one that does not lie inside one region is done byte by byte, each byte by
 * whatever is there.
 * Reads that nobody claims give all ones, writes that nobody claims vanish, as on a PC.
 *
 * Dispatch looks the region up, drops the bus lock, takes the device's lock, checks that the region
 * is still there, and calls. A device may raise interrupt lines, set timers, map and unmap regions
 * there; it must not block.
 *
 * A doorbell is a place in a region where a write only makes a file descriptor readable. Where the
 * kernel can take such writes itself, they cost no exit and the region's write() is not called;
 * else it is called, and the device writes to the descriptor. So a device does both.
 */
#ifndef LODGE_BUS_H
#define LODGE_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct bus;

struct bus_region_ops {
	const char *name; /* for logs and counters: "uart16550" */
	/* offset + size <= the region's size; size is 1, 2, 4 or 8 and at most width_max. */
	uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
	void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t value);
	unsigned width_max; /* 1, 2, 4 or 8: wider accesses are split */
};

/* Embedded in its device. What follows lock belongs to the bus. */
struct bus_region {
	const struct bus_region_ops *ops;
	void *dev;
	pthread_mutex_t *lock; /* held around each call; NULL: the device locks itself */
	uint64_t base;
	uint64_t size;
	bool mapped;
	struct doorbell *doorbells;
};

/* Embedded in its device; one that is added does not change. */
struct doorbell {
	uint64_t offset; /* in its region */
	unsigned size;   /* bytes of the write: 1, 2, 4, 8, or 0: any, without match */
	bool match;      /* only for writes of value */
	uint64_t value;
	int fd; /* eventfd, the device's */
	/* The bus's. */
	struct doorbell *next;
	uint64_t addr;
	bool armed;
	struct doorbell *next_armed; /* that of doorbell_ops */
};

/* Who takes writes before they become exits. Calls come one at a time for one bus. */
struct doorbell_ops {
	/* d->addr is set. 0, or -errno: writes go on coming to the region. */
	int (*arm)(void *arg, struct doorbell *d);
	void (*disarm)(void *arg, struct doorbell *d);
};

/* limit: the highest address, 0xffff for ports. name is for logs. 0 or -errno. */
int bus_create(const char *name, uint64_t limit, struct bus **out);
void bus_destroy(struct bus *b);

/*
 * ops, dev and lock are set by the caller. -EINVAL: size 0 or past the limit; -EEXIST: overlaps a
 * mapped region; -ENOMEM. Any thread, also from within a callback; r is not mapped.
 */
int bus_map(struct bus *b, struct bus_region *r, uint64_t base, uint64_t size);

/*
 * Nothing happens when r is not mapped. Afterwards no call to r starts any more once its lock
 * was free; one under way on another vCPU may still run.
 */
void bus_unmap(struct bus *b, struct bus_region *r);

/* Before a vCPU runs. ops may be NULL, which is how a bus begins. */
void bus_set_doorbell_ops(struct bus *b, const struct doorbell_ops *ops, void *arg);

/*
 * d moves with r, mapped or not, until it is removed. Any thread, any device lock held; it may take
 * a millisecond, so not for each request.
 */
void bus_add_doorbell(struct bus *b, struct bus_region *r, struct doorbell *d);
/* Nothing happens when d was not added. Afterwards its fd may be closed. */
void bus_remove_doorbell(struct bus *b, struct bus_region *r, struct doorbell *d);

/*
 * One access of 1 to 8 bytes, little-endian in value; KVM cuts what crosses a page into such odd
 * sizes. Any vCPU thread.
 */
uint64_t bus_read(struct bus *b, uint64_t addr, unsigned size);
void bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t value);

/* For reports: each region in address order. fn must not call the bus. */
void bus_each(struct bus *b, void (*fn)(const struct bus_region *r, void *arg), void *arg);

#endif
