/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream on a listening unix socket: one client at a time. */
/*
 * Theory of operation: the socket listens from the start; a client that comes gets first what waits
 * in the ring. A second one is told that the port is in use and is turned away: it would otherwise
 * hang without a word, or share the keyboard. A client that shuts down its writing half (as
 * `echo poweroff | nc -NU PATH` does) still gets the output; it is gone once it is closed, which
 * the next write or the next client's coming shows.
 *
 * A path left by a run that died is taken over (core/unix_socket.h). The path is removed at the
 * end, if it is still ours.
 */
#include "console/stream.h"
#include "core/unix_socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_NS (NS_PER_S / 4)

struct unix_stream {
	struct chr *c;
	int listen_fd, client_fd; /* client: the reading side; the sink writes through a copy */
	struct watch watch;
	struct timer retry; /* accept(2) failed: too many descriptors are open */
	struct unix_socket socket;
};

static int unix_refuse(struct refusal *why, int err, const char *name, const char *path)
{
	if (err == -ENOTSOCK || err == -EADDRINUSE)
		return refuse(why, STATUS_CANNOT_CREATE, name, path, "%s",
			      unix_socket_error(err, SOCK_STREAM));
	return refuse_output(why, -err, name, path);
}

static int unix_address(struct sockaddr_un *a, const char *name, const char *path,
			struct refusal *why)
{
	if (unix_socket_address(a, path))
		return 0;
	return refuse(why, STATUS_USAGE, name, path, "a socket's path has 1 to %zu bytes, not %zu",
		      UNIX_PATH_MAX, strlen(path));
}

/* 0 or -errno. */
static int unix_listen(struct unix_stream *u)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	err = unix_socket_bind(&u->socket, fd, SOCK_STREAM);
	if (!err && listen(fd, 8)) {
		err = -errno;
		unix_socket_remove(&u->socket);
	}
	if (err)
		close(fd);
	else
		u->listen_fd = fd;
	return err;
}

static void unix_drop_client(struct unix_stream *u)
{
	if (u->client_fd < 0)
		return;
	input_stop(&u->c->input);
	sink_detach(&u->c->sink);
	close(u->client_fd);
	u->client_fd = -1;
}

static bool unix_client_gone(struct unix_stream *u)
{
	struct pollfd p = {.fd = u->client_fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void unix_turn_away(struct unix_stream *u, int fd)
{
	char text[sizeof(u->c->name) + 32];
	int n = snprintf(text, sizeof(text), "[lodge: %s is in use]\r\n", u->c->name);

	if (send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("%s: %s", u->c->name, strerror(errno));
	close(fd);
}

static void unix_welcome(struct unix_stream *u, int fd)
{
	int out = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (out < 0 || sink_attach(&u->c->sink, out, SINK_SEND)) {
		log_warning("%s: a client cannot be served: %s", u->c->name, strerror(errno));
		if (out >= 0)
			close(out);
		close(fd);
		return;
	}
	u->client_fd = fd;
	input_start(&u->c->input, fd, false);
}

static void unix_retry(struct timer *t)
{
	struct unix_stream *u = container_of(t, struct unix_stream, retry);

	loop_rewatch(u->c->loop, &u->watch, EPOLLIN);
}

static void unix_accept(struct watch *w, uint32_t revents)
{
	struct unix_stream *u = container_of(w, struct unix_stream, watch);
	struct loop *l = u->c->loop;
	int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_warning("%s: accept: %s", u->c->name, strerror(errno));
			loop_rewatch(l, &u->watch, 0);
			loop_timer_set_after(l, &u->retry, RETRY_NS);
		}
		return;
	}
	if (u->client_fd >= 0 && unix_client_gone(u))
		unix_drop_client(u);
	if (u->client_fd >= 0)
		unix_turn_away(u, fd);
	else
		unix_welcome(u, fd);
}

static int unix_open(struct chr *c, const char *path, struct refusal *why)
{
	struct unix_stream *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return refuse_errno(why, ENOMEM, c->name, path, "memory");
	u->c = c;
	u->client_fd = -1;
	timer_init(&u->retry, unix_retry);
	if (unix_address(&u->socket.address, c->name, path, why)) {
		free(u);
		return -1;
	}
	err = unix_listen(u);
	if (err) {
		free(u);
		return unix_refuse(why, err, c->name, path);
	}
	c->state = u;
	return 0;
}

static void unix_start(struct chr *c)
{
	struct unix_stream *u = c->state;
	int err;

	u->watch = (struct watch){.fd = u->listen_fd, .events = EPOLLIN, .fn = unix_accept};
	err = loop_watch(c->loop, &u->watch);
	if (err)
		log_warning("%s: %s: %s", c->name, u->socket.address.sun_path, strerror(-err));
}

static void unix_input_over(struct chr *c, int err)
{
	struct unix_stream *u = c->state;

	if (err || unix_client_gone(u))
		unix_drop_client(u);
}

static void unix_reader_gone(struct chr *c, int err)
{
	struct unix_stream *u = c->state;

	(void)err;
	/* What it wrote before it went is read to the end, and the end drops it. */
	if (c->input.fd < 0)
		unix_drop_client(u);
	else
		sink_detach(&c->sink);
}

static void unix_close(struct chr *c)
{
	struct unix_stream *u = c->state;

	unix_drop_client(u);
	loop_unwatch(c->loop, &u->watch);
	loop_timer_cancel(c->loop, &u->retry);
	unix_socket_remove(&u->socket);
	close(u->listen_fd);
	free(u);
}

static int unix_check(const char *name, const char *path, struct refusal *why)
{
	struct sockaddr_un a;
	int stale;

	if (unix_address(&a, name, path, why))
		return -1;
	stale = unix_socket_look(&a, SOCK_STREAM);
	if (stale < 0)
		return unix_refuse(why, stale, name, path);
	return stale ? 0 : backend_file.check(name, path, why);
}

const struct backend backend_unix = {.open = unix_open,
				     .start = unix_start,
				     .input_over = unix_input_over,
				     .reader_gone = unix_reader_gone,
				     .close = unix_close,
				     .check = unix_check};
