/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal is given back on every way out. Each case runs a "guest" that echoes what is typed,
 * as a job of a "shell" on a pseudoterminal of its own, does something to it, and compares the
 * terminal's modes with those found before.
 */
#include "console/terminal.h"
#include "fake_port.h"

#include <errno.h>
#include <fcntl.h>
#include <lodge/console.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 10000

struct session {
	int master, slave;
	int command, status; /* to the shell: 'f'ore- or 'b'ackground; from it: wait statuses */
	pid_t shell, job;
	struct termios before;
	char seen[8192];
	size_t seen_used;
};

/* --- the guest, in the job's process --- */

static struct loop *guest_loop;
static struct chr *guest_chr;

static unsigned guest_can_receive(void *dev)
{
	(void)dev;
	return 16;
}

static void guest_receive(void *dev, const uint8_t *buf, unsigned n)
{
	(void)dev;
	if (memchr(buf, '!', n)) {
		int *volatile nowhere = (int *)64; /* a sanitizer would catch NULL first */

		*nowhere = 1;
	}
	chr_write(guest_chr, buf, n);
}

static void guest_break(void *dev)
{
	(void)dev;
	chr_write(guest_chr, (const uint8_t *)"<break>", 7);
}

static void guest_quit(void *arg)
{
	(void)arg;
	loop_stop(guest_loop);
}

static void guest_main(void)
{
	static const struct rlimit no_core;
	struct config_serial cfg = {.kind = SERIAL_STDIO};
	struct chr_port port = {.can_receive = guest_can_receive,
				.receive = guest_receive,
				.receive_break = guest_break};
	struct refusal why = {0};

	setrlimit(RLIMIT_CORE, &no_core);
	stdio_secure();
	if (loop_create(clock_host(), &guest_loop) ||
	    chr_open(&cfg, "serial0", guest_loop, &guest_chr, &why))
		_exit(9);
	chr_attach(guest_chr, &port);
	chr_on_quit(guest_chr, guest_quit, NULL);
	loop_run(guest_loop);
	chr_close(guest_chr);
	loop_destroy(guest_loop);
	_exit(42);
}

/* --- the shell: leader of the session, without a care for the modes --- */

