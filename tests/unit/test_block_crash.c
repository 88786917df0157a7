/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loss of power and death of the process, simulated, with an oracle.
 *
 * Each sector that is written gets a number of its own. At a random transfer of each step the disk
 * is stopped twice over: once losing any of what was not flushed (power), once losing nothing but
 * what the process remembered (kill). What is found then must be an image without corruption, in
 * which each sector holds what was last flushed or something written since (power), or what was
 * last done (kill); sectors that a request under way writes may have either value.
 *
 * LODGE_CRASH_STATES: how many states, default 600. One in 25 is also given to qemu-img check, and
 * one in 10 is written to and checked again.
 */
#include "block/qcow2.h"
#include "block_rig.h"
#include "qcow2_check.h"

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
#define SECTORS   1536u
#define DISK      (SECTORS * 512ull)
#define LATER_MAX 16u
#define BURST_MAX 80u        /* sectors of one request of many */
#define BASE      1000000ull /* base's sector n holds BASE + n */

static const struct {
	const char *options;
	bool base, direct, compressed, raw;
	unsigned snapshots;
	bool at_end;  /* of what the refcount table covers */
	bool through; /* every write is durable when done */
} setups[] = {
    {.options = "compat=1.1"},
    {.options = "raw", .raw = true},
    {.options = "raw, through", .raw = true, .through = true},
    {.options = "raw, direct", .raw = true, .direct = true},
    {.options = "compat=1.1", .base = true},
    {.options = "compat=1.1,cluster_size=4k", .base = true, .through = true},
    {.options = "compat=1.1,cluster_size=4k", .snapshots = 1, .through = true, .direct = true},
    {.options = "compat=1.1", .base = true, .snapshots = 1, .direct = true},
    {.options = "compat=0.10", .base = true},
    {.options = "compat=1.1,cluster_size=512"},
    {.options = "compat=1.1,cluster_size=512,refcount_bits=64", .base = true},
    {.options = "compat=1.1,cluster_size=512", .base = true, .snapshots = 1},
    {.options = "compat=1.1,cluster_size=1k,refcount_bits=1"},
    {.options = "compat=1.1,cluster_size=4k", .snapshots = 1, .direct = true},
    {.options = "compat=1.1,cluster_size=4k,refcount_bits=4", .base = true, .snapshots = 1},
    {.options = "compat=1.1,extended_l2=on,cluster_size=16k", .base = true},
    {.options = "compat=1.1,extended_l2=on", .base = true, .snapshots = 1},
    {.options = "compat=1.1,cluster_size=4k", .compressed = true},
    {.options = "compat=1.1,cluster_size=1k,compression_type=zstd", .compressed = true},
    {.options = "compat=1.1,cluster_size=2M,lazy_refcounts=on", .base = true},
    {.options = "compat=1.1,cluster_size=64k,lazy_refcounts=on", .snapshots = 2},
    /* Its refcount table has to grow. */
    {.options = "compat=1.1,cluster_size=512,refcount_bits=64", .snapshots = 1, .at_end = true},
};

struct sector {
	uint64_t durable;          /* what a flush has made safe */
	uint64_t later[LATER_MAX]; /* what may stand there since */
	unsigned later_count;
	uint64_t now, next; /* done; under way, or the same */
};

struct state {
	struct block_rig rig, reader;
	struct sector sector[SECTORS];
	uint64_t seed, number;
	uint64_t stop_seed; /* maybe_stop()'s, on whatever thread */
	unsigned countdown; /* ios until the stop; 0: was */
	uint8_t *power, *kill;
	uint64_t power_size, kill_size;
	unsigned states;
	const char *options;
	bool base, raw;
	uint64_t leaks;
	unsigned fua_from, fua_count; /* sectors that the step under way makes durable */
};

static uint64_t value_at(const uint8_t *buffer, unsigned sector)
{
	uint64_t first, last;

	memcpy(&first, buffer + sector * 512ull, 8);
	memcpy(&last, buffer + sector * 512ull + 504, 8);
	if (first != last)
		fail_msg("sector %u is torn", sector);
	return first;
}

static void stamp(uint8_t *buffer, unsigned n, uint64_t value)
{
	for (unsigned i = 0; i < n * 512; i += 8)
		memcpy(buffer + i, &value, 8);
}

/* The fake engine's hook. */
static void maybe_stop(void *arg)
{
	struct state *s = arg;
	off_t size;

	if (!s->countdown || --s->countdown)
		return;
	s->power = fake_engine_crash(&s->rig.fake, next_random(&s->stop_seed), &s->power_size);
	size = lseek(s->rig.fake.log_fd, 0, SEEK_END);
	s->kill_size = (uint64_t)size;
	s->kill = malloc(s->kill_size);
	/* By another descriptor: this one may be O_DIRECT. */
	{
		int fd = open(rig_path(&s->rig, "disk"), O_RDONLY | O_CLOEXEC);

		if (pread(fd, s->kill, s->kill_size, 0) != size)
			abort();
		close(fd);
	}
}

