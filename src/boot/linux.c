// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bzImage: checks its header and unpacks the kernel proper straight into RAM.
 *
 * Theory of operation (Documentation/arch/x86/boot.rst of Linux, boot protocol 2.10 and later): a
 * bzImage is a real-mode part of setup_sects sectors, with the setup header at 0x1f1, and a
 * protected-mode part that is a program which unpacks its payload. The payload is the real kernel,
 * an ELF file linked to a fixed physical address, with a table of relocations behind it that only
 * a kernel at another address needs. We unpack it ourselves, at the host's speed, put its segments
 * where they are linked to and enter at e_entry: 64-bit kernels in 64-bit mode, 32-bit kernels in
 * protected mode, both with boot_params in rsi. Where the payload is of a format that we have no
 * library for, the protected-mode part is loaded and unpacks itself in the guest.
 *
 * What the header says is checked whether or not this way of booting depends on it, since a header
 * that contradicts itself belongs to a damaged file.
 */
#include "boot/elf.h"
#include "boot/loader.h"
#include "machine/layout.h"

#include <lodge/log.h>
#include <stdio.h>
#include <string.h>

#define SETUP_HEADER_AT   0x1f1u
#define SETUP_SECTOR      512u
#define SETUP_HEADER_END  0x264u /* of protocol 2.10: behind init_size */
#define PROTOCOL_OLDEST   0x20au
#define PROTOCOL_HANDOVER 0x20bu
#define PROTOCOL_XLOAD    0x20cu
#define CODE32_DEFAULT    0x100000u
#define ENTRY64_OFFSET    0x200u

struct bzimage {
	const struct source *src;
	struct setup_header h;
	uint64_t setup_bytes; /* the protected-mode part begins here */
	uint64_t code_bytes;  /* and is this long */
};

static int bad(const struct loader *l, const struct bzimage *z, const char *field,
	       const char *reason, uint64_t value)
{
	return refuse(l->why, STATUS_DATA, z->src->path, field, "%s (%#llx)", reason,
		      (unsigned long long)value);
}

static int check_identity(const struct loader *l, struct bzimage *z)
{
	uint8_t raw[sizeof(z->h)];
	uint64_t n = z->src->size;
	uint8_t jump;

	if (n < SETUP_HEADER_END)
		return bad(l, z, "setup header", "the file ends within it", n);
	n = n - SETUP_HEADER_AT < sizeof(raw) ? n - SETUP_HEADER_AT : sizeof(raw);
	memset(raw, 0, sizeof(raw));
	if (source_read(z->src, SETUP_HEADER_AT, raw, n, "setup header", l->why) < 0)
		return -1;
	memcpy(&z->h, raw, sizeof(z->h));
	if (z->h.boot_flag != 0xaa55)
		return bad(l, z, "boot_flag", "not 0xaa55", z->h.boot_flag);
	if (memcmp(&z->h.header, "HdrS", 4) != 0)
		return bad(l, z, "header", "not \"HdrS\"", z->h.header);
	if (z->h.version >> 8 == 2 && z->h.version < PROTOCOL_OLDEST)
		return refuse(
		    l->why, STATUS_DATA, z->src->path, "version",
		    "boot protocol %u.%02u is older than 2.10, the oldest that Lodge boots",
		    z->h.version >> 8, z->h.version & 0xff);
	if (z->h.version >> 8 != 2)
		return bad(l, z, "version", "not a boot protocol 2.xx", z->h.version);
	if (!(z->h.loadflags & LOADED_HIGH))
		return bad(l, z, "loadflags", "a zImage, for memory below 640 KiB", z->h.loadflags);
	/* The header ends where its first instruction, a short jump, goes. */
	jump = (uint8_t)(z->h.jump >> 8);
	if ((z->h.jump & 0xff) != 0xeb || 0x202u + jump < SETUP_HEADER_END)
		return bad(l, z, "jump", "the header is shorter than its protocol needs",
			   z->h.jump);
	if (0x202u + jump - SETUP_HEADER_AT < sizeof(z->h))
		memset((uint8_t *)&z->h + (0x202u + jump - SETUP_HEADER_AT), 0,
		       sizeof(z->h) - (0x202u + jump - SETUP_HEADER_AT));
	return 0;
}

