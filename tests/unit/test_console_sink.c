/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring and the sink: nothing waits, what is dropped is counted and said. */
#include "console/sink.h"
#include "fake_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MS NS_PER_MS

struct fixture {
	struct fake_clock clock;
	struct loop *loop;
	struct sink sink;
	int gone; /* errno value */
	unsigned rooms;
};

static void reader_gone(void *arg, int err)
{
	struct fixture *f = arg;

	f->gone = err;
	sink_detach(&f->sink);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	fake_clock_init(&f->clock, 0);
	assert_int_equal(loop_create(&f->clock.clock, &f->loop), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	free(f);
	return 0;
}

static void open_sink(struct fixture *f, bool one_reader)
{
	struct sink_params p = {
	    .loop = f->loop, .name = "test", .arg = f, .gone = one_reader ? reader_gone : NULL};

	assert_int_equal(sink_init(&f->sink, &p), 0);
}

static void close_sink(struct fixture *f)
{
	sink_finish(&f->sink, 50 * MS);
	assert_true(sink_fini(&f->sink));
}

static void put(struct fixture *f, const char *text)
{
	sink_write(&f->sink, (const uint8_t *)text, strlen(text));
}

static void run(struct fixture *f)
{
	fake_clock_run(&f->clock, f->loop, 100 * MS, 5 * MS);
}

/* A pipe whose writing end does not block; returns the reading end, which does not either. */
static int make_pipe(int *to)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	*to = fds[1];
	return fds[0];
}

static size_t take(int fd, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while (used < size - 1 && (n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	buf[used] = '\0';
	return used;
}

static void test_ring_against_model(void **state)
{
	struct ring r;
	uint8_t in[300], out[300];
	uint8_t model[97];
	size_t used = 0, lost = 0;
	unsigned next = 0;

	(void)state;
	srand(1);
	assert_int_equal(ring_init(&r, sizeof(model)), 0);
	for (unsigned i = 0; i < 20000; i++) {
		size_t n = (size_t)rand() % 3 ? (size_t)rand() % 20 : (size_t)rand() % sizeof(in);

		if (rand() % 2) {
			for (size_t k = 0; k < n; k++) {
				in[k] = (uint8_t)next++;
				if (used == sizeof(model)) {
					memmove(model, model + 1, --used);
					lost++;
				}
				model[used++] = in[k];
			}
			ring_write(&r, in, n);
		} else {
			size_t got = ring_read(&r, out, n);

			assert_int_equal(got, n < used ? n : used);
			assert_memory_equal(out, model, got);
			used -= got;
			memmove(model, model + got, used);
		}
		assert_int_equal(r.used, used);
	}
	assert_int_equal(ring_take_lost(&r), lost);
	assert_int_equal(ring_take_lost(&r), 0);
	ring_fini(&r);
}

/* Bytes that come within 5 ms go out in one write; a drained ring uses its first bytes again. */
static void test_sink_gathers(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int to, from = make_pipe(&to);

	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	for (unsigned i = 0; i < 10; i++)
		put(f, "x");
	assert_int_equal(loop_step(f->loop), 0);
	assert_int_equal(take(from, buf, sizeof(buf)), 0);
	run(f);
	assert_int_equal(take(from, buf, sizeof(buf)), 10);
	assert_int_equal(f->sink.ring.start, 0);
	assert_int_equal(sink_lost(&f->sink), 0);
	/* Idle again: nothing is left to call. */
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 50 * MS), 0);
	close_sink(f);
	close(from);
}

static void test_sink_late_reader_gets_backlog(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int to, from = make_pipe(&to);

	open_sink(f, true);
	put(f, "early ");
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 50 * MS), 0);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	put(f, "late");
	run(f);
	take(from, buf, sizeof(buf));
	assert_string_equal(buf, "early late");
	close_sink(f);
	close(from);
}

/* Nobody reads: the newest 64 KiB stay, and the reader learns how much is missing. */
static void test_sink_drops_oldest_and_says_so(void **state)
{
	struct fixture *f = *state;
	size_t total = 0, n;
	char *buf = malloc(1 << 20);
	char line[16];
	int to, from = make_pipe(&to);
	unsigned i;

	open_sink(f, true);
	for (i = 0; i < 10000; i++) {
		snprintf(line, sizeof(line), "%07u\r\n", i);
		put(f, line);
		total += strlen(line);
	}
	assert_int_equal(sink_lost(&f->sink), total - SINK_RING_BYTES);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	for (n = 0; run(f), (i = (unsigned)take(from, buf + n, (1 << 20) - n)) != 0;)
		n += i;
	snprintf(line, sizeof(line), "%zu", total - SINK_RING_BYTES);
	assert_memory_equal(buf, "\r\n[lodge: ", 10);
	assert_memory_equal(buf + 10, line, strlen(line));
	assert_memory_equal(buf + 10 + strlen(line), " bytes lost]\r\n", 14);
	assert_int_equal(n, 24 + strlen(line) + SINK_RING_BYTES);
	assert_string_equal(buf + n - 9, "0009999\r\n");
	close_sink(f);
	close(from);
	free(buf);
}

