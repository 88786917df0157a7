/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio over PCI, as modern and as legacy drivers see it. */
#include "virtio_pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MODERN (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET | VIRTIO_F_INDIRECT_DESC)
#define DEVFN  VIRTIO_PCI_RIG_DEVFN
#define RINGS  FAKE_DRIVER_BYTES

enum { SELECT = 22, SIZE = 24, VECTOR = 26, ENABLE = 28, RESET = 58 }; /* common configuration */

static uint32_t cfg(struct virtio_pci_rig *r, unsigned offset, unsigned size)
{
	return pci_config_read(r->host, DEVFN, offset, size);
}

static uint64_t mread(struct virtio_pci_rig *r, unsigned offset, unsigned size)
{
	return bus_read(r->board.mmio, r->driver.common + offset, size);
}

static void mwrite(struct virtio_pci_rig *r, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(r->board.mmio, r->driver.common + offset, size, value);
}

static uint64_t in(struct virtio_pci_rig *r, unsigned port, unsigned size)
{
	return bus_read(r->board.ports, r->driver.io + port, size);
}

static void out(struct virtio_pci_rig *r, unsigned port, unsigned size, uint64_t value)
{
	bus_write(r->board.ports, r->driver.io + port, size, value);
}

static void test_identity(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	assert_int_equal(cfg(&r, PCI_VENDOR, 4), 0x10441af4);
	assert_int_equal(cfg(&r, PCI_REVISION, 1), 1);
	assert_int_equal(cfg(&r, PCI_REVISION, 4) >> 8, 0x00ff00);
	assert_true(cfg(&r, PCI_SUBSYSTEM, 2) >= 0x40);
	assert_int_equal(cfg(&r, PCI_BAR0, 4), 0);
	assert_int_equal(r.driver.config_bytes, FAKE_VIRTIO_CONFIG);
	/* Vectors: one for each queue and one for the configuration. */
	assert_int_equal(cfg(&r, r.driver.msix_cap + 2, 2), FAKE_VIRTIO_QUEUES);
	virtio_pci_rig_fini(&r);

	virtio_pci_rig_init(&r, false, false);
	assert_int_equal(cfg(&r, PCI_VENDOR, 4), 0x10051af4);
	assert_int_equal(cfg(&r, PCI_REVISION, 1), 0);
	assert_int_equal(cfg(&r, PCI_SUBSYSTEM, 2), 4);
	assert_true(r.driver.io);
	virtio_pci_rig_fini(&r);
}

static void exchange_all(struct virtio_pci_rig *r, uint64_t features)
{
	assert_true(virtio_pci_driver_start(&r->driver, features, FAKE_VIRTIO_QUEUES, RINGS, 64));
	assert_int_equal(r->fake.v.features, features);
	for (unsigned i = 0; i < 3 * FAKE_VIRTIO_QUEUES; i++)
		assert_true(virtio_pci_rig_exchange(r, i % FAKE_VIRTIO_QUEUES));
}

static void test_modern(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		virtio_pci_rig_init(&r, i, false);
		assert_int_equal(virtio_pci_driver_features(&r.driver),
				 VIRTQ_FEATURES | VIRTIO_F_VERSION_1 | 0x6);
		exchange_all(&r, MODERN);
		assert_int_equal(r.driver.queue[0].size, 64);
		exchange_all(&r, MODERN | VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX);
		assert_false(virtio_pci_driver_negotiate(&r.driver, 0) &&
			     !virtio_pci_driver_reset(&r.driver));
		assert_true(virtio_pci_driver_reset(&r.driver));
		assert_false(virtio_pci_driver_negotiate(&r.driver, 0x6));
		virtio_pci_rig_fini(&r);
	}
}