static bool is_allowed(const struct sector *x, uint64_t value, bool power)
{
	if (value == x->now || value == x->next)
		return true;
	if (!power)
		return false;
	for (unsigned i = 0; i < x->later_count; i++) {
		if (x->later[i] == value)
			return true;
	}
	return value == x->durable;
}

static enum block_format format_of(const struct state *s)
{
	return s->raw ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
}

static void open_copy(struct state *s, bool read_only)
{
	struct block_params p = {.read_only = read_only, .backing_count = s->base};

	p.image = (struct block_image){rig_path(&s->reader, "copy"), format_of(s), true};
	p.backing[0] = (struct block_image){rig_path(&s->rig, "base"), BLOCK_FORMAT_RAW, true};
	rig_open(&s->reader, &p);
}

static void save_copy(struct state *s, const uint8_t *image, uint64_t size)
{
	int fd = open(rig_path(&s->reader, "copy"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, image, size), size);
	close(fd);
}

static void qemu_check(struct state *s)
{
	int status = rig_shell(&s->reader, "qemu-img check -f qcow2 copy >check 2>&1");

	if (status != 0 && status != 3) {
		rig_shell(&s->reader, "cp copy check /tmp/");
		fail_msg("%s: qemu-img check: status %d", s->options, status);
	}
}

/* Life goes on after the crash. */
static void write_on(struct state *s)
{
	static uint8_t buffer[64 * 512];
	struct qcow2_check check;
	uint8_t *image;
	long size;
	FILE *f;

	open_copy(s, false);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t at = next_random(&s->seed) % (SECTORS - 64) * 512;

		stamp(buffer, 64, s->number + i);
		assert_int_equal(rig_do(&s->reader, BLOCK_WRITE, 0, at, buffer, 64 * 512), 0);
	}
	rig_close(&s->reader);
	f = fopen(rig_path(&s->reader, "copy"), "rb");
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	image = malloc((size_t)size);
	assert_int_equal(fread(image, 1, (size_t)size, f), size);
	fclose(f);
	check = (struct qcow2_check){0};
	if (!s->raw)
		qcow2_check_image(image, (size_t)size, &check);
	free(image);
	if (check.corruptions)
		fail_msg("%s: written on after a crash: %s", s->options, check.what);
}

static void check_state(struct state *s, uint8_t *image, uint64_t size, bool power)
{
	static uint8_t content[DISK];
	struct qcow2_check check;

	check = (struct qcow2_check){0};
	if (!s->raw)
		qcow2_check_image(image, size, &check);
	if (check.corruptions)
		fail_msg("%s: %s: %s", s->options, power ? "power" : "kill", check.what);
	s->leaks += check.leaks;
	save_copy(s, image, size);
	open_copy(s, true);
	assert_int_equal(rig_do(&s->reader, BLOCK_READ, 0, 0, content, DISK), 0);
	rig_close(&s->reader);
	for (unsigned i = 0; i < SECTORS; i++) {
		const struct sector *x = &s->sector[i];

		if (!is_allowed(x, value_at(content, i), power))
			fail_msg("%s: %s: sector %u holds %llu; durable %llu, now %llu, next %llu",
				 s->options, power ? "power" : "kill", i,
				 (unsigned long long)value_at(content, i),
				 (unsigned long long)x->durable, (unsigned long long)x->now,
				 (unsigned long long)x->next);
	}
	if (++s->states % 25 == 0 && !s->raw)
		qemu_check(s);
	if (s->states % 10 == 0)
		write_on(s);
	free(image);
}

static void will_be(struct state *s, uint64_t sector, unsigned n, uint64_t value)
{
	for (uint64_t i = sector; i < sector + n; i++) {
		s->sector[i].next = value;
		s->sector[i].later[s->sector[i].later_count++ % LATER_MAX] = value;
	}
}

static void all_done(struct state *s, bool flushed)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		struct sector *x = &s->sector[i];

		x->now = x->next;
		if (flushed || (i >= s->fua_from && i < s->fua_from + s->fua_count)) {
			x->durable = x->now;
			x->later_count = 0;
		}
		assert_true(x->later_count < LATER_MAX);
	}
	s->fua_count = 0;
}

static bool is_full(const struct state *s)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		if (s->sector[i].later_count + 2 >= LATER_MAX)
			return true;
	}
	return false;
}

