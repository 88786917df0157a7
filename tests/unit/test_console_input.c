/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The escape key, and input that waits for the guest. */
#include "console/escape.h"
#include "console/input.h"
#include "fake_clock.h"
#include "fake_port.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS NS_PER_MS

struct fixture {
	struct fake_clock clock;
	struct loop *loop;
	struct input in;
	struct fake_port port;
	int from, to; /* the pipe that is typed into */
	unsigned over, commands;
	int over_err;
	enum escape_result command;
};

static void input_over(void *arg, int err)
{
	struct fixture *f = arg;

	f->over++;
	f->over_err = err;
}

static void input_command(void *arg, enum escape_result r)
{
	struct fixture *f = arg;

	f->commands++;
	f->command = r;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	fake_clock_init(&f->clock, 0);
	assert_int_equal(loop_create(&f->clock.clock, &f->loop), 0);
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	f->from = fds[0];
	f->to = fds[1];
	input_init(&f->in,
		   &(struct input_params){
		       .loop = f->loop, .arg = f, .over = input_over, .command = input_command});
	fake_port_init(&f->port, 0);
	f->in.port = f->port.port;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	input_fini(&f->in);
	close(f->from);
	if (f->to >= 0)
		close(f->to);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static void type(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->to, text, strlen(text)), strlen(text));
}

static void run(struct fixture *f)
{
	fake_clock_run(&f->clock, f->loop, 20 * MS, 5 * MS);
}

/* The guest makes room, as a UART does when its FIFO was read. */
static void room(struct fixture *f, unsigned n)
{
	f->port.room += n;
	input_accept(&f->in);
}

static void test_escape_table(void **state)
{
	static const struct {
		const char *typed;
		const char *guest;
		enum escape_result last;
	} rows[] = {
	    {"abc", "abc", ESCAPE_BYTE},
	    {"\x01", "", ESCAPE_NOTHING},
	    {"\x01x", "", ESCAPE_QUIT},
	    {"a\x01\x01x", "a\x01x", ESCAPE_BYTE},
	    {"\x01"
	     "a",
	     "\x01", ESCAPE_BYTE},
	    {"\x01"
	     "b",
	     "", ESCAPE_BREAK},
	    {"\x01r", "", ESCAPE_SIZE},
	    {"\x01h", "", ESCAPE_HELP},
	    {"\x01?", "", ESCAPE_HELP},
	    {"\x01X", "", ESCAPE_UNKNOWN},
	    {"\x01zq", "q", ESCAPE_BYTE},
	    {"\x01\x01\x01x", "\x01", ESCAPE_QUIT},
	    {"x\x1a\x03\x04\xff", "x\x1a\x03\x04\xff", ESCAPE_BYTE},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct escape e = {0};
		enum escape_result r = ESCAPE_NOTHING;
		char guest[16] = "";
		size_t n = 0;

		for (const char *c = rows[i].typed; *c; c++) {
			uint8_t b = (uint8_t)*c;

			r = escape_feed(&e, &b);
			if (r == ESCAPE_BYTE)
				guest[n++] = (char)b;
		}
		assert_string_equal(guest, rows[i].guest);
		assert_int_equal(r, rows[i].last);
	}
}

/* 100 KB of paste through a FIFO of 16 bytes: every byte arrives, in order. */
static void test_paste_loses_nothing(void **state)
{
	struct fixture *f = *state;
	const size_t total = 100000;
	uint8_t *paste = malloc(total);
	size_t sent = 0;

	for (size_t i = 0; i < total; i++)
		paste[i] = (uint8_t)("0123456789abcdefghijklmnopqrstuvwxyz\r"[i % 37]);
	input_start(&f->in, f->from, true);
	while (f->port.used < total) {
		ssize_t n = write(f->to, paste + sent, total - sent);

		if (n > 0)
			sent += (size_t)n;
		loop_step(f->loop);
		loop_step(f->loop);
		if (!f->port.room)
			room(f, 16);
	}
	assert_memory_equal(f->port.got, paste, total);
	assert_int_equal(f->in.lost, 0);
	assert_int_equal(f->in.received, total);
	free(paste);
}

/* The port is full: the loop sleeps, and nothing is read beyond the buffer. */
static void test_full_port_does_not_spin(void **state)
{
	struct fixture *f = *state;
	static char much[60000];

	input_start(&f->in, f->from, false);
	memset(much, 'm', sizeof(much));
	assert_int_equal(write(f->to, much, sizeof(much)), sizeof(much));
	run(f);
	assert_int_equal(fake_clock_run(&f->clock, f->loop, 20 * NS_PER_S, NS_PER_S), 0);
	assert_in_range(f->in.used - f->in.at, 1, INPUT_PENDING_BYTES);
	for (unsigned i = 0; i < 60000 / 16; i++) {
		room(f, 16);
		loop_step(f->loop);
		loop_step(f->loop);
		loop_step(f->loop);
	}
	assert_int_equal(f->port.used, sizeof(much));
}

