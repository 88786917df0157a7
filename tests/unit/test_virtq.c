/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues against a driver of their own: every combination of features, sizes and batches, until
 * indexes and wrap counters have wrapped. Broken rings: test_virtq_bad.c; races:
 * test_virtq_model.c.
 */
#include "virtq_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CHAINS_WRAP  70000u /* past 2^16 */
#define CHAINS_SHORT 3000u

static uint32_t seed;

static unsigned any(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* What the driver knows of a chain in flight, by id. */
struct sent {
	bool live;
	unsigned number; /* in the order of being made available */
	unsigned out_count, in_count;
	uint32_t in_bytes;
};

/* What the device holds. */
struct held {
	struct virtq_chain chain;
	struct iovec iov[RIG_SEGMENTS];
};

struct exchange {
	struct virtq_rig rig;
	struct sent sent[FAKE_DRIVER_SIZE];
	struct held held[FAKE_DRIVER_SIZE];
	unsigned held_count;
	unsigned made, used, goal;
	bool kicked, interrupted;
	unsigned kicks, interrupts;
};

static struct exchange x;

static gpa_t buffer_address(unsigned id, unsigned i)
{
	return (i & 1 ? RIG_HIGH : RIG_BUFFERS) + id * 1024u + i * 64u;
}

/* Adds one chain with a stamp of its number in what the device reads. False: no room. */
static bool driver_add(void)
{
	struct fake_driver *d = &x.rig.driver;
	struct fake_buffer b[8];
	unsigned out = any(4), n = out + any(4), i;
	unsigned id = d->free_ids[d->free_first];
	bool indirect = x.rig.features & VIRTIO_F_INDIRECT_DESC && any(2);
	uint32_t in_bytes = 0;

	if (n == 0)
		out = n = 1;
	if (n > d->size && !indirect)
		out = n = 1;
	for (i = 0; i < n; i++) {
		b[i] = (struct fake_buffer){buffer_address(id, i), 4 + any(60), i >= out};
		in_bytes += i >= out ? b[i].length : 0;
	}
	if (d->free_count == 0 || fake_driver_add(d, b, n, indirect) < 0)
		return false;
	assert_false(x.sent[id].live);
	x.sent[id] = (struct sent){true, x.made++, out, n - out, in_bytes};
	for (i = 0; i < out; i++)
		assert_int_equal(gmem_write(x.rig.mem, b[i].address, &x.sent[id].number, 4), 0);
	return true;
}

static void driver_harvest(void)
{
	uint32_t length;
	unsigned id;

	while (fake_driver_get(&x.rig.driver, &id, &length)) {
		assert_true(x.sent[id].live);
		assert_int_equal(length, x.sent[id].in_bytes);
		if (x.rig.features & VIRTIO_F_IN_ORDER)
			assert_int_equal(x.sent[id].number, x.used);
		x.sent[id].live = false;
		x.used++;
	}
}

static void driver_run(void)
{
	struct fake_driver *d = &x.rig.driver;
	unsigned batch = 1 + any(d->size < 8 ? d->size : 8);

	if (x.interrupted) {
		x.interrupted = false;
		fake_driver_want_interrupts(d, false);
		driver_harvest();
		fake_driver_want_interrupts(d, true);
		driver_harvest();
		/* What came after the wish was stated may have been told of as well. */
	}
	while (batch-- && x.made < x.goal && driver_add())
		;
	if (d->unpublished) {
		fake_driver_publish(d);
		if (fake_driver_must_kick(d, d->published)) {
			x.kicked = true;
			x.kicks++;
		}
	}
}

static void check_chain(const struct virtq_chain *c)
{
	const struct sent *s = &x.sent[c->id];
	uint64_t in_bytes = 0;
	unsigned i;

	assert_true(s->live);
	assert_int_equal(c->out_count, s->out_count);
	assert_int_equal(c->in_count, s->in_count);
	for (i = 0; i < c->out_count; i++)
		assert_memory_equal(c->iov[i].iov_base, &s->number, 4);
	for (; i < c->out_count + c->in_count; i++)
		in_bytes += c->iov[i].iov_len;
	assert_int_equal(c->in_bytes, in_bytes);
	assert_int_equal(in_bytes, s->in_bytes);
}

static void device_take(void)
{
	struct held *h;
	int got;

	for (;;) {
		h = &x.held[x.held_count];
		h->chain.iov = h->iov;
		h->chain.iov_max = RIG_SEGMENTS;
		got = virtq_pop(&x.rig.q, &h->chain);
		if (got != 1)
			break;
		check_chain(&h->chain);
		x.held_count++;
	}
	assert_int_equal(got, 0);
}

static void device_finish(unsigned n)
{
	struct held done;
	unsigned i;

	for (; n && x.held_count; n--) {
		i = any(x.held_count);
		done = x.held[i];
		x.held[i] = x.held[--x.held_count];
		x.held[i].chain.iov = x.held[i].iov;
		virtq_push(&x.rig.q, &done.chain, (uint32_t)done.chain.in_bytes);
	}
	if (virtq_interrupt_needed(&x.rig.q)) {
		x.interrupted = true;
		x.interrupts++;
	}
}

/* Each side acts only when it was told to; if a notification were lost, it would stand still. */
static void exchange(uint16_t size, uint64_t features, unsigned goal)
{
	unsigned idle = 0;

	virtq_rig_start(&x.rig, size, features);
	memset(x.sent, 0, sizeof(x.sent));
	x.held_count = x.made = x.used = x.kicks = x.interrupts = 0;
	x.kicked = x.interrupted = false;
	x.goal = goal;
	fake_driver_want_interrupts(&x.rig.driver, true);
	while (x.used < goal) {
		unsigned before = x.used + x.made + x.held_count;

		driver_run();
		if (x.kicked) {
			x.kicked = false;
			device_take();
		}
		device_finish(any(x.held_count + 2));
		idle = before == x.used + x.made + x.held_count ? idle + 1 : 0;
		assert_true(idle < 1000);
	}
	assert_int_equal(x.rig.broken, 0);
	assert_int_equal(x.rig.q.in_flight, 0);
	assert_true(x.kicks <= goal && x.interrupts <= goal);
}

static void exchange_all(bool packed)
{
	static const uint64_t bits[] = {VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC,
					VIRTIO_F_IN_ORDER};
	static const uint16_t sizes[] = {1, 2, 3, 5, 8, 128, 1024};
	unsigned set, i;

	seed = 1;
	virtq_rig_init(&x.rig);
	for (set = 0; set < 8; set++) {
		uint64_t features = packed ? VIRTIO_F_RING_PACKED : 0;

		for (i = 0; i < 3; i++)
			features |= set >> i & 1 ? bits[i] : 0;
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			if (!packed && sizes[i] & (sizes[i] - 1))
				continue;
			exchange(sizes[i], features, sizes[i] == 8 ? CHAINS_WRAP : CHAINS_SHORT);
		}
	}
	virtq_rig_fini(&x.rig);
}

