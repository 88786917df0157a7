/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hostile drivers did to other monitors' network adapters, and what only broken ones do. The
 * tests named cve_* are rows of the project's list of past faults.
 */
#include "virtio_net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *name;
	struct net_header h;
	bool good;
} headers[] = {
    {"nothing asked for", {0}, true},
    {"unknown flags are ignored", {.flags = 0xfe}, true},
    {"checksum of the last two bytes", {1, 0, 0, 0, 58, 0, 0}, true},
    {"checksum past the end", {1, 0, 0, 0, 58, 1, 0}, false},
    {"checksum offset far away", {1, 0, 0, 0, 14, 65535, 0}, false},
    {"checksum start far away", {1, 0, 0, 0, 65535, 0, 0}, false},
    {"both wrap 16 bits", {1, 0, 0, 0, 65535, 65535, 0}, false},
    {"offsets without the flag", {0, 0, 0, 0, 65535, 65535, 0}, true},
    {"segments", {1, NET_GSO_TCPV4, 54, 4, 34, 16, 0}, true},
    {"segments without a checksum", {0, NET_GSO_TCPV4, 54, 4, 34, 16, 0}, false},
    {"segments of 0 bytes", {1, NET_GSO_TCPV4, 54, 0, 34, 16, 0}, false},
    {"header longer than the frame", {1, NET_GSO_TCPV4, 65535, 4, 34, 16, 0}, true},
    {"UDP fragments", {1, NET_GSO_UDP, 42, 8, 34, 6, 0}, false},
    {"UDP segments", {1, NET_GSO_UDP_L4, 42, 8, 34, 6, 0}, true},
    {"UDP segments with ECN", {1, NET_GSO_UDP_L4 | NET_GSO_ECN, 42, 8, 34, 6, 0}, false},
    {"ECN without segments", {1, NET_GSO_ECN, 54, 4, 34, 16, 0}, false},
    {"unknown type", {1, 2, 54, 4, 34, 16, 0}, false},
    {"type 127", {1, 127, 54, 4, 34, 16, 0}, false},
    {"type 255", {1, 255, 54, 4, 34, 16, 0}, false},
};

static void test_headers_of_packets_sent(void **state)
{
	uint8_t frame[60] = {0};

	(void)state;
	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		uint64_t bad = virtio_net_counters(rig.v)->tx_malformed;
		unsigned sent = rig.backend.packets;

		virtio_net_rig_send(&rig, 0, &headers[i].h, frame, sizeof(frame));
		virtio_net_rig_kick(&rig, 1);
		if (rig.backend.packets != sent + headers[i].good ||
		    virtio_net_counters(rig.v)->tx_malformed != bad + !headers[i].good)
			fail_msg("%s", headers[i].name);
		assert_true(virtio_net_rig_used(&rig, 1, NULL));
	}
}

static void test_offloads_that_were_not_accepted(void **state)
{
	static const struct net_header h = {1, NET_GSO_TCPV4, 54, 4, 34, 16, 0};
	static const uint64_t without[] = {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4};
	uint8_t frame[60] = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		virtio_net_rig_start(&rig, NET_RIG_ALL & ~without[i], SIZE);
		virtio_net_rig_send(&rig, 0, &h, frame, sizeof(frame));
		virtio_net_rig_kick(&rig, 1);
		assert_int_equal(rig.backend.packets, 0);
		assert_int_equal(virtio_net_counters(rig.v)->tx_malformed, i + 1);
		assert_true(virtio_net_rig_used(&rig, 1, NULL));
	}
}

