/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams as a machine opens them: null, file, unix, pty; what is refused, what is left behind. */
#include "console/stream.h"
#include "fake_clock.h"
#include "fake_port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define MS NS_PER_MS

struct fixture {
	struct fake_clock clock;
	struct loop *loop;
	struct chr *chr;
	struct fake_port port;
	struct refusal why;
	char dir[32];
	char path[64];
	char got[1 << 18];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	umask(022);
	fake_clock_init(&f->clock, 0);
	assert_int_equal(loop_create(&f->clock.clock, &f->loop), 0);
	fake_port_init(&f->port, 1u << 17);
	strcpy(f->dir, "/tmp/lodge-chr-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/serial", f->dir);
	*state = f;
	return 0;
}

static void shut(struct fixture *f)
{
	chr_close(f->chr);
	f->chr = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	shut(f); /* a test that failed */
	loop_destroy(f->loop);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left */
	free(f);
	return 0;
}

static int try_open(struct fixture *f, enum serial_kind kind, const char *path)
{
	struct config_serial cfg = {.kind = kind, .path = path};

	memset(&f->why, 0, sizeof(f->why));
	return chr_open(&cfg, "serial0", f->loop, &f->chr, &f->why);
}

static int try_check(struct fixture *f, enum serial_kind kind, const char *path)
{
	struct config_serial cfg = {.kind = kind, .path = path};

	memset(&f->why, 0, sizeof(f->why));
	return chr_check(&cfg, "serial0", &f->why);
}

static void run(struct fixture *f)
{
	fake_clock_run(&f->clock, f->loop, 400 * MS, 50 * MS);
}

static void start(struct fixture *f, enum serial_kind kind)
{
	assert_int_equal(try_open(f, kind, f->path), 0);
	chr_attach(f->chr, &f->port.port);
	run(f);
}

static void put(struct fixture *f, const char *text)
{
	chr_write(f->chr, (const uint8_t *)text, strlen(text));
}

/* Reads what fd has while the loop runs. */
static const char *take(struct fixture *f, int fd)
{
	size_t used = 0;
	ssize_t n;

	for (unsigned idle = 0; idle < 2; idle++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		run(f);
		while (poll(&p, 1, 0) > 0 && used < sizeof(f->got) - 1 &&
		       (n = read(fd, f->got + used, sizeof(f->got) - 1 - used)) > 0) {
			used += (size_t)n;
			idle = 0;
		}
	}
	f->got[used] = '\0';
	return f->got;
}

/* As take(), for a terminal, which the kernel feeds in its own time: until n bytes came. */
static const char *take_tty(struct fixture *f, int fd, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;

	for (unsigned tries = 0; used < n && tries < 5000; tries++) {
		ssize_t got = 0;

		run(f);
		if (poll(&p, 1, 1) > 0)
			got = read(fd, f->got + used, n - used);
		used += got > 0 ? (size_t)got : 0;
	}
	f->got[used] = '\0';
	return f->got;
}

static void wait_port(struct fixture *f, size_t n)
{
	for (unsigned tries = 0; f->port.used < n && tries < 5000; tries++) {
		run(f);
		poll(NULL, 0, 1);
	}
	assert_int_equal(f->port.used, n);
}

static const char *file_content(struct fixture *f)
{
	int fd = open(f->path, O_RDONLY);
	ssize_t n = read(fd, f->got, sizeof(f->got) - 1);

	close(fd);
	f->got[n > 0 ? n : 0] = '\0';
	return f->got;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void idle(struct fixture *f)
{
	assert_int_equal(fake_clock_run(&f->clock, f->loop, NS_PER_S, 50 * MS), 0);
}

static void test_none_and_null(void **state)
{
	struct fixture *f = *state;
	struct chr_stats stats;

	assert_int_equal(try_open(f, SERIAL_NONE, NULL), 0);
	assert_null(f->chr);
	put(f, "swallowed");
	chr_accept_input(NULL);
	chr_attach(NULL, &f->port.port);
	chr_stats(NULL, &stats);
	assert_int_equal(stats.written, 0);
	chr_close(NULL);

	start(f, SERIAL_NULL);
	put(f, "counted");
	idle(f);
	chr_stats(f->chr, &stats);
	assert_int_equal(stats.written, 7);
	assert_int_equal(stats.lost, 0);
	assert_true(stats.first_write_ns > 0);
	shut(f);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	start(f, SERIAL_FILE);
	put(f, "hello\r\n");
	shut(f);
	assert_string_equal(file_content(f), "hello\r\n");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);

	/* The next run replaces it; one that never starts does not touch it. */
	assert_int_equal(try_open(f, SERIAL_FILE, f->path), 0);
	shut(f);
	assert_string_equal(file_content(f), "hello\r\n");
	start(f, SERIAL_FILE);
	put(f, "new");
	shut(f);
	assert_string_equal(file_content(f), "new");
}

static void test_file_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try_check(f, SERIAL_FILE, f->path), 0);
	assert_false(exists(f->path));
	assert_int_equal(try_open(f, SERIAL_FILE, f->path), 0);
	assert_true(exists(f->path));
	shut(f);
	assert_false(exists(f->path));
}

