// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's memory map in the form of the BIOS call INT 15h, AX=E820h.
 *
 * Theory of operation: the list is kept sorted, without overlaps and without neighbours that could
 * be one entry, because the kernel's limit of 128 entries in boot_params is also ours. An addition
 * is cut out of what it overlaps and then put in its place (ACPI specification 6.5, section 15).
 */
#include <lodge/boot.h>

#include <errno.h>
#include <string.h>

/* One addition can split one entry in two, so this is never exceeded. */
#define E820_WORK (E820_MAX + 2u)

struct e820_work {
	struct e820_entry entry[E820_WORK];
	unsigned count;
};

/* Adds [addr, end) behind what is there; joins it to the last entry where that fits. */
static void work_append(struct e820_work *w, uint64_t addr, uint64_t end, uint32_t type)
{
	struct e820_entry *last = w->count ? &w->entry[w->count - 1] : NULL;

	if (addr >= end)
		return;
	if (last && last->type == type && last->addr + last->size == addr) {
		last->size += end - addr;
		return;
	}
	w->entry[w->count++] = (struct e820_entry){addr, end - addr, type};
}

int e820_add(struct e820 *map, uint64_t addr, uint64_t size, enum e820_type type)
{
	struct e820_work w = {.count = 0};
	uint64_t end = addr + size;
	bool added = false;
	unsigned i;

	if (size == 0)
		return 0;
	if (end < addr || map->count > E820_MAX)
		return -EINVAL;
	for (i = 0; i < map->count; i++) {
		const struct e820_entry *e = &map->entry[i];
		uint64_t e_end = e->addr + e->size;

		work_append(&w, e->addr, e_end < addr ? e_end : addr, e->type);
		if (!added && e_end > addr) {
			work_append(&w, addr, end, type);
			added = true;
		}
		work_append(&w, e->addr > end ? e->addr : end, e_end, e->type);
	}
	if (!added)
		work_append(&w, addr, end, type);
	if (w.count > E820_MAX)
		return -ENOSPC;
	memcpy(map->entry, w.entry, w.count * sizeof(w.entry[0]));
	map->count = w.count;
	return 0;
}
