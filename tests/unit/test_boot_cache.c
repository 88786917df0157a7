// SPDX-License-Identifier: GPL-2.0-or-later
/* The cache of unpacked kernels: hits, misses, damage, bounds, hostile folders. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot/loader.h"
#include "boot_image.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct image elf, bz;
static char top[32];
static char dir[64];
static char kernel[64];

/* A file whose last change is old enough to be trusted. */
static void write_kernel(const struct image *i)
{
	const struct timespec wait = {.tv_nsec = 60 * 1000 * 1000};
	int fd = open(kernel, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, i->data, i->size), (ssize_t)i->size);
	close(fd);
	nanosleep(&wait, NULL);
}

static int setup(void **state)
{
	(void)state;
	image_elf64(&elf, ELF_LINUX);
	image_bz(&bz, &elf);
	strcpy(top, "/tmp/lodge-test-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/a/b/kernels", top);
	snprintf(kernel, sizeof(kernel), "%s/vmlinuz", top);
	write_kernel(&bz);
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

static void open_with_cache(struct boot_fixture *f)
{
	fixture_open(f, FIXTURE_RAM);
	f->req.kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	assert_true(f->req.kernel_fd >= 0);
	f->req.cache_dir = dir;
}

/* One load; asserts whether it came from the cache, and that RAM is right either way. */
static void load(bool hit, const char *name)
{
	unsigned fds = count_fds();
	struct boot_fixture f;

	open_with_cache(&f);
	if (fixture_load(&f) != 0)
		fail_msg("%s: %s", name, f.why.text);
	if (f.info.from_cache != hit)
		fail_msg("%s: %s", name, hit ? "a miss" : "a hit");
	assert_string_equal(f.info.kind, "bzImage");
	assert_string_equal(f.info.compression, "lz4");
	assert_string_equal(f.info.version, BZ_VERSION);
	assert_int_equal(f.info.kernel_bytes, ELF_TEXT_SIZE + ELF_DATA_SIZE);
	assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x10);
	assert_true(fixture_ram_is_elf(&f, &elf, 0, 0));
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

/* The number of files in the folder; the path of the last one. */
static unsigned entries(char *path, size_t size)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' && e->d_name[1] != 'n')
			continue;
		if (path)
			snprintf(path, size, "%s/%s", dir, e->d_name);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static void test_second_load_hits(void **state)
{
	struct boot_fixture f;
	struct stat st;
	char path[512];
	unsigned i;

	(void)state;
	load(false, "first");
	assert_int_equal(entries(path, sizeof(path)), 1);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	load(true, "second");

	/* A guest's writes stay its own, and a reset brings the kernel back. */
	open_with_cache(&f);
	for (i = 0; i < 2; i++) {
		assert_int_equal(fixture_load(&f), 0);
		assert_true(f.info.from_cache);
		assert_true(fixture_ram_is_elf(&f, &elf, 0, 0));
		memset(gmem_pointer(f.mem, ELF_TEXT_PADDR, 0x4000), 0x55, 0x4000);
		assert_int_equal(gmem_discard(f.mem), 0);
	}
	fixture_close(&f);
	load(true, "after a guest wrote");
}

/* The entry may still wait for its disk when a guest is reset at its first start. */
static void test_reset_of_a_first_start(void **state)
{
	struct boot_fixture f;

	(void)state;
	open_with_cache(&f);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fixture_load(&f), 0);
		assert_int_equal(f.info.from_cache, i > 0);
		assert_true(fixture_ram_is_elf(&f, &elf, 0, 0));
		assert_int_equal(gmem_discard(f.mem), 0);
	}
	fixture_close(&f);
	assert_int_equal(entries(NULL, 0), 1);
}

#define RUN_SIZE  (4096u + 0x10000u) /* a page of content, and the shortest run that is left out */
#define RUNS      40u                /* more than an entry has extents */
#define RUNS_KEPT (KERNEL_EXTENTS_MAX - 1u) /* runs left out: then there is no room for more */
#define RUNS_TEXT (RUNS * RUN_SIZE)

