/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio over PCI with drivers that do what no driver should. */
#include "virtio_pci_rig.h"
#include "core/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MODERN      (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET)
#define RINGS       FAKE_DRIVER_BYTES
#define AREAS_BYTES 0x4000u

/* Whatever was done, a driver that does it right works. */
static void must_work(struct virtio_pci_rig *r)
{
	r->fake.slow = false;
	fake_virtio_answer(&r->fake);
	assert_true(virtio_pci_driver_start(&r->driver, r->driver.legacy ? 0 : MODERN,
					    FAKE_VIRTIO_QUEUES, RINGS, 16));
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++)
		assert_true(virtio_pci_rig_exchange(r, i));
}

/* CVE-2020-13754, CVE-2021-45464: each offset, each size, over each end. */
static void test_cve_each_access(void **state)
{
	static const uint64_t values[] = {0, 1, 0xffff, ~0ull, 0x8080808080808080};
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	for (unsigned offset = 0; offset < AREAS_BYTES; offset++) {
		/* Pages are the same from here on but for their last bytes. */
		if (offset % 0x1000 == 0x180)
			offset += 0xe70;
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			for (unsigned size = 1; size <= 8; size++) {
				bus_write(r.board.mmio, r.driver.common + offset, size, values[i]);
				bus_read(r.board.mmio, r.driver.common + offset, size);
			}
		}
		virtio_pci_driver_settle(&r.driver);
	}
	must_work(&r);
	r.driver.legacy = true;
	for (unsigned offset = 0; offset < 64; offset++) {
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			for (unsigned size = 1; size <= 4; size++) {
				bus_write(r.board.ports, r.driver.io + offset, size, values[i]);
				bus_read(r.board.ports, r.driver.io + offset, size);
			}
		}
		virtio_pci_driver_settle(&r.driver);
	}
	must_work(&r);
	virtio_pci_rig_fini(&r);
}

struct step {
	unsigned offset, size;
	uint64_t value;
};

static const struct step steps[] = {
    {8, 4, 1},       {12, 4, 0xffffffff}, {12, 4, 1},      {16, 2, 0},      {16, 2, 99},
    {20, 1, 0},      {20, 1, 3},          {20, 1, 11},     {20, 1, 15},     {20, 1, 128},
    {22, 2, 0},      {22, 2, 3},          {22, 2, 0xffff}, {24, 2, 1024},   {24, 2, 8},
    {24, 2, 0xffff}, {26, 2, 1},          {28, 2, 1},      {28, 2, 0},      {32, 4, 0xfffffff0},
    {36, 4, ~0u},    {40, 8, ~0ull},      {48, 4, 2},      {52, 4, 1},      {58, 2, 1},
    {0x2000, 8, 1},  {0x3000, 2, 0},      {0x3004, 4, 1},  {0x3ffc, 4, ~0u}};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

static void take(struct virtio_pci_rig *r, const struct step *s)
{
	bus_write(r->board.mmio, r->driver.common + s->offset, s->size, s->value);
}

/* While a queue runs, its ring is where and what it was when it started. */
static void must_lie_still(const struct virtio_pci_rig *r)
{
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
		const struct virtio_queue *q = &r->fake.v.queue[i];

		if (!q->running || !q->ring.running)
			continue;
		assert_int_equal(q->ring.size, q->place.size);
		assert_ptr_equal(q->ring.desc,
				 gmem_pointer(r->mem, q->place.desc, 16ull * q->place.size));
	}
}

/* CVE-2026-5747: each two steps, in each state of a driver's life. */
static void test_cve_two_steps(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	for (unsigned n = 0; n < 4 * STEPS * STEPS; n++) {
		unsigned life = n % 4;

		r.fake.slow = n & 4;
		if (life >= 1)
			assert_true(virtio_pci_driver_negotiate(&r.driver, MODERN));
		if (life >= 2)
			virtio_pci_driver_add_queue(&r.driver, 0, RINGS, 16, MODERN);
		if (life >= 3)
			virtio_pci_driver_set_status(&r.driver, 15);
		if (n & 8)
			virtio_pci_driver_settle(&r.driver);
		take(&r, &steps[n / 4 / STEPS]);
		take(&r, &steps[n / 4 % STEPS]);
		must_lie_still(&r);
		virtio_pci_driver_settle(&r.driver);
		must_lie_still(&r);
		if (n % 64 == 0)
			must_work(&r);
		r.fake.slow = false;
		fake_virtio_answer(&r.fake);
		assert_true(virtio_pci_driver_reset(&r.driver));
	}
	virtio_pci_rig_fini(&r);
}

