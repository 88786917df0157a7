/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network adapter's commands: filters, addresses, pairs of queues, offloads, announcements. */
#include "virtio_net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define OK  0u
#define ERR 1u

static const uint8_t own[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const uint8_t other[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x57};
static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 0x05};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Whether the guest gets a frame for mac, with VLAN vlan; < 0: untagged. */
static bool passes(const uint8_t *mac, int vlan)
{
	uint64_t before = virtio_net_counters(rig.v)->rx_filtered;
	uint8_t frame[64] = {0};
	bool passed;

	memcpy(frame, mac, 6);
	if (vlan >= 0) {
		frame[12] = 0x81;
		frame[14] = (uint8_t)(0xe0 | vlan >> 8);
		frame[15] = (uint8_t)vlan;
	}
	virtio_net_rig_offer(&rig, 0, 1, 100);
	assert_true(deliver(NULL, frame, sizeof(frame)));
	passed = virtio_net_counters(rig.v)->rx_filtered == before;
	while (virtio_net_rig_used(&rig, 0, NULL))
		;
	return passed;
}

static void set_mode(unsigned code, bool on)
{
	const uint8_t c[] = {0, (uint8_t)code, on};

	assert_int_equal(virtio_net_rig_command(&rig, c, sizeof(c)), OK);
}

static void test_all_pass_at_first(void **state)
{
	(void)state;
	assert_true(passes(own, -1) && passes(other, -1) && passes(group, -1) &&
		    passes(everybody, -1) && passes(other, 5));
}

static void test_receive_modes(void **state)
{
	enum { PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST };

	(void)state;
	set_mode(PROMISC, false);
	assert_true(passes(own, -1) && passes(everybody, -1));
	assert_false(passes(other, -1) || passes(group, -1));
	set_mode(ALLMULTI, true);
	assert_true(passes(group, -1) && !passes(other, -1));
	set_mode(NOMULTI, true);
	assert_false(passes(group, -1));
	set_mode(ALLUNI, true);
	assert_true(passes(other, -1));
	set_mode(NOUNI, true);
	assert_false(passes(other, -1) || passes(own, -1));
	set_mode(NOBCAST, true);
	assert_false(passes(everybody, -1));
	set_mode(PROMISC, true);
	assert_true(passes(own, -1) && passes(other, -1) && passes(group, -1));
}

/* unicast and multicast: how many addresses; those that are looked for come last. */
static size_t mac_table(uint8_t *c, uint32_t unicast, uint32_t multicast)
{
	size_t n = 2;

	c[0] = 1;
	c[1] = 0;
	memcpy(c + n, &unicast, 4);
	memset(c + n + 4, 0x22, unicast * 6);
	n += 4 + unicast * 6;
	if (unicast)
		memcpy(c + n - 6, other, 6);
	memcpy(c + n, &multicast, 4);
	memset(c + n + 4, 0x33, multicast * 6);
	n += 4 + multicast * 6;
	if (multicast)
		memcpy(c + n - 6, group, 6);
	return n;
}

static void test_address_table(void **state)
{
	static uint8_t c[2 + 8 + 1000 * 6];
	static const struct {
		uint32_t unicast, multicast;
		bool all; /* of both kinds */
	} sets[] = {{1, 1, false}, {64, 64, false}, {65, 65, true}, {500, 500, true}};
	static const uint8_t strange[6] = {0x52, 9, 9, 9, 9, 9}, strangers[6] = {1, 9, 9, 9, 9, 9};

	(void)state;
	set_mode(0, false);
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		size_t n = mac_table(c, sets[i].unicast, sets[i].multicast);

		assert_int_equal(virtio_net_rig_command(&rig, c, n), OK);
		assert_true(passes(own, -1) && passes(other, -1) && passes(group, -1));
		assert_int_equal(passes(strange, -1), sets[i].all);
		assert_int_equal(passes(strangers, -1), sets[i].all);
	}
	assert_int_equal(virtio_net_rig_command(&rig, c, mac_table(c, 0, 0)), OK);
	assert_false(passes(other, -1) || passes(group, -1));
}

