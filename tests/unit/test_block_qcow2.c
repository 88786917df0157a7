/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 against QEMU's tools: what qemu-img makes reads alike here, what is written here passes
 * qemu-img check and reads alike there.
 */
#include "block_rig.h"

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
#define DISK     (3 * MIB + 512 * 7)

static uint8_t *want, *got; /* DISK bytes each, page aligned */

static const struct variant {
	const char *options; /* of qemu-img create -o */
	bool direct;         /* also with O_DIRECT */
} variants[] = {
    {"compat=1.1", true},
    {"compat=0.10", true},
    {"compat=1.1,cluster_size=512", false},
    {"compat=0.10,cluster_size=1k", false},
    {"compat=1.1,cluster_size=4k", true},
    {"compat=1.1,cluster_size=2M", true},
    {"compat=1.1,refcount_bits=1", false},
    {"compat=1.1,refcount_bits=2,cluster_size=1k", false},
    {"compat=1.1,refcount_bits=8", false},
    {"compat=1.1,refcount_bits=64,cluster_size=512", false},
    {"compat=1.1,lazy_refcounts=on", false},
    {"compat=1.1,extended_l2=on", true},
    {"compat=1.1,extended_l2=on,cluster_size=16k", false},
    {"compat=1.1,extended_l2=on,cluster_size=128k", true},
    {"compat=1.1,preallocation=metadata", false},
    {"compat=1.1,preallocation=falloc", false},
    {"compat=1.1,preallocation=full", false},
    {"compat=1.1,compression_type=zstd", false},
};

static int setup(void **state)
{
	struct block_rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	if (!want) {
		want = aligned_alloc(4096, 4 * MIB);
		got = aligned_alloc(4096, 4 * MIB);
	}
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	free(*state);
	return 0;
}

static void shell(struct block_rig *rig, const char *command)
{
	if (rig_shell(rig, "%s", command)) {
		rig_shell(rig, "cat log >&2 2>/dev/null");
		fail_msg("failed: %s", command);
	}
}

#define run(rig, ...)                                                                              \
	do {                                                                                       \
		char run_command[1024];                                                            \
		snprintf(run_command, sizeof(run_command), __VA_ARGS__);                           \
		shell(rig, run_command);                                                           \
	} while (0)

static void open_qcow2(struct block_rig *rig, const char *name, struct block_params p)
{
	p.image = (struct block_image){rig_path(rig, name), BLOCK_FORMAT_QCOW2, true};
	rig_open(rig, &p);
}

/* Content with holes, zeroes and noise in pieces of all sizes. */
static void make_content(uint64_t seed, uint64_t size)
{
	memset(want, 0, size);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t at = next_random(&seed) % (size / 512) * 512;
		uint64_t n = (1 + next_random(&seed) % (i % 4 ? 32 : 600)) * 512;

		if (n > size - at)
			n = size - at;
		for (uint64_t j = 0; j < n; j += 8) {
			uint64_t value = i % 3 ? next_random(&seed) : at;

			memcpy(want + at + j, &value, 8);
		}
	}
}

static void save_content(struct block_rig *rig, const char *name, uint64_t size)
{
	int fd = open(rig_path(rig, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, want, size), size);
	close(fd);
}

static void assert_reads_alike(struct block_rig *rig, uint64_t size, uint64_t seed)
{
	assert_int_equal(block_geometry(rig->block)->size, size);
	memset(got, 0xaa, size);
	assert_int_equal(rig_do(rig, BLOCK_READ, 0, 0, got, size), 0);
	assert_memory_equal(want, got, size);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t at = next_random(&seed) % (size / 512) * 512;
		uint64_t n = (1 + next_random(&seed) % 200) * 512;

		if (n > size - at)
			n = size - at;
		memset(got, 0xaa, n);
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, at, got, n), 0);
		assert_memory_equal(want + at, got, n);
	}
}

