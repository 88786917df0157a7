/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in all variants that qemu-img makes: each is read as qemu-img reads it, is written to, and
 * is then sound to qemu-img check and reads as it should to qemu-img.
 *
 * LODGE_QCOW2_VARIANTS=all: the whole matrix; else every cluster size, with the rest in turn.
 */
#include "block/driver.h"
#include "block_rig.h"

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

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KIB      1024u
#define DISK     (2048u * KIB + 512u)

static const unsigned cluster_kib2[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

static const char *const features[] = {
    "compat=0.10",
    "compat=1.1",
    "compat=1.1,lazy_refcounts=on",
    "compat=1.1,extended_l2=on",
    "compat=1.1,refcount_bits=1",
    "compat=1.1,refcount_bits=2",
    "compat=1.1,refcount_bits=4",
    "compat=1.1,refcount_bits=8",
    "compat=1.1,refcount_bits=32",
    "compat=1.1,refcount_bits=64",
    "compat=1.1,compression_type=zstd",
};

static const struct making {
	const char *name;
	const char *command; /* options are in $o; makes "disk" from "plain", maybe over "base" */
	unsigned backing;    /* images that it rests on */
	bool snapshot;
} makings[] = {
    {"convert", "qemu-img convert -O qcow2 -o $o plain disk", 0, false},
    {"compressed", "qemu-img convert -c -O qcow2 -o $o plain disk", 0, false},
    {"metadata preallocated", "qemu-img convert -O qcow2 -o $o,preallocation=metadata plain disk",
     0, false},
    {"falloc preallocated", "qemu-img convert -O qcow2 -o $o,preallocation=falloc plain disk", 0,
     false},
    {"full preallocated", "qemu-img convert -O qcow2 -o $o,preallocation=full plain disk", 0,
     false},
    {"over a raw image", "qemu-img convert -O qcow2 -B base -F raw -o $o plain disk", 1, false},
    {"over a chain",
     "qemu-img create -q -f qcow2 -b base -F raw middle && "
     "qemu-io -f qcow2 -c 'write -q -s plain 0 300k' middle && "
     "qemu-img convert -c -O qcow2 -B middle -F qcow2 -o $o plain disk",
     2, false},
    {"with internal snapshots",
     "qemu-img convert -O qcow2 -o $o plain disk && qemu-img snapshot -c one disk && "
     "qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' disk && qemu-img snapshot -c two disk && "
     "qemu-io -f qcow2 -c 'write -q -s plain 0 1M' disk",
     0, true},
};

static uint8_t *want, *got;

static void save(struct block_rig *rig, const char *name, const uint8_t *content)
{
	int fd = open(rig_path(rig, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, content, DISK), DISK);
	close(fd);
}

/* Noise, text and holes. */
static void make_content(uint64_t seed)
{
	memset(want, 0, DISK);
	for (unsigned i = 0; i < 24; i++) {
		uint64_t at = next_random(&seed) % (DISK / 512) * 512;
		uint64_t n = (1 + next_random(&seed) % (i % 3 ? 40 : 900)) * 512;

		if (n > DISK - at)
			n = DISK - at;
		for (uint64_t j = 0; j < n; j += 8) {
			uint64_t value = i % 2 ? next_random(&seed) : at;

			memcpy(want + at + j, &value, 8);
		}
	}
}

static void assert_alike(struct block_rig *rig, const char *what)
{
	memset(got, 0xaa, DISK);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, got, DISK), 0);
	if (memcmp(want, got, DISK) != 0)
		fail_msg("%s: reads differently", what);
}

static void write_some(struct block_rig *rig, uint64_t seed)
{
	for (unsigned i = 0; i < 30; i++) {
		uint64_t at = next_random(&seed) % (DISK / 512) * 512;
		uint64_t n = (1 + next_random(&seed) % (i % 4 ? 24 : 1200)) * 512;
		bool zero = i % 5 == 4;

		if (n > DISK - at)
			n = DISK - at;
		if (i % 10 == 3)
			assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, at, NULL, n), 0);
		memset(want + at, zero ? 0 : (int)i + 1, n);
		assert_int_equal(rig_do(rig, zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
					i % 10 == 4 ? BLOCK_MAY_UNMAP : 0, at,
					zero ? NULL : want + at, n),
				 0);
	}
}

/* What qemu-img says of a making that it refuses itself is no failure: not all goes together. */
static bool make(struct block_rig *rig, const struct making *m, const char *options)
{
	return rig_shell(rig,
			 "rm -f disk middle; cp plain base && o=%s && "
			 "qemu-io -f raw -c 'write -q -z 700k 600k' base && %s",
			 options, m->command) == 0;
}

