/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of libslirp's packets go to the guest as one, and what that one looks like. */
#include "net/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SEGMENT 1460u

static struct user_packet ring[USER_WAITING_MAX];
static struct net_header got_header[USER_WAITING_MAX];
static uint8_t got[USER_WAITING_MAX][NET_FRAME_MAX];
static size_t got_size[USER_WAITING_MAX];
static unsigned got_count, room;

static bool receive(void *arg, unsigned queue, const struct net_header *h,
		    const struct iovec *frame, unsigned count)
{
	(void)arg;
	(void)queue;
	if (got_count == room)
		return false;
	assert_in_range(count, 1, NET_IOV_MAX);
	got_header[got_count] = *h;
	got_size[got_count] = net_gather(got[got_count], NET_FRAME_MAX, frame, count);
	got_count++;
	return true;
}

static struct net net;
static struct user user;

static int setup(void **state)
{
	(void)state;
	net = (struct net){.queues = 1,
			   .client.receive = receive,
			   .offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4,
			   .ready[0] = true};
	memset(&user, 0, offsetof(struct user, frame));
	user.net = &net;
	user.waiting = ring;
	got_count = 0;
	room = USER_WAITING_MAX;
	return 0;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Adds a segment behind the last one; its bytes, to change them. */
static uint8_t *add(size_t size)
{
	static uint32_t sequence;
	struct user_packet *p = user_waiting(&user, user.waiting_count);
	uint8_t *d = p->data;
	uint16_t sum;

	sequence = user.waiting_count ? sequence : 0xfffff000u; /* wraps */
	user.waiting_count++;
	memset(d, 0, 54);
	memcpy(d, "\x52\x54\0\x12\x34\x56\x52\x55\x0a\0\2\2\x08\0\x45", 15);
	put16(d + 16, 40 + size);
	put16(d + 18, user.waiting_count); /* identification */
	d[22] = 64;
	d[23] = 6;
	memcpy(d + 26, "\x0a\0\2\2\x0a\0\2\x0f\x1f\x90\x9c\x40", 12);
	sum = (uint16_t)~net_sum(0, d + 14, 20);
	memcpy(d + 24, &sum, 2);
	put16(d + 38, sequence >> 16);
	put16(d + 40, sequence & 0xffff);
	d[46] = 0x50;
	d[47] = 0x10;
	put16(d + 48, 8760);
	for (size_t i = 0; i < size; i++)
		d[54 + i] = (uint8_t)(user.waiting_count * 3 + i);
	p->size = (uint16_t)(54 + size);
	sequence += (uint32_t)size;
	return d;
}

static void test_two(void **state)
{
	uint8_t pseudo[4] = {0, 6}, first[54], payload[2 * SEGMENT];
	uint16_t sum;

	(void)state;
	memcpy(first, add(SEGMENT), 54);
	memcpy(payload, ring[0].data + 54, SEGMENT);
	add(SEGMENT)[47] |= 8; /* PSH */
	memcpy(payload + SEGMENT, ring[1].data + 54, SEGMENT);
	user_hand_over(&user);
	assert_int_equal(user.waiting_count, 0);
	assert_true(user.delivered);
	assert_int_equal(got_count, 1);
	assert_int_equal(got_size[0], 54 + 2 * SEGMENT);
	assert_memory_equal(got[0] + 54, payload, sizeof(payload));
	assert_memory_equal(got[0], first, 16);
	assert_int_equal(got[0][16] << 8 | got[0][17], 40 + 2 * SEGMENT);
	assert_int_equal(net_sum(0, got[0] + 14, 20), 0xffff);
	assert_memory_equal(got[0] + 26, first + 26, 21);
	assert_int_equal(got[0][47], 0x18);
	assert_int_equal(got_header[0].flags, NET_NEEDS_CSUM);
	assert_int_equal(got_header[0].gso_type, NET_GSO_TCPV4);
	assert_int_equal(got_header[0].gso_size, SEGMENT);
	assert_int_equal(got_header[0].header_size, 54);
	assert_true(net_header_fits(&got_header[0], got_size[0], net.offloads));
	/* Completed as hardware would, the checksum holds. */
	net_complete_checksum(got[0], got_size[0], &got_header[0]);
	put16(pseudo + 2, 20 + 2 * SEGMENT);
	sum = net_sum(net_sum(0, pseudo, 4), got[0] + 26, 8);
	assert_int_equal(net_sum(sum, got[0] + 34, 20 + 2 * SEGMENT), 0xffff);
}

static void test_not_asked_for(void **state)
{
	(void)state;
	net.offloads = NET_OFFLOAD_CSUM;
	add(SEGMENT);
	add(SEGMENT);
	user_hand_over(&user);
	assert_int_equal(got_count, 2);
	assert_int_equal(got_header[1].flags, NET_DATA_VALID);
	assert_int_equal(got_header[1].gso_type, NET_GSO_NONE);
}

/* What may differ: identification, both checksums, PSH, and the pointer to urgent data, unused. */
static bool may_differ(unsigned at, unsigned bit)
{
	return at == 18 || at == 19 || at == 24 || at == 25 || at == 50 || at == 51 || at == 52 ||
	       at == 53 || (at == 47 && bit == 3);
}

static void test_every_bit_of_the_second_header(void **state)
{
	for (unsigned i = 0; i < 54 * 8; i++) {
		setup(state);
		add(SEGMENT);
		add(SEGMENT)[i / 8] ^= (uint8_t)(1u << i % 8);
		user_hand_over(&user);
		if (got_count != (may_differ(i / 8, i % 8) ? 1 : 2))
			fail_msg("byte %u, bit %u: %u packets", i / 8, i % 8, got_count);
	}
}

static void test_first_that_cannot(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} rows[] = {{12, 0x86}, {14, 0x46}, {14, 0x65}, {17, 0},    {20, 0x20}, {21, 1}, {23, 17},
		    {46, 0x60}, {47, 0x12}, {47, 0x11}, {47, 0x14}, {47, 0x30}, {47, 0}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		add(SEGMENT)[rows[i].at] = rows[i].value;
		add(SEGMENT);
		add(SEGMENT);
		user_hand_over(&user);
		assert_int_equal(got_count, 2); /* the other two are one */
		assert_int_equal(got_header[0].gso_type, NET_GSO_NONE);
		assert_int_equal(got_header[1].gso_type, NET_GSO_TCPV4);
	}
}