static void test_split_exchange(void **state)
{
	(void)state;
	exchange_all(false);
}

static void test_packed_exchange(void **state)
{
	(void)state;
	exchange_all(true);
}

/* One buffer of 16 bytes for the device to write. */
static void add_one(struct virtq_rig *r)
{
	struct fake_buffer b = {RIG_BUFFERS, 16, true};

	assert_true(fake_driver_add(&r->driver, &b, 1, false) >= 0);
	fake_driver_publish(&r->driver);
}

static void complete_one(struct virtq_rig *r)
{
	assert_int_equal(virtq_pop(&r->q, &r->chain), 1);
	virtq_push(&r->q, &r->chain, 16);
}

static const uint64_t formats[] = {0, VIRTIO_F_RING_PACKED};

/* While the device has work, it is not kicked; a batch gets one interrupt, an unasked one none. */
static void test_suppression(void **state)
{
	static struct virtq_rig r;
	struct fake_driver *d = &r.driver;
	uint32_t length;
	unsigned f, id;

	(void)state;
	virtq_rig_init(&r);
	for (f = 0; f < 4; f++) {
		virtq_rig_start(&r, 8, formats[f & 1] | (f & 2 ? VIRTIO_F_EVENT_IDX : 0));
		fake_driver_want_interrupts(d, true);
		assert_int_equal(virtq_pop(&r.q, &r.chain), 0);
		assert_false(virtq_interrupt_needed(&r.q));
		add_one(&r);
		assert_true(fake_driver_must_kick(d, 1));
		complete_one(&r);
		add_one(&r);
		assert_false(fake_driver_must_kick(d, 1));
		add_one(&r);
		complete_one(&r);
		complete_one(&r);
		assert_int_equal(virtq_pop(&r.q, &r.chain), 0);
		assert_true(virtq_interrupt_needed(&r.q));
		assert_false(virtq_interrupt_needed(&r.q));
		while (fake_driver_get(d, &id, &length))
			;
		fake_driver_want_interrupts(d, false);
		add_one(&r);
		assert_true(fake_driver_must_kick(d, 1));
		complete_one(&r);
		assert_int_equal(virtq_interrupt_needed(&r.q), false);
	}
	virtq_rig_fini(&r);
}