static int check_sizes(const struct loader *l, struct bzimage *z)
{
	uint64_t sectors = z->h.setup_sects ? z->h.setup_sects : 4;

	z->setup_bytes = (sectors + 1) * SETUP_SECTOR;
	if (z->setup_bytes >= z->src->size)
		return bad(l, z, "setup_sects", "beyond the end of the file", z->h.setup_sects);
	z->code_bytes = (uint64_t)z->h.syssize * 16;
	if (z->code_bytes == 0)
		return bad(l, z, "syssize", "no code", 0);
	/* Rounded up by the build to 16 bytes. Behind it there may be a signature. */
	if (z->code_bytes > ((z->src->size - z->setup_bytes + 15) & ~15ull))
		return bad(l, z, "syssize", "beyond the end of the file", z->h.syssize);
	if (z->code_bytes > z->src->size - z->setup_bytes)
		z->code_bytes = z->src->size - z->setup_bytes;
	if (z->h.version >= PROTOCOL_HANDOVER && z->h.handover_offset >= z->code_bytes)
		return bad(l, z, "handover_offset", "beyond the end of the code",
			   z->h.handover_offset);
	if (z->h.setup_data)
		return bad(l, z, "setup_data", "must be 0 in a file", z->h.setup_data);
	return 0;
}

static int check_addresses(const struct loader *l, const struct bzimage *z)
{
	const struct setup_header *h = &z->h;
	uint64_t align = h->kernel_alignment;

	if (align == 0 || (align & (align - 1)))
		return bad(l, z, "kernel_alignment", "not a power of 2", align);
	if (h->min_alignment >= 64 || 1ull << h->min_alignment > align)
		return bad(l, z, "min_alignment", "larger than kernel_alignment", h->min_alignment);
	if (!loader_is_free(l, h->code32_start, z->code_bytes))
		return bad(l, z, "code32_start", "the code there does not lie in free RAM",
			   h->code32_start);
	if (!loader_is_free(l, h->pref_address, 1) || h->pref_address & (align - 1))
		return bad(l, z, "pref_address", "not in free RAM, or not aligned",
			   h->pref_address);
	if (h->init_size == 0)
		return bad(l, z, "init_size", "no memory", 0);
	if (!loader_is_free(l, h->pref_address, h->init_size))
		return refuse(l->why, STATUS_DATA, z->src->path, "init_size",
			      "the kernel needs RAM from %#llx to %#llx, more than the guest has",
			      (unsigned long long)h->pref_address,
			      (unsigned long long)(h->pref_address + h->init_size));
	return 0;
}

static int check_flags(const struct loader *l, const struct bzimage *z)
{
	const struct setup_header *h = &z->h;
	unsigned x = h->version >= PROTOCOL_XLOAD ? h->xloadflags : 0;

	if (x & (XLF_CAN_BE_LOADED_ABOVE_4G | XLF_EFI_HANDOVER_64) && !(x & XLF_KERNEL_64))
		return bad(l, z, "xloadflags", "64-bit features without a 64-bit entry", x);
	if (x & XLF_CAN_BE_LOADED_ABOVE_4G && !h->relocatable_kernel)
		return bad(l, z, "xloadflags", "above 4 GiB, but not relocatable", x);
	if ((x & (XLF_5LEVEL | XLF_5LEVEL_ENABLED)) == XLF_5LEVEL_ENABLED)
		return bad(l, z, "xloadflags", "5-level paging enabled, but not known", x);
	if (x & (XLF_EFI_HANDOVER_32 | XLF_EFI_HANDOVER_64) && h->handover_offset == 0)
		return bad(l, z, "handover_offset", "0, but xloadflags announce it", 0);
	if (h->payload_offset > z->code_bytes ||
	    h->payload_length > z->code_bytes - h->payload_offset)
		return bad(l, z,
			   h->payload_offset > z->code_bytes ? "payload_offset" : "payload_length",
			   "beyond the end of the code", h->payload_length);
	if (h->payload_length && h->payload_length < 16)
		return bad(l, z, "payload_length", "too short", h->payload_length);
	return 0;
}

