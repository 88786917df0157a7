// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Multiboot specification, version 0.6.96: kernels with a header in their first 8 KiB.
 *
 * Theory of operation: the header says where the kernel goes (the a.out kludge, flag 16), or the
 * kernel is an ELF file and its program headers say so. It is entered in protected mode with the
 * magic number in eax and the information structure at ebx: memory, command line, modules, memory
 * map, the loader's name. A request for a video mode (flag 2) is answered by leaving the video
 * fields out, as the specification allows; other requirements that we do not know are refused.
 * As with other loaders, the command line begins with the kernel's name.
 */
#include "boot/elf.h"
#include "boot/loader.h"
#include "machine/layout.h"

#include <string.h>

#define HEADER_MAGIC      0x1badb002u
#define HEADER_SEARCH     8192u
#define FLAG_PAGE_ALIGN   0x1u
#define FLAG_MEMORY       0x2u
#define FLAG_VIDEO        0x4u
#define FLAGS_REQUIRED    0xffffu
#define FLAG_ADDRESSES    0x10000u
#define BOOT_MAGIC        0x2badb002u
#define INFO_MEMORY       0x1u
#define INFO_CMDLINE      0x4u
#define INFO_MODULES      0x8u
#define INFO_MEMORY_MAP   0x40u
#define INFO_LOADER_NAME  0x200u
#define MODULE_STRING_MAX 128u

struct header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t map_bytes, map;
	uint32_t drive_bytes, drives, config_table, loader_name, apm_table;
	uint32_t video[7];
};

struct module {
	uint32_t start, end, string, reserved;
};

struct map_entry {
	uint32_t size; /* of what follows */
	uint64_t addr, bytes;
	uint32_t type;
} __attribute__((packed));

struct info_block {
	struct info info;
	char loader_name[8];
	struct module module[BOOT_INITRDS];
	struct map_entry map[E820_MAX];
	char module_string[BOOT_INITRDS][MODULE_STRING_MAX];
};

_Static_assert(LAYOUT_MULTIBOOT_INFO + sizeof(struct info_block) <= LAYOUT_BOOT_PARAMS,
	       "fits where the layout has it");

/* The file offset of the header, or n when there is none. */
static uint64_t find_header(const uint8_t *p, uint64_t n, struct header *h)
{
	uint64_t at;

	memset(h, 0, sizeof(*h));
	for (at = 0; at + 12 <= n && at + 12 <= HEADER_SEARCH; at += 4) {
		memcpy(h, p + at, 12);
		if (h->magic != HEADER_MAGIC || h->magic + h->flags + h->checksum != 0)
			continue;
		if (h->flags & FLAG_ADDRESSES && n - at >= sizeof(*h))
			memcpy(h, p + at, sizeof(*h));
		return at;
	}
	return n;
}

bool multiboot_detect(const uint8_t *head, uint64_t n)
{
	struct header h;

	return find_header(head, n, &h) < n;
}

static int bad(const struct loader *l, const struct source *src, const char *field,
	       const char *reason, uint64_t value)
{
	return refuse(l->why, STATUS_DATA, src->path, field, "%s (%#llx)", reason,
		      (unsigned long long)value);
}

/* The address fields as one ELF-like segment. */
static int check_addresses(const struct loader *l, const struct source *src, const struct header *h,
			   uint64_t at, struct elf_segment *s)
{
	uint64_t before = (uint64_t)h->header_addr - h->load_addr;

	if (h->load_addr > h->header_addr)
		return bad(l, src, "load_addr", "above header_addr", h->load_addr);
	if (before > at)
		return bad(l, src, "header_addr", "the image would begin before the file",
			   h->header_addr);
	s->offset = at - before;
	s->paddr = h->load_addr;
	s->filesz = src->size - s->offset;
	if (h->load_end_addr) {
		if (h->load_end_addr <= h->load_addr)
			return bad(l, src, "load_end_addr", "not above load_addr",
				   h->load_end_addr);
		if (h->load_end_addr - h->load_addr > s->filesz)
			return bad(l, src, "load_end_addr", "beyond the end of the file",
				   h->load_end_addr);
		s->filesz = h->load_end_addr - h->load_addr;
	}
	s->memsz = s->filesz;
	if (h->bss_end_addr) {
		if (h->bss_end_addr < s->paddr + s->filesz)
			return bad(l, src, "bss_end_addr", "below the end of what is loaded",
				   h->bss_end_addr);
		s->memsz = h->bss_end_addr - s->paddr;
	}
	if (!loader_is_free(l, s->paddr, s->memsz))
		return bad(l, src, "load_addr", "the image does not lie in RAM free for it",
			   s->paddr);
	if (h->entry_addr < s->paddr || h->entry_addr - s->paddr >= s->memsz)
		return bad(l, src, "entry_addr", "outside of the image", h->entry_addr);
	return 0;
}