/* A full pipe: writing goes on at once, and what was sent before is not sent again. */
static void test_sink_full_pipe(void **state)
{
	struct fixture *f = *state;
	char *buf = malloc(1 << 20);
	char chunk[1000];
	size_t sent = 0, n = 0, got;
	const char *mark;
	int to, from = make_pipe(&to);
	unsigned ran;

	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	memset(chunk, 'a', sizeof(chunk));
	for (unsigned i = 0; i < 300; i++) {
		sink_write(&f->sink, (uint8_t *)chunk, sizeof(chunk));
		sent += sizeof(chunk);
		if (i % 10 == 0)
			run(f);
	}
	/* The pipe is full, and the loop sleeps: no busy waiting. */
	run(f);
	ran = fake_clock_run(&f->clock, f->loop, NS_PER_S, 50 * MS);
	assert_int_equal(ran, 0);
	while (got = take(from, buf + n, (1 << 20) - n), run(f), got)
		n += got;
	mark = strstr(buf, "\r\n[lodge: ");
	assert_non_null(mark);
	assert_int_equal(strtoul(mark + 10, NULL, 10), sink_lost(&f->sink));
	/* All that is missing is what the mark says. */
	got = n - (size_t)(strchr(mark + 2, '\n') + 1 - mark);
	assert_int_equal(got + sink_lost(&f->sink), sent);
	close_sink(f);
	close(from);
	free(buf);
}

static void note_room(void *arg)
{
	((struct fixture *)arg)->rooms++;
}

/* Who asks for room before each write loses nothing, and is told once there is some. */
static void test_sink_room(void **state)
{
	struct fixture *f = *state;
	char *buf = malloc(1 << 20);
	uint8_t chunk[1000];
	size_t sent = 0, n = 0, got, room;
	int to, from = make_pipe(&to);

	open_sink(f, true);
	f->sink.p.has_room = note_room;
	memset(chunk, 'a', sizeof(chunk));
	/* Nobody reads: there is no end to what can be dropped. */
	assert_int_equal(sink_room(&f->sink), SIZE_MAX);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	while (sent < 1 << 19) {
		room = sink_room(&f->sink);
		assert_true(room <= SINK_RING_BYTES);
		if (!room) {
			assert_int_equal(f->rooms, 0);
			got = take(from, buf + n, (1 << 20) - n);
			n += got;
			run(f);
			assert_int_equal(f->rooms, sink_room(&f->sink) != 0);
			f->rooms = 0;
			continue;
		}
		room = room < sizeof(chunk) ? room : sizeof(chunk);
		sink_write(&f->sink, chunk, room);
		sent += room;
	}
	while (got = take(from, buf + n, (1 << 20) - n), run(f), got)
		n += got;
	assert_int_equal(n, sent);
	assert_int_equal(sink_lost(&f->sink), 0);
	/* A reader that goes away makes room, too; and who wants to know no more is not told. */
	for (unsigned i = 0; i < 2; i++) {
		while ((room = sink_room(&f->sink)) != 0)
			sink_write(&f->sink, chunk, room < sizeof(chunk) ? room : sizeof(chunk)),
			    run(f);
		if (i)
			sink_forget_room(&f->sink);
		f->rooms = 0;
		sink_detach(&f->sink);
		assert_int_equal(f->rooms, i == 0);
		assert_int_equal(sink_room(&f->sink), SIZE_MAX);
		close(from);
		from = make_pipe(&to);
		if (!i)
			assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
		else
			close(to);
	}
	close_sink(f);
	close(from);
	free(buf);
}

static void test_sink_reader_leaves(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int to, from = make_pipe(&to);

	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	close(from);
	put(f, "kept");
	run(f);
	assert_int_equal(f->gone, EPIPE);
	from = make_pipe(&to);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	run(f);
	take(from, buf, sizeof(buf));
	assert_string_equal(buf, "kept");
	close_sink(f);
	close(from);
}

