// SPDX-License-Identifier: GPL-2.0-or-later
/* FIT images: good ones, malformed trees, wrong hashes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot_image.h"

#include <asm/bootparam.h>
#include <lodge/status.h>
#include <stdio.h>
#include <string.h>

static struct image elf, packed;

/* Digests of "ramdisk", as zlib and coreutils compute them. */
static const uint8_t ramdisk_crc32[4] = {0x69, 0xa1, 0x73, 0x61};
static const uint8_t ramdisk_sha1[20] = {0xa1, 0x88, 0x20, 0xfc, 0x66, 0x93, 0xda,
					 0x23, 0x7a, 0x77, 0x22, 0x0f, 0x83, 0x0a,
					 0x8a, 0xaf, 0x10, 0x89, 0x17, 0xf6};

static int setup(void **state)
{
	(void)state;
	image_elf64(&elf, ELF_PVH_NOTE);
	packed.size = image_lz4_store(packed.data, elf.data, elf.size);
	return 0;
}

/* What a case changes of the good image. */
struct plan {
	const char *kernel_name, *ramdisk_name, *default_name, *compression, *arch, *algo;
	const void *value;
	size_t value_size;
	bool is_external, by_position, is_packed, no_images, no_configurations, two_configurations;
	uint32_t offset_error, size_error;
	uint32_t ramdisks;
};

static const struct plan good = {.kernel_name = "kernel-1",
				 .ramdisk_name = "ramdisk-1",
				 .default_name = "conf-1",
				 .compression = "none",
				 .arch = "x86_64",
				 .algo = "crc32",
				 .value = ramdisk_crc32,
				 .value_size = 4,
				 .ramdisks = 1};

static void put_kernel(struct tree *t, const struct plan *p, const struct image *kernel,
		       uint32_t position)
{
	tree_open(t, "kernel-1");
	tree_put_string(t, "type", "kernel");
	if (p->arch)
		tree_put_string(t, "arch", p->arch);
	if (p->compression)
		tree_put_string(t, "compression", p->compression);
	if (p->is_external) {
		tree_put_u32(t, p->by_position ? "data-position" : "data-offset",
			     position + p->offset_error);
		tree_put_u32(t, "data-size", (uint32_t)kernel->size + p->size_error);
	} else {
		tree_put(t, "data", kernel->data, kernel->size);
	}
	tree_close(t);
}

static void put_configuration(struct tree *t, const struct plan *p, const char *name)
{
	tree_open(t, name);
	if (p->kernel_name)
		tree_put_string(t, "kernel", p->kernel_name);
	if (p->ramdisks == 2)
		tree_put(t, "ramdisk", "ramdisk-1\0ramdisk-1", 20);
	else if (p->ramdisk_name)
		tree_put_string(t, "ramdisk", p->ramdisk_name);
	tree_close(t);
}

static void build(const struct plan *p, struct image *out)
{
	const struct image *kernel = p->is_packed ? &packed : &elf;
	static struct tree t;

	memset(&t, 0, sizeof(t));
	tree_open(&t, "");
	if (!p->no_images) {
		tree_open(&t, "images");
		put_kernel(&t, p, kernel, p->by_position ? 0x1000 : 0);
		tree_open(&t, "ramdisk-1");
		tree_put_string(&t, "type", "ramdisk");
		tree_put(&t, "data", "ramdisk", 7);
		tree_open(&t, "hash-1");
		if (p->algo)
			tree_put_string(&t, "algo", p->algo);
		tree_put(&t, "value", p->value, p->value_size);
		tree_close(&t);
		tree_close(&t);
		tree_close(&t);
	}
	if (!p->no_configurations) {
		tree_open(&t, "configurations");
		if (p->default_name)
			tree_put_string(&t, "default", p->default_name);
		put_configuration(&t, p, "conf-1");
		if (p->two_configurations)
			put_configuration(&t, p, "conf-2");
		tree_close(&t);
	}
	tree_close(&t);
	tree_finish(&t, out);
	if (p->is_external) {
		size_t at = p->by_position ? 0x1000 : out->size;

		assert_true(out->size <= 0x1000);
		memcpy(out->data + at, kernel->data, kernel->size);
		out->size = at + kernel->size;
	}
}

static void refused(struct plan p, const char *field, const char *name)
{
	static struct image x;

	build(&p, &x);
	assert_refused(x.data, x.size, STATUS_DATA, field, name);
}

static void test_boots(void **state)
{
	static struct image x;
	struct boot_fixture f;
	unsigned i;

	(void)state;
	for (i = 0; i < 8; i++) {
		struct plan p = good;
		uint64_t initrd = FIXTURE_RAM - 0x1000;

		p.is_external = i & 1;
		p.by_position = i & 2;
		p.is_packed = i & 4;
		p.compression = p.is_packed ? "lz4" : "none";
		p.ramdisks = i == 7 ? 2 : 1;
		build(&p, &x);
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, x.data, x.size);
		fixture_initrd(&f, "more", 4);
		if (fixture_load(&f) != 0)
			fail_msg("case %u: %s", i, f.why.text);
		assert_string_equal(f.info.kind, "FIT");
		assert_string_equal(f.info.compression, p.is_packed ? "lz4" : "none");
		assert_int_equal(f.entry.rip, ELF_TEXT_PADDR + 0x40);
		assert_true(fixture_ram_is_elf(&f, &elf, initrd, 0x1000));
		if (i == 7)
			assert_memory_equal(gmem_pointer(f.mem, initrd, 20),
					    "ramdisk\0ramdisk\0more", 20);
		else
			assert_memory_equal(gmem_pointer(f.mem, initrd, 12), "ramdisk\0more", 12);
		fixture_close(&f);
	}
}

