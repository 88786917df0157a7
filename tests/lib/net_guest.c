/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define IP_AT  14u
#define TCP_AT 34u
#define MSS    1460u

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint32_t sum_of(const uint8_t *p, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of the pseudo header of TCP or UDP. */
static uint32_t pseudo_sum(const uint8_t *ip, size_t payload)
{
	return sum_of(ip + 12, 8, (uint32_t)(ip[9] + payload));
}

static void put_ethernet(uint8_t *f, bool everybody, unsigned type)
{
	memset(f, 0xff, 6);
	if (!everybody)
		memcpy(f, host_mac, 6);
	memcpy(f + 6, guest_mac, 6);
	put16(f + 12, type);
}

static void put_ip(uint8_t *f, unsigned protocol, uint32_t from, uint32_t to, size_t payload)
{
	uint8_t *ip = f + IP_AT;

	put_ethernet(f, to == UINT32_MAX, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)payload + 20);
	ip[8] = 64;
	ip[9] = (uint8_t)protocol;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put16(ip + 10, 0xffff & ~sum_of(ip, 20, 0));
}

static void send_arp(struct net_rig *r, unsigned operation, uint32_t target)
{
	uint8_t f[60] = {0};

	put_ethernet(f, operation == 1, 0x0806);
	memcpy(f + 14, "\0\1\x08\0\6\4", 6);
	put16(f + 20, operation);
	memcpy(f + 22, guest_mac, 6);
	put32(f + 28, GUEST_IP);
	if (operation == 2)
		memcpy(f + 32, host_mac, 6);
	put32(f + 38, target);
	assert_true(net_rig_send(r, 0, NULL, f, sizeof(f)));
}

void guest_send_arp(struct net_rig *r, uint32_t target)
{
	send_arp(r, 1, target);
}

void guest_answer_arp(struct net_rig *r)
{
	send_arp(r, 2, HOST_IP);
}

void guest_send_dhcp_discover(struct net_rig *r)
{
	/* BOOTREQUEST over Ethernet, and after the magic cookie option 53: DISCOVER. */
	const struct net_header h = {NET_NEEDS_CSUM, 0, 0, 0, TCP_AT, 6, 0};
	uint8_t f[342] = {0}, *bootp = f + 42;

	put_ip(f, 17, 0, UINT32_MAX, sizeof(f) - TCP_AT);
	put16(f + TCP_AT, 68);
	put16(f + TCP_AT + 2, 67);
	put16(f + TCP_AT + 4, sizeof(f) - TCP_AT);
	put16(f + TCP_AT + 6, pseudo_sum(f + IP_AT, sizeof(f) - TCP_AT));
	memcpy(bootp, "\1\1\6\0\x12\x34\x56\x78", 8);
	memcpy(bootp + 28, guest_mac, 6);
	memcpy(bootp + 236, "\x63\x82\x53\x63\x35\1\1\xff", 8);
	assert_true(net_rig_send(r, 0, &h, f, sizeof(f)));
}

void guest_send_tcp(struct net_rig *r, const struct tcp_packet *t)
{
	struct net_header h = {NET_NEEDS_CSUM, 0, 0, 0, TCP_AT, 16, 0};
	uint8_t *f = calloc(1, GUEST_TCP_DATA + t->size), *tcp = f + TCP_AT;

	if (t->size > MSS) {
		h.gso_type = NET_GSO_TCPV4;
		h.gso_size = MSS;
		h.header_size = GUEST_TCP_DATA;
	}
	put_ip(f, 6, GUEST_IP, HOST_IP, 20 + t->size);
	put16(tcp, t->from);
	put16(tcp + 2, t->to);
	put32(tcp + 4, t->sequence);
	put32(tcp + 8, t->acknowledged);
	tcp[12] = 0x50;
	tcp[13] = t->flags;
	put16(tcp + 14, t->window);
	put16(tcp + 16, pseudo_sum(f + IP_AT, 20 + t->size));
	if (t->size)
		memcpy(f + GUEST_TCP_DATA, t->data, t->size);
	assert_true(net_rig_send(r, 0, &h, f, GUEST_TCP_DATA + t->size));
	free(f);
}

