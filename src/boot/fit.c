// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * FIT images: a device tree that holds kernels, ramdisks and the configurations that join them.
 *
 * Theory of operation (Flattened Image Tree specification 0.8; libfdt reads the tree): the default
 * configuration, or the only one, names a kernel and perhaps ramdisks under /images. The bytes of
 * an image are the property data, or lie behind the tree (data-offset, data-size) or anywhere in
 * the file (data-position, data-size). Each hash node of an image that is used is verified, and a
 * hash that we cannot compute is refused, because not to verify is not what its maker wanted. The
 * kernel is unpacked as its property compression says and is then recognised like any other file;
 * load and entry addresses of raw binaries are not followed. Ramdisks are handed over as they are,
 * before those of the command line; the kernel unpacks them. Device trees, signatures and
 * loadables are left out: nothing here uses them.
 */
#include "boot/loader.h"
#include "core/array.h"
#include "core/dynlib.h"

#include <libfdt.h>
#include <lodge/log.h>
#include <string.h>
#include <zlib.h>

#define FIT_HASHES_MAX   16u
#define FIT_DIGEST_MAX   64u
#define FIT_UNPACKED_MAX (2ull << 30)

struct fdt_api {
	int (*check)(const void *fdt, size_t size);
	int (*path)(const void *fdt, const char *path);
	int (*subnode)(const void *fdt, int parent, const char *name);
	int (*first)(const void *fdt, int node);
	int (*next)(const void *fdt, int node);
	const char *(*name)(const void *fdt, int node, int *length);
	const void *(*property)(const void *fdt, int node, const char *name, int *length);
	const char *(*string)(const void *fdt, int node, const char *name, int i, int *length);
	const char *(*error)(int code);
};

struct crc_api {
	uLong (*crc32)(uLong crc, const Bytef *p, z_size_t n);
};

struct gcrypt_api {
	const char *(*init)(const char *version);
	int (*algorithm)(const char *name);
	unsigned (*length)(int algorithm);
	void (*hash)(int algorithm, void *digest, const void *p, size_t n);
};

static struct fdt_api fdt;
static struct crc_api crc;
static struct gcrypt_api gcrypt;

static const struct dynlib_symbol fdt_symbols[] = {
    DYNLIB_SYMBOL(struct fdt_api, check, "fdt_check_full"),
    DYNLIB_SYMBOL(struct fdt_api, path, "fdt_path_offset"),
    DYNLIB_SYMBOL(struct fdt_api, subnode, "fdt_subnode_offset"),
    DYNLIB_SYMBOL(struct fdt_api, first, "fdt_first_subnode"),
    DYNLIB_SYMBOL(struct fdt_api, next, "fdt_next_subnode"),
    DYNLIB_SYMBOL(struct fdt_api, name, "fdt_get_name"),
    DYNLIB_SYMBOL(struct fdt_api, property, "fdt_getprop"),
    DYNLIB_SYMBOL(struct fdt_api, string, "fdt_stringlist_get"),
    DYNLIB_SYMBOL(struct fdt_api, error, "fdt_strerror"),
};
static const struct dynlib_symbol crc_symbols[] = {
    DYNLIB_SYMBOL(struct crc_api, crc32, "crc32_z"),
};
static const struct dynlib_symbol gcrypt_symbols[] = {
    DYNLIB_SYMBOL(struct gcrypt_api, init, "gcry_check_version"),
    DYNLIB_SYMBOL(struct gcrypt_api, algorithm, "gcry_md_map_name"),
    DYNLIB_SYMBOL(struct gcrypt_api, length, "gcry_md_get_algo_dlen"),
    DYNLIB_SYMBOL(struct gcrypt_api, hash, "gcry_md_hash_buffer"),
};
static const struct dynlib fdt_library = {"libfdt.so.1", "libfdt1", fdt_symbols,
					  ARRAY_COUNT(fdt_symbols)};
static const struct dynlib crc_library = {"libz.so.1", "zlib1g", crc_symbols,
					  ARRAY_COUNT(crc_symbols)};
static const struct dynlib gcrypt_library = {"libgcrypt.so.20", "libgcrypt20", gcrypt_symbols,
					     ARRAY_COUNT(gcrypt_symbols)};

struct fit {
	struct loader *l;
	struct source src; /* the whole file, in memory */
	int images;        /* node /images */
};

static int bad(const struct fit *f, const char *field, const char *reason)
{
	return refuse(f->l->why, STATUS_DATA, f->src.path, field, "%s", reason);
}

/* The i-th string of a property, or NULL. */
static const char *get_string(const struct fit *f, int node, const char *name, int i)
{
	int length;

	return fdt.string(f->src.data, node, name, i, &length);
}

