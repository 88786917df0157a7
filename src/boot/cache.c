// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unpacked kernels, kept in the user's cache folder so that only a kernel's first boot unpacks.
 *
 * Theory of operation: one file for each kernel, named by the device and inode of its source: a
 * header page, then the pages of the kernel's extents one after the other. The header holds what
 * identifies the source (device, inode, size, both times in nanoseconds, and a hash of the first 4
 * KiB, which a load reads anyway) and struct kernel. Whatever is not exactly as it was written is a
 * miss, and a miss only costs time.
 *
 * Pages are copied into RAM, not mapped over it: docs/direct-boot.md has the figures. Entries are
 * never written after they got their name: a new one is written under another name, synced, so that
 * a power failure cannot leave pages of zeroes behind a good header, and renamed; an old one is
 * unlinked. So a reader never sees half of one. The guest does not wait for the disk: a thread
 * syncs and renames while it runs, and the next load, or boot_finish(), waits for that. What is in
 * an entry runs as the guest's kernel: folder and entry must belong to the user and be writable by
 * nobody else.
 *
 * A source that changed within the resolution of its file system's clock before it was read could
 * change again without a trace, so it is not kept. A full disk, a read-only folder and the like
 * are worth a line in the debug log and nothing else.
 */
#include "boot/loader.h"
#include "core/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lodge/clock.h>
#include <lodge/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CACHE_MAGIC     0x314b45474445444cull
#define CACHE_VERSION   2u
#define ZERO_RUN        (64u << 10)
#define CACHE_SUFFIX    ".kernel"
#define CACHE_NEW       ".new-"
#define CACHE_STALE_S   3600  /* an unfinished entry of this age has no writer any more */
#define CACHE_TOUCH_S   3600  /* how exact "unused for longest" is */
#define CACHE_SCAN_MAX  4096u /* names looked at, of a folder that should hold a few */
#define CLOCK_FINE_NS   (20 * NS_PER_MS) /* two ticks at 100 Hz */
#define CLOCK_COARSE_NS (4 * NS_PER_S)   /* file systems that keep seconds, or every other */

struct cache_identity {
	uint64_t dev, ino, size;
	int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
	uint64_t head_hash;
};

struct cache_header {
	uint64_t magic;
	uint32_t version, header_size;
	uint64_t checksum; /* of the header with 0 here */
	uint64_t file_size;
	struct cache_identity id;
	struct kernel kernel; /* its extents are whole pages, in the order of the file */
};

union cache_page {
	struct cache_header h;
	uint8_t bytes[BOOT_PAGE];
};

_Static_assert(sizeof(union cache_page) == BOOT_PAGE, "the header fits its page");

