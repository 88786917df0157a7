/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few packets of ARP, DHCP and TCP over IPv4 with which a test plays a guest. */
#ifndef NET_GUEST_H
#define NET_GUEST_H

#include "net_rig.h"

#define GUEST_IP       0x0a00020fu
#define HOST_IP        0x0a000202u

#define GUEST_SYN      0x02u
#define GUEST_ACK      0x10u
#define GUEST_FIN      0x01u
#define GUEST_RST      0x04u

#define GUEST_TCP_DATA 54u /* behind the headers of Ethernet, IPv4 and TCP */

struct tcp_packet {
	uint16_t from, to; /* ports */
	uint32_t sequence, acknowledged;
	uint8_t flags;
	uint16_t window;
	const uint8_t *data;
	size_t size;
};

void guest_send_arp(struct net_rig *r, uint32_t target);
void guest_answer_arp(struct net_rig *r);
void guest_send_dhcp_discover(struct net_rig *r);
/*
 * The checksum is left to the backend, with h as it wants it; a packet of more than one segment is
 * left to it, too.
 */
void guest_send_tcp(struct net_rig *r, const struct tcp_packet *t);
/* Reads packet i; false: no TCP for the guest, or with a wrong checksum. */
bool guest_read_tcp(const struct net_rig *r, unsigned i, struct tcp_packet *t);

/*
 * The guest's end of a connection, passive or active, which acknowledges what comes in order and
 * sends one block at a time.
 */
struct guest_tcp {
	struct net_rig *rig;
	uint16_t port, peer_port;
	uint32_t next, expected; /* sequence numbers */
	uint32_t acknowledged;   /* of ours */
	unsigned read;           /* packets of the rig that were looked at */
	uint8_t *received;
	size_t received_size;
	bool open, closed, reset;
	unsigned packets, merged; /* with data; of them those of several segments */
	size_t largest;           /* bytes of data */
};

void guest_tcp_connect(struct guest_tcp *g, struct net_rig *r, uint16_t port, uint16_t peer_port);
void guest_tcp_listen(struct guest_tcp *g, struct net_rig *r, uint16_t port);
void guest_tcp_send(struct guest_tcp *g, const void *data, size_t size);
void guest_tcp_close(struct guest_tcp *g);
/* Takes the rig's packets, answers, and forgets them. */
void guest_tcp_work(struct guest_tcp *g);
void guest_tcp_free(struct guest_tcp *g);

#endif