static int get_u32(const struct fit *f, int node, const char *name, uint32_t *value)
{
	int length;
	const uint8_t *p = fdt.property(f->src.data, node, name, &length);

	if (!p)
		return 0;
	if (length != 4)
		return bad(f, name, "not a number of 32 bits");
	*value = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return 1;
}

/* The bytes of an image, wherever they are. */
static int image_data(const struct fit *f, int node, struct source *out)
{
	uint64_t behind = ((uint64_t)fdt_totalsize(f->src.data) + 3) & ~3ull;
	uint32_t size = 0, offset = 0, position = 0;
	int have_size, have_offset, have_position, length;
	const uint8_t *p = fdt.property(f->src.data, node, "data", &length);
	uint64_t at;

	*out = f->src;
	if (p) {
		out->data = p;
		out->size = out->present = (uint64_t)length;
		return length ? 0 : bad(f, "data", "the image is empty");
	}
	have_position = get_u32(f, node, "data-position", &position);
	have_offset = get_u32(f, node, "data-offset", &offset);
	have_size = get_u32(f, node, "data-size", &size);
	if (have_position < 0 || have_offset < 0 || have_size < 0)
		return -1;
	if (!have_position && !have_offset)
		return bad(f, "data",
			   "the image has neither data nor data-offset nor "
			   "data-position");
	if (!have_size || size == 0)
		return bad(f, "data-size", "missing or 0");
	at = have_position ? position : behind + offset;
	if (at > f->src.size || size > f->src.size - at)
		return bad(f, have_position ? "data-position" : "data-offset",
			   "the image ends beyond the end of the file");
	out->data = f->src.data + at;
	out->size = out->present = size;
	return 0;
}

static int digest(const struct fit *f, const char *algo, const struct source *s, uint8_t *out,
		  unsigned *length)
{
	int number;

	if (strcmp(algo, "crc32") == 0) {
		uint32_t sum;

		if (!crc.crc32 && dynlib_load(&crc_library, &crc, f->src.path, f->l->why) < 0)
			return -1;
		sum = (uint32_t)crc.crc32(0, s->data, s->size);
		*length = 4;
		out[0] = (uint8_t)(sum >> 24);
		out[1] = (uint8_t)(sum >> 16);
		out[2] = (uint8_t)(sum >> 8);
		out[3] = (uint8_t)sum;
		return 0;
	}
	if (strcmp(algo, "md5") != 0 && strcmp(algo, "sha1") != 0 && strcmp(algo, "sha256") != 0 &&
	    strcmp(algo, "sha384") != 0 && strcmp(algo, "sha512") != 0)
		return bad(f, "algo", "a hash that Lodge cannot verify");
	if (!gcrypt.init) {
		if (dynlib_load(&gcrypt_library, &gcrypt, f->src.path, f->l->why) < 0)
			return -1;
		gcrypt.init(NULL);
	}
	number = gcrypt.algorithm(algo);
	*length = number ? gcrypt.length(number) : 0;
	if (*length == 0 || *length > FIT_DIGEST_MAX)
		return bad(f, "algo", "libgcrypt does not offer this hash");
	gcrypt.hash(number, out, s->data, s->size);
	return 0;
}

static int verify_hash(const struct fit *f, int node, const struct source *s)
{
	const char *algo = get_string(f, node, "algo", 0);
	uint8_t sum[FIT_DIGEST_MAX];
	const uint8_t *want;
	unsigned n = 0;
	int length;

	if (!algo)
		return bad(f, "algo", "missing, or not a string");
	if (digest(f, algo, s, sum, &n) < 0)
		return -1;
	want = fdt.property(f->src.data, node, "value", &length);
	if (!want || length != (int)n)
		return bad(f, "value", "missing, or not of the hash's length");
	if (memcmp(want, sum, n) != 0)
		return refuse(f->l->why, STATUS_DATA, f->src.path, "value",
			      "the %s of an image is another: the file is damaged", algo);
	return 0;
}

static int verify_image(const struct fit *f, int image, const struct source *s)
{
	unsigned hashes = 0;
	int node;

	for (node = fdt.first(f->src.data, image); node >= 0; node = fdt.next(f->src.data, node)) {
		const char *name = fdt.name(f->src.data, node, NULL);

		if (!name || strncmp(name, "hash", 4) != 0)
			continue;
		if (++hashes > FIT_HASHES_MAX)
			return bad(f, "hash", "more than 16 hashes of one image");
		if (verify_hash(f, node, s) < 0)
			return -1;
	}
	return 0;
}

/* Finds, checks and verifies the image of this name; field is the configuration's property. */
static int image_open(const struct fit *f, const char *field, const char *name, int *node,
		      struct source *out)
{
	const char *arch;

