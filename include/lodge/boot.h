/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Booting without firmware: puts a kernel, its initrd and what it must be told into guest memory,
 * and says how the first vCPU starts.
 *
 * Kernel files are hostile. Every length and address is checked against the file and against RAM
 * before it is used, and what is refused is refused with the name of the header field.
 */
#ifndef LODGE_BOOT_H
#define LODGE_BOOT_H

#include <lodge/gmem.h>
#include <lodge/status.h>
#include <stdint.h>

enum boot_mode {
	BOOT_PROTECTED32, /* flat 32-bit protected mode, paging off */
	BOOT_LONG64,      /* 64-bit mode, identity-mapped by the page tables at cr3 */
};

/* The first vCPU at its first instruction. Registers that are not named are 0. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t rax, rbx, rsi; /* multiboot magic; start_info; boot_params */
	uint64_t cr3;           /* BOOT_LONG64 */
	gpa_t gdt;              /* flat: 0x08 and 0x10 code, 0x18 data; see layout.h */
	uint16_t gdt_size;      /* bytes */
};

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

struct e820_entry {
	uint64_t addr, size;
	uint32_t type;
};

#define E820_MAX 128u

struct e820 {
	struct e820_entry entry[E820_MAX];
	unsigned count;
};

/* Sorted and without overlaps; a later addition wins over an earlier one. */
int e820_add(struct e820 *map, uint64_t addr, uint64_t size, enum e820_type type);

struct boot_request {
	const char *kernel_path;
	int kernel_fd; /* opened by the caller, for reading */
	const char *const *initrd_paths;
	const int *initrd_fds;
	unsigned initrd_count;  /* their contents are concatenated, each padded to 4 bytes */
	const char *append;     /* the kernel's command line; may be empty, not NULL */
	const struct e820 *map; /* as the guest shall see it */
	gpa_t rsdp;             /* ACPI root, 0 if there is none */
	const char *cache_dir;  /* unpacked kernels are kept here; NULL: nowhere */
};

/* What was loaded, for reports and for the verbose log. */
struct boot_info {
	const char *kind;        /* "bzImage", "ELF PVH", "ELF 64-bit", "multiboot", "FIT" */
	const char *compression; /* of the kernel proper: "lz4", "none", ... */
	bool from_cache;         /* the kernel was copied from the cache */
	uint64_t kernel_bytes;   /* as loaded */
	uint64_t initrd_bytes;
	char version[128]; /* the kernel's own version text, or "" */
};

/*
 * Opens nothing but the cache; reads the files, fills RAM and *entry. 0, or -1 with *why.
 * Called again, from the same descriptors, for each reset of the guest.
 */
int boot_load(const struct boot_request *req, struct gmem *m, struct boot_entry *entry,
	      struct boot_info *info, struct refusal *why);

/*
 * Waits for what boot_load() may have left to do beside the guest: to see the unpacked kernel on
 * disk. On the thread of boot_load(), before the process ends; else that kernel is not kept.
 */
void boot_finish(void);

#endif
