/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images that lie: each is refused with a line that names what is wrong, or, where it shows
 * only later, gives -EIO, is marked corrupt and is no longer written. None does harm.
 */
#include "block/driver.h"
#include "block_rig.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB      1024ull
#define MIB      (1024ull * KIB)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CLUSTER  (64 * KIB)

static uint8_t *buffer; /* 2 MiB */

static int setup(void **state)
{
	struct block_rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	if (!buffer)
		buffer = aligned_alloc(4096, 2 * MIB);
	/* 64 KiB clusters: header 0, refcount table 1, refcount block 2, L1 3, L2 4, data 5.. */
	assert_int_equal(rig_shell(rig, "qemu-img create -f qcow2 fine 2M &&"
					"qemu-io -f qcow2 -c 'write -P 7 0 256k' fine"),
			 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	free(*state);
	return 0;
}

static void patch(struct block_rig *rig, uint64_t at, uint64_t value, unsigned bytes)
{
	uint8_t field[8];
	int fd = open(rig_path(rig, "disk"), O_WRONLY | O_CLOEXEC);

	for (unsigned i = bytes; i-- > 0; value >>= 8)
		field[i] = (uint8_t)value;
	assert_int_equal(pwrite(fd, field, bytes, (off_t)at), bytes);
	close(fd);
}

static uint64_t field_of(struct block_rig *rig, uint64_t at, unsigned bytes)
{
	uint8_t field[8];
	uint64_t value = 0;
	int fd = open(rig_path(rig, "disk"), O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, field, bytes, (off_t)at), bytes);
	close(fd);
	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | field[i];
	return value;
}

static void renew(struct block_rig *rig)
{
	assert_int_equal(rig_shell(rig, "cp fine disk"), 0);
}

static int try_open(struct block_rig *rig, bool read_only, struct refusal *why)
{
	struct block_params p = {.read_only = read_only};

	p.image = (struct block_image){rig_path(rig, "disk"), BLOCK_FORMAT_QCOW2, true};
	*why = (struct refusal){0};
	return block_open_with(&p, rig->loop, &rig->fake.engine, &rig->block, why);
}

static const struct {
	unsigned at, bytes;
	uint64_t value;
	const char *reason;
} lies[] = {
    {0, 4, 0x514649fa, "no qcow2 image"},
    {4, 4, 0, "version 0"},
    {4, 4, 1, "version 1"},
    {4, 4, 4, "version 4"},
    {4, 4, UINT32_MAX, "version"},
    {20, 4, 0, "clusters of 2^0"},
    {20, 4, 8, "clusters of 2^8"},
    {20, 4, 22, "clusters of 2^22"},
    {20, 4, UINT32_MAX, "clusters of"},
    {24, 8, 1ull << 63, "a size of"},
    {24, 8, UINT64_MAX, "a size of"},
    {24, 8, 2 * MIB + 1, "a size of"},
    {24, 8, 1ull << 40, "L1 table of 1 entries is too small"},
    {32, 4, 1, "encrypted (AES)"},
    {32, 4, 2, "encrypted (LUKS)"},
    {32, 4, 77, "encrypted (unknown"},
    {36, 4, 0, "L1 table of 0 entries is too small"},
    {36, 4, (32 << 20) / 8 + 1, "is too large"},
    {36, 4, UINT32_MAX, "is too large"},
    {36, 4, (32 << 20) / 8, "does not lie in the file"},
    {40, 8, 0, "does not lie in the file"},
    {40, 8, 3 * CLUSTER + 512, "does not lie in the file"},
    {40, 8, UINT64_MAX & ~(CLUSTER - 1), "does not lie in the file"},
    {40, 8, CLUSTER, "overlap"},
    {48, 8, 0, "does not lie in the file"},
    {48, 8, CLUSTER + 8, "does not lie in the file"},
    {48, 8, 1ull << 62, "does not lie in the file"},
    {48, 8, 3 * CLUSTER, "overlap"},
    {56, 4, 0, "there is no refcount table"},
    {56, 4, UINT32_MAX, "is too large"},
    {56, 4, 100, "does not lie in the file"},
    {60, 4, 65537, "65537 snapshots"},
    {60, 4, 1, "snapshot table does not lie"},
    {72, 8, 1ull << 5, "feature 5"},
    {72, 8, 1ull << 63, "feature 63"},
    {72, 8, 1ull << 2, "external data file"},
    {72, 8, 1ull << 3, "contradict"},
    {72, 8, 1ull << 1, "marked corrupt"},
    {72, 8, 1ull << 0, "not closed"},
    {96, 4, 7, "refcounts of 2^7"},
    {96, 4, UINT32_MAX, "refcounts of"},
    {100, 4, 72, "header of 72"},
    {100, 4, 65537, "header of 65537"},
    {100, 4, UINT32_MAX, "header of"},
    {104, 1, 1, "contradict"},
    {104, 1, 2, "compression type 2"},
    /* Tables in wrong places. */
    {3 * CLUSTER, 8, 0x8000000000000200ull, "where none can be"},
    {3 * CLUSTER, 8, 1ull << 63 | CLUSTER, "where none can be"},
    {3 * CLUSTER, 8, 1ull << 63 | 2 * CLUSTER, "two tables"},
    {3 * CLUSTER, 8, 1ull << 63 | 3 * CLUSTER, "where none can be"},
    {3 * CLUSTER, 8, 0x00ffffffffff0000ull, "where none can be"},
    {CLUSTER, 8, 3 * CLUSTER, "where none can be"},
    {CLUSTER, 8, 2 * CLUSTER + 512, "where none can be"},
    {CLUSTER + 8, 8, 2 * CLUSTER, "two tables"},
};

