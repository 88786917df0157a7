/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_pci_slot.h"
#include "virtio/rng.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define BUFFER   0x800000u
#define FEATURES VIRTIO_F_VERSION_1

/* What the host's kernel gives. */
static struct {
	unsigned calls;
	size_t bytes, largest;
	size_t at_most; /* of a call */
	bool none;
	struct virtio_pci_slot *refill; /* its driver is quick */
} host;

static void refill(struct virtio_pci_slot *r);

static ssize_t fake_random(void *buf, size_t n)
{
	host.calls++;
	if (host.none) {
		errno = EAGAIN;
		return -1;
	}
	if (n > host.at_most)
		n = host.at_most;
	memset(buf, 0xa5, n);
	host.bytes += n;
	host.largest = n > host.largest ? n : host.largest;
	if (host.refill && host.calls < 1000)
		refill(host.refill);
	return (ssize_t)n;
}

static void rig_init(struct virtio_pci_slot *r, ssize_t (*source)(void *buf, size_t n))
{
	struct virtio_rng_params rng = {.random = source};

	memset(&host, 0, sizeof(host));
	host.at_most = SIZE_MAX;
	virtio_pci_slot_init(r);
	rng.mem = r->mem;
	rng.loop = r->board.loop;
	assert_int_equal(virtio_rng_create(&rng, &r->v), 0);
	virtio_pci_slot_attach(r, false);
	assert_true(virtio_pci_driver_start(&r->driver, FEATURES, 1, VIRTIO_PCI_SLOT_RINGS, 8));
}

static void add(struct virtio_pci_slot *r, const struct fake_buffer *b, unsigned n)
{
	assert_true(fake_driver_add(&r->driver.queue[0], b, n, false) >= 0);
	fake_driver_publish(&r->driver.queue[0]);
	virtio_pci_driver_kick(&r->driver, 0);
}

/* The length of the one chain that came back. */
static uint32_t get(struct virtio_pci_slot *r)
{
	uint32_t length;
	unsigned id;

	assert_true(fake_driver_get(&r->driver.queue[0], &id, &length));
	return length;
}

static uint32_t ask(struct virtio_pci_slot *r, uint32_t bytes)
{
	const struct fake_buffer b = {BUFFER, bytes, true};

	add(r, &b, 1);
	virtio_pci_driver_settle(&r->driver);
	return get(r);
}

static void test_entropy(void **state)
{
	uint8_t byte[256];
	unsigned count[2] = {0};
	struct virtio_pci_slot r;

	(void)state;
	rig_init(&r, NULL);
	assert_int_equal(ask(&r, 256), 256);
	assert_int_equal(virtio_pci_driver_isr(&r.driver), 1);
	assert_int_equal(gmem_read(r.mem, BUFFER, byte, sizeof(byte)), 0);
	for (unsigned i = 0; i < 8 * sizeof(byte); i++)
		count[byte[i / 8] >> i % 8 & 1]++;
	/* Eight standard deviations of a coin. */
	assert_true(count[0] > 840 && count[1] > 840);
	virtio_pci_slot_fini(&r);
}

/* CVE-2016-2858: each length that a buffer can have. */
static void test_cve_length(void **state)
{
	static const uint32_t lengths[] = {
	    1, 2, 4095, 4096, 4097, 0x10000, VIRTIO_PCI_SLOT_RAM - BUFFER};
	struct virtio_pci_slot r;

	(void)state;
	rig_init(&r, fake_random);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t want = lengths[i] < 4096 ? lengths[i] : 4096, guard = 0x11111111;
		uint32_t got;
		uint8_t last;

		assert_int_equal(gmem_zero(r.mem, BUFFER, 8192), 0);
		assert_int_equal(gmem_write(r.mem, BUFFER + want, &guard, 4), 0);
		assert_int_equal(ask(&r, lengths[i]), want);
		assert_int_equal(gmem_read(r.mem, BUFFER + want - 1, &last, 1), 0);
		assert_int_equal(last, 0xa5);
		assert_int_equal(gmem_read(r.mem, BUFFER + want, &got, 4), 0);
		assert_int_equal(got, guard);
	}
	assert_true(host.largest <= 4096);
	/* And one that it cannot. */
	const struct fake_buffer b = {BUFFER, UINT32_MAX, true};

	add(&r, &b, 1);
	virtio_pci_driver_settle(&r.driver);
	assert_true(virtio_pci_driver_status(&r.driver) & 0x40);
	virtio_pci_slot_fini(&r);
}

