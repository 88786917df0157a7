// SPDX-License-Identifier: GPL-2.0-or-later
/* Kernel and initrd files: what is no file, what ends too early, what just fits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot_image.h"
#include "machine/layout.h"

#include <asm/bootparam.h>
#include <fcntl.h>
#include <lodge/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct image elf, pvh, bz;

static int setup(void **state)
{
	(void)state;
	image_elf64(&elf, ELF_LINUX);
	image_elf64(&pvh, ELF_PVH_NOTE);
	image_bz(&bz, &elf);
	return 0;
}

/* fd is taken over. */
static void kernel_fd_refused(int fd, int status, const char *text)
{
	struct boot_fixture f;

	assert_true(fd >= 0);
	fixture_open(&f, FIXTURE_RAM);
	f.req.kernel_fd = fd;
	assert_int_equal(fixture_load(&f), -1);
	assert_int_equal(f.why.status, status);
	if (!strstr(f.why.text, text))
		fail_msg("wanted %s, got %s", text, f.why.text);
	fixture_close(&f);
}

static void test_no_regular_file(void **state)
{
	unsigned fds = count_fds();
	struct boot_fixture f;
	int pipes[2];

	(void)state;
	kernel_fd_refused(open("/", O_RDONLY | O_CLOEXEC), STATUS_NO_INPUT, ": kernel: ");
	kernel_fd_refused(open("/dev/zero", O_RDONLY | O_CLOEXEC), STATUS_NO_INPUT, ": kernel: ");
	kernel_fd_refused(open("/dev/null", O_RDONLY | O_CLOEXEC), STATUS_NO_INPUT, ": kernel: ");
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	kernel_fd_refused(pipes[0], STATUS_NO_INPUT, ": kernel: not a regular file");
	close(pipes[1]);
	/* Size 0 with content: procfs. */
	kernel_fd_refused(open("/proc/self/maps", O_RDONLY | O_CLOEXEC), STATUS_DATA,
			  ": kernel: the file is empty");

	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, bz.data, bz.size);
	f.initrd_path[0] = "pipe";
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	f.initrd_fd[0] = pipes[0];
	f.req.initrd_count = 1;
	assert_int_equal(fixture_load(&f), -1);
	assert_int_equal(f.why.status, STATUS_NO_INPUT);
	assert_string_equal(f.why.text, "pipe: initrd: not a regular file");
	close(pipes[1]);
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

static void test_not_readable(void **state)
{
	char path[] = "/tmp/lodge-test-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bz.data, bz.size), (ssize_t)bz.size);
	close(fd);
	kernel_fd_refused(open(path, O_WRONLY | O_CLOEXEC), STATUS_IO, ": kernel: cannot be read");
	unlink(path);
}

static void test_short_files(void **state)
{
	(void)state;
	assert_refused("", 0, STATUS_DATA, "kernel", "empty");
	assert_refused("M", 1, STATUS_DATA, "kernel", "1 byte");
	assert_refused("\x7f", 1, STATUS_DATA, "kernel", "1 byte of ELF");
	assert_refused("\x7f"
		       "ELF",
		       4, STATUS_DATA, "ELF header", "4 bytes of ELF");
	assert_refused("\x1f\x8b", 2, STATUS_DATA, "gzip", "2 bytes of gzip");
	assert_refused("\xfd"
		       "7zXZ\0",
		       6, STATUS_DATA, "xz", "6 bytes of xz");
	assert_refused("\x28\xb5\x2f\xfd", 4, STATUS_DATA, "zstd", "4 bytes of zstd");
	assert_refused("\x02\x21\x4c\x18", 4, STATUS_DATA, "kernel", "4 bytes of lz4");
	assert_refused("\x04\x22\x4d\x18", 4, STATUS_DATA, "lz4", "4 bytes of lz4's frame");
	assert_refused("\xd0\x0d\xfe\xed", 4, STATUS_DATA, "FIT", "4 bytes of FIT");
	assert_refused("BZh91AY", 7, STATUS_DATA, "bzip2", "bzip2 outside");
	assert_refused("\x89LZO\0\r\n\x1a\n", 9, STATUS_DATA, "lzo", "lzop outside");
	assert_refused("#!/bin/sh\n", 10, STATUS_DATA, "kernel", "a script");
}

/* A file that is cut anywhere is refused, and the whole one boots. */
static void test_cut_files(void **state)
{
	static const size_t steps[] = {0x1f0,
				       0x1fe,
				       0x202,
				       0x206,
				       0x263,
				       0x264,
				       0x280,
				       0x400,
				       BZ_SETUP_BYTES - 1,
				       BZ_SETUP_BYTES,
				       BZ_SETUP_BYTES + 1,
				       BZ_SETUP_BYTES + BZ_PAYLOAD_AT};
	size_t n;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct boot_fixture f;

		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, bz.data, steps[i]);
		assert_int_equal(fixture_load(&f), -1);
		assert_int_equal(f.why.status, STATUS_DATA);
		fixture_close(&f);
	}
	for (n = BZ_SETUP_BYTES + 0x100; n < bz.size - 15; n += 0x3ff)
		assert_refused(bz.data, n, STATUS_DATA, "syssize", "cut in the code");
	for (n = 64; n < pvh.size; n += 0x1ff) {
		struct boot_fixture f;

		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, pvh.data, n);
		assert_int_equal(fixture_load(&f), -1);
		assert_int_equal(f.why.status, STATUS_DATA);
		fixture_close(&f);
	}
	assert_boots(bz.data, bz.size, "bzImage", "all of it");
	assert_boots(pvh.data, pvh.size, "ELF PVH", "all of it");
}

