// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernels that are plain ELF files: which way they are entered, and the PVH way.
 *
 * Theory of operation: Xen's PVH boot ABI (xen/docs/misc/pvh.pandoc; the structures are in
 * xen/include/public/arch-x86/hvm/start_info.h) is an ELF note with a 32-bit entry point and a
 * structure at ebx. It is preferred, as it is the one way that says exactly what the kernel wants.
 * Without the note, an ELF file with a multiboot header is booted by that. A 64-bit file with
 * neither is entered in 64-bit mode as the Linux boot protocol says, but only if it says that it
 * is Linux: by a note of the name "Linux", by Xen's GUEST_OS note, or by its version text. Anything
 * else is refused.
 */
#include "boot/elf.h"
#include "machine/layout.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define XEN_ELFNOTE_GUEST_OS     6u
#define XEN_ELFNOTE_PHYS32_ENTRY 18u
#define NOTES_BYTES_MAX          (1u << 20)
#define LINUX_CMDLINE_MAX        2047u         /* COMMAND_LINE_SIZE on x86, without the NUL */
#define LINUX_INITRD_LAST        0x7fffffffull /* what Linux itself announces in bzImages */
#define LINUX_BANNER             "Linux version "

struct notes {
	unsigned entry_count; /* of PHYS32_ENTRY notes */
	uint64_t entry;
	bool is_linux;
};

static int take_note(const struct loader *l, const struct source *src, const Elf32_Nhdr *h,
		     const uint8_t *name, const uint8_t *desc, struct notes *n)
{
	if (h->n_namesz == 6 && memcmp(name, "Linux", 6) == 0)
		n->is_linux = true;
	if (h->n_namesz != 4 || memcmp(name, "Xen", 4) != 0)
		return 0;
	if (h->n_type == XEN_ELFNOTE_GUEST_OS && h->n_descsz >= 5 && memcmp(desc, "linux", 5) == 0)
		n->is_linux = true;
	if (h->n_type != XEN_ELFNOTE_PHYS32_ENTRY)
		return 0;
	if (h->n_descsz != 4 && h->n_descsz != 8)
		return refuse(l->why, STATUS_DATA, src->path, "XEN_ELFNOTE_PHYS32_ENTRY",
			      "descsz is %u, neither 4 nor 8", h->n_descsz);
	if (n->entry_count++)
		return refuse(l->why, STATUS_DATA, src->path, "XEN_ELFNOTE_PHYS32_ENTRY",
			      "there is more than one");
	memcpy(&n->entry, desc, h->n_descsz);
	return 0;
}

static uint64_t round_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static int walk_notes(const struct loader *l, const struct source *src, const uint8_t *p,
		      uint64_t size, uint64_t align, struct notes *n)
{
	uint64_t at = 0;

	while (size - at >= sizeof(Elf32_Nhdr)) {
		uint64_t name, desc;
		Elf32_Nhdr h;

		memcpy(&h, p + at, sizeof(h));
		name = at + sizeof(h);
		if (h.n_namesz > size - name)
			return refuse(l->why, STATUS_DATA, src->path, "namesz",
				      "the name of a note ends beyond its segment (%#x)",
				      h.n_namesz);
		desc = round_up(name + h.n_namesz, align);
		if (desc > size || h.n_descsz > size - desc)
			return refuse(l->why, STATUS_DATA, src->path, "descsz",
				      "the content of a note ends beyond its segment (%#x)",
				      h.n_descsz);
		if (take_note(l, src, &h, p + name, p + desc, n) < 0)
			return -1;
		at = round_up(desc + h.n_descsz, align);
		if (at > size)
			break;
	}
	return 0;
}

static int read_notes(const struct loader *l, const struct source *src, const struct elf *e,
		      struct notes *n)
{
	unsigned i;
	int rc = 0;

	memset(n, 0, sizeof(*n));
	for (i = 0; i < e->note_count && rc == 0; i++) {
		const struct elf_segment *s = &e->note[i];
		uint8_t *p;

		if (s->filesz > NOTES_BYTES_MAX)
			return refuse(l->why, STATUS_DATA, src->path, "PT_NOTE",
				      "%llu bytes of notes", (unsigned long long)s->filesz);
		p = malloc(s->filesz + 1);
		if (!p)
			return refuse(l->why, STATUS_HOST, src->path, "PT_NOTE", "no memory");
		rc = source_read(src, s->offset, p, s->filesz, "PT_NOTE", l->why);
		if (rc == 0)
			rc = walk_notes(l, src, p, s->filesz, s->align == 8 ? 8 : 4, n);
		free(p);
	}
	return rc;
}

static bool has_linux_banner(const struct loader *l)
{
	unsigned i;

	for (i = 0; i < l->k.extent_count; i++) {
		const struct kernel_extent *x = &l->k.extent[i];

		if (memmem(gmem_pointer(l->m, x->gpa, x->size), x->size, LINUX_BANNER,
			   sizeof(LINUX_BANNER) - 1))
			return true;
	}
	return false;
}