static void shell_main(int command, int status, bool foreground)
{
	pid_t job;
	int s;

	/* The test program's own handlers, and a sanitizer's, are not part of this. */
	for (s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	job = fork();
	if (!job) {
		setpgid(0, 0);
		if (foreground)
			tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		close(command), close(status);
		guest_main();
	}
	setpgid(job, job);
	if (write(status, &job, sizeof(job)) < 0)
		_exit(1);
	for (;;) {
		struct pollfd p = {.fd = command, .events = POLLIN};
		char c = 0;

		if (waitpid(job, &s, WNOHANG | WUNTRACED | WCONTINUED) == job &&
		    write(status, &s, sizeof(s)) < 0)
			_exit(1);
		if (poll(&p, 1, 5) > 0 && read(command, &c, 1) <= 0)
			break;
		if (c)
			tcsetpgrp(0, c == 'f' ? job : getpgrp());
	}
	kill(-job, SIGKILL);
	_exit(0);
}

static void session_open(struct session *s, bool foreground)
{
	int command[2], status[2];

	memset(s, 0, sizeof(*s));
	assert_int_equal(openpty(&s->master, &s->slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(s->slave, &s->before), 0);
	assert_int_equal(pipe2(command, 0), 0);
	assert_int_equal(pipe2(status, 0), 0);
	s->shell = fork();
	if (!s->shell) {
		close(s->master), close(command[1]), close(status[0]);
		if (setsid() < 0 || ioctl(s->slave, TIOCSCTTY, 0))
			_exit(8);
		dup2(s->slave, 0), dup2(s->slave, 1), dup2(s->slave, 2);
		close(s->slave);
		shell_main(command[0], status[1], foreground);
	}
	close(command[0]), close(status[1]);
	s->command = command[1];
	s->status = status[0];
	assert_int_equal(read(s->status, &s->job, sizeof(s->job)), sizeof(s->job));
}

static void session_close(struct session *s)
{
	close(s->command);
	waitpid(s->shell, NULL, 0);
	close(s->status), close(s->master), close(s->slave);
}

/* Waits until the screen shows text. */
static void expect(struct session *s, const char *text)
{
	for (unsigned ms = 0; !strstr(s->seen, text); ms += 10) {
		struct pollfd p = {.fd = s->master, .events = POLLIN};
		ssize_t n = 0;

		if (ms > LIMIT_MS)
			fail_msg("waited for '%s', saw '%s'", text, s->seen);
		if (poll(&p, 1, 10) > 0)
			n = read(s->master, s->seen + s->seen_used,
				 sizeof(s->seen) - 1 - s->seen_used);
		s->seen_used += n > 0 ? (size_t)n : 0;
		s->seen[s->seen_used] = '\0';
	}
	s->seen_used = 0;
	s->seen[0] = '\0';
}

static void type(struct session *s, const char *text)
{
	assert_int_equal(write(s->master, text, strlen(text)), strlen(text));
}

static int next_status(struct session *s)
{
	struct pollfd p = {.fd = s->status, .events = POLLIN};
	int status;

	if (poll(&p, 1, LIMIT_MS) <= 0)
		fail_msg("the job did not change its state");
	assert_int_equal(read(s->status, &status, sizeof(status)), sizeof(status));
	return status;
}

static bool is_raw(struct session *s)
{
	struct termios now;

	assert_int_equal(tcgetattr(s->slave, &now), 0);
	return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_oflag & OPOST);
}

static void wait_raw(struct session *s)
{
	for (unsigned ms = 0; !is_raw(s); ms += 5) {
		assert_true(ms < LIMIT_MS);
		poll(NULL, 0, 5);
	}
}

static void assert_given_back(struct session *s)
{
	struct termios now;

	assert_int_equal(tcgetattr(s->slave, &now), 0);
	assert_int_equal(now.c_iflag, s->before.c_iflag);
	assert_int_equal(now.c_oflag, s->before.c_oflag);
	assert_int_equal(now.c_cflag, s->before.c_cflag);
	assert_int_equal(now.c_lflag, s->before.c_lflag);
	assert_memory_equal(now.c_cc, s->before.c_cc, sizeof(now.c_cc));
}

/* Processor time used so far, in hundredths of a second: fields 14 and 15 of proc(5)'s stat. */
static unsigned long cpu_ticks(pid_t pid)
{
	char path[32], text[512] = "";
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_int_equal(sscanf(strrchr(text, ')'),
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				&system),
			 2);
	return user + system;
}

static void test_keys(void **state)
{
	struct winsize size = {.ws_row = 33, .ws_col = 101};
	struct session s;
	int status;

	(void)state;
	session_open(&s, true);
	expect(&s, "lodge: Ctrl-a x ends the guest, Ctrl-a h shows help\r\n");
	assert_true(is_raw(&s));
	type(&s, "a\x03\x1a\x1c\x04z"); /* ^C ^Z ^\ ^D go to the guest */
	expect(&s, "a\x03\x1a\x1c\x04z");
	type(&s, "\x01h");
	expect(&s, "lodge: Ctrl-a b");
	type(&s, "\x01"
		 "b");
	expect(&s, "<break>");
	type(&s, "\x01\x01.");
	expect(&s, "\x01.");
	ioctl(s.master, TIOCSWINSZ, &size);
	type(&s, "\x01r");
	expect(&s, "stty rows 33 cols 101\r");
	type(&s, "\x01x");
	status = next_status(&s);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_given_back(&s);
	session_close(&s);
}

static void test_signals(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT,  SIGHUP, SIGQUIT, SIGSEGV, SIGBUS,
				      SIGABRT, SIGILL,  SIGFPE, SIGSYS,  SIGTRAP, SIGUSR1,
				      SIGUSR2, SIGALRM, SIGPWR, SIGXCPU, SIGIO};
	struct session s;
	int status;

	(void)state;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		session_open(&s, true);
		expect(&s, "shows help\r\n");
		assert_true(is_raw(&s));
		kill(s.job, signals[i]);
		status = next_status(&s);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
		assert_given_back(&s);
		session_close(&s);
	}
}

