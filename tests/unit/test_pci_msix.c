/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X through its table, its pending bits and its capability, as a guest sees them. */
#include "fake_board.h"
#include "machine/layout.h"

#include <lodge/log.h>
#include <lodge/pci_interrupt.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define DEVFN      PCI_DEVFN(5, 0)
#define VECTORS    34u
#define BASE       LAYOUT_PCI_MMIO
#define PBA        (BASE + 0x800)
#define ENTRY(n)   (BASE + 16ull * (n))
#define CONTROL    (r->cap + 2)
#define ENABLE     0x8000u
#define MASK_ALL   0x4000u
#define GSI        LAYOUT_GSI_PIRQA /* pin A of slot 5 */
#define GOOD_PLACE 0xfee01000u

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct pci_function f;
	struct pci_intx intx;
	struct pci_msix *msix;
	unsigned cap;
};

static void create(struct rig *r, unsigned vectors)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x5678};

	pci_function_init(&r->f, "msix", DEVFN, &ids);
	assert_int_equal(pci_msix_create(r->host, &r->f, 1, vectors, &r->msix), 0);
	pci_use_intx(&r->f, &r->intx);
	assert_int_equal(pci_attach(r->host, &r->f), 0);
	r->cap = pci_config_read(r->host, DEVFN, PCI_CAPABILITIES, 1);
}

static void destroy(struct rig *r)
{
	pci_detach(&r->f);
	pci_msix_destroy(r->msix);
	pci_intx_fini(&r->intx);
	assert_int_equal(r->board.msi.routes, 0);
}

static int setup(void **state)
{
	static struct rig rig;

	log_set_level(LOG_ERROR);
	memset(&rig, 0, sizeof(rig));
	fake_board_init(&rig.board, 0);
	rig.host = fake_board_pci(&rig.board, true);
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		pci_host_route_pirq(rig.host, i, GSI);
	create(&rig, VECTORS);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	destroy(r);
	pci_host_device(r->host)->ops->destroy(pci_host_device(r->host));
	fake_board_fini(&r->board);
	return 0;
}

static uint64_t get(struct rig *r, uint64_t addr, unsigned size)
{
	return bus_read(r->board.mmio, addr, size);
}

static void set(struct rig *r, uint64_t addr, unsigned size, uint64_t value)
{
	bus_write(r->board.mmio, addr, size, value);
}

static void control(struct rig *r, uint16_t value)
{
	pci_config_write(r->host, DEVFN, CONTROL, 2, value);
}

static void program(struct rig *r, unsigned n, uint32_t address, uint32_t data, bool masked)
{
	set(r, ENTRY(n), 4, address);
	set(r, ENTRY(n) + 4, 4, 0);
	set(r, ENTRY(n) + 8, 4, data);
	set(r, ENTRY(n) + 12, 4, masked);
}

static void mask(struct rig *r, unsigned n, bool masked)
{
	set(r, ENTRY(n) + 12, 4, masked);
}

static bool pending(struct rig *r, unsigned n)
{
	return get(r, PBA + n / 32 * 4, 4) >> n % 32 & 1;
}

/* How many messages were sent since the last call, all of them data. */
static unsigned sent(struct rig *r, uint32_t data)
{
	unsigned count = fake_msi_count(&r->board.msi);

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(r->board.msi.history[i].data, data);
	fake_msi_clear(&r->board.msi);
	return count;
}

static void test_capability(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pci_config_read(r->host, DEVFN, r->cap, 1), PCI_CAP_MSIX);
	assert_int_equal(pci_config_read(r->host, DEVFN, CONTROL, 2), VECTORS - 1);
	assert_int_equal(pci_config_read(r->host, DEVFN, r->cap + 4, 4), 0x000 | 1);
	assert_int_equal(pci_config_read(r->host, DEVFN, r->cap + 8, 4), 0x800 | 1);
	for (unsigned i = 2; i < 12; i++)
		pci_config_write(r->host, DEVFN, r->cap + i, 1, 0xff);
	assert_int_equal(pci_config_read(r->host, DEVFN, CONTROL, 2), 0xc000 | (VECTORS - 1));
	assert_int_equal(pci_config_read(r->host, DEVFN, r->cap + 8, 4), 0x800 | 1);
	assert_int_equal(r->board.msi.routes, VECTORS);
}