static void test_file_fifo(void **state)
{
	struct fixture *f = *state;
	char line[] = "0123456789abcdef";
	int reader;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	start(f, SERIAL_FILE); /* does not wait for a reader */
	for (unsigned i = 0; i < 20000; i++) {
		put(f, line);
		if (i % 1000 == 0)
			run(f);
	}
	idle(f);
	reader = open(f->path, O_RDONLY | O_NONBLOCK);
	assert_memory_equal(take(f, reader), "0123456789abcdef", 16);
	assert_non_null(strstr(f->got, " bytes lost]"));
	close(reader);
	put(f, "after");
	run(f);
	reader = open(f->path, O_RDONLY | O_NONBLOCK);
	assert_string_equal(take(f, reader), "after");
	close(reader);
	shut(f);
}

static void test_file_full(void **state)
{
	struct fixture *f = *state;
	struct chr_stats stats;

	assert_int_equal(try_open(f, SERIAL_FILE, "/dev/full"), 0);
	run(f);
	for (unsigned i = 0; i < 10; i++) {
		put(f, "0123456789");
		run(f);
	}
	chr_stats(f->chr, &stats);
	assert_int_equal(stats.lost, 100);
	shut(f);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	char longer[140];
	struct {
		enum serial_kind kind;
		const char *path;
		int status;
	} rows[] = {
	    {SERIAL_FILE, "/nonexistent/file", STATUS_CANNOT_CREATE},
	    {SERIAL_FILE, f->dir, STATUS_CANNOT_CREATE},
	    {SERIAL_FILE, "/proc/version", STATUS_PERMISSION},
	    {SERIAL_UNIX, "/nonexistent/socket", STATUS_CANNOT_CREATE},
	    {SERIAL_UNIX, f->dir, STATUS_CANNOT_CREATE},
	    {SERIAL_UNIX, "/dev/null", STATUS_CANNOT_CREATE},
	    {SERIAL_UNIX, "", STATUS_USAGE},
	    {SERIAL_UNIX, longer, STATUS_USAGE},
	};

	memset(longer, 'l', sizeof(longer));
	longer[108] = '\0';
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].status == STATUS_PERMISSION && geteuid() == 0)
			continue; /* root may */
		assert_int_equal(try_open(f, rows[i].kind, rows[i].path), -1);
		assert_int_equal(f->why.status, rows[i].status);
		assert_non_null(strstr(f->why.text, "serial0: "));
		assert_non_null(strstr(f->why.text, rows[i].path));
		assert_int_equal(try_check(f, rows[i].kind, rows[i].path), -1);
		assert_int_equal(f->why.status, rows[i].status);
	}
	idle(f);
}

static void test_unix_client(void **state)
{
	struct fixture *f = *state;
	int a, b;

	start(f, SERIAL_UNIX);
	put(f, "early ");
	run(f);
	a = dial(f->path);
	put(f, "words");
	assert_string_equal(take(f, a), "early words");
	assert_int_equal(write(a, "typed\x01x", 7), 7);
	run(f);
	assert_memory_equal(f->port.got, "typed\x01x", 7); /* a socket has no escape key */

	/* A second one is told, and the first goes on. */
	b = dial(f->path);
	assert_string_equal(take(f, b), "[lodge: serial0 is in use]\r\n");
	assert_int_equal(read(b, f->got, 1), 0);
	close(b);
	put(f, "still");
	assert_string_equal(take(f, a), "still");

	/* It goes; what is said meanwhile waits for the next. */
	close(a);
	run(f);
	put(f, "alone ");
	run(f);
	a = dial(f->path);
	put(f, "again");
	assert_string_equal(take(f, a), "alone again");
	close(a);
	shut(f);
	assert_false(exists(f->path));
}

/* A client replaced within one turn of the loop, the first one gone. */
static void test_unix_quick_successor(void **state)
{
	struct fixture *f = *state;
	int a, b;

	start(f, SERIAL_UNIX);
	a = dial(f->path);
	run(f);
	f->port.room = 0;
	assert_int_equal(write(a, "unread", 6), 6);
	run(f);
	close(a);
	b = dial(f->path);
	put(f, "yours");
	assert_string_equal(take(f, b), "yours");
	close(b);
	shut(f);
}

/* echo poweroff | nc -NU: it will not write more, but reads on. */
static void test_unix_half_close(void **state)
{
	struct fixture *f = *state;
	int a, b;

	start(f, SERIAL_UNIX);
	a = dial(f->path);
	assert_int_equal(write(a, "poweroff\r", 9), 9);
	shutdown(a, SHUT_WR);
	run(f);
	assert_memory_equal(f->port.got, "poweroff\r", 9);
	idle(f);
	put(f, "bye");
	assert_string_equal(take(f, a), "bye");
	close(a);
	b = dial(f->path);
	put(f, "next");
	assert_string_equal(take(f, b), "next");
	close(b);
	shut(f);
}

