// SPDX-License-Identifier: GPL-2.0-or-later
/* ELF kernels: PVH, 64-bit Linux and multiboot, and each header that must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot_image.h"
#include "machine/layout.h"

#include <asm/bootparam.h>
#include <lodge/status.h>
#include <string.h>

static struct image pvh, linux64, multiboot;

static int setup(void **state)
{
	(void)state;
	image_elf64(&pvh, ELF_PVH_NOTE);
	image_elf64(&linux64, ELF_LINUX);
	image_multiboot(&multiboot);
	return 0;
}

static void test_pvh(void **state)
{
	const struct image *images[2];
	struct image pvh32;
	unsigned i;

	(void)state;
	image_elf32(&pvh32, ELF_PVH_NOTE);
	images[0] = &pvh;
	images[1] = &pvh32;
	for (i = 0; i < 2; i++) {
		const uint32_t *info;
		const uint64_t *info64, *module, *memory;
		struct boot_fixture f;
		uint64_t initrd = FIXTURE_RAM - 0x1000;

		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, images[i]->data, images[i]->size);
		fixture_initrd(&f, "archive", 7);
		f.req.append = "quiet";
		assert_int_equal(fixture_load(&f), 0);
		assert_string_equal(f.info.kind, "ELF PVH");
		assert_string_equal(f.info.compression, "none");
		assert_int_equal(f.entry.mode, BOOT_PROTECTED32);
		assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x40);
		assert_int_equal(f.entry.rbx, LAYOUT_START_INFO);
		assert_true(fixture_ram_is_elf(&f, images[i], initrd, 7));
		info = gmem_pointer(f.mem, LAYOUT_START_INFO, 56);
		info64 = (const void *)info;
		assert_int_equal(info[0], 0x336ec578);
		assert_int_equal(info[1], 1);
		assert_int_equal(info[3], 1); /* modules */
		assert_int_equal(info64[4], 0xe0000);
		assert_int_equal(info[12], f.map.count);
		assert_string_equal(gmem_pointer(f.mem, info64[3], 8), "quiet");
		module = gmem_pointer(f.mem, info64[2], 32);
		assert_int_equal(module[0], initrd);
		assert_int_equal(module[1], 7);
		memory = gmem_pointer(f.mem, info64[5], 24 * f.map.count);
		assert_int_equal(memory[3], f.map.entry[1].addr);
		assert_int_equal(memory[4], f.map.entry[1].size);
		assert_int_equal(memory[5], f.map.entry[1].type);
		fixture_close(&f);
	}
}

static void test_linux64(void **state)
{
	struct boot_params *p;
	struct boot_fixture f;
	struct image banner;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, linux64.data, linux64.size);
	assert_int_equal(fixture_load(&f), 0);
	assert_string_equal(f.info.kind, "ELF 64-bit");
	assert_int_equal(f.entry.mode, BOOT_LONG64);
	assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x10);
	p = gmem_pointer(f.mem, f.entry.rsi, sizeof(*p));
	assert_int_equal(p->hdr.boot_flag, 0xaa55);
	assert_int_equal(p->hdr.type_of_loader, 0xff);
	fixture_close(&f);

	image_elf64(&banner, ELF_PLAIN);
	assert_refused(banner.data, banner.size, STATUS_DATA, "PT_NOTE", "says nothing of Linux");
	strcpy((char *)banner.data + ELF_DATA_AT + 0x123, "Linux version 4.4.0");
	assert_boots(banner.data, banner.size, "ELF 64-bit", "version text");
	image_elf32(&banner, ELF_LINUX);
	assert_refused(banner.data, banner.size, STATUS_DATA, "PT_NOTE", "32-bit without PVH");
}

#define TEXT        (64 + 0 * 56)
#define DATA        (64 + 1 * 56)
#define NOTE        (64 + 2 * 56)
#define P_TYPE      0
#define P_OFFSET    8
#define P_PADDR     24
#define P_FILESZ    32
#define P_MEMSZ     40
#define P_ALIGN     48
#define NOTE_NAMESZ ELF_NOTE_AT
#define NOTE_DESCSZ (ELF_NOTE_AT + 4)
#define NOTE_TYPE   (ELF_NOTE_AT + 8)
#define NOTE_DESC   (ELF_NOTE_AT + 16)
#define ENTRY_FIELD "XEN_ELFNOTE_PHYS32_ENTRY"