static void reads_what_qemu_writes(void **state)
{
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(variants); i++) {
		bool zstd = strstr(variants[i].options, "zstd") != NULL;

		make_content(i, DISK);
		save_content(rig, "plain", DISK);
		for (unsigned compressed = zstd; compressed < 2; compressed++) {
			if (compressed && strstr(variants[i].options, "preallocation"))
				continue;
			run(rig, "qemu-img convert %s -O qcow2 -o %s plain disk",
			    compressed ? "-c" : "", variants[i].options);
			open_qcow2(rig, "disk", (struct block_params){.read_only = true});
			assert_reads_alike(rig, DISK, i);
			rig_close(rig);
			if (!variants[i].direct)
				continue;
			open_qcow2(rig, "disk", (struct block_params){.cache = BLOCK_CACHE_NONE});
			assert_reads_alike(rig, DISK, i);
			rig_close(rig);
		}
	}
}

static void reads_chains(void **state)
{
	struct block_rig *rig = *state;
	struct block_params p = {.backing_count = 2};

	/* The base is shorter than what rests on it; each layer hides part of the one below. */
	make_content(7, DISK);
	memset(want + MIB, 0, DISK - MIB);
	save_content(rig, "plain", MIB);
	run(rig,
	    "cp plain base && qemu-img create -f qcow2 -b base -F raw middle %llu &&"
	    "qemu-img create -f qcow2 -o extended_l2=on -b middle -F qcow2 top %llu &&"
	    "qemu-io -f qcow2 -c 'write -P 1 100k 70k' -c 'write -z 300k 200k' middle &&"
	    "qemu-io -f qcow2 -c 'write -P 2 140k 3k' -c 'write -z 130k 4k' "
	    "-c 'write -P 3 2M 1k' top",
	    DISK, DISK);
	memset(want + 100 * KIB, 1, 70 * KIB);
	memset(want + 300 * KIB, 0, 200 * KIB);
	memset(want + 140 * KIB, 2, 3 * KIB);
	memset(want + 130 * KIB, 0, 4 * KIB);
	memset(want + 2 * MIB, 3, KIB);
	p.backing[0] = (struct block_image){rig_path(rig, "middle"), BLOCK_FORMAT_QCOW2, true};
	p.backing[1] = (struct block_image){rig_path(rig, "base"), BLOCK_FORMAT_RAW, true};
	open_qcow2(rig, "top", p);
	assert_reads_alike(rig, DISK, 1);
}

/* --- writing --- */

static void check_image(struct block_rig *rig, const char *options)
{
	if (rig_shell(rig, "qemu-img check -q disk")) {
		rig_shell(rig, "qemu-img check disk 2>&1 | head -20 >check; cat check >&2");
		fail_msg("qemu-img check: %s", options);
	}
	save_content(rig, "plain", DISK);
	run(rig, "qemu-img compare disk plain || { qemu-img map disk; false; }");
}