/* Every length, of a packet and of a chain that is too short for one. */
static void test_lengths_of_packets_sent(void **state)
{
	static const uint64_t sets[] = {NET_RIG_ALL, 0};
	static uint8_t zeroes[NET_FRAME_MAX + 32];

	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		virtio_net_rig_start(&rig, sets[s], SIZE);
		for (unsigned n = 1; n < 65600; n += n < 2000 || n > 65500 ? 1 : 97) {
			unsigned sent = rig.backend.packets;
			uint64_t bad = virtio_net_counters(rig.v)->tx_malformed;
			struct fake_buffer b = {virtio_net_rig_memory(&rig, n), n, false};
			bool good =
			    n >= rig.header + NET_FRAME_MIN && n <= rig.header + NET_FRAME_MAX;

			gmem_zero(rig.mem, b.address, n);
			virtio_net_rig_add(&rig, 1, &b, 1);
			virtio_net_rig_kick(&rig, 1);
			assert_true(virtio_net_rig_used(&rig, 1, NULL));
			assert_int_equal(rig.backend.packets, sent + good);
			assert_int_equal(virtio_net_counters(rig.v)->tx_malformed, bad + !good);
			if (good) {
				assert_int_equal(rig.backend.size, n - rig.header);
				assert_memory_equal(rig.backend.frame, zeroes, rig.backend.size);
			}
		}
	}
}

static void test_chain_to_write_in_the_queue_to_read(void **state)
{
	struct fake_buffer b = {virtio_net_rig_memory(&rig, 100), 100, true};
	uint32_t length;

	(void)state;
	virtio_net_rig_add(&rig, 1, &b, 1);
	virtio_net_rig_kick(&rig, 1);
	assert_true(virtio_net_rig_used(&rig, 1, &length));
	assert_int_equal(length, 0);
	assert_int_equal(*virtio_net_rig_at(&rig, b.address, 1), 0xa5);
	assert_int_equal(virtio_net_counters(rig.v)->tx_malformed, 1);
}

static void test_buffers_that_cannot_hold_a_header(void **state)
{
	uint8_t frame[60];
	uint32_t length;
	gpa_t a;

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned i = 0; i < 10; i++) {
		struct fake_buffer b = {virtio_net_rig_memory(&rig, 100), i + 1, i != 5};

		virtio_net_rig_add(&rig, 0, &b, 1);
	}
	a = virtio_net_rig_offer(&rig, 0, 1, 100);
	assert_true(deliver(NULL, frame, sizeof(frame)));
	for (unsigned i = 0; i < 10; i++) {
		assert_true(virtio_net_rig_used(&rig, 0, &length));
		assert_int_equal(length, 0);
	}
	assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_int_equal(length, 72);
	assert_memory_equal(virtio_net_rig_at(&rig, a + 12, 60), frame, 60);
	assert_int_equal(virtio_net_counters(rig.v)->rx_bad_buffers, 10);
}

static void test_cve_2023_6693_header_in_single_bytes(void **state)
{
	static const struct net_header h = {1, NET_GSO_TCPV4, 54, 4, 34, 16, 0};
	struct fake_buffer b[40];
	uint8_t frame[60], got[72];
	uint32_t length;
	gpa_t a;

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned pieces = 1; pieces <= 20; pieces++) {
		a = virtio_net_rig_memory(&rig, 100);
		assert_int_equal(gmem_write(rig.mem, a, &h, 12), 0);
		assert_int_equal(gmem_write(rig.mem, a + 12, frame, 60), 0);
		for (unsigned i = 0; i < pieces; i++)
			b[i] = (struct fake_buffer){a + i, i + 1 < pieces ? 1 : 72 - i, false};
		virtio_net_rig_add(&rig, 1, b, pieces);
		virtio_net_rig_kick(&rig, 1);
		assert_int_equal(rig.backend.packets, pieces);
		assert_int_equal(rig.backend.header.gso_size, 4);
		assert_memory_equal(rig.backend.frame, frame, 60);
		assert_true(virtio_net_rig_used(&rig, 1, NULL));
		/* The same to be received. */
		a = virtio_net_rig_memory(&rig, 100);
		for (unsigned i = 0; i < pieces; i++)
			b[i] = (struct fake_buffer){a + i, i + 1 < pieces ? 1 : 72 - i, true};
		virtio_net_rig_add(&rig, 0, b, pieces);
		virtio_net_rig_kick(&rig, 0);
		assert_true(fake_net_deliver(&rig.backend, 0, &h, frame, 60));
		assert_true(virtio_net_rig_used(&rig, 0, &length));
		assert_int_equal(length, 72);
		memcpy(got, virtio_net_rig_at(&rig, a, 72), 72);
		assert_memory_equal(got, &h, 10);
		assert_memory_equal(got + 12, frame, 60);
	}
}