	*node = fdt.subnode(f->src.data, f->images, name);
	if (*node < 0)
		return refuse(f->l->why, STATUS_DATA, f->src.path, field, "no image /images/%s",
			      name);
	arch = get_string(f, *node, "arch", 0);
	if (arch && strcmp(arch, "x86") != 0 && strcmp(arch, "x86_64") != 0 &&
	    strcmp(arch, "i386") != 0)
		return refuse(f->l->why, STATUS_DATA, f->src.path, "arch", "%s is not x86", arch);
	return image_data(f, *node, out) < 0 || verify_image(f, *node, out) < 0 ? -1 : 0;
}

static int find_configuration(const struct fit *f)
{
	int all = fdt.path(f->src.data, "/configurations");
	const char *name;
	int node, second;

	if (all < 0)
		return bad(f, "configurations", "missing");
	name = get_string(f, all, "default", 0);
	if (name) {
		node = fdt.subnode(f->src.data, all, name);
		return node >= 0 ? node : bad(f, "default", "names no configuration");
	}
	node = fdt.first(f->src.data, all);
	if (node < 0)
		return bad(f, "configurations", "there is none");
	second = fdt.next(f->src.data, node);
	return second < 0 ? node : bad(f, "default", "missing, and there are several");
}

static int add_ramdisks(const struct fit *f, int configuration)
{
	struct loader *l = f->l;
	unsigned added = 0;
	const char *name;
	int node;

	while ((name = get_string(f, configuration, "ramdisk", (int)added)) != NULL) {
		struct source s;

		if (l->initrd_count == BOOT_INITRDS)
			return bad(f, "ramdisk", "too many");
		if (image_open(f, "ramdisk", name, &node, &s) < 0)
			return -1;
		memmove(&l->initrd[added + 1], &l->initrd[added],
			(l->initrd_count - added) * sizeof(l->initrd[0]));
		l->initrd[added++] = s;
		l->initrd_count++;
	}
	return 0;
}

/* Undoes what the property compression names, or what the data itself shows. */
static int unpack_kernel(const struct fit *f, int node, const struct source *packed,
			 struct source *out)
{
	const char *says = get_string(f, node, "compression", 0);
	enum compression c = compression_detect(packed->data, packed->size);
	uint64_t room = gmem_size(f->l->m), written;

	*out = *packed;
	if (says && strcmp(says, "none") != 0 && strcmp(says, compression_name(c)) != 0)
		return refuse(f->l->why, STATUS_DATA, f->src.path, "compression",
			      "says %s, but the data is not that", says);
	if (c == COMPRESSION_NONE)
		return 0;
	if (room > FIT_UNPACKED_MAX)
		room = FIT_UNPACKED_MAX;
	if (scratch_alloc(&f->l->fit_kernel, room, f->src.path, f->l->why) < 0 ||
	    decompress(c, packed->data, packed->size, f->l->fit_kernel.data, room, &written,
		       f->src.path, f->l->why) < 0)
		return -1;
	if (written == room)
		return bad(f, "compression", "the kernel unpacks to more than the guest's RAM");
	out->data = f->l->fit_kernel.data;
	out->size = out->present = written;
	return 0;
}

int fit_load(struct loader *l, const struct source *src)
{
	struct fit f = {.l = l};
	struct source packed = {0}, kernel = {0};
	int configuration, node, rc;
	const char *name;

	if (l->in_fit)
		return refuse(l->why, STATUS_DATA, src->path, "kernel",
			      "a FIT image within a FIT image");
	l->in_fit = true;
	l->cacheable = false;
	if ((!fdt.check && dynlib_load(&fdt_library, &fdt, src->path, l->why) < 0) ||
	    loader_slurp(l, src, &l->raw, &f.src) < 0)
		return -1;
	rc = fdt.check(f.src.data, f.src.size);
	if (rc < 0)
		return bad(&f, "FIT", fdt.error(rc));
	f.images = fdt.path(f.src.data, "/images");
	if (f.images < 0)
		return bad(&f, "images", "missing");
	configuration = find_configuration(&f);
	if (configuration < 0)
		return -1;
	name = get_string(&f, configuration, "kernel", 0);
	if (!name)
		return bad(&f, "kernel", "the configuration names none");
	if (image_open(&f, "kernel", name, &node, &packed) < 0 ||
	    add_ramdisks(&f, configuration) < 0 || unpack_kernel(&f, node, &packed, &kernel) < 0)
		return -1;
	if (kernel_load(l, &kernel, 1) < 0)
		return -1;
	if (l->k.compression == COMPRESSION_NONE)
		l->k.compression = compression_detect(packed.data, packed.size);
	l->cacheable = false;
	return 0;
}
