/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network without privileges: libslirp ends the guest's connections and opens the host's.
 *
 * Theory of operation: a packet of the guest is copied, completed and given to libslirp, which
 * takes TCP segments of any size, so that checksums and segmentation are offered to the guest: it
 * then hands over 64 KiB at a time. What libslirp has for the guest waits in a ring of fixed size
 * until the call that made it is over, so that segments that belong together go over together, and
 * on while the guest has no buffers. Meanwhile the host's sockets are not read, so that the rest
 * stays with its sender, and the guest's own packets wait while there are many answers to them; a
 * ring that is full all the same drops, as networks do.
 *
 * Without forwards nothing is made before the guest's first packet, so a guest without a network
 * costs nothing. With forwards, all ports are bound before the guest starts, or it does not.
 *
 * A guest can make the host open sockets, and buffers with them. From 512 on new connections are
 * not let through, from 640 on no packets that could need a socket. Only ARP, IPv4 and IPv6 reach
 * libslirp.
 */
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <lodge/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many answers wait while the guest takes any: it sends nothing before it took some of them. */
#define WAITING_MANY (USER_WAITING_MAX / 2)

#define ETHERTYPE_AT 12u
#define ETHER_BYTES  14u
#define TYPE_IPV4    0x0800u
#define TYPE_ARP     0x0806u
#define TYPE_IPV6    0x86ddu
#define PROTO_TCP    6u
#define PROTO_ICMPV6 58u
#define TCP_SYN      0x02u
#define TCP_ACK      0x10u

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Whether the frame opens a TCP connection, or could be part of what does; and is TCP at all. */
static bool opens_connection(const uint8_t *p, size_t size, bool *tcp)
{
	size_t flags_at;

	*tcp = false;
	if (be16(p + ETHERTYPE_AT) == TYPE_IPV4 && size >= ETHER_BYTES + 20) {
		if (be16(p + 20) & 0x3fff) /* a fragment */
			return true;
		*tcp = p[23] == PROTO_TCP;
		flags_at = ETHER_BYTES + (p[14] & 15u) * 4u + 13;
	} else if (be16(p + ETHERTYPE_AT) == TYPE_IPV6 && size >= ETHER_BYTES + 40) {
		*tcp = p[20] == PROTO_TCP;
		flags_at = ETHER_BYTES + 40 + 13;
	} else {
		return false;
	}
	return *tcp && (flags_at >= size || (p[flags_at] & (TCP_SYN | TCP_ACK)) == TCP_SYN);
}

static bool allowed(const struct user *u, const uint8_t *p, size_t size)
{
	const unsigned type = be16(p + ETHERTYPE_AT);
	bool tcp, opens;

	if (type != TYPE_IPV4 && type != TYPE_ARP && type != TYPE_IPV6)
		return false;
	if (u->poll.registered < USER_CONNECTIONS_MAX || type == TYPE_ARP)
		return true;
	opens = opens_connection(p, size, &tcp);
	if (!opens && (tcp || u->poll.registered < USER_SOCKETS_MAX))
		return true;
	log_guest(LOG_INFO, "net: user: %u sockets are open, no more are opened for the guest",
		  u->poll.registered);
	return false;
}

/* Packets may wait in libslirp for this answer, and only its poll function looks after them. */
static bool resolves(const uint8_t *p, size_t size)
{
	return be16(p + ETHERTYPE_AT) == TYPE_ARP ||
	       (be16(p + ETHERTYPE_AT) == TYPE_IPV6 && size >= ETHER_BYTES + 40 &&
		p[20] == PROTO_ICMPV6);
}

/* --- to the guest --- */

struct user_packet *user_waiting(struct user *u, unsigned number)
{
	return &u->waiting[(u->waiting_first + number) % USER_WAITING_MAX];
}

void user_packet(struct user *u, const void *frame, size_t size)
{
	struct user_packet *p;

	if (!u->in_call && u->waiting_count >= WAITING_MANY)
		user_hand_over(u);
	if (u->waiting_count == USER_WAITING_MAX || size > USER_FRAME_MAX) {
		log_guest(LOG_DEBUG, "net: user: a packet for the guest of %zu bytes is dropped",
			  size);
		return;
	}
	p = user_waiting(u, u->waiting_count++);
	p->size = (uint16_t)size;
	memcpy(p->data, frame, size);
	if (u->in_call)
		loop_timer_set(u->net->loop, &u->soon, 0);
}

/* Handed over is what there was; tells the adapter, and whether sockets are looked at. */
static void finish(struct user *u)
{
	user_poll_enable(u, !u->waiting_count && u->net->ready[0]);
	if (u->delivered) {
		u->delivered = false;
		net_delivered(u->net, 0);
	}
	if (u->blocked && (u->waiting_count < WAITING_MANY || !u->net->ready[0])) {
		u->blocked = false;
		net_send_ready(u->net, 0);
	}
}

void user_work(struct user *u, bool sockets)
{
	user_hand_over(u);
	/* Timeouts are kept in any case; they move little. */
	if (!sockets || (!u->waiting_count && u->net->ready[0])) {
		user_poll_run(u, sockets);
		user_hand_over(u);
	}
	finish(u);
}