static const struct step legacy_steps[] = {
    {4, 4, 0xffffffff}, {8, 4, 0},  {8, 4, RINGS >> 12}, {8, 4, 0xffffffff}, {8, 4, 1},
    {12, 2, 3},         {14, 2, 0}, {14, 2, 0xffff},     {16, 2, 0},         {16, 2, 0xffff},
    {18, 1, 0},         {18, 1, 3}, {18, 1, 7},          {18, 1, 15},        {18, 1, 255},
    {20, 2, 1},         {22, 2, 1}, {24, 4, ~0u},        {8, 2, 1},          {18, 4, 0}};

#define LEGACY_STEPS (sizeof(legacy_steps) / sizeof(legacy_steps[0]))

static void test_legacy_steps(void **state)
{
	struct virtio_pci_rig r;
	uint64_t seed = 7;

	(void)state;
	virtio_pci_rig_init(&r, false, true);
	for (unsigned n = 0; n < 20000; n++) {
		const struct step *s;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		s = &legacy_steps[(seed >> 33) % LEGACY_STEPS];
		bus_write(r.board.ports, r.driver.io + s->offset, s->size, s->value);
		if (seed >> 62 == 0)
			virtio_pci_driver_settle(&r.driver);
		must_lie_still(&r);
		if (n % 500 == 0)
			must_work(&r);
	}
	must_work(&r);
	virtio_pci_rig_fini(&r);
}

/* --- all at once --- */

#define ROUNDS 3000u

struct vcpu {
	struct virtio_pci_rig *rig;
	unsigned number;
};

static void *run_loop(void *arg)
{
	loop_run(((struct virtio_pci_rig *)arg)->board.loop);
	return NULL;
}

static void *vcpu(void *arg)
{
	const struct vcpu *c = arg;
	struct virtio_pci_rig *r = c->rig;
	uint64_t seed = c->number;

	for (unsigned n = 0; n < ROUNDS; n++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		take(r, &steps[(seed >> 33) % STEPS]);
		bus_read(r->board.mmio, r->driver.common + (seed >> 40) % AREAS_BYTES, 4);
		bus_write(r->board.ports, r->driver.io + (seed >> 50) % 32, 1, seed >> 56);
		if (n % 16 == 0)
			pci_config_write(r->host, VIRTIO_PCI_RIG_DEVFN, PCI_COMMAND, 2,
					 n % 32 ? 0x402 : 3);
		if (n % 64 == 0)
			pci_config_write(r->host, VIRTIO_PCI_RIG_DEVFN, r->driver.msix_cap + 2, 2,
					 n % 128 ? 0x8000 : 0);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct vcpu vcpus[] = {{NULL, 1}, {NULL, 2}};
	pthread_t loop, thread[2];
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	r.fake.late = 2;
	assert_int_equal(thread_start(&loop, "loop", run_loop, &r), 0);
	for (unsigned i = 0; i < 2; i++) {
		vcpus[i].rig = &r;
		assert_int_equal(thread_start(&thread[i], "vcpu", vcpu, &vcpus[i]), 0);
	}
	for (uint32_t i = 0; i < ROUNDS; i++)
		virtio_change_config(&r.fake.v, 8, &i, sizeof(i));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	device_reset(virtio_pci_device(r.pci));
	loop_stop(r.board.loop);
	assert_int_equal(pthread_join(loop, NULL), 0);
	r.fake.late = 0;
	must_work(&r);
	virtio_pci_rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cve_each_access),
	    cmocka_unit_test(test_cve_two_steps),
	    cmocka_unit_test(test_legacy_steps),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