static void one_step(struct block_rig *rig, uint64_t *seed)
{
	uint64_t kind = next_random(seed) % 16, at = next_random(seed) % (DISK / 512) * 512;
	uint64_t n = (1 + next_random(seed) % (kind % 2 ? 16 : 700)) * 512;
	uint8_t value = (uint8_t)next_random(seed);

	if (n > DISK - at)
		n = DISK - at;
	if (kind == 15) { /* a discard may do what it likes: what it did is the truth */
		assert_int_equal(rig_do(rig, BLOCK_DISCARD, 0, at, NULL, n), 0);
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, at, got, n), 0);
		for (uint64_t i = 0; i < n; i++) {
			if (got[i] && got[i] != want[at + i])
				fail_msg("discard invented a byte");
		}
		memcpy(want + at, got, n);
	} else if (kind >= 12) {
		assert_int_equal(
		    rig_do(rig, BLOCK_WRITE_ZEROES, kind & 1 ? BLOCK_MAY_UNMAP : 0, at, NULL, n),
		    0);
		memset(want + at, 0, n);
	} else if (kind == 11) {
		assert_int_equal(rig_do(rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	} else if (kind >= 8) {
		assert_int_equal(rig_do(rig, BLOCK_READ, 0, at, got, n), 0);
		assert_memory_equal(got, want + at, n);
	} else {
		memset(want + at, value, n);
		want[at] = (uint8_t)kind;
		assert_int_equal(rig_do(rig, BLOCK_WRITE, kind ? 0 : BLOCK_FUA, at, want + at, n),
				 0);
	}
}

static void writes_what_qemu_reads(void **state)
{
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(variants); i++) {
		uint64_t seed = 100 + i;
		enum block_cache cache =
		    variants[i].direct && i % 2 ? BLOCK_CACHE_NONE : BLOCK_CACHE_WRITEBACK;

		make_content(i, DISK);
		save_content(rig, "plain", DISK);
		if (strstr(variants[i].options, "preallocation"))
			run(rig, "qemu-img convert -O qcow2 -o %s plain disk", variants[i].options);
		else
			run(rig, "qemu-img convert %s -O qcow2 -o %s plain disk", i % 3 ? "-c" : "",
			    variants[i].options);
		for (unsigned round = 0; round < 2; round++) {
			open_qcow2(rig, "disk", (struct block_params){.cache = cache});
			for (unsigned step = 0; step < 150; step++)
				one_step(rig, &seed);
			assert_reads_alike(rig, DISK, seed);
			rig_close(rig);
			check_image(rig, variants[i].options);
		}
	}
}

static void writes_over_backing_files(void **state)
{
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(variants); i++) {
		struct block_params p = {.backing_count = 1};
		uint64_t seed = 200 + i;

		if (strstr(variants[i].options, "preallocation"))
			continue;
		make_content(i, DISK);
		save_content(rig, "plain", DISK);
		run(rig, "cp plain base; qemu-img create -f qcow2 -o %s -b base -F raw disk",
		    variants[i].options);
		p.backing[0] = (struct block_image){rig_path(rig, "base"), BLOCK_FORMAT_RAW, true};
		open_qcow2(rig, "disk", p);
		for (unsigned step = 0; step < 200; step++)
			one_step(rig, &seed);
		assert_reads_alike(rig, DISK, seed);
		rig_close(rig);
		run(rig, "cmp plain base");
		check_image(rig, variants[i].options);
	}
}

/* What a snapshot holds stays as it was. */
static void leaves_snapshots_alone(void **state)
{
	struct block_rig *rig = *state;

	for (unsigned i = 0; i < COUNT(variants); i += 2) {
		uint64_t seed = 300 + i;

		if (strstr(variants[i].options, "refcount_bits=1"))
			continue;
		make_content(i, DISK);
		save_content(rig, "before", DISK);
		run(rig,
		    "qemu-img convert -O qcow2 -o %s before disk && qemu-img snapshot -c one disk",
		    variants[i].options);
		open_qcow2(rig, "disk", (struct block_params){0});
		for (unsigned step = 0; step < 200; step++)
			one_step(rig, &seed);
		assert_reads_alike(rig, DISK, seed);
		rig_close(rig);
		check_image(rig, variants[i].options);
		run(rig, "qemu-img snapshot -a one disk && qemu-img compare disk before &&"
			 "qemu-img snapshot -d one disk && qemu-img check disk");
	}
}

/* Many requests at once, to clusters of their own; a second image of each is a plain file. */
static void writes_many_at_once(void **state)
{
	static struct rig_request r[64];
	struct block_rig *rig = *state;
	uint64_t seed = 5;

	for (unsigned i = 0; i < COUNT(variants); i++) {
		run(rig, "rm -f disk && qemu-img create -f qcow2 -o %s disk %llu",
		    variants[i].options, DISK);
		memset(want, 0, DISK);
		open_qcow2(rig, "disk", (struct block_params){0});
		rig->fake.shuffle = i + 1;
		for (unsigned round = 0; round < 8; round++) {
			for (unsigned j = 0; j < 64; j++) {
				uint64_t at = j * 48 * KIB + next_random(&seed) % 80 * 512;

				memset(want + at, (int)(round * 64 + j), 4096);
				rig_start(rig, &r[j],
					  j % 13 == 12 ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, 0, at,
					  j % 13 == 12 ? NULL : want + at, 4096);
				if (j % 13 == 12)
					memset(want + at, 0, 4096);
			}
			for (unsigned j = 0; j < 64; j++) {
				rig_wait(rig, &r[j]);
				assert_int_equal(r[j].err, 0);
			}
		}
		assert_reads_alike(rig, DISK, seed);
		rig_close(rig);
		check_image(rig, variants[i].options);
	}
}

