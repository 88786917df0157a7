/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cable between two guests: unix datagram sockets, one frame a datagram, as QEMU's
 * `-netdev dgram` has them.
 *
 * Theory of operation: frames come to a socket that is bound to our path and go out through one of
 * its own that is connected to the peer's path. Were it one, only this one peer process could send
 * to it, and one that was started again could not; and only of a connected socket does epoll say
 * when the peer's queue has room.
 *
 * The peer may come later, go, and come back: while it is not there, frames are dropped. One that
 * is there and takes nothing for a second is treated likewise until it does.
 */
#include "core/unix_socket.h"
#include "net/backend.h"

#include <errno.h>
#include <lodge/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_NS NS_PER_S

struct dgram {
	struct net *net;
	struct unix_socket local;
	struct sockaddr_un peer;
	struct watch in, out; /* fd -1: not open */
	struct timer patience;
	struct timer soon; /* offers what is held, outside of the adapter's call */
	bool connected, blocked;
	bool stuck; /* the peer takes nothing, and is not waited for */
	bool held;  /* frame has no room in the guest yet */
	size_t size;
	uint8_t frame[NET_FRAME_MAX + 1]; /* one more, to see that a datagram is too long */
};

static void update_in(struct dgram *d)
{
	loop_rewatch(d->net->loop, &d->in, d->net->ready[0] && !d->held ? EPOLLIN : 0);
}

static void receive_frames(struct dgram *d)
{
	const struct net_header h = {0};
	struct net *n = d->net;
	unsigned done = 0, turns;
	ssize_t size;

	for (turns = 0; turns < NET_BATCH && n->ready[0]; turns++) {
		if (!d->held) {
			size = recv(d->in.fd, d->frame, sizeof(d->frame), MSG_DONTWAIT);
			if (size < 0)
				break;
			d->size = (size_t)size;
		}
		d->held = !net_deliver(n, 0, &h, d->frame, d->size);
		done += !d->held;
	}
	if (done)
		net_delivered(n, 0);
	update_in(d);
}

static void dgram_in(struct watch *w, uint32_t revents)
{
	(void)revents;
	receive_frames(container_of(w, struct dgram, in));
}

static void dgram_soon(struct timer *t)
{
	receive_frames(container_of(t, struct dgram, soon));
}

static void dgram_ready_changed(struct net *n, unsigned queue)
{
	struct dgram *d = n->state;

	(void)queue;
	if (d->held && n->ready[0])
		loop_timer_set(n->loop, &d->soon, 0);
	else
		update_in(d);
}

/* --- to the peer --- */

static void unblock(struct dgram *d)
{
	d->blocked = false;
	loop_timer_cancel(d->net->loop, &d->patience);
	loop_rewatch(d->net->loop, &d->out, 0);
	net_send_ready(d->net, 0);
}

static void dgram_out(struct watch *w, uint32_t revents)
{
	(void)revents;
	unblock(container_of(w, struct dgram, out));
}

static void dgram_impatient(struct timer *t)
{
	struct dgram *d = container_of(t, struct dgram, patience);

	d->stuck = true;
	unblock(d);
}

static bool wait_for_room(struct dgram *d)
{
	struct loop *l = d->net->loop;

	d->blocked = true;
	loop_rewatch(l, &d->out, EPOLLOUT);
	loop_timer_set_after(l, &d->patience, PATIENCE_NS);
	return false;
}

static bool reach(struct dgram *d)
{
	if (!d->connected)
		d->connected =
		    !connect(d->out.fd, (const struct sockaddr *)&d->peer, sizeof(d->peer));
	return d->connected;
}

static bool dgram_send(struct net *n, unsigned queue, const struct net_header *h,
		       const struct iovec *frame, unsigned count, size_t size)
{
	struct dgram *d = n->state;
	struct iovec iov[NET_IOV_MAX];
	const struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};

	(void)queue;
	(void)h;
	(void)size;
	if (d->blocked)
		return false;
	memcpy(iov, frame, count * sizeof(iov[0]));
	/* The second time to a peer that was started again since the last frame. */
	for (unsigned i = 0; i < 2 && reach(d); i++) {
		if (sendmsg(d->out.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
			d->stuck = false;
			return true;
		}
		if (errno == EAGAIN)
			return d->stuck ? true : wait_for_room(d);
		if (errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET)
			return true;
		d->connected = false;
	}
	return true;
}

/* --- life --- */

static void dgram_close(struct net *n)
{
	struct dgram *d = n->state;

	loop_timer_cancel(n->loop, &d->patience);
	loop_timer_cancel(n->loop, &d->soon);
	loop_unwatch(n->loop, &d->in);
	loop_unwatch(n->loop, &d->out);
	unix_socket_remove(&d->local);
	if (d->in.fd >= 0)
		close(d->in.fd);
	if (d->out.fd >= 0)
		close(d->out.fd);
	free(d);
}

static int set_up(struct dgram *d, const struct net_params *p, struct refusal *why)
{
	int err;

	if (net_unix_address(&d->local.address, "path", p->path, why) ||
	    net_unix_address(&d->peer, "peer", p->peer, why))
		return -1;
	if (!strcmp(p->path, p->peer))
		return refuse(why, STATUS_USAGE, "net", "peer",
			      "path and peer are the same socket");
	d->in.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	d->out.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->in.fd < 0 || d->out.fd < 0)
		return refuse_errno(why, errno, "net", p->path, NULL);
	err = unix_socket_bind(&d->local, d->in.fd, SOCK_DGRAM);
	if (err)
		return refuse(why, err == -EACCES ? STATUS_PERMISSION : STATUS_CANNOT_CREATE, "net",
			      p->path, "%s", unix_socket_error(err, SOCK_DGRAM));
	err = loop_watch(d->net->loop, &d->in);
	if (!err)
		err = loop_watch(d->net->loop, &d->out);
	return err ? refuse_errno(why, err, "net", p->path, NULL) : 0;
}

static int dgram_open(struct net *n, const struct net_params *p, struct refusal *why)
{
	struct dgram *d = calloc(1, sizeof(*d));

	if (!d)
		return refuse_errno(why, ENOMEM, "net", "unix", NULL);
	d->net = n;
	d->in = (struct watch){.fd = -1, .fn = dgram_in};
	d->out = (struct watch){.fd = -1, .fn = dgram_out};
	timer_init(&d->patience, dgram_impatient);
	timer_init(&d->soon, dgram_soon);
	n->state = d;
	if (set_up(d, p, why)) {
		dgram_close(n);
		return -1;
	}
	n->queues = 1;
	n->link = true;
	return 0;
}

const struct net_backend net_dgram = {
    .open = dgram_open,
    .close = dgram_close,
    .send = dgram_send,
    .ready_changed = dgram_ready_changed,
};
