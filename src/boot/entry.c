// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a kernel finds when it is entered: the command line, flat segments, page tables, and for
 * Linux the zero page.
 *
 * Theory of operation: all of it lies below 1 MiB, at the addresses of machine/layout.h, in memory
 * that kernels take for granted. The identity map covers the 4 GiB that everything loaded here
 * lies below, with 2 MiB pages, since not every processor has larger ones. boot_params starts as
 * zeroes and the file's own setup header (Documentation/arch/x86/boot.rst and zero-page.rst), and
 * says of the machine only what the kernel cannot find out: its memory map, where the ACPI tables
 * are, the command line and the initrd. No video mode is announced: there is no BIOS that set one.
 */
#include "boot/loader.h"
#include "machine/layout.h"

#include <string.h>

#define GDT_CODE32       0x00cf9b000000ffffull /* base 0, limit 4 GiB, execute and read, accessed */
#define GDT_CODE64       0x00af9b000000ffffull
#define GDT_DATA         0x00cf93000000ffffull
#define GDT_TSS          0x00008b000000ffffull /* busy: VT-x wants the task register to name one */

#define PTE_TABLE        0x3ull  /* present, writable */
#define PTE_2MIB         0x83ull /* present, writable, page size */
#define PTE_COUNT        512ull
#define IDENTITY_GB      4ull

#define LOADER_UNDEFINED 0xff /* type_of_loader: none that has a number */

static int no_low_ram(const struct loader *l, uint64_t addr)
{
	return refuse(l->why, STATUS_DATA, "memory", NULL, "no RAM at %#llx, which booting needs",
		      (unsigned long long)addr);
}

int entry_put_cmdline(struct loader *l, const char *first_word, uint64_t *addr)
{
	size_t first = first_word ? strlen(first_word) + 1 : 0;
	size_t n = strlen(l->req->append);
	char *to;

	if (first > LAYOUT_CMDLINE_MAX || n > LAYOUT_CMDLINE_MAX || first + n > l->k.cmdline_max)
		return refuse(l->why, STATUS_USAGE, "--append", "command line",
			      "%zu bytes, more than the %u that this kernel takes", first + n,
			      l->k.cmdline_max);
	to = gmem_pointer(l->m, LAYOUT_CMDLINE, first + n + 1);
	if (!to)
		return no_low_ram(l, LAYOUT_CMDLINE);
	if (first) {
		memcpy(to, first_word, first - 1);
		to[first - 1] = ' ';
	}
	memcpy(to + first, l->req->append, n + 1);
	*addr = LAYOUT_CMDLINE;
	return 0;
}

static void identity_map(uint64_t *tables)
{
	const uint64_t pdpt = LAYOUT_PAGE_TABLES + BOOT_PAGE, pd = pdpt + BOOT_PAGE;
	uint64_t i;

	tables[0] = pdpt | PTE_TABLE;
	for (i = 0; i < IDENTITY_GB; i++)
		tables[PTE_COUNT + i] = (pd + i * BOOT_PAGE) | PTE_TABLE;
	for (i = 0; i < IDENTITY_GB * PTE_COUNT; i++)
		tables[2 * PTE_COUNT + i] = i << 21 | PTE_2MIB;
}

_Static_assert((2 + IDENTITY_GB) * BOOT_PAGE == LAYOUT_PAGE_TABLES_SIZE, "all of the tables");

int entry_put_tables(struct loader *l, struct boot_entry *entry)
{
	uint64_t code = entry->mode == BOOT_LONG64 ? GDT_CODE64 : GDT_CODE32;
	const uint64_t gdt[8] = {0, code, code, GDT_DATA, GDT_TSS};
	uint64_t *tables;

	if (gmem_write(l->m, LAYOUT_GDT, gdt, sizeof(gdt)) < 0)
		return no_low_ram(l, LAYOUT_GDT);
	entry->gdt = LAYOUT_GDT;
	entry->gdt_size = sizeof(gdt);
	if (entry->mode != BOOT_LONG64)
		return 0;
	tables = gmem_pointer(l->m, LAYOUT_PAGE_TABLES, LAYOUT_PAGE_TABLES_SIZE);
	if (!tables)
		return no_low_ram(l, LAYOUT_PAGE_TABLES);
	identity_map(tables);
	entry->cr3 = LAYOUT_PAGE_TABLES;
	return 0;
}

int linux_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes)
{
	const struct e820 *map = l->req->map;
	struct boot_params p = {.hdr = l->k.setup};
	uint64_t cmdline = 0, initrd = 0;
	unsigned i;

	if (entry_put_cmdline(l, NULL, &cmdline) < 0 || initrd_load(l, &initrd, initrd_bytes) < 0)
		return -1;
	p.hdr.type_of_loader = LOADER_UNDEFINED;
	p.hdr.loadflags &= (__u8) ~(CAN_USE_HEAP | KEEP_SEGMENTS);
	p.hdr.cmd_line_ptr = (uint32_t)cmdline;
	p.hdr.ramdisk_image = (uint32_t)initrd;
	p.hdr.ramdisk_size = (uint32_t)*initrd_bytes;
	p.ext_ramdisk_image = (uint32_t)(initrd >> 32);
	p.ext_ramdisk_size = (uint32_t)(*initrd_bytes >> 32);
	p.acpi_rsdp_addr = l->req->rsdp;
	_Static_assert(E820_MAX == E820_MAX_ENTRIES_ZEROPAGE, "the zero page's own limit");
	for (i = 0; i < map->count; i++)
		p.e820_table[i] = (struct boot_e820_entry){map->entry[i].addr, map->entry[i].size,
							   map->entry[i].type};
	p.e820_entries = (uint8_t)map->count;
	if (gmem_write(l->m, LAYOUT_BOOT_PARAMS, &p, sizeof(p)) < 0)
		return no_low_ram(l, LAYOUT_BOOT_PARAMS);
	entry->mode = l->k.protocol == PROTOCOL_LINUX64 ? BOOT_LONG64 : BOOT_PROTECTED32;
	entry->rip = l->k.entry;
	entry->rsi = LAYOUT_BOOT_PARAMS;
	return 0;
}