static void test_address_table_with_wrong_counts(void **state)
{
	static const uint32_t counts[] = {3, 1000, 0x2aaaaaab, 0x80000000, UINT32_MAX};
	uint8_t c[256];
	size_t n = mac_table(c, 2, 2);

	(void)state;
	set_mode(0, false);
	assert_int_equal(virtio_net_rig_command(&rig, c, n), OK);
	for (size_t cut = 2; cut < n; cut++)
		assert_int_equal(virtio_net_rig_command(&rig, c, cut), ERR);
	assert_int_equal(virtio_net_rig_command(&rig, c, n + 1), ERR);
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		mac_table(c, 2, 2);
		memcpy(c + 2, &counts[i], 4);
		assert_int_equal(virtio_net_rig_command(&rig, c, n), ERR);
		mac_table(c, 2, 2);
		memcpy(c + 18, &counts[i], 4);
		assert_int_equal(virtio_net_rig_command(&rig, c, n), ERR);
	}
	/* None of these changed what was. */
	assert_true(passes(other, -1) && passes(group, -1));
}

static uint8_t set_vlan(unsigned code, unsigned id)
{
	const uint8_t c[] = {2, (uint8_t)code, (uint8_t)id, (uint8_t)(id >> 8)};

	return virtio_net_rig_command(&rig, c, sizeof(c));
}

static void test_vlans(void **state)
{
	(void)state;
	set_mode(0, false);
	assert_true(passes(own, -1) && passes(own, 0));
	assert_false(passes(own, 1) || passes(own, 4095));
	assert_int_equal(set_vlan(0, 1), OK);
	assert_int_equal(set_vlan(0, 4095), OK);
	assert_true(passes(own, 1) && passes(own, 4095));
	assert_false(passes(own, 2) || passes(other, 1));
	assert_int_equal(set_vlan(1, 1), OK);
	assert_false(passes(own, 1));
	assert_int_equal(set_vlan(0, 4096), ERR);
	assert_int_equal(set_vlan(0, 65535), ERR);
	assert_int_equal(set_vlan(2, 1), ERR);
	/* Without the feature nothing is filtered by VLAN. */
	virtio_net_rig_start(&rig, NET_RIG_ALL & ~VIRTIO_NET_F_CTRL_VLAN, SIZE);
	set_mode(0, false);
	assert_true(passes(own, 77));
	assert_int_equal(set_vlan(0, 1), ERR);
}

static void test_address(void **state)
{
	uint8_t c[8] = {1, 1};

	(void)state;
	set_mode(0, false);
	memcpy(c + 2, other, 6);
	assert_int_equal(virtio_net_rig_command(&rig, c, 7), ERR);
	assert_true(passes(own, -1) && !passes(other, -1));
	assert_int_equal(virtio_net_rig_command(&rig, c, 8), OK);
	assert_true(passes(other, -1) && !passes(own, -1));
	assert_memory_equal(rig.v->config, other, 6);
	virtio_net_rig_reset(&rig);
	assert_memory_equal(rig.v->config, own, 6);
}

static void write_config(unsigned offset, unsigned size, uint64_t value)
{
	pthread_mutex_lock(&rig.v->lock);
	virtio_config_write(rig.v, offset, size, value);
	pthread_mutex_unlock(&rig.v->lock);
	virtio_net_rig_settle(&rig);
}

static void test_legacy_driver_writes_its_address(void **state)
{
	const uint8_t promisc_off[] = {0, 0, 0};

	(void)state;
	virtio_net_rig_start(&rig, NET_RIG_LEGACY, SIZE);
	assert_int_equal(virtio_net_rig_command(&rig, promisc_off, 3), OK);
	write_config(5, 1, other[5]);
	assert_memory_equal(rig.v->config, other, 6);
	assert_true(passes(other, -1) && !passes(own, -1));
}

static uint8_t set_pairs(unsigned pairs)
{
	const uint8_t c[] = {4, 0, (uint8_t)pairs, (uint8_t)(pairs >> 8)};

	return virtio_net_rig_command(&rig, c, sizeof(c));
}