/* From one vector to as many as there can be: table and pending bits fit and do not overlap. */
static void test_sizes(void **state)
{
	static const struct {
		unsigned vectors;
		uint32_t size;
	} cases[] = {{1, 0x1000}, {128, 0x1000}, {129, 0x2000}, {256, 0x2000}, {2048, 0x10000}};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned last = cases[i].vectors - 1;
		uint64_t base, pba;

		destroy(r);
		create(r, cases[i].vectors);
		base = pci_config_read(r->host, DEVFN, PCI_BAR0 + 4, 4);
		pba = base + (pci_config_read(r->host, DEVFN, r->cap + 8, 4) & ~7u);
		pci_config_write(r->host, DEVFN, PCI_BAR0 + 4, 4, 0xffffffff);
		assert_int_equal(pci_config_read(r->host, DEVFN, PCI_BAR0 + 4, 4), -cases[i].size);
		pci_config_write(r->host, DEVFN, PCI_BAR0 + 4, 4, (uint32_t)base);
		assert_int_equal(pba, base + cases[i].size / 2);
		control(r, ENABLE);
		assert_true(pci_msix_fire(r->msix, last));
		assert_true(pci_msix_fire(r->msix, last + 1)); /* not there */
		assert_int_equal(get(r, pba + last / 32 * 4, 4), 1u << last % 32);
		assert_int_equal(get(r, base + 16ull * last + 12, 4), 1);
		set(r, base + 16ull * last + 16, 8, UINT64_MAX);
		assert_int_equal(get(r, base + 16ull * last + 16, 8) &
				     (base + 16ull * last + 16 < pba ? UINT64_MAX : 0),
				 0);
	}
}

static void test_masks_and_pending(void **state)
{
	struct rig *r = *state;

	program(r, 33, GOOD_PLACE, 0x41, false);
	/* Disabled: nothing, and nothing is remembered. */
	assert_false(pci_msix_enabled(r->msix));
	assert_int_equal(pci_msix_fire_fd(r->msix, 33), -ENOTCONN);
	assert_false(pci_msix_fire(r->msix, 33));
	control(r, ENABLE);
	assert_true(pci_msix_enabled(r->msix));
	assert_int_equal(sent(r, 0x41), 0);
	assert_true(pci_msix_fire(r->msix, 33));
	assert_true(pci_msix_fire(r->msix, 33));
	assert_int_equal(sent(r, 0x41), 2);
	/* Its own mask: pending, once, until it is unmasked. */
	mask(r, 33, true);
	pci_msix_fire(r->msix, 33);
	pci_msix_fire(r->msix, 33);
	assert_true(pending(r, 33));
	assert_int_equal(get(r, PBA, 4), 0);
	assert_int_equal(get(r, PBA, 8), 2ull << 32);
	assert_int_equal(sent(r, 0x41), 0);
	mask(r, 33, false);
	assert_false(pending(r, 33));
	assert_int_equal(sent(r, 0x41), 1);
	/* The mask of all. */
	control(r, ENABLE | MASK_ALL);
	pci_msix_fire(r->msix, 33);
	assert_true(pending(r, 33));
	mask(r, 33, true);
	control(r, ENABLE);
	assert_true(pending(r, 33));
	control(r, ENABLE | MASK_ALL);
	mask(r, 33, false);
	assert_true(pending(r, 33));
	assert_int_equal(sent(r, 0x41), 0);
	control(r, ENABLE);
	assert_int_equal(sent(r, 0x41), 1);
	assert_false(pending(r, 33));
	/* Pending bits are read-only, and end with MSI-X. */
	control(r, ENABLE | MASK_ALL);
	pci_msix_fire(r->msix, 33);
	set(r, PBA + 4, 4, 0);
	set(r, PBA, 8, 0xffffffff);
	assert_true(pending(r, 33));
	assert_false(pending(r, 0));
	control(r, 0);
	control(r, ENABLE);
	assert_int_equal(sent(r, 0x41), 0);
}