static void test_a_short_one_is_the_last(void **state)
{
	(void)state;
	add(SEGMENT);
	add(SEGMENT - 1);
	add(SEGMENT);
	user_hand_over(&user);
	assert_int_equal(got_count, 2);
	assert_int_equal(got_size[0], 54 + 2 * SEGMENT - 1);
	assert_int_equal(got_size[1], 54 + SEGMENT);
}

static void test_a_longer_one_is_the_next(void **state)
{
	(void)state;
	add(SEGMENT - 1);
	add(SEGMENT);
	add(0); /* an acknowledgement */
	user_hand_over(&user);
	assert_int_equal(got_count, 3);
}

/* IP's length has 16 bits; 65535 - 40 is 44 segments and a rest. */
static void test_longest(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		add(SEGMENT);
	user_hand_over(&user);
	assert_int_equal(got_count, 3);
	assert_int_equal(got_size[0], 54 + 44 * SEGMENT);
	assert_int_equal(got_size[1], 54 + 44 * SEGMENT);
	assert_int_equal(got_size[2], 54 + 12 * SEGMENT);
}

static void test_most_pieces(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		add(10);
	user_hand_over(&user);
	assert_int_equal(got_count, 2);
	assert_int_equal(got_size[0], 54 + (NET_IOV_MAX - 1) * 10);
}

/* No room: all stay, in order, and more may join them. */
static void test_no_room(void **state)
{
	(void)state;
	user.waiting_first = USER_WAITING_MAX - 2; /* across the ring's end */
	room = 0;
	add(SEGMENT);
	add(SEGMENT);
	add(SEGMENT);
	user_hand_over(&user);
	assert_int_equal(user.waiting_count, 3);
	assert_false(net.ready[0]);
	add(SEGMENT);
	room = 10;
	net.ready[0] = true;
	user_hand_over(&user);
	assert_int_equal(got_count, 1);
	assert_int_equal(got_size[0], 54 + 4 * SEGMENT);
	assert_int_equal(user.waiting_count, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_two),
	    TEST(test_not_asked_for),
	    TEST(test_every_bit_of_the_second_header),
	    TEST(test_first_that_cannot),
	    TEST(test_a_short_one_is_the_last),
	    TEST(test_a_longer_one_is_the_next),
	    TEST(test_longest),
	    TEST(test_most_pieces),
	    TEST(test_no_room),
	};

	return cmocka_run_group_tests_name("net_user_merge", tests, NULL, NULL);
}