static const struct field_case cases[] = {
    {"class 0", 4, 1, 0, "EI_CLASS"},
    {"class 3", 4, 1, 3, "EI_CLASS"},
    {"class 32 of a 64-bit file", 4, 1, 1, "e_machine"},
    {"big-endian", 5, 1, 2, "EI_DATA"},
    {"no byte order", 5, 1, 0, "EI_DATA"},
    {"object file", 16, 2, 1, "e_type"},
    {"core file", 16, 2, 4, "e_type"},
    {"position independent", 16, 2, 3, NULL},
    {"for i386", 18, 2, 3, "e_machine"},
    {"for arm64", 18, 2, 183, "e_machine"},
    {"e_entry is not used by PVH", 24, 8, 0, NULL},
    {"e_phoff at the end", 32, 8, ELF_SIZE, "e_phoff"},
    {"e_phoff last byte", 32, 8, ELF_SIZE - 1, "e_phoff"},
    {"e_phoff 2^63", 32, 8, 1ull << 63, "e_phoff"},
    {"e_phoff 2^64 - 1", 32, 8, UINT64_MAX, "e_phoff"},
    {"e_phoff 2^64 - 168", 32, 8, UINT64_MAX - 167, "e_phoff"},
    {"e_phoff at text", 32, 8, ELF_TEXT_AT, "PT_LOAD"},
    {"e_phentsize 0", 54, 2, 0, "e_phentsize"},
    {"e_phentsize 55", 54, 2, 55, "e_phentsize"},
    {"e_phentsize 65535", 54, 2, 65535, "e_phentsize"},
    {"e_phnum 0", 56, 2, 0, "e_phnum"},
    {"e_phnum 129", 56, 2, 129, "e_phnum"},
    {"e_phnum 65535", 56, 2, 65535, "e_phnum"},
    {"p_offset of text at the end", TEXT + P_OFFSET, 8, ELF_SIZE, "p_offset"},
    {"p_offset of text one too far", TEXT + P_OFFSET, 8, ELF_SIZE - ELF_TEXT_SIZE + 1, "p_offset"},
    {"p_offset of text as far as it goes", TEXT + P_OFFSET, 8, ELF_SIZE - ELF_TEXT_SIZE, NULL},
    {"p_offset 2^64 - 1", TEXT + P_OFFSET, 8, UINT64_MAX, "p_offset"},
    {"p_filesz above p_memsz", TEXT + P_FILESZ, 8, ELF_TEXT_SIZE + 1, "p_filesz"},
    {"p_filesz 2^64 - 1", TEXT + P_FILESZ, 8, UINT64_MAX, "p_offset"},
    {"p_filesz 0 is all bss", TEXT + P_FILESZ, 8, 0, NULL},
    {"p_memsz 0", TEXT + P_MEMSZ, 8, 0, "p_filesz"},
    {"p_memsz to the next segment", TEXT + P_MEMSZ, 8, 0x2000, NULL},
    {"p_memsz into the next segment", TEXT + P_MEMSZ, 8, 0x2001, "p_paddr"},
    {"p_memsz 2^64 - 1", DATA + P_MEMSZ, 8, UINT64_MAX, "p_paddr"},
    {"p_memsz wraps to 0", DATA + P_MEMSZ, 8, 0ull - ELF_DATA_PADDR, "p_paddr"},
    {"p_memsz to the end of RAM", DATA + P_MEMSZ, 8, FIXTURE_RAM - ELF_DATA_PADDR, NULL},
    {"p_memsz one over", DATA + P_MEMSZ, 8, FIXTURE_RAM - ELF_DATA_PADDR + 1, "p_paddr"},
    {"p_paddr 0", DATA + P_PADDR, 8, 0, "p_paddr"},
    {"p_paddr over the zero page", DATA + P_PADDR, 8, 0x7000, "p_paddr"},
    {"p_paddr over the command line", DATA + P_PADDR, 8, 0x2f000, "p_paddr"},
    {"p_paddr low but free", DATA + P_PADDR, 8, 0x30000, NULL},
    {"p_paddr into the video hole", DATA + P_PADDR, 8, 0x9f000, "p_paddr"},
    {"p_paddr over a ROM", DATA + P_PADDR, 8, 0xe0000, "p_paddr"},
    {"p_paddr just below 1 MiB", DATA + P_PADDR, 8, 0xff000, "p_paddr"},
    {"p_paddr at 1 MiB", DATA + P_PADDR, 8, 0x100000, NULL},
    {"p_paddr at the end of RAM", DATA + P_PADDR, 8, FIXTURE_RAM, "p_paddr"},
    {"p_paddr above 4 GiB", DATA + P_PADDR, 8, 1ull << 32, "p_paddr"},
    {"p_paddr 2^64 - 4096", DATA + P_PADDR, 8, 0ull - 4096, "p_paddr"},
    {"data over text", DATA + P_PADDR, 8, ELF_TEXT_PADDR, "p_paddr"},
    {"text does not count", TEXT + P_TYPE, 4, 0, ENTRY_FIELD},
    {"note namesz beyond", NOTE_NAMESZ, 4, 0x1000, "namesz"},
    {"note namesz 2^32 - 1", NOTE_NAMESZ, 4, 0xffffffff, "namesz"},
    {"note namesz rounds past the end", NOTE_NAMESZ, 4, 11, "descsz"},
    {"note descsz beyond", NOTE_DESCSZ, 4, 9, "descsz"},
    {"note descsz 2^32 - 1", NOTE_DESCSZ, 4, 0xffffffff, "descsz"},
    {"note descsz 0", NOTE_DESCSZ, 4, 0, ENTRY_FIELD},
    {"note descsz 7", NOTE_DESCSZ, 4, 7, ENTRY_FIELD},
    {"note descsz 4", NOTE_DESCSZ, 4, 4, NULL},
    {"note of another type", NOTE_TYPE, 4, 17, "PT_NOTE"},
    {"note of another owner", NOTE_NAMESZ + 12, 4, 0x006e6558 + 1, "PT_NOTE"},
    {"note segment missing", NOTE + P_TYPE, 4, 0, "PT_NOTE"},
    {"note segment empty", NOTE + P_FILESZ, 8, 0, "PT_NOTE"},
    {"note segment of 11 bytes", NOTE + P_FILESZ, 8, 11, "PT_NOTE"},
    {"note segment cut in the name", NOTE + P_FILESZ, 8, 14, "namesz"},
    {"note segment cut in the entry", NOTE + P_FILESZ, 8, 20, "descsz"},
    {"note segment beyond the file", NOTE + P_OFFSET, 8, ELF_SIZE, "p_offset"},
    {"note segment aligned to 8", NOTE + P_ALIGN, 8, 8, NULL},
    {"note alignment nonsense", NOTE + P_ALIGN, 8, UINT64_MAX, NULL},
    {"entry 0", NOTE_DESC, 8, 0, ENTRY_FIELD},
    {"entry behind text", NOTE_DESC, 8, ELF_TEXT_PADDR + ELF_TEXT_SIZE, ENTRY_FIELD},
    {"entry last byte of text", NOTE_DESC, 8, ELF_TEXT_PADDR + ELF_TEXT_SIZE - 1, NULL},
    {"entry outside RAM", NOTE_DESC, 8, FIXTURE_RAM, ENTRY_FIELD},
    {"entry above 4 GiB", NOTE_DESC, 8, (1ull << 32) + ELF_TEXT_PADDR, ENTRY_FIELD},
};

