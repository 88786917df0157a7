/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS: what a guest shows as its hardware's make and memory.
 *
 * DMTF DSP0134, System Management BIOS reference specification 3.0. One table of structures
 * with two entry points, the 32-bit one that every system finds (2.8) and the 64-bit one (3.0).
 * Types 0 (BIOS), 1 (system), 3 (chassis), 4 (a processor socket each), 11 (OEM strings),
 * 16, 17 and 19 (memory), 32 (boot status) and 127 (end). There are no serial numbers, and the
 * UUID is unset unless one is given.
 *
 * Runs on the main thread with the vCPUs stopped. The structures go straight to guest memory.
 */
#include "boot/smbios.h"

#include "boot/table.h"
#include "machine/layout.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ENTRY_32_OFFSET 0x00u
#define ENTRY_32_SIZE   0x1fu
#define ENTRY_64_OFFSET 0x20u
#define ENTRY_64_SIZE   0x18u
#define TABLE_OFFSET    0x40u

/* More than all structures take without the texts that the caller gives, and one socket. */
#define FIXED_SIZE       2048u
#define SOCKET_SIZE      96u

#define NO_HANDLE        0xffffu
#define NO_ERROR_HANDLE  0xfffeu
#define HANDLE(type)     ((uint16_t)((type) << 8))
#define KIB              1024u
#define MIB              (1ull << 20)

#define SIZE_IN_EXTENDED 0x7fffu     /* type 17 */
#define IN_EXTENDED      0xffffffffu /* type 19 */
#define MAX_IN_EXTENDED  0x80000000u /* type 16 */
#define COUNT_IN_2       0xffu       /* type 4 */

#define RELEASE_DATE     "01/01/2026"

struct writer {
	uint8_t *start; /* of the region */
	size_t used;
	unsigned count;   /* of structures */
	size_t longest;   /* structure, in bytes, with its strings */
	uint8_t *current; /* structure */
	unsigned strings; /* of it */
};

static uint8_t *take(struct writer *w, size_t n)
{
	uint8_t *p = w->start + w->used;

	assert(n <= LAYOUT_SMBIOS_SIZE - w->used);
	memset(p, 0, n);
	w->used += n;
	return p;
}

/* A structure whose formatted part is size bytes long; strings follow. */
static uint8_t *begin(struct writer *w, uint8_t type, uint8_t size, uint16_t handle)
{
	w->current = take(w, size);
	w->strings = 0;
	w->current[0] = type;
	w->current[1] = size;
	put_le(w->current + 2, handle, 2);
	return w->current;
}

/* Appends text to the current structure; the number by which its fields name it, 0 for none. */
static uint8_t string(struct writer *w, const char *text)
{
	size_t n;

	if (!text || !*text)
		return 0;
	n = strlen(text) + 1;
	memcpy(take(w, n), text, n);
	return (uint8_t)++w->strings;
}

static void end(struct writer *w)
{
	size_t size;

	take(w, w->strings ? 1 : 2);
	size = (size_t)(w->start + w->used - w->current);
	if (size > w->longest)
		w->longest = size;
	w->count++;
}

static void put_bios(struct writer *w)
{
	uint8_t *s = begin(w, 0, 0x18, HANDLE(0));

	s[0x04] = string(w, "Lodge");
	s[0x05] = string(w, LODGE_VERSION);
	s[0x08] = string(w, RELEASE_DATE);
	s[0x0a] = 0x08; /* characteristics: not said */
	s[0x12] = 0x01; /* ACPI */
	s[0x13] = 0x10; /* a virtual machine */
	put_le(s + 0x14, 0xffffffff, 4);
	end(w);
}

/* The first three fields of a UUID stand little-endian, section 7.2.1. */
static void put_uuid(uint8_t *field, const uint8_t *uuid)
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (unsigned i = 0; i < 16; i++)
		field[i] = uuid[order[i]];
}

static void put_system(struct writer *w, const struct smbios_params *p)
{
	uint8_t *s = begin(w, 1, 0x1b, HANDLE(1));

	s[0x04] = string(w, "Lodge");
	s[0x05] = string(w, "pc");
	s[0x06] = string(w, LODGE_VERSION);
	if (p->uuid)
		put_uuid(s + 0x08, p->uuid);
	s[0x18] = 0x06; /* woken by the power switch */
	s[0x1a] = string(w, "Virtual Machine");
	end(w);
}

