/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * passt, or whoever speaks its protocol on a unix stream socket: each frame behind its length, four
 * bytes, big-endian; passt(1) and QEMU's `-netdev stream`.
 *
 * Theory of operation: received bytes stand in one buffer with room for a whole frame, from which
 * the adapter takes frame by frame. A frame to send goes out in one call; what the socket does not
 * take of it is copied and goes first when there is room, and meanwhile no other is taken. The
 * other side takes TCP segments of up to 64 KiB whole, so segmentation is offered; checksums are
 * completed here.
 *
 * The other side may be anybody. A length that no frame has, an end, or five seconds without
 * taking a byte are a cable pulled out; where we know the socket's path we call again each second.
 */
#include "net/backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_BYTES 4u
#define RETRY_NS     NS_PER_S
#define PATIENCE_NS  (5 * NS_PER_S)
#define IN_BYTES     (2 * (LENGTH_BYTES + NET_FRAME_MAX))

struct passt {
	struct net *net;
	struct sockaddr_un address; /* sun_path "": a passed descriptor */
	int fd;                     /* -1: nobody is there */
	struct watch watch;
	struct timer retry, patience;
	struct timer soon;         /* for what a call of the adapter, or a full turn, left to do */
	const char *trouble;       /* found within a call of the adapter's */
	bool blocked;              /* the adapter waits for room */
	size_t in_start, in_end;   /* of in */
	size_t out_start, out_end; /* of out */
	uint8_t in[IN_BYTES];
	uint8_t out[LENGTH_BYTES + NET_FRAME_MAX];
};

static bool pending(const struct passt *p)
{
	return p->out_start < p->out_end;
}

static void update_watch(struct passt *p)
{
	uint32_t events = p->net->ready[0] ? EPOLLIN : 0;

	if (p->fd >= 0)
		loop_rewatch(p->net->loop, &p->watch,
			     events | (pending(p) || p->blocked ? EPOLLOUT : 0));
}

static void hang_up(struct passt *p)
{
	struct loop *l = p->net->loop;

	loop_unwatch(l, &p->watch);
	loop_timer_cancel(l, &p->soon);
	loop_timer_cancel(l, &p->patience);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->trouble = NULL;
	p->in_start = p->in_end = p->out_start = p->out_end = 0;
}

/* Outside of the adapter's call. */
static void lose(struct passt *p, const char *reason)
{
	const bool blocked = p->blocked;

	log_guest(LOG_WARNING, "net: passt: the link is down: %s", reason);
	hang_up(p);
	p->blocked = false;
	if (p->address.sun_path[0])
		loop_timer_set_after(p->net->loop, &p->retry, RETRY_NS);
	net_change_link(p->net, false);
	if (blocked) /* what it holds will be dropped */
		net_send_ready(p->net, 0);
}

/* --- from the other side --- */

/* The whole frame that is next in p->in, or 0: there is none yet. False: it cannot be one. */
static bool next_frame(const struct passt *p, uint32_t *size)
{
	const size_t have = p->in_end - p->in_start;

	*size = 0;
	if (have < LENGTH_BYTES)
		return true;
	memcpy(size, p->in + p->in_start, LENGTH_BYTES);
	*size = ntohl(*size);
	if (!*size || *size > NET_FRAME_MAX)
		return false;
	if (have < LENGTH_BYTES + *size)
		*size = 0;
	return true;
}

