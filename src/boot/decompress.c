// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unpacks what kernels are packed with: gzip, xz, lzma, zstd and both kinds of lz4.
 *
 * Theory of operation: each format has its library, loaded when the first file of that format
 * comes. Output goes straight to where the caller wants it and never past its end, so a
 * decompression bomb costs at most the room given. Formats whose streams may follow one another
 * (gzip, zstd, lz4) are unpacked to the end of the last; what follows is ignored, since a bzImage
 * keeps four bytes of length there. bzip2 and LZO are recognised, so that a refusal can name them.
 *
 * The kernel's build uses lz4's legacy format: a magic number, then blocks, each a 32-bit length
 * and data that unpacks to 8 MiB (the last to less). The decoders are those of liblz4.
 */
#include "boot/loader.h"
#include "core/array.h"
#include "core/dynlib.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_LEGACY_BLOCK (8u << 20)
#define XZ_MEMORY_MAX    (256ull << 20) /* the kernel's build asks for 128 MiB at most */
#define CHUNK_MAX        (1u << 30)     /* zlib counts in 32 bits */

struct zlib_api {
	int (*init)(z_stream *s, int bits, const char *version, int size);
	int (*run)(z_stream *s, int flush);
	int (*reset)(z_stream *s);
	int (*end)(z_stream *s);
};

struct lzma_api {
	lzma_ret (*xz)(lzma_stream *s, uint64_t memory, uint32_t flags);
	lzma_ret (*alone)(lzma_stream *s, uint64_t memory);
	lzma_ret (*run)(lzma_stream *s, lzma_action action);
	void (*end)(lzma_stream *s);
};

struct zstd_api {
	ZSTD_DCtx *(*create)(void);
	size_t (*destroy)(ZSTD_DCtx *c);
	size_t (*frame)(ZSTD_DCtx *c, void *dst, size_t room, const void *src, size_t n);
	size_t (*stream)(ZSTD_DCtx *c, ZSTD_outBuffer *out, ZSTD_inBuffer *in);
	size_t (*frame_size)(const void *src, size_t n);
	unsigned (*is_error)(size_t code);
	const char *(*error_name)(size_t code);
	ZSTD_ErrorCode (*error_code)(size_t code);
};

struct lz4_api {
	int (*block)(const char *src, char *dst, int n, int room);
	int (*block_start)(const char *src, char *dst, int n, int target, int room);
	LZ4F_errorCode_t (*create)(LZ4F_dctx **c, unsigned version);
	LZ4F_errorCode_t (*destroy)(LZ4F_dctx *c);
	size_t (*frame)(LZ4F_dctx *c, void *dst, size_t *room, const void *src, size_t *n,
			const LZ4F_decompressOptions_t *o);
	unsigned (*is_error)(size_t code);
	const char *(*error_name)(size_t code);
};

static struct zlib_api z;
static struct lzma_api xz;
static struct zstd_api zs;
static struct lz4_api l4;

