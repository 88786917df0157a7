// SPDX-License-Identifier: GPL-2.0-or-later
#include "qcow2_check.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET 0x00fffffffffffe00ull

struct image {
	const uint8_t *bytes;
	size_t size;
	unsigned bits, order;
	uint64_t cluster, clusters;
	bool extended;
	uint32_t *references;
	struct qcow2_check *out;
};

/* Past the end are zeroes. */
static uint64_t get(const struct image *i, uint64_t at, unsigned n)
{
	uint64_t value = 0;

	for (unsigned j = 0; j < n; j++)
		value = value << 8 | (at + j < i->size ? i->bytes[at + j] : 0);
	return value;
}

__attribute__((format(printf, 2, 3))) static void corrupt(struct image *i, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!i->out->corruptions++)
		vsnprintf(i->out->what, sizeof(i->out->what), format, args);
	va_end(args);
}

static uint64_t refcount(const struct image *i, uint64_t cluster)
{
	unsigned width = 1u << i->order;
	uint64_t per_block = i->cluster * 8 / width, table = get(i, 48, 8);
	uint64_t entries = get(i, 56, 4) * i->cluster / 8, block, at;

	if (!per_block || cluster / per_block >= entries)
		return 0;
	block = get(i, table + cluster / per_block * 8, 8) & OFFSET;
	if (!block)
		return 0;
	at = cluster % per_block;
	if (width >= 8)
		return get(i, block + at * width / 8, width / 8);
	return get(i, block + at * width / 8, 1) >> (at * width % 8) & ((1u << width) - 1);
}

static void refer(struct image *i, uint64_t offset, uint64_t length, const char *what)
{
	uint64_t last = (offset + (length ? length - 1 : 0)) >> i->bits;

	/* As qemu-img has it; compressed clusters end where they like in the last sector. */
	if (length && last << i->bits >= i->size)
		corrupt(i, "%s at %#llx lies past the end", what, (unsigned long long)offset);
	for (uint64_t c = offset >> i->bits; length && c <= last; c++) {
		if (c < i->clusters)
			i->references[c]++;
		else
			corrupt(i, "%s at %#llx lies far outside", what,
				(unsigned long long)offset);
	}
}

static void check_copied(struct image *i, uint64_t word, const char *what)
{
	uint64_t offset = word & OFFSET;

	if (offset && word >> 63 != (refcount(i, offset >> i->bits) == 1))
		corrupt(i, "%s at %#llx: copied flag %d, refcount %llu", what,
			(unsigned long long)offset, (int)(word >> 63),
			(unsigned long long)refcount(i, offset >> i->bits));
}

static void walk_l2(struct image *i, uint64_t table, bool active)
{
	unsigned entry = i->extended ? 16 : 8;

	for (uint64_t at = table; at < table + i->cluster; at += entry) {
		uint64_t word = get(i, at, 8), offset = word & OFFSET;

		if (word >> 62 & 1) {
			unsigned shift = 62 - (i->bits - 8);
			uint64_t start = word & ((1ull << shift) - 1);
			uint64_t sectors = ((word & ~(3ull << 62)) >> shift) + 1;

			refer(i, start, sectors * 512 - start % 512, "compressed cluster");
			continue;
		}
		if (offset & (i->cluster - 1))
			corrupt(i, "data cluster at %#llx", (unsigned long long)offset);
		else if (offset)
			refer(i, offset, i->cluster, "data cluster");
		if (active)
			check_copied(i, word, "data cluster");
	}
}

static void walk_l1(struct image *i, uint64_t table, uint64_t entries, bool active)
{
	refer(i, table, entries * 8, "L1 table");
	for (uint64_t n = 0; n < entries; n++) {
		uint64_t word = get(i, table + n * 8, 8), offset = word & OFFSET;

		if (!offset)
			continue;
		if (active)
			check_copied(i, word, "L2 table");
		refer(i, offset, i->cluster, "L2 table");
		walk_l2(i, offset, active);
	}
}

static void walk_snapshots(struct image *i)
{
	uint64_t start = get(i, 64, 8), at = start;

	for (uint64_t n = get(i, 60, 4); n; n--) {
		uint64_t names = get(i, at + 12, 2) + get(i, at + 14, 2),
			 extra = get(i, at + 36, 4);

		walk_l1(i, get(i, at, 8), get(i, at + 8, 4), false);
		at += (40 + extra + names + 7) & ~7ull;
	}
	refer(i, start, at - start, "snapshot table");
}

static void compare(struct image *i)
{
	for (uint64_t c = 0; c < i->clusters; c++) {
		uint64_t counted = refcount(i, c);

		if (counted < i->references[c])
			corrupt(i, "cluster %#llx: refcount %llu, references %u",
				(unsigned long long)(c << i->bits), (unsigned long long)counted,
				i->references[c]);
		else if (counted > i->references[c])
			i->out->leaks++;
	}
}

void qcow2_check_image(const uint8_t *image, size_t size, struct qcow2_check *out)
{
	struct image i = {.bytes = image, .size = size, .order = 4, .out = out};
	uint64_t table, clusters;

	memset(out, 0, sizeof(*out));
	i.bits = (unsigned)get(&i, 20, 4);
	if (get(&i, 0, 4) != 0x514649fb || i.bits < 9 || i.bits > 21) {
		corrupt(&i, "no header");
		return;
	}
	i.cluster = 1ull << i.bits;
	i.clusters = 4 * (size >> i.bits) + 4096; /* what was allocated ahead lies past the end */
	if (get(&i, 4, 4) >= 3) {
		i.order = (unsigned)get(&i, 96, 4);
		i.extended = get(&i, 72, 8) >> 4 & 1;
	}
	if (i.order > 6) {
		corrupt(&i, "refcounts of 2^%u bits", i.order);
		return;
	}
	i.references = calloc(i.clusters, sizeof(i.references[0]));
	if (!i.references)
		abort();
	table = get(&i, 48, 8);
	clusters = get(&i, 56, 4);
	refer(&i, 0, i.cluster, "header");
	refer(&i, table, clusters * i.cluster, "refcount table");
	for (uint64_t n = 0; n < clusters * i.cluster / 8; n++) {
		uint64_t block = get(&i, table + n * 8, 8) & OFFSET;

		if (block)
			refer(&i, block, i.cluster, "refcount block");
	}
	walk_l1(&i, get(&i, 40, 8), get(&i, 36, 4), true);
	walk_snapshots(&i);
	compare(&i);
	free(i.references);
}