/* As much as there is room for. NULL, or what is wrong with the other side. */
static const char *read_some(struct passt *p)
{
	ssize_t n;

	memmove(p->in, p->in + p->in_start, p->in_end - p->in_start);
	p->in_end -= p->in_start;
	p->in_start = 0;
	n = recv(p->fd, p->in + p->in_end, sizeof(p->in) - p->in_end, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
	p->in_end += (size_t)n;
	return n ? NULL : "the other side is gone";
}

static const char *receive_frames(struct passt *p)
{
	const struct net_header h = {0};
	const char *trouble = NULL;
	uint32_t size;
	bool good = next_frame(p, &size);
	unsigned done = 0;

	if (good && !size && p->net->ready[0]) {
		trouble = read_some(p);
		good = next_frame(p, &size);
	}
	while (good && size && done < NET_BATCH &&
	       net_deliver(p->net, 0, &h, p->in + p->in_start + LENGTH_BYTES, size)) {
		p->in_start += LENGTH_BYTES + size;
		done++;
		good = next_frame(p, &size);
	}
	if (done)
		net_delivered(p->net, 0);
	if (good && size && p->net->ready[0])
		loop_timer_set(p->net->loop, &p->soon, 0);
	return good ? trouble : "the other side sent a length that no frame has";
}

/* --- to the other side --- */

/* NULL, or what is wrong with it. */
static const char *push_out(struct passt *p)
{
	ssize_t n;

	if (!pending(p))
		return NULL;
	n = send(p->fd, p->out + p->out_start, p->out_end - p->out_start,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
	p->out_start += (size_t)n;
	if (pending(p))
		loop_timer_set_after(p->net->loop, &p->patience, PATIENCE_NS);
	else
		loop_timer_cancel(p->net->loop, &p->patience);
	return NULL;
}

/* Within the adapter's call: what is done about it waits until that is over. */
static bool give_up_soon(struct passt *p, const char *trouble)
{
	p->trouble = trouble;
	loop_timer_set(p->net->loop, &p->soon, 0);
	return true;
}

static bool wait_for_room(struct passt *p)
{
	p->blocked = true;
	loop_timer_set_after(p->net->loop, &p->patience, PATIENCE_NS);
	update_watch(p);
	return false;
}

/* A frame that has to be copied. */
static bool send_copy(struct passt *p, const struct net_header *h, const struct iovec *frame,
		      unsigned count, size_t size, size_t sent)
{
	const uint32_t length = htonl((uint32_t)size);
	const char *trouble;

	memcpy(p->out, &length, LENGTH_BYTES);
	net_gather(p->out + LENGTH_BYTES, size, frame, count);
	net_complete_checksum(p->out + LENGTH_BYTES, size, h);
	p->out_start = sent;
	p->out_end = LENGTH_BYTES + size;
	trouble = sent ? NULL : push_out(p);
	if (trouble)
		return give_up_soon(p, trouble);
	if (pending(p)) {
		loop_timer_set_after(p->net->loop, &p->patience, PATIENCE_NS);
		update_watch(p);
	}
	return true;
}

static bool passt_send(struct net *n, unsigned queue, const struct net_header *h,
		       const struct iovec *frame, unsigned count, size_t size)
{
	struct passt *p = n->state;
	uint32_t length = htonl((uint32_t)size);
	struct iovec iov[NET_IOV_MAX + 1] = {{&length, LENGTH_BYTES}};
	const struct msghdr m = {.msg_iov = iov, .msg_iovlen = count + 1};
	ssize_t sent;

	(void)queue;
	if (p->fd < 0 || p->trouble)
		return true;
	if (pending(p))
		return wait_for_room(p);
	if (h->flags & NET_NEEDS_CSUM)
		return send_copy(p, h, frame, count, size, 0);
	memcpy(iov + 1, frame, count * sizeof(iov[0]));
	sent = sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return wait_for_room(p);
	if (sent < 0)
		return give_up_soon(p, strerror(errno));
	if ((size_t)sent < LENGTH_BYTES + size)
		return send_copy(p, h, frame, count, size, (size_t)sent);
	return true;
}

/* --- the connection --- */

/* What there is to do in both directions. */
static void work(struct passt *p)
{
	const char *trouble = p->trouble;

	if (!trouble)
		trouble = push_out(p);
	if (!trouble)
		trouble = receive_frames(p);
	if (trouble) {
		lose(p, trouble);
		return;
	}
	if (p->blocked && !pending(p)) {
		p->blocked = false;
		loop_timer_cancel(p->net->loop, &p->patience);
		net_send_ready(p->net, 0);
	}
	update_watch(p);
}

static void passt_watched(struct watch *w, uint32_t revents)
{
	(void)revents;
	work(container_of(w, struct passt, watch));
}

static void passt_soon(struct timer *t)
{
	struct passt *p = container_of(t, struct passt, soon);

	if (p->fd >= 0)
		work(p);
}

static void passt_impatient(struct timer *t)
{
	lose(container_of(t, struct passt, patience), "the other side takes nothing any more");
}

static void passt_ready_changed(struct net *n, unsigned queue)
{
	struct passt *p = n->state;

	(void)queue;
	if (n->ready[0] && p->in_start < p->in_end)
		loop_timer_set(n->loop, &p->soon, 0);
	update_watch(p);
}

/* Connected at once or not at all, as it is with unix sockets. 0 or -errno. */
static int call(struct passt *p)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&p->address, sizeof(p->address))) {
		p->fd = fd;
		return 0;
	}
	err = -errno;
	close(fd);
	return err;
}

