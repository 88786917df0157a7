// SPDX-License-Identifier: GPL-2.0-or-later
/* Each compression: around a kernel, as a bzImage's payload, damaged, cut short, and as a bomb. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot/loader.h"
#include "boot_image.h"

#include <lodge/status.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define PACKED_MAX (100u << 20) /* lz4 wants room for what does not shrink */

static struct image elf;
static uint8_t packed[PACKED_MAX];

static int setup(void **state)
{
	(void)state;
	image_elf64(&elf, ELF_LINUX);
	return 0;
}

static size_t pack_gzip(const uint8_t *src, size_t n)
{
	z_stream s = {.next_in = (Bytef *)src, .avail_in = (uInt)n, .next_out = packed};

	s.avail_out = PACKED_MAX;
	assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	deflateEnd(&s);
	return s.total_out;
}

static size_t pack_xz(const uint8_t *src, size_t n)
{
	size_t at = 0;

	assert_int_equal(
	    lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, src, n, packed, &at, PACKED_MAX),
	    LZMA_OK);
	return at;
}

static size_t pack_lzma(const uint8_t *src, size_t n)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	assert_false(lzma_lzma_preset(&options, 6));
	assert_int_equal(lzma_alone_encoder(&s, &options), LZMA_OK);
	s.next_in = src;
	s.avail_in = n;
	s.next_out = packed;
	s.avail_out = PACKED_MAX;
	assert_int_equal(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
	n = s.total_out;
	lzma_end(&s);
	return n;
}

static size_t pack_zstd(const uint8_t *src, size_t n)
{
	size_t size = ZSTD_compress(packed, PACKED_MAX, src, n, 19);

	assert_false(ZSTD_isError(size));
	return size;
}

/* In blocks of 8 MiB, as the format wants them. */
static size_t pack_lz4_legacy(const uint8_t *src, size_t n)
{
	const uint32_t magic = 0x184c2102;
	size_t at = 4, done;

	memcpy(packed, &magic, 4);
	for (done = 0; done < n;) {
		int want = n - done < (8u << 20) ? (int)(n - done) : 8 << 20;
		int size = LZ4_compress_HC((const char *)src + done, (char *)packed + at + 4, want,
					   (int)(PACKED_MAX - at - 4), 9);

		assert_true(size > 0);
		memcpy(packed + at, &size, 4);
		at += 4 + (size_t)size;
		done += (size_t)want;
	}
	return at;
}

static size_t pack_lz4_frame(const uint8_t *src, size_t n)
{
	size_t size = LZ4F_compressFrame(packed, PACKED_MAX, src, n, NULL);

	assert_false(LZ4F_isError(size));
	return size;
}

static const struct packer {
	const char *name;
	enum compression c;
	size_t (*pack)(const uint8_t *src, size_t n);
	bool multi; /* streams may follow one another */
} packers[] = {
    {"gzip", COMPRESSION_GZIP, pack_gzip, true},
    {"xz", COMPRESSION_XZ, pack_xz, false},
    {"lzma", COMPRESSION_LZMA, pack_lzma, false},
    {"zstd", COMPRESSION_ZSTD, pack_zstd, true},
    {"lz4", COMPRESSION_LZ4_LEGACY, pack_lz4_legacy, true},
    {"lz4", COMPRESSION_LZ4_FRAME, pack_lz4_frame, true},
};

#define PACKERS (sizeof(packers) / sizeof(packers[0]))

static void test_around_kernels(void **state)
{
	struct image bz;
	unsigned i;

	(void)state;
	image_bz(&bz, &elf);
	for (i = 0; i < PACKERS; i++) {
		const struct packer *p = &packers[i];
		struct boot_fixture f;
		size_t n = p->pack(elf.data, elf.size);

		assert_int_equal(compression_detect(packed, n), p->c);
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, packed, n);
		if (fixture_load(&f) != 0)
			fail_msg("%s: %s", p->name, f.why.text);
		assert_string_equal(f.info.kind, "ELF 64-bit");
		assert_string_equal(f.info.compression, p->name);
		assert_true(fixture_ram_is_elf(&f, &elf, 0, 0));
		fixture_close(&f);
		n = p->pack(bz.data, bz.size);
		assert_boots(packed, n, "bzImage", p->name);
	}
}