/* Packets and buffers in flight when the device stops: nothing of theirs is touched again. */
static void test_cve_2021_3748_reset_with_buffers_held(void **state)
{
	static uint8_t frame[3000];
	uint8_t *ram = virtio_net_rig_at(&rig, NET_RIG_BUFFERS, 0x10000);
	uint8_t mac[6] = {2};

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned i = 0; i < 100; i++) {
		virtio_net_rig_start(&rig, i & 1 ? NET_RIG_ALL : VIRTIO_F_VERSION_1, SIZE);
		virtio_net_rig_offer(&rig, 0, 1 + i % 4, 600);
		deliver(NULL, frame, sizeof(frame));
		rig.backend.room = i % 3;
		for (unsigned k = 0; k < 10; k++)
			virtio_net_rig_send(&rig, 0, NULL, frame, 60);
		virtio_net_rig_kick(&rig, 1);
		if (i % 5 == 0)
			virtio_change_config(rig.v, 0, mac, sizeof(mac));
		virtio_net_rig_reset(&rig);
		memset(ram, 0x5a, 0x10000);
		rig.backend.room = 1000;
		net_send_ready(&rig.backend.net, 0);
		rig.backend.net.ready[0] = true;
		assert_false(deliver(NULL, frame, 60));
		net_delivered(&rig.backend.net, 0);
		virtio_net_rig_settle(&rig);
		for (unsigned k = 0; k < 0x10000; k++)
			assert_int_equal(ram[k], 0x5a);
		assert_false(rig.backend.net.ready[0] && rig.n->rx[0].ready);
	}
}

static void test_queue_reset_with_buffers_held(void **state)
{
	static uint8_t frame[1000];
	uint32_t length;
	gpa_t a;

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	virtio_net_rig_offer(&rig, 0, 1, 600);
	assert_false(deliver(NULL, frame, sizeof(frame)));
	rig.backend.room = 0;
	virtio_net_rig_send(&rig, 0, NULL, frame, 60);
	virtio_net_rig_kick(&rig, 1);
	for (unsigned i = 0; i < 2; i++) {
		struct fake_driver *d = &rig.driver[i];

		pthread_mutex_lock(&rig.v->lock);
		virtio_reset_queue(rig.v, i);
		pthread_mutex_unlock(&rig.v->lock);
		virtio_net_rig_settle(&rig);
		assert_false(rig.v->queue[i].running);
		fake_driver_init(d, rig.mem, (gpa_t)i * NET_RIG_RING, SIZE, true, true);
		pthread_mutex_lock(&rig.v->lock);
		rig.v->queue[i].place =
		    (struct virtq_place){d->size, d->desc, d->driver, d->device};
		virtio_enable_queue(rig.v, i);
		pthread_mutex_unlock(&rig.v->lock);
		virtio_net_rig_settle(&rig);
		assert_true(rig.v->queue[i].running);
	}
	rig.backend.room = 10;
	virtio_net_rig_send(&rig, 0, NULL, frame, 61);
	virtio_net_rig_kick(&rig, 1);
	assert_int_equal(rig.backend.packets, 1);
	assert_int_equal(rig.backend.size, 61);
	a = virtio_net_rig_offer(&rig, 0, 1, 2000);
	assert_true(deliver(NULL, frame, sizeof(frame)));
	assert_true(virtio_net_rig_used(&rig, 0, &length));
	assert_int_equal(length, 1012);
	assert_memory_equal(virtio_net_rig_at(&rig, a + 12, 1000), frame, 1000);
}