static void refuses_headers_that_lie(void **state)
{
	struct block_rig *rig = *state;
	struct refusal why;

	for (unsigned i = 0; i < COUNT(lies); i++) {
		renew(rig);
		patch(rig, lies[i].at, lies[i].value, lies[i].bytes);
		if (try_open(rig, false, &why) == 0)
			fail_msg("case %u (%s) was opened", i, lies[i].reason);
		assert_int_equal(why.status, STATUS_DATA);
		if (!strstr(why.text, lies[i].reason))
			fail_msg("case %u: '%s' is not in: %s", i, lies[i].reason, why.text);
	}
	/* For reading, those that were not closed well will do. */
	for (unsigned bit = 0; bit < 2; bit++) {
		renew(rig);
		patch(rig, 72, 1ull << bit, 8);
		assert_int_equal(try_open(rig, true, &why), 0);
		rig_close(rig);
	}
}

/* Every size of clusters and refcounts, and every feature, that there could be. */
static void refuses_every_other_size_and_feature(void **state)
{
	struct block_rig *rig = *state;
	struct refusal why;

	renew(rig);
	for (unsigned bits = 0; bits < 64; bits++) {
		patch(rig, 20, bits, 4);
		if (try_open(rig, true, &why) == 0) {
			assert_in_range(bits, 9, 21);
			rig_close(rig);
		}
		patch(rig, 20, 16, 4);
		patch(rig, 96, bits, 4);
		if (try_open(rig, true, &why) == 0) {
			assert_true(bits <= 6);
			rig_close(rig);
		}
		patch(rig, 96, 4, 4);
		patch(rig, 72, 1ull << bits, 8);
		/* Dirty and corrupt may be read; extended L2 alone contradicts what is there. */
		if (try_open(rig, true, &why) == 0) {
			assert_true(bits < 2 || bits == 4);
			rig_close(rig);
		}
		patch(rig, 72, 0, 8);
		/* Compatible and autoclear ones are nobody's business, for reading. */
		patch(rig, 80, 1ull << bits, 8);
		patch(rig, 88, 1ull << bits, 8);
		assert_int_equal(try_open(rig, true, &why), 0);
		rig_close(rig);
		assert_int_equal(field_of(rig, 88, 8), 1ull << bits);
		patch(rig, 80, 0, 8);
		patch(rig, 88, 0, 8);
	}
	for (unsigned version = 0; version < 256; version++) {
		patch(rig, 4, version, 4);
		assert_int_equal(try_open(rig, true, &why), version == 2 || version == 3 ? 0 : -1);
		rig_close(rig);
	}
}