static void test_legacy(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, false, true);
	assert_int_equal(virtio_pci_driver_features(&r.driver),
			 VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_ANY_LAYOUT | 0x6);
	exchange_all(&r, VIRTIO_F_EVENT_IDX);
	assert_int_equal(r.driver.queue[0].size, 256);
	out(&r, 14, 2, 1);
	assert_int_equal(in(&r, 8, 4), (RINGS + FAKE_DRIVER_BYTES) >> 12);
	/* Its write of 0 is the end of it. */
	out(&r, 18, 1, 0);
	assert_int_equal(in(&r, 18, 1), 0);
	assert_int_equal(r.fake.stops, 1);
	out(&r, 14, 2, 1);
	assert_int_equal(in(&r, 8, 4), 0);
	/* No such queue. */
	out(&r, 14, 2, FAKE_VIRTIO_QUEUES);
	assert_int_equal(in(&r, 12, 2), 0);
	out(&r, 8, 4, 1);
	assert_int_equal(in(&r, 8, 4), 0);
	/* An address is taken back before the start, and after it. */
	out(&r, 14, 2, 2);
	out(&r, 8, 4, 1);
	out(&r, 8, 4, 0);
	assert_int_equal(in(&r, 8, 4), 0);
	exchange_all(&r, 0);
	out(&r, 8, 4, 0);
	assert_int_equal(in(&r, 18, 1), 0);
	assert_int_equal(r.fake.stops, 2);
	exchange_all(&r, 0);
	virtio_pci_rig_fini(&r);
}

static void test_pin(void **state)
{
	struct virtio_pci_rig r;
	const uint32_t value = 5;

	(void)state;
	for (unsigned legacy = 0; legacy < 2; legacy++) {
		virtio_pci_rig_init(&r, false, legacy);
		assert_true(virtio_pci_driver_start(&r.driver, legacy ? 0 : MODERN, 2, RINGS, 64));
		assert_false(virtio_pci_rig_pin(&r));
		assert_int_equal(virtio_pci_driver_isr(&r.driver), 0);
		assert_true(virtio_pci_rig_exchange(&r, 1));
		assert_true(virtio_pci_rig_pin(&r));
		virtio_change_config(&r.fake.v, 4, &value, 4);
		virtio_pci_driver_status(&r.driver);
		assert_true(virtio_pci_rig_pin(&r));
		assert_int_equal(virtio_pci_driver_isr(&r.driver), 3);
		assert_false(virtio_pci_rig_pin(&r));
		assert_int_equal(virtio_pci_driver_isr(&r.driver), 0);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 4, 4), 5);
		/* A reset takes it back. */
		assert_true(virtio_pci_rig_exchange(&r, 0));
		assert_true(virtio_pci_rig_pin(&r));
		assert_true(virtio_pci_driver_reset(&r.driver));
		assert_false(virtio_pci_rig_pin(&r));
		assert_int_equal(virtio_pci_driver_isr(&r.driver), 0);
		assert_int_equal(fake_msi_count(&r.board.msi), 0);
		virtio_pci_rig_fini(&r);
	}
}

static void test_msix(void **state)
{
	struct virtio_pci_rig r;
	uint32_t value;

	(void)state;
	for (unsigned legacy = 0; legacy < 2; legacy++) {
		value = 5;
		virtio_pci_rig_init(&r, false, legacy);
		virtio_pci_driver_use_msix(&r.driver, FAKE_VIRTIO_QUEUES + 1);
		assert_true(virtio_pci_driver_start(&r.driver, legacy ? 0 : MODERN,
						    FAKE_VIRTIO_QUEUES, RINGS, 64));
		for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
			assert_true(virtio_pci_rig_exchange(&r, i));
			assert_int_equal(fake_msi_count(&r.board.msi), i + 1);
			assert_int_equal(fake_msi_last(&r.board.msi).data,
					 VIRTIO_PCI_DRIVER_DATA + 1 + i);
		}
		virtio_change_config(&r.fake.v, 4, &value, 4);
		assert_int_equal(fake_msi_last(&r.board.msi).data, VIRTIO_PCI_DRIVER_DATA);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 4, 4), 5);
		assert_int_equal(virtio_pci_driver_isr(&r.driver), 0);
		assert_false(virtio_pci_rig_pin(&r));
		/* After a reset there are no vectors any more. */
		assert_true(virtio_pci_driver_reset(&r.driver));
		fake_msi_clear(&r.board.msi);
		assert_true(virtio_pci_driver_negotiate(&r.driver, legacy ? 0 : MODERN));
		virtio_pci_driver_set_status(&r.driver, 1 | 2 | 4);
		value = 7;
		virtio_change_config(&r.fake.v, 4, &value, 4);
		assert_int_equal(fake_msi_count(&r.board.msi), 0);
		virtio_pci_rig_fini(&r);
	}
}