/* A flush is done and nobody has stopped yet: what was done before it is durable. */
static void flushed_in_burst(struct state *s)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		struct sector *x = &s->sector[i];

		x->durable = x->now;
		x->later_count = 0;
		if (x->next != x->now)
			x->later[x->later_count++] = x->next;
	}
}

/* What a discard left is what is there. */
static void look(struct state *s, unsigned sector, unsigned n)
{
	static uint8_t buffer[512 * 512];

	assert_int_equal(rig_do(&s->rig, BLOCK_READ, 0, sector * 512ull, buffer, n * 512ull), 0);
	for (unsigned i = 0; i < n; i++) {
		struct sector *x = &s->sector[sector + i];

		x->next = value_at(buffer, i);
		if (x->next && x->next != x->now)
			fail_msg("%s: discarded: sector %u holds %llu, before %llu", s->options,
				 sector + i, (unsigned long long)x->next,
				 (unsigned long long)x->now);
	}
}

/* Requests at once, each in a part of the disk of its own, and sometimes a flush. */
static void burst(struct state *s)
{
	static uint8_t buffer[16][BURST_MAX * 512];
	static struct rig_request r[17];
	unsigned n = 1 + (unsigned)(next_random(&s->seed) % 16), done;
	unsigned flush = (unsigned)(next_random(&s->seed) % 32), sector[16], length[16];
	bool noted = false;

	for (unsigned i = 0; i < n; i++) {
		unsigned kind = (unsigned)(next_random(&s->seed) % 8);
		bool write = kind > 1;

		if (i == flush)
			rig_start(&s->rig, &r[16], BLOCK_FLUSH, 0, 0, NULL, 0);
		length[i] = 1 + (unsigned)(next_random(&s->seed) % (write ? 8 : BURST_MAX));
		sector[i] = i * (SECTORS / 16) +
			    (unsigned)(next_random(&s->seed) % (SECTORS / 16 - length[i] + 1));
		stamp(buffer[i], length[i], ++s->number);
		will_be(s, sector[i], length[i], write ? s->number : 0);
		rig_start(&s->rig, &r[i],
			  write       ? BLOCK_WRITE
			  : kind == 0 ? BLOCK_WRITE_ZEROES
				      : BLOCK_DISCARD,
			  write ? 0 : next_random(&s->seed) & BLOCK_MAY_UNMAP, sector[i] * 512ull,
			  write ? buffer[i] : NULL, length[i] * 512ull);
	}
	do {
		done = 0;
		loop_step(s->rig.loop);
		for (unsigned i = 0; i < n; i++)
			done += r[i].done;
		if (flush < n && r[16].done && !noted) {
			noted = true;
			if (s->countdown)
				flushed_in_burst(s);
		}
	} while (done < n || (flush < n && !noted));
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(r[i].err, 0);
		if (r[i].request.op == BLOCK_DISCARD)
			look(s, sector[i], length[i]);
	}
}