/* The host's disk is full, again and again; somebody makes room; nothing is lost. */
static void goes_on_after_a_full_disk(void **state)
{
	static struct rig_request r[24];
	struct block_rig *rig = *state;

	for (unsigned after = 0; after < 40; after += 3) {
		run(rig, "rm -f disk && qemu-img create -f qcow2 -o %s disk %llu",
		    variants[after % 12].options, DISK);
		memset(want, 0, DISK);
		open_qcow2(rig, "disk", (struct block_params){.on_enospc = BLOCK_PAUSE});
		rig->fake.fault = (struct fault){
		    .err = ENOSPC, .kinds = 1 << IO_WRITE, .after = after, .times = 1 + after % 5};
		for (unsigned i = 0; i < COUNT(r); i++) {
			uint64_t at = i * 100 * KIB + after * 512;

			memset(want + at, (int)(after + i + 1), 9 * KIB);
			rig_start(rig, &r[i], BLOCK_WRITE, 0, at, want + at, 9 * KIB);
		}
		for (unsigned i = 0; i < COUNT(r); i++) {
			while (!r[i].done) {
				loop_step(rig->loop);
				if (block_paused(rig->block))
					block_resume(rig->block);
			}
			assert_int_equal(r[i].err, 0);
		}
		rig->fake.fault.err = 0;
		assert_reads_alike(rig, DISK, after);
		rig_close(rig);
		save_content(rig, "plain", DISK);
		run(rig,
		    "qemu-img check -q disk; test $? = 0 -o $? = 3 && qemu-img compare disk plain");
	}
}

/* Closed in the midst of it: each request is answered, once. */
static void closes_with_requests_in_work(void **state)
{
	static struct rig_request r[200];
	struct block_rig *rig = *state;
	uint64_t seed = 17;

	for (unsigned round = 0; round < 8; round++) {
		run(rig, "rm -f disk && qemu-img create -f qcow2 -o cluster_size=4k disk %llu",
		    DISK);
		open_qcow2(rig, "disk", (struct block_params){.depth = 64});
		rig->fake.shuffle = round;
		for (unsigned i = 0; i < COUNT(r); i++) {
			enum block_op op = next_random(&seed) % 5;

			rig_start(rig, &r[i], op, 0,
				  op == BLOCK_FLUSH ? 0
						    : next_random(&seed) % (DISK / 512 - 64) * 512,
				  op == BLOCK_READ || op == BLOCK_WRITE ? got + i * 4096ul : NULL,
				  op == BLOCK_FLUSH ? 0 : 4096);
			if (next_random(&seed) % 8 == 0)
				loop_step(rig->loop);
		}
		if (round % 2)
			block_cancel(rig->block);
		rig_close(rig);
		for (unsigned i = 0; i < COUNT(r); i++)
			assert_true(r[i].done && (r[i].err == 0 || r[i].err == -ECANCELED));
		run(rig, "qemu-img check -q disk");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static bool have_qemu_img(void)
{
	/* NOLINTNEXTLINE(cert-env33-c) */
	bool have = system("command -v qemu-img qemu-io >/dev/null") == 0;

	if (!have)
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
	return have;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(reads_what_qemu_writes),    TEST(reads_chains),
	    TEST(writes_what_qemu_reads),    TEST(writes_over_backing_files),
	    TEST(leaves_snapshots_alone),    TEST(writes_many_at_once),
	    TEST(goes_on_after_a_full_disk), TEST(closes_with_requests_in_work),
	};

	if (!have_qemu_img())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