/* It wrote and went away at once: its words still arrive. */
static void test_unix_write_and_go(void **state)
{
	struct fixture *f = *state;
	static char text[3000];
	int a;

	start(f, SERIAL_UNIX);
	f->port.room = 16;
	memset(text, 'w', sizeof(text));
	a = dial(f->path);
	assert_int_equal(write(a, text, sizeof(text)), sizeof(text));
	close(a);
	put(f, "x");
	run(f);
	for (unsigned i = 0; i < 200; i++) {
		f->port.room = 16;
		chr_accept_input(f->chr);
		loop_step(f->loop);
	}
	assert_int_equal(f->port.used, sizeof(text));
	shut(f);
}

static void test_unix_slow_client(void **state)
{
	struct fixture *f = *state;
	struct chr_stats stats;
	char chunk[1024];
	int a;

	start(f, SERIAL_UNIX);
	a = dial(f->path);
	run(f);
	memset(chunk, 'c', sizeof(chunk));
	for (unsigned i = 0; i < 2000; i++) {
		chr_write(f->chr, (uint8_t *)chunk, sizeof(chunk));
		if (i % 16 == 0)
			run(f);
	}
	idle(f);
	chr_stats(f->chr, &stats);
	assert_true(stats.lost > 0);
	while (!strstr(take(f, a), " bytes lost]"))
		assert_true(f->got[0]);
	close(a);
	shut(f);
}

static void test_unix_stale_and_busy(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int old = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, f->path);
	assert_int_equal(bind(old, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(old, 1), 0);
	assert_int_equal(try_open(f, SERIAL_UNIX, f->path), -1);
	assert_int_equal(f->why.status, STATUS_CANNOT_CREATE);
	assert_int_equal(try_check(f, SERIAL_UNIX, f->path), -1);
	assert_true(exists(f->path));
	close(old); /* it died; its path stays */
	assert_int_equal(try_check(f, SERIAL_UNIX, f->path), 0);
	assert_true(exists(f->path));
	start(f, SERIAL_UNIX);
	/* Somebody else took the path over: it is not ours to remove. */
	unlink(f->path);
	close(open(f->path, O_CREAT | O_WRONLY, 0600));
	shut(f);
	assert_true(exists(f->path));
}

static int open_slave(struct fixture *f)
{
	char path[32];
	ssize_t n;
	int err[2], saved = dup(STDERR_FILENO), fd;

	/* Where it is, is said on stderr. */
	assert_int_equal(pipe(err), 0);
	dup2(err[1], STDERR_FILENO);
	assert_int_equal(try_open(f, SERIAL_PTY, NULL), 0);
	chr_attach(f->chr, &f->port.port);
	run(f);
	dup2(saved, STDERR_FILENO);
	n = read(err[0], f->got, sizeof(f->got) - 1);
	f->got[n] = '\0';
	assert_int_equal(sscanf(f->got, "lodge: serial0: %31s\n", path), 1);
	close(err[0]), close(err[1]), close(saved);
	strcpy(f->got, path);
	idle(f);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static void test_pty(void **state)
{
	struct fixture *f = *state;
	struct termios modes;
	char path[32];
	int fd = open_slave(f);

	strcpy(path, f->got);
	assert_int_equal(tcgetattr(fd, &modes), 0);
	assert_false(modes.c_lflag & ECHO);
	run(f);
	put(f, "to the terminal\r\n");
	assert_string_equal(take_tty(f, fd, 17), "to the terminal\r\n");
	assert_int_equal(write(fd, "typed", 5), 5);
	wait_port(f, 5);
	assert_memory_equal(f->port.got, "typed", 5);

	/* Closed: nobody spins, and what is said waits. */
	close(fd);
	run(f);
	put(f, "waiting ");
	idle(f);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
	tcflush(fd, TCIOFLUSH); /* as programs do that set a terminal up */
	run(f);
	put(f, "here");
	assert_string_equal(take_tty(f, fd, 12), "waiting here");
	close(fd);
	shut(f);
	assert_int_equal(open(path, O_RDWR | O_NOCTTY), -1);
}

static void *read_late(void *arg)
{
	static char got[4096];
	int fd = *(int *)arg;
	size_t used = 0;
	ssize_t n;

	usleep(100000);
	while (used < sizeof(got) - 1) {
		n = read(fd, got + used, sizeof(got) - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	got[used] = '\0';
	return got;
}

/* The last words before the end reach a reader who is a little late. */
static void test_pty_last_words(void **state)
{
	struct fixture *f = *state;
	int fd = open_slave(f);
	pthread_t reader;
	void *got;

	run(f);
	fcntl(fd, F_SETFL, 0);
	pthread_create(&reader, NULL, read_late, &fd);
	put(f, "Kernel panic");
	shut(f);
	pthread_join(reader, &got);
	assert_string_equal(got, "Kernel panic");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_none_and_null, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_leaves_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_fifo, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_client, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_quick_successor, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_half_close, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_write_and_go, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_slow_client, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_stale_and_busy, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pty, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pty_last_words, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