static void put_chassis(struct writer *w)
{
	uint8_t *s = begin(w, 3, 0x16, HANDLE(3));

	s[0x04] = string(w, "Lodge");
	s[0x05] = 0x01; /* other */
	s[0x06] = string(w, LODGE_VERSION);
	memset(s + 0x09, 0x03, 3); /* boot-up, power supply, thermal: safe */
	s[0x0c] = 0x02;            /* security: unknown */
	end(w);
}

static void put_processor(struct writer *w, const struct smbios_params *p, unsigned socket)
{
	char name[] = "CPU 000";
	uint8_t *s = begin(w, 4, 0x30, (uint16_t)(HANDLE(4) + socket));
	unsigned threads = p->cores * p->threads;

	name[4] = (char)('0' + socket / 100 % 10);
	name[5] = (char)('0' + socket / 10 % 10);
	name[6] = (char)('0' + socket % 10);
	s[0x04] = string(w, name);
	s[0x05] = 0x03; /* central processor */
	s[0x06] = 0x01; /* family: other */
	s[0x07] = string(w, p->cpu_vendor);
	s[0x10] = string(w, p->cpu_name);
	s[0x18] = 0x41; /* populated, enabled */
	s[0x19] = 0x01; /* upgrade: other */
	put_le(s + 0x1a, NO_HANDLE, 2);
	put_le(s + 0x1c, NO_HANDLE, 2);
	put_le(s + 0x1e, NO_HANDLE, 2);
	s[0x23] = s[0x24] = (uint8_t)(p->cores < COUNT_IN_2 ? p->cores : COUNT_IN_2);
	s[0x25] = (uint8_t)(threads < COUNT_IN_2 ? threads : COUNT_IN_2);
	put_le(s + 0x26, 0x04, 2); /* 64-bit capable */
	put_le(s + 0x28, 0x01, 2);
	put_le(s + 0x2a, p->cores, 2);
	put_le(s + 0x2c, p->cores, 2);
	put_le(s + 0x2e, threads, 2);
	end(w);
}

static void put_oem_strings(struct writer *w, const struct smbios_params *p)
{
	uint8_t *s = begin(w, 11, 0x05, HANDLE(11));

	for (unsigned i = 0; i < p->oem_string_count; i++)
		s[0x04] = string(w, p->oem_strings[i]);
	end(w);
}

static void put_memory_array(struct writer *w, const struct gmem *m)
{
	uint64_t size = gmem_size(m);
	uint8_t *s = begin(w, 16, 0x17, HANDLE(16));

	s[0x04] = 0x03; /* on the system board */
	s[0x05] = 0x03; /* system memory */
	s[0x06] = 0x03; /* no error correction */
	if (size / KIB < MAX_IN_EXTENDED) {
		put_le(s + 0x07, size / KIB, 4);
	} else {
		put_le(s + 0x07, MAX_IN_EXTENDED, 4);
		put_le(s + 0x0f, size, 8);
	}
	put_le(s + 0x0b, NO_ERROR_HANDLE, 2);
	put_le(s + 0x0d, 1, 2); /* devices */
	end(w);

	s = begin(w, 17, 0x28, HANDLE(17));
	put_le(s + 0x04, HANDLE(16), 2);
	put_le(s + 0x06, NO_ERROR_HANDLE, 2);
	memset(s + 0x08, 0xff, 4); /* widths: unknown */
	if (size / MIB < SIZE_IN_EXTENDED) {
		put_le(s + 0x0c, size / MIB, 2);
	} else {
		put_le(s + 0x0c, SIZE_IN_EXTENDED, 2);
		put_le(s + 0x1c, size / MIB, 4);
	}
	s[0x0e] = 0x09; /* DIMM */
	s[0x10] = string(w, "DIMM 0");
	s[0x12] = 0x07;              /* RAM */
	put_le(s + 0x13, 0x0002, 2); /* other */
	s[0x17] = string(w, "Lodge");
	end(w);
}