static void test_pvh_fields(void **state)
{
	(void)state;
	assert_fields(cases, sizeof(cases) / sizeof(cases[0]), &pvh, "ELF PVH");
}

static void test_pvh_note_twice(void **state)
{
	struct image x = pvh;

	(void)state;
	memcpy(x.data + ELF_NOTE_AT + 24, x.data + ELF_NOTE_AT, 24);
	image_put(&x, NOTE + P_FILESZ, 48, 8);
	image_put(&x, NOTE + P_MEMSZ, 48, 8);
	assert_refused(x.data, x.size, STATUS_DATA, ENTRY_FIELD, "two notes");
}

static void test_linux64_fields(void **state)
{
	static const struct field_case entries[] = {
	    {"e_entry 0", 24, 8, 0, "e_entry"},
	    {"e_entry outside", 24, 8, ELF_END_PADDR, "e_entry"},
	    {"e_entry in bss", 24, 8, ELF_END_PADDR - 1, NULL},
	    {"e_entry virtual", 24, 8, 0xffffffff81000000ull, "e_entry"},
	};

	(void)state;
	assert_fields(entries, 4, &linux64, "ELF 64-bit");
}

static void test_many_segments(void **state)
{
	struct image x;
	unsigned i, n;

	(void)state;
	for (n = 32; n <= 33; n++) {
		image_elf64(&x, ELF_PVH_NOTE);
		/* The note's header first, then n segments of 16 bytes. */
		image_put(&x, 32, 0x4000, 8);
		image_put(&x, 56, n + 1, 2);
		memcpy(x.data + 0x4000, pvh.data + NOTE, 56);
		for (i = 0; i < n; i++) {
			memcpy(x.data + 0x4038 + i * 56, pvh.data + TEXT, 56);
			image_put(&x, 0x4038 + i * 56 + P_PADDR, ELF_TEXT_PADDR + i * 0x100, 8);
			image_put(&x, 0x4038 + i * 56 + P_FILESZ, 0x100, 8);
			image_put(&x, 0x4038 + i * 56 + P_MEMSZ, 0x100, 8);
		}
		if (n == 32)
			assert_boots(x.data, x.size, "ELF PVH", "32 segments");
		else
			assert_refused(x.data, x.size, STATUS_DATA, "PT_LOAD", "33 segments");
	}
	image_elf64(&x, ELF_PVH_NOTE);
	image_put(&x, 32, 0x4000, 8);
	for (n = 8; n <= 9; n++) {
		image_put(&x, 56, n + 1, 2);
		memcpy(x.data + 0x4000, pvh.data + TEXT, 56);
		for (i = 0; i < n; i++) {
			memcpy(x.data + 0x4038 + i * 56, pvh.data + NOTE, 56);
			if (i > 0)
				image_put(&x, 0x4038 + i * 56 + P_FILESZ, 0, 8);
		}
		if (n == 8)
			assert_boots(x.data, x.size, "ELF PVH", "8 note segments");
		else
			assert_refused(x.data, x.size, STATUS_DATA, "PT_NOTE", "9 note segments");
	}
}