/* True: it was a flush. */
static bool step(struct state *s)
{
	static uint8_t buffer[512 * 512];
	unsigned kind = is_full(s) ? 0 : (unsigned)(next_random(&s->seed) % 10);
	unsigned sector = (unsigned)(next_random(&s->seed) % SECTORS);
	unsigned n = 1 + (unsigned)(next_random(&s->seed) % (kind & 1 ? 12 : 400));

	if (n > SECTORS - sector)
		n = SECTORS - sector;
	if (kind <= 1) {
		assert_int_equal(rig_do(&s->rig, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
		return true;
	}
	if (kind <= 3) {
		burst(s);
	} else if (kind == 4) {
		will_be(s, sector, n, 0);
		assert_int_equal(rig_do(&s->rig, BLOCK_WRITE_ZEROES, next_random(&s->seed) & 2,
					sector * 512ull, NULL, n * 512ull),
				 0);
	} else if (kind == 5) {
		/* Old or zero, and which is seen afterwards. */
		will_be(s, sector, n, 0);
		assert_int_equal(
		    rig_do(&s->rig, BLOCK_DISCARD, 0, sector * 512ull, NULL, n * 512ull), 0);
		look(s, sector, n);
	} else {
		stamp(buffer, n, ++s->number);
		will_be(s, sector, n, s->number);
		s->fua_from = sector;
		s->fua_count = kind == 9 ? n : 0;
		assert_int_equal(rig_do(&s->rig, BLOCK_WRITE, kind == 9 ? BLOCK_FUA : 0,
					sector * 512ull, buffer, n * 512ull),
				 0);
	}
	return false;
}

static void open_disk(struct state *s, unsigned n)
{
	struct block_params p = {.backing_count = setups[n].base};

	p.image = (struct block_image){rig_path(&s->rig, "disk"), format_of(s), true};
	p.backing[0] = (struct block_image){rig_path(&s->rig, "base"), BLOCK_FORMAT_RAW, true};
	p.cache = setups[n].direct ? BLOCK_CACHE_NONE : BLOCK_CACHE_WRITEBACK;
	if (setups[n].through)
		p.cache = setups[n].direct ? BLOCK_CACHE_DIRECTSYNC : BLOCK_CACHE_WRITETHROUGH;
	rig_open(&s->rig, &p);
}

/* Its writes are remembered from now on. */
static void log_file(struct state *s, bool at_end)
{
	const struct file *f = s->rig.block->state;
	struct qcow2 *q;

	if (!s->raw) {
		q = s->rig.block->state;
		f = q->file;
		if (at_end)
			q->search = q->reftable_count * q->refblock_entries - 60;
	}
	fake_engine_log(&s->rig.fake, f->fd);
}

static void set_up(struct state *s, unsigned n, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	rig_init(&s->rig);
	rig_init(&s->reader);
	s->seed = s->stop_seed = seed;
	s->options = setups[n].options;
	s->base = setups[n].base;
	s->raw = setups[n].raw;
	if (s->base || setups[n].compressed) {
		rig_make_file(&s->rig, "base", DISK, BASE);
		rig_shell(&s->reader, "ln -s %s base", rig_path(&s->rig, "base"));
		for (unsigned i = 0; i < SECTORS; i++)
			s->sector[i].durable = s->sector[i].now = s->sector[i].next = BASE + i;
	}
	if (setups[n].compressed)
		assert_int_equal(
		    rig_shell(&s->rig, "qemu-img convert -c -O qcow2 -o %s base disk", s->options),
		    0);
	else if (s->raw)
		rig_shell(&s->rig, "truncate -s %llu disk", DISK);
	else
		assert_int_equal(rig_shell(&s->rig, "qemu-img create -f qcow2 -o %s %s disk %llu",
					   s->options, s->base ? "-b base -F raw" : "", DISK),
				 0);
	for (unsigned k = 0; k < setups[n].snapshots; k++) {
		open_disk(s, n);
		for (unsigned i = 0; i < 14; i++) {
			bool flushed = step(s);

			all_done(s, flushed);
		}
		rig_close(&s->rig);
		all_done(s, true);
		assert_int_equal(rig_shell(&s->rig, "qemu-img snapshot -c s%u disk", k), 0);
	}
	open_disk(s, n);
	log_file(s, setups[n].at_end);
	s->rig.fake.shuffle = seed;
	s->rig.fake.after_io = maybe_stop;
	s->rig.fake.after_io_arg = s;
}

static uint64_t reftable(const struct state *s)
{
	return s->raw ? 0 : ((struct qcow2 *)s->rig.block->state)->header.reftable_offset;
}

static void survive(unsigned n, uint64_t seed, unsigned states, unsigned *growths)
{
	static struct state s;
	uint64_t table;

	set_up(&s, n, seed);
	table = reftable(&s);
	while (s.states < states) {
		s.countdown = 1 + (unsigned)(next_random(&s.seed) % 12);
		bool flushed = step(&s);

		if (s.countdown) {
			pthread_mutex_lock(&s.rig.fake.lock);
			s.countdown = 1;
			maybe_stop(&s);
			pthread_mutex_unlock(&s.rig.fake.lock);
		}
		check_state(&s, s.power, s.power_size, true);
		check_state(&s, s.kill, s.kill_size, false);
		all_done(&s, flushed || setups[n].through);
	}
	*growths += reftable(&s) != table;
	s.rig.fake.after_io = NULL;
	rig_destroy(&s.rig);
	rig_destroy(&s.reader);
}

static void survives_loss_of_power_and_death(void **state)
{
	const char *asked = getenv("LODGE_CRASH_STATES");
	unsigned states = asked ? (unsigned)strtoul(asked, NULL, 10) : 600;
	unsigned each = states / COUNT(setups) > 20 ? states / COUNT(setups) : 20;

	unsigned growths = 0, done = 0;

	(void)state;
	for (unsigned round = 0; done < states; round++) {
		unsigned n = each < 250 ? each : 250;

		survive(round % COUNT(setups), 1000 + round, n, &growths);
		done += n;
	}
	print_message("%u states; refcount tables grew %u times\n", done, growths);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(survives_loss_of_power_and_death)};

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("command -v qemu-img >/dev/null")) {
		puts("1..0 # SKIP qemu-img is missing (Debian: apt install qemu-utils)");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