/* CVE-2014-0146: a snapshot table that lies is refused, or does no harm. */
static void survives_snapshots_that_lie(void **state)
{
	static const struct {
		unsigned at, bytes;
	} fields[] = {{0, 8}, {8, 4}, {12, 2}, {14, 2}, {36, 4}};
	static const uint64_t values[] = {0,        1,          0xffff,     0x10000,   0x7fffffff,
					  1u << 31, UINT32_MAX, 1ull << 63, UINT64_MAX};
	struct block_rig *rig = *state;
	struct refusal why;
	uint64_t table;

	assert_int_equal(rig_shell(rig, "cp fine disk && qemu-img snapshot -c one disk &&"
					"cp disk shot"),
			 0);
	table = field_of(rig, 64, 8);
	for (unsigned f = 0; f < COUNT(fields); f++) {
		for (unsigned i = 0; i < COUNT(values); i++) {
			assert_int_equal(rig_shell(rig, "cp shot disk"), 0);
			patch(rig, table + fields[f].at, values[i], fields[f].bytes);
			if (try_open(rig, false, &why)) {
				assert_int_equal(why.status, STATUS_DATA);
				continue;
			}
			rig_do(rig, BLOCK_READ, 0, 0, buffer, 2 * MIB);
			rig_do(rig, BLOCK_WRITE, 0, 64 * KIB, buffer, 512 * KIB);
			rig_close(rig);
		}
	}
	/* A table that lies in the header, or in the file's last bytes. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rig_shell(rig, "cp shot disk"), 0);
		patch(rig, 64, i ? 1ull << 40 : 0, 8);
		assert_int_equal(try_open(rig, false, &why), -1);
	}
}

static void refuses_backing_names_that_lie(void **state)
{
	struct block_rig *rig = *state;
	struct refusal why;

	static const struct {
		uint64_t offset;
		uint32_t length;
		const char *reason;
	} cases[] = {
	    {200, 1024, "1024 bytes is too long"},
	    {200, UINT32_MAX, "too long"},
	    {CLUSTER - 4, 5, "does not lie in the header"},
	    {CLUSTER, 1, "does not lie in the header"},
	    {UINT64_MAX, 2, "does not lie in the header"},
	    {8, 8, "does not lie in the header"},
	    {200, 1023, "needs backing=FILE"},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		renew(rig);
		for (unsigned at = 200; at < 1300; at++)
			patch(rig, at, 'x', 1);
		patch(rig, 8, cases[i].offset, 8);
		patch(rig, 16, cases[i].length, 4);
		assert_int_equal(try_open(rig, true, &why), -1);
		if (!strstr(why.text, cases[i].reason))
			fail_msg("case %u: '%s' is not in: %s", i, cases[i].reason, why.text);
	}
	/* Whatever the name is, nothing is opened by it. */
	renew(rig);
	patch(rig, 8, 200, 8);
	patch(rig, 16, 11, 4);
	for (unsigned i = 0; i < 11; i++)
		patch(rig, 200 + i, (uint8_t) "/etc/passwd"[i], 1);
	assert_int_equal(try_open(rig, true, &why), -1);
	assert_int_equal(why.status, STATUS_USAGE);
	assert_non_null(strstr(why.text, "it rests on '/etc/passwd'"));
}

/* Whatever stands in a field: refused, or opened, read and written without harm. */
static void survives_every_field(void **state)
{
	static const uint64_t values[] = {0,       1,          0x7fffffff, 0x80000000, UINT32_MAX,
					  CLUSTER, UINT64_MAX, 1ull << 63, 1ull << 55};
	struct block_rig *rig = *state;
	struct refusal why;

	for (unsigned at = 4; at < 112; at += 4) {
		for (unsigned i = 0; i < COUNT(values); i++) {
			renew(rig);
			patch(rig, at, values[i], at % 8 ? 4 : 8);
			if (try_open(rig, false, &why))
				continue;
			rig_do(rig, BLOCK_READ, 0, 0, buffer, 2 * MIB);
			rig_do(rig, BLOCK_WRITE, 0, 64 * KIB, buffer, 512 * KIB);
			rig_do(rig, BLOCK_DISCARD, 0, 0, NULL, 128 * KIB);
			rig_close(rig);
		}
	}
}

static void stops_at_tables_that_lie(void **state)
{
	static const uint64_t entries[] = {
	    1ull << 63 | (5 * CLUSTER + 512), /* unaligned */
	    1ull << 63 | 1ull << 56 | 5 * CLUSTER,
	    1ull << 63 | 2ull | 5 * CLUSTER,
	    1ull << 63 | CLUSTER, /* the refcount table, a refcount block, L1, L2 */
	    1ull << 63 | 2 * CLUSTER,
	    1ull << 63 | 3 * CLUSTER,
	    1ull << 63 | 4 * CLUSTER,
	    0x80ffffffffff0000ull, /* far outside */
	    1ull << 62 | 0x3fffffffffffffull,
	    1ull << 62 | 5 * CLUSTER, /* no compressed data there */
	};
	struct block_rig *rig = *state;
	struct refusal why;

	for (unsigned i = 0; i < COUNT(entries); i++) {
		for (unsigned write = 0; write < 2; write++) {
			renew(rig);
			patch(rig, 4 * CLUSTER, entries[i], 8);
			assert_int_equal(try_open(rig, false, &why), 0);
			rig->events = 0;
			memset(buffer, 'x', 4096);
			if (rig_do(rig, write ? BLOCK_WRITE : BLOCK_READ, 0, 0, buffer, 4096) !=
			    -EIO)
				fail_msg("entry %#llx was taken", (unsigned long long)entries[i]);
			rig_settle(rig);
			/* What is sound can still be read; nothing can be written. */
			assert_int_equal(rig_do(rig, BLOCK_READ, 0, CLUSTER, buffer, 512), 0);
			assert_int_equal(buffer[0], 7);
			assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, CLUSTER, buffer, 512), -EIO);
			rig_close(rig);
			assert_int_equal(field_of(rig, 72, 8), 2);
			assert_int_equal(try_open(rig, false, &why), -1);
		}
	}
}