static void user_soon(struct timer *t)
{
	struct user *u = container_of(t, struct user, soon);
	const bool poll = u->poll_soon;

	if (u->failed) {
		net_change_link(u->net, false);
		return;
	}
	u->poll_soon = false;
	if (poll) {
		user_work(u, true);
		return;
	}
	user_hand_over(u);
	finish(u);
}

static void work_soon(struct user *u)
{
	u->poll_soon = true;
	loop_timer_set(u->net->loop, &u->soon, 0);
}

static void user_ready_changed(struct net *n, unsigned queue)
{
	struct user *u = n->state;

	(void)queue;
	if (!u->slirp)
		return;
	if (n->ready[0])
		work_soon(u);
	else if (u->blocked) /* it may be long before it takes any */
		loop_timer_set(n->loop, &u->soon, 0);
}

/* --- from the guest --- */

/* The first packet of a network that nobody had asked anything of. */
static bool start(struct user *u)
{
	struct refusal why = {0};

	if (u->failed)
		return false;
	if (!user_create(u, &why)) {
		work_soon(u);
		return true;
	}
	log_warning("%s; the guest has no network", why.text);
	u->failed = true;
	loop_timer_set(u->net->loop, &u->soon, 0);
	return false;
}

static bool user_send(struct net *n, unsigned queue, const struct net_header *h,
		      const struct iovec *frame, unsigned count, size_t size)
{
	struct user *u = n->state;

	(void)queue;
	if (u->waiting_count >= WAITING_MANY && n->ready[0]) {
		u->blocked = true;
		loop_timer_set(n->loop, &u->soon, 0);
		return false;
	}
	net_gather(u->frame, size, frame, count);
	if (!allowed(u, u->frame, size) || (!u->slirp && !start(u)))
		return true;
	net_complete_checksum(u->frame, size, h);
	u->in_call = true;
	slirp_api.input(u->slirp, u->frame, (int)size);
	u->in_call = false;
	u->sent = true;
	if (resolves(u->frame, size))
		work_soon(u);
	return true;
}

static void user_flush(struct net *n, unsigned queue)
{
	struct user *u = n->state;

	(void)queue;
	if (!u->sent)
		return;
	u->sent = false;
	u->in_call = true;
	user_poll_sync(u);
	u->in_call = false;
}

/* --- life --- */

static int add_forward(struct user *u, const struct net_forward *f, struct refusal *why)
{
	struct in_addr host = {f->host_address}, guest = {0};
	char text[INET_ADDRSTRLEN], field[64];

	if (!host.s_addr)
		host.s_addr = htonl(f->everywhere ? INADDR_ANY : INADDR_LOOPBACK);
	errno = 0;
	if (!slirp_api.forward(u->slirp, f->udp, host, f->host_port, guest, f->guest_port))
		return 0;
	inet_ntop(AF_INET, &host, text, sizeof(text));
	snprintf(field, sizeof(field), "fwd=%s:%s:%u", f->udp ? "udp" : "tcp", text, f->host_port);
	if (errno == EACCES || errno == EPERM)
		return refuse(why, STATUS_PERMISSION, "net", field,
			      "ports below 1024 are not for this user");
	return refuse(why, STATUS_UNAVAILABLE, "net", field,
		      "the host's %s port %u cannot be had: %s", f->udp ? "UDP" : "TCP",
		      f->host_port, errno ? strerror(errno) : "libslirp does not say why");
}

static void user_close(struct net *n)
{
	struct user *u = n->state;

	u->in_call = true;
	if (u->slirp)
		slirp_api.destroy(u->slirp);
	user_poll_close(u);
	loop_timer_cancel(n->loop, &u->soon);
	for (unsigned i = 0; i < sizeof(u->timer) / sizeof(u->timer[0]); i++)
		loop_timer_cancel(n->loop, &u->timer[i].timer);
	free(u->waiting);
	free(u);
}

static int forward_all(struct user *u, const struct net_params *p, struct refusal *why)
{
	unsigned i;

	if (!p->forward_count)
		return p->by_default ? 0 : user_load(why);
	if (user_create(u, why))
		return -1;
	for (i = 0; i < p->forward_count; i++) {
		if (add_forward(u, &p->forward[i], why))
			return -1;
	}
	user_poll_sync(u);
	return 0;
}

static int user_open(struct net *n, const struct net_params *p, struct refusal *why)
{
	struct user *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return refuse_errno(why, ENOMEM, "net", "user", NULL);
	u->net = n;
	timer_init(&u->soon, user_soon);
	u->waiting = calloc(USER_WAITING_MAX, sizeof(u->waiting[0]));
	err = u->waiting ? user_poll_open(u) : -ENOMEM;
	if (err) {
		free(u->waiting);
		free(u);
		return refuse_errno(why, err, "net", "user", NULL);
	}
	n->state = u;
	n->queues = 1;
	n->link = true;
	n->send_offloads = NET_TCP_OFFLOADS;
	n->receive_offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4;
	if (!forward_all(u, p, why))
		return 0;
	user_close(n);
	return -1;
}

const struct net_backend net_user = {
    .open = user_open,
    .close = user_close,
    .send = user_send,
    .flush = user_flush,
    .ready_changed = user_ready_changed,
};
