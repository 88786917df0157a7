/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small synthetic kernels, and one call that loads them: tests start from an image that boots and
 * change one field of it.
 */
#ifndef TESTS_BOOT_IMAGE_H
#define TESTS_BOOT_IMAGE_H

#include <lodge/boot.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX 0x20000u

struct image {
	uint8_t data[IMAGE_MAX];
	size_t size;
};

void image_put(struct image *i, size_t at, uint64_t value, unsigned bytes);
uint64_t image_get(const struct image *i, size_t at, unsigned bytes);

/* The executable that the images hold: text, data and bss, from 16 MiB up. */
#define ELF_TEXT_AT    0x1000u /* in the file */
#define ELF_TEXT_SIZE  0x1800u
#define ELF_TEXT_PADDR 0x1000000u
#define ELF_DATA_AT    0x4000u
#define ELF_DATA_SIZE  0x1000u
#define ELF_DATA_PADDR 0x1002000u
#define ELF_DATA_MEMSZ 0x3000u
#define ELF_END_PADDR  0x1005000u
#define ELF_NOTE_AT    0x200u
#define ELF_SIZE       0x5000u

enum elf_flavour { ELF_LINUX, ELF_PVH_NOTE, ELF_PLAIN };

void image_elf64(struct image *i, enum elf_flavour f);
void image_elf32(struct image *i, enum elf_flavour f);

/* Offsets of a program header's fields, by header (0 text, 1 data, 2 note). */
size_t elf64_header(unsigned n);

/* A bzImage of protocol 2.15 with the executable as its payload. */
#define BZ_SETUP_BYTES  (5u * 512u)
#define BZ_PAYLOAD_AT   0x300u /* in the protected-mode part */
#define BZ_INIT_SIZE    0x10000u
#define BZ_CMDLINE_SIZE 255u
#define BZ_VERSION      "6.1.0-test (somebody) #1"
void image_bz(struct image *i, const struct image *elf);

/* Stores src as an lz4 legacy stream without compressing it. Returns the bytes written. */
size_t image_lz4_store(uint8_t *dst, const uint8_t *src, size_t n);

/* The multiboot header with address fields, text and bss. */
#define MB_HEADER_AT 0x40u
void image_multiboot(struct image *i);

/* A flattened device tree, written front to back. */
struct tree {
	uint8_t structure[0x10000];
	size_t structure_size;
	char strings[0x400];
	size_t strings_size;
};
void tree_open(struct tree *t, const char *name);
void tree_close(struct tree *t);
void tree_put(struct tree *t, const char *name, const void *value, size_t n);
void tree_put_string(struct tree *t, const char *name, const char *value);
void tree_put_u32(struct tree *t, const char *name, uint32_t value);
void tree_finish(struct tree *t, struct image *out);

/* A guest with RAM, waiting for a kernel. */
struct boot_fixture {
	struct gmem *mem;
	struct e820 map;
	struct boot_request req;
	const char *initrd_path[8];
	int initrd_fd[8];
	struct boot_entry entry;
	struct boot_info info;
	struct refusal why;
};

#define FIXTURE_RAM (64ull << 20)

void fixture_open(struct boot_fixture *f, uint64_t ram_bytes);
void fixture_close(struct boot_fixture *f);
/* A file in memory; the fixture closes it. */
int fixture_file(const void *data, size_t n);
void fixture_kernel(struct boot_fixture *f, const void *data, size_t n);
void fixture_initrd(struct boot_fixture *f, const void *data, size_t n);
int fixture_load(struct boot_fixture *f);

/* True when RAM from 1 MiB on holds the executable's segments and, but for skip, zeroes. */
bool fixture_ram_is_elf(struct boot_fixture *f, const struct image *elf, uint64_t skip,
			uint64_t skip_size);

/* Loads data in a fresh guest; asserts the status and that the line names the field. */
void assert_refused(const void *data, size_t n, int status, const char *field, const char *name);
void assert_boots(const void *data, size_t n, const char *kind, const char *name);

/* One value in an image that boots, and what becomes of it then. */
struct field_case {
	const char *name;
	size_t at;
	unsigned bytes;
	uint64_t value;
	const char *field; /* NULL: boots */
};

/* Each of n cases, with status 65 where it is refused. */
void assert_fields(const struct field_case *c, unsigned n, const struct image *good,
		   const char *kind);

unsigned count_fds(void);

#endif