static void try(struct block_rig *rig, const struct making *m, const char *options, unsigned turn)
{
	struct block_params p = {.backing_count = m->backing};
	char what[200];

	snprintf(what, sizeof(what), "%s, %s", m->name, options);
	p.image = (struct block_image){rig_path(rig, "disk"), BLOCK_FORMAT_QCOW2, true};
	if (m->backing == 2)
		p.backing[0] =
		    (struct block_image){rig_path(rig, "middle"), BLOCK_FORMAT_QCOW2, true};
	if (m->backing)
		p.backing[m->backing - 1] =
		    (struct block_image){rig_path(rig, "base"), BLOCK_FORMAT_RAW, true};
	rig_open(rig, &p);
	assert_int_equal(block_geometry(rig->block)->size, DISK);
	assert_alike(rig, what);
	write_some(rig, turn);
	assert_alike(rig, what);
	rig_close(rig);
	save(rig, "after", want);
	if (rig_shell(rig, "qemu-img check -q disk"))
		fail_msg("%s: qemu-img check", what);
	if (rig_shell(rig, "qemu-img compare -q -F raw disk after"))
		fail_msg("%s: qemu-img reads something else", what);
	if (m->snapshot && rig_shell(rig, "qemu-img convert -l snapshot.name=one disk was && "
					  "qemu-img compare -q -f raw -F raw was plain"))
		fail_msg("%s: its snapshot changed", what);
}

static void reads_and_writes_each_variant(void **state)
{
	const char *asked = getenv("LODGE_QCOW2_VARIANTS");
	bool all = asked && strcmp(asked, "all") == 0;
	unsigned turn = 0, tried = 0, refused = 0;
	struct block_rig rig;
	char options[128];

	(void)state;
	rig_init(&rig);
	want = aligned_alloc(4096, 4096u * KIB);
	got = aligned_alloc(4096, 4096u * KIB);
	for (unsigned c = 0; c < COUNT(cluster_kib2); c++) {
		for (unsigned i = 0; i < COUNT(features) * COUNT(makings); i++) {
			const struct making *m = &makings[i % COUNT(makings)];
			const char *f = features[i / COUNT(makings)];

			if (!all && i % 31 != c * 7 % 31)
				continue;
			snprintf(options, sizeof(options), "%s,cluster_size=%u", f,
				 cluster_kib2[c] * 512);
			make_content(++turn);
			save(&rig, "plain", want);
			if (make(&rig, m, options)) {
				try(&rig, m, options, turn);
				tried++;
			} else {
				refused++;
			}
		}
	}
	print_message("%u variants; %u that qemu-img does not make\n", tried, refused);
	assert_true(tried > 4 * refused || all);
	rig_destroy(&rig);
	free(want);
	free(got);
}

/* What is in a file of its own is not opened: the name of that comes from the image. */
static void refuses_an_external_data_file(void **state)
{
	static const char *const kinds[] = {"data_file=data", "data_file=data,data_file_raw=on"};
	struct block_rig rig;

	(void)state;
	rig_init(&rig);
	for (unsigned i = 0; i < 2 * COUNT(kinds); i++) {
		struct block_params p = {.read_only = i % 2};
		struct refusal why = {0};

		assert_int_equal(
		    rig_shell(&rig, "rm -f disk data; qemu-img create -f qcow2 -o %s disk 1M",
			      kinds[i / 2]),
		    0);
		p.image = (struct block_image){rig_path(&rig, "disk"), BLOCK_FORMAT_QCOW2, true};
		assert_int_equal(block_open_with(&p, rig.loop, &rig.fake.engine, &rig.block, &why),
				 -1);
		assert_int_equal(why.status, STATUS_DATA);
		assert_non_null(strstr(why.text, "external data file"));
	}
	rig_destroy(&rig);
}

static int open_disk(struct block_rig *rig, bool read_only, struct refusal *why)
{
	struct block_params p = {.read_only = read_only};

	*why = (struct refusal){0};
	p.image = (struct block_image){rig_path(rig, "disk"), BLOCK_FORMAT_QCOW2, true};
	return block_open_with(&p, rig->loop, &rig->fake.engine, &rig->block, why);
}

/* QEMU died while it kept refcounts lazily: for reading only, until qemu-img has mended it. */
static void reads_what_was_left_dirty(void **state)
{
	struct block_rig rig;
	struct refusal why;
	uint8_t sector[512];

	(void)state;
	rig_init(&rig);
	rig_shell(&rig, "qemu-img create -f qcow2 -o lazy_refcounts=on disk 1M && "
			"qemu-io -f qcow2 -c 'write -P 9 0 300k' -c flush -c abort disk");
	assert_int_equal(rig_shell(&rig, "qemu-img info disk | grep -q 'corrupt: false' && "
					 "! qemu-img check -q disk"),
			 0);
	assert_int_equal(open_disk(&rig, false, &why), -1);
	assert_int_equal(why.status, STATUS_DATA);
	assert_non_null(strstr(why.text, "qemu-img check -r all"));
	assert_int_equal(open_disk(&rig, true, &why), 0);
	assert_int_equal(rig_do(&rig, BLOCK_READ, 0, 299u * KIB, sector, 512), 0);
	assert_int_equal(sector[0], 9);
	rig_close(&rig);
	assert_int_equal(rig_shell(&rig, "qemu-img check -q -r all disk"), 0);
	assert_int_equal(open_disk(&rig, false, &why), 0);
	assert_int_equal(rig_do(&rig, BLOCK_WRITE, 0, 600u * KIB, sector, 512), 0);
	rig_close(&rig);
	assert_int_equal(rig_shell(&rig, "qemu-img check -q disk"), 0);
	rig_destroy(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_and_writes_each_variant),
	    cmocka_unit_test(refuses_an_external_data_file),
	    cmocka_unit_test(reads_what_was_left_dirty),
	};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img qemu-io >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
