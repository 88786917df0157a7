// SPDX-License-Identifier: GPL-2.0-or-later
/* bzImage: what a kernel gets, and each field of a header that must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot_image.h"
#include "machine/layout.h"

#include <asm/bootparam.h>
#include <lodge/status.h>
#include <stdlib.h>
#include <string.h>

static struct image elf64, elf32, bz;

static int setup(void **state)
{
	(void)state;
	image_elf64(&elf64, ELF_LINUX);
	image_elf32(&elf32, ELF_LINUX);
	image_bz(&bz, &elf64);
	return 0;
}

static void test_boots_in_long_mode(void **state)
{
	struct boot_params *p;
	struct boot_fixture f;
	const uint64_t *tables;
	unsigned i;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, bz.data, bz.size);
	f.req.append = "console=ttyS0 name=J\xc3\xbcrgen";
	assert_int_equal(fixture_load(&f), 0);
	assert_string_equal(f.info.kind, "bzImage");
	assert_string_equal(f.info.compression, "lz4");
	assert_string_equal(f.info.version, BZ_VERSION);
	assert_false(f.info.from_cache);
	assert_int_equal(f.info.kernel_bytes, ELF_TEXT_SIZE + ELF_DATA_SIZE);
	assert_int_equal(f.entry.mode, BOOT_LONG64);
	assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x10);
	assert_int_equal(f.entry.rsi, LAYOUT_BOOT_PARAMS);
	assert_int_equal(f.entry.cr3, LAYOUT_PAGE_TABLES);
	assert_true(fixture_ram_is_elf(&f, &elf64, 0, 0));

	p = gmem_pointer(f.mem, LAYOUT_BOOT_PARAMS, sizeof(*p));
	assert_int_equal(p->hdr.type_of_loader, 0xff);
	assert_int_equal(p->hdr.boot_flag, 0xaa55);
	assert_int_equal(p->hdr.init_size, BZ_INIT_SIZE);
	assert_int_equal(p->hdr.ramdisk_size, 0);
	assert_int_equal(p->sentinel, 0);
	assert_int_equal(p->acpi_rsdp_addr, 0xe0000);
	assert_int_equal(p->e820_entries, f.map.count);
	for (i = 0; i < f.map.count; i++) {
		assert_int_equal(p->e820_table[i].addr, f.map.entry[i].addr);
		assert_int_equal(p->e820_table[i].size, f.map.entry[i].size);
		assert_int_equal(p->e820_table[i].type, f.map.entry[i].type);
	}
	assert_string_equal(gmem_pointer(f.mem, p->hdr.cmd_line_ptr, 64), f.req.append);

	tables = gmem_pointer(f.mem, f.entry.cr3, LAYOUT_PAGE_TABLES_SIZE);
	assert_int_equal(tables[0], (LAYOUT_PAGE_TABLES + 0x1000) | 3);
	assert_int_equal(tables[512 + 3], (LAYOUT_PAGE_TABLES + 0x5000) | 3);
	assert_int_equal(tables[1024 + 2047], 0xffe00083ull);
	fixture_close(&f);
}

static void test_boots_in_protected_mode(void **state)
{
	struct image z;
	struct boot_fixture f;
	const uint64_t *gdt;

	(void)state;
	image_bz(&z, &elf32);
	image_put(&z, 0x236, 0, 2);
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, z.data, z.size);
	assert_int_equal(fixture_load(&f), 0);
	assert_int_equal(f.entry.mode, BOOT_PROTECTED32);
	assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x10);
	assert_int_equal(f.entry.rsi, LAYOUT_BOOT_PARAMS);
	assert_true(fixture_ram_is_elf(&f, &elf32, 0, 0));
	gdt = gmem_pointer(f.mem, f.entry.gdt, f.entry.gdt_size);
	assert_int_equal(gdt[2], 0x00cf9b000000ffffull);
	assert_int_equal(gdt[3], 0x00cf93000000ffffull);
	fixture_close(&f);
}

/* Where the segments' order in the file is not that in memory, unpacking in place cannot work. */
static void test_unpacks_aside(void **state)
{
	struct image swapped = elf64, z;
	struct boot_fixture f;

	(void)state;
	memcpy(swapped.data + elf64_header(0), elf64.data + elf64_header(1), 56);
	memcpy(swapped.data + elf64_header(1), elf64.data + elf64_header(0), 56);
	image_bz(&z, &swapped);
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, z.data, z.size);
	assert_int_equal(fixture_load(&f), 0);
	assert_true(fixture_ram_is_elf(&f, &elf64, 0, 0));
	fixture_close(&f);
}

/* bzip2 and LZO payloads, and none: the guest unpacks itself. */
static void test_guest_unpacks(void **state)
{
	static const char *const magics[] = {"BZh9", "\x89LZO", "????"};
	struct boot_fixture f;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct image z = bz;

		memcpy(z.data + BZ_SETUP_BYTES + BZ_PAYLOAD_AT, magics[i], 4);
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, z.data, z.size);
		assert_int_equal(fixture_load(&f), 0);
		assert_int_equal(f.entry.mode, BOOT_LONG64);
		assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x200);
		assert_memory_equal(gmem_pointer(f.mem, ELF_TEXT_PADDR, z.size - BZ_SETUP_BYTES),
				    z.data + BZ_SETUP_BYTES, z.size - BZ_SETUP_BYTES);
		fixture_close(&f);
	}
}

