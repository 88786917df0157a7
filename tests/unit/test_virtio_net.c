/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network adapter's data path, driven through its rings and a fake backend. Commands and
 * filters: test_virtio_net_ctrl.c; what hostile drivers did elsewhere: test_virtio_net_bad.c.
 */
#include "virtio_net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* A frame for everybody, with a stamp behind its header. */
static void fill_frame(uint8_t *frame, size_t size, uint32_t stamp)
{
	for (size_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(stamp + i * 7);
	memset(frame, 0xff, 6);
	memset(frame + 6, 0x02, 8);
	if (size >= NET_FRAME_MIN + 4)
		memcpy(frame + NET_FRAME_MIN, &stamp, 4);
}

static void send_stamped(unsigned pair, uint32_t stamp)
{
	uint8_t frame[60];

	fill_frame(frame, sizeof(frame), stamp);
	virtio_net_rig_send(&rig, pair, NULL, frame, sizeof(frame));
}

/* --- what is offered --- */

static void test_features_follow_the_backend(void **state)
{
	const uint64_t offloads = VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 |
				  VIRTIO_NET_F_HOST_USO | VIRTIO_NET_GUEST_OFFLOADS |
				  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
	struct virtio_net_rig plain;

	(void)state;
	assert_int_equal(rig.v->offered & offloads, offloads);
	assert_true(rig.v->offered & VIRTIO_NET_F_MQ && rig.v->offered & VIRTIO_NET_F_MTU);
	virtio_net_rig_init(&plain, 0);
	assert_int_equal(plain.v->offered & offloads, 0);
	assert_true(plain.v->offered & VIRTIO_NET_F_MRG_RXBUF);
	virtio_net_rig_fini(&plain);
}

static void test_configuration(void **state)
{
	static const uint8_t expected[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 2, 0, 0x78, 0x05};

	(void)state;
	assert_int_equal(rig.v->config_size, sizeof(expected));
	assert_memory_equal(rig.v->config, expected, sizeof(expected));
	assert_int_equal(rig.v->queue_count, 5);
}

/* --- packets of the guest --- */

static void test_sends_with_every_ring(void **state)
{
	static const uint64_t sets[] = {
	    NET_RIG_ALL,
	    NET_RIG_ALL & ~VIRTIO_F_RING_PACKED,
	    NET_RIG_ALL & ~(VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER | VIRTIO_F_EVENT_IDX),
	    VIRTIO_F_VERSION_1,
	    NET_RIG_LEGACY,
	    0,
	};
	uint32_t length;

	(void)state;
	for (unsigned s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
		unsigned before = rig.backend.packets;

		virtio_net_rig_start(&rig, sets[s], SIZE);
		for (uint32_t i = 0; i < 1000; i++) {
			send_stamped(0, i);
			virtio_net_rig_kick(&rig, 1);
			assert_int_equal(rig.backend.packets, before + i + 1);
			assert_int_equal(rig.backend.size, 60);
			assert_memory_equal(rig.backend.frame + NET_FRAME_MIN, &i, 4);
			assert_true(virtio_net_rig_used(&rig, 1, &length));
			assert_int_equal(length, 0);
		}
	}
	assert_int_equal(virtio_net_counters(rig.v)->tx_packets, rig.backend.packets);
	assert_int_equal(virtio_net_counters(rig.v)->tx_bytes, 60 * rig.backend.packets);
}

static void test_a_batch_is_one_flush_and_one_interrupt(void **state)
{
	(void)state;
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	for (uint32_t i = 0; i < 32; i++)
		send_stamped(0, i);
	rig.backend.flushes = 0;
	virtio_net_rig_kick(&rig, 1);
	assert_int_equal(rig.backend.packets, 32);
	assert_int_equal(rig.backend.flushes, 1);
	assert_int_equal(rig.queue_interrupts[1], 1);
}

static void test_a_pass_has_a_budget(void **state)
{
	(void)state;
	virtio_net_rig_start(&rig, NET_RIG_ALL, 256);
	for (uint32_t i = 0; i < 200; i++)
		send_stamped(0, i);
	virtio_kick(rig.v, 1);
	loop_step(rig.loop);
	assert_in_range(rig.backend.packets, 1, 64);
	virtio_net_rig_settle(&rig);
	assert_int_equal(rig.backend.packets, 200);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(rig.backend.stamp[i], i);
}

static void test_without_room_the_ring_is_left_alone(void **state)
{
	struct virtq *q = net_tx_queue(rig.n, 0);

	(void)state;
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	rig.backend.room = 5;
	for (uint32_t i = 0; i < 20; i++)
		send_stamped(0, i);
	virtio_net_rig_kick(&rig, 1);
	assert_int_equal(rig.backend.packets, 5);
	assert_int_equal(q->in_flight, 1); /* the one that stays */
	virtio_kick(rig.v, 1);
	virtio_net_rig_settle(&rig);
	assert_int_equal(q->in_flight, 1);
	rig.backend.room = 1000;
	virtio_net_send_ready(rig.n, 0);
	virtio_net_rig_settle(&rig);
	assert_int_equal(rig.backend.packets, 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(rig.backend.stamp[i], i);
		assert_true(virtio_net_rig_used(&rig, 1, NULL));
	}
	assert_int_equal(q->in_flight, 0);
}

static void test_offload_headers_reach_the_backend(void **state)
{
	struct net_header h = {NET_NEEDS_CSUM | NET_DATA_VALID | 0x80,
			       NET_GSO_TCPV4 | NET_GSO_ECN,
			       54,
			       1448,
			       34,
			       16,
			       77};
	uint8_t frame[4000];

	(void)state;
	fill_frame(frame, sizeof(frame), 1);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	virtio_net_rig_send(&rig, 0, &h, frame, sizeof(frame));
	virtio_net_rig_kick(&rig, 1);
	assert_int_equal(rig.backend.packets, 1);
	h.flags = NET_NEEDS_CSUM; /* the only flag that a driver may set */
	h.buffers = 0;
	assert_memory_equal(&rig.backend.header, &h, sizeof(h));
	assert_memory_equal(rig.backend.frame, frame, sizeof(frame));
}

static void test_a_frame_of_many_pieces_is_put_together(void **state)
{
	static const struct net_header none;
	struct fake_buffer b[90];
	uint8_t frame[90 * 16];
	gpa_t a;

	(void)state;
	fill_frame(frame, sizeof(frame), 9);
	virtio_net_rig_start(&rig, NET_RIG_ALL, 256);
	for (unsigned n = 60; n <= 90; n++) {
		a = virtio_net_rig_memory(&rig, 12 + sizeof(frame));
		assert_int_equal(gmem_write(rig.mem, a, &none, 12), 0);
		assert_int_equal(gmem_write(rig.mem, a + 12, frame, sizeof(frame)), 0);
		b[0] = (struct fake_buffer){a, 12, false};
		for (unsigned i = 1; i < n; i++)
			b[i] = (struct fake_buffer){a + 12 + (i - 1) * 16, 16, false};
		virtio_net_rig_add(&rig, 1, b, n);
		virtio_net_rig_kick(&rig, 1);
		assert_int_equal(rig.backend.size, (n - 1) * 16);
		assert_memory_equal(rig.backend.frame, frame, (n - 1) * 16);
		assert_int_equal(rig.backend.pieces, n - 1 > NET_IOV_MAX ? 1 : n - 1);
		assert_true(virtio_net_rig_used(&rig, 1, NULL));
	}
}

/* --- packets for the guest --- */

static void assert_received(gpa_t a, uint32_t length, const void *frame, size_t size,
			    unsigned buffers)
{
	uint8_t *p = virtio_net_rig_at(&rig, a, length + 1);
	uint16_t count;

	assert_int_equal(length, rig.header + size);
	assert_memory_equal(p + rig.header, frame, size);
	assert_int_equal(p[length], 0xa5);
	if (rig.header == 12) {
		memcpy(&count, p + 10, 2);
		assert_int_equal(count, buffers);
	}
}

static void test_receives_with_every_ring(void **state)
{
	static const uint64_t sets[] = {
	    NET_RIG_ALL,
	    NET_RIG_ALL & ~VIRTIO_F_RING_PACKED,
	    VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF,
	    VIRTIO_F_VERSION_1,
	    VIRTIO_NET_F_MRG_RXBUF,
	    0, /* the only one with a header of 10 bytes */
	};
	uint8_t frame[1514];
	uint32_t length;

	(void)state;
	for (unsigned s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
		virtio_net_rig_start(&rig, sets[s], SIZE);
		for (uint32_t i = 0; i < 1000; i++) {
			size_t size = NET_FRAME_MIN + i % 1500;
			gpa_t a = virtio_net_rig_offer(&rig, 0, 1, 1600);

			fill_frame(frame, size, i);
			assert_true(deliver(NULL, frame, size));
			assert_true(virtio_net_rig_used(&rig, 0, &length));
			assert_received(a, length, frame, size, 1);
		}
	}
	assert_int_equal(virtio_net_counters(rig.v)->rx_packets, 6000);
}

static void test_a_batch_received_is_one_interrupt(void **state)
{
	uint8_t frame[60];

	(void)state;
	fill_frame(frame, sizeof(frame), 0);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	virtio_net_rig_offer(&rig, 0, 10, 100);
	for (unsigned i = 0; i < 10; i++)
		assert_true(deliver(NULL, frame, sizeof(frame)));
	assert_int_equal(rig.queue_interrupts[0], 0);
	net_delivered(&rig.backend.net, 0);
	assert_int_equal(rig.queue_interrupts[0], 1);
}

static void test_a_long_packet_is_spread_over_buffers(void **state)
{
	static uint8_t frame[65550], got[65562];
	uint32_t length;
	uint16_t count;

	(void)state;
	for (size_t size = 100; size <= sizeof(frame); size += 2181) {
		unsigned buffers = (unsigned)((12 + size + 1525) / 1526);
		size_t have = 0;
		gpa_t a;

		virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
		fill_frame(frame, size, 3);
		a = virtio_net_rig_offer(&rig, 0, buffers, 1526);
		assert_true(deliver(NULL, frame, size));
		for (unsigned i = 0; i < buffers; i++) {
			assert_true(virtio_net_rig_used(&rig, 0, &length));
			memcpy(got + have, virtio_net_rig_at(&rig, a + i * 1526, length), length);
			have += length;
		}
		assert_false(virtio_net_rig_used(&rig, 0, &length));
		assert_int_equal(have, 12 + size);
		memcpy(&count, got + 10, 2);
		assert_int_equal(count, buffers);
		assert_memory_equal(got + 12, frame, size);
	}
}

static void test_without_buffers_the_packet_waits(void **state)
{
	uint8_t frame[1000];
	uint32_t length;
	gpa_t a, b;

	(void)state;
	fill_frame(frame, sizeof(frame), 4);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	assert_false(deliver(NULL, frame, sizeof(frame)));
	/* One is not enough. It is kept, and used once there is another. */
	a = virtio_net_rig_offer(&rig, 0, 1, 600);
	assert_true(rig.backend.net.ready[0]);
	assert_false(deliver(NULL, frame, sizeof(frame)));
	assert_false(virtio_net_rig_used(&rig, 0, &length));
	b = virtio_net_rig_offer(&rig, 0, 1, 600);
	assert_true(rig.backend.net.ready[0]);
	assert_true(deliver(NULL, frame, sizeof(frame)));
	assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_int_equal(length, 600);
	assert_memory_equal(virtio_net_rig_at(&rig, a + 12, 588), frame, 588);
	assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_int_equal(length, 412);
	assert_memory_equal(virtio_net_rig_at(&rig, b, 412), frame + 588, 412);
}

static void test_kept_buffers_serve_a_shorter_packet(void **state)
{
	uint8_t frame[3000];
	uint32_t length;
	gpa_t a;

	(void)state;
	fill_frame(frame, sizeof(frame), 5);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	a = virtio_net_rig_offer(&rig, 0, 4, 600);
	assert_false(deliver(NULL, frame, sizeof(frame)));
	/* The backend gave it up, for the next one. */
	rig.backend.net.ready[0] = true;
	for (unsigned i = 0; i < 4; i++) {
		assert_true(deliver(NULL, frame, 100 + i));
		assert_true(virtio_net_rig_used(&rig, 0, &length));
		assert_received(a + i * 600, length, frame, 100 + i, 1);
	}
	assert_false(deliver(NULL, frame, 100));
}

static void test_a_packet_longer_than_the_buffer_is_dropped(void **state)
{
	uint8_t frame[2000];
	uint32_t length;
	gpa_t a;

	(void)state;
	fill_frame(frame, sizeof(frame), 6);
	virtio_net_rig_start(&rig, VIRTIO_F_VERSION_1, SIZE);
	a = virtio_net_rig_offer(&rig, 0, 2, 1526);
	assert_true(deliver(NULL, frame, 1515));
	assert_int_equal(virtio_net_counters(rig.v)->rx_too_long, 1);
	assert_false(virtio_net_rig_used(&rig, 0, &length));
	assert_true(deliver(NULL, frame, 1513));
	assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_received(a, length, frame, 1513, 1);
}

static void test_a_packet_that_all_buffers_cannot_hold_is_dropped(void **state)
{
	static uint8_t frame[65550];
	uint32_t length;

	(void)state;
	fill_frame(frame, sizeof(frame), 7);
	/* A whole ring: the driver cannot add more. */
	virtio_net_rig_start(&rig, NET_RIG_ALL, 8);
	virtio_net_rig_offer(&rig, 0, 8, 1526);
	assert_true(deliver(NULL, frame, sizeof(frame)));
	assert_int_equal(virtio_net_counters(rig.v)->rx_too_long, 1);
	assert_true(deliver(NULL, frame, 8 * 1526 - 12));
	for (unsigned i = 0; i < 8; i++)
		assert_true(virtio_net_rig_used(&rig, 0, &length));
	/* More of them than a packet may have. */
	virtio_net_rig_start(&rig, NET_RIG_ALL, 256);
	virtio_net_rig_offer(&rig, 0, 256, 600);
	assert_true(deliver(NULL, frame, 64 * 600 - 11));
	assert_int_equal(virtio_net_counters(rig.v)->rx_too_long, 2);
	assert_true(deliver(NULL, frame, 64 * 600 - 12));
	for (unsigned i = 0; i < 64; i++)
		assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_false(virtio_net_rig_used(&rig, 0, &length));
}

static void test_received_offloads(void **state)
{
	struct net_header h = {NET_NEEDS_CSUM, NET_GSO_TCPV6, 74, 1440, 54, 16, 77}, got;
	uint8_t frame[3000];
	gpa_t a;

	(void)state;
	fill_frame(frame, sizeof(frame), 8);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	assert_int_equal(rig.backend.net.offloads, NET_RIG_OFFLOADS);
	a = virtio_net_rig_offer(&rig, 0, 1, 4000);
	assert_true(deliver(&h, frame, sizeof(frame)));
	memcpy(&got, virtio_net_rig_at(&rig, a, 12), 12);
	h.buffers = 1;
	assert_memory_equal(&got, &h, sizeof(h));
	/* Not to a driver that did not ask. */
	virtio_net_rig_start(&rig, NET_RIG_ALL & ~VIRTIO_NET_F_GUEST_TSO6, SIZE);
	assert_int_equal(rig.backend.net.offloads, NET_RIG_OFFLOADS & ~NET_OFFLOAD_TSO6);
	virtio_net_rig_offer(&rig, 0, 1, 4000);
	assert_true(deliver(&h, frame, sizeof(frame)));
	assert_int_equal(virtio_net_counters(rig.v)->rx_malformed, 1);
	/* Checksums first: section 5.1.3.1. */
	virtio_net_rig_start(&rig, NET_RIG_ALL & ~VIRTIO_NET_F_GUEST_CSUM, SIZE);
	assert_int_equal(rig.backend.net.offloads, 0);
}

static void test_what_is_no_frame_is_not_received(void **state)
{
	static uint8_t frame[NET_FRAME_MAX + 1];

	(void)state;
	fill_frame(frame, sizeof(frame), 8);
	virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
	virtio_net_rig_offer(&rig, 0, SIZE, 1526);
	assert_true(deliver(NULL, frame, 0));
	assert_true(deliver(NULL, frame, NET_FRAME_MIN - 1));
	assert_true(deliver(NULL, frame, NET_FRAME_MAX + 1));
	assert_int_equal(virtio_net_counters(rig.v)->rx_malformed, 3);
	assert_false(virtio_net_rig_used(&rig, 0, NULL));
	assert_true(deliver(NULL, frame, NET_FRAME_MAX));
	assert_true(virtio_net_rig_used(&rig, 0, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(test_features_follow_the_backend),
	    NET_TEST(test_configuration),
	    NET_TEST(test_sends_with_every_ring),
	    NET_TEST(test_a_batch_is_one_flush_and_one_interrupt),
	    NET_TEST(test_a_pass_has_a_budget),
	    NET_TEST(test_without_room_the_ring_is_left_alone),
	    NET_TEST(test_offload_headers_reach_the_backend),
	    NET_TEST(test_a_frame_of_many_pieces_is_put_together),
	    NET_TEST(test_receives_with_every_ring),
	    NET_TEST(test_a_batch_received_is_one_interrupt),
	    NET_TEST(test_a_long_packet_is_spread_over_buffers),
	    NET_TEST(test_without_buffers_the_packet_waits),
	    NET_TEST(test_kept_buffers_serve_a_shorter_packet),
	    NET_TEST(test_a_packet_longer_than_the_buffer_is_dropped),
	    NET_TEST(test_a_packet_that_all_buffers_cannot_hold_is_dropped),
	    NET_TEST(test_received_offloads),
	    NET_TEST(test_what_is_no_frame_is_not_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
