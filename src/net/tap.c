/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap: an interface of the host's kernel of which we are the cable.
 *
 * Theory of operation (Linux, Documentation/networking/tuntap.rst): each queue pair is a descriptor
 * of /dev/net/tun that was bound to the interface by name, or passed to us so bound. Packets carry
 * the adapter's own header, so checksums and segmentation pass through to the host's stack and,
 * when that forwards to another guest, are never done at all. Queues that the guest does not use
 * are detached, as the kernel would spread packets to them.
 *
 * An interface is not made here: that needs rights, and an interface that nobody gave an address or
 * a bridge carries nothing. One that is removed while the guest runs is a cable pulled out; we look
 * for it each second.
 */
#include "net/backend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/if.h> /* after the C library's headers, which have parts of it */
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <unistd.h>

#define RETRY_NS     NS_PER_S
#define HEADER_BYTES sizeof(struct net_header)
#define TAP_FLAGS    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

/* Since Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static_assert(HEADER_BYTES == 12, "TUNSETVNETHDRSZ");

struct tap_queue {
	struct tap *tap;
	int fd; /* -1: the interface is gone */
	bool attached;
	bool held;    /* a packet in frame has no room in the guest yet */
	bool blocked; /* the interface has no room for the guest's */
	struct watch watch;
	struct timer soon; /* offers what is held, outside of the adapter's call */
	struct net_header header;
	size_t size;
	uint8_t frame[NET_FRAME_MAX];
};

struct tap {
	struct net *net;
	char ifname[IFNAMSIZ]; /* "": passed descriptors */
	bool multi_queue;      /* the interface's kind */
	bool headers;          /* packets carry struct net_header */
	struct timer retry;
	unsigned count;
	struct tap_queue *queue;
};

/* --- the interface --- */

static int refuse_tap(struct refusal *why, const char *name, int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return refuse(why, STATUS_PERMISSION, "net", name,
			      "this user may not use the interface (ip tuntap add dev NAME mode "
			      "tap user USER)");
	case EBUSY:
		return refuse(why, STATUS_UNAVAILABLE, "net", name,
			      "another process uses the interface");
	case ENODEV:
		return refuse(why, STATUS_UNAVAILABLE, "net", name,
			      "there is no such interface (ip tuntap add dev NAME mode tap user "
			      "USER)");
	case ENOENT:
		return refuse(why, STATUS_UNAVAILABLE, "net", name,
			      "/dev/net/tun is not there (modprobe tun)");
	case EINVAL:
		return refuse(why, STATUS_UNAVAILABLE, "net", name, "the interface is no tap");
	default:
		return refuse_errno(why, err, "net", name, NULL);
	}
}

/* TUNSETIFF would make one that is not there. */
static bool interface_exists(const char *ifname)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool exists;

	if (fd < 0)
		return true; /* then TUNSETIFF decides */
	memcpy(r.ifr_name, ifname, strlen(ifname));
	exists = !ioctl(fd, SIOCGIFINDEX, &r);
	close(fd);
	return exists;
}