static const struct dynlib_symbol zlib_symbols[] = {
    DYNLIB_SYMBOL(struct zlib_api, init, "inflateInit2_"),
    DYNLIB_SYMBOL(struct zlib_api, run, "inflate"),
    DYNLIB_SYMBOL(struct zlib_api, reset, "inflateReset"),
    DYNLIB_SYMBOL(struct zlib_api, end, "inflateEnd"),
};
static const struct dynlib_symbol lzma_symbols[] = {
    DYNLIB_SYMBOL(struct lzma_api, xz, "lzma_stream_decoder"),
    DYNLIB_SYMBOL(struct lzma_api, alone, "lzma_alone_decoder"),
    DYNLIB_SYMBOL(struct lzma_api, run, "lzma_code"),
    DYNLIB_SYMBOL(struct lzma_api, end, "lzma_end"),
};
static const struct dynlib_symbol zstd_symbols[] = {
    DYNLIB_SYMBOL(struct zstd_api, create, "ZSTD_createDCtx"),
    DYNLIB_SYMBOL(struct zstd_api, destroy, "ZSTD_freeDCtx"),
    DYNLIB_SYMBOL(struct zstd_api, frame, "ZSTD_decompressDCtx"),
    DYNLIB_SYMBOL(struct zstd_api, stream, "ZSTD_decompressStream"),
    DYNLIB_SYMBOL(struct zstd_api, frame_size, "ZSTD_findFrameCompressedSize"),
    DYNLIB_SYMBOL(struct zstd_api, is_error, "ZSTD_isError"),
    DYNLIB_SYMBOL(struct zstd_api, error_name, "ZSTD_getErrorName"),
    DYNLIB_SYMBOL(struct zstd_api, error_code, "ZSTD_getErrorCode"),
};
static const struct dynlib_symbol lz4_symbols[] = {
    DYNLIB_SYMBOL(struct lz4_api, block, "LZ4_decompress_safe"),
    DYNLIB_SYMBOL(struct lz4_api, block_start, "LZ4_decompress_safe_partial"),
    DYNLIB_SYMBOL(struct lz4_api, create, "LZ4F_createDecompressionContext"),
    DYNLIB_SYMBOL(struct lz4_api, destroy, "LZ4F_freeDecompressionContext"),
    DYNLIB_SYMBOL(struct lz4_api, frame, "LZ4F_decompress"),
    DYNLIB_SYMBOL(struct lz4_api, is_error, "LZ4F_isError"),
    DYNLIB_SYMBOL(struct lz4_api, error_name, "LZ4F_getErrorName"),
};

static const struct dynlib zlib_library = {"libz.so.1", "zlib1g", zlib_symbols,
					   ARRAY_COUNT(zlib_symbols)};
static const struct dynlib lzma_library = {"liblzma.so.5", "liblzma5", lzma_symbols,
					   ARRAY_COUNT(lzma_symbols)};
static const struct dynlib zstd_library = {"libzstd.so.1", "libzstd1", zstd_symbols,
					   ARRAY_COUNT(zstd_symbols)};
static const struct dynlib lz4_library = {"liblz4.so.1", "liblz4-1", lz4_symbols,
					  ARRAY_COUNT(lz4_symbols)};

struct job {
	const uint8_t *src;
	uint64_t n;
	uint8_t *dst;
	uint64_t room;
	uint64_t written;
	const char *path;
	const char *name; /* of the format */
	struct refusal *why;
};

static int damaged(const struct job *j, const char *detail)
{
	return refuse(j->why, STATUS_DATA, j->path, j->name, "damaged data: %s", detail);
}

/* RFC 1952; members may follow one another. */
static int unpack_gzip(struct job *j)
{
	z_stream s = {.next_in = NULL};
	uint64_t left = j->n;
	int rc = z.init(&s, 15 + 16, ZLIB_VERSION, (int)sizeof(s));

	if (rc != Z_OK)
		return refuse(j->why, STATUS_HOST, j->path, j->name, "no memory");
	s.next_in = (Bytef *)j->src;
	while (rc == Z_OK) {
		unsigned in = left < CHUNK_MAX ? (unsigned)left : CHUNK_MAX;
		uint64_t room = j->room - j->written;
		unsigned out = room < CHUNK_MAX ? (unsigned)room : CHUNK_MAX;

		s.avail_in = in;
		s.avail_out = out;
		s.next_out = j->dst + j->written;
		rc = z.run(&s, Z_NO_FLUSH);
		left -= in - s.avail_in;
		j->written += out - s.avail_out;
		if (rc == Z_STREAM_END && left > 2 && s.next_in[0] == 0x1f && s.next_in[1] == 0x8b)
			rc = z.reset(&s);
	}
	z.end(&s);
	if (rc == Z_STREAM_END || (rc == Z_BUF_ERROR && j->written == j->room))
		return 0;
	return damaged(j, s.msg ? s.msg : "ends too early");
}

