/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The error matrix: each request in each cache mode on each format, with each transfer that it
 * needs failing in turn, once or for good, in each way that a host has.
 *
 * Whatever failed, the guest hears of it, or its request is done all the same; what the request did
 * not name stays as it was; what it named is old or new, sector by sector; the image stays sound;
 * and once the host works again, so does the disk. After a flush that failed no flush succeeds any
 * more, and nothing that has to be durable.
 *
 * LODGE_ERROR_CASES=all: every row in every mode on every format; else most rows have their
 * mode in turn, and plain qcow2 is left out.
 */
#include "block/qcow2.h"
#include "block_rig.h"
#include "qcow2_check.h"

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

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define KIB       1024ull
#define DISK      (256 * KIB)
#define IMAGE_MAX (4u << 20)
#define EVENTS    60u /* more than any request has */
#define ANY       (1u << IO_READ | 1u << IO_WRITE | 1u << IO_SYNC | 1u << IO_PUNCH | 1u << IO_ZERO)
#define SPACE     (1u << IO_WRITE | 1u << IO_PUNCH | 1u << IO_ZERO)

static const struct format {
	const char *name, *make; /* from "old", to "template" */
	bool qcow2, base;
} formats[] = {
    {"raw", "cp old template", false, false},
    {"qcow2",
     "qemu-img create -f qcow2 -o cluster_size=4k template 256k && "
     "qemu-img dd -f raw -O raw if=old of=half bs=64k count=1 && "
     "qemu-img convert -n -f raw -O qcow2 half template",
     true, false},
    {"qcow2 over a base, with a snapshot",
     "qemu-img create -f qcow2 -o cluster_size=4k -b old -F raw template && "
     "qemu-io -f qcow2 -c 'write -q -s old 0 64k' template && "
     "qemu-img snapshot -c one template && "
     "qemu-io -f qcow2 -c 'write -q -s old 0 16k' template", /* these need no copy */
     true, true},
};

static const struct mode {
	const char *name;
	enum block_cache cache;
	bool direct, through;
} modes[] = {
    {"writeback", BLOCK_CACHE_WRITEBACK, false, false},
    {"none", BLOCK_CACHE_NONE, true, false},
    {"writethrough", BLOCK_CACHE_WRITETHROUGH, false, true},
    {"directsync", BLOCK_CACHE_DIRECTSYNC, true, true},
    {"unsafe", BLOCK_CACHE_UNSAFE, false, false},
};

static const struct op {
	const char *name;
	enum block_op op;
	unsigned flags;
	uint64_t offset, length;
} ops[] = {
    {"read", BLOCK_READ, 0, 56 * KIB + 512, 24 * KIB},
    {"write in place", BLOCK_WRITE, 0, 8 * KIB + 512, 10 * KIB},
    {"write of what is new", BLOCK_WRITE, 0, 128 * KIB + 1536, 10 * KIB},
    {"write with FUA", BLOCK_WRITE, BLOCK_FUA, 60 * KIB, 8 * KIB},
    {"flush", BLOCK_FLUSH, 0, 0, 0},
    {"discard", BLOCK_DISCARD, 0, 8 * KIB - 512, 12 * KIB + 1024},
    {"write zeroes", BLOCK_WRITE_ZEROES, 0, 8 * KIB - 512, 12 * KIB + 1024},
    {"write zeroes, unmap", BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 16 * KIB, 8 * KIB},
    {"write zeroes, FUA", BLOCK_WRITE_ZEROES, BLOCK_FUA, 120 * KIB + 512, 12 * KIB},
};

static const struct row {
	const char *name;
	int err;
	unsigned kinds;
	uint32_t times;
	bool pause;       /* and resume */
	bool passes;      /* the request succeeds in spite of it */
	uint64_t longest; /* bytes of a transfer */
} rows[] = {
    {.name = "EIO", .err = EIO, .kinds = ANY, .times = 1},
    {.name = "EIO for good", .err = EIO, .kinds = ANY, .times = FAULT_ALWAYS},
    {.name = "ENOSPC", .err = ENOSPC, .kinds = SPACE, .times = 1},
    {.name = "ENOSPC, pause",
     .err = ENOSPC,
     .kinds = SPACE,
     .times = 1,
     .pause = true,
     .passes = true},
    {.name = "EDQUOT, pause",
     .err = EDQUOT,
     .kinds = SPACE,
     .times = 1,
     .pause = true,
     .passes = true},
    {.name = "ENOSPC of a flush, pause",
     .err = ENOSPC,
     .kinds = 1u << IO_SYNC,
     .times = 1,
     .pause = true},
    {.name = "ENOMEM", .err = ENOMEM, .kinds = ANY, .times = 1},
    {.name = "EFBIG", .err = EFBIG, .kinds = SPACE, .times = 1},
    {.name = "EINTR", .err = EINTR, .kinds = ANY, .times = 3, .passes = true},
    {.name = "EAGAIN", .err = EAGAIN, .kinds = ANY, .times = 9, .passes = true},
    {.name = "EAGAIN for good", .err = EAGAIN, .kinds = ANY, .times = FAULT_ALWAYS},
    {.name = "no fallocate",
     .err = EOPNOTSUPP,
     .kinds = 1u << IO_PUNCH | 1u << IO_ZERO,
     .times = FAULT_ALWAYS,
     .passes = true},
    {.name = "short transfers", .passes = true, .longest = 4096},
    {.name = "writes of nothing", .err = FAULT_NOTHING, .kinds = 1u << IO_WRITE, .times = 1},
};

