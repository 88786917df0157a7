/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings that break the rules, each a test of its own: the queue stops, says so once, touches
 * nothing any more, and starts again when it is told to.
 */
#include "virtq_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define SIZE  8u
#define TABLE (RIG_BUFFERS + 0x10000u)
#define DATA  RIG_BUFFERS
#define FULL  0xffffffffu /* a length */

enum { N = 1, W = 2, I = 4 };

/* Packed descriptors get their id and their bits of availability from put(). */
struct raw {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct bad {
	const char *name;
	const char *why; /* NULL: it is allowed */
	bool split_only, packed_only, direct_only;
	struct raw ring[4];
	struct raw table[4]; /* at TABLE */
	uint16_t head;
};

static const struct bad cases[] = {
    {.name = "good chain", .ring = {{DATA, 1, N, 1}, {DATA, 16, W, 0}}},
    {.name = "good table",
     .ring = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N, 1}, {DATA, 1, W, 0}}},
    {.name = "write flag of an indirect descriptor is ignored",
     .ring = {{TABLE, 16, I | W, 0}},
     .table = {{DATA, 1, 0, 0}}},
    {.name = "length 0", .why = "length 0", .ring = {{DATA, 0, 0, 0}}},
    {.name = "length 0 to write", .why = "length 0", .ring = {{DATA, 0, W, 0}}},
    {.name = "length 0 after others",
     .why = "length 0",
     .ring = {{DATA, 1, N, 1}, {DATA, 0, W, 0}}},
    {.name = "write before read",
     .why = "to read after",
     .ring = {{DATA, 1, W | N, 1}, {DATA, 1, 0, 0}}},
    {.name = "address in a hole", .why = "outside RAM", .ring = {{RIG_RAM, 1, 0, 0}}},
    {.name = "last byte in a hole", .why = "outside RAM", .ring = {{RIG_RAM - 15, 16, 0, 0}}},
    {.name = "address of the local APIC", .why = "outside RAM", .ring = {{0xfee00000, 4, W, 0}}},
    {.name = "address of PCI configuration", .why = "outside RAM", .ring = {{0xb0000000, 4, W, 0}}},
    {.name = "address wraps", .why = "outside RAM", .ring = {{UINT64_MAX, 2, 0, 0}}},
    {.name = "address wraps to RAM", .why = "outside RAM", .ring = {{UINT64_MAX - 15, 64, W, 0}}},
    {.name = "length 2^31", .why = "outside RAM", .ring = {{DATA, 1u << 31, 0, 0}}},
    {.name = "length 2^32 - 1", .why = "outside RAM", .ring = {{DATA, FULL, W, 0}}},
    {.name = "next outside the table",
     .why = "index outside",
     .split_only = true,
     .ring = {{DATA, 1, N, SIZE}}},
    {.name = "next 65535",
     .why = "index outside",
     .split_only = true,
     .ring = {{DATA, 1, N, 65535}}},
    {.name = "head outside the table", .why = "head outside", .split_only = true, .head = SIZE},
    {.name = "head 65535", .why = "head outside", .split_only = true, .head = 65535},
    {.name = "loop of one", .why = "loop", .split_only = true, .ring = {{DATA, 1, N, 0}}},
    {.name = "loop of two",
     .why = "loop",
     .split_only = true,
     .ring = {{DATA, 1, N, 1}, {DATA, 1, N, 0}}},
    {.name = "indirect, not negotiated",
     .why = "not negotiated",
     .direct_only = true,
     .ring = {{TABLE, 16, I, 0}},
     .table = {{DATA, 1, 0, 0}}},
    {.name = "indirect with next", .why = "with a next", .ring = {{TABLE, 16, I | N, 1}}},
    {.name = "indirect after direct",
     .packed_only = true,
     .why = "after a direct",
     .ring = {{DATA, 1, N, 0}, {TABLE, 16, I, 0}},
     .table = {{DATA, 1, 0, 0}}},
    {.name = "indirect after direct, split: allowed",
     .split_only = true,
     .ring = {{DATA, 1, N, 1}, {TABLE, 16, I, 0}},
     .table = {{DATA, 1, 0, 0}}},
    {.name = "indirect in indirect",
     .why = "in an indirect",
     .ring = {{TABLE, 16, I, 0}},
     .table = {{TABLE, 16, I, 0}}},
    {.name = "table of length 0", .why = "bad length", .ring = {{TABLE, 0, I, 0}}},
    {.name = "table of 15 bytes", .why = "bad length", .ring = {{TABLE, 15, I, 0}}},
    {.name = "table of 17 bytes", .why = "bad length", .ring = {{TABLE, 17, I, 0}}},
    {.name = "table of 2^32 - 1 bytes", .why = "bad length", .ring = {{TABLE, FULL, I, 0}}},
    {.name = "table in a hole", .why = "table outside", .ring = {{RIG_RAM, 16, I, 0}}},
    {.name = "table ends in a hole", .why = "table outside", .ring = {{RIG_RAM - 8, 16, I, 0}}},
    {.name = "table wraps", .why = "table outside", .ring = {{UINT64_MAX - 15, 32, I, 0}}},
    {.name = "table with length 0",
     .why = "length 0",
     .ring = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N, 1}, {DATA, 0, 0, 0}}},
    {.name = "table with write before read",
     .why = "to read after",
     .ring = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N | W, 1}, {DATA, 1, 0, 0}}},
    {.name = "next outside the indirect table",
     .why = "index outside",
     .split_only = true,
     .ring = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N, 2}}},
    {.name = "loop in an indirect table",
     .why = "loop",
     .split_only = true,
     .ring = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N, 1}, {DATA, 1, N, 0}}},
    {.name = "loop in an indirect table of 2^28 entries",
     .why = "too many",
     .split_only = true,
     .ring = {{TABLE, FULL - 15, I, 0}},
     .table = {{DATA, 1, N, 0}}},
    {.name = "indirect table of 2^28 entries",
     .why = "length 0",
     .packed_only = true,
     .ring = {{TABLE, FULL - 15, I, 0}},
     .table = {{DATA, 1, 0, 0}}},
};

