/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathered port writes: order, sizes, and a ring that somebody fills while it is emptied. */
#include "kvm/kvm_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RING_BYTES 4096u
#define PORT       0x3f8u

struct rig {
	struct vm vm;
	struct bus *ports;
	struct bus_region region;
	bool refill; /* each write puts another one into the ring */
	unsigned count;
	struct {
		uint64_t offset, value;
		unsigned size;
	} seen[1000];
};

static void put(struct rig *r, uint64_t port, uint32_t size, uint64_t value)
{
	struct kvm_coalesced_mmio_ring *ring = r->vm.ring;
	struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[ring->last];

	*e = (struct kvm_coalesced_mmio){.phys_addr = port, .len = size, .pio = 1};
	memcpy(e->data, &value, sizeof(value));
	ring->last = (ring->last + 1) % r->vm.ring_max;
}

static void write_seen(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct rig *r = dev;

	assert_true(r->count < 1000);
	r->seen[r->count].offset = offset;
	r->seen[r->count].size = size;
	r->seen[r->count++].value = value;
	if (r->refill)
		put(r, PORT, 1, value + 1);
}

static uint64_t read_nothing(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0;
}

static const struct bus_region_ops ops = {
    .name = "seen", .read = read_nothing, .write = write_seen, .width_max = 4};

static struct rig *rig_open(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	pthread_mutex_init(&r->vm.coalesced_lock, NULL);
	r->vm.ring = calloc(1, RING_BYTES);
	assert_non_null(r->vm.ring);
	r->vm.ring_max = (RING_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) /
			 sizeof(struct kvm_coalesced_mmio);
	assert_int_equal(bus_create("port", 0xffff, &r->ports), 0);
	r->region = (struct bus_region){.ops = &ops, .dev = r};
	assert_int_equal(bus_map(r->ports, &r->region, PORT, 8), 0);
	return r;
}

static void rig_close(struct rig *r)
{
	bus_unmap(r->ports, &r->region);
	bus_destroy(r->ports);
	pthread_mutex_destroy(&r->vm.coalesced_lock);
	free(r->vm.ring);
	free(r);
}

static void test_in_order_around_the_end(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	r->vm.ring->first = r->vm.ring->last = r->vm.ring_max - 2;
	put(r, PORT, 1, 0x41);
	put(r, PORT + 2, 2, 0x4342);
	put(r, PORT + 4, 4, 0x47464544);
	assert_true(vm_drain_coalesced(&r->vm, r->ports, NULL));
	assert_int_equal(r->count, 3);
	assert_int_equal(r->seen[0].value, 0x41);
	assert_int_equal(r->seen[1].offset, 2);
	assert_int_equal(r->seen[1].value, 0x4342);
	assert_int_equal(r->seen[2].value, 0x47464544);
	assert_int_equal(r->vm.ring->first, 1);
	assert_false(vm_drain_coalesced(&r->vm, r->ports, NULL));
	rig_close(r);
}

/* One vCPU may write as fast as another thread reads: each call does what was there, and ends. */
static void test_bounded(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	r->refill = true;
	put(r, PORT, 1, 1);
	put(r, PORT, 1, 10);
	assert_true(vm_drain_coalesced(&r->vm, r->ports, NULL));
	assert_int_equal(r->count, 2);
	assert_true(vm_drain_coalesced(&r->vm, r->ports, NULL));
	assert_int_equal(r->count, 4);
	rig_close(r);
}

static void test_nonsense_is_left_alone(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	put(r, PORT, 0, 1);
	put(r, PORT, 9, 1);
	put(r, PORT, 1, 0x55);
	vm_drain_ring(&r->vm, r->ports, NULL);
	assert_int_equal(r->count, 1);
	r->vm.ring->last = 0xffffffff;
	vm_drain_ring(&r->vm, r->ports, NULL);
	r->vm.ring->first = 0xfffffff0;
	r->vm.ring->last = 1;
	vm_drain_ring(&r->vm, r->ports, NULL);
	assert_int_equal(r->count, 1);
	rig_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_in_order_around_the_end),
	    cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_nonsense_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