static int watch_it(struct passt *p)
{
	p->watch = (struct watch){.fd = p->fd, .fn = passt_watched};
	return loop_watch(p->net->loop, &p->watch);
}

static void passt_retry(struct timer *t)
{
	struct passt *p = container_of(t, struct passt, retry);

	if (!call(p) && !watch_it(p)) {
		log_guest(LOG_WARNING, "net: passt: the link is up again");
		update_watch(p);
		net_change_link(p->net, true);
		return;
	}
	hang_up(p);
	loop_timer_set_after(p->net->loop, &p->retry, RETRY_NS);
}

static int reach(struct passt *p, const struct net_params *params, struct refusal *why)
{
	int err, type = 0;
	socklen_t size = sizeof(type);

	if (params->fd_count) {
		if (params->fd_count > 1 ||
		    getsockopt(params->fd[0], SOL_SOCKET, SO_TYPE, &type, &size) ||
		    type != SOCK_STREAM || fcntl(params->fd[0], F_SETFD, FD_CLOEXEC))
			return refuse(why, STATUS_USAGE, "net", "fd",
				      "passt needs one descriptor, of a stream socket");
		p->fd = params->fd[0];
		return 0;
	}
	if (net_unix_address(&p->address, "passt", params->path, why))
		return -1;
	err = call(p);
	if (err == -EACCES || err == -EPERM)
		return refuse_errno(why, err, "net", params->path, NULL);
	if (err)
		return refuse(why, STATUS_UNAVAILABLE, "net", params->path,
			      "nobody answers on this socket: %s (start passt first)",
			      strerror(-err));
	return 0;
}

static void passt_close(struct net *n)
{
	struct passt *p = n->state;

	loop_timer_cancel(n->loop, &p->retry);
	hang_up(p);
	free(p);
}

static int passt_open(struct net *n, const struct net_params *params, struct refusal *why)
{
	struct passt *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return refuse_errno(why, ENOMEM, "net", "passt", NULL);
	p->net = n;
	p->fd = -1;
	timer_init(&p->retry, passt_retry);
	timer_init(&p->patience, passt_impatient);
	timer_init(&p->soon, passt_soon);
	if (reach(p, params, why)) {
		free(p);
		return -1;
	}
	err = watch_it(p);
	if (err) {
		if (!params->fd_count)
			close(p->fd);
		free(p);
		return refuse_errno(why, err, "net", "passt", NULL);
	}
	n->state = p;
	n->queues = 1;
	n->link = true;
	n->send_offloads = NET_TCP_OFFLOADS;
	return 0;
}

const struct net_backend net_passt = {
    .open = passt_open,
    .close = passt_close,
    .send = passt_send,
    .ready_changed = passt_ready_changed,
};