/* A message that changes while masked goes out as it is when unmasked; the chip hears once. */
static void test_rewrites(void **state)
{
	struct rig *r = *state;

	control(r, ENABLE);
	program(r, 0, GOOD_PLACE, 0x50, false);
	pci_msix_fire(r->msix, 0);
	assert_int_equal(r->board.msi.changes, 1);
	assert_int_equal(sent(r, 0x50), 1);
	for (unsigned i = 0; i < 100; i++) {
		mask(r, 0, true);
		mask(r, 0, false);
	}
	pci_msix_fire(r->msix, 0);
	assert_int_equal(r->board.msi.changes, 0);
	assert_int_equal(sent(r, 0x50), 1);
	mask(r, 0, true);
	pci_msix_fire(r->msix, 0);
	for (uint32_t data = 0x51; data <= 0x60; data++)
		set(r, ENTRY(0) + 8, 4, data);
	assert_int_equal(r->board.msi.changes, 0);
	mask(r, 0, false);
	assert_int_equal(r->board.msi.changes, 1);
	assert_int_equal(sent(r, 0x60), 1);
	/* By qwords: address, then data with the mask. */
	set(r, ENTRY(1), 8, GOOD_PLACE | 3);
	set(r, ENTRY(1) + 8, 8, 0x70);
	assert_int_equal(get(r, ENTRY(1), 8), GOOD_PLACE);
	assert_int_equal(get(r, ENTRY(1) + 8, 8), 0x70);
	pci_msix_fire(r->msix, 1);
	assert_int_equal(fake_msi_last(&r->board.msi).address, GOOD_PLACE);
	assert_int_equal(sent(r, 0x70), 1);
}

/* cve-2020-13754: sizes and places that a driver never uses. */
static void test_odd_accesses(void **state)
{
	static const uint64_t places[] = {ENTRY(0),       ENTRY(0) + 8, ENTRY(VECTORS - 1),
					  ENTRY(VECTORS), PBA - 8,      PBA,
					  PBA + 8,        BASE + 0xff8};
	struct rig *r = *state;

	control(r, ENABLE);
	program(r, 0, 0xfee12344, 0x55, true);
	for (unsigned p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (unsigned skew = 0; skew < 8; skew++) {
			for (unsigned size = 1; size <= 8; size *= 2) {
				get(r, places[p] + skew, size);
				if (size < 4 || skew % 4)
					set(r, places[p] + skew, size, UINT64_MAX);
			}
		}
	}
	/* None of these writes counted, and small reads give the bytes. */
	assert_int_equal(get(r, ENTRY(0), 8), 0xfee12344);
	assert_int_equal(get(r, ENTRY(0) + 8, 8), 0x100000055);
	assert_int_equal(get(r, ENTRY(0) + 1, 1), 0x23);
	assert_int_equal(get(r, ENTRY(0) + 1, 2), 0xe123);
	assert_int_equal(get(r, ENTRY(VECTORS - 1) + 8, 8), 0x100000000);
	/* Over the end of the table, and of the BAR. */
	set(r, ENTRY(VECTORS - 1) + 12, 8, 0xffffffff00000000);
	assert_int_equal(get(r, ENTRY(VECTORS - 1) + 12, 4), 0);
	assert_int_equal(get(r, ENTRY(VECTORS), 4), 0);
	assert_int_equal(get(r, BASE + 0xffc, 8), 0xffffffff00000000);
	set(r, BASE + 0xffc, 8, 0);
	/* Four, but from the last bytes of a control dword: not aligned. */
	set(r, ENTRY(0) + 10, 4, 0);
	assert_int_equal(get(r, ENTRY(0) + 8, 8), 0x100000055);
	/* An aligned qword that is not aligned to eight is two dwords. */
	set(r, ENTRY(0) + 4, 8, 0x0000006600000001);
	assert_int_equal(get(r, ENTRY(0) + 4, 8), 0x6600000001);
}