/* The pair of a case and a format. */
struct variant {
	const struct bad *bad;
	bool packed;
};

static void put(struct virtq_rig *r, gpa_t table, const struct raw *raw, unsigned i, bool in_ring)
{
	struct fake_desc d = {raw->address, raw->length, raw->flags, raw->next};

	if (r->driver.packed) {
		d.first = 3; /* id */
		d.second =
		    (uint16_t)(raw->flags | (in_ring && raw->length + raw->flags ? 0x80 : 0));
	}
	fake_driver_write_desc(&r->driver, table, i, d);
}

/* The queue is broken, has said so once, and writes nothing whatever is asked of it. */
static void check_broken(struct virtq_rig *r, const char *why)
{
	static uint8_t before[0x20000], after[0x20000];

	assert_int_equal(r->broken, 1);
	assert_non_null(strstr(r->why, why));
	assert_int_equal(gmem_read(r->mem, 0, before, sizeof(before)), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(virtq_pop(&r->q, &r->chain), -EPROTO);
		assert_false(virtq_interrupt_needed(&r->q));
	}
	assert_int_equal(r->broken, 1);
	assert_int_equal(gmem_read(r->mem, 0, after, sizeof(after)), 0);
	assert_memory_equal(before, after, sizeof(before));
}

static void check_alive(struct virtq_rig *r, uint64_t features)
{
	struct fake_buffer b = {DATA, 16, true};
	uint32_t length;
	unsigned id;

	virtq_rig_start(r, SIZE, features);
	assert_true(fake_driver_add(&r->driver, &b, 1, false) >= 0);
	fake_driver_publish(&r->driver);
	assert_int_equal(virtq_pop(&r->q, &r->chain), 1);
	virtq_push(&r->q, &r->chain, 16);
	assert_true(fake_driver_get(&r->driver, &id, &length));
}