static void test_multiboot(void **state)
{
	const uint32_t *info, *module, *map;
	struct boot_fixture f;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, multiboot.data, multiboot.size);
	fixture_initrd(&f, "first", 5);
	fixture_initrd(&f, "the second", 10);
	f.req.append = "a b";
	assert_int_equal(fixture_load(&f), 0);
	assert_string_equal(f.info.kind, "multiboot");
	assert_int_equal(f.entry.mode, BOOT_PROTECTED32);
	assert_int_equal(f.entry.rip, 0x200100);
	assert_int_equal(f.entry.rax, 0x2badb002);
	assert_int_equal(f.entry.rbx, LAYOUT_MULTIBOOT_INFO);
	assert_memory_equal(gmem_pointer(f.mem, 0x200000, 0x1000), multiboot.data, 0x1000);
	info = gmem_pointer(f.mem, f.entry.rbx, 88);
	assert_int_equal(info[0], 0x24d);
	assert_int_equal(info[1], 0x9fc00 / 1024);
	assert_int_equal(info[2], (FIXTURE_RAM - 0x100000) / 1024);
	assert_string_equal(gmem_pointer(f.mem, info[4], 32), "vmlinuz a b");
	assert_int_equal(info[5], 2);
	module = gmem_pointer(f.mem, info[6], 32);
	assert_int_equal(module[0], 0x203000);
	assert_int_equal(module[1], 0x203005);
	assert_string_equal(gmem_pointer(f.mem, module[2], 32), "initrd.img");
	assert_int_equal(module[4], 0x204000);
	assert_memory_equal(gmem_pointer(f.mem, module[4], 10), "the second", 10);
	assert_int_equal(info[11], 24 * f.map.count);
	map = gmem_pointer(f.mem, info[12], info[11]);
	assert_int_equal(map[0], 20);
	assert_int_equal(map[3], f.map.entry[0].size);
	assert_string_equal(gmem_pointer(f.mem, info[16], 6), "lodge");
	fixture_close(&f);
}

/* Sets one field and mends the checksum. */
static void multiboot_case(unsigned field, uint32_t value, const char *name, const char *refused)
{
	struct image x = multiboot;

	image_put(&x, MB_HEADER_AT + 4 * field, value, 4);
	if (field < 2)
		image_put(&x, MB_HEADER_AT + 8,
			  0 - image_get(&x, MB_HEADER_AT, 4) - image_get(&x, MB_HEADER_AT + 4, 4),
			  4);
	if (refused)
		assert_refused(x.data, x.size, STATUS_DATA, refused, name);
	else
		assert_boots(x.data, x.size, "multiboot", name);
}