static void test_larger_than_ram(void **state)
{
	struct boot_fixture f;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, bz.data, bz.size);
	assert_int_equal(ftruncate(f.req.kernel_fd, (off_t)FIXTURE_RAM + 1), 0);
	assert_int_equal(fixture_load(&f), -1);
	assert_int_equal(f.why.status, STATUS_DATA);
	assert_non_null(strstr(f.why.text, ": kernel: the file has"));
	assert_int_equal(ftruncate(f.req.kernel_fd, (off_t)FIXTURE_RAM), 0);
	assert_int_equal(fixture_load(&f), 0);
	fixture_close(&f);
	/* Of an ELF file only the segments count: debug information may be larger than RAM. */
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, pvh.data, pvh.size);
	assert_int_equal(ftruncate(f.req.kernel_fd, 1ll << 40), 0);
	assert_int_equal(fixture_load(&f), 0);
	fixture_close(&f);
}

/* A reset loads again from the same descriptors; their offset does not matter. */
static void test_loads_again(void **state)
{
	struct boot_fixture f;
	unsigned fds = count_fds(), i;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, bz.data, bz.size);
	fixture_initrd(&f, "initrd", 6);
	for (i = 0; i < 3; i++) {
		assert_int_equal(gmem_discard(f.mem), 0);
		assert_int_equal(fixture_load(&f), 0);
		assert_true(fixture_ram_is_elf(&f, &elf, FIXTURE_RAM - 0x1000, 6));
	}
	/* It became shorter meanwhile. */
	assert_int_equal(gmem_discard(f.mem), 0);
	assert_int_equal(ftruncate(f.req.kernel_fd, 0x1000), 0);
	assert_int_equal(fixture_load(&f), -1);
	assert_int_equal(f.why.status, STATUS_DATA);
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

#define KERNEL_END (ELF_TEXT_PADDR + BZ_INIT_SIZE)

struct initrd_case {
	const char *name;
	uint64_t size;
	uint64_t addr_max; /* of the header */
	unsigned xloadflags;
	uint64_t at; /* 0: refused */
};

static const struct initrd_case initrds[] = {
    {"1 byte", 1, 0x7fffffff, 0x7f, FIXTURE_RAM - 0x1000},
    {"a page", 0x1000, 0x7fffffff, 0x7f, FIXTURE_RAM - 0x1000},
    {"a page and a byte", 0x1001, 0x7fffffff, 0x7f, FIXTURE_RAM - 0x2000},
    {"exactly behind the kernel", FIXTURE_RAM - KERNEL_END, 0x7fffffff, 0x7f, KERNEL_END},
    {"one byte over", FIXTURE_RAM - KERNEL_END + 1, 0x7fffffff, 0x7f, 0},
    {"all of RAM", FIXTURE_RAM, 0x7fffffff, 0x7f, 0},
    {"more than RAM", FIXTURE_RAM + 1, 0x7fffffff, 0x7f, 0},
    {"below initrd_addr_max", 0x1000, 0x1ffffff, 1, 0x1fff000},
    {"below a crooked initrd_addr_max", 0x1000, 0x1fff800, 1, 0x1ffe000},
    {"exactly below the kernel", ELF_TEXT_PADDR - 0x100000, 0x1000000, 1, 0x100000},
    {"one over below the kernel", ELF_TEXT_PADDR - 0x100000 + 1, 0x1000000, 1, 0},
    {"initrd_addr_max inside the kernel", 0x1000, 0x1000000, 1, 0xfff000},
    {"too large for initrd_addr_max", 0x1000, 0x100ffe, 1, 0},
    {"just right for initrd_addr_max", 0x1000, 0x100fff, 1, 0x100000},
    {"initrd_addr_max 0", 1, 0, 1, 0},
    {"initrd_addr_max 0, but anywhere", 1, 0, 3, FIXTURE_RAM - 0x1000},
    {"initrd_addr_max 4 GiB - 1", 1, 0xffffffff, 1, FIXTURE_RAM - 0x1000},
};