static void run_case(void **state)
{
	const struct variant *v = *state;
	const struct bad *bad = v->bad;
	uint64_t features = (v->packed ? VIRTIO_F_RING_PACKED : 0) |
			    (bad->direct_only ? 0 : VIRTIO_F_INDIRECT_DESC);
	static struct virtq_rig r;
	unsigned i;

	virtq_rig_init(&r);
	virtq_rig_start(&r, SIZE, features);
	for (i = 0; i < 4; i++) {
		put(&r, r.driver.desc, &bad->ring[i], i, true);
		put(&r, TABLE, &bad->table[i], i, false);
	}
	if (!v->packed)
		fake_driver_write_avail(&r.driver, 1, 0, bad->head);
	if (!bad->why) {
		assert_int_equal(virtq_pop(&r.q, &r.chain), 1);
		assert_int_equal(r.broken, 0);
	} else {
		/* A packed length and flags of 0 are availability withheld: bring it back. */
		if (v->packed)
			fake_driver_write_desc(&r.driver, r.driver.desc, 0,
					       (struct fake_desc){bad->ring[0].address,
								  bad->ring[0].length, 3,
								  bad->ring[0].flags | 0x80});
		assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
		check_broken(&r, bad->why);
		check_alive(&r, features);
	}
	virtq_rig_fini(&r);
}

/* available.idx ahead by more than the size, from 0 and over the wrap of 16 bits. */
static void test_index_ahead(void **state)
{
	static struct virtq_rig r;
	unsigned ahead;

	(void)state;
	virtq_rig_init(&r);
	for (ahead = SIZE + 1; ahead <= 65535; ahead += ahead < 20 || ahead > 65500 ? 1 : 97) {
		virtq_rig_start(&r, SIZE, 0);
		fake_driver_write_avail(&r.driver, (uint16_t)ahead, 0, 0);
		assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
		check_broken(&r, "ahead");
	}
	virtq_rig_fini(&r);
}

/* CVE-2016-5403: a head that is in flight does not count again. */
static void test_live_head(void **state)
{
	static struct virtq_rig r;
	struct raw one = {DATA, 1, 0, 0};

	(void)state;
	virtq_rig_init(&r);
	virtq_rig_start(&r, SIZE, 0);
	put(&r, r.driver.desc, &one, 5, true);
	fake_driver_write_avail(&r.driver, 1, 0, 5);
	assert_int_equal(virtq_pop(&r.q, &r.chain), 1);
	fake_driver_write_avail(&r.driver, 2, 1, 5);
	assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
	check_broken(&r, "in flight");
	/* The chain that was in flight comes back to a broken queue: nothing happens. */
	virtq_push(&r.q, &r.chain, 0);
	assert_int_equal(r.broken, 1);
	virtq_rig_fini(&r);
}

/* Packed: a ring that is full in flight has nothing more, whatever its bits say. */
static void test_packed_full(void **state)
{
	static struct virtq_rig r;
	unsigned i;

	(void)state;
	virtq_rig_init(&r);
	virtq_rig_start(&r, SIZE, VIRTIO_F_RING_PACKED);
	for (i = 0; i < SIZE; i++)
		fake_driver_write_desc(&r.driver, r.driver.desc, i,
				       (struct fake_desc){DATA, 1, 3, 0x80});
	for (i = 0; i < SIZE; i++)
		assert_int_equal(virtq_pop(&r.q, &r.chain), 1);
	assert_int_equal(virtq_pop(&r.q, &r.chain), 0);
	fake_driver_write_desc(&r.driver, r.driver.desc, 0, (struct fake_desc){DATA, 1, 3, 0x8000});
	assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
	check_broken(&r, "in flight");
	virtq_rig_fini(&r);
}

/* Packed: NEXT in every slot goes round the ring once at most. */
static void test_packed_endless(void **state)
{
	static struct virtq_rig r;
	unsigned i;

	(void)state;
	virtq_rig_init(&r);
	virtq_rig_start(&r, SIZE, VIRTIO_F_RING_PACKED);
	for (i = 0; i < SIZE; i++)
		fake_driver_write_desc(&r.driver, r.driver.desc, i,
				       (struct fake_desc){DATA, 1, 3, 0x81});
	assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
	check_broken(&r, "in flight");
	virtq_rig_fini(&r);
}