struct matrix {
	struct block_rig rig;
	const struct format *format;
	const struct mode *mode;
	const struct op *op;
	const struct row *row;
	unsigned event, cases, struck;
	uint8_t *image; /* template */
	size_t image_size;
	uint8_t *was, *got, *data;
};

#define fail_case(m, ...)                                                                          \
	do {                                                                                       \
		print_message("%s, %s, %s, %s at transfer %u:\n", (m)->format->name,               \
			      (m)->mode->name, (m)->op->name, (m)->row->name, (m)->event);         \
		fail_msg(__VA_ARGS__);                                                             \
	} while (0)

static size_t load(struct matrix *m, const char *name, uint8_t *to)
{
	int fd = open(rig_path(&m->rig, name), O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, to, IMAGE_MAX);

	assert_true(fd >= 0 && n > 0 && n < IMAGE_MAX);
	close(fd);
	return (size_t)n;
}

static void open_disk(struct matrix *m, bool read_only)
{
	struct block_params p = {.cache = m->mode->cache,
				 .depth = 4,
				 .read_only = read_only,
				 .backing_count = m->format->base,
				 .on_enospc = m->row->pause ? BLOCK_PAUSE : BLOCK_REPORT};

	p.image =
	    (struct block_image){rig_path(&m->rig, "disk"),
				 m->format->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW, true};
	p.backing[0] = (struct block_image){rig_path(&m->rig, "old"), BLOCK_FORMAT_RAW, true};
	rig_open(&m->rig, &p);
}

static void renew(struct matrix *m)
{
	int fd = open(rig_path(&m->rig, "disk"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, m->image, m->image_size), m->image_size);
	close(fd);
}

/* The request, to its end; held ones are resumed. */
static int request(struct matrix *m)
{
	bool data = m->op->op == BLOCK_READ || m->op->op == BLOCK_WRITE;
	struct rig_request r;

	memset(m->got, 0xee, m->op->length);
	rig_start(&m->rig, &r, m->op->op, m->op->flags, m->op->offset,
		  !data                      ? NULL
		  : m->op->op == BLOCK_WRITE ? m->data
					     : m->got,
		  m->op->length);
	for (unsigned i = 0; !r.done; i++) {
		if (!loop_step(m->rig.loop))
			usleep(10);
		if (block_paused(m->rig.block)) {
			if (!m->row->pause)
				fail_case(m, "paused");
			block_resume(m->rig.block);
		}
		if (i > 1000000)
			fail_case(m, "the request is never done");
	}
	return r.err;
}

static bool is_sector(const uint8_t *at, const uint8_t *want)
{
	static const uint8_t zeroes[512];

	return memcmp(at, want ? want : zeroes, 512) == 0;
}

/* got: the disk. done: the request was, so that nothing old may be there. */
static void check_content(struct matrix *m, bool done)
{
	const struct op *op = m->op;

	for (uint64_t at = 0; at < DISK; at += 512) {
		bool named =
		    op->op != BLOCK_READ && at >= op->offset && at < op->offset + op->length;
		const uint8_t *new = op->op == BLOCK_WRITE ? m->data + (at - op->offset) : NULL;
		bool old_will_do = !named || !done || op->op == BLOCK_DISCARD;

		if (!(named && is_sector(m->got + at, new)) &&
		    !(old_will_do && is_sector(m->got + at, m->was + at)))
			fail_case(m, "sector %llu is wrong", (unsigned long long)at / 512);
	}
}

static void read_all(struct matrix *m)
{
	int err = rig_do(&m->rig, BLOCK_READ, 0, 0, m->got, DISK);

	if (err)
		fail_case(m, "reading all: %s", strerror(-err));
}

static void check_image(struct matrix *m)
{
	struct qcow2_check check;
	size_t n;

	if (!m->format->qcow2)
		return;
	n = load(m, "disk", m->data + DISK);
	qcow2_check_image(m->data + DISK, n, &check);
	if (check.corruptions)
		fail_case(m, "the image is corrupt: %s", check.what);
	if (m->cases % 200 == 0 &&
	    rig_shell(&m->rig, "qemu-img check -q disk; test $? = 0 -o $? = 3"))
		fail_case(m, "qemu-img check finds it corrupt");
}

