/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of the kinds that once broke libslirp, of every size, from a guest. Each must leave it
 * alive. The sanitizers see what it does to memory through the C library.
 */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

struct fixture {
	struct net_rig rig;
	uint8_t frame[NET_FRAME_MAX];
};

static struct fixture fixture;

static int setup(void **state)
{
	const struct net_params p = {.kind = NET_USER, .queues = 1};

	net_rig_setup(&fixture.rig);
	memset(fixture.frame, 0, sizeof(fixture.frame));
	net_rig_must_open(&fixture.rig, &p);
	net_rig_ready(&fixture.rig, 0);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_rig_teardown(&fixture.rig);
	return 0;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void send_it(struct fixture *f, size_t size)
{
	static unsigned count;

	if (size < NET_FRAME_MIN) /* no adapter lets it through */
		return;
	assert_true(net_rig_send(&f->rig, 0, NULL, f->frame, size));
	if (++count % 32 == 0) {
		net_rig_run(&f->rig);
		net_rig_forget(&f->rig);
	}
}

static bool is_arp_reply(const struct rig_packet *p)
{
	return memcmp(p->data + 12, "\x08\6", 2) == 0 && p->data[21] == 2;
}

static void still_alive(struct fixture *f)
{
	unsigned answers = 0;

	net_rig_run(&f->rig);
	net_rig_forget(&f->rig);
	guest_send_arp(&f->rig, HOST_IP);
	net_rig_run(&f->rig);
	for (unsigned i = 0; i < f->rig.packets; i++)
		answers += is_arp_reply(&f->rig.packet[i]);
	assert_int_equal(answers, 1);
	assert_true(f->rig.link);
}

/* An IPv4 header with a right checksum; total and fragment as they are written there. */
static void put_ip(struct fixture *f, unsigned protocol, unsigned total, unsigned fragment)
{
	uint8_t *ip = f->frame + 14;
	uint32_t sum = 0;

	memset(f->frame, 0xff, 6);
	memcpy(f->frame + 6, "\x52\x54\0\x12\x34\x56\x08\0", 8);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, total);
	put16(ip + 4, 0x1234);
	put16(ip + 6, fragment);
	ip[8] = 64;
	ip[9] = (uint8_t)protocol;
	memcpy(ip + 12, "\x0a\0\2\x0f\x0a\0\2\2", 8);
	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, 0xffff & ~((sum & 0xffff) + (sum >> 16)));
}

static void put_udp(struct fixture *f, unsigned to, unsigned length)
{
	uint8_t *udp = f->frame + 34;

	put16(udp, 68);
	put16(udp + 2, to);
	put16(udp + 4, length);
	put16(udp + 6, 0);
}

/* CVE-2020-29129, CVE-2020-29130. */
static void test_short_arp_and_ncsi(void **state)
{
	static const char *const types[] = {"\x08\6", "\x88\xf8"};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		memset(f->frame, 0xff, 100);
		memcpy(f->frame + 12, types[i], 2);
		memcpy(f->frame + 14, "\0\1\x08\0\6\4\0\1", 8);
		for (size_t size = 0; size <= 100; size++)
			send_it(f, size);
	}
	still_alive(f);
}

/* CVE-2021-3592 (BOOTP), CVE-2021-3594, CVE-2021-3595 (TFTP): less than a header of theirs. */
static void test_short_udp_services(void **state)
{
	static const unsigned ports[] = {67, 69, 53, 7};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++) {
		for (unsigned size = 0; size <= 320; size++) {
			put_ip(f, 17, 28 + size, 0);
			put_udp(f, ports[i], 8 + size);
			memset(f->frame + 42, (int)size, size);
			memcpy(f->frame + 42, "\1\1\6", 3); /* BOOTREQUEST; TFTP: read */
			send_it(f, 42 + size);
		}
	}
	still_alive(f);
}