static int unpack_lzma(struct job *j, lzma_ret (*start)(lzma_stream *s))
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret rc = start(&s);

	s.next_in = j->src;
	s.avail_in = j->n;
	s.next_out = j->dst;
	s.avail_out = j->room;
	while (rc == LZMA_OK)
		rc = xz.run(&s, LZMA_FINISH);
	j->written = s.total_out;
	xz.end(&s);
	switch (rc) {
	case LZMA_STREAM_END:
		return 0;
	case LZMA_BUF_ERROR:
		return j->written == j->room ? 0 : damaged(j, "ends too early");
	case LZMA_MEMLIMIT_ERROR:
		return damaged(j, "asks for more than 256 MiB of working memory");
	case LZMA_MEM_ERROR:
		return refuse(j->why, STATUS_HOST, j->path, j->name, "no memory");
	case LZMA_OPTIONS_ERROR:
		return damaged(j, "uses options that liblzma does not know");
	default:
		return damaged(j, "does not unpack");
	}
}

static lzma_ret start_xz(lzma_stream *s)
{
	return xz.xz(s, XZ_MEMORY_MAX, 0);
}

static lzma_ret start_lzma(lzma_stream *s)
{
	return xz.alone(s, XZ_MEMORY_MAX);
}

/* The start of a frame, as far as dst has room. */
static int zstd_stream(struct job *j, ZSTD_DCtx *c)
{
	ZSTD_inBuffer in = {.src = j->src, .size = j->n};
	ZSTD_outBuffer out = {.dst = j->dst, .size = j->room};

	while (out.pos < out.size && in.pos < in.size) {
		size_t before = in.pos + out.pos;
		size_t rc = zs.stream(c, &out, &in);

		if (zs.is_error(rc))
			return damaged(j, zs.error_name(rc));
		if (rc == 0 || in.pos + out.pos == before)
			break;
	}
	j->written = out.pos;
	return 0;
}

/* RFC 8878; a whole frame at once needs no window besides the output. */
static int zstd_frames(struct job *j, ZSTD_DCtx *c)
{
	uint64_t at = 0;

	while (j->n - at >= 4) {
		size_t size = zs.frame_size(j->src + at, j->n - at);
		size_t rc;

		if (zs.is_error(size))
			return at ? 0 : damaged(j, zs.error_name(size));
		rc = zs.frame(c, j->dst + j->written, j->room - j->written, j->src + at, size);
		if (zs.is_error(rc) && zs.error_code(rc) == ZSTD_error_dstSize_tooSmall)
			return refuse(j->why, STATUS_DATA, j->path, j->name,
				      "unpacks to more than the %llu bytes there is room for",
				      (unsigned long long)j->room);
		if (zs.is_error(rc))
			return damaged(j, zs.error_name(rc));
		j->written += rc;
		at += size;
	}
	return 0;
}

static int unpack_zstd(struct job *j, bool start_only)
{
	ZSTD_DCtx *c = zs.create();
	int rc;

	if (!c)
		return refuse(j->why, STATUS_HOST, j->path, j->name, "no memory");
	rc = start_only ? zstd_stream(j, c) : zstd_frames(j, c);
	zs.destroy(c);
	return rc;
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The whole block, or its first `want` bytes: the library's decoder for that is a half slower. */
static int unpack_block(const struct job *j, uint64_t at, int size, int want)
{
	const char *src = (const char *)j->src + at;
	char *dst = (char *)j->dst + j->written;
	int got = l4.block(src, dst, size, want);

	return got < 0 ? l4.block_start(src, dst, size, want, want) : got;
}

static int unpack_lz4_legacy(struct job *j)
{
	uint64_t at = 4;

	while (j->written < j->room && j->n - at >= 4) {
		uint32_t size = get_le32(j->src + at);
		uint64_t room = j->room - j->written;
		int want = room < LZ4_LEGACY_BLOCK ? (int)room : (int)LZ4_LEGACY_BLOCK;
		int got;

		at += 4;
		if (size == LZ4_LEGACY_MAGIC)
			continue;
		if (size > (uint32_t)LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK))
			return damaged(j, "a block is longer than any can be");
		if (size == 0)
			break;
		if (size > j->n - at)
			return damaged(j, "ends too early");
		got = unpack_block(j, at, (int)size, want);
		if (got < 0)
			return damaged(j, "a block does not unpack");
		j->written += (uint64_t)got;
		at += size;
	}
	return 0;
}