/* EVENT_IDX: an interrupt exactly when the named place is passed, over every wrap of a small ring.
 */
static void test_interrupt_after(void **state)
{
	static struct virtq_rig r;
	unsigned f, round, skip, i;
	uint32_t length;
	unsigned id;

	(void)state;
	virtq_rig_init(&r);
	for (f = 0; f < 2; f++) {
		virtq_rig_start(&r, 4, formats[f] | VIRTIO_F_EVENT_IDX);
		for (round = 0; round < 400; round++) {
			skip = round % 4;
			fake_driver_want_interrupt_after(&r.driver, skip);
			for (i = 0; i < 4; i++) {
				add_one(&r);
				complete_one(&r);
				assert_int_equal(virtq_interrupt_needed(&r.q), i == skip);
			}
			while (fake_driver_get(&r.driver, &id, &length))
				;
			fake_driver_want_interrupt_after(&r.driver, skip);
			for (i = 0; i <= round % 3; i++) {
				add_one(&r);
				complete_one(&r);
			}
			assert_int_equal(virtq_interrupt_needed(&r.q), round % 3 >= skip);
			while (fake_driver_get(&r.driver, &id, &length))
				;
		}
	}
	virtq_rig_fini(&r);
}

/* What the device did not write is not counted, and the element says what it was told. */
static void test_written(void **state)
{
	static struct virtq_rig r;
	uint32_t length;
	unsigned f, id, n;

	(void)state;
	virtq_rig_init(&r);
	for (f = 0; f < 2; f++) {
		virtq_rig_start(&r, 2, formats[f]);
		for (n = 0; n <= 16; n++) {
			add_one(&r);
			assert_int_equal(virtq_pop(&r.q, &r.chain), 1);
			virtq_push(&r.q, &r.chain, n);
			assert_true(fake_driver_get(&r.driver, &id, &length));
			assert_int_equal(length, n);
		}
	}
	virtq_rig_fini(&r);
}