static void test_crash(void **state)
{
	struct session s;
	int status;

	(void)state;
	session_open(&s, true);
	expect(&s, "shows help\r\n");
	type(&s, "!");
	status = next_status(&s);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_given_back(&s);
	session_close(&s);
}

static void test_stop_and_continue(void **state)
{
	struct session s;

	(void)state;
	session_open(&s, true);
	expect(&s, "shows help\r\n");
	for (unsigned round = 0; round < 3; round++) {
		kill(s.job, SIGTSTP);
		assert_true(WIFSTOPPED(next_status(&s)));
		assert_given_back(&s);
		kill(s.job, SIGCONT);
		assert_true(WIFCONTINUED(next_status(&s)));
		wait_raw(&s);
		type(&s, "on");
		expect(&s, "on");
	}
	/* SIGSTOP leaves no time to give it back; the shell does that. */
	kill(s.job, SIGSTOP);
	assert_true(WIFSTOPPED(next_status(&s)));
	tcsetattr(s.slave, TCSANOW, &s.before);
	kill(s.job, SIGCONT);
	assert_true(WIFCONTINUED(next_status(&s)));
	wait_raw(&s);
	type(&s, "\x01x");
	assert_int_equal(WEXITSTATUS(next_status(&s)), 42);
	assert_given_back(&s);
	session_close(&s);
}

/* `lodge run &`: it runs, leaves the terminal alone, and takes it when brought to the front. */
static void test_background(void **state)
{
	struct session s;
	struct pollfd p;

	(void)state;
	session_open(&s, false);
	type(&s, "for the shell\n");
	p = (struct pollfd){.fd = s.status, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 700), 0); /* longer than its look around: it was not stopped */
	assert_given_back(&s);
	assert_int_equal(write(s.command, "f", 1), 1);
	wait_raw(&s);
	type(&s, "now");
	expect(&s, "now");

	/* Ended by a signal while another has the terminal: the modes are not its own to change. */
	assert_int_equal(write(s.command, "b", 1), 1);
	poll(NULL, 0, 50);
	tcsetattr(s.slave, TCSANOW, &s.before);
	kill(s.job, SIGTERM);
	assert_true(WIFSIGNALED(next_status(&s)));
	assert_given_back(&s);
	session_close(&s);
}

/* The window is closed, and SIGHUP does not come: the guest goes on, and the loop sleeps. */
static void test_hangup(void **state)
{
	struct session s;
	struct pollfd p;
	unsigned long before, after;

	(void)state;
	session_open(&s, true);
	expect(&s, "shows help\r\n");
	close(s.slave);
	close(s.master);
	p = (struct pollfd){.fd = s.status, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 100), 0);
	before = cpu_ticks(s.job);
	assert_int_equal(poll(&p, 1, 300), 0);
	after = cpu_ticks(s.job);
	assert_true(after - before <= 5); /* of 30 */
	kill(s.job, SIGTERM);
	assert_true(WIFSIGNALED(next_status(&s)));
	close(s.command);
	waitpid(s.shell, NULL, 0);
	close(s.status);
}

static void test_closed_descriptors(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		close(0), close(1);
		stdio_secure();
		_exit(open("/dev/null", O_RDONLY) > 2 &&
			      (fcntl(0, F_GETFL) & O_ACCMODE) == O_RDONLY &&
			      (fcntl(1, F_GETFL) & O_ACCMODE) == O_WRONLY
			  ? 0
			  : 1);
	}
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_signals),
	    cmocka_unit_test(test_crash),
	    cmocka_unit_test(test_stop_and_continue),
	    cmocka_unit_test(test_background),
	    cmocka_unit_test(test_hangup),
	    cmocka_unit_test(test_closed_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
