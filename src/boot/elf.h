/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF executables: what a loader must know of one, and the ways into RAM. */
#ifndef BOOT_ELF_H
#define BOOT_ELF_H

#include "boot/loader.h"

#define ELF_NOTES_MAX 8u

struct elf_segment {
	uint64_t offset, filesz; /* in the file */
	uint64_t paddr, memsz;
	uint64_t align; /* notes only */
};

struct elf {
	bool is64;
	uint64_t entry;
	unsigned load_count, note_count;
	struct elf_segment load[KERNEL_EXTENTS_MAX];
	struct elf_segment note[ELF_NOTES_MAX];
};

/*
 * Reads and checks the headers: all segments lie in the file and in free RAM, none overlaps
 * another, and none is silly. Bytes of segments are not read.
 */
int elf_parse(const struct loader *l, const struct source *src, struct elf *e);

/* Whether addr lies in a segment; the entry point must. */
bool elf_covers(const struct elf *e, uint64_t addr);

/* Copies the segments into RAM. */
int elf_load_segments(struct loader *l, const struct source *src, const struct elf *e);

/*
 * Where an ELF file of `size` bytes can be unpacked in RAM such that its largest segment already
 * lies where it belongs and the others only move down; false when it cannot.
 */
bool elf_place_file(const struct loader *l, const struct elf *e, uint64_t size, uint64_t *gpa);

/* Moves the segments of a file that lies at gpa, and zeroes what is left of it. */
void elf_settle_file(struct loader *l, const struct elf *e, uint64_t size, uint64_t gpa);

/* A whole ELF file as the kernel: PVH, multiboot or 64-bit Linux. */
int elf_load(struct loader *l, const struct source *src);

#endif