static void test_variants(void **state)
{
	static struct image x;
	struct plan p = good;

	(void)state;
	p.default_name = NULL;
	build(&p, &x);
	assert_boots(x.data, x.size, "FIT", "the only configuration");
	p = good;
	p.ramdisk_name = p.compression = p.arch = NULL;
	build(&p, &x);
	assert_boots(x.data, x.size, "FIT", "no ramdisk, compression, arch");
	p = good;
	p.algo = "sha1";
	p.value = ramdisk_sha1;
	p.value_size = 20;
	build(&p, &x);
	assert_boots(x.data, x.size, "FIT", "sha1");
}

static void test_refused(void **state)
{
	struct plan p;

	(void)state;
#define CASE(change, field, name)                                                                  \
	do {                                                                                       \
		p = good;                                                                          \
		change;                                                                            \
		refused(p, field, name);                                                           \
	} while (0)
	CASE(p.no_images = true, "images", "no images");
	CASE(p.no_configurations = true, "configurations", "no configurations");
	CASE(p.default_name = "conf-9", "default", "default of another name");
	CASE(p.default_name = "", "default", "empty default");
	CASE((p.two_configurations = true, p.default_name = NULL), "default", "two, no default");
	CASE(p.kernel_name = NULL, "kernel", "no kernel named");
	CASE(p.kernel_name = "kernel-9", "kernel", "no such kernel");
	CASE(p.kernel_name = "../configurations", "kernel", "a path for a name");
	CASE(p.ramdisk_name = "ramdisk-9", "ramdisk", "no such ramdisk");
	CASE(p.ramdisk_name = "", "ramdisk", "empty ramdisk name");
	CASE(p.arch = "arm64", "arch", "for arm64");
	CASE(p.compression = "gzip", "compression", "says gzip, is not");
	CASE(p.compression = "rot13", "compression", "unknown compression");
	CASE(p.algo = NULL, "algo", "hash without algorithm");
	CASE(p.algo = "sha3-256", "algo", "unknown hash");
	CASE(p.algo = "", "algo", "empty hash name");
	CASE(p.algo = "sha1", "value", "sha1 of 4 bytes");
	CASE(p.value = "\0\0\0", "value", "wrong crc32");
	CASE(p.value_size = 3, "value", "short crc32");
	CASE((p.algo = "sha256", p.value = elf.data, p.value_size = 32), "value", "wrong sha256");
	CASE((p.algo = "sha512", p.value = elf.data, p.value_size = 64), "value", "wrong sha512");
	CASE((p.algo = "md5", p.value = elf.data, p.value_size = 16), "value", "wrong md5");
	p = good;
	p.is_external = true;
	p.size_error = 1;
	refused(p, "data-offset", "one byte beyond");
	p.size_error = 0xffffffffu - ELF_SIZE;
	refused(p, "data-offset", "4 GiB");
	p.size_error = 0u - ELF_SIZE;
	refused(p, "data-size", "0 bytes");
	p.size_error = 0;
	p.offset_error = 0xfffffffc;
	refused(p, "data-offset", "offset wraps");
	p.by_position = true;
	p.offset_error = 0x7fff0000;
	refused(p, "data-position", "far beyond");
#undef CASE
}

static void test_nested(void **state)
{
	static struct image inner, x;
	static struct tree t;

	(void)state;
	build(&good, &inner);
	memset(&t, 0, sizeof(t));
	tree_open(&t, "");
	tree_open(&t, "images");
	tree_open(&t, "kernel-1");
	tree_put(&t, "data", inner.data, inner.size);
	tree_close(&t);
	tree_close(&t);
	tree_open(&t, "configurations");
	tree_open(&t, "c");
	tree_put_string(&t, "kernel", "kernel-1");
	tree_close(&t);
	tree_close(&t);
	tree_close(&t);
	tree_finish(&t, &x);
	assert_refused(x.data, x.size, STATUS_DATA, "kernel", "a FIT in a FIT");
}

/* Every header field and, byte by byte, the structure: an answer, never a crash. */
static void test_malformed_trees(void **state)
{
	static const uint32_t values[] = {0, 1, 3, 0x7fffffff, 0x80000000, 0xffffffff};
	static struct image fit, x;
	struct plan p = good;
	unsigned field, i;
	size_t at;

	(void)state;
	p.is_external = true;
	build(&p, &fit);
	for (field = 1; field < 10; field++) {
		for (i = 0; i < 6; i++) {
			struct boot_fixture f;
			unsigned fds = count_fds();

			if (field == 7)
				continue; /* the boot processor's id means nothing here */
			x = fit;
			image_put(&x, field * 4, __builtin_bswap32(values[i]), 4);
			fixture_open(&f, FIXTURE_RAM);
			fixture_kernel(&f, x.data, x.size);
			if (fixture_load(&f) != 0)
				assert_int_equal(f.why.status, STATUS_DATA);
			fixture_close(&f);
			assert_int_equal(count_fds(), fds);
		}
	}
	for (at = 56; at < 0x300; at++) {
		struct boot_fixture f;

		x = fit;
		x.data[at] ^= 0xff;
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, x.data, x.size);
		if (fixture_load(&f) != 0)
			assert_int_equal(f.why.status, STATUS_DATA);
		fixture_close(&f);
	}
	assert_refused(fit.data, 39, STATUS_DATA, "FIT", "ends in the header");
	assert_refused(fit.data, 0x100, STATUS_DATA, "FIT", "ends in the structure");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_boots),           cmocka_unit_test(test_variants),
	    cmocka_unit_test(test_refused),         cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_malformed_trees),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