/* One more queue of the interface: its descriptor, or -errno. */
static int open_queue(const char *ifname, unsigned flags)
{
	struct ifreq r = {.ifr_flags = (short)flags};
	int fd, err;

	if (!interface_exists(ifname))
		return -ENODEV;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	memcpy(r.ifr_name, ifname, strlen(ifname));
	if (!ioctl(fd, TUNSETIFF, &r))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Fills fd[] with up to wanted queues: how many, or -errno. */
static int open_interface(struct tap *t, int *fd, unsigned wanted)
{
	const unsigned many = TAP_FLAGS | IFF_MULTI_QUEUE;
	unsigned flags = wanted > 1 ? many : TAP_FLAGS;
	unsigned count = 0;

	fd[0] = open_queue(t->ifname, flags);
	if (fd[0] == -EINVAL) { /* it was made as the other kind */
		flags ^= IFF_MULTI_QUEUE;
		fd[0] = open_queue(t->ifname, flags);
	}
	if (fd[0] < 0)
		return fd[0];
	t->multi_queue = flags & IFF_MULTI_QUEUE;
	t->headers = true;
	for (count = 1; t->multi_queue && count < wanted; count++) {
		fd[count] = open_queue(t->ifname, flags);
		if (fd[count] < 0)
			break;
	}
	return (int)count;
}

/* What a passed descriptor is bound to. */
static int examine_passed(struct tap *t, int fd, struct refusal *why)
{
	struct ifreq r = {0};
	int flags = fcntl(fd, F_GETFL);
	char name[24];

	snprintf(name, sizeof(name), "fd=%d", fd);
	if (flags < 0)
		return refuse(why, STATUS_USAGE, "net", name, "the descriptor is not open");
	if (ioctl(fd, TUNGETIFF, &r) || !(r.ifr_flags & IFF_TAP) || !(r.ifr_flags & IFF_NO_PI))
		return refuse(why, STATUS_USAGE, "net", name,
			      "the descriptor is not that of a tap without packet information");
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return refuse_errno(why, errno, "net", name, NULL);
	t->multi_queue = r.ifr_flags & IFF_MULTI_QUEUE;
	t->headers = r.ifr_flags & IFF_VNET_HDR;
	return 0;
}

static unsigned tun_offloads(unsigned offloads)
{
	unsigned f = 0;

	f |= offloads & NET_OFFLOAD_CSUM ? TUN_F_CSUM : 0;
	f |= offloads & NET_OFFLOAD_TSO4 ? TUN_F_TSO4 : 0;
	f |= offloads & NET_OFFLOAD_TSO6 ? TUN_F_TSO6 : 0;
	f |= offloads & NET_OFFLOAD_ECN ? TUN_F_TSO_ECN : 0;
	f |= offloads & NET_OFFLOAD_USO ? TUN_F_USO4 | TUN_F_USO6 : 0;
	return f;
}

static void apply_offloads(struct tap *t)
{
	if (t->headers && t->queue[0].fd >= 0 &&
	    ioctl(t->queue[0].fd, TUNSETOFFLOAD, tun_offloads(t->net->offloads)))
		log_warning("net: %s: TUNSETOFFLOAD: %s", t->ifname, strerror(errno));
}

/* Sizes the header and finds out what the kernel can do. 0 or -errno. */
static int prepare_interface(struct tap *t)
{
	const unsigned all = NET_TCP_OFFLOADS | NET_OFFLOAD_USO;
	int size = HEADER_BYTES, fd = t->queue[0].fd;
	unsigned can = 0;

	if (t->headers) {
		if (ioctl(fd, TUNSETVNETHDRSZ, &size))
			return -errno;
		can = ioctl(fd, TUNSETOFFLOAD, tun_offloads(all)) ? NET_TCP_OFFLOADS : all;
	}
	t->net->send_offloads = t->net->receive_offloads = can;
	apply_offloads(t);
	return 0;
}

/* --- packets --- */

static void update_watch(struct tap_queue *q)
{
	const struct net *n = q->tap->net;
	uint32_t events = 0;

	if (q->fd < 0)
		return;
	events |= n->ready[q - q->tap->queue] && !q->held ? EPOLLIN : 0;
	events |= q->blocked ? EPOLLOUT : 0;
	loop_rewatch(n->loop, &q->watch, events);
}

static void close_queues(struct tap *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		struct tap_queue *q = &t->queue[i];

		loop_timer_cancel(t->net->loop, &q->soon);
		loop_unwatch(t->net->loop, &q->watch);
		if (q->fd >= 0)
			close(q->fd);
		q->fd = -1;
		q->held = q->blocked = false;
	}
}

/* Outside of the adapter's call. */
static void lose(struct tap *t)
{
	struct loop *l = t->net->loop;

	log_warning("net: %s: the interface is gone", t->ifname[0] ? t->ifname : "tap");
	close_queues(t);
	net_change_link(t->net, false);
	if (t->ifname[0])
		loop_timer_set_after(l, &t->retry, RETRY_NS);
}

/* One packet into q->frame: true, or false with errno. */
static bool read_packet(struct tap_queue *q)
{
	const struct iovec iov[2] = {{&q->header, HEADER_BYTES}, {q->frame, sizeof(q->frame)}};
	const bool headers = q->tap->headers;
	ssize_t n = readv(q->fd, headers ? iov : iov + 1, headers ? 2 : 1);

	if (n < 0)
		return false;
	q->size = (size_t)n;
	if (headers)
		q->size = (size_t)n < HEADER_BYTES ? 0 : (size_t)n - HEADER_BYTES;
	q->header.buffers = 0;
	return true;
}