static void test_lengths_that_lie(void **state)
{
	static const unsigned lengths[] = {0, 1, 7, 8, 19, 20, 27, 28, 29, 100, 0x7fff, 0xffff};
	const unsigned count = sizeof(lengths) / sizeof(lengths[0]);
	struct fixture *f = *state;

	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++) {
			put_ip(f, 17, lengths[i], 0);
			put_udp(f, 67, lengths[j]);
			send_it(f, 60);
			put_ip(f, i % 2 ? 6 : 1, lengths[i], 0);
			put_udp(f, 7, lengths[j]);
			f->frame[14] = (uint8_t)(0x40 | (j + 4)); /* the header's length */
			send_it(f, 60);
		}
	}
	still_alive(f);
}

/* CVE-2021-3593: the same over IPv6. */
static void test_lengths_that_lie_over_ipv6(void **state)
{
	static const unsigned lengths[] = {0, 1, 7, 8, 9, 20, 40, 100, 0x7fff, 0xffff};
	static const uint8_t protocols[] = {17, 6, 58, 44, 0};
	const unsigned count = sizeof(lengths) / sizeof(lengths[0]);
	struct fixture *f = *state;

	for (unsigned i = 0; i < count * count * sizeof(protocols); i++) {
		uint8_t *ip = f->frame + 14;

		memset(f->frame, 0xff, 14);
		memcpy(f->frame + 12, "\x86\xdd\x60\0\0\0", 6);
		put16(ip + 4, lengths[i % count]);
		ip[6] = protocols[i / count / count];
		ip[7] = 255;
		memcpy(ip + 8, "\xfe\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0f", 16);
		memcpy(ip + 24, "\xfe\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
		memset(ip + 40, (int)i, 40);
		put16(ip + 42, 69);
		put16(ip + 44, lengths[i / count % count]);
		send_it(f, 14 + 40 + i % 41);
	}
	still_alive(f);
}

/* CVE-2019-14378, CVE-2020-1983: fragments of one packet in any order, overlapping, too long. */
static void test_fragments(void **state)
{
	struct fixture *f = *state;
	uint32_t x = 99;

	for (unsigned i = 0; i < 5000; i++) {
		unsigned offset, size;

		x = x * 1664525u + 1013904223u;
		offset = i % 5 ? x >> 24 : x >> 19; /* of 8 bytes; up to the last there is */
		size = (x >> 8 & 0xff) * (i % 7 ? 8 : 7);
		put_ip(f, i % 3 ? 17 : 1, 20 + size, (x & 1 ? 0x2000 : 0) | offset);
		put16(f->frame + 18, i / 50);
		memset(f->frame + 34, (int)i, size);
		send_it(f, 34 + size);
		if (i % 100 == 0)
			fake_clock_step(&f->rig.clock, 700 * NS_PER_MS);
	}
	still_alive(f);
}

/* The largest packets, as segmentation may leave them to us. */
static void test_longest(void **state)
{
	struct fixture *f = *state;

	for (unsigned size = NET_FRAME_MAX - 40; size <= NET_FRAME_MAX; size++) {
		unsigned total = size - 14 > 0xffff ? 0xffff : size - 14;

		put_ip(f, 17, total, 0);
		put_udp(f, 7, total - 20);
		send_it(f, size);
		put_ip(f, 6, total, 0);
		send_it(f, size);
	}
	still_alive(f);
}

static void test_random_frames(void **state)
{
	struct fixture *f = *state;
	uint32_t x = 7;

	for (unsigned i = 0; i < 20000; i++) {
		for (size_t j = 0; j < 400; j++) {
			x = x * 1664525u + 1013904223u;
			f->frame[j] = (uint8_t)(x >> 24);
		}
		memcpy(f->frame + 12,
		       i % 3 == 0   ? "\x08\0"
		       : i % 3 == 1 ? "\x08\6"
				    : "\x86\xdd",
		       2);
		f->frame[14] = i % 3 == 0 ? 0x45 : f->frame[14];
		send_it(f, 14 + (x >> 8) % 386);
		if (i % 64 == 0)
			fake_clock_step(&f->rig.clock, NS_PER_MS * (i % 700));
	}
	still_alive(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_short_arp_and_ncsi), TEST(test_short_udp_services),
	    TEST(test_lengths_that_lie),   TEST(test_lengths_that_lie_over_ipv6),
	    TEST(test_fragments),          TEST(test_longest),
	    TEST(test_random_frames),
	};

	return cmocka_run_group_tests_name("net_user_bad", tests, NULL, NULL);
}
