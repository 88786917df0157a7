// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ELF executables, 32-bit and 64-bit (System V ABI, chapters 4 and 5).
 *
 * Theory of operation: only program headers count; section headers, which debuggers need, are not
 * looked at. Segments go to their physical address p_paddr. Everything is checked before the first
 * byte is copied: the headers against the file, each segment against the guest's memory map and
 * against the others. RAM is zero when a load starts, so p_memsz beyond p_filesz needs no work.
 *
 * A bzImage's payload is an ELF file too. It is unpacked to the place in RAM at which its largest
 * segment already lies right, and the others, which are small, are moved down from there.
 */
#include "boot/elf.h"

#include <elf.h>
#include <string.h>

#define ELF_HEADERS_MAX 128u

static int bad(const struct loader *l, const struct source *src, const char *field,
	       const char *reason, uint64_t value)
{
	return refuse(l->why, STATUS_DATA, src->path, field, "%s (%#llx)", reason,
		      (unsigned long long)value);
}

struct elf_table {
	uint64_t offset;
	uint64_t entry_size, count;
};

static int parse_ident(const struct loader *l, const struct source *src, struct elf *e,
		       struct elf_table *t)
{
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	uint16_t machine, type;

	if (source_read(src, 0, &h32, sizeof(h32), "ELF header", l->why) < 0)
		return -1;
	if (memcmp(h32.e_ident, ELFMAG, SELFMAG) != 0)
		return bad(l, src, "EI_MAG", "not an ELF file", h32.e_ident[EI_MAG0]);
	e->is64 = h32.e_ident[EI_CLASS] == ELFCLASS64;
	if (!e->is64 && h32.e_ident[EI_CLASS] != ELFCLASS32)
		return bad(l, src, "EI_CLASS", "neither 32-bit nor 64-bit", h32.e_ident[EI_CLASS]);
	if (h32.e_ident[EI_DATA] != ELFDATA2LSB)
		return bad(l, src, "EI_DATA", "not little-endian", h32.e_ident[EI_DATA]);
	type = h32.e_type;
	machine = h32.e_machine;
	e->entry = h32.e_entry;
	*t = (struct elf_table){h32.e_phoff, h32.e_phentsize, h32.e_phnum};
	if (e->is64) {
		if (source_read(src, 0, &h64, sizeof(h64), "ELF header", l->why) < 0)
			return -1;
		e->entry = h64.e_entry;
		*t = (struct elf_table){h64.e_phoff, h64.e_phentsize, h64.e_phnum};
	}
	if (type != ET_EXEC && type != ET_DYN)
		return bad(l, src, "e_type", "not an executable", type);
	if (machine != (e->is64 ? EM_X86_64 : EM_386))
		return bad(l, src, "e_machine", "not for x86, or not of the file's class", machine);
	if (t->entry_size != (e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return bad(l, src, "e_phentsize", "not the size of a program header",
			   t->entry_size);
	if (t->count == 0)
		return bad(l, src, "e_phnum", "no program headers", 0);
	if (t->count > ELF_HEADERS_MAX)
		return bad(l, src, "e_phnum", "more than 128 program headers", t->count);
	return 0;
}

static int read_header(const struct loader *l, const struct source *src, bool is64, uint64_t at,
		       uint32_t *type, struct elf_segment *s)
{
	Elf64_Phdr p;
	Elf32_Phdr q;

	if (is64) {
		if (source_read(src, at, &p, sizeof(p), "e_phoff", l->why) < 0)
			return -1;
		*type = p.p_type;
		*s = (struct elf_segment){.offset = p.p_offset,
					  .filesz = p.p_filesz,
					  .paddr = p.p_paddr,
					  .memsz = p.p_memsz,
					  .align = p.p_align};
		return 0;
	}
	if (source_read(src, at, &q, sizeof(q), "e_phoff", l->why) < 0)
		return -1;
	*type = q.p_type;
	*s = (struct elf_segment){.offset = q.p_offset,
				  .filesz = q.p_filesz,
				  .paddr = q.p_paddr,
				  .memsz = q.p_memsz,
				  .align = q.p_align};
	return 0;
}

static int check_load(const struct loader *l, const struct source *src, const struct elf *e,
		      const struct elf_segment *s)
{
	unsigned i;

	if (s->filesz > s->memsz)
		return bad(l, src, "p_filesz", "larger than p_memsz", s->filesz);
	if (s->paddr + s->memsz < s->paddr)
		return bad(l, src, "p_paddr", "the segment wraps around the end of memory",
			   s->paddr);
	if (!loader_is_free(l, s->paddr, s->memsz))
		return refuse(l->why, STATUS_DATA, src->path, "p_paddr",
			      "the segment %#llx to %#llx does not lie in RAM that is free for it",
			      (unsigned long long)s->paddr,
			      (unsigned long long)s->paddr + s->memsz);
	for (i = 0; i < e->load_count; i++)
		if (s->paddr < e->load[i].paddr + e->load[i].memsz &&
		    e->load[i].paddr < s->paddr + s->memsz)
			return bad(l, src, "p_paddr", "the segment overlaps another", s->paddr);
	return 0;
}

static int add_segment(const struct loader *l, const struct source *src, struct elf *e,
		       uint32_t type, const struct elf_segment *s)
{
	if (s->offset > src->size || s->filesz > src->size - s->offset)
		return bad(l, src, "p_offset", "the segment ends beyond the end of the file",
			   s->offset);
	if (type == PT_NOTE) {
		if (e->note_count == ELF_NOTES_MAX)
			return bad(l, src, "PT_NOTE", "more than 8 note segments", e->note_count);
		e->note[e->note_count++] = *s;
		return 0;
	}
	if (s->memsz == 0 && s->filesz == 0)
		return 0;
	if (check_load(l, src, e, s) < 0)
		return -1;
	if (e->load_count == KERNEL_EXTENTS_MAX)
		return bad(l, src, "PT_LOAD", "more than 32 segments", e->load_count);
	e->load[e->load_count++] = *s;
	return 0;
}

int elf_parse(const struct loader *l, const struct source *src, struct elf *e)
{
	struct elf_table t = {0};
	unsigned i;

	memset(e, 0, sizeof(*e));
	if (parse_ident(l, src, e, &t) < 0)
		return -1;
	if (t.offset > src->size || (uint64_t)t.count * t.entry_size > src->size - t.offset)
		return bad(l, src, "e_phoff", "program headers beyond the end of the file",
			   t.offset);
	for (i = 0; i < t.count; i++) {
		struct elf_segment s;
		uint32_t type;

		if (read_header(l, src, e->is64, t.offset + (uint64_t)i * t.entry_size, &type, &s) <
		    0)
			return -1;
		if ((type == PT_LOAD || type == PT_NOTE) && add_segment(l, src, e, type, &s) < 0)
			return -1;
	}
	if (e->load_count == 0)
		return bad(l, src, "PT_LOAD", "no segment to load", 0);
	return 0;
}

bool elf_covers(const struct elf *e, uint64_t addr)
{
	unsigned i;

	for (i = 0; i < e->load_count; i++)
		if (addr >= e->load[i].paddr && addr - e->load[i].paddr < e->load[i].memsz)
			return true;
	return false;
}

/* What was loaded where, for the placing of the initrd and for the cache. */
static void note_extents(struct loader *l, const struct elf *e)
{
	struct kernel *k = &l->k;
	unsigned i;

	k->first = UINT64_MAX;
	k->end = 0;
	k->bytes = 0;
	k->extent_count = 0;
	for (i = 0; i < e->load_count; i++) {
		const struct elf_segment *s = &e->load[i];

		if (s->paddr < k->first)
			k->first = s->paddr;
		if (s->paddr + s->memsz > k->end)
			k->end = s->paddr + s->memsz;
		k->bytes += s->filesz;
		if (s->filesz)
			k->extent[k->extent_count++] =
			    (struct kernel_extent){.gpa = s->paddr, .size = s->filesz};
	}
}

int elf_load_segments(struct loader *l, const struct source *src, const struct elf *e)
{
	unsigned i;

	for (i = 0; i < e->load_count; i++) {
		const struct elf_segment *s = &e->load[i];

		if (source_read(src, s->offset, gmem_pointer(l->m, s->paddr, s->filesz), s->filesz,
				"p_offset", l->why) < 0)
			return -1;
	}
	note_extents(l, e);
	return 0;
}

bool elf_place_file(const struct loader *l, const struct elf *e, uint64_t size, uint64_t *gpa)
{
	unsigned i, biggest = 0;

	for (i = 1; i < e->load_count; i++)
		if (e->load[i].filesz > e->load[biggest].filesz)
			biggest = i;
	if (e->load[biggest].paddr < e->load[biggest].offset)
		return false;
	*gpa = e->load[biggest].paddr - e->load[biggest].offset;
	if (!loader_is_free(l, *gpa, size))
		return false;
	for (i = 0; i < e->load_count; i++) {
		const struct elf_segment *s = &e->load[i];

		if (s->paddr > *gpa + s->offset)
			return false;
		if (i > 0 && (s->offset < s[-1].offset + s[-1].filesz ||
			      s->paddr < s[-1].paddr + s[-1].memsz))
			return false;
	}
	return true;
}

static void zero_gap(struct loader *l, uint64_t from, uint64_t to)
{
	if (from < to)
		gmem_zero(l->m, from, to - from);
}

void elf_settle_file(struct loader *l, const struct elf *e, uint64_t size, uint64_t gpa)
{
	uint64_t done = gpa;
	unsigned i;

	/* Downwards and in order of both addresses, so no move reaches bytes still to be moved. */
	for (i = 0; i < e->load_count; i++) {
		const struct elf_segment *s = &e->load[i];

		if (s->paddr != gpa + s->offset)
			memmove(gmem_pointer(l->m, s->paddr, s->filesz),
				gmem_pointer(l->m, gpa + s->offset, s->filesz), s->filesz);
	}
	for (i = 0; i < e->load_count; i++) {
		const struct elf_segment *s = &e->load[i];

		zero_gap(l, done, s->paddr < gpa + size ? s->paddr : gpa + size);
		if (s->paddr + s->filesz > done)
			done = s->paddr + s->filesz;
	}
	zero_gap(l, done, gpa + size);
	note_extents(l, e);
}