static const struct field_case cases[] = {
    {"no boot flag", 0x1fe, 2, 0, "boot_flag"},
    {"boot flag reversed", 0x1fe, 2, 0x55aa, "boot_flag"},
    {"no magic", 0x202, 4, 0, "header"},
    {"half a magic", 0x202, 4, 0x53726449, "header"},
    {"version 0", 0x206, 2, 0, "version"},
    {"version 2.00", 0x206, 2, 0x200, "version"},
    {"version 2.05", 0x206, 2, 0x205, "version"},
    {"version 2.09", 0x206, 2, 0x209, "version"},
    {"version 2.10", 0x206, 2, 0x20a, NULL},
    {"version 2.11", 0x206, 2, 0x20b, NULL},
    {"version 2.255", 0x206, 2, 0x2ff, NULL},
    {"version 3.00", 0x206, 2, 0x300, "version"},
    {"version 1.15", 0x206, 2, 0x10f, "version"},
    {"version 0xffff", 0x206, 2, 0xffff, "version"},
    {"setup_sects 0 means 4", 0x1f1, 1, 0, NULL},
    {"setup_sects 255", 0x1f1, 1, 255, "setup_sects"},
    {"setup_sects beyond the file", 0x1f1, 1, 60, "setup_sects"},
    {"setup_sects inside the file", 0x1f1, 1, 5, "syssize"},
    {"syssize 0", 0x1f4, 4, 0, "syssize"},
    {"syssize 1", 0x1f4, 4, 1, "handover_offset"},
    {"syssize one paragraph short", 0x1f4, 4, 0x530, "payload_length"},
    {"syssize beyond the file", 0x1f4, 4, 0x600, "syssize"},
    {"syssize 2^32 - 1", 0x1f4, 4, 0xffffffff, "syssize"},
    {"a zImage", 0x211, 1, 0, "loadflags"},
    {"jump 0", 0x200, 2, 0, "jump"},
    {"jump into the header", 0x200, 2, 0x20eb, "jump"},
    {"jump far", 0x200, 2, 0xffeb, NULL},
    {"code32_start 0", 0x214, 4, 0, "code32_start"},
    {"code32_start in the zero page", 0x214, 4, 0x7000, "code32_start"},
    {"code32_start in the hole", 0x214, 4, 0xa0000, "code32_start"},
    {"code32_start at the end of RAM", 0x214, 4, FIXTURE_RAM, "code32_start"},
    {"code32_start wraps", 0x214, 4, 0xfffffff0, "code32_start"},
    {"kernel_alignment 0", 0x230, 4, 0, "kernel_alignment"},
    {"kernel_alignment 3", 0x230, 4, 3, "kernel_alignment"},
    {"kernel_alignment 2^32 - 1", 0x230, 4, 0xffffffff, "kernel_alignment"},
    {"kernel_alignment above pref_address", 0x230, 4, 0x80000000, "pref_address"},
    {"min_alignment above", 0x235, 1, 22, "min_alignment"},
    {"min_alignment 63", 0x235, 1, 63, "min_alignment"},
    {"min_alignment 64", 0x235, 1, 64, "min_alignment"},
    {"min_alignment 255", 0x235, 1, 255, "min_alignment"},
    {"pref_address 0", 0x258, 8, 0, "pref_address"},
    {"pref_address not aligned", 0x258, 8, ELF_TEXT_PADDR + 0x1000, "pref_address"},
    {"pref_address beyond RAM", 0x258, 8, FIXTURE_RAM, "pref_address"},
    {"pref_address above 4 GiB", 0x258, 8, 1ull << 40, "pref_address"},
    {"pref_address 2^64 - 2 MiB", 0x258, 8, 0ull - 0x200000, "pref_address"},
    {"init_size 0", 0x260, 4, 0, "init_size"},
    {"init_size to the end of RAM", 0x260, 4, FIXTURE_RAM - ELF_TEXT_PADDR, NULL},
    {"init_size one over", 0x260, 4, FIXTURE_RAM - ELF_TEXT_PADDR + 1, "init_size"},
    {"init_size 2^32 - 1", 0x260, 4, 0xffffffff, "init_size"},
    {"payload_offset beyond", 0x248, 4, 0x10000, "payload_offset"},
    {"payload_offset 2^32 - 1", 0x248, 4, 0xffffffff, "payload_offset"},
    {"payload_length beyond", 0x24c, 4, 0x10000, "payload_length"},
    {"payload_length 2^32 - 1", 0x24c, 4, 0xffffffff, "payload_length"},
    {"payload_length 15", 0x24c, 4, 15, "payload_length"},
    {"payload cut in half", 0x24c, 4, 0x2800, "payload_length"},
    {"payload absent", 0x24c, 4, 0, NULL},
    {"setup_data in the file", 0x250, 8, 0x250, "setup_data"},
    {"setup_data loops to itself", 0x250, 8, 0x1000250, "setup_data"},
    {"handover_offset beyond", 0x264, 4, 0x10000, "handover_offset"},
    {"handover_offset 2^32 - 1", 0x264, 4, 0xffffffff, "handover_offset"},
    {"handover_offset 0 with its flags", 0x264, 4, 0, "handover_offset"},
    {"above 4 GiB without 64-bit", 0x236, 2, 0x2, "xloadflags"},
    {"64-bit handover without 64-bit", 0x236, 2, 0x8, "xloadflags"},
    {"5-level enabled but not known", 0x236, 2, 0x41, "xloadflags"},
    {"64-bit payload not announced", 0x236, 2, 0, "xloadflags"},
    {"above 4 GiB, not relocatable", 0x234, 1, 0, "xloadflags"},
    {"64-bit entry alone", 0x236, 2, 1, NULL},
    {"version text beyond the setup part", 0x20e, 2, 0xfff0, NULL},
};

