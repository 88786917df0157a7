/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Large TCP packets for the guest out of libslirp's small ones.
 *
 * Theory of operation: libslirp sends a window's worth of segments at a time, each of the guest's
 * MSS. Those that follow each other in the ring, and whose headers differ in a segment's place
 * only, go to a guest that takes it (GUEST_TSO4) as one packet of up to 64 KiB, as a network card
 * would merge them: the first one's headers with a length and checksums of their own, then each
 * one's payload where it stands. A segment's own checksum was made by libslirp a moment ago and is
 * not looked at.
 */
#include "net/user.h"

#include <string.h>

#define ETHER_BYTES   14u
#define IP_AT         14u
#define TCP_AT        34u
#define PAYLOAD_AT    54u /* without options, which libslirp sends with SYN only */
#define TCP_ACK       0x10u
#define TCP_PSH       0x08u
#define IP_LENGTH_MAX 65535u

struct merge {
	uint8_t head[PAYLOAD_AT];
	struct iovec piece[NET_IOV_MAX];
	unsigned packets;
	size_t payload, segment; /* bytes */
};

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* TCP over IPv4 with payload and no more than ACK and PSH, whole and without padding. */
static bool mergeable(const struct user_packet *packet)
{
	const uint8_t *p = packet->data;

	return packet->size > PAYLOAD_AT && be16(p + 12) == 0x0800 && p[IP_AT] == 0x45 &&
	       be16(p + 16) == packet->size - ETHER_BYTES && !(be16(p + 20) & 0xbfff) &&
	       p[23] == 6 && p[TCP_AT + 12] == 0x50 && (p[TCP_AT + 13] & ~TCP_PSH) == TCP_ACK;
}

/* Whether it goes behind those of m, of which there are some. */
static bool follows(const struct merge *m, const struct user_packet *packet)
{
	const uint8_t *p = packet->data, *h = m->head;

	return mergeable(packet) && packet->size - PAYLOAD_AT <= m->segment &&
	       m->payload == m->packets * m->segment && /* none of them was short */
	       m->payload + packet->size - ETHER_BYTES <= IP_LENGTH_MAX &&
	       !memcmp(p, h, 16) &&           /* Ethernet, type of service */
	       !memcmp(p + 20, h + 20, 3) &&  /* fragment, time to live */
	       !memcmp(p + 26, h + 26, 12) && /* addresses and ports */
	       be32(p + 38) == be32(h + 38) + (uint32_t)m->payload &&
	       !memcmp(p + 42, h + 42, 4) && /* acknowledged */
	       !memcmp(p + 48, h + 48, 2);   /* window */
}

static void append(struct merge *m, struct user_packet *packet)
{
	const size_t size = packet->size - PAYLOAD_AT;

	if (!m->packets) {
		memcpy(m->head, packet->data, PAYLOAD_AT);
		m->segment = size;
	}
	m->head[TCP_AT + 13] |= packet->data[TCP_AT + 13] & TCP_PSH;
	m->packets++;
	m->payload += size;
	m->piece[m->packets] = (struct iovec){packet->data + PAYLOAD_AT, size};
}

/* How many of those that wait go over as one; m is only good for 2 and more. */
static unsigned collect(struct user *u, struct merge *m)
{
	struct user_packet *p = user_waiting(u, 0);

	m->packets = 0;
	m->payload = 0;
	if (!(u->net->offloads & NET_OFFLOAD_TSO4) || !mergeable(p))
		return 1;
	append(m, p);
	while (m->packets < u->waiting_count && m->packets + 1 < NET_IOV_MAX) {
		p = user_waiting(u, m->packets);
		if (!follows(m, p))
			break;
		append(m, p);
	}
	return m->packets;
}

/* Length and checksums of the whole; that of TCP is left to whoever makes segments of it again. */
static void complete_head(struct merge *m)
{
	const size_t tcp_bytes = PAYLOAD_AT - TCP_AT + m->payload;
	uint8_t *ip = m->head + IP_AT, *tcp = m->head + TCP_AT;
	uint8_t pseudo[4] = {0, 6};
	uint16_t sum;

	put16(ip + 2, TCP_AT - IP_AT + tcp_bytes);
	put16(ip + 10, 0);
	sum = (uint16_t)~net_sum(0, ip, TCP_AT - IP_AT);
	memcpy(ip + 10, &sum, 2);
	put16(pseudo + 2, tcp_bytes);
	sum = net_sum(net_sum(0, pseudo, 4), ip + 12, 8);
	memcpy(tcp + 16, &sum, 2);
}

static bool deliver_merged(struct user *u, struct merge *m)
{
	const struct net_header h = {
	    .flags = NET_NEEDS_CSUM,
	    .gso_type = NET_GSO_TCPV4,
	    .header_size = PAYLOAD_AT,
	    .gso_size = (uint16_t)m->segment,
	    .checksum_start = TCP_AT,
	    .checksum_offset = 16,
	};

	complete_head(m);
	m->piece[0] = (struct iovec){m->head, PAYLOAD_AT};
	return net_deliver_pieces(u->net, 0, &h, m->piece, m->packets + 1, PAYLOAD_AT + m->payload);
}

static bool deliver_alone(struct user *u, const struct user_packet *p)
{
	const bool trusted = u->net->offloads & NET_OFFLOAD_CSUM;
	const struct net_header h = {.flags = trusted ? NET_DATA_VALID : 0};

	return net_deliver(u->net, 0, &h, p->data, p->size);
}

void user_hand_over(struct user *u)
{
	struct merge m;
	unsigned count;

	while (u->waiting_count && u->net->ready[0]) {
		count = collect(u, &m);
		if (!(count > 1 ? deliver_merged(u, &m) : deliver_alone(u, user_waiting(u, 0))))
			return;
		u->delivered = true;
		u->waiting_first = (u->waiting_first + count) % USER_WAITING_MAX;
		u->waiting_count -= count;
	}
}