static int check_entry(const struct loader *l, const struct source *src, const struct elf *e,
		       const char *field)
{
	if (l->k.entry >> 32 && l->k.protocol == PROTOCOL_PVH)
		return refuse(l->why, STATUS_DATA, src->path, field, "%#llx is above 4 GiB",
			      (unsigned long long)l->k.entry);
	if (elf_covers(e, l->k.entry))
		return 0;
	return refuse(l->why, STATUS_DATA, src->path, field, "%#llx lies in no segment",
		      (unsigned long long)l->k.entry);
}

static int load_linux64(struct loader *l, const struct source *src, const struct elf *e,
			bool is_linux)
{
	struct kernel *k = &l->k;

	k->kind = KIND_ELF_64;
	k->protocol = PROTOCOL_LINUX64;
	k->entry = e->entry;
	k->cmdline_max = LINUX_CMDLINE_MAX;
	k->initrd_last = LINUX_INITRD_LAST;
	k->initrd_any = true;
	/* What the kernel reads of a header that such a file does not have. */
	k->setup.boot_flag = 0xaa55;
	memcpy(&k->setup.header, "HdrS", 4);
	k->setup.version = 0x20c;
	k->setup.loadflags = LOADED_HIGH;
	k->setup.kernel_alignment = 0x200000;
	k->setup.xloadflags = XLF_KERNEL_64;
	k->setup.cmdline_size = LINUX_CMDLINE_MAX;
	if (check_entry(l, src, e, "e_entry") < 0 || elf_load_segments(l, src, e) < 0)
		return -1;
	if (is_linux || has_linux_banner(l))
		return 0;
	return refuse(l->why, STATUS_DATA, src->path, "PT_NOTE",
		      "no XEN_ELFNOTE_PHYS32_ENTRY, no multiboot header, and not a Linux kernel");
}

int elf_load(struct loader *l, const struct source *src)
{
	uint8_t head[8192];
	uint64_t n = src->size < sizeof(head) ? src->size : sizeof(head);
	struct notes notes;
	struct elf e;

	if (elf_parse(l, src, &e) < 0 || read_notes(l, src, &e, &notes) < 0 ||
	    source_read(src, 0, head, n, "kernel", l->why) < 0)
		return -1;
	if (notes.entry_count) {
		l->k.kind = KIND_ELF_PVH;
		l->k.protocol = PROTOCOL_PVH;
		l->k.entry = notes.entry;
		l->k.cmdline_max =
		    notes.is_linux ? LINUX_CMDLINE_MAX : (uint32_t)LAYOUT_CMDLINE_MAX - 1;
		l->k.initrd_last = LINUX_INITRD_LAST;
		if (check_entry(l, src, &e, "XEN_ELFNOTE_PHYS32_ENTRY") < 0)
			return -1;
		return elf_load_segments(l, src, &e);
	}
	if (multiboot_detect(head, n))
		return multiboot_load(l, src);
	if (e.is64)
		return load_linux64(l, src, &e, notes.is_linux);
	return refuse(l->why, STATUS_DATA, src->path, "PT_NOTE",
		      "a 32-bit ELF file with neither XEN_ELFNOTE_PHYS32_ENTRY nor a multiboot "
		      "header");
}

/* hvm_start_info and what it points to, version 1. */
struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct start_info_module {
	uint64_t addr, size, cmdline, reserved;
};

struct start_info_memory {
	uint64_t addr, size;
	uint32_t type, reserved;
};

#define START_INFO_MAGIC 0x336ec578u

struct start_info_page {
	struct start_info info;
	struct start_info_module module;
	struct start_info_memory memory[E820_MAX];
};

_Static_assert(sizeof(struct start_info) == 56, "as the ABI has it");
_Static_assert(sizeof(struct start_info_page) <= BOOT_PAGE, "fits its page");

int pvh_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes)
{
	const uint64_t at = LAYOUT_START_INFO;
	struct start_info_page page = {.info = {.magic = START_INFO_MAGIC, .version = 1}};
	const struct e820 *map = l->req->map;
	uint64_t initrd = 0;
	unsigned i;

	if (entry_put_cmdline(l, NULL, &page.info.cmdline) < 0 ||
	    initrd_load(l, &initrd, initrd_bytes) < 0)
		return -1;
	if (*initrd_bytes) {
		page.info.module_count = 1;
		page.info.modules = at + offsetof(struct start_info_page, module);
		page.module = (struct start_info_module){.addr = initrd, .size = *initrd_bytes};
	}
	page.info.rsdp = l->req->rsdp;
	page.info.memmap = at + offsetof(struct start_info_page, memory);
	page.info.memmap_entries = map->count;
	for (i = 0; i < map->count; i++)
		page.memory[i] = (struct start_info_memory){map->entry[i].addr, map->entry[i].size,
							    map->entry[i].type, 0};
	if (gmem_write(l->m, at, &page, sizeof(page)) < 0)
		return refuse(l->why, STATUS_DATA, "memory", NULL, "no RAM at %#llx",
			      (unsigned long long)at);
	entry->mode = BOOT_PROTECTED32;
	entry->rip = l->k.entry;
	entry->rbx = at;
	return 0;
}