static void test_pairs_of_queues(void **state)
{
	static const struct net_header none;
	uint8_t frame[60] = {0};

	(void)state;
	assert_int_equal(rig.control, 4);
	virtio_net_rig_offer(&rig, 0, 2, 200);
	virtio_net_rig_offer(&rig, 1, 2, 200);
	virtio_net_rig_send(&rig, 1, NULL, frame, sizeof(frame));
	virtio_net_rig_kick(&rig, 3);
	/* One pair is used until the driver says more. */
	assert_int_equal(rig.backend.packets, 0);
	assert_false(rig.backend.net.ready[1]);
	assert_int_equal(set_pairs(0), ERR);
	assert_int_equal(set_pairs(3), ERR);
	assert_int_equal(set_pairs(65535), ERR);
	assert_int_equal(set_pairs(2), OK);
	assert_int_equal(rig.backend.net.pairs, 2);
	assert_int_equal(rig.backend.packets, 1);
	assert_int_equal(rig.backend.queue[0], 1);
	assert_true(fake_net_deliver(&rig.backend, 1, &none, frame, sizeof(frame)));
	assert_true(virtio_net_rig_used(&rig, 2, NULL));
	net_delivered(&rig.backend.net, 1);
	assert_int_equal(rig.queue_interrupts[2], 1);
	assert_int_equal(set_pairs(1), OK);
	assert_false(rig.backend.net.ready[1]);
	/* A packet that the backend had on its way. */
	rig.backend.net.ready[1] = true;
	assert_true(fake_net_deliver(&rig.backend, 1, &none, frame, sizeof(frame)));
	assert_int_equal(virtio_net_counters(rig.v)->rx_inactive, 1);
	assert_false(virtio_net_rig_used(&rig, 2, NULL));
}

static void test_control_queue_without_multiqueue(void **state)
{
	static const uint64_t sets[] = {NET_RIG_ALL & ~VIRTIO_NET_F_MQ,
					NET_RIG_LEGACY & ~VIRTIO_NET_F_MQ};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		virtio_net_rig_start(&rig, sets[i], SIZE);
		assert_int_equal(rig.control, 2);
		set_mode(0, false);
		assert_false(passes(other, -1));
		assert_int_equal(set_pairs(1), ERR);
		virtio_kick(rig.v, 3);
		virtio_kick(rig.v, 4);
		virtio_net_rig_settle(&rig);
	}
	virtio_net_rig_start(&rig, NET_RIG_LEGACY, SIZE);
	assert_int_equal(rig.control, 4);
	assert_int_equal(set_pairs(2), OK);
}

static uint8_t set_offloads(uint64_t features)
{
	uint8_t c[10] = {5, 0};

	memcpy(c + 2, &features, 8);
	return virtio_net_rig_command(&rig, c, sizeof(c));
}

static void test_guest_offloads(void **state)
{
	(void)state;
	assert_int_equal(set_offloads(0), OK);
	assert_int_equal(rig.backend.net.offloads, 0);
	assert_int_equal(set_offloads(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO6), OK);
	assert_int_equal(rig.backend.net.offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6);
	assert_int_equal(set_offloads(VIRTIO_NET_F_GUEST_TSO6), OK);
	assert_int_equal(rig.backend.net.offloads, 0);
	assert_int_equal(set_offloads(VIRTIO_NET_GUEST_OFFLOADS), OK);
	assert_int_equal(rig.backend.net.offloads, NET_RIG_OFFLOADS);
	assert_int_equal(set_offloads(UINT64_MAX), ERR);
	assert_int_equal(set_offloads(VIRTIO_NET_F_CSUM), ERR);
	virtio_net_rig_start(&rig, NET_RIG_ALL & ~VIRTIO_NET_F_GUEST_TSO4, SIZE);
	assert_int_equal(set_offloads(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4), ERR);
}

static uint16_t shown_status(void)
{
	uint16_t status;

	memcpy(&status, rig.v->config + NET_CONFIG_STATUS, sizeof(status));
	return status;
}