/* Packed: an executable whose one segment is content, zeroes, content, zeroes, and so on. */
static void write_kernel_of_runs(uint8_t *text)
{
	const struct timespec wait = {.tv_nsec = 60 * 1000 * 1000};
	size_t size = ELF_TEXT_AT + RUNS_TEXT, n;
	uint8_t *file = calloc(1, size), *packed = malloc(size + size / 255 + 64);
	Elf64_Phdr p;
	int fd;

	assert_true(file && packed);
	memcpy(file, elf.data, ELF_TEXT_AT);
	memcpy(&p, file + sizeof(Elf64_Ehdr), sizeof(p));
	p.p_filesz = p.p_memsz = RUNS_TEXT;
	memcpy(file + sizeof(Elf64_Ehdr), &p, sizeof(p));
	memset(file + sizeof(Elf64_Ehdr) + sizeof(p), 0, sizeof(p));
	for (unsigned i = 0; i < RUNS; i++)
		file[ELF_TEXT_AT + i * RUN_SIZE + 100 * i] = (uint8_t)(i + 1);
	memcpy(text, file + ELF_TEXT_AT, RUNS_TEXT);
	n = image_lz4_store(packed, file, size);
	fd = open(kernel, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, packed, n), (ssize_t)n);
	close(fd);
	nanosleep(&wait, NULL);
	free(file);
	free(packed);
}

static void test_runs_of_zeroes_are_left_out(void **state)
{
	uint8_t *text = malloc(RUNS_TEXT);
	struct boot_fixture f;
	char path[512];
	struct stat st;

	(void)state;
	assert_non_null(text);
	write_kernel_of_runs(text);
	for (unsigned i = 0; i < 3; i++) {
		open_with_cache(&f);
		if (fixture_load(&f) != 0)
			fail_msg("%s", f.why.text);
		assert_int_equal(f.info.from_cache, i > 0);
		assert_memory_equal(gmem_pointer(f.mem, ELF_TEXT_PADDR, RUNS_TEXT), text,
				    RUNS_TEXT);
		fixture_close(&f);
	}
	assert_int_equal(entries(path, sizeof(path)), 1);
	assert_int_equal(stat(path, &st), 0);
	/* The header, a page for each run left out, and the rest but for its last run. */
	assert_int_equal(st.st_size,
			 4096 + RUNS_KEPT * 4096 + (RUNS - RUNS_KEPT) * RUN_SIZE - 0x10000);
	free(text);
}

static void test_changed_source_misses(void **state)
{
	struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	struct image other = elf, z;

	(void)state;
	load(false, "first");
	load(true, "second");
	other.data[ELF_TEXT_AT + 5] ^= 1;
	image_bz(&z, &other);
	write_kernel(&z);
	/* The same size and time of modification: the time of the change gives it away. */
	utimensat(AT_FDCWD, kernel, old, 0);
	elf = other;
	load(false, "changed in place");
	elf.data[ELF_TEXT_AT + 5] ^= 1;
	write_kernel(&bz);
	load(false, "changed back");
	load(true, "and kept");
	assert_int_equal(entries(NULL, 0), 1);
}

static void test_fresh_source_is_not_kept(void **state)
{
	int fd;

	(void)state;
	fd = open(kernel, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, bz.data, bz.size, 0), (ssize_t)bz.size);
	close(fd);
	load(false, "written just now");
	if (entries(NULL, 0) != 0)
		skip(); /* the machine was too busy to be quick */
}