static int unpack_lz4_frame(struct job *j)
{
	LZ4F_decompressOptions_t options = {.stableDst = 1};
	LZ4F_dctx *c = NULL;
	uint64_t at = 0;
	size_t rc = l4.create(&c, LZ4F_VERSION);

	if (l4.is_error(rc))
		return refuse(j->why, STATUS_HOST, j->path, j->name, "no memory");
	while (at < j->n) {
		size_t in = j->n - at;
		size_t out = j->room - j->written;

		rc = l4.frame(c, j->dst + j->written, &out, j->src + at, &in, &options);
		at += in;
		j->written += out;
		if (l4.is_error(rc) || (in == 0 && out == 0))
			break;
		if (rc == 0 && compression_detect(j->src + at, j->n - at) != COMPRESSION_LZ4_FRAME)
			break;
	}
	l4.destroy(c);
	if (l4.is_error(rc))
		return damaged(j, l4.error_name(rc));
	return rc == 0 || j->written == j->room ? 0 : damaged(j, "ends too early");
}

static const struct format {
	const char *name;
	const char *magic;
	unsigned magic_size;
	const struct dynlib *library;
	void *table;
} formats[COMPRESSION_COUNT] = {
    [COMPRESSION_NONE] = {"none", "", 0, NULL, NULL},
    [COMPRESSION_GZIP] = {"gzip", "\x1f\x8b", 2, &zlib_library, &z},
    [COMPRESSION_XZ] = {"xz",
			"\xfd"
			"7zXZ\0",
			6, &lzma_library, &xz},
    [COMPRESSION_LZMA] = {"lzma", "\x5d\0\0", 3, &lzma_library, &xz},
    [COMPRESSION_ZSTD] = {"zstd", "\x28\xb5\x2f\xfd", 4, &zstd_library, &zs},
    [COMPRESSION_LZ4_LEGACY] = {"lz4", "\x02\x21\x4c\x18", 4, &lz4_library, &l4},
    [COMPRESSION_LZ4_FRAME] = {"lz4", "\x04\x22\x4d\x18", 4, &lz4_library, &l4},
    [COMPRESSION_BZIP2] = {"bzip2", "BZh", 3, NULL, NULL},
    [COMPRESSION_LZO] = {"lzo", "\x89LZO", 4, NULL, NULL},
};

const char *compression_name(enum compression c)
{
	return formats[c].name;
}

bool compression_known(enum compression c)
{
	return formats[c].library != NULL;
}

enum compression compression_detect(const uint8_t *p, uint64_t n)
{
	unsigned c;

	for (c = COMPRESSION_GZIP; c < COMPRESSION_COUNT; c++)
		if (n >= formats[c].magic_size &&
		    memcmp(p, formats[c].magic, formats[c].magic_size) == 0)
			return c;
	return COMPRESSION_NONE;
}

int decompress_prepare(enum compression c, const char *path, struct refusal *why)
{
	const struct format *f = &formats[c];
	void *first;

	if (!f->library)
		return refuse(why, STATUS_DATA, path, f->name, "Lodge cannot unpack this format");
	memcpy(&first, f->table, sizeof(first));
	return first ? 0 : dynlib_load(f->library, f->table, path, why);
}

int decompress(enum compression c, const uint8_t *src, uint64_t src_size, uint8_t *dst,
	       uint64_t dst_size, uint64_t *written, const char *path, struct refusal *why)
{
	struct job j = {.src = src,
			.n = src_size,
			.room = dst_size,
			.path = path,
			.name = formats[c].name,
			.why = why};
	int rc;

	j.dst = dst;
	*written = 0;
	if (decompress_prepare(c, path, why) < 0)
		return -1;
	switch (c) {
	case COMPRESSION_GZIP:
		rc = unpack_gzip(&j);
		break;
	case COMPRESSION_XZ:
		rc = unpack_lzma(&j, start_xz);
		break;
	case COMPRESSION_LZMA:
		rc = unpack_lzma(&j, start_lzma);
		break;
	case COMPRESSION_ZSTD:
		rc = unpack_zstd(&j, dst_size <= BOOT_HEAD_BYTES);
		break;
	case COMPRESSION_LZ4_LEGACY:
		rc = unpack_lz4_legacy(&j);
		break;
	default:
		rc = unpack_lz4_frame(&j);
		break;
	}
	*written = j.written;
	return rc;
}
