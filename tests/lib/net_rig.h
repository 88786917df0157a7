/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network adapter that keeps what it is given, on a loop whose clock the test steps. */
#ifndef NET_RIG_H
#define NET_RIG_H

#include "fake_clock.h"

#include <lodge/net.h>

#define RIG_PACKETS 256u

struct rig_packet {
	struct net_header header;
	unsigned queue;
	size_t size;
	uint8_t *data;
};

struct net_rig {
	struct fake_clock clock;
	struct loop *loop;
	struct net *net;
	struct refusal why;
	struct rig_packet packet[RIG_PACKETS];
	unsigned packets;
	unsigned room;     /* packets that receive() still takes */
	unsigned refused;  /* receive() had no room */
	unsigned batches;  /* received() */
	unsigned sendable; /* send_ready() */
	unsigned links;    /* link_changed() */
	bool link;
	bool busy; /* a call of ours is under way: none of the backend's may come */
};

void net_rig_setup(struct net_rig *r);
/* Opens and connects; the refusal is in r->why. room is endless and nothing is ready. */
int net_rig_open(struct net_rig *r, const struct net_params *p);
/* The test fails if that is refused; or if it is not, or otherwise. text: within the line. */
void net_rig_must_open(struct net_rig *r, const struct net_params *p);
void net_rig_refused(struct net_rig *r, const struct net_params *p, int status, const char *text);
void net_rig_teardown(struct net_rig *r);

void net_rig_forget(struct net_rig *r); /* the packets */
void net_rig_ready(struct net_rig *r, unsigned queue);
/* For so many packets, on queue 0, and runs. */
void net_rig_make_room(struct net_rig *r, unsigned packets);
bool net_rig_send(struct net_rig *r, unsigned queue, const struct net_header *h, const void *frame,
		  size_t size);
/*
 * Runs the loop until done() or until real time is up, stepping the clock along; whether done().
 */
bool net_rig_wait(struct net_rig *r, bool (*done)(struct net_rig *r, void *arg), void *arg);
bool net_rig_has_packets(struct net_rig *r, void *count /* unsigned */);
bool net_rig_link_is(struct net_rig *r, void *up /* bool */);
/* Runs what is ready, some rounds. */
void net_rig_run(struct net_rig *r);

#endif