static void take_header(struct loader *l, const struct bzimage *z)
{
	const struct setup_header *h = &z->h;
	struct kernel *k = &l->k;
	uint64_t at = h->kernel_version + 0x200u;
	uint64_t n;

	k->kind = KIND_BZIMAGE;
	k->setup = *h;
	k->initrd_last = h->initrd_addr_max;
	k->initrd_any = h->version >= PROTOCOL_XLOAD && h->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G;
	k->cmdline_max = h->cmdline_size < LAYOUT_CMDLINE_MAX ? h->cmdline_size
							      : (uint32_t)LAYOUT_CMDLINE_MAX - 1;
	if (!h->kernel_version || at >= z->setup_bytes)
		return;
	n = z->setup_bytes - at < sizeof(k->version) - 1 ? z->setup_bytes - at
							 : sizeof(k->version) - 1;
	if (source_read(z->src, at, k->version, n, "kernel_version", l->why) < 0)
		k->version[0] = '\0';
	k->version[strnlen(k->version, n)] = '\0';
}

/* All of the payload, which must be size bytes, to dst. */
static int unpack_to(struct loader *l, const struct source *payload, enum compression c,
		     uint8_t *dst, uint64_t size)
{
	uint64_t written;

	if (decompress(c, payload->data, payload->size, dst, size, &written, payload->path,
		       l->why) < 0)
		return -1;
	if (written != size)
		return refuse(l->why, STATUS_DATA, payload->path, "payload_length",
			      "unpacks to %llu bytes, its last four say %llu",
			      (unsigned long long)written, (unsigned long long)size);
	return 0;
}

/* Puts all of the unpacked payload into scratch memory, then its segments into RAM. */
static int unpack_aside(struct loader *l, const struct source *payload, enum compression c,
			uint64_t size, struct elf *e)
{
	struct source out = {.path = payload->path, .size = size, .present = size};

	if (scratch_alloc(&l->payload, size, payload->path, l->why) < 0 ||
	    unpack_to(l, payload, c, l->payload.data, size) < 0)
		return -1;
	out.data = l->payload.data;
	return elf_parse(l, &out, e) < 0 || elf_load_segments(l, &out, e) < 0 ? -1 : 0;
}

/* Unpacks into RAM itself if the start of the file shows that this can be done. */
static int unpack(struct loader *l, const struct source *payload, enum compression c, uint64_t size,
		  struct elf *e)
{
	uint8_t head[BOOT_HEAD_BYTES] = {0};
	struct source start = {.path = payload->path, .data = head, .size = size};
	struct refusal aside = {.status = 0};
	struct loader quiet = *l;
	uint64_t gpa;

	if (decompress(c, payload->data, payload->size, head,
		       size < sizeof(head) ? size : sizeof(head), &start.present, payload->path,
		       l->why) < 0)
		return -1;
	quiet.why = &aside;
	if (elf_parse(&quiet, &start, e) < 0 || !elf_place_file(l, e, size, &gpa))
		return unpack_aside(l, payload, c, size, e);
	if (unpack_to(l, payload, c, gmem_pointer(l->m, gpa, size), size) < 0)
		return -1;
	elf_settle_file(l, e, size, gpa);
	return 0;
}

static int load_payload(struct loader *l, const struct bzimage *z, enum compression c,
			struct source *payload)
{
	struct kernel *k = &l->k;
	uint32_t size;
	struct elf e;