/* Whether data that was done may be lost: then no flush may succeed any more. */
static bool lost_trust(const struct matrix *m, unsigned struck, bool durable_struck)
{
	if (m->mode->cache == BLOCK_CACHE_UNSAFE || m->row->passes)
		return false;
	return struck & 1u << IO_SYNC || (durable_struck && !m->mode->direct && m->row->err == EIO);
}

static void check_result(struct matrix *m, int err, unsigned struck)
{
	int want = !struck || m->row->passes      ? 0
		   : m->row->err == FAULT_NOTHING ? -EIO
						  : -m->row->err;

	/* Held once, tried again, and then in vain: its flush failed before. */
	if (m->row->pause && !m->row->passes && err == -EIO && m->op->op != BLOCK_FLUSH)
		want = struck ? -EIO : 0;
	if (err != want)
		fail_case(m, "%d instead of %d", err, want);
	if (!err && m->op->op == BLOCK_READ &&
	    memcmp(m->got, m->was + m->op->offset, m->op->length) != 0)
		fail_case(m, "read something else");
}

/* One case. False: the request has no such transfer. */
static bool run_case(struct matrix *m)
{
	struct fault f = {
	    .err = m->row->err, .kinds = m->row->kinds, .after = m->event, .times = m->row->times};
	unsigned struck;
	bool lost;
	int err;

	renew(m);
	open_disk(m, false);
	m->cases++;
	m->rig.fake.durable_struck = false;
	m->rig.fake.fault = f;
	m->rig.fake.longest = m->row->longest;
	err = request(m);
	struck = m->rig.fake.fault.struck;
	lost = lost_trust(m, struck, m->rig.fake.durable_struck);
	m->rig.fake.fault = (struct fault){0};
	m->rig.fake.longest = 0;
	check_result(m, err, struck);
	read_all(m);
	check_content(m, err == 0);
	/* The host works again. */
	if ((err = rig_do(&m->rig, BLOCK_FLUSH, 0, 0, NULL, 0)) != (lost ? -EIO : 0))
		fail_case(m, "a flush afterwards: %d", err);
	if (!lost && (err = request(m)))
		fail_case(m, "again: %s", strerror(-err));
	if (lost && m->op->flags & BLOCK_FUA && request(m) != -EIO)
		fail_case(m, "durable, after a flush that failed");
	read_all(m);
	check_content(m, !lost);
	rig_close(&m->rig);
	check_image(m);
	open_disk(m, true);
	read_all(m);
	check_content(m, !lost);
	rig_close(&m->rig);
	m->struck += struck != 0;
	return struck != 0;
}

static void run_row(struct matrix *m)
{
	for (m->event = 0; run_case(m); m->event++) {
		if (m->event == EVENTS)
			fail_case(m, "it does not end");
		if (m->row->longest)
			break;
	}
}

static void hears_of_each_error(void **state)
{
	const char *asked = getenv("LODGE_ERROR_CASES");
	bool all = asked && strcmp(asked, "all") == 0;
	static struct matrix m;
	unsigned turn = 0;

	(void)state;
	rig_init(&m.rig);
	m.image = malloc(IMAGE_MAX);
	m.was = aligned_alloc(4096, DISK);
	m.got = aligned_alloc(4096, DISK);
	m.data = aligned_alloc(4096, DISK + IMAGE_MAX);
	rig_make_file(&m.rig, "old", DISK, 0x1111111111110000ull);
	memset(m.data, 0xda, DISK);
	for (unsigned f = 0; f < COUNT(formats); f++) {
		m.format = &formats[f];
		if (f == 1 && !all)
			continue;
		if (rig_shell(&m.rig, "rm -f template && %s", m.format->make)) {
			rig_shell(&m.rig, "cat log >&2");
			fail_msg("%s cannot be made", m.format->name);
		}
		m.image_size = load(&m, "template", m.image);
		load(&m, "old", m.was);
		if (m.format->qcow2 && !m.format->base)
			memset(m.was + 64 * KIB, 0, DISK - 64 * KIB);
		for (unsigned i = 0; i < COUNT(ops) * COUNT(rows) * COUNT(modes); i++) {
			m.row = &rows[i / COUNT(modes) % COUNT(rows)];
			m.mode = &modes[i % COUNT(modes)];
			m.op = &ops[i / COUNT(modes) / COUNT(rows)];
			if (i % COUNT(modes) == 0)
				turn++;
			if (all || turn % COUNT(modes) == i % COUNT(modes) || m.row == rows)
				run_row(&m);
		}
	}
	print_message("%u cases, in %u of them something failed\n", m.cases, m.struck);
	rig_destroy(&m.rig);
	free(m.image);
	free(m.was);
	free(m.got);
	free(m.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hears_of_each_error)};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img qemu-io >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