/* Section 2.6.1: a queue that is stopped leaves memory alone, and starts afresh. */
static void test_queue_reset(void **state)
{
	static struct virtq_rig r;
	unsigned f;

	(void)state;
	virtq_rig_init(&r);
	for (f = 0; f < 2; f++) {
		virtq_rig_start(&r, 4, formats[f] | VIRTIO_F_IN_ORDER);
		add_one(&r);
		add_one(&r);
		assert_int_equal(virtq_pop(&r.q, &r.chain), 1);
		virtq_stop(&r.q);
		fake_driver_init(&r.driver, r.mem, 0, 4, f, false);
		virtq_push(&r.q, &r.chain, 16);
		assert_false(virtq_interrupt_needed(&r.q));
		assert_int_equal(virtq_pop(&r.q, &r.chain), -EPROTO);
		for (gpa_t a = 0; a < 0x10000; a += 8) {
			uint64_t word;

			assert_int_equal(gmem_read(r.mem, a, &word, 8), 0);
			assert_int_equal(word, 0);
		}
		virtq_rig_start(&r, 4, formats[f] | VIRTIO_F_IN_ORDER);
		for (unsigned i = 0; i < 10; i++) {
			uint32_t length;
			unsigned id;

			add_one(&r);
			complete_one(&r);
			assert_true(fake_driver_get(&r.driver, &id, &length));
		}
		assert_int_equal(r.broken, 0);
	}
	virtq_rig_fini(&r);
}

/* Sections 2.7 and 2.8.10.1; every size from 0 on, and each area unaligned, at the end, past it. */
static void test_places(void **state)
{
	static struct virtq_rig r;
	unsigned f, size;

	(void)state;
	virtq_rig_init(&r);
	virtq_rig_start(&r, 8, 0);
	for (f = 0; f < 2; f++) {
		for (size = 0; size <= 65535; size++) {
			struct virtq_place p = {(uint16_t)size, 0, 0x80000, 0x100000};
			bool allowed =
			    size && size <= VIRTQ_SIZE_MAX && (f || (size & (size - 1)) == 0);

			assert_int_equal(virtq_start(&r.q, &p, formats[f]), allowed);
			virtq_stop(&r.q);
		}
	}
	for (f = 0; f < 2; f++) {
		const uint64_t need[3] = {8 * 16, f ? 4 : 6 + 2 * 8, f ? 4 : 6 + 8 * 8};
		const uint64_t align[3] = {16, f ? 4 : 2, 4};

		for (unsigned area = 0; area < 3; area++) {
			uint64_t last = (RIG_RAM - need[area]) & ~(align[area] - 1);
			const struct {
				gpa_t a;
				bool allowed;
			} tries[] = {{align[area], true}, {align[area] / 2, false},
				     {last, true},        {last + align[area], false},
				     {RIG_RAM, false},    {RIG_HIGH - align[area], false},
				     {RIG_HIGH, true},    {UINT64_MAX - 15, false},
				     {UINT64_MAX, false}};

			for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
				struct virtq_place p = {8, 0x1000, 0x2000, 0x3000};

				*(area == 0   ? &p.desc
				  : area == 1 ? &p.driver
					      : &p.device) = tries[i].a;
				r.broken = 0;
				assert_int_equal(virtq_start(&r.q, &p, formats[f]),
						 tries[i].allowed);
				assert_int_equal(r.broken, !tries[i].allowed);
			}
		}
	}
	virtq_rig_fini(&r);
}

/* The example of section 2.7.2: align 4096, so the used ring begins a page. */
static void test_legacy_place(void **state)
{
	struct virtq_place p;

	(void)state;
	virtq_legacy_place(&p, 0x10000, 256);
	assert_int_equal(p.desc, 0x10000);
	assert_int_equal(p.driver, 0x11000);
	assert_int_equal(p.device, 0x12000);
	virtq_legacy_place(&p, 0x10000, 1);
	assert_int_equal(p.driver, 0x10010);
	assert_int_equal(p.device, 0x11000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_split_exchange), cmocka_unit_test(test_packed_exchange),
	    cmocka_unit_test(test_suppression),    cmocka_unit_test(test_interrupt_after),
	    cmocka_unit_test(test_written),        cmocka_unit_test(test_queue_reset),
	    cmocka_unit_test(test_places),         cmocka_unit_test(test_legacy_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