static void test_sink_socket(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int fds[2];

	/* Blocking, as a socket on standard output is: sending must not wait all the same. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, fds[1], SINK_SEND), 0);
	for (unsigned i = 0; i < 5000; i++) {
		memset(buf, 'b', sizeof(buf));
		sink_write(&f->sink, (uint8_t *)buf, sizeof(buf));
		if (i % 500 == 0)
			run(f);
	}
	run(f);
	assert_int_equal(f->gone, 0);
	assert_true(sink_lost(&f->sink) > 0);
	close(fds[0]);
	run(f);
	assert_int_equal(f->gone, EPIPE);
	close_sink(f);
}

/* A disk that is full: dropped, counted, and told once there is room again. */
static void test_sink_persists_after_error(void **state)
{
	struct fixture *f = *state;
	char buf[128];
	int to = open("/dev/full", O_WRONLY | O_NONBLOCK | O_CLOEXEC), from;

	open_sink(f, false);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	put(f, "12345");
	run(f);
	put(f, "678");
	run(f);
	assert_int_equal(sink_lost(&f->sink), 8);
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 50 * MS), 0);
	sink_detach(&f->sink);
	from = make_pipe(&to);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	put(f, "90");
	run(f);
	take(from, buf, sizeof(buf));
	assert_string_equal(buf, "\r\n[lodge: 8 bytes lost]\r\n90");
	close_sink(f);
	close(from);
}

static void test_sink_finish_flushes(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int to, from = make_pipe(&to);

	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	put(f, "last words");
	close_sink(f); /* the loop never ran */
	take(from, buf, sizeof(buf));
	assert_string_equal(buf, "last words");
	close(from);
}

/* Nobody reads the pipe: the end comes all the same, and in time. */
static void test_sink_finish_is_bounded(void **state)
{
	struct fixture *f = *state;
	static uint8_t much[SINK_RING_BYTES];
	uint64_t before = clock_now_ns(clock_host());
	int to, from = make_pipe(&to);

	fcntl(to, F_SETPIPE_SZ, 4096);
	open_sink(f, true);
	assert_int_equal(sink_attach(&f->sink, to, SINK_POLL), 0);
	sink_write(&f->sink, much, sizeof(much));
	close_sink(f);
	assert_in_range(clock_now_ns(clock_host()) - before, 40 * MS, NS_PER_S);
	close(from);
}

static void test_thread_writes_file(void **state)
{
	struct fixture *f = *state;
	char name[] = "/tmp/lodge-sink-XXXXXX";
	char *buf = malloc(1 << 18);
	int fd = mkstemp(name), back = open(name, O_RDONLY);
	size_t sent = 0;
	char line[32];

	unlink(name);
	open_sink(f, false);
	put(f, "before\n");
	sent = 7;
	assert_int_equal(sink_attach(&f->sink, fd, SINK_THREAD), 0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "line %u\n", i);
		put(f, line);
		sent += strlen(line);
	}
	close_sink(f);
	assert_int_equal(take(back, buf, 1 << 18), sent);
	assert_memory_equal(buf, "before\nline 0\n", 14);
	assert_string_equal(buf + sent - 10, "line 4999\n");
	close(back);
	free(buf);
}

/* Each byte is written soon, also the first one after the thread had nothing to do. */
static void test_thread_wakes_again(void **state)
{
	struct fixture *f = *state;
	char name[] = "/tmp/lodge-sink-XXXXXX";
	int fd = mkstemp(name), back = open(name, O_RDONLY);
	char c;

	unlink(name);
	open_sink(f, false);
	assert_int_equal(sink_attach(&f->sink, fd, SINK_THREAD), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t end = clock_now_ns(clock_host()) + 10 * NS_PER_S;
		ssize_t n;

		put(f, "x");
		while ((n = read(back, &c, 1)) == 0 && clock_now_ns(clock_host()) < end)
			usleep(1000);
		assert_int_equal(n, 1);
		usleep(20000); /* back to sleep */
	}
	close_sink(f);
	close(back);
}

/*
 * A write that does not come back: here, to a blocking pipe that nobody reads. Writers go on, the
 * end comes in time, and the sink stays with the thread.
 */
static void test_thread_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct sink *s = malloc(sizeof(*s));
	struct sink_params p = {.loop = f->loop, .name = "test"};
	uint64_t before = clock_now_ns(clock_host());
	static uint8_t much[SINK_RING_BYTES];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(sink_init(s, &p), 0);
	assert_int_equal(sink_attach(s, fds[1], SINK_THREAD), 0);
	for (unsigned i = 0; i < 10; i++)
		sink_write(s, much, sizeof(much));
	assert_true(sink_lost(s) >= 7 * sizeof(much)); /* the pipe holds one, the ring another */
	sink_finish(s, 50 * MS);
	assert_false(sink_fini(s));
	assert_in_range(clock_now_ns(clock_host()) - before, 40 * MS, NS_PER_S);
	/* The thread, s and the pipe stay to the end of the process. */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ring_against_model),
	    cmocka_unit_test_setup_teardown(test_sink_gathers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_late_reader_gets_backlog, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_drops_oldest_and_says_so, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_full_pipe, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_room, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_reader_leaves, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_socket, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_persists_after_error, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_finish_flushes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sink_finish_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_thread_writes_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_thread_wakes_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_thread_that_hangs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
