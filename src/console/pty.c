/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream on a pseudoterminal, for screen, minicom and their like. */
/*
 * Theory of operation, pty(7): we hold the master; programs open the slave, /dev/pts/N, and close
 * it again. While nobody has it open, poll(2) on the master reports POLLHUP without end, so nothing
 * of it is watched then, and what the guest writes waits in the ring. inotify tells when somebody
 * opens the slave; where inotify is not to be had, we look four times a second.
 *
 * The slave is set raw, so that it neither echoes the guest's words back nor changes them. What its
 * reader has not read when we close the master is lost, so at the end we give it a second.
 */
#include "console/stream.h"
#include "console/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS (NS_PER_S / 4)
#define SETTLE_NS                                                                                  \
	(NS_PER_S / 10) /* a program that opens a terminal sets it first, and flushes it */
#define NAP_NS (10 * NS_PER_MS)

struct pty {
	struct chr *c;
	int master_fd;
	int notify_fd; /* -1: look by timer */
	bool open;     /* somebody has the slave open */
	char path[64];
	struct watch watch;
	struct timer look;
};

static bool pty_slave_open(struct pty *p)
{
	struct pollfd f = {.fd = p->master_fd};

	return poll(&f, 1, 0) >= 0 && !(f.revents & POLLHUP);
}

/* Follows the slave: opened, or closed. */
static void pty_follow(struct pty *p)
{
	struct chr *c = p->c;
	int out;

	if (!p->open && pty_slave_open(p)) {
		out = fcntl(p->master_fd, F_DUPFD_CLOEXEC, 3);
		if (out >= 0 && !sink_attach(&c->sink, out, SINK_POLL)) {
			p->open = true;
			input_start(&c->input, p->master_fd, false);
		} else if (out >= 0) {
			close(out);
		}
	}
	if (p->notify_fd < 0 && !p->open)
		loop_timer_set_after(p->c->loop, &p->look, LOOK_NS);
}

/* The slave was closed (EIO), or cannot be used. It may have been opened again meanwhile. */
static void pty_gone(struct chr *c, int err)
{
	struct pty *p = c->state;

	(void)err;
	input_stop(&c->input);
	sink_detach(&c->sink);
	p->open = false;
	loop_timer_set_after(p->c->loop, &p->look, SETTLE_NS);
}

static void pty_looked(struct timer *t)
{
	pty_follow(container_of(t, struct pty, look));
}

static void pty_noticed(struct watch *w, uint32_t revents)
{
	struct pty *p = container_of(w, struct pty, watch);
	char events[1024];

	(void)revents;
	while (read(p->notify_fd, events, sizeof(events)) > 0)
		;
	loop_timer_set_after(p->c->loop, &p->look, SETTLE_NS);
}

/* Master and slave. 0 or -errno. */
static int pty_make(struct pty *p)
{
	struct termios modes;
	int slave, err;

	p->master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->master_fd < 0)
		return -errno;
	if (grantpt(p->master_fd) || unlockpt(p->master_fd))
		return -errno;
	err = ptsname_r(p->master_fd, p->path, sizeof(p->path));
	if (err)
		return -err;
	/* Once opened and closed, the master says POLLHUP until somebody comes. */
	slave = open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	if (!tcgetattr(slave, &modes)) {
		cfmakeraw(&modes);
		tcsetattr(slave, TCSANOW, &modes);
	}
	close(slave);
	return 0;
}

static void pty_notify_init(struct pty *p)
{
	p->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->notify_fd >= 0 && inotify_add_watch(p->notify_fd, p->path, IN_OPEN) < 0) {
		close(p->notify_fd);
		p->notify_fd = -1;
	}
}

static int pty_open(struct chr *c, const char *path, struct refusal *why)
{
	struct pty *p = calloc(1, sizeof(*p));
	int err;

	(void)path;
	if (!p)
		return refuse_errno(why, ENOMEM, c->name, "pty", "memory");
	p->c = c;
	timer_init(&p->look, pty_looked);
	err = pty_make(p);
	if (err) {
		if (p->master_fd >= 0)
			close(p->master_fd);
		free(p);
		return refuse_output(why, -err, c->name, "pty");
	}
	pty_notify_init(p);
	c->state = p;
	return 0;
}

static void pty_start(struct chr *c)
{
	struct pty *p = c->state;

	terminal_tell(c->name, p->path);
	p->watch = (struct watch){.fd = p->notify_fd, .events = EPOLLIN, .fn = pty_noticed};
	if (p->notify_fd >= 0 && loop_watch(c->loop, &p->watch)) {
		close(p->notify_fd);
		p->notify_fd = -1;
	}
	pty_follow(p);
}

/*
 * Waits until the slave's reader has read what it was given, at most limit_ns. What was written
 * reaches the slave a moment later, so nothing to read counts only when seen again and again.
 */
static void pty_wait_read(struct pty *p, uint64_t limit_ns)
{
	const struct timespec nap = {.tv_nsec = (long)NAP_NS};
	int fd = open(p->path, O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	unsigned quiet = 0;

	for (uint64_t waited = 0; fd >= 0 && waited < limit_ns && quiet < 3; waited += NAP_NS) {
		int unread = 0;

		nanosleep(&nap, NULL);
		if (ioctl(fd, FIONREAD, &unread))
			break;
		quiet = unread ? 0 : quiet + 1;
	}
	if (fd >= 0)
		close(fd);
}

static void pty_close(struct chr *c)
{
	struct pty *p = c->state;

	input_stop(&c->input);
	if (p->open && pty_slave_open(p))
		pty_wait_read(p, SINK_FLUSH_NS);
	loop_timer_cancel(c->loop, &p->look);
	if (p->notify_fd >= 0) {
		loop_unwatch(c->loop, &p->watch);
		close(p->notify_fd);
	}
	close(p->master_fd);
	free(p);
}

static int pty_check(const char *name, const char *path, struct refusal *why)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	(void)path;
	if (fd < 0)
		return refuse_output(why, errno, name, "pty");
	close(fd);
	return 0;
}

const struct backend backend_pty = {.open = pty_open,
				    .start = pty_start,
				    .input_over = pty_gone,
				    .reader_gone = pty_gone,
				    .close = pty_close,
				    .check = pty_check};
