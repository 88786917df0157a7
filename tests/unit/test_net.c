/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all network backends share: the checks of the guest's packets, and the null backend. */
#include "net/backend.h"
#include "net_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* --- a backend that keeps the last packet --- */

static size_t seen_size;
static unsigned ready_changes;

static bool spy_send(struct net *n, unsigned queue, const struct net_header *h,
		     const struct iovec *frame, unsigned count, size_t size)
{
	(void)n;
	(void)queue;
	(void)h;
	(void)frame;
	(void)count;
	seen_size = size;
	return true;
}

static void spy_ready_changed(struct net *n, unsigned queue)
{
	(void)n;
	(void)queue;
	ready_changes++;
}

static const struct net_backend spy = {.send = spy_send, .ready_changed = spy_ready_changed};

static void test_sizes(void **state)
{
	static uint8_t frame[NET_FRAME_MAX];
	static const size_t sizes[] = {NET_FRAME_MIN, 60, NET_FRAME_MAX};
	struct net n = {.backend = &spy, .queues = 1};
	const struct net_header h = {0};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct iovec iov[3] = {{frame, 1}, {frame, 0}, {frame, sizes[i] - 1}};

		assert_true(net_send(&n, 0, &h, iov, 3));
		assert_int_equal(seen_size, sizes[i]);
	}
}

#define ALL_OFFLOADS (NET_TCP_OFFLOADS | NET_OFFLOAD_USO)

static bool fits(struct net_header h, size_t size)
{
	return net_header_fits(&h, size, ALL_OFFLOADS);
}

static const struct net_header good = {.flags = NET_NEEDS_CSUM,
				       .gso_type = NET_GSO_TCPV4,
				       .checksum_start = 34,
				       .checksum_offset = 16,
				       .gso_size = 1448,
				       .header_size = 66};

static void test_checksum_bounds(void **state)
{
	struct net_header h = {
	    .flags = NET_NEEDS_CSUM, .checksum_start = 34, .checksum_offset = 16};

	(void)state;
	assert_true(fits(h, 52));
	assert_false(fits(h, 51));
	h.checksum_offset = 0xffff;
	assert_false(fits(h, NET_FRAME_MAX));
	h.checksum_start = 0xffff;
	assert_false(fits(h, NET_FRAME_MAX));
	h.checksum_offset = 0;
	assert_false(fits(h, 0x10000));
	assert_true(fits(h, 0x10001));
	h.flags = 0; /* then they are nobody's business */
	assert_true(fits(h, 14));
}

static void test_every_segment_type(void **state)
{
	struct net_header h = good;
	unsigned type, valid = 0;

	(void)state;
	for (type = 0; type < 256; type++) {
		h.gso_type = (uint8_t)type;
		valid += fits(h, 9000);
	}
	assert_int_equal(valid, 4 + 2); /* ECN goes with both TCP; nobody fragments UDP */
	h.gso_type = NET_GSO_TCPV4 | NET_GSO_ECN;
	assert_true(fits(h, 9000));
	h.gso_type = NET_GSO_ECN;
	assert_false(fits(h, 9000));
	h.gso_type = NET_GSO_UDP_L4 | NET_GSO_ECN;
	assert_false(fits(h, 9000));
}

static void test_segment_fields(void **state)
{
	struct net_header h = good;

	(void)state;
	assert_true(fits(h, 66));
	h.gso_size = 0; /* whoever divides by it */
	assert_false(fits(h, 9000));
	h = good;
	h.flags = NET_DATA_VALID; /* segments need a checksum each */
	assert_false(fits(h, 9000));
}

static void test_offloads_that_were_not_offered(void **state)
{
	static const struct {
		uint8_t type;
		unsigned needs;
	} rows[] = {
	    {NET_GSO_NONE, NET_OFFLOAD_CSUM},
	    {NET_GSO_TCPV4, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4},
	    {NET_GSO_TCPV6, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6},
	    {NET_GSO_TCPV4 | NET_GSO_ECN, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_ECN},
	    {NET_GSO_UDP_L4, NET_OFFLOAD_CSUM | NET_OFFLOAD_USO},
	};
	struct net_header h;
	unsigned i, offered;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (offered = 0; offered < 32; offered++) {
			h = good;
			h.gso_type = rows[i].type;
			assert_int_equal(net_header_fits(&h, 9000, offered),
					 (offered & rows[i].needs) == rows[i].needs);
		}
	}
}

static void test_what_means_nothing_is_cleared(void **state)
{
	const struct net_header flags_only = {.flags = NET_DATA_VALID};
	struct net_header h;

	(void)state;
	h = (struct net_header){NET_DATA_VALID, NET_GSO_NONE, 0xffff, 0xffff, 0xffff, 0xffff, 0};
	assert_true(net_header_fits(&h, 100, 0));
	assert_memory_equal(&h, &flags_only, sizeof(h));
	h = good;
	assert_true(net_header_fits(&h, 9000, ALL_OFFLOADS));
	assert_memory_equal(&h, &good, sizeof(h));
}