static void test_vectors(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	assert_int_equal(mread(&r, 16, 2), 0xffff);
	assert_int_equal(mread(&r, VECTOR, 2), 0xffff);
	mwrite(&r, 16, 2, FAKE_VIRTIO_QUEUES);
	mwrite(&r, VECTOR, 2, FAKE_VIRTIO_QUEUES);
	assert_int_equal(mread(&r, 16, 2), FAKE_VIRTIO_QUEUES);
	assert_int_equal(mread(&r, VECTOR, 2), FAKE_VIRTIO_QUEUES);
	mwrite(&r, 16, 2, FAKE_VIRTIO_QUEUES + 1);
	mwrite(&r, VECTOR, 2, 0xfffe);
	assert_int_equal(mread(&r, 16, 2), 0xffff);
	assert_int_equal(mread(&r, VECTOR, 2), 0xffff);
	virtio_pci_rig_fini(&r);
}

static void test_feature_select(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	for (uint32_t select = 0; select < 2; select++) {
		mwrite(&r, 8, 4, select);
		mwrite(&r, 12, 4, 0x1000 + select);
	}
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t none[] = {2, 32, UINT32_MAX};

		mwrite(&r, 0, 4, none[i]);
		assert_int_equal(mread(&r, 4, 4), 0);
		mwrite(&r, 8, 4, none[i]);
		mwrite(&r, 12, 4, UINT32_MAX);
		assert_int_equal(mread(&r, 12, 4), 0);
	}
	for (uint32_t select = 0; select < 2; select++) {
		mwrite(&r, 8, 4, select);
		assert_int_equal(mread(&r, 12, 4), 0x1000 + select);
	}
	virtio_pci_rig_fini(&r);
}

static void test_addresses(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	for (unsigned offset = 32; offset < 56; offset += 8) {
		mwrite(&r, offset, 4, 0x11223344);
		mwrite(&r, offset + 4, 4, 0x55667788);
		assert_int_equal(mread(&r, offset, 8), 0x5566778811223344);
		mwrite(&r, offset, 4, 0x99aabbcc);
		assert_int_equal(mread(&r, offset, 8), 0x5566778899aabbcc);
		mwrite(&r, offset, 8, 0x0102030405060700 + offset);
		assert_int_equal(mread(&r, offset + 4, 4), 0x01020304);
		assert_int_equal(mread(&r, offset, 4), 0x05060700 + offset);
	}
	mwrite(&r, SIZE, 2, 257);
	assert_int_equal(mread(&r, SIZE, 2), 256);
	mwrite(&r, SIZE, 2, 0);
	assert_int_equal(mread(&r, SIZE, 2), 256);
	mwrite(&r, SIZE, 2, 3);
	assert_int_equal(mread(&r, SIZE, 2), 3);
	/* From the moment it is enabled a queue stays as it is. */
	mwrite(&r, ENABLE, 2, 1);
	mwrite(&r, SIZE, 2, 4);
	mwrite(&r, 32, 4, 0);
	mwrite(&r, 52, 4, 0);
	mwrite(&r, 40, 8, 0);
	mwrite(&r, ENABLE, 2, 0);
	assert_int_equal(mread(&r, SIZE, 2), 3);
	assert_int_equal(mread(&r, ENABLE, 2), 1);
	assert_int_equal(mread(&r, 32, 8), 0x0102030405060720);
	assert_int_equal(mread(&r, 40, 8), 0x0102030405060728);
	assert_int_equal(mread(&r, 48, 8), 0x0102030405060730);
	virtio_pci_rig_fini(&r);
}

/* CVE-2011-2512, Cloud Hypervisor #7918: a queue number without a queue. */
static void test_cve_queue_number(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	assert_true(virtio_pci_driver_start(&r.driver, MODERN, FAKE_VIRTIO_QUEUES, RINGS, 64));
	for (unsigned i = FAKE_VIRTIO_QUEUES; i < 0x10000; i += i < 0x200 ? 1 : 0xff) {
		mwrite(&r, SELECT, 2, i);
		assert_int_equal(mread(&r, SELECT, 2), i);
		for (unsigned offset = SIZE; offset < 60; offset += 2) {
			mwrite(&r, offset, 2, 1);
			mwrite(&r, offset, 4, 1);
			assert_int_equal(mread(&r, offset, 2), 0);
		}
		out(&r, 16, 2, i);
		out(&r, 14, 2, i);
		out(&r, 22, 2, i);
		assert_int_equal(in(&r, 12, 2), 0);
		bus_write(r.board.mmio, r.driver.notify + 4ull * (i % 1024), 2, i);
	}
	virtio_pci_driver_settle(&r.driver);
	assert_true(virtio_pci_rig_exchange(&r, 0));
	virtio_pci_rig_fini(&r);
}