/* FNV-1a by words: finds accidents. Whoever could forge an entry could also replace the kernel. */
static uint64_t hash_words(const void *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull, w;
	size_t i;

	for (i = 0; i < n; i += sizeof(w)) {
		w = 0;
		memcpy(&w, (const uint8_t *)p + i, n - i < sizeof(w) ? n - i : sizeof(w));
		h = (h ^ w) * 0x100000001b3ull;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t header_checksum(struct cache_header *h)
{
	h->checksum = 0;
	return hash_words(h, sizeof(*h));
}

static struct cache_identity identity(const struct loader *l)
{
	const struct stat *st = &l->st;

	return (struct cache_identity){
	    .dev = st->st_dev,
	    .ino = st->st_ino,
	    .size = (uint64_t)st->st_size,
	    .mtime_s = st->st_mtim.tv_sec,
	    .mtime_ns = st->st_mtim.tv_nsec,
	    .ctime_s = st->st_ctim.tv_sec,
	    .ctime_ns = st->st_ctim.tv_nsec,
	    .head_hash = hash_words(l->head, l->head_size),
	};
}

static void entry_name(const struct loader *l, char *name, size_t size)
{
	snprintf(name, size, "%llx-%llx" CACHE_SUFFIX, (unsigned long long)l->st.st_dev,
		 (unsigned long long)l->st.st_ino);
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* The folder, or -1 when there is none that can be trusted. */
static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && is_ours(&st))
		return fd;
	log_debug("kernel cache: %s: not the user's own, or writable by others", path);
	close(fd);
	return -1;
}

/* Makes the folder and those above it, for the user alone. */
static void make_folder(const char *path)
{
	char *copy = strdup(path);
	char *p;

	if (!copy)
		return;
	for (p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(copy, 0700);
		*p = '/';
	}
	mkdir(copy, 0700);
	free(copy);
}

static bool header_is_sound(const struct loader *l, struct cache_header *h, const struct stat *st)
{
	const struct kernel *k = &h->kernel;
	struct cache_identity want = identity(l);
	uint64_t checksum = h->checksum, total = BOOT_PAGE;
	unsigned i;

	if (h->magic != CACHE_MAGIC || h->version != CACHE_VERSION ||
	    h->header_size != sizeof(*h) || header_checksum(h) != checksum ||
	    memcmp(&h->id, &want, sizeof(want)) != 0)
		return false;
	if (h->file_size != (uint64_t)st->st_size || k->kind >= KIND_COUNT ||
	    k->protocol >= PROTOCOL_COUNT || k->compression >= COMPRESSION_COUNT ||
	    k->extent_count > KERNEL_EXTENTS_MAX ||
	    memchr(k->version, 0, sizeof(k->version)) == NULL)
		return false;
	/* Guests differ in RAM: what does not fit this one is refused by a full load. */
	if (k->end < k->first || !loader_is_free(l, k->first, k->end - k->first))
		return false;
	for (i = 0; i < k->extent_count; i++) {
		const struct kernel_extent *x = &k->extent[i];

		if (x->gpa % BOOT_PAGE || x->size % BOOT_PAGE || x->size == 0 ||
		    !loader_is_free(l, x->gpa, x->size))
			return false;
		total += x->size;
	}
	return total == h->file_size;
}

static int place_all(const struct loader *l, int fd, const struct kernel *k)
{
	struct refusal ignored = {.status = 0};
	struct source s = {.path = "kernel cache", .fd = fd, .size = UINT64_MAX};
	uint64_t at = BOOT_PAGE;
	unsigned i;

	for (i = 0; i < k->extent_count; i++) {
		const struct kernel_extent *x = &k->extent[i];

		if (source_read(&s, at, gmem_pointer(l->m, x->gpa, x->size), x->size, NULL,
				&ignored) < 0)
			break;
		at += x->size;
	}
	if (i == k->extent_count)
		return 1;
	log_debug("kernel cache: an entry cannot be read");
	for (i = 0; i < k->extent_count; i++)
		gmem_zero(l->m, k->extent[i].gpa, k->extent[i].size);
	return 0;
}

static int load_entry(struct loader *l, int fd)
{
	union cache_page page;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_ours(&st) ||
	    pread(fd, &page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
	    !header_is_sound(l, &page.h, &st))
		return 0;
	if (!place_all(l, fd, &page.h.kernel))
		return 0;
	if (time(NULL) - st.st_mtime > CACHE_TOUCH_S)
		futimens(fd, NULL);
	l->k = page.h.kernel;
	return 1;
}

int cache_load(struct loader *l)
{
	char name[64];
	int dir, fd, hit;

	cache_finish();
	dir = l->req->cache_dir ? open_folder(l->req->cache_dir) : -1;
	if (dir < 0)
		return 0;
	entry_name(l, name, sizeof(name));
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(dir);
	if (fd < 0)
		return 0;
	hit = load_entry(l, fd);
	close(fd);
	return hit;
}

static int compare_gpa(const void *a, const void *b)
{
	const struct kernel_extent *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static bool page_is_zero(const uint8_t *p)
{
	const uint64_t *w = (const uint64_t *)(const void *)p;
	unsigned i;

	for (i = 0; i < BOOT_PAGE / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] |
		    w[i + 7])
			return false;
	return true;
}

static void add_extent(struct kernel *k, uint64_t gpa, uint64_t size)
{
	if (size)
		k->extent[k->extent_count++] = (struct kernel_extent){.gpa = gpa, .size = size};
}

/* Whole pages, sorted, none twice. */
static unsigned round_extents(struct kernel *k, struct kernel_extent *out)
{
	const uint64_t mask = BOOT_PAGE - 1;
	unsigned i, n = 0;

	qsort(k->extent, k->extent_count, sizeof(k->extent[0]), compare_gpa);
	for (i = 0; i < k->extent_count; i++) {
		struct kernel_extent x = k->extent[i], *last = n ? &out[n - 1] : NULL;
		uint64_t end = (x.gpa + x.size + mask) & ~mask;

		x.gpa &= ~mask;
		x.size = end - x.gpa;
		if (last && x.gpa < last->gpa + last->size)
			last->size = end - last->gpa;
		else
			out[n++] = x;
	}
	return n;
}

/*
 * Leaves out pages of zeroes: all at the ends of x, within it runs of at least ZERO_RUN, as long as
 * there is room for `after` extents more.
 */
static void keep_content(const struct loader *l, const struct kernel_extent *x, unsigned after,
			 struct kernel *k)
{
	const uint8_t *p = gmem_pointer(l->m, x->gpa, x->size);
	uint64_t at, start = 0, end = 0; /* content so far that was not added */

	for (at = 0; at < x->size; at += BOOT_PAGE) {
		if (page_is_zero(p + at))
			continue;
		if (end == 0 ||
		    (at - end >= ZERO_RUN && k->extent_count + 1 + after < KERNEL_EXTENTS_MAX)) {
			add_extent(k, x->gpa + start, end - start);
			start = at;
		}
		end = at + BOOT_PAGE;
	}
	add_extent(k, x->gpa + start, end - start);
}

/* Turns the extents into what is worth keeping; false when one is not all RAM. */
static bool choose_pages(const struct loader *l, struct kernel *k)
{
	struct kernel_extent whole[KERNEL_EXTENTS_MAX];
	unsigned i, n = round_extents(k, whole);

	k->extent_count = 0;
	for (i = 0; i < n; i++) {
		if (!loader_is_free(l, whole[i].gpa, whole[i].size))
			return false;
		keep_content(l, &whole[i], n - i - 1, k);
	}
	return loader_is_free(l, k->first, k->end - k->first);
}

/* The source as it was when the load began, and old enough that a change would show. */
static bool source_is_settled(const struct loader *l)
{
	uint64_t resolution = l->st.st_ctim.tv_nsec ? CLOCK_FINE_NS : CLOCK_COARSE_NS;
	int64_t changed = l->st.st_ctim.tv_sec * (int64_t)NS_PER_S + l->st.st_ctim.tv_nsec;
	int64_t age = clock_wall_ns(clock_host()) - changed;
	struct stat now;

	return fstat(l->file.fd, &now) == 0 && now.st_size == l->st.st_size &&
	       memcmp(&now.st_mtim, &l->st.st_mtim, sizeof(now.st_mtim)) == 0 &&
	       memcmp(&now.st_ctim, &l->st.st_ctim, sizeof(now.st_ctim)) == 0 &&
	       age > (int64_t)resolution;
}

static int write_all(int fd, const uint8_t *p, uint64_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		p += put;
		n -= (uint64_t)put;
	}
	return 0;
}