bool guest_read_tcp(const struct net_rig *r, unsigned i, struct tcp_packet *t)
{
	const uint8_t *f = r->packet[i].data, *ip = f + IP_AT, *tcp = f + TCP_AT;
	size_t length, header;

	if (r->packet[i].size < GUEST_TCP_DATA || get16(f + 12) != 0x0800 || ip[9] != 6)
		return false;
	length = get16(ip + 2);
	header = 20 + (tcp[12] >> 4) * 4u;
	if (length + IP_AT > r->packet[i].size || header > length || get32(ip + 16) != GUEST_IP ||
	    sum_of(ip, 20, 0) != 0xffff)
		return false;
	if (r->packet[i].header.flags & NET_NEEDS_CSUM
		? get16(tcp + 16) != pseudo_sum(ip, length - 20)
		: sum_of(tcp, length - 20, pseudo_sum(ip, length - 20)) != 0xffff)
		return false;
	t->from = (uint16_t)get16(tcp);
	t->to = (uint16_t)get16(tcp + 2);
	t->sequence = get32(tcp + 4);
	t->acknowledged = get32(tcp + 8);
	t->flags = tcp[13];
	t->window = (uint16_t)get16(tcp + 14);
	t->data = ip + header;
	t->size = length - header;
	return true;
}

static void reply(struct guest_tcp *g, unsigned flags, const void *data, size_t size)
{
	const struct tcp_packet t = {g->port,        g->peer_port, g->next, g->expected,
				     (uint8_t)flags, 0xffff,       data,    size};

	guest_send_tcp(g->rig, &t);
	g->next += (uint32_t)size + (flags & (GUEST_SYN | GUEST_FIN) ? 1u : 0u);
}

void guest_tcp_connect(struct guest_tcp *g, struct net_rig *r, uint16_t port, uint16_t peer_port)
{
	*g = (struct guest_tcp){.rig = r, .port = port, .peer_port = peer_port, .next = 1000};
	reply(g, GUEST_SYN, NULL, 0);
}

void guest_tcp_listen(struct guest_tcp *g, struct net_rig *r, uint16_t port)
{
	*g = (struct guest_tcp){.rig = r, .port = port, .next = 1000};
}

void guest_tcp_send(struct guest_tcp *g, const void *data, size_t size)
{
	reply(g, GUEST_ACK, data, size);
}

void guest_tcp_close(struct guest_tcp *g)
{
	reply(g, GUEST_ACK | GUEST_FIN, NULL, 0);
}

static void take(struct guest_tcp *g, const struct tcp_packet *t)
{
	if (t->flags & GUEST_RST) {
		g->reset = true;
		return;
	}
	if (t->flags & GUEST_SYN) {
		g->expected = t->sequence + 1;
		g->peer_port = t->from;
		reply(g, t->flags & GUEST_ACK ? GUEST_ACK : GUEST_ACK | GUEST_SYN, NULL, 0);
		g->open = true;
	}
	if (t->flags & GUEST_ACK)
		g->acknowledged = t->acknowledged;
	if (t->sequence == g->expected && t->size) {
		g->received = realloc(g->received, g->received_size + t->size);
		memcpy(g->received + g->received_size, t->data, t->size);
		g->received_size += t->size;
		g->expected += (uint32_t)t->size;
	}
	if (t->flags & GUEST_FIN && t->sequence + t->size == g->expected && !g->closed) {
		g->closed = true;
		g->expected++;
	}
	if (t->size || t->flags & GUEST_FIN)
		reply(g, GUEST_ACK, NULL, 0);
}

void guest_tcp_work(struct guest_tcp *g)
{
	struct net_rig *r = g->rig;
	struct tcp_packet t;

	for (unsigned i = 0; i < r->packets; i++) {
		if (get16(r->packet[i].data + 12) == 0x0806 && r->packet[i].data[21] == 1)
			guest_answer_arp(r);
		else if (guest_read_tcp(r, i, &t) && t.to == g->port) {
			g->packets += t.size > 0;
			g->merged += r->packet[i].header.gso_type == NET_GSO_TCPV4;
			g->largest = t.size > g->largest ? t.size : g->largest;
			take(g, &t);
		}
	}
	net_rig_forget(r);
}

void guest_tcp_free(struct guest_tcp *g)
{
	free(g->received);
}