/* The guest names the message: only those that interrupt a processor go out. */
static void test_hostile_messages(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t data;
		bool goes;
	} cases[] = {
	    {0xfee00000, 0x0010, true},        {0xfeefffff, 0x00ff, true},
	    {0xfee00000, 0x000f, false},       {0xfee00000, 0x0000, false},
	    {0xfee00000, 0x0131, true},        {0xfee00000, 0x010f, false},
	    {0xfee00000, 0x0231, false},       {0xfee00000, 0x0331, false},
	    {0xfee00000, 0x0400, true},        {0xfee00000, 0x0500, true},
	    {0xfee00000, 0x0631, false},       {0xfee00000, 0x0700, true},
	    {0xfee00000, 0xffff0031, true},    {0xfedffffc, 0x0031, false},
	    {0xfef00000, 0x0031, false},       {0xfec00000, 0x0031, false},
	    {0x00001000, 0x0031, false},       {0x1fee00000, 0x0031, false},
	    {0xfffffffffee00000, 0x31, false}, {0, 0, false},
	};
	struct rig *r = *state;

	control(r, ENABLE);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set(r, ENTRY(0), 8, cases[i].address);
		set(r, ENTRY(0) + 8, 8, cases[i].data);
		assert_true(pci_msix_fire(r->msix, 0));
		assert_int_equal(pci_msix_fire_fd(r->msix, 0), -1);
		assert_int_equal(sent(r, cases[i].data), cases[i].goes ? 2 : 0);
		assert_false(pending(r, 0));
	}
}

static void test_pin_stays_low(void **state)
{
	struct rig *r = *state;

	pci_intx_set(&r->f, true);
	assert_true(fake_irq_level(&r->board.irq, GSI));
	control(r, ENABLE);
	assert_false(fake_irq_level(&r->board.irq, GSI));
	control(r, ENABLE | MASK_ALL);
	assert_false(fake_irq_level(&r->board.irq, GSI));
	control(r, 0);
	assert_true(fake_irq_level(&r->board.irq, GSI));
	pci_intx_set(&r->f, false);
	assert_false(fake_irq_level(&r->board.irq, GSI));
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	program(r, 2, GOOD_PLACE, 0x61, false);
	control(r, ENABLE);
	pci_msix_fire(r->msix, 2);
	assert_int_equal(sent(r, 0x61), 1);
	control(r, ENABLE | MASK_ALL);
	pci_msix_fire(r->msix, 2);
	pci_function_reset(&r->f);
	assert_false(pci_msix_enabled(r->msix));
	assert_int_equal(pci_config_read(r->host, DEVFN, CONTROL, 2), VECTORS - 1);
	for (unsigned n = 0; n < VECTORS; n++) {
		assert_int_equal(get(r, ENTRY(n), 8), 0);
		assert_int_equal(get(r, ENTRY(n) + 8, 8), 1ull << 32);
	}
	control(r, ENABLE);
	mask(r, 2, false);
	assert_int_equal(sent(r, 0), 0);
	/* The old message does not come back either. */
	pci_msix_fire(r->msix, 2);
	assert_int_equal(sent(r, 0), 0);
}

/* A dry run: no chip at all. */
static void test_no_chip(void **state)
{
	struct msi_message m = {GOOD_PLACE, 0x31};
	struct msi_route route;

	(void)state;
	msi_route_init(&route, NULL);
	assert_false(msi_set(&route, &m));
	msi_send(&route);
	assert_int_equal(msi_fd(&route), -1);
	msi_route_fini(&route);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_capability),    T(test_sizes),        T(test_masks_and_pending),
	    T(test_rewrites),      T(test_odd_accesses), T(test_hostile_messages),
	    T(test_pin_stays_low), T(test_reset),        cmocka_unit_test(test_no_chip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
