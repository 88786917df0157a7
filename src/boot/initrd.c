// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Initrds: where they fit, and reading them there.
 *
 * Theory of operation: Linux takes one initrd, and its unpacker takes several archives one after
 * the other if each begins on a multiple of 4 bytes, so all files go into one block. The block
 * lies as high as the kernel allows, as boot.rst asks for, so that it is out of the way of a
 * kernel that grows. Files are read with pread(2) straight into guest memory.
 *
 * A multiboot kernel gets each file as a module of its own, right behind the kernel, where small
 * kernels have memory mapped.
 */
#include "boot/loader.h"
#include "machine/layout.h"

#include <string.h>

static uint64_t page_up(uint64_t v)
{
	return (v + BOOT_PAGE - 1) & ~(uint64_t)(BOOT_PAGE - 1);
}

int initrd_collect(struct loader *l)
{
	struct stat st;
	unsigned i;

	for (i = 0; i < l->req->initrd_count; i++) {
		if (l->initrd_count == BOOT_INITRDS)
			return refuse(l->why, STATUS_USAGE, l->req->initrd_paths[i], "initrd",
				      "more than %u initrds", BOOT_INITRDS);
		if (source_open(&l->initrd[l->initrd_count], l->req->initrd_paths[i],
				l->req->initrd_fds[i], "initrd", &st, l->why) < 0)
			return -1;
		l->initrd_count++;
	}
	return 0;
}

/* The highest place for size bytes in the RAM entry that ends at or before `last`. */
static bool place_in(const struct loader *l, const struct e820_entry *e, uint64_t size,
		     uint64_t last, uint64_t *addr)
{
	uint64_t end = e->addr + e->size;
	uint64_t low = e->addr < LAYOUT_HIGH_RAM ? LAYOUT_HIGH_RAM : e->addr;
	unsigned attempt;

	if (last != UINT64_MAX && end > last + 1)
		end = last + 1;
	/* The second attempt is below the kernel. */
	for (attempt = 0; attempt < 2; attempt++) {
		if (end < low || end - low < size)
			return false;
		*addr = (end - size) & ~(uint64_t)(BOOT_PAGE - 1);
		if (*addr < low)
			return false;
		if (*addr >= l->k.end || *addr + size <= l->k.first)
			return loader_is_free(l, *addr, size);
		end = l->k.first;
	}
	return false;
}

static bool place_below(const struct loader *l, uint64_t size, uint64_t last, uint64_t *addr)
{
	const struct e820 *map = l->req->map;
	unsigned i;

	for (i = map->count; i-- > 0;)
		if (map->entry[i].type == E820_RAM && place_in(l, &map->entry[i], size, last, addr))
			return true;
	return false;
}

int initrd_place_high(const struct loader *l, uint64_t size, uint64_t *addr)
{
	if (place_below(l, size, l->k.initrd_last, addr))
		return 0;
	if (l->k.initrd_any && place_below(l, size, UINT64_MAX, addr))
		return 0;
	return refuse(l->why, STATUS_DATA, l->initrd[0].path, "initrd",
		      "%llu bytes do not fit into RAM below %#llx beside the kernel",
		      (unsigned long long)size, (unsigned long long)l->k.initrd_last + 1);
}

int initrd_load(struct loader *l, uint64_t *addr, uint64_t *size)
{
	uint64_t total = 0, at = 0;
	unsigned i;

	*addr = 0;
	*size = 0;
	if (l->initrd_count == 0)
		return 0;
	for (i = 0; i < l->initrd_count; i++) {
		total = (total + 3) & ~3ull;
		if (l->initrd[i].size > gmem_size(l->m) - total)
			return refuse(l->why, STATUS_DATA, l->initrd[i].path, "initrd",
				      "%llu bytes do not fit into the guest's RAM (%llu)",
				      (unsigned long long)l->initrd[i].size,
				      (unsigned long long)gmem_size(l->m));
		total += l->initrd[i].size;
	}
	if (initrd_place_high(l, total, addr) < 0)
		return -1;
	for (i = 0; i < l->initrd_count; i++) {
		at = (at + 3) & ~3ull;
		if (source_read(&l->initrd[i], 0, gmem_pointer(l->m, *addr + at, l->initrd[i].size),
				l->initrd[i].size, "initrd", l->why) < 0)
			return -1;
		at += l->initrd[i].size;
	}
	*size = total;
	return 0;
}

int initrd_load_module(struct loader *l, unsigned i, uint64_t *floor, uint64_t *addr)
{
	const struct source *s = &l->initrd[i];

	*addr = page_up(*floor);
	if (!loader_is_free(l, *addr, s->size) || *addr + s->size > LAYOUT_HOLE)
		return refuse(l->why, STATUS_DATA, s->path, "initrd",
			      "%llu bytes do not fit into RAM behind the kernel (%#llx)",
			      (unsigned long long)s->size, (unsigned long long)*addr);
	*floor = *addr + s->size;
	return source_read(s, 0, gmem_pointer(l->m, *addr, s->size), s->size, "initrd", l->why);
}