static void test_queue_reset(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	exchange_all(&r, MODERN);
	r.fake.slow = true;
	mwrite(&r, SELECT, 2, 2);
	mwrite(&r, RESET, 2, 1);
	virtio_pci_driver_settle(&r.driver);
	assert_int_equal(mread(&r, RESET, 2), 1);
	assert_int_equal(mread(&r, ENABLE, 2), 1);
	fake_virtio_answer(&r.fake);
	assert_int_equal(mread(&r, RESET, 2), 0);
	assert_int_equal(mread(&r, ENABLE, 2), 0);
	assert_int_equal(mread(&r, SIZE, 2), 256);
	assert_true(virtio_pci_rig_exchange(&r, 1));
	assert_true(virtio_pci_driver_add_queue(&r.driver, 2, RINGS, 32, MODERN));
	virtio_pci_driver_settle(&r.driver);
	assert_true(virtio_pci_rig_exchange(&r, 2));
	virtio_pci_rig_fini(&r);
}

static void test_config(void **state)
{
	struct virtio_pci_rig r;
	uint8_t bytes[FAKE_VIRTIO_CONFIG], generation;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(0x10 + i);
	for (unsigned legacy = 0; legacy < 2; legacy++) {
		virtio_pci_rig_init(&r, false, legacy);
		generation = (uint8_t)mread(&r, 21, 1);
		virtio_change_config(&r.fake.v, 0, bytes, sizeof(bytes));
		assert_int_not_equal(mread(&r, 21, 1), generation);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 3, 1), 0x13);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 4, 4), 0x17161514);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 8, 8), 0x1f1e1d1c1b1a1918);
		virtio_pci_driver_set_config(&r.driver, 2, 4, 0xaabbccdd);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 0, 8), 0x17161514ccdd1110);
		/* With MSI-X the legacy one moves. */
		virtio_pci_driver_use_msix(&r.driver, 1);
		assert_int_equal(virtio_pci_driver_config(&r.driver, 4, 4), 0x17161514);
		virtio_pci_rig_fini(&r);
	}
}

static void set_window(struct virtio_pci_rig *r, unsigned cap, uint8_t bar, uint32_t offset,
		       uint32_t length)
{
	pci_config_write(r->host, DEVFN, cap + 4, 1, bar);
	pci_config_write(r->host, DEVFN, cap + 8, 4, offset);
	pci_config_write(r->host, DEVFN, cap + 12, 4, length);
}

/* The capability by which firmware reaches registers before BARs have places. */
static void test_window(void **state)
{
	struct virtio_pci_rig r;
	unsigned cap, i;
	uint8_t bar;

	(void)state;
	virtio_pci_rig_init(&r, true, false);
	for (cap = cfg(&r, PCI_CAPABILITIES, 1); cap; cap = cfg(&r, cap + 1, 1))
		if (cfg(&r, cap, 1) == PCI_CAP_VENDOR && cfg(&r, cap + 3, 1) == 5)
			break;
	assert_true(cap);
	for (bar = 0; cfg(&r, PCI_BAR0 + 4u * bar, 4) != r.driver.common; bar++)
		;
	pci_config_write(r.host, DEVFN, PCI_COMMAND, 2, 0);
	set_window(&r, cap, bar, 20, 1);
	pci_config_write(r.host, DEVFN, cap + 16, 4, 0xffffff03);
	assert_int_equal(cfg(&r, cap + 16, 1), 3);
	set_window(&r, cap, bar, 18, 2);
	assert_int_equal(cfg(&r, cap + 16, 2), FAKE_VIRTIO_QUEUES);
	set_window(&r, cap, bar, 32, 4);
	pci_config_write(r.host, DEVFN, cap + 16, 4, 0x12345000);
	assert_int_equal(r.fake.v.queue[0].place.desc, 0x12345000);
	/* All the rest does nothing. */
	for (i = 0; i < 64; i++) {
		set_window(&r, cap, (uint8_t)(i & 7), i & 8 ? UINT32_MAX - i : 32 + i % 5,
			   i & 16 ? UINT32_MAX : i % 7);
		if (cfg(&r, cap + 4, 1) == bar && (cfg(&r, cap + 12, 4) & 7) != 3)
			continue;
		cfg(&r, cap + 16, 4);
		pci_config_write(r.host, DEVFN, cap + 16, 4, 0xffffffff);
		assert_int_equal(r.fake.v.queue[0].place.desc, 0x12345000);
	}
	assert_int_equal(r.fake.v.status, 3);
	virtio_pci_rig_fini(&r);
}