/* It is a hint only. */
static void test_header_size_is_limited(void **state)
{
	struct net_header h = good;

	(void)state;
	assert_true(net_header_fits(&h, 66, ALL_OFFLOADS));
	assert_int_equal(h.header_size, 66);
	assert_true(net_header_fits(&h, 65, ALL_OFFLOADS));
	assert_int_equal(h.header_size, 65);
	h.header_size = 0xffff;
	assert_true(net_header_fits(&h, 0xfffe, ALL_OFFLOADS));
	assert_int_equal(h.header_size, 0xfffe);
}

/* The example of RFC 1071, section 3: the sum of these is ddf2. */
static void test_checksum(void **state)
{
	uint8_t frame[26] = {[16] = 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t odd[17] = {[14] = 0, 0, 0x12};
	const struct net_header h = {NET_NEEDS_CSUM, 0, 0, 0, 16, 8, 0};
	const struct net_header at_end = {NET_NEEDS_CSUM, 0, 0, 0, 14, 0, 0};
	uint8_t ones[16] = {[14] = 0xff, 0xff};

	(void)state;
	assert_true(fits(h, sizeof(frame)));
	net_complete_checksum(frame, sizeof(frame), &h);
	assert_int_equal(frame[24] << 8 | frame[25], 0xffff & ~0xddf2);
	net_complete_checksum(odd, sizeof(odd), &at_end);
	assert_int_equal(odd[14] << 8 | odd[15], 0xffff & ~0x1200);
	assert_int_equal(odd[16], 0x12);
	net_complete_checksum(ones, sizeof(ones), &at_end); /* 0 would mean that there is none */
	assert_int_equal(ones[14] << 8 | ones[15], 0xffff);
}

static void test_gather(void **state)
{
	char a[] = "abc", b[] = "defg", out[8] = "";
	const struct iovec iov[3] = {{a, 3}, {a, 0}, {b, 4}};

	(void)state;
	assert_int_equal(net_gather(out, 8, iov, 3), 7);
	assert_string_equal(out, "abcdefg");
	assert_int_equal(net_gather(out, 4, iov, 3), 4);
	assert_int_equal(net_gather(out, 4, iov, 0), 0);
}

static void test_null(void **state)
{
	const struct net_params p = {.kind = NET_NULL, .queues = 4};
	uint8_t frame[60] = {0};
	struct net_rig r;

	(void)state;
	net_rig_setup(&r);
	assert_int_equal(net_rig_open(&r, &p), 0);
	assert_int_equal(net_queues(r.net), 4);
	assert_true(net_link(r.net));
	net_set_offloads(r.net, net_receive_offloads(r.net));
	net_set_queues(r.net, 4);
	net_rig_ready(&r, 3);
	assert_true(net_rig_send(&r, 3, NULL, frame, sizeof(frame)));
	net_receive_stop(r.net, 3);
	net_rig_run(&r);
	assert_int_equal(r.packets, 0);
	net_rig_teardown(&r);
	net_close(NULL);
}

static void test_refused(void **state)
{
	struct net_params p = {.kind = NET_NONE, .queues = 1};
	struct net_rig r;

	(void)state;
	net_rig_setup(&r);
	assert_int_equal(net_rig_open(&r, &p), -1);
	assert_int_equal(r.why.status, STATUS_USAGE);
	p = (struct net_params){.kind = NET_NULL, .queues = 0};
	assert_int_equal(net_rig_open(&r, &p), -1);
	p.queues = NET_QUEUES_MAX + 1;
	assert_int_equal(net_rig_open(&r, &p), -1);
	p.kind = (enum net_kind)99;
	assert_int_equal(net_rig_open(&r, &p), -1);
	net_rig_teardown(&r);
}

static void test_ready_is_told_once(void **state)
{
	struct net n = {.backend = &spy, .queues = 2};

	(void)state;
	ready_changes = 0;
	net_receive_stop(&n, 0);
	net_receive_ready(&n, 0);
	net_receive_ready(&n, 0);
	net_receive_ready(&n, 1);
	net_receive_stop(&n, 0);
	assert_int_equal(ready_changes, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_checksum_bounds),
	    cmocka_unit_test(test_every_segment_type),
	    cmocka_unit_test(test_segment_fields),
	    cmocka_unit_test(test_offloads_that_were_not_offered),
	    cmocka_unit_test(test_what_means_nothing_is_cleared),
	    cmocka_unit_test(test_header_size_is_limited),
	    cmocka_unit_test(test_checksum),
	    cmocka_unit_test(test_gather),
	    cmocka_unit_test(test_null),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_ready_is_told_once),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