static void put_memory_range(struct writer *w, const struct gmem_region *r, unsigned i)
{
	uint64_t last = r->base + (r->size - 1);
	uint8_t *s = begin(w, 19, 0x1f, (uint16_t)(HANDLE(19) + i));

	if (last / KIB < IN_EXTENDED) {
		put_le(s + 0x04, r->base / KIB, 4);
		put_le(s + 0x08, last / KIB, 4);
	} else {
		put_le(s + 0x04, IN_EXTENDED, 4);
		put_le(s + 0x08, IN_EXTENDED, 4);
		put_le(s + 0x0f, r->base, 8);
		put_le(s + 0x17, last, 8);
	}
	put_le(s + 0x0c, HANDLE(16), 2);
	s[0x0e] = 1; /* devices in this range */
	end(w);
}

static void put_structures(struct writer *w, const struct gmem *m, const struct smbios_params *p)
{
	put_bios(w);
	put_system(w, p);
	put_chassis(w);
	for (unsigned i = 0; i < p->sockets; i++)
		put_processor(w, p, i);
	if (p->oem_string_count)
		put_oem_strings(w, p);
	put_memory_array(w, m);
	for (unsigned i = 0; i < gmem_region_count(m); i++)
		put_memory_range(w, gmem_region(m, i), i);
	begin(w, 32, 0x0b, HANDLE(32)); /* no errors at boot: all 0 */
	end(w);
	begin(w, 127, 0x04, HANDLE(127));
	end(w);
}

static void put_entry_points(const struct writer *w)
{
	uint8_t *e = w->start + ENTRY_32_OFFSET;
	size_t size = w->used - TABLE_OFFSET;

	memcpy(e, "_SM_", 4);
	e[0x05] = ENTRY_32_SIZE;
	e[0x06] = 2;
	e[0x07] = 8;
	put_le(e + 0x08, w->longest, 2);
	memcpy(e + 0x10, "_DMI_", 5);
	put_le(e + 0x16, size, 2);
	put_le(e + 0x18, LAYOUT_SMBIOS + TABLE_OFFSET, 4);
	put_le(e + 0x1c, w->count, 2);
	e[0x1e] = 0x28;
	e[0x15] = checksum(e + 0x10, 0x0f);
	e[0x04] = checksum(e, ENTRY_32_SIZE);

	e = w->start + ENTRY_64_OFFSET;
	memcpy(e, "_SM3_", 5);
	e[0x06] = ENTRY_64_SIZE;
	e[0x07] = 3;
	e[0x0a] = 1; /* of the entry point */
	put_le(e + 0x0c, size, 4);
	put_le(e + 0x10, LAYOUT_SMBIOS + TABLE_OFFSET, 8);
	e[0x05] = checksum(e, ENTRY_64_SIZE);
}

/* Whether all fits, before a byte is written. */
static int check_size(const struct smbios_params *p)
{
	size_t names =
	    (p->cpu_vendor ? strlen(p->cpu_vendor) : 0) + (p->cpu_name ? strlen(p->cpu_name) : 0);
	size_t left = LAYOUT_SMBIOS_SIZE - TABLE_OFFSET - FIXED_SIZE;
	size_t n;

	if (names > left / p->sockets || p->sockets * (SOCKET_SIZE + names) > left)
		return -ENOSPC;
	left -= p->sockets * (SOCKET_SIZE + names);
	for (unsigned i = 0; i < p->oem_string_count; i++) {
		n = strlen(p->oem_strings[i]) + 1;
		if (n == 1)
			return -EINVAL;
		if (n > left)
			return -ENOSPC;
		left -= n;
	}
	return 0;
}

int smbios_build(struct gmem *m, const struct smbios_params *p)
{
	struct writer w = {.start = gmem_pointer(m, LAYOUT_SMBIOS, LAYOUT_SMBIOS_SIZE)};
	int err;

	assert(p->sockets >= 1 && p->sockets <= 255 && p->oem_string_count <= 255);
	if (!w.start)
		return -EFAULT;
	err = check_size(p);
	if (err)
		return err;
	take(&w, TABLE_OFFSET);
	put_structures(&w, m, p);
	put_entry_points(&w);
	return 0;
}
