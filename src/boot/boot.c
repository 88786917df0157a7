// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loads a kernel without firmware: recognises the file, undoes its outer compression, and joins
 * the two halves of a load (see loader.h).
 *
 * Theory of operation: a file is what its first bytes say, never what its name says. The order is
 * fixed and nothing is guessed: ELF, FIT, a compressed file of any kind, bzImage, multiboot. The
 * unpacked content of a compressed file is recognised in the same way, but must not be compressed
 * again. Runs on the thread that starts the machine, with no vCPU running.
 */
#include "boot/elf.h"
#include "boot/loader.h"
#include "machine/layout.h"

#include <elf.h>
#include <string.h>

#define FDT_MAGIC_BYTES "\xd0\x0d\xfe\xed"
#define UNWRAPPED_MAX   (2ull << 30) /* of a compressed file, and never more than RAM */

static const char *const kind_names[KIND_COUNT] = {
    [KIND_BZIMAGE] = "bzImage",     [KIND_ELF_PVH] = "ELF PVH", [KIND_ELF_64] = "ELF 64-bit",
    [KIND_MULTIBOOT] = "multiboot", [KIND_FIT] = "FIT",
};

bool loader_is_ram(const struct loader *l, uint64_t gpa, uint64_t size)
{
	const struct e820 *map = l->req->map;
	unsigned i;

	for (i = 0; i < map->count; i++) {
		const struct e820_entry *e = &map->entry[i];

		if (e->type == E820_RAM && gpa >= e->addr && gpa - e->addr < e->size &&
		    size <= e->size - (gpa - e->addr))
			return gmem_pointer(l->m, gpa, size) != NULL;
	}
	return false;
}

bool loader_is_free(const struct loader *l, uint64_t gpa, uint64_t size)
{
	return gpa >= LAYOUT_CMDLINE + LAYOUT_CMDLINE_MAX && loader_is_ram(l, gpa, size);
}

int loader_slurp(struct loader *l, const struct source *src, struct scratch *into,
		 struct source *out)
{
	*out = *src;
	if (src->data)
		return 0;
	if (src->size > gmem_size(l->m))
		return refuse(l->why, STATUS_DATA, src->path, "kernel",
			      "the file has %llu bytes, more than the guest's RAM (%llu)",
			      (unsigned long long)src->size, (unsigned long long)gmem_size(l->m));
	scratch_free(into);
	if (scratch_alloc(into, src->size, src->path, l->why) < 0 ||
	    source_read(src, 0, into->data, src->size, "kernel", l->why) < 0)
		return -1;
	out->data = into->data;
	out->present = src->size;
	return 0;
}

static int load_wrapped(struct loader *l, const struct source *src, enum compression c,
			unsigned depth)
{
	struct source raw, inner = *src;
	uint64_t ram = gmem_size(l->m);
	uint64_t room = ram < UNWRAPPED_MAX ? ram : UNWRAPPED_MAX;
	uint64_t written;

	if (depth > 0)
		return refuse(l->why, STATUS_DATA, src->path, compression_name(c),
			      "the file is compressed more than once");
	if (!compression_known(c))
		return decompress_prepare(c, src->path, l->why);
	if (loader_slurp(l, src, &l->raw, &raw) < 0 ||
	    scratch_alloc(&l->unwrapped, room, src->path, l->why) < 0 ||
	    decompress(c, raw.data, raw.size, l->unwrapped.data, room, &written, src->path,
		       l->why) < 0)
		return -1;
	if (written == room)
		return refuse(l->why, STATUS_DATA, src->path, compression_name(c),
			      "unpacks to more than %llu bytes", (unsigned long long)room);
	if (!src->data)
		scratch_free(&l->raw);
	inner.data = l->unwrapped.data;
	inner.size = inner.present = written;
	l->cacheable = !l->in_fit;
	if (kernel_load(l, &inner, depth + 1) < 0)
		return -1;
	if (l->k.compression == COMPRESSION_NONE)
		l->k.compression = c;
	return 0;
}

int kernel_load(struct loader *l, const struct source *src, unsigned depth)
{
	uint8_t head[8192] = {0}; /* multiboot's header is searched for this far */
	uint64_t n = src->size < sizeof(head) ? src->size : sizeof(head);
	enum compression c;

	if (n == 0)
		return refuse(l->why, STATUS_DATA, src->path, "kernel", "unpacks to nothing");
	if (source_read(src, 0, head, n, "kernel", l->why) < 0)
		return -1;
	c = compression_detect(head, n);
	if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		return elf_load(l, src);
	if (n >= 4 && memcmp(head, FDT_MAGIC_BYTES, 4) == 0)
		return fit_load(l, src);
	if (c != COMPRESSION_NONE)
		return load_wrapped(l, src, c, depth);
	if (memcmp(head + 0x202, "HdrS", 4) == 0 || memcmp(head + 0x1fe, "\x55\xaa", 2) == 0)
		return linux_load(l, src);
	if (multiboot_detect(head, n))
		return multiboot_load(l, src);
	return refuse(l->why, STATUS_DATA, src->path, "kernel",
		      "neither bzImage, ELF, multiboot nor FIT image, plain or compressed with "
		      "gzip, xz, zstd or lz4");
}

static int load_first_half(struct loader *l)
{
	l->head_size = l->file.size < BOOT_HEAD_BYTES ? l->file.size : BOOT_HEAD_BYTES;
	if (source_read(&l->file, 0, l->head, l->head_size, "kernel", l->why) < 0)
		return -1;
	if (cache_load(l))
		return 1;
	memset(&l->k, 0, sizeof(l->k));
	if (kernel_load(l, &l->file, 0) < 0)
		return -1;
	if (l->cacheable)
		cache_store(l);
	return 0;
}

static int enter(struct loader *l, struct boot_entry *entry, uint64_t *initrd_bytes)
{
	switch (l->k.protocol) {
	case PROTOCOL_PVH:
		return pvh_enter(l, entry, initrd_bytes);
	case PROTOCOL_MULTIBOOT:
		return multiboot_enter(l, entry, initrd_bytes);
	default:
		return linux_enter(l, entry, initrd_bytes);
	}
}

static void tell(const struct loader *l, bool from_cache, uint64_t initrd_bytes,
		 struct boot_info *info)
{
	info->kind = kind_names[l->in_fit ? KIND_FIT : l->k.kind];
	info->compression = compression_name(l->k.compression);
	info->from_cache = from_cache;
	info->initrd_bytes = initrd_bytes;
	info->kernel_bytes = l->k.bytes;
	memcpy(info->version, l->k.version, sizeof(info->version));
}

int boot_load(const struct boot_request *req, struct gmem *m, struct boot_entry *entry,
	      struct boot_info *info, struct refusal *why)
{
	struct loader l = {.req = req, .m = m, .why = why};
	uint64_t initrd_bytes = 0;
	int cached = 0, rc = -1;

	memset(entry, 0, sizeof(*entry));
	memset(info, 0, sizeof(*info));
	if (source_open(&l.file, req->kernel_path, req->kernel_fd, "kernel", &l.st, why) < 0)
		return -1;
	if (initrd_collect(&l) == 0 && (cached = load_first_half(&l)) >= 0 &&
	    enter(&l, entry, &initrd_bytes) == 0 && entry_put_tables(&l, entry) == 0) {
		tell(&l, cached, initrd_bytes, info);
		rc = 0;
	}
	scratch_free(&l.raw);
	scratch_free(&l.unwrapped);
	scratch_free(&l.fit_kernel);
	scratch_free(&l.payload);
	return rc;
}

void boot_finish(void)
{
	cache_finish();
}