	/* gzip's own last field is the size; behind the other formats the build appends it. */
	memcpy(&size, payload->data + payload->size - 4, sizeof(size));
	if (c != COMPRESSION_GZIP)
		payload->size = payload->present = payload->size - 4;
	if (size == 0 || size > gmem_size(l->m))
		return refuse(l->why, STATUS_DATA, payload->path, "payload_length",
			      "it unpacks to %u bytes, the guest's RAM has %llu", size,
			      (unsigned long long)gmem_size(l->m));
	if (unpack(l, payload, c, size, &e) < 0)
		return -1;
	if (!elf_covers(&e, e.entry) || e.entry >> 32)
		return refuse(l->why, STATUS_DATA, payload->path, "e_entry",
			      "%#llx lies in no segment below 4 GiB", (unsigned long long)e.entry);
	if (z->h.version >= PROTOCOL_XLOAD && e.is64 != !!(z->h.xloadflags & XLF_KERNEL_64))
		return bad(l, z, "xloadflags", "the payload is not of the announced class",
			   z->h.xloadflags);
	k->compression = c;
	k->protocol = e.is64 ? PROTOCOL_LINUX64 : PROTOCOL_LINUX32;
	k->entry = e.entry;
	l->cacheable = !l->in_fit;
	return 0;
}

/* The guest unpacks itself, as it would on a machine with a boot loader. */
static int load_whole(struct loader *l, const struct bzimage *z)
{
	const struct setup_header *h = &z->h;
	uint64_t at = h->relocatable_kernel ? h->pref_address : CODE32_DEFAULT;
	bool is64 = h->version >= PROTOCOL_XLOAD && h->xloadflags & XLF_KERNEL_64;
	struct kernel *k = &l->k;

	if (!loader_is_free(l, at, z->code_bytes))
		return bad(l, z, "syssize", "the code does not fit into RAM", h->syssize);
	if (source_read(z->src, z->setup_bytes, gmem_pointer(l->m, at, z->code_bytes),
			z->code_bytes, "syssize", l->why) < 0)
		return -1;
	k->extent[0] = (struct kernel_extent){.gpa = at, .size = z->code_bytes};
	k->extent_count = 1;
	k->bytes = z->code_bytes;
	k->first = at;
	k->end = at + z->code_bytes;
	k->protocol = is64 ? PROTOCOL_LINUX64 : PROTOCOL_LINUX32;
	k->entry = at + (is64 ? ENTRY64_OFFSET : 0);
	k->setup.code32_start = (uint32_t)at;
	return 0;
}

static void claim_init_size(struct loader *l, const struct bzimage *z)
{
	struct kernel *k = &l->k;

	if (z->h.pref_address < k->first)
		k->first = z->h.pref_address;
	if (z->h.pref_address + z->h.init_size > k->end)
		k->end = z->h.pref_address + z->h.init_size;
}

int linux_load(struct loader *l, const struct source *src)
{
	struct bzimage z = {.src = src};
	struct refusal missing = {.status = 0};
	enum compression c = COMPRESSION_NONE;
	struct source all, payload;
	uint8_t magic[16];

	if (check_identity(l, &z) < 0 || check_sizes(l, &z) < 0 || check_addresses(l, &z) < 0 ||
	    check_flags(l, &z) < 0)
		return -1;
	take_header(l, &z);
	if (z.h.payload_length) {
		if (source_read(src, z.setup_bytes + z.h.payload_offset, magic, sizeof(magic),
				"payload_offset", l->why) < 0)
			return -1;
		c = compression_detect(magic, sizeof(magic));
	}
	if (!compression_known(c) || decompress_prepare(c, src->path, &missing) < 0) {
		log_debug("%s: the guest unpacks its payload itself: %s", src->path,
			  missing.status ? missing.text : compression_name(c));
		if (load_whole(l, &z) < 0)
			return -1;
		claim_init_size(l, &z);
		return 0;
	}
	if (loader_slurp(l, src, &l->raw, &all) < 0)
		return -1;
	payload = all;
	payload.data = all.data + z.setup_bytes + z.h.payload_offset;
	payload.size = payload.present = z.h.payload_length;
	if (load_payload(l, &z, c, &payload) < 0)
		return -1;
	claim_init_size(l, &z);
	return 0;
}
