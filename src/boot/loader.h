/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the boot room: where bytes come from, what a loaded kernel is, and the parts that turn
 * the one into the other. Everything runs on the thread that called boot_load(), before the first
 * vCPU does.
 *
 * A load has two halves. The first finds out what the file is and fills RAM; what it learns is
 * struct kernel, plain data that the cache can keep. The second, the same for a kernel from the
 * file and for one from the cache, places the initrd and writes what the kernel must be told.
 */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <lodge/boot.h>

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define BOOT_PAGE       4096u
#define BOOT_HEAD_BYTES 4096u /* of each kernel file: read first, and compared by the cache */
#define BOOT_INITRDS    80u   /* from the command line and from a FIT image together */

/* Bytes of a file, or of memory that one was unpacked to. Nothing beyond size is ever read. */
struct source {
	const char *path; /* for refusals */
	int fd;           /* used when data is NULL */
	const uint8_t *data;
	uint64_t size;
	uint64_t present; /* of data: 0 to present is filled in so far; size when complete */
};

/* A regular file that is not empty. field names it in a refusal. */
int source_open(struct source *s, const char *path, int fd, const char *field, struct stat *st,
		struct refusal *why);

/* Copies [offset, offset + n), all or nothing: 65 naming field when that is not in the file. */
int source_read(const struct source *s, uint64_t offset, void *dst, uint64_t n, const char *field,
		struct refusal *why);

/* Anonymous memory, zero, that costs nothing until touched. */
struct scratch {
	uint8_t *data;
	uint64_t size;
};
int scratch_alloc(struct scratch *s, uint64_t size, const char *path, struct refusal *why);
void scratch_free(struct scratch *s);

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_XZ,
	COMPRESSION_LZMA,
	COMPRESSION_ZSTD,
	COMPRESSION_LZ4_LEGACY, /* magic 0x184c2102, what the kernel's build makes */
	COMPRESSION_LZ4_FRAME,  /* magic 0x184d2204, what lz4(1) makes */
	COMPRESSION_BZIP2,      /* known by name only, as are those below */
	COMPRESSION_LZO,
	COMPRESSION_COUNT
};

const char *compression_name(enum compression c);
enum compression compression_detect(const uint8_t *p, uint64_t n);
bool compression_known(enum compression c); /* decompress() can unpack it */

/* Loads the library for c. 0, or -1 with 69. */
int decompress_prepare(enum compression c, const char *path, struct refusal *why);

/*
 * Unpacks src into dst until the stream ends or dst is full; *written says how far that was. With
 * room for BOOT_HEAD_BYTES or less, the start of longer data. 65 for damaged data, 69 for a
 * missing library.
 */
int decompress(enum compression c, const uint8_t *src, uint64_t src_size, uint8_t *dst,
	       uint64_t dst_size, uint64_t *written, const char *path, struct refusal *why);

enum kernel_protocol {
	PROTOCOL_LINUX64,   /* boot_params in rsi, 64-bit mode */
	PROTOCOL_LINUX32,   /* boot_params in esi, protected mode */
	PROTOCOL_PVH,       /* start_info in ebx */
	PROTOCOL_MULTIBOOT, /* information structure in ebx, magic in eax */
	PROTOCOL_COUNT
};

enum kernel_kind { KIND_BZIMAGE, KIND_ELF_PVH, KIND_ELF_64, KIND_MULTIBOOT, KIND_FIT, KIND_COUNT };

/* A piece of RAM that holds bytes of the kernel; what lies between and behind is zero. */
struct kernel_extent {
	uint64_t gpa;
	uint64_t size; /* bytes */
};

#define KERNEL_EXTENTS_MAX 32u

/* All that the second half of a load needs. No pointers: the cache stores it as it is. */
struct kernel {
	uint32_t kind;        /* enum kernel_kind */
	uint32_t protocol;    /* enum kernel_protocol */
	uint32_t compression; /* enum compression, of the kernel proper */
	uint32_t cmdline_max; /* bytes without the NUL */
	uint64_t entry;       /* guest physical */
	uint64_t first, end;  /* [first, end) must be RAM and is the kernel's own */
	uint64_t bytes;       /* of the kernel, as loaded */
	uint64_t initrd_last; /* highest address that an initrd may occupy */
	uint32_t initrd_any;  /* if it does not fit below, it may lie anywhere */
	uint32_t extent_count;
	struct kernel_extent extent[KERNEL_EXTENTS_MAX];
	struct setup_header setup; /* PROTOCOL_LINUX*: as the file has it */
	char version[128];
};

struct loader {
	const struct boot_request *req;
	struct gmem *m;
	struct refusal *why;
	struct source file; /* the file itself */
	struct stat st;     /* of the file, before the first byte was read */
	uint8_t head[BOOT_HEAD_BYTES];
	uint64_t head_size;
	struct kernel k;
	bool cacheable;           /* it was unpacked, so keeping it pays */
	bool in_fit;              /* the kernel is a part of a FIT image */
	struct scratch raw;       /* the file as it is on disk */
	struct scratch unwrapped; /* the file without its outer compression */
	struct scratch fit_kernel;
	struct scratch payload; /* a bzImage's ELF file */
	struct source initrd[BOOT_INITRDS];
	unsigned initrd_count;
};

/* Recognises src and loads it; depth counts the layers of compression around it. */
int kernel_load(struct loader *l, const struct source *src, unsigned depth);

/* True when [gpa, gpa + size) is RAM in the guest's own map, and one piece on the host. */
bool loader_is_ram(const struct loader *l, uint64_t gpa, uint64_t size);

/* True when it also keeps clear of what direct boot itself puts below 1 MiB. */
bool loader_is_free(const struct loader *l, uint64_t gpa, uint64_t size);

/* The whole of src in memory: itself, or read into *into. */
int loader_slurp(struct loader *l, const struct source *src, struct scratch *into,
		 struct source *out);

int linux_load(struct loader *l, const struct source *src);

/* initrd.c. Sizes may be 0 only for a count of 0. *addr is page aligned. */
int initrd_collect(struct loader *l);
int initrd_place_high(const struct loader *l, uint64_t size, uint64_t *addr);
int initrd_load(struct loader *l, uint64_t *addr, uint64_t *size);
int initrd_load_module(struct loader *l, unsigned i, uint64_t *floor, uint64_t *addr);

/*
 * entry.c: the command line, after first_word if that is not NULL, and the GDT and page tables
 * that entry->mode needs. 64 when the command line is longer than the kernel takes.
 */
int entry_put_cmdline(struct loader *l, const char *first_word, uint64_t *addr);
int entry_put_tables(struct loader *l, struct boot_entry *entry);

/* The second half, by protocol; entry->mode and the registers are set. */
int linux_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes);
int pvh_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes);
int multiboot_enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes);

bool multiboot_detect(const uint8_t *head, uint64_t n);
int multiboot_load(struct loader *l, const struct source *src);

int fit_load(struct loader *l, const struct source *src);

/* cache.c: 1 hit (RAM is filled, l->k too), 0 miss. Never refuses. */
int cache_load(struct loader *l);
void cache_store(struct loader *l);
void cache_finish(void); /* waits until what cache_store() wrote has its name */

#define CACHE_BYTES_MAX (512ull << 20) /* all entries together */

/* Removes the entries unused for longest until the rest take at most bytes_max. */
void cache_trim(int dir_fd, uint64_t bytes_max);

#endif