/* Two places are offered to modern drivers, which prefer the first one (4.1.4). */
static void test_notify_capabilities(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t offset, length, multiplier;
	} want[] = {{0, 16, 2, 0}, {4, 0x3000, 4 * FAKE_VIRTIO_QUEUES, 4}};
	struct virtio_pci_rig r;
	unsigned cap, n = 0;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	for (cap = cfg(&r, PCI_CAPABILITIES, 1); cap; cap = cfg(&r, cap + 1, 1)) {
		if (cfg(&r, cap, 1) != PCI_CAP_VENDOR || cfg(&r, cap + 3, 1) != 2)
			continue;
		assert_true(n < 2);
		assert_int_equal(cfg(&r, cap + 4, 1), want[n].bar);
		assert_int_equal(cfg(&r, cap + 8, 4), want[n].offset);
		assert_int_equal(cfg(&r, cap + 12, 4), want[n].length);
		assert_int_equal(cfg(&r, cap + 16, 4), want[n].multiplier);
		n++;
	}
	assert_int_equal(n, 2);
	virtio_pci_rig_fini(&r);
}

static void test_doorbells(void **state)
{
	struct virtio_pci_rig r;
	struct virtio_pci_driver *d = &r.driver;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	assert_true(virtio_pci_driver_start(d, MODERN, FAKE_VIRTIO_QUEUES, RINGS, 64));
	for (unsigned i = 0; i < FAKE_VIRTIO_QUEUES; i++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			unsigned kicks = r.fake.kicks[i];

			assert_true(fake_doorbells_write(&r.memory_bells, r.board.mmio,
							 d->notify + 4ull * i, size, i));
			virtio_pci_driver_settle(d);
			assert_int_equal(r.fake.kicks[i], kicks + 1);
			/* When the kernel does not take it. */
			bus_write(r.board.mmio, d->notify + 4ull * i, size, i);
			virtio_pci_driver_settle(d);
			assert_int_equal(r.fake.kicks[i], kicks + 2);
		}
		unsigned kicks = r.fake.kicks[i];

		assert_true(fake_doorbells_write(&r.port_bells, r.board.ports, d->io + 16u, 2, i));
		virtio_pci_driver_settle(d);
		assert_int_equal(r.fake.kicks[i], kicks + 1);
	}
	assert_false(
	    fake_doorbells_write(&r.port_bells, r.board.ports, d->io + 16u, 2, FAKE_VIRTIO_QUEUES));
	assert_false(fake_doorbells_write(&r.memory_bells, r.board.mmio,
					  d->notify + 4ull * FAKE_VIRTIO_QUEUES, 2, 0));
	/* Off while the function does not decode. */
	pci_config_write(r.host, DEVFN, PCI_COMMAND, 2, 0);
	assert_int_equal(r.memory_bells.count + r.port_bells.count, 0);
	virtio_pci_rig_fini(&r);
}

static void test_machine_reset(void **state)
{
	struct virtio_pci_rig r;

	(void)state;
	virtio_pci_rig_init(&r, false, false);
	virtio_pci_driver_use_msix(&r.driver, FAKE_VIRTIO_QUEUES + 1);
	exchange_all(&r, MODERN);
	device_reset(virtio_pci_device(r.pci));
	assert_int_equal(virtio_pci_driver_status(&r.driver), 0);
	assert_int_equal(cfg(&r, r.driver.msix_cap + 2, 2), FAKE_VIRTIO_QUEUES);
	assert_int_equal(mread(&r, 16, 2), 0xffff);
	assert_false(virtio_pci_rig_pin(&r));
	exchange_all(&r, MODERN);
	assert_true(virtio_pci_rig_pin(&r));
	virtio_pci_rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_modern),
	    cmocka_unit_test(test_legacy),
	    cmocka_unit_test(test_pin),
	    cmocka_unit_test(test_msix),
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_feature_select),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_cve_queue_number),
	    cmocka_unit_test(test_queue_reset),
	    cmocka_unit_test(test_config),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_notify_capabilities),
	    cmocka_unit_test(test_doorbells),
	    cmocka_unit_test(test_machine_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