int multiboot_load(struct loader *l, const struct source *src)
{
	uint8_t head[HEADER_SEARCH];
	uint64_t n = src->size < sizeof(head) ? src->size : sizeof(head);
	struct elf e = {.load_count = 1};
	struct kernel *k = &l->k;
	struct header h;
	uint64_t at;

	if (source_read(src, 0, head, n, "kernel", l->why) < 0)
		return -1;
	at = find_header(head, n, &h);
	if (at == n)
		return bad(l, src, "magic", "no multiboot header", 0);
	if (h.flags & FLAGS_REQUIRED & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
		return bad(l, src, "flags", "requires what Lodge does not know", h.flags);
	if (h.flags & FLAG_ADDRESSES) {
		if (n - at < sizeof(h))
			return bad(l, src, "header_addr", "the file ends within the header", at);
		if (check_addresses(l, src, &h, at, &e.load[0]) < 0)
			return -1;
		k->entry = h.entry_addr;
	} else {
		if (elf_parse(l, src, &e) < 0)
			return -1;
		k->entry = e.entry;
		if (!elf_covers(&e, k->entry) || k->entry >> 32)
			return bad(l, src, "e_entry", "lies in no segment below 4 GiB", k->entry);
	}
	k->kind = KIND_MULTIBOOT;
	k->protocol = PROTOCOL_MULTIBOOT;
	k->cmdline_max = (uint32_t)LAYOUT_CMDLINE_MAX - 1;
	k->initrd_last = LAYOUT_HOLE - 1;
	return elf_load_segments(l, src, &e);
}

static int put_modules(struct loader *l, struct info_block *b, uint64_t *bytes)
{
	const uint32_t at = LAYOUT_MULTIBOOT_INFO;
	uint64_t floor = l->k.end, addr;
	unsigned i;

	for (i = 0; i < l->initrd_count; i++) {
		const char *path = l->initrd[i].path;
		size_t n = strlen(path);

		if (n >= MODULE_STRING_MAX)
			path += n - (MODULE_STRING_MAX - 1); /* the end tells modules apart */
		if (initrd_load_module(l, i, &floor, &addr) < 0)
			return -1;
		strncpy(b->module_string[i], path, MODULE_STRING_MAX - 1);
		b->module[i] =
		    (struct module){(uint32_t)addr, (uint32_t)floor,
				    at + (uint32_t)offsetof(struct info_block, module_string) +
					i * MODULE_STRING_MAX,
				    0};
		*bytes += l->initrd[i].size;
	}
	b->info.module_count = l->initrd_count;
	b->info.modules = at + (uint32_t)offsetof(struct info_block, module);
	return 0;
}

static void put_memory(const struct loader *l, struct info_block *b)
{
	const struct e820 *map = l->req->map;
	unsigned i;

	for (i = 0; i < map->count; i++) {
		const struct e820_entry *e = &map->entry[i];

		b->map[i] =
		    (struct map_entry){sizeof(struct map_entry) - 4, e->addr, e->size, e->type};
		if (e->type == E820_RAM && e->addr == 0)
			b->info.mem_lower = (uint32_t)(e->size / 1024);
		if (e->type == E820_RAM && e->addr == LAYOUT_HIGH_RAM)
			b->info.mem_upper = (uint32_t)(e->size / 1024);
	}
	b->info.map_bytes = map->count * (uint32_t)sizeof(struct map_entry);
	b->info.map = (uint32_t)(LAYOUT_MULTIBOOT_INFO + offsetof(struct info_block, map));
}

int multiboot_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes)
{
	struct info_block *b = gmem_pointer(l->m, LAYOUT_MULTIBOOT_INFO, sizeof(*b));
	uint64_t cmdline = 0;

	*initrd_bytes = 0;
	if (!b)
		return refuse(l->why, STATUS_DATA, "memory", NULL, "no RAM at %#llx",
			      LAYOUT_MULTIBOOT_INFO);
	memset(b, 0, sizeof(*b));
	if (entry_put_cmdline(l, l->req->kernel_path, &cmdline) < 0 ||
	    put_modules(l, b, initrd_bytes) < 0)
		return -1;
	put_memory(l, b);
	memcpy(b->loader_name, "lodge", 6);
	b->info.loader_name =
	    (uint32_t)(LAYOUT_MULTIBOOT_INFO + offsetof(struct info_block, loader_name));
	b->info.cmdline = (uint32_t)cmdline;
	b->info.flags =
	    INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME;
	entry->mode = BOOT_PROTECTED32;
	entry->rip = l->k.entry;
	entry->rax = BOOT_MAGIC;
	entry->rbx = LAYOUT_MULTIBOOT_INFO;
	return 0;
}