static void test_header_fields(void **state)
{
	(void)state;
	assert_fields(cases, sizeof(cases) / sizeof(cases[0]), &bz, "bzImage");
}

/* What the payload says of itself. */
static void test_payload(void **state)
{
	size_t tail = BZ_SETUP_BYTES + BZ_PAYLOAD_AT + image_get(&bz, 0x24c, 4) - 4;
	struct image z = bz, bad = elf64;

	(void)state;
	image_put(&z, tail, ELF_SIZE + 1, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "payload_length", "one byte more");
	image_put(&z, tail, ELF_SIZE - 1, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "p_offset", "one byte less");
	image_put(&z, tail, ELF_DATA_AT, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "p_offset", "the data segment missing");
	image_put(&z, tail, 0, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "payload_length", "0 bytes");
	image_put(&z, tail, 0xffffffff, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "payload_length", "4 GiB");
	z = bz;
	image_put(&z, BZ_SETUP_BYTES + BZ_PAYLOAD_AT + 4, 0x7fffffff, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "lz4", "block longer than any");
	image_put(&z, BZ_SETUP_BYTES + BZ_PAYLOAD_AT + 4, 0x100000, 4);
	assert_refused(z.data, z.size, STATUS_DATA, "lz4", "block longer than the payload");

	image_put(&bad, 24, 0x12345, 8);
	image_bz(&z, &bad);
	assert_refused(z.data, z.size, STATUS_DATA, "e_entry", "entry outside");
	memset(bad.data, 0, 4);
	image_bz(&z, &bad);
	assert_refused(z.data, z.size, STATUS_DATA, "EI_MAG", "not an ELF file");
	bad = elf64;
	image_put(&bad, elf64_header(0) + 24, 0x8000000, 8);
	image_bz(&z, &bad);
	assert_refused(z.data, z.size, STATUS_DATA, "p_paddr", "segment outside RAM");
}

static void load_with_append(const char *append, size_t limit, int status)
{
	struct image z = bz;
	struct boot_fixture f;
	unsigned fds = count_fds();

	image_put(&z, 0x238, limit, 4);
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, z.data, z.size);
	f.req.append = append;
	assert_int_equal(fixture_load(&f), status ? -1 : 0);
	assert_int_equal(f.why.status, status);
	if (status)
		assert_non_null(strstr(f.why.text, "--append: command line: "));
	else
		assert_string_equal(gmem_pointer(f.mem, LAYOUT_CMDLINE, strlen(append) + 1),
				    append);
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

static void test_command_line(void **state)
{
	char *text = malloc(0x20001);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', 0x20000);
	text[0x20000] = '\0';
	load_with_append("", BZ_CMDLINE_SIZE, 0);
	load_with_append("", 0, 0);
	load_with_append("a", 0, STATUS_USAGE);
	load_with_append("\xff\xfe\x80 \xe2\x82\xac", BZ_CMDLINE_SIZE, 0);
	load_with_append("two\nlines\tand \x01", BZ_CMDLINE_SIZE, 0);
	load_with_append(text, 0xffffffff, STATUS_USAGE);
	text[0x10000] = '\0';
	load_with_append(text, 0xffffffff, STATUS_USAGE);
	text[0xffff] = '\0';
	load_with_append(text, 0xffffffff, 0);
	load_with_append(text, 0xfffe, STATUS_USAGE);
	text[BZ_CMDLINE_SIZE + 1] = '\0';
	load_with_append(text, BZ_CMDLINE_SIZE, STATUS_USAGE);
	text[BZ_CMDLINE_SIZE] = '\0';
	load_with_append(text, BZ_CMDLINE_SIZE, 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_boots_in_long_mode),
	    cmocka_unit_test(test_boots_in_protected_mode),
	    cmocka_unit_test(test_unpacks_aside),
	    cmocka_unit_test(test_guest_unpacks),
	    cmocka_unit_test(test_header_fields),
	    cmocka_unit_test(test_payload),
	    cmocka_unit_test(test_command_line),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