/* False: the interface is gone. */
static bool receive_packets(struct tap_queue *q)
{
	struct net *n = q->tap->net;
	const unsigned index = (unsigned)(q - q->tap->queue);
	unsigned done = 0;
	int err = 0;

	while (done < NET_BATCH && n->ready[index]) {
		if (!q->held && !read_packet(q)) {
			err = errno;
			break;
		}
		q->held = !net_deliver(n, index, &q->header, q->frame, q->size);
		done += !q->held;
	}
	if (done)
		net_delivered(n, index);
	return err == 0 || err == EAGAIN || err == EINTR;
}

static void queue_ready(struct watch *w, uint32_t revents)
{
	struct tap_queue *q = container_of(w, struct tap_queue, watch);

	if (!receive_packets(q) || (revents & EPOLLERR)) {
		lose(q->tap);
		return;
	}
	if (q->blocked && (revents & EPOLLOUT)) {
		q->blocked = false;
		net_send_ready(q->tap->net, (unsigned)(q - q->tap->queue));
	}
	update_watch(q);
}

static void queue_soon(struct timer *timer)
{
	struct tap_queue *q = container_of(timer, struct tap_queue, soon);

	if (q->fd < 0)
		return;
	if (receive_packets(q))
		update_watch(q);
	else
		lose(q->tap);
}

static bool tap_send(struct net *n, unsigned queue, const struct net_header *h,
		     const struct iovec *frame, unsigned count, size_t size)
{
	struct tap *t = n->state;
	struct tap_queue *q = &t->queue[queue];
	struct net_header header = *h;
	struct iovec iov[NET_IOV_MAX + 1] = {{&header, HEADER_BYTES}};

	(void)size;
	if (q->fd < 0 || !q->attached)
		return true;
	memcpy(iov + 1, frame, count * sizeof(iov[0]));
	if (writev(q->fd, t->headers ? iov : iov + 1, (int)(t->headers ? count + 1 : count)) >= 0)
		return true;
	if (errno != EAGAIN)
		return true; /* it is down, or has no memory: packets are lost then */
	q->blocked = true;
	update_watch(q);
	return false;
}

static void tap_ready_changed(struct net *n, unsigned queue)
{
	struct tap_queue *q = &((struct tap *)n->state)->queue[queue];

	if (q->held && n->ready[queue])
		loop_timer_set(n->loop, &q->soon, 0);
	else
		update_watch(q);
}

static void tap_offloads_changed(struct net *n)
{
	apply_offloads(n->state);
}