static int write_entry(const struct loader *l, int fd, const union cache_page *page)
{
	const struct kernel *k = &page->h.kernel;
	unsigned i;

	if (write_all(fd, page->bytes, sizeof(*page)) < 0)
		return -1;
	for (i = 0; i < k->extent_count; i++)
		if (write_all(fd, gmem_pointer(l->m, k->extent[i].gpa, k->extent[i].size),
			      k->extent[i].size) < 0)
			return -1;
	return 0;
}

/* An entry that is written, and waits for its disk to get its name. */
static struct {
	pthread_t thread;
	bool running;
	int dir, fd;
	char fresh[64], name[64];
} unnamed;

static void *name_entry(void *unused)
{
	(void)unused;
	if (fdatasync(unnamed.fd) < 0 ||
	    renameat(unnamed.dir, unnamed.fresh, unnamed.dir, unnamed.name) < 0) {
		log_debug("kernel cache: %s: %s", unnamed.name, strerror(errno));
		unlinkat(unnamed.dir, unnamed.fresh, 0);
	}
	close(unnamed.fd);
	close(unnamed.dir);
	return NULL;
}

void cache_finish(void)
{
	if (unnamed.running)
		pthread_join(unnamed.thread, NULL);
	unnamed.running = false;
}

/* Owns dir from here on. */
static void store_in(const struct loader *l, int dir, const union cache_page *page)
{
	entry_name(l, unnamed.name, sizeof(unnamed.name));
	snprintf(unnamed.fresh, sizeof(unnamed.fresh), CACHE_NEW "%ld-%llx", (long)getpid(),
		 (unsigned long long)clock_now_ns(clock_host()));
	unnamed.dir = dir;
	unnamed.fd =
	    openat(dir, unnamed.fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (unnamed.fd < 0 || write_entry(l, unnamed.fd, page) < 0) {
		log_debug("kernel cache: %s: %s", l->req->cache_dir, strerror(errno));
		if (unnamed.fd >= 0) {
			unlinkat(dir, unnamed.fresh, 0);
			close(unnamed.fd);
		}
		close(dir);
		return;
	}
	unnamed.running = thread_start(&unnamed.thread, "cache", name_entry, NULL) == 0;
	if (!unnamed.running)
		name_entry(NULL);
}

void cache_store(struct loader *l)
{
	union cache_page page = {.h = {.magic = CACHE_MAGIC,
				       .version = CACHE_VERSION,
				       .header_size = sizeof(struct cache_header),
				       .file_size = BOOT_PAGE}};
	struct rlimit limit;
	unsigned i;
	int dir;

	if (!l->req->cache_dir || !source_is_settled(l))
		return;
	page.h.id = identity(l);
	page.h.kernel = l->k;
	if (!choose_pages(l, &page.h.kernel))
		return;
	for (i = 0; i < page.h.kernel.extent_count; i++)
		page.h.file_size += page.h.kernel.extent[i].size;
	page.h.checksum = header_checksum(&page.h);
	/* A file beyond this limit would end the process with SIGXFSZ. */
	if (page.h.file_size > CACHE_BYTES_MAX ||
	    (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < page.h.file_size))
		return;
	make_folder(l->req->cache_dir);
	dir = open_folder(l->req->cache_dir);
	if (dir < 0)
		return;
	cache_trim(dir, CACHE_BYTES_MAX - page.h.file_size);
	store_in(l, dir, &page);
}

struct cache_file {
	struct timespec used;
	uint64_t size;
	char name[64];
};

static int compare_used(const void *a, const void *b)
{
	const struct timespec *x = &((const struct cache_file *)a)->used;
	const struct timespec *y = &((const struct cache_file *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Takes name into *f when it is an entry; removes what a writer that died left. */
static bool take_file(int dir, const char *name, struct cache_file *f)
{
	size_t n = strlen(name), suffix = sizeof(CACHE_SUFFIX) - 1;
	bool unfinished = strncmp(name, CACHE_NEW, sizeof(CACHE_NEW) - 1) == 0;
	struct stat st;

	if (n >= sizeof(f->name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return false;
	if (unfinished && time(NULL) - st.st_mtime > CACHE_STALE_S)
		unlinkat(dir, name, 0);
	if (unfinished || n <= suffix || strcmp(name + n - suffix, CACHE_SUFFIX) != 0)
		return false;
	f->used = st.st_mtim;
	f->size = (uint64_t)st.st_size;
	memcpy(f->name, name, n + 1);
	return true;
}

void cache_trim(int dir_fd, uint64_t bytes_max)
{
	struct cache_file *files = calloc(CACHE_SCAN_MAX, sizeof(*files));
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uint64_t total = 0;
	unsigned i, count = 0;
	struct dirent *e;

	if (files && d) {
		while (count < CACHE_SCAN_MAX && (e = readdir(d)) != NULL)
			if (take_file(dir_fd, e->d_name, &files[count]))
				total += files[count++].size;
		qsort(files, count, sizeof(*files), compare_used);
		for (i = 0; i < count && total > bytes_max; i++) {
			unlinkat(dir_fd, files[i].name, 0);
			total -= files[i].size;
		}
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	free(files);
}