static void test_initrd_places(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(initrds) / sizeof(initrds[0]); i++) {
		const struct initrd_case *c = &initrds[i];
		unsigned fds = count_fds();
		const struct boot_params *p;
		struct image z = bz;
		struct boot_fixture f;

		image_put(&z, 0x22c, c->addr_max, 4);
		image_put(&z, 0x236, c->xloadflags, 2);
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, z.data, z.size);
		fixture_initrd(&f, "070701", 6);
		assert_int_equal(ftruncate(f.initrd_fd[0], (off_t)c->size), 0);
		if (fixture_load(&f) != (c->at ? 0 : -1))
			fail_msg("%s: %d: %s", c->name, f.why.status, f.why.text);
		if (!c->at) {
			assert_int_equal(f.why.status, STATUS_DATA);
			assert_non_null(strstr(f.why.text, "initrd.img: initrd: "));
		} else {
			p = gmem_pointer(f.mem, LAYOUT_BOOT_PARAMS, sizeof(*p));
			if (p->hdr.ramdisk_image != c->at)
				fail_msg("%s: at %#x", c->name, p->hdr.ramdisk_image);
			assert_int_equal(p->hdr.ramdisk_size, c->size);
			assert_int_equal(f.info.initrd_bytes, c->size);
			assert_memory_equal(gmem_pointer(f.mem, c->at, 1), "070701",
					    c->size < 6 ? c->size : 6);
			assert_true(fixture_ram_is_elf(&f, &elf, c->at, 6));
		}
		fixture_close(&f);
		assert_int_equal(count_fds(), fds);
	}
}

static void test_initrds_join(void **state)
{
	const struct boot_params *p;
	struct boot_fixture f;

	(void)state;
	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, bz.data, bz.size);
	fixture_initrd(&f, "abcde", 5);
	fixture_initrd(&f, "1234", 4);
	fixture_initrd(&f, "x", 1);
	assert_int_equal(fixture_load(&f), 0);
	p = gmem_pointer(f.mem, LAYOUT_BOOT_PARAMS, sizeof(*p));
	assert_int_equal(p->hdr.ramdisk_size, 13);
	assert_memory_equal(gmem_pointer(f.mem, p->hdr.ramdisk_image, 13), "abcde\0\0\0001234x",
			    13);
	/* Two of half of RAM each do not fit together. */
	assert_int_equal(ftruncate(f.initrd_fd[0], (off_t)FIXTURE_RAM / 2), 0);
	assert_int_equal(ftruncate(f.initrd_fd[1], (off_t)FIXTURE_RAM / 2), 0);
	assert_int_equal(gmem_discard(f.mem), 0);
	assert_int_equal(fixture_load(&f), -1);
	assert_non_null(strstr(f.why.text, "initrd.img: initrd: "));
	/* One that is empty is a mistake. */
	assert_int_equal(ftruncate(f.initrd_fd[1], 0), 0);
	assert_int_equal(fixture_load(&f), -1);
	assert_int_equal(f.why.status, STATUS_DATA);
	assert_string_equal(f.why.text, "initrd.img: initrd: the file is empty");
	fixture_close(&f);
}

/* RAM above 4 GiB is for kernels that can use it there. */
static void test_initrd_above_4gib(void **state)
{
	const uint64_t high = 64ull << 20;
	const struct boot_params *p;
	struct boot_fixture f;
	unsigned flags;

	(void)state;
	for (flags = 1; flags <= 3; flags += 2) {
		struct image z = bz;

		image_put(&z, 0x236, flags, 2);
		memset(&f, 0, sizeof(f));
		fixture_open(&f, FIXTURE_RAM);
		gmem_destroy(f.mem);
		assert_int_equal(gmem_create(FIXTURE_RAM + high, &f.mem), 0);
		assert_int_equal(gmem_place(f.mem, 0, 0, FIXTURE_RAM), 0);
		assert_int_equal(gmem_place(f.mem, LAYOUT_4GIB, FIXTURE_RAM, high), 0);
		assert_int_equal(e820_add(&f.map, LAYOUT_4GIB, high, E820_RAM), 0);
		fixture_kernel(&f, z.data, z.size);
		fixture_initrd(&f, "x", 1);
		assert_int_equal(ftruncate(f.initrd_fd[0], (off_t)high), 0);
		if (flags & 2) {
			assert_int_equal(fixture_load(&f), 0);
			p = gmem_pointer(f.mem, LAYOUT_BOOT_PARAMS, sizeof(*p));
			assert_int_equal(p->hdr.ramdisk_image, 0);
			assert_int_equal(p->ext_ramdisk_image, 1);
			assert_int_equal(p->hdr.ramdisk_size, high);
			/* What fits below is put below. */
			assert_int_equal(ftruncate(f.initrd_fd[0], 1), 0);
			assert_int_equal(gmem_discard(f.mem), 0);
			assert_int_equal(fixture_load(&f), 0);
			assert_int_equal(p->ext_ramdisk_image, 0);
		} else {
			assert_int_equal(fixture_load(&f), -1);
			assert_int_equal(f.why.status, STATUS_DATA);
		}
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_regular_file),   cmocka_unit_test(test_not_readable),
	    cmocka_unit_test(test_short_files),       cmocka_unit_test(test_cut_files),
	    cmocka_unit_test(test_larger_than_ram),   cmocka_unit_test(test_loads_again),
	    cmocka_unit_test(test_initrd_places),     cmocka_unit_test(test_initrds_join),
	    cmocka_unit_test(test_initrd_above_4gib),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