static void test_pieces(void **state)
{
	const struct fake_buffer mixed[] = {{BUFFER, 16, false},
					    {BUFFER + 16, 1, true},
					    {BUFFER + 32, 5, true},
					    {BUFFER + 64, 3, true}};
	const struct fake_buffer out = {BUFFER, 16, false};
	uint8_t byte[67];
	struct virtio_pci_slot r;

	(void)state;
	rig_init(&r, fake_random);
	add(&r, mixed, 4);
	virtio_pci_driver_settle(&r.driver);
	assert_int_equal(get(&r), 9);
	assert_int_equal(gmem_read(r.mem, BUFFER, byte, sizeof(byte)), 0);
	for (unsigned i = 0; i < sizeof(byte); i++)
		assert_int_equal(byte[i] == 0xa5,
				 i == 16 || (i >= 32 && i < 37) || (i >= 64 && i < 67));
	/* Nothing to write to. */
	host.none = true;
	add(&r, &out, 1);
	virtio_pci_driver_settle(&r.driver);
	assert_int_equal(get(&r), 0);
	assert_int_equal(host.calls, 3);
	/* What the kernel gives may be less; it is not more than was there. */
	host.none = false;
	host.at_most = 2;
	add(&r, mixed, 4);
	virtio_pci_driver_settle(&r.driver);
	assert_int_equal(get(&r), 3);
	virtio_pci_slot_fini(&r);
}

static void refill(struct virtio_pci_slot *r)
{
	const struct fake_buffer b = {BUFFER, 0x400000, true};
	struct fake_driver *q = &r->driver.queue[0];
	uint32_t length;
	unsigned id;

	while (fake_driver_get(q, &id, &length))
		;
	while (fake_driver_add(q, &b, 1, false) >= 0)
		;
	fake_driver_publish(q);
}

/* A driver that asks for gigabytes, and again while it is given some. */
static void test_bounded(void **state)
{
	struct virtio_pci_slot r;

	(void)state;
	rig_init(&r, fake_random);
	refill(&r);
	virtio_pci_driver_kick(&r.driver, 0);
	host.refill = &r;
	for (unsigned i = 0; i < 10; i++) {
		host.bytes = 0;
		loop_step(r.board.loop);
		/* Each round does a share, and goes on by itself. */
		assert_true(i == 0 || (host.bytes && host.bytes <= 0x10000));
	}
	host.refill = NULL;
	virtio_pci_driver_settle(&r.driver);
	assert_true(host.calls < 1000);
	virtio_pci_slot_fini(&r);
}

static void test_no_entropy_yet(void **state)
{
	const struct fake_buffer b = {BUFFER, 64, true};
	uint32_t length;
	unsigned id;
	struct virtio_pci_slot r;

	(void)state;
	rig_init(&r, fake_random);
	host.none = true;
	add(&r, &b, 1);
	virtio_pci_driver_settle(&r.driver);
	assert_false(fake_driver_get(&r.driver.queue[0], &id, &length));
	assert_true(host.calls < 3);
	fake_clock_run(&r.board.clock, r.board.loop, NS_PER_S, 10 * NS_PER_MS);
	assert_in_range(host.calls, 9, 13);
	host.none = false;
	fake_clock_run(&r.board.clock, r.board.loop, NS_PER_S, 10 * NS_PER_MS);
	assert_int_equal(get(&r), 64);
	/* A reset forgets the chain that waits. */
	host.none = true;
	add(&r, &b, 1);
	virtio_pci_driver_settle(&r.driver);
	assert_true(virtio_pci_driver_reset(&r.driver));
	host.none = false;
	host.calls = 0;
	fake_clock_run(&r.board.clock, r.board.loop, NS_PER_S, 10 * NS_PER_MS);
	assert_int_equal(host.calls, 0);
	assert_true(virtio_pci_driver_start(&r.driver, FEATURES, 1, VIRTIO_PCI_SLOT_RINGS, 8));
	assert_int_equal(ask(&r, 16), 16);
	/* So does one with a pass to come, and one of the queue. */
	add(&r, &b, 1);
	loop_step(r.board.loop);
	device_reset(virtio_pci_device(r.pci));
	host.calls = 0;
	virtio_pci_driver_settle(&r.driver);
	assert_int_equal(host.calls, 0);
	virtio_pci_slot_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_entropy),        cmocka_unit_test(test_cve_length),
	    cmocka_unit_test(test_pieces),         cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_no_entropy_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
