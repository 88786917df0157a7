/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream on standard input and output. */
/*
 * Theory of operation. Output must not block the loop, and O_NONBLOCK must not be set on a file
 * description that the user's shell or a neighbour in a pipeline shares. So
 * - a terminal or a pipe is opened a second time, non-blocking, through /proc/self/fd, which gives
 * a description of our own (proc(5)); where that is refused, a thread writes to the shared one;
 * - a socket is sent to with MSG_DONTWAIT;
 * - a regular file, whose offset is shared with what else writes to it, is written by a thread;
 * - /dev/null and its like cannot block.
 * A reader that goes away ends the output, not the guest.
 *
 * Input that ends (EOF, /dev/null) leaves the guest running. From a terminal it is taken raw and
 * searched for the escape key, if the output goes where a person may see it: a terminal, a pipe, a
 * socket. With output into a file the terminal stays as it is: line by line, Ctrl-c ends lodge.
 * Input that is no terminal goes to the guest as it is, Ctrl-a too.
 *
 * In the background nothing is read; twice a second we look whether we are in the foreground.
 */
#include "console/stream.h"
#include "console/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FOREGROUND_NS (NS_PER_S / 2)
#define MEM_MAJOR     1u /* null, zero, full: Documentation/admin-guide/devices.txt */

struct stdio {
	struct chr *c;
	int in_fd;  /* ours; -1: none, or over */
	int say_fd; /* the terminal, for our own words; -1: none */
	bool keyboard;
	bool out_is_tty;
	struct timer foreground;
};

static struct stdio *stdio_owner; /* there is one terminal */

/* A description of our own for what fd names, or -errno. */
static int reopen(int fd, int flags)
{
	char path[32];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own < 0 ? -errno : own;
}

static int copy(int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return own < 0 ? -errno : own;
}

/* How standard output is to be written, and through which descriptor: *fd, ours, or -errno. */
static enum sink_how stdio_output(int *fd)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st)) {
		*fd = -errno;
		return SINK_POLL;
	}
	if (isatty(STDOUT_FILENO) || S_ISFIFO(st.st_mode)) {
		*fd = reopen(STDOUT_FILENO, O_WRONLY);
		if (*fd >= 0)
			return SINK_POLL;
	}
	*fd = copy(STDOUT_FILENO);
	if (S_ISSOCK(st.st_mode))
		return SINK_SEND;
	if (S_ISCHR(st.st_mode) && major(st.st_rdev) == MEM_MAJOR)
		return SINK_POLL;
	return SINK_THREAD;
}

/* A person may see what goes there. */
static bool stdio_output_visible(void)
{
	struct stat st;

	return isatty(STDOUT_FILENO) ||
	       (!fstat(STDOUT_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)));
}

void stdio_say(const char *text)
{
	if (!stdio_owner || stdio_owner->say_fd < 0)
		return;
	if (write(stdio_owner->say_fd, text, strlen(text)) < 0)
		log_debug("terminal: %s", strerror(errno));
}

static int stdio_open(struct chr *c, const char *path, struct refusal *why)
{
	struct stdio *s;

	(void)path;
	if (stdio_owner)
		return refuse(why, STATUS_USAGE, c->name, "stdio",
			      "another port has standard input and output already");
	s = calloc(1, sizeof(*s));
	if (!s)
		return refuse_errno(why, ENOMEM, c->name, "stdio", "memory");
	s->c = c;
	s->in_fd = s->say_fd = -1;
	c->state = stdio_owner = s;
	return 0;
}

static void stdio_read(struct stdio *s)
{
	if (s->in_fd < 0)
		return;
	if (isatty(s->in_fd) && !terminal_in_foreground(s->in_fd)) {
		loop_timer_set_after(s->c->loop, &s->foreground, FOREGROUND_NS);
		return;
	}
	if (s->keyboard)
		terminal_resume();
	input_start(&s->c->input, s->in_fd, s->keyboard);
}