static void test_link_and_announcement(void **state)
{
	const uint8_t ack[] = {3, 0};

	(void)state;
	assert_int_equal(virtio_net_rig_command(&rig, ack, 2), ERR);
	net_change_link(&rig.backend.net, false);
	assert_int_equal(shown_status(), 0);
	assert_int_equal(rig.config_interrupts, 1);
	net_change_link(&rig.backend.net, true);
	assert_int_equal(shown_status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	assert_true(rig.config_interrupts > 1);
	assert_int_equal(virtio_net_rig_command(&rig, (uint8_t[]){3, 0, 0}, 3), ERR);
	assert_int_equal(virtio_net_rig_command(&rig, ack, 2), OK);
	assert_int_equal(shown_status(), NET_STATUS_LINK_UP);
	virtio_net_announce(rig.v);
	assert_int_equal(shown_status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	virtio_net_rig_reset(&rig);
	assert_int_equal(shown_status(), NET_STATUS_LINK_UP);
	/* Not of a driver that does not know how. */
	virtio_net_rig_start(&rig, NET_RIG_ALL & ~VIRTIO_NET_F_GUEST_ANNOUNCE, SIZE);
	virtio_net_announce(rig.v);
	assert_int_equal(shown_status(), NET_STATUS_LINK_UP);
}

static void test_every_other_command_is_refused(void **state)
{
	uint8_t c[16] = {0};
	uint64_t refused = 0;

	(void)state;
	for (unsigned class = 0; class < 256; class ++) {
		for (unsigned code = 6; code < 256; code += code < 8 ? 1 : 50) {
			c[0] = (uint8_t) class;
			c[1] = (uint8_t)code;
			assert_int_equal(virtio_net_rig_command(&rig, c, sizeof(c)), ERR);
			refused++;
		}
	}
	assert_int_equal(virtio_net_rig_command(&rig, c, 1), ERR);
	assert_int_equal(virtio_net_counters(rig.v)->commands_refused, refused + 1);
	/* Without their features the known ones are, too. */
	virtio_net_rig_start(&rig, VIRTIO_F_VERSION_1 | VIRTIO_NET_F_CTRL_VQ, SIZE);
	for (unsigned class = 0; class < 6; class ++) {
		for (size_t n = 2; n <= 10; n++) {
			memset(c, 0, sizeof(c));
			c[0] = (uint8_t) class;
			assert_int_equal(virtio_net_rig_command(&rig, c, n), ERR);
		}
	}
}

static void test_command_without_room_for_an_answer(void **state)
{
	const struct fake_buffer b = {virtio_net_rig_memory(&rig, 3), 3, false};
	uint32_t length;

	(void)state;
	memset(virtio_net_rig_at(&rig, b.address, 3), 0, 3);
	virtio_net_rig_add(&rig, rig.control, &b, 1);
	virtio_net_rig_kick(&rig, rig.control);
	assert_true(virtio_net_rig_used(&rig, rig.control, &length));
	assert_int_equal(length, 0);
	assert_true(passes(other, -1)); /* it was not carried out */
}

static void test_command_in_single_bytes_and_many_at_once(void **state)
{
	const uint8_t c[] = {1, 1, 2, 2, 2, 2, 2, 9};
	struct fake_buffer b[sizeof(c) + 1];
	gpa_t a = virtio_net_rig_memory(&rig, sizeof(c) + 60);
	unsigned used = 0;
	uint32_t length;

	(void)state;
	assert_int_equal(gmem_write(rig.mem, a, c, sizeof(c)), 0);
	for (unsigned i = 0; i <= sizeof(c); i++)
		b[i] = (struct fake_buffer){a + i, 1, i == sizeof(c)};
	for (unsigned i = 0; i < 50; i++) {
		b[sizeof(c)].address = a + sizeof(c) + i;
		virtio_net_rig_add(&rig, rig.control, b, sizeof(c) + 1);
	}
	virtio_net_rig_kick(&rig, rig.control);
	while (virtio_net_rig_used(&rig, rig.control, &length))
		used += length;
	assert_int_equal(used, 50);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(*virtio_net_rig_at(&rig, a + sizeof(c) + i, 1), OK);
	assert_memory_equal(rig.v->config, c + 2, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(test_all_pass_at_first),
	    NET_TEST(test_receive_modes),
	    NET_TEST(test_address_table),
	    NET_TEST(test_address_table_with_wrong_counts),
	    NET_TEST(test_vlans),
	    NET_TEST(test_address),
	    NET_TEST(test_legacy_driver_writes_its_address),
	    NET_TEST(test_pairs_of_queues),
	    NET_TEST(test_control_queue_without_multiqueue),
	    NET_TEST(test_guest_offloads),
	    NET_TEST(test_link_and_announcement),
	    NET_TEST(test_every_other_command_is_refused),
	    NET_TEST(test_command_without_room_for_an_answer),
	    NET_TEST(test_command_in_single_bytes_and_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