/* The real thing: the payload of a bzImage, with its size behind it. */
static void test_as_payload(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < PACKERS; i++) {
		const struct packer *p = &packers[i];
		struct boot_fixture f;
		struct image bz;
		size_t n = p->pack(elf.data, elf.size);
		const size_t at = BZ_SETUP_BYTES + BZ_PAYLOAD_AT;

		image_bz(&bz, &elf);
		memset(bz.data + at, 0, bz.size - at);
		memcpy(bz.data + at, packed, n);
		if (p->c != COMPRESSION_GZIP) {
			image_put(&bz, at + n, ELF_SIZE, 4);
			n += 4;
		}
		image_put(&bz, 0x24c, n, 4);
		fixture_open(&f, FIXTURE_RAM);
		fixture_kernel(&f, bz.data, bz.size);
		if (fixture_load(&f) != 0)
			fail_msg("%s: %s", p->name, f.why.text);
		assert_string_equal(f.info.compression, p->name);
		assert_true(fixture_ram_is_elf(&f, &elf, 0, 0));
		fixture_close(&f);
	}
}

static void test_damaged(void **state)
{
	unsigned i;
	size_t n, at;

	(void)state;
	for (i = 0; i < PACKERS; i++) {
		const struct packer *p = &packers[i];

		n = p->pack(elf.data, elf.size);
		for (at = 8; at < n; at += 1 + n / 40) {
			struct boot_fixture f;

			packed[at] ^= 0x5a;
			fixture_open(&f, FIXTURE_RAM);
			fixture_kernel(&f, packed, n);
			/* Not every format has a checksum; what is noticed is bad data. */
			if (fixture_load(&f) != 0)
				assert_int_equal(f.why.status, STATUS_DATA);
			fixture_close(&f);
			packed[at] ^= 0x5a;
			if (at > 20) /* before that, a file can be too short for its format */
				assert_refused(packed, at, STATUS_DATA,
					       p->c == COMPRESSION_LZ4_LEGACY ? "lz4" : p->name,
					       "cut short");
		}
	}
}

static void test_streams_follow(void **state)
{
	static uint8_t two[4 * ELF_SIZE];
	static uint8_t out[2 * ELF_SIZE];
	struct refusal why = {.status = 0};
	uint64_t written;
	unsigned i;

	(void)state;
	for (i = 0; i < PACKERS; i++) {
		const struct packer *p = &packers[i];
		size_t n = p->pack(elf.data, elf.size);

		memcpy(two, packed, n);
		memcpy(two + n, packed, n);
		assert_int_equal(
		    decompress(p->c, two, 2 * n, out, sizeof(out), &written, "two", &why), 0);
		assert_int_equal(written, p->multi ? 2 * ELF_SIZE : ELF_SIZE);
		assert_memory_equal(out, elf.data, ELF_SIZE);
		if (p->multi)
			assert_memory_equal(out + ELF_SIZE, elf.data, ELF_SIZE);
		/* The start alone. */
		assert_int_equal(
		    decompress(p->c, two, n, out, BOOT_HEAD_BYTES, &written, "start", &why), 0);
		assert_int_equal(written, BOOT_HEAD_BYTES);
		assert_memory_equal(out, elf.data, BOOT_HEAD_BYTES);
	}
}

/* 96 MiB of zeroes, in a guest of 64 MiB. */
static void test_bombs(void **state)
{
	const size_t size = 96u << 20;
	uint8_t *zeroes = calloc(1, size);
	unsigned i;

	(void)state;
	assert_non_null(zeroes);
	for (i = 0; i < PACKERS; i++) {
		size_t n = packers[i].pack(zeroes, size);

		assert_refused(packed, n, STATUS_DATA, packers[i].name, "a bomb");
	}
	free(zeroes);
}

static void test_packed_twice(void **state)
{
	static uint8_t once[ELF_SIZE];
	size_t n = pack_gzip(elf.data, elf.size);

	(void)state;
	memcpy(once, packed, n);
	n = pack_zstd(once, n);
	assert_refused(packed, n, STATUS_DATA, "gzip", "gzip in zstd");
	n = pack_gzip((const uint8_t *)"", 0);
	assert_refused(packed, n, STATUS_DATA, "kernel", "nothing in gzip");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_around_kernels), cmocka_unit_test(test_as_payload),
	    cmocka_unit_test(test_damaged),        cmocka_unit_test(test_streams_follow),
	    cmocka_unit_test(test_bombs),          cmocka_unit_test(test_packed_twice),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