/* iov_max pieces are the limit, direct and indirect; 2^32 bytes are, whatever the RAM. */
static void test_oversized(void **state)
{
	static struct virtq_rig r;
	struct fake_buffer b[RIG_SEGMENTS + 1];
	unsigned f, n;

	(void)state;
	virtq_rig_init(&r);
	for (n = 0; n <= RIG_SEGMENTS; n++)
		b[n] = (struct fake_buffer){DATA, 1, false};
	for (f = 0; f < 4; f++) {
		for (n = RIG_SEGMENTS; n <= RIG_SEGMENTS + 1; n++) {
			virtq_rig_start(
			    &r, 32, (f & 1 ? VIRTIO_F_RING_PACKED : 0) | VIRTIO_F_INDIRECT_DESC);
			assert_true(fake_driver_add(&r.driver, b, n, f & 2) >= 0);
			fake_driver_publish(&r.driver);
			assert_int_equal(virtq_pop(&r.q, &r.chain),
					 n == RIG_SEGMENTS ? 1 : -EPROTO);
			if (n > RIG_SEGMENTS)
				check_broken(&r, "too many");
		}
	}
	virtq_rig_fini(&r);
}

/* 1.5 GiB of address space, none of it touched, three times: more than 2^32 bytes. */
static void test_chain_bytes(void **state)
{
	static struct virtq_rig r;
	const uint32_t big = 3u << 29;
	struct fake_buffer b[3] = {
	    {RIG_HIGH, big, false}, {RIG_HIGH, big, false}, {RIG_HIGH, 0, 1}};
	unsigned f, n;

	(void)state;
	virtq_rig_init(&r);
	gmem_destroy(r.mem);
	assert_int_equal(gmem_create(RIG_RAM + (uint64_t)big, &r.mem), 0);
	assert_int_equal(gmem_place(r.mem, 0, 0, RIG_RAM), 0);
	assert_int_equal(gmem_place(r.mem, RIG_HIGH, RIG_RAM, big), 0);
	for (f = 0; f < 4; f++) {
		n = f & 2;
		b[2].length = (1u << 30) + (n ? 1 : 0);
		virtq_rig_start(&r, SIZE, f & 1 ? VIRTIO_F_RING_PACKED : 0);
		assert_true(fake_driver_add(&r.driver, b, 3, false) >= 0);
		fake_driver_publish(&r.driver);
		assert_int_equal(virtq_pop(&r.q, &r.chain), n ? -EPROTO : 1);
		if (n)
			check_broken(&r, "2^32");
	}
	virtq_rig_fini(&r);
}

#define CASES (sizeof(cases) / sizeof(cases[0]))

int main(void)
{
	static struct variant variants[2 * CASES];
	static char names[2 * CASES][96];
	static struct CMUnitTest tests[2 * CASES + 6] = {
	    cmocka_unit_test(test_index_ahead), cmocka_unit_test(test_live_head),
	    cmocka_unit_test(test_packed_full), cmocka_unit_test(test_packed_endless),
	    cmocka_unit_test(test_oversized),   cmocka_unit_test(test_chain_bytes),
	};
	unsigned i, packed, n = 0;

	for (i = 0; i < CASES; i++) {
		for (packed = 0; packed < 2; packed++) {
			if (packed ? cases[i].split_only : cases[i].packed_only)
				continue;
			variants[n] = (struct variant){&cases[i], packed};
			snprintf(names[n], sizeof(names[n]), "%s: %s", packed ? "packed" : "split",
				 cases[i].name);
			tests[6 + n] =
			    (struct CMUnitTest){names[n], run_case, NULL, NULL, &variants[n]};
			n++;
		}
	}
	return _cmocka_run_group_tests("virtq_bad", tests, 6 + n, NULL, NULL);
}