static void tap_pairs_changed(struct net *n)
{
	struct tap *t = n->state;

	for (unsigned i = 0; i < t->count; i++) {
		struct tap_queue *q = &t->queue[i];
		const bool wanted = i < n->pairs;
		struct ifreq r = {.ifr_flags = wanted ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

		if (q->fd < 0 || q->attached == wanted || !t->multi_queue)
			continue;
		if (ioctl(q->fd, TUNSETQUEUE, &r)) {
			log_warning("net: %s: TUNSETQUEUE: %s", t->ifname, strerror(errno));
			continue;
		}
		q->attached = wanted;
		q->held = q->held && wanted;
		q->blocked = q->blocked && wanted;
		update_watch(q);
	}
}

/* --- life --- */

/* Takes over count descriptors, and leaves one pair attached. 0 or -errno; then none is taken. */
static int start_queues(struct tap *t, const int *fd, unsigned count)
{
	int err;

	for (unsigned i = 0; i < count; i++) {
		struct tap_queue *q = &t->queue[i];

		q->watch = (struct watch){.fd = fd[i], .fn = queue_ready};
		err = loop_watch(t->net->loop, &q->watch);
		if (err) {
			while (i--) {
				loop_unwatch(t->net->loop, &t->queue[i].watch);
				t->queue[i].fd = -1;
			}
			return err;
		}
		q->fd = fd[i];
		q->attached = true;
	}
	return 0;
}

static void tap_retry(struct timer *timer)
{
	struct tap *t = container_of(timer, struct tap, retry);
	struct loop *l = t->net->loop;
	const unsigned offloads = t->net->send_offloads;
	int fd[NET_QUEUES_MAX], count = open_interface(t, fd, t->count);

	if (count == (int)t->count && !start_queues(t, fd, t->count)) {
		if (!prepare_interface(t)) {
			tap_pairs_changed(t->net);
			for (unsigned i = 0; i < t->count; i++)
				update_watch(&t->queue[i]);
			log_warning("net: %s: the interface is back", t->ifname);
			t->net->send_offloads = t->net->receive_offloads = offloads;
			net_change_link(t->net, true);
			return;
		}
		close_queues(t);
	} else {
		while (count > 0)
			close(fd[--count]);
	}
	loop_timer_set_after(l, &t->retry, RETRY_NS);
}

static bool name_possible(const char *name)
{
	const size_t length = name ? strlen(name) : 0;

	if (length < 1 || length >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (name[i] <= ' ' || name[i] >= 0x7f || strchr("/:%", name[i]))
			return false;
	}
	return true;
}

/* Opens or examines: how many descriptors are in fd[], or -1 with *why. */
static int find_queues(struct tap *t, const struct net_params *p, int *fd, struct refusal *why)
{
	int count;

	if (!p->fd_count) {
		if (!name_possible(p->ifname))
			return refuse(
			    why, STATUS_USAGE, "net", "ifname",
			    "an interface's name has 1 to %d characters, none of them / : "
			    "%% or blank; not '%.40s'",
			    IFNAMSIZ - 1, p->ifname ? p->ifname : "");
		memcpy(t->ifname, p->ifname, strlen(p->ifname));
		count = open_interface(t, fd, p->queues);
		return count < 0 ? refuse_tap(why, p->ifname, -count) : count;
	}
	if (p->fd_count > p->queues)
		return refuse(why, STATUS_USAGE, "net", "fd",
			      "%u descriptors are more than the %u queues", p->fd_count, p->queues);
	for (unsigned i = 0; i < p->fd_count; i++) {
		if (examine_passed(t, p->fd[i], why))
			return -1;
		fd[i] = p->fd[i];
	}
	return (int)p->fd_count;
}

static void tap_free(struct tap *t)
{
	free(t->queue);
	free(t);
}

static void tap_close(struct net *n)
{
	struct tap *t = n->state;

	loop_timer_cancel(n->loop, &t->retry);
	close_queues(t);
	tap_free(t);
}

/* The descriptors become t's when this is 0. */
static int set_up(struct tap *t, const int *fd, unsigned count, struct refusal *why)
{
	int err = -ENOMEM;

	t->queue = calloc(count, sizeof(t->queue[0]));
	if (!t->queue)
		return refuse_errno(why, err, "net", "tap", NULL);
	t->count = count;
	for (unsigned i = 0; i < count; i++) {
		t->queue[i].tap = t;
		t->queue[i].fd = -1;
		timer_init(&t->queue[i].soon, queue_soon);
	}
	err = start_queues(t, fd, count);
	if (!err)
		err = prepare_interface(t);
	if (!err) {
		tap_pairs_changed(t->net);
		return 0;
	}
	for (unsigned i = 0; i < count; i++)
		loop_unwatch(t->net->loop, &t->queue[i].watch);
	return refuse_errno(why, err, "net", t->ifname[0] ? t->ifname : "tap", NULL);
}

static int tap_open(struct net *n, const struct net_params *p, struct refusal *why)
{
	struct tap *t = calloc(1, sizeof(*t));
	int fd[NET_QUEUES_MAX], count;

	if (!t)
		return refuse_errno(why, ENOMEM, "net", "tap", NULL);
	t->net = n;
	n->state = t;
	timer_init(&t->retry, tap_retry);
	count = find_queues(t, p, fd, why);
	if (count > 0 && !set_up(t, fd, (unsigned)count, why)) {
		n->queues = t->count;
		n->link = true;
		return 0;
	}
	for (int i = 0; i < count && !p->fd_count; i++)
		close(fd[i]);
	tap_free(t);
	return -1;
}

const struct net_backend net_tap = {
    .open = tap_open,
    .close = tap_close,
    .send = tap_send,
    .ready_changed = tap_ready_changed,
    .offloads_changed = tap_offloads_changed,
    .pairs_changed = tap_pairs_changed,
};