static void stdio_foreground(struct timer *t)
{
	stdio_read(container_of(t, struct stdio, foreground));
}

static void stdio_start_input(struct stdio *s)
{
	struct stat st;
	bool tty = isatty(STDIN_FILENO);

	if (fstat(STDIN_FILENO, &st))
		return;
	if (tty)
		s->in_fd = reopen(STDIN_FILENO, O_RDWR);
	else if (S_ISFIFO(st.st_mode))
		s->in_fd = reopen(STDIN_FILENO, O_RDONLY);
	if (s->in_fd < 0)
		s->in_fd = copy(STDIN_FILENO);
	if (tty && stdio_output_visible() && !terminal_enter(s->in_fd)) {
		s->keyboard = true;
		s->say_fd = s->in_fd;
		if (isatty(STDERR_FILENO) && terminal_in_foreground(s->in_fd))
			stdio_say("lodge: Ctrl-a x ends the guest, Ctrl-a h shows help\r\n");
	}
	stdio_read(s);
}

static void stdio_start(struct chr *c)
{
	struct stdio *s = c->state;
	enum sink_how how;
	sigset_t job;
	int fd, err;

	sigemptyset(&job);
	sigaddset(&job, SIGTTIN);
	sigaddset(&job, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &job, NULL);
	timer_init(&s->foreground, stdio_foreground);
	s->out_is_tty = isatty(STDOUT_FILENO);
	stdio_start_input(s);
	how = stdio_output(&fd);
	err = fd < 0 ? fd : sink_attach(&c->sink, fd, how);
	if (err) {
		log_warning("%s: stdout: %s; output is dropped", c->name, strerror(-err));
		if (fd >= 0)
			close(fd);
	}
}

static void stdio_input_over(struct chr *c, int err)
{
	struct stdio *s = c->state;

	if (err == EIO && isatty(s->in_fd) && !terminal_in_foreground(s->in_fd)) {
		loop_timer_set_after(s->c->loop, &s->foreground, FOREGROUND_NS);
		return;
	}
	if (err)
		log_warning("%s: stdin: %s; the guest gets no more input", c->name, strerror(err));
	/* A terminal whose other end is gone has no modes to give back, so nothing is lost here. */
	if (s->keyboard)
		return;
	close(s->in_fd);
	s->in_fd = -1;
}

static void stdio_reader_gone(struct chr *c, int err)
{
	log_warning("%s: stdout: %s; output is dropped, the guest goes on", c->name, strerror(err));
	sink_detach(&c->sink);
}

/* Leaves the cursor visible, at a line's start, in plain letters, for what comes next. */
static void stdio_finish(struct chr *c)
{
	static const char plain[] = "\033[0m\033[?25h"; /* SGR, DECTCEM */
	struct stdio *s = c->state;

	if (!s->out_is_tty)
		return;
	if (c->sink.saw_escape)
		sink_write(&c->sink, (const uint8_t *)plain, sizeof(plain) - 1);
	if (s->keyboard && c->sink.last_byte && c->sink.last_byte != '\n')
		sink_write(&c->sink, (const uint8_t *)"\r\n", 2);
}

static void stdio_close(struct chr *c)
{
	struct stdio *s = c->state;

	loop_timer_cancel(c->loop, &s->foreground);
	input_stop(&c->input);
	if (s->keyboard)
		terminal_leave();
	if (s->in_fd >= 0)
		close(s->in_fd);
	stdio_owner = NULL;
	free(s);
}

static int stdio_check(const char *name, const char *path, struct refusal *why)
{
	(void)name, (void)path, (void)why;
	return 0;
}

const struct backend backend_stdio = {.open = stdio_open,
				      .start = stdio_start,
				      .input_over = stdio_input_over,
				      .reader_gone = stdio_reader_gone,
				      .finish = stdio_finish,
				      .close = stdio_close,
				      .check = stdio_check};