/* A refcount of 0 for what is in use: nothing may be put there. */
static void stops_at_refcounts_that_lie(void **state)
{
	static const unsigned clusters[] = {0, 1, 2, 3, 4};
	struct block_rig *rig = *state;
	struct refusal why;

	for (unsigned i = 0; i < COUNT(clusters); i++) {
		renew(rig);
		patch(rig, 2 * CLUSTER + 2ull * clusters[i], 0, 2);
		assert_int_equal(try_open(rig, false, &why), 0);
		assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, MIB, buffer, 4096), -EIO);
		assert_int_equal(rig->last_event.kind, BLOCK_EVENT_ERROR);
		rig_close(rig);
		assert_int_equal(field_of(rig, 72, 8), 2);
	}
	/* A missing refcount block: the file's own are not there, so none can be made. */
	renew(rig);
	patch(rig, CLUSTER, 0, 8);
	assert_int_equal(try_open(rig, false, &why), 0);
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, MIB, buffer, 4096), -EIO);
}

static void survives_a_file_that_is_cut(void **state)
{
	struct block_rig *rig = *state;
	struct refusal why;

	renew(rig);
	assert_int_equal(try_open(rig, false, &why), 0);
	assert_int_equal(truncate(rig_path(rig, "disk"), 5 * CLUSTER), 0);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, buffer, 2 * MIB), 0);
	assert_int_equal(rig_do(rig, BLOCK_WRITE, 0, MIB, buffer, 4096), 0);
	rig_close(rig);
	for (unsigned bytes = 0; bytes < 6 * CLUSTER; bytes += 8191) {
		renew(rig);
		assert_int_equal(truncate(rig_path(rig, "disk"), bytes), 0);
		if (try_open(rig, false, &why) == 0) {
			rig_do(rig, BLOCK_READ, 0, 0, buffer, 2 * MIB);
			rig_do(rig, BLOCK_WRITE, 0, MIB, buffer, 4096);
			rig_close(rig);
		}
	}
}

/* Named backing files, and only those, and only where there is one. */
static void opens_what_is_named(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.backing_count = 1, .read_only = true};
	struct block *b = NULL;
	struct refusal why = {0};

	p.image = (struct block_image){rig_path(rig, "fine"), BLOCK_FORMAT_QCOW2, true};
	p.backing[0] = (struct block_image){rig_path(rig, "fine"), BLOCK_FORMAT_QCOW2, true};
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &b, &why), -1);
	assert_non_null(strstr(why.text, "rests on no other image"));
	p.backing_count = BLOCK_BACKING_MAX + 1;
	why = (struct refusal){0};
	assert_int_equal(block_open_with(&p, rig->loop, &rig->fake.engine, &b, &why), -1);
	assert_int_equal(why.status, STATUS_USAGE);
}

/* Errors at every single transfer: the guest hears of each, and the image stays sound. */
static void stays_sound_whatever_fails(void **state)
{
	static const int errors[] = {EIO, ENOSPC};
	struct block_rig *rig = *state;
	struct refusal why;

	for (unsigned e = 0; e < COUNT(errors); e++) {
		for (unsigned once = 0; once < 2; once++) {
			for (unsigned after = 0; after < 14; after++) {
				assert_int_equal(
				    rig_shell(rig, "cp fine disk && qemu-img snapshot -c a disk"),
				    0);
				assert_int_equal(try_open(rig, false, &why), 0);
				rig->fake.fault =
				    (struct fault){.err = errors[e],
						   .kinds = 1 << IO_WRITE | 1 << IO_SYNC,
						   .after = after,
						   .times = once ? 1 : FAULT_ALWAYS};
				for (unsigned i = 0; i < 4; i++)
					rig_do(rig, i == 2 ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, 0,
					       i * 96 * KIB, i == 2 ? NULL : buffer, 80 * KIB);
				rig->fake.fault.err = 0;
				rig_close(rig);
				if (rig_shell(rig, "qemu-img check -q disk; test $? = 0 -o $? = 3"))
					fail_msg("errno %d after %u", errors[e], after);
			}
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(refuses_headers_that_lie),
	    TEST(refuses_backing_names_that_lie),
	    TEST(refuses_every_other_size_and_feature),
	    TEST(survives_snapshots_that_lie),
	    TEST(survives_every_field),
	    TEST(stops_at_tables_that_lie),
	    TEST(stops_at_refcounts_that_lie),
	    TEST(survives_a_file_that_is_cut),
	    TEST(opens_what_is_named),
	    TEST(stays_sound_whatever_fails),
	};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img qemu-io >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