/* An idle port that reads its registers does not wake the loop. */
static void test_accept_wakes_only_if_bytes_wait(void **state)
{
	struct fixture *f = *state;

	input_start(&f->in, f->from, false);
	run(f);
	room(f, 16);
	assert_int_equal(loop_step(f->loop), 0);
	type(f, "0123456789abcdefghij");
	run(f);
	assert_int_equal(f->port.used, 16);
	room(f, 16);
	assert_int_equal(loop_step(f->loop), 1);
	assert_int_equal(f->port.used, 20);
	room(f, 4);
	assert_int_equal(loop_step(f->loop), 0);
}

/* Room that comes while the loop looks is not missed. */
static void test_accept_race(void **state)
{
	struct fixture *f = *state;

	input_start(&f->in, f->from, false);
	type(f, "ab");
	run(f);
	assert_int_equal(f->port.used, 0);
	/* The vCPU made room and looked at `waiting` before the loop set it. */
	f->port.room = 1;
	atomic_store(&f->in.waiting, false);
	type(f, "c"); /* any turn of the loop */
	run(f);
	assert_int_equal(f->port.used, 1);
	room(f, 5);
	run(f);
	assert_memory_equal(f->port.got, "abc", 3);
}

/* The guest hangs with a full buffer: typing more is lost and counted, but Ctrl-a x is heard. */
static void test_quit_from_hung_guest(void **state)
{
	struct fixture *f = *state;
	static char much[8000];

	input_start(&f->in, f->from, true);
	memset(much, 'm', sizeof(much));
	assert_int_equal(write(f->to, much, sizeof(much)), sizeof(much));
	type(f, "\x01x");
	run(f);
	assert_int_equal(f->commands, 0);
	fake_clock_run(&f->clock, f->loop, 6 * NS_PER_S, NS_PER_S);
	assert_int_equal(f->commands, 1);
	assert_int_equal(f->command, ESCAPE_QUIT);
	assert_int_equal(f->in.lost, sizeof(much) - INPUT_PENDING_BYTES);
	/* It wakes up: the first 4 KiB and what is typed from now on are its own. */
	room(f, 5000);
	run(f);
	type(f, "z");
	run(f);
	assert_int_equal(f->port.used, INPUT_PENDING_BYTES + 1);
	assert_int_equal(f->port.got[INPUT_PENDING_BYTES], 'z');
}

/* A guest that takes a byte now and then is slow, not hung: nothing is lost. */
static void test_slow_guest_is_not_hung(void **state)
{
	struct fixture *f = *state;
	static char much[8000];

	input_start(&f->in, f->from, true);
	memset(much, 'm', sizeof(much));
	assert_int_equal(write(f->to, much, sizeof(much)), sizeof(much));
	for (unsigned i = 0; i < 100; i++) {
		room(f, 1);
		fake_clock_run(&f->clock, f->loop, 4 * NS_PER_S, NS_PER_S);
	}
	assert_int_equal(f->port.used, 100);
	assert_int_equal(f->in.lost, 0);
}

static void test_eof_and_file(void **state)
{
	struct fixture *f = *state;
	char name[] = "/tmp/lodge-input-XXXXXX";
	int fd = mkstemp(name);
	static char text[10000];

	/* A pipe's end: what came before it arrives, and the loop sleeps afterwards. */
	input_start(&f->in, f->from, false);
	type(f, "bye");
	close(f->to);
	f->to = -1;
	run(f);
	assert_int_equal(f->over, 1);
	assert_int_equal(f->over_err, 0);
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 100 * MS), 0);
	room(f, 16);
	run(f);
	assert_memory_equal(f->port.got, "bye", 3);

	/* A regular file cannot be polled. */
	unlink(name);
	memset(text, 't', sizeof(text));
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	lseek(fd, 0, SEEK_SET);
	input_start(&f->in, fd, false);
	run(f);
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 100 * MS), 0);
	for (unsigned i = 0; i < 10000 / 16 + 1; i++) {
		room(f, 16);
		run(f);
	}
	assert_int_equal(f->over, 2);
	assert_int_equal(f->port.used, 3 + sizeof(text));
	close(fd);

	/* /dev/null is at its end at once. */
	fd = open("/dev/null", O_RDONLY);
	input_start(&f->in, fd, false);
	run(f);
	assert_int_equal(f->over, 3);
	close(fd);
}

static void test_type_for_the_user(void **state)
{
	struct fixture *f = *state;

	input_start(&f->in, f->from, true);
	input_type(&f->in, "stty\r");
	room(f, 16);
	run(f);
	assert_memory_equal(f->port.got, "stty\r", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_escape_table),
	    cmocka_unit_test_setup_teardown(test_paste_loses_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_port_does_not_spin, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_accept_wakes_only_if_bytes_wait, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_accept_race, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_quit_from_hung_guest, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slow_guest_is_not_hung, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_eof_and_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_type_for_the_user, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
