/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user-mode network in four parts: user.c carries packets, user_merge.c makes large ones for
 * the guest, user_slirp.c loads libslirp and makes a network of it, user_poll.c runs its sockets
 * and timers on our loop.
 */
#ifndef NET_USER_H
#define NET_USER_H

#include "net/backend.h"

#include <slirp/libslirp.h>

/* What a guest may make the host open: from the first on no TCP connection, then nothing more. */
#define USER_CONNECTIONS_MAX 512u
#define USER_SOCKETS_MAX     640u

#define USER_FRAME_MAX       1522u /* of libslirp's: an MTU of 1500 bytes */
#define USER_WAITING_MAX     256u

struct slirp_api {
	Slirp *(*create)(const SlirpConfig *config, const SlirpCb *callbacks, void *opaque);
	void (*destroy)(Slirp *s);
	void (*input)(Slirp *s, const uint8_t *packet, int size);
	void (*fill)(Slirp *s, uint32_t *timeout_ms, SlirpAddPollCb add, void *opaque);
	void (*poll)(Slirp *s, int failed, SlirpGetREventsCb revents, void *opaque);
	int (*forward)(Slirp *s, int udp, struct in_addr host, int host_port, struct in_addr guest,
		       int guest_port);
};

extern struct slirp_api slirp_api; /* filled by user_load() */

/* One socket of libslirp's, by descriptor. */
struct user_socket {
	bool registered;
	uint32_t events; /* as the inner epoll set has them; 0: it is not in it */
	uint32_t index;  /* in polled, while round is the current one */
	uint32_t round;
};

struct user_polled {
	int fd;
	uint32_t revents;
};

struct user_poll {
	struct watch watch; /* of the inner epoll set */
	struct user_socket *socket;
	unsigned sockets, registered;
	struct user_polled *polled, *before; /* of this round and of the last */
	unsigned polled_count, before_count, polled_room, before_room;
	uint32_t round;
};

struct user_timer {
	struct timer timer;
	SlirpTimerCb fn;
	void *arg;
	struct user *user;
};

struct user_packet {
	uint16_t size;
	uint8_t data[USER_FRAME_MAX];
};

struct user {
	struct net *net;
	Slirp *slirp; /* NULL until the first use */
	struct user_poll poll;
	struct timer due;            /* libslirp's own timeouts */
	struct user_timer timer[2];  /* that it asked for by name; it has one */
	struct timer soon;           /* for what a call of the adapter left to do */
	bool failed;                 /* it could not be made */
	bool in_call;                /* of the adapter's: what comes now has to wait */
	bool delivered;              /* since the last net_delivered() */
	bool poll_soon;              /* libslirp is to look at its sockets, too, when soon is due */
	bool blocked;                /* the adapter waits until the ring has room for answers */
	bool sent;                   /* since the last user_poll_sync() */
	struct user_packet *waiting; /* ring */
	unsigned waiting_first, waiting_count;
	uint8_t frame[NET_FRAME_MAX]; /* of the guest */
};

/* The number-th of those that wait. */
struct user_packet *user_waiting(struct user *u, unsigned number);
/* Hands over what waits, as far as the guest has room; u->delivered. */
void user_hand_over(struct user *u);

/* 0, or -1 with *why (69). */
int user_load(struct refusal *why);
/* Makes u->slirp without forwards. 0, or -1 with *why. */
int user_create(struct user *u, struct refusal *why);

int user_poll_open(struct user *u); /* 0 or -errno */
void user_poll_close(struct user *u);
/* After each call into libslirp: what it now waits for. */
void user_poll_sync(struct user *u);
/* fd was opened, or is going to be closed. */
void user_poll_register(struct user *u, int fd);
void user_poll_unregister(struct user *u, int fd);
/* user.c's: hands over what libslirp has, and lets it work if the guest takes more. */
void user_work(struct user *u, bool sockets);
/* Which sockets are ready is asked, and libslirp told; or only that time has passed. */
void user_poll_run(struct user *u, bool sockets);
/* Whether sockets are looked at. */
void user_poll_enable(struct user *u, bool on);
/* libslirp has a packet for the guest. */
void user_packet(struct user *u, const void *frame, size_t size);

#endif
