// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qcow2: compressed clusters, by zlib (raw deflate, RFC 1951, window of 4 KiB) or zstd.
 *
 * What comes out is one cluster, never more, whatever the data says: it is the room that the
 * library gets. The last cluster is remembered, as readers go through a cluster in small steps.
 * Libraries are loaded when an image that needs one is opened.
 */
#include "block/qcow2.h"
#include "core/array.h"
#include "core/dynlib.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct zlib_api {
	int (*init)(z_stream *s, int bits, const char *version, int size);
	int (*run)(z_stream *s, int flush);
	int (*reset)(z_stream *s);
	int (*end)(z_stream *s);
};

struct zstd_api {
	ZSTD_DStream *(*create)(void);
	size_t (*destroy)(ZSTD_DStream *s);
	size_t (*reset)(ZSTD_DStream *s, ZSTD_ResetDirective what);
	size_t (*run)(ZSTD_DStream *s, ZSTD_outBuffer *out, ZSTD_inBuffer *in);
	unsigned (*is_error)(size_t code);
};

struct qcow2_inflate {
	struct zlib_api z;
	struct zstd_api zs;
	z_stream stream;
	ZSTD_DStream *zstd;
	uint8_t *input; /* two clusters and what alignment adds */
	uint64_t word;  /* of the cluster in qcow2.cluster; 0: none */
};

static const struct dynlib_symbol zlib_symbols[] = {
    DYNLIB_SYMBOL(struct zlib_api, init, "inflateInit2_"),
    DYNLIB_SYMBOL(struct zlib_api, run, "inflate"),
    DYNLIB_SYMBOL(struct zlib_api, reset, "inflateReset"),
    DYNLIB_SYMBOL(struct zlib_api, end, "inflateEnd"),
};
static const struct dynlib_symbol zstd_symbols[] = {
    DYNLIB_SYMBOL(struct zstd_api, create, "ZSTD_createDStream"),
    DYNLIB_SYMBOL(struct zstd_api, destroy, "ZSTD_freeDStream"),
    DYNLIB_SYMBOL(struct zstd_api, reset, "ZSTD_DCtx_reset"),
    DYNLIB_SYMBOL(struct zstd_api, run, "ZSTD_decompressStream"),
    DYNLIB_SYMBOL(struct zstd_api, is_error, "ZSTD_isError"),
};
static const struct dynlib zlib_library = {"libz.so.1", "zlib1g", zlib_symbols,
					   ARRAY_COUNT(zlib_symbols)};
static const struct dynlib zstd_library = {"libzstd.so.1", "libzstd1", zstd_symbols,
					   ARRAY_COUNT(zstd_symbols)};

/* Any cluster may be compressed, and which are is known only when they are read. */
int qcow2_inflate_create(struct qcow2 *q, struct refusal *why)
{
	struct qcow2_inflate *i = calloc(1, sizeof(*i));
	size_t room = (2 * q->cluster_size + 4ul * FILE_ALIGN_MAX) & ~(FILE_ALIGN_MAX - 1ul);

	q->inflate = i;
	q->cluster = aligned_alloc(
	    FILE_ALIGN_MAX, q->cluster_size < FILE_ALIGN_MAX ? FILE_ALIGN_MAX : q->cluster_size);
	if (i)
		i->input = aligned_alloc(FILE_ALIGN_MAX, room);
	if (!i || !q->cluster || !i->input)
		return refuse_errno(why, ENOMEM, "--disk", q->file->path, NULL);
	if (q->header.compression == 1) {
		if (dynlib_load(&zstd_library, &i->zs, q->file->path, why))
			return -1;
		i->zstd = i->zs.create();
		return i->zstd ? 0 : refuse_errno(why, ENOMEM, "--disk", q->file->path, "zstd");
	}
	if (dynlib_load(&zlib_library, &i->z, q->file->path, why))
		return -1;
	if (i->z.init(&i->stream, -12, ZLIB_VERSION, (int)sizeof(i->stream)) != Z_OK) {
		i->z.end = NULL;
		return refuse_errno(why, ENOMEM, "--disk", q->file->path, "zlib");
	}
	return 0;
}

void qcow2_inflate_destroy(struct qcow2 *q)
{
	struct qcow2_inflate *i = q->inflate;

	free(q->cluster);
	if (!i)
		return;
	if (i->zstd)
		i->zs.destroy(i->zstd);
	if (i->z.end)
		i->z.end(&i->stream);
	free(i->input);
	free(i);
}

static bool run_zlib(struct qcow2 *q, uint8_t *data, uint64_t n)
{
	struct qcow2_inflate *i = q->inflate;

	if (i->z.reset(&i->stream) != Z_OK)
		return false;
	i->stream.next_in = data;
	i->stream.avail_in = (uInt)n;
	i->stream.next_out = q->cluster;
	i->stream.avail_out = (uInt)q->cluster_size;
	i->z.run(&i->stream, Z_FINISH);
	return i->stream.avail_out == 0;
}

static bool run_zstd(struct qcow2 *q, const uint8_t *data, uint64_t n)
{
	struct qcow2_inflate *i = q->inflate;
	ZSTD_outBuffer out = {q->cluster, q->cluster_size, 0};
	ZSTD_inBuffer in = {data, n, 0};
	size_t before;

	i->zs.reset(i->zstd, ZSTD_reset_session_only);
	while (out.pos < out.size) {
		before = in.pos + out.pos;
		if (i->zs.is_error(i->zs.run(i->zstd, &out, &in)) || in.pos + out.pos == before)
			return false;
	}
	return true;
}

int qcow2_inflate_cluster(struct qcow2 *q, uint64_t word)
{
	struct qcow2_inflate *i = q->inflate;
	uint64_t offset, length, start;
	size_t room;
	bool ok;
	int err;

	if (i->word == word)
		return 0;
	i->word = 0;
	qcow2_deflated_range(q, word, &offset, &length);
	start = offset & ~(uint64_t)(FILE_ALIGN_MAX - 1);
	room = (offset + length - start + FILE_ALIGN_MAX - 1) & ~(size_t)(FILE_ALIGN_MAX - 1);
	err = file_read_now(q->file, start, i->input, room, false);
	if (err)
		return err;
	ok = q->header.compression == 1 ? run_zstd(q, i->input + (offset - start), length)
					: run_zlib(q, i->input + (offset - start), length);
	if (!ok)
		return qcow2_found_corrupt(q, "a compressed cluster cannot be unpacked");
	i->word = word;
	return 0;
}

void qcow2_inflate_forget(struct qcow2 *q)
{
	q->inflate->word = 0;
}
