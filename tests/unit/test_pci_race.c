/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that moves, masks and resizes a function on one vCPU while others, and the device, use
 * it. */
#include "fake_board.h"
#include "fake_doorbell.h"
#include "machine/layout.h"

#include <lodge/log.h>
#include <lodge/pci_interrupt.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define DEVFN  PCI_DEVFN(3, 0)
#define BAR(n) (PCI_BAR0 + 4 * (n))
#define ROUNDS 2000u
#define ENABLE 0x8000u

struct rig {
	struct fake_board board;
	struct fake_doorbells kernel;
	struct pci_host *host;
	struct pci_function f;
	struct pci_intx intx;
	struct pci_msix *msix;
	pthread_mutex_t lock;
	uint64_t counter; /* lock */
	unsigned cap;
};

static uint64_t device_read(void *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return ((struct rig *)dev)->counter + offset;
}

static void device_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct rig *r = dev;

	(void)offset;
	(void)size;
	r->counter++;
	pci_intx_set(&r->f, value & 1);
	pci_msix_fire(r->msix, (unsigned)value % 4);
}

static const struct bus_region_ops ops = {
    .name = "device", .read = device_read, .write = device_write, .width_max = 4};

/* Places, decoding and masks, as fast as they can change. */
static void *mover(void *arg)
{
	struct rig *r = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		pci_config_write(r->host, DEVFN, BAR(0), 4, 0xd0000000 + (i % 3 << 16));
		pci_config_write(r->host, DEVFN, BAR(1), 4, 0xd0000000 + (i % 5 << 16));
		pci_config_write(r->host, DEVFN, PCI_COMMAND, 2, i % 7 ? 2 : 0x400);
		pci_config_write(r->host, DEVFN, r->cap + 2, 2, i % 2 ? ENABLE : i % 3 << 14);
		pci_config_read(r->host, DEVFN, PCI_STATUS, 2);
	}
	return NULL;
}

static void *accessor(void *arg)
{
	struct rig *r = arg;

	for (uint32_t i = 0; i < 4 * ROUNDS; i++) {
		bus_write(r->board.mmio, 0xd0000000 + (i % 5 << 16) + i % 64, 4, i * 0x9e3779b1u);
		bus_read(r->board.mmio, 0xd0000800 + (i % 5 << 16), 8);
	}
	return NULL;
}

/* The device's own thread. Not NULL: a fake gave an eventfd. */
static void *device(void *arg)
{
	struct rig *r = arg;
	struct doorbell d = {.offset = 0x10, .size = 4, .fd = -1};

	for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
		pci_msix_fire(r->msix, i % 4);
		if (pci_msix_fire_fd(r->msix, i % 4) >= 0)
			return r;
		pci_intx_set(&r->f, i & 1);
		if (i % 4 == 0)
			pci_doorbell_add(&r->f, 0, &d);
		if (i % 4 == 2)
			pci_doorbell_remove(&r->f, 0, &d);
	}
	pci_doorbell_remove(&r->f, 0, &d);
	return NULL;
}

static void test_all_at_once(void **state)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x5678};
	static void *(*const work[])(void *) = {mover, accessor, accessor, device};
	static struct rig r;
	struct bus_region region = {.ops = &ops, .dev = &r, .lock = &r.lock};
	pthread_t thread[4];
	void *result;

	(void)state;
	log_set_level(LOG_ERROR);
	fake_board_init(&r.board, 0);
	r.host = fake_board_pci(&r.board, true);
	fake_doorbells_init(&r.kernel, r.board.mmio);
	pthread_mutex_init(&r.lock, NULL);
	pci_function_init(&r.f, "device", DEVFN, &ids);
	pci_add_bar(&r.f, 0, PCI_BAR_MEMORY32, 4096, &region);
	assert_int_equal(pci_msix_create(r.host, &r.f, 1, 4, &r.msix), 0);
	pci_use_intx(&r.f, &r.intx);
	assert_int_equal(pci_attach(r.host, &r.f), 0);
	r.cap = pci_config_read(r.host, DEVFN, PCI_CAPABILITIES, 1);

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work[i], &r), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &result), 0);
		assert_null(result);
	}
	/* It has come to rest: nothing armed, and back where it began. */
	assert_int_equal(r.kernel.count, 0);
	assert_int_equal(r.kernel.arms, r.kernel.disarms);
	pci_function_reset(&r.f);
	assert_false(r.intx.line.asserted);
	assert_int_equal(r.f.bar[0].region.base, LAYOUT_PCI_MMIO);
	assert_true(r.f.bar[0].region.mapped && r.f.bar[1].region.mapped);

	pci_detach(&r.f);
	pci_msix_destroy(r.msix);
	pci_intx_fini(&r.intx);
	pthread_mutex_destroy(&r.lock);
	pci_host_device(r.host)->ops->destroy(pci_host_device(r.host));
	fake_doorbells_fini(&r.kernel);
	fake_board_fini(&r.board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_at_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