static void test_multiboot_fields(void **state)
{
	struct image x;

	(void)state;
	multiboot_case(0, 0x1badb003, "another magic", "kernel");
	multiboot_case(2, 0, "checksum 0", "kernel");
	multiboot_case(1, 0x10007, "wants a video mode", NULL);
	multiboot_case(1, 0x10008, "unknown requirement", "flags");
	multiboot_case(1, 0x18000, "unknown requirement 15", "flags");
	multiboot_case(1, 0xff0000, "unknown wishes", NULL);
	multiboot_case(1, 0x3, "neither ELF nor addresses", "EI_MAG");
	multiboot_case(3, 0x1fffff, "header below load", "load_addr");
	multiboot_case(3, 0x200000 + MB_HEADER_AT + 1, "before the file", "header_addr");
	multiboot_case(3, 0xffffffff, "header at 4 GiB", "header_addr");
	multiboot_case(3, 0x200000, "the file from the header on", "load_end_addr");
	multiboot_case(4, 0, "load at 0", "header_addr");
	multiboot_case(4, 0xffffffff, "load at 4 GiB", "load_addr");
	multiboot_case(5, 0, "to the end of the file", NULL);
	multiboot_case(5, 0x200000, "nothing", "load_end_addr");
	multiboot_case(5, 0x1fffff, "less than nothing", "load_end_addr");
	multiboot_case(5, 0x201001, "beyond the file", "load_end_addr");
	multiboot_case(5, 0xffffffff, "far beyond the file", "load_end_addr");
	multiboot_case(6, 0, "no bss", NULL);
	multiboot_case(6, 0x200fff, "bss ends before data", "bss_end_addr");
	multiboot_case(6, (uint32_t)FIXTURE_RAM, "bss to the end of RAM", NULL);
	multiboot_case(6, (uint32_t)FIXTURE_RAM + 1, "bss one over", "load_addr");
	multiboot_case(6, 0xffffffff, "bss to 4 GiB", "load_addr");
	multiboot_case(7, 0x1fffff, "entry before", "entry_addr");
	multiboot_case(7, 0x203000, "entry behind", "entry_addr");
	multiboot_case(7, 0x202fff, "entry last", NULL);
	x = multiboot;
	image_put(&x, MB_HEADER_AT + 12, MB_HEADER_AT, 4);
	image_put(&x, MB_HEADER_AT + 16, 0, 4);
	image_put(&x, MB_HEADER_AT + 20, 0x1000, 4);
	image_put(&x, MB_HEADER_AT + 24, 0, 4);
	image_put(&x, MB_HEADER_AT + 28, 0x100, 4);
	assert_refused(x.data, x.size, STATUS_DATA, "load_addr", "all of it at 0");
	assert_refused(multiboot.data, MB_HEADER_AT + 31, STATUS_DATA, "header_addr",
		       "ends in the addresses");
	assert_refused(multiboot.data, MB_HEADER_AT + 11, STATUS_DATA, "kernel",
		       "ends in the header");
}

static void test_multiboot_elf(void **state)
{
	const uint32_t header[3] = {0x1badb002, 3, 0u - 0x1badb002 - 3};
	struct image x;

	(void)state;
	image_elf32(&x, ELF_PLAIN);
	memcpy(x.data + 0x800, header, sizeof(header));
	assert_boots(x.data, x.size, "multiboot", "32-bit ELF");
	image_put(&x, 24, 0x12345, 4);
	assert_refused(x.data, x.size, STATUS_DATA, "e_entry", "entry outside");
	image_elf64(&x, ELF_PLAIN);
	memcpy(x.data + 0x800, header, sizeof(header));
	assert_boots(x.data, x.size, "multiboot", "64-bit ELF");
	/* The note is the better answer. */
	image_elf64(&x, ELF_PVH_NOTE);
	memcpy(x.data + 0x800, header, sizeof(header));
	assert_boots(x.data, x.size, "ELF PVH", "both");
	/* A header in the last place that counts, and behind it. */
	image_elf32(&x, ELF_PLAIN);
	memcpy(x.data + 8192 - 12, header, sizeof(header));
	assert_boots(x.data, x.size, "multiboot", "last place");
	image_elf32(&x, ELF_PLAIN);
	memcpy(x.data + 8192 - 8, header, sizeof(header));
	assert_refused(x.data, x.size, STATUS_DATA, "PT_NOTE", "too far");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pvh),
	    cmocka_unit_test(test_linux64),
	    cmocka_unit_test(test_pvh_fields),
	    cmocka_unit_test(test_pvh_note_twice),
	    cmocka_unit_test(test_linux64_fields),
	    cmocka_unit_test(test_many_segments),
	    cmocka_unit_test(test_multiboot),
	    cmocka_unit_test(test_multiboot_fields),
	    cmocka_unit_test(test_multiboot_elf),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