/* Changes bytes of the entry; each must be a miss, and then mended. */
static void test_damaged_entries(void **state)
{
	static const struct {
		size_t at;
		const char *name;
	} damages[] = {{0, "magic"},      {8, "version"}, {12, "header size"}, {16, "checksum"},
		       {24, "file size"}, {32, "device"}, {56, "mtime"},       {88, "head hash"},
		       {100, "protocol"}, {112, "entry"}, {160, "extents"},    {184, "extent"}};
	char path[512];
	unsigned i;

	(void)state;
	load(false, "first");
	assert_int_equal(entries(path, sizeof(path)), 1);
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		uint8_t b;

		assert_int_equal(pread(fd, &b, 1, (off_t)damages[i].at), 1);
		b ^= 0x40;
		assert_int_equal(pwrite(fd, &b, 1, (off_t)damages[i].at), 1);
		close(fd);
		load(false, damages[i].name);
		load(true, "mended");
	}
	assert_int_equal(truncate(path, 0), 0);
	load(false, "empty");
	assert_int_equal(truncate(path, 4096), 0);
	load(false, "header alone");
	assert_int_equal(truncate(path, 0x10000), 0);
	load(false, "too long");
	assert_int_equal(chmod(path, 0620), 0);
	load(false, "writable by the group");
	load(true, "mended");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(kernel, path), 0);
	load(false, "a symbolic link");
	load(true, "mended");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	load(false, "a FIFO");
	load(true, "mended");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	load(false, "a folder in the way");
	assert_int_equal(entries(NULL, 0), 1);
	assert_int_equal(rmdir(path), 0);
}

static void test_bad_folders(void **state)
{
	char elsewhere[64];

	(void)state;
	load(false, "first");
	assert_int_equal(chmod(dir, 0770), 0);
	load(false, "folder writable by the group");
	load(false, "and again");
	assert_int_equal(chmod(dir, 0700), 0);
	load(true, "folder mended");
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", top);
	assert_int_equal(rename(dir, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, dir), 0);
	load(false, "folder is a link");
	unlink(dir);
	strcpy(dir, kernel);
	load(false, "folder is a file");
	strcpy(dir, "/proc/nonexistent/kernels");
	load(false, "folder cannot be made");
	strcpy(dir, "/dev/full");
	load(false, "folder is a device");
}

static void test_file_size_limit(void **state)
{
	struct rlimit old, small;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	load(false, "files of 4 KiB at most");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(entries(NULL, 0), 0);
}

/* Another guest may have less RAM than the kernel needs. */
static void test_smaller_guest(void **state)
{
	struct boot_fixture f;

	(void)state;
	load(false, "first");
	fixture_open(&f, ELF_TEXT_PADDR + BZ_INIT_SIZE - 0x1000);
	f.req.kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	f.req.cache_dir = dir;
	assert_int_equal(fixture_load(&f), -1);
	assert_non_null(strstr(f.why.text, ": init_size: "));
	fixture_close(&f);
	load(true, "still there");
}

static void make_file(const char *name, size_t size, time_t used)
{
	const struct timespec times[2] = {{.tv_sec = used}, {.tv_sec = used}};
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool exists(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void test_trim(void **state)
{
	unsigned fds;
	int fd;

	(void)state;
	load(false, "first");
	fds = count_fds();
	make_file("1-1.kernel", 1000, 100);
	make_file("2-2.kernel", 1000, 300);
	make_file("3-3.kernel", 1000, 200);
	make_file(".new-1-1", 5000, 100);
	make_file(".new-2-2", 5000, time(NULL));
	make_file("notes.txt", 5000, 1);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cache_trim(fd, 1 << 20);
	assert_true(exists("1-1.kernel") && exists("2-2.kernel") && exists("3-3.kernel"));
	assert_false(exists(".new-1-1"));
	assert_true(exists(".new-2-2"));
	cache_trim(fd, 4096 * 4 + 1000);
	assert_false(exists("1-1.kernel"));
	assert_false(exists("3-3.kernel"));
	cache_trim(fd, 0);
	assert_false(exists("2-2.kernel"));
	assert_true(exists("notes.txt"));
	close(fd);
	assert_int_equal(count_fds(), fds);
	load(false, "trimmed away");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_second_load_hits),
	    CASE(test_reset_of_a_first_start),
	    CASE(test_runs_of_zeroes_are_left_out),
	    CASE(test_changed_source_misses),
	    CASE(test_fresh_source_is_not_kept),
	    CASE(test_damaged_entries),
	    CASE(test_bad_folders),
	    CASE(test_file_size_limit),
	    CASE(test_smaller_guest),
	    CASE(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