/* Rows 30 and 31: only RAM is reached. The queue stops, the others go on. */
static void test_cve_2024_3446_buffers_outside_ram(void **state)
{
	static const gpa_t places[] = {NET_RIG_RAM, 0xb0000000, 0xfec00000, 0xfee00000,
				       UINT64_MAX - 99};
	uint8_t frame[60], c[] = {0, 1, 1};

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned i = 0; i < 2 * sizeof(places) / sizeof(places[0]); i++) {
		struct fake_buffer b = {places[i / 2], 100, i % 2};
		unsigned packets = rig.backend.packets;

		virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
		virtio_net_rig_add(&rig, i % 2 ? 0 : 1, &b, 1);
		virtio_net_rig_kick(&rig, i % 2 ? 0 : 1);
		if (i % 2) {
			assert_false(deliver(NULL, frame, sizeof(frame)));
			virtio_net_rig_send(&rig, 0, NULL, frame, sizeof(frame));
			virtio_net_rig_kick(&rig, 1);
			assert_int_equal(rig.backend.packets, packets + 1);
		} else {
			virtio_net_rig_offer(&rig, 0, 1, 100);
			assert_true(deliver(NULL, frame, sizeof(frame)));
			assert_int_equal(rig.backend.packets, packets);
		}
		assert_true(rig.v->status & VIRTIO_STATUS_NEEDS_RESET);
		assert_int_equal(virtio_net_rig_command(&rig, c, sizeof(c)), 0);
	}
}

/* Row 32: what is said to be written is written, and nothing else is. */
static void test_cve_2024_8612_used_lengths(void **state)
{
	static uint8_t frame[65550];
	uint32_t length, sum;

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	for (unsigned size = NET_FRAME_MIN; size <= sizeof(frame); size += 1 + size / 37) {
		uint32_t each = 12 + (size * 31) % 5000, n = (12 + size + each - 1) / each;
		gpa_t a;

		if (n > SIZE - 1)
			continue;
		virtio_net_rig_start(&rig, NET_RIG_ALL, SIZE);
		a = virtio_net_rig_offer(&rig, 0, n + 1, each);
		assert_true(deliver(NULL, frame, size));
		sum = 0;
		for (unsigned i = 0; i <= n; i++) {
			const uint8_t *p = virtio_net_rig_at(&rig, a + (gpa_t)i * each, each);

			length = 0;
			assert_int_equal(virtio_net_rig_used(&rig, 0, &length), i < n);
			sum += length;
			for (uint32_t k = i ? 0 : 12; k < each; k++)
				assert_int_equal(p[k], k < length ? 0xff : 0xa5);
		}
		assert_int_equal(sum, 12 + size);
	}
}

/* Row 33. */
static void test_cve_2021_45464_configuration_writes(void **state)
{
	static const uint64_t sets[] = {NET_RIG_ALL, NET_RIG_LEGACY};
	struct virtio_device *v = rig.v;
	uint8_t before[VIRTIO_CONFIG_MAX];

	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		virtio_net_rig_start(&rig, sets[s], SIZE);
		memcpy(before, v->config, sizeof(before));
		for (uint64_t offset = 0; offset < 300; offset++) {
			for (unsigned size = 1; size <= 8; size *= 2) {
				pthread_mutex_lock(&v->lock);
				virtio_config_write(v, offset, size, 0x1122334455667788);
				virtio_config_write(v, UINT64_MAX - offset, size, 0);
				virtio_config_read(v, UINT64_MAX - offset, size);
				pthread_mutex_unlock(&v->lock);
				assert_memory_equal(v->config + 6, before + 6, sizeof(before) - 6);
			}
		}
		assert_int_equal(!memcmp(v->config, before, 6), s == 0);
		virtio_net_rig_settle(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(test_headers_of_packets_sent),
	    NET_TEST(test_offloads_that_were_not_accepted),
	    NET_TEST(test_lengths_of_packets_sent),
	    NET_TEST(test_chain_to_write_in_the_queue_to_read),
	    NET_TEST(test_buffers_that_cannot_hold_a_header),
	    NET_TEST(test_cve_2023_6693_header_in_single_bytes),
	    NET_TEST(test_cve_2021_3748_reset_with_buffers_held),
	    NET_TEST(test_queue_reset_with_buffers_held),
	    NET_TEST(test_cve_2024_3446_buffers_outside_ram),
	    NET_TEST(test_cve_2024_8612_used_lengths),
	    NET_TEST(test_cve_2021_45464_configuration_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
