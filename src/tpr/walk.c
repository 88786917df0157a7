// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A page walker for 32-bit guests: Intel SDM volume 3, sections 4.3 (32-bit paging) and 4.4 (PAE).
 *
 * Theory of operation: both modes are one loop over levels that differ in the size of an entry and
 * the bits of an index. An entry is copied once. Accessed and dirty bits are left alone, as they
 * only tell the guest what it did itself. Not modelled: reserved bits (what a processor would fault
 * at never works for the guest, so it cannot have run there), protection keys, and PAE's four
 * pointers as the processor loaded them: memory's are taken.
 */
#include "tpr/walk.h"

#include <string.h>

#define CR0_PE       (1u << 0)
#define CR0_PG       (1u << 31)
#define CR4_PSE      (1u << 4)
#define CR4_PAE      (1u << 5)
#define EFER_LMA     (1u << 10)
#define EFER_NXE     (1u << 11)

#define PTE_PRESENT  (1ull << 0)
#define PTE_WRITABLE (1ull << 1)
#define PTE_USER     (1ull << 2)
#define PTE_LARGE    (1ull << 7)
#define PTE_NX       (1ull << 63)
#define PTE_FRAME    0x000ffffffffff000ull

#define PAGE_SIZE    4096u
#define LEVELS_MAX   3u

struct mode {
	unsigned levels;            /* below CR3 */
	unsigned shift[LEVELS_MAX]; /* of the index, from the top level on */
	size_t entry_size;          /* bytes */
	unsigned index_mask;        /* of all levels but PAE's first, which has two bits left */
	uint64_t root_mask;
};

static const struct mode two_level = {2, {22, 12}, 4, 0x3ff, 0xfffff000};
static const struct mode pae = {3, {30, 21, 12}, 8, 0x1ff, 0xffffffe0};

static const struct mode *mode_of(const struct vcpu_view *v)
{
	return v->cr4 & CR4_PAE ? &pae : &two_level;
}

bool tpr_walk_possible(const struct vcpu_view *v)
{
	return (v->cr0 & (CR0_PE | CR0_PG)) == (CR0_PE | CR0_PG) && !(v->efer & EFER_LMA);
}

static bool is_large(const struct vcpu_view *v, const struct mode *mode, unsigned level,
		     uint64_t entry)
{
	if (level + 2 != mode->levels || !(entry & PTE_LARGE))
		return false;
	return mode == &pae || v->cr4 & CR4_PSE;
}

/* Of a leaf of 2^shift bytes. Four MiB pages keep address bits 32 to 39 in bits 13 to 20. */
static gpa_t leaf_address(const struct mode *mode, uint64_t entry, unsigned shift)
{
	uint64_t frame = entry & PTE_FRAME & ~((1ull << shift) - 1);

	if (mode == &two_level && shift == 22)
		frame |= (entry >> 13 & 0xff) << 32;
	return frame;
}

/* PAE's first level has no rights: its bits 1 and 2 are reserved. */
static bool has_rights(const struct mode *mode, unsigned level)
{
	return mode != &pae || level > 0;
}

bool tpr_walk(const struct gmem *m, const struct vcpu_view *v, uint32_t va, struct tpr_page *out)
{
	const struct mode *mode = mode_of(v);
	gpa_t table = v->cr3 & mode->root_mask;
	bool user = true, writable = true, executable = true;

	if (!tpr_walk_possible(v))
		return false;
	for (unsigned level = 0; level < mode->levels; level++) {
		unsigned shift = mode->shift[level];
		uint64_t entry = 0;

		if (gmem_read(m, table + (va >> shift & mode->index_mask) * mode->entry_size,
			      &entry, mode->entry_size) ||
		    !(entry & PTE_PRESENT))
			return false;
		if (has_rights(mode, level)) {
			user = user && entry & PTE_USER;
			writable = writable && entry & PTE_WRITABLE;
			executable = executable && !(v->efer & EFER_NXE && entry & PTE_NX);
		}
		if (level + 1 == mode->levels || is_large(v, mode, level, entry)) {
			*out = (struct tpr_page){
			    .gpa = leaf_address(mode, entry, shift) | (va & ((1u << shift) - 1)),
			    .user = user,
			    .writable = writable,
			    .executable = executable,
			};
			return true;
		}
		table = entry & PTE_FRAME;
	}
	return false;
}

size_t tpr_walk_read(const struct gmem *m, const struct vcpu_view *v, uint32_t va, void *dst,
		     size_t n)
{
	size_t done = 0;

	while (done < n) {
		uint32_t at = va + (uint32_t)done;
		size_t piece = PAGE_SIZE - at % PAGE_SIZE;
		struct tpr_page page;

		if (piece > n - done)
			piece = n - done;
		if (at < va || !tpr_walk(m, v, at, &page) ||
		    gmem_read(m, page.gpa, (uint8_t *)dst + done, piece))
			break;
		done += piece;
	}
	return done;
}

/* What an address range of 2^shift bytes at va begins with, if its entry can lead to gpa. */
static bool leads_to(const struct gmem *m, const struct vcpu_view *v, uint32_t va, gpa_t gpa)
{
	struct tpr_page page;

	return tpr_walk(m, v, va, &page) && page.gpa == gpa && !page.user && page.writable;
}

/* One table of the last level, whose entries map 4 KiB each from va on. */
static bool find_in_table(const struct gmem *m, const struct vcpu_view *v, gpa_t table, uint32_t va,
			  gpa_t gpa, uint32_t *found)
{
	const struct mode *mode = mode_of(v);
	uint8_t entries[PAGE_SIZE];

	if (gmem_read(m, table, entries, sizeof(entries)))
		return false;
	for (unsigned i = 0; i <= mode->index_mask; i++) {
		uint64_t entry = 0;

		memcpy(&entry, entries + (size_t)i * mode->entry_size, mode->entry_size);
		if (!(entry & PTE_PRESENT) || (entry & PTE_FRAME) != gpa)
			continue;
		*found = va + i * PAGE_SIZE;
		if (leads_to(m, v, *found, gpa))
			return true;
	}
	return false;
}

/* The entry of the level above the last; 0: not present. */
static uint64_t directory_entry(const struct gmem *m, const struct vcpu_view *v, uint32_t va)
{
	const struct mode *mode = mode_of(v);
	gpa_t table = v->cr3 & mode->root_mask;
	uint64_t entry = 0;

	for (unsigned level = 0; level + 1 < mode->levels; level++) {
		unsigned index = va >> mode->shift[level] & mode->index_mask;

		entry = 0;
		if (gmem_read(m, table + index * mode->entry_size, &entry, mode->entry_size) ||
		    !(entry & PTE_PRESENT))
			return 0;
		table = entry & PTE_FRAME;
	}
	return entry;
}

bool tpr_walk_find(const struct gmem *m, const struct vcpu_view *v, gpa_t gpa, uint32_t *va)
{
	const struct mode *mode = mode_of(v);
	unsigned shift = mode->shift[mode->levels - 2];

	if (!tpr_walk_possible(v))
		return false;
	for (uint64_t at = TPR_KERNEL_HALF; at < 1ull << 32; at += 1ull << shift) {
		uint64_t entry = directory_entry(m, v, (uint32_t)at);

		if (!entry)
			continue;
		if (!is_large(v, mode, mode->levels - 2, entry)) {
			if (find_in_table(m, v, entry & PTE_FRAME, (uint32_t)at, gpa, va))
				return true;
			continue;
		}
		*va = (uint32_t)at + (uint32_t)(gpa & ((1u << shift) - 1));
		if (leads_to(m, v, *va, gpa))
			return true;
	}
	return false;
}
