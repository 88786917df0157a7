/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI host, i440FX and PIIX3 through their ports: configuration cycles, INTx wires, reset port. */
#include <lodge/pci_host.h>

#include "fake_board.h"
#include "machine/layout.h"
#include "platform/i440fx.h"
#include "platform/piix3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ADDRESS 0xcf8
#define RESET   0xcf9
#define DATA    0xcfc

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct i440fx *north;
	struct piix3 *south;
	unsigned resets;
	bool hard;
};

static void on_reset(void *arg, bool hard)
{
	struct rig *r = arg;

	r->resets++;
	r->hard = hard;
}

static int setup_preset(void **state, bool preset)
{
	static struct rig rig;
	struct piix3_params p = {.preset = preset, .reset = on_reset, .arg = &rig};

	memset(&rig, 0, sizeof(rig));
	fake_board_init(&rig.board, 0);
	rig.host = fake_board_pci(&rig.board, preset);
	assert_int_equal(i440fx_create(rig.host, &rig.north), 0);
	p.host = rig.host;
	assert_int_equal(piix3_create(&p, &rig.south), 0);
	*state = &rig;
	return 0;
}

static int setup(void **state)
{
	return setup_preset(state, true);
}

static int setup_power_on(void **state)
{
	return setup_preset(state, false);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	struct device *d[] = {piix3_device(r->south), i440fx_device(r->north),
			      pci_host_device(r->host)};

	for (unsigned i = 0; i < 3; i++)
		d[i]->ops->destroy(d[i]);
	fake_board_fini(&r->board);
	return 0;
}

static uint32_t address(unsigned bus, unsigned devfn, unsigned reg)
{
	return 0x80000000u | bus << 16 | devfn << 8 | reg;
}

static uint32_t config_read(struct rig *r, unsigned devfn, unsigned reg, unsigned size)
{
	bus_write(r->board.ports, ADDRESS, 4, address(0, devfn, reg & ~3u));
	return (uint32_t)bus_read(r->board.ports, DATA + (reg & 3), size);
}

static void config_write(struct rig *r, unsigned devfn, unsigned reg, unsigned size, uint32_t v)
{
	bus_write(r->board.ports, ADDRESS, 4, address(0, devfn, reg & ~3u));
	bus_write(r->board.ports, DATA + (reg & 3), size, v);
}

static void test_identity(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0x00, 0x00, 4), 0x12378086);
	assert_int_equal(config_read(r, 0x00, 0x08, 4), 0x06000002);
	assert_int_equal(config_read(r, 0x00, 0x0e, 1), 0x00);
	assert_int_equal(config_read(r, 0x08, 0x00, 4), 0x70008086);
	assert_int_equal(config_read(r, 0x08, 0x0a, 2), 0x0601);
	assert_int_equal(config_read(r, 0x08, 0x0e, 1), 0x80);
	/* Neither has a base address register: sizing gives 0. */
	for (unsigned reg = 0x10; reg < 0x28; reg += 4) {
		config_write(r, 0x08, reg, 4, 0xffffffff);
		assert_int_equal(config_read(r, 0x08, reg, 4), 0);
	}
}

static void test_latch_takes_dwords_only(void **state)
{
	struct rig *r = *state;

	assert_int_equal(bus_read(r->board.ports, ADDRESS, 4), 0);
	bus_write(r->board.ports, ADDRESS, 4, 0xffffffff);
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 4), 0x80fffffc);
	bus_write(r->board.ports, ADDRESS, 4, 0x80000800);
	bus_write(r->board.ports, ADDRESS, 1, 0x44);
	bus_write(r->board.ports, ADDRESS + 3, 1, 0x01);
	bus_write(r->board.ports, ADDRESS, 2, 0x4444);
	bus_write(r->board.ports, ADDRESS + 2, 2, 0x4444);
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 4), 0x80000800);
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 1), 0xff);
	assert_int_equal(bus_read(r->board.ports, ADDRESS + 2, 2), 0xffff);
	/* Linux asks so whether mechanism #1 exists. */
	bus_write(r->board.ports, ADDRESS + 3, 1, 1);
	bus_write(r->board.ports, ADDRESS, 4, 0x80000000);
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 4), 0x80000000);
	device_reset(pci_host_device(r->host));
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 4), 0);
}

static void test_absent_is_all_ones(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, PCI_DEVFN(5, 0), 0, 4), 0xffffffff);
	assert_int_equal(config_read(r, PCI_DEVFN(1, 7), 0, 2), 0xffff);
	assert_int_equal(config_read(r, PCI_DEVFN(31, 7), 0xff, 1), 0xff);
	config_write(r, PCI_DEVFN(5, 0), 4, 4, 7);
	bus_write(r->board.ports, ADDRESS, 4, address(1, 0, 0));
	assert_int_equal(bus_read(r->board.ports, DATA, 4), 0xffffffff);
	bus_write(r->board.ports, ADDRESS, 4, 0); /* enable bit clear */
	assert_int_equal(bus_read(r->board.ports, DATA, 4), 0xffffffff);
	bus_write(r->board.ports, DATA, 4, 0x12345678);
	assert_int_equal(config_read(r, 0, 0, 4), 0x12378086);
}

static unsigned hook_calls, hook_offset, hook_size;

static void hook(struct pci_function *f, unsigned offset, unsigned size)
{
	(void)f;
	hook_calls++;
	hook_offset = offset;
	hook_size = size;
}

static void test_masks_and_hook(void **state)
{
	static const struct pci_ids ids = {.vendor = 0x1234,
					   .device = 0x5678,
					   .class_code = 0xff0102,
					   .subsystem_vendor = 0x9abc,
					   .subsystem = 0xdef0};
	struct rig *r = *state;
	struct pci_function f, again;

	pci_function_init(&f, "fake", PCI_DEVFN(3, 0), &ids);
	f.written = hook;
	pci_set32(&f, 0x40, 0xa5a5a5a5);
	memset(&f.writable[0x40], 0x0f, 4);
	memset(&f.write1_clear[0x40], 0xf0, 4);
	assert_int_equal(pci_attach(r->host, &f), 0);
	pci_function_init(&again, "fake", PCI_DEVFN(3, 0), &ids);
	assert_int_equal(pci_attach(r->host, &again), -EEXIST);

	hook_calls = 0;
	assert_int_equal(config_read(r, f.devfn, 0x2c, 4), 0xdef09abc);
	config_write(r, f.devfn, 0x41, 2, 0x2ff3);
	assert_int_equal(hook_calls, 1);
	assert_int_equal(hook_offset, 0x41);
	assert_int_equal(hook_size, 2);
	/* a5 with f3 written: low half 3, high half a & ~f; with 2f: low f, high a & ~2. */
	assert_int_equal(config_read(r, f.devfn, 0x40, 4), 0xa58f03a5);
	config_write(r, f.devfn, 0x00, 4, 0);
	assert_int_equal(config_read(r, f.devfn, 0x00, 4), 0x56781234);
	config_write(r, f.devfn, 0x3c, 1, 0x0b);
	assert_int_equal(config_read(r, f.devfn, 0x3c, 4), 0x0000000b);
}

/* Row 19: every offset, every size, aligned or not, over the end of the window too. */
static void test_sweep(void **state)
{
	struct rig *r = *state;
	static const unsigned devfns[] = {0x00, 0x08, 0x0b, 0x10, 0xff};

	for (unsigned d = 0; d < sizeof(devfns) / sizeof(devfns[0]); d++) {
		for (unsigned reg = 0; reg < 256; reg += 4) {
			bus_write(r->board.ports, ADDRESS, 4, address(0, devfns[d], reg));
			for (unsigned port = ADDRESS - 8; port < DATA + 8; port++) {
				for (unsigned size = 1; size <= 8; size *= 2)
					bus_read(r->board.ports, port, size);
			}
			for (unsigned port = DATA; port < DATA + 4; port++) {
				for (unsigned size = 1; size <= 8; size *= 2)
					bus_write(r->board.ports, port, size,
						  0xa5c3f00f96695aa5ull);
			}
		}
	}
	for (unsigned port = ADDRESS - 8; port < ADDRESS + 4; port++) {
		for (unsigned size = 1; size <= 8; size *= 2)
			bus_write(r->board.ports, port, size, 0xa5c3f00f96695aa5ull);
	}
	assert_int_equal(config_read(r, 0x00, 0x00, 4), 0x12378086);
	assert_int_equal(config_read(r, 0x08, 0x00, 4), 0x70008086);
	/* A dword over the end of the window is the window's last byte and nobody's three. */
	bus_write(r->board.ports, ADDRESS, 4, address(0, 0, 0));
	assert_int_equal(bus_read(r->board.ports, DATA + 3, 4), 0xffffff12);
	/* A word at the end of the latch is not an access of the latch. */
	assert_int_equal(bus_read(r->board.ports, ADDRESS + 3, 2), 0x86ff);
}

static void test_reset_port(void **state)
{
	struct rig *r = *state;

	bus_write(r->board.ports, ADDRESS, 4, 0x80ffffff); /* the latch is not the reset port */
	assert_int_equal(r->resets, 0);
	assert_int_equal(bus_read(r->board.ports, RESET, 1), 0);
	bus_write(r->board.ports, RESET, 1, 0x02);
	assert_int_equal(r->resets, 0);
	bus_write(r->board.ports, RESET, 1, 0x06);
	assert_int_equal(r->resets, 1);
	assert_true(r->hard);
	assert_int_equal(bus_read(r->board.ports, RESET, 1), 0x06);
	bus_write(r->board.ports, RESET, 1, 0x0e); /* no edge */
	assert_int_equal(r->resets, 1);
	bus_write(r->board.ports, RESET, 1, 0x00);
	bus_write(r->board.ports, RESET, 1, 0x04);
	assert_int_equal(r->resets, 2);
	assert_false(r->hard);
	device_reset(piix3_device(r->south));
	assert_int_equal(bus_read(r->board.ports, RESET, 1), 0);
	bus_write(r->board.ports, RESET, 1, 0x06);
	assert_int_equal(r->resets, 3);
	/* As the upper byte of a word at 0xcf8, and as the lower one of a word at 0xcf9. */
	bus_write(r->board.ports, ADDRESS, 2, 0x0000);
	bus_write(r->board.ports, ADDRESS, 2, 0x0600);
	assert_int_equal(r->resets, 4);
	assert_int_equal(bus_read(r->board.ports, ADDRESS, 2), 0x06ff);
	assert_int_equal(bus_read(r->board.ports, RESET, 2), 0xff06);
	bus_write(r->board.ports, RESET, 2, 0x0600);
	assert_int_equal(bus_read(r->board.ports, RESET, 1), 0x00);
}

static void test_intx_wiring(void **state)
{
	static const struct {
		unsigned slot, pin, gsi;
	} cases[] = {
	    {1, 1, 3}, {1, 2, 5}, {1, 3, 6}, {1, 4, 7}, {2, 1, 5},  {2, 4, 3},
	    {3, 1, 6}, {4, 1, 7}, {5, 1, 3}, {6, 2, 6}, {31, 1, 6}, {0, 1, 7},
	};
	static const uint8_t irqs[4] = {3, 5, 6, 7};
	struct rig *r = *state;

	for (unsigned i = 0; i < 4; i++)
		config_write(r, 0x08, 0x60 + i, 1, irqs[i]);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct irq_line line;

		pci_host_intx_line(r->host, PCI_DEVFN(cases[i].slot, 0), cases[i].pin, &line);
		fake_irq_clear(&r->board.irq);
		irq_set(&line, true);
		assert_true(fake_irq_level(&r->board.irq, cases[i].gsi));
		assert_int_equal(r->board.irq.count, 1);
		irq_set(&line, false);
		assert_false(fake_irq_level(&r->board.irq, cases[i].gsi));
	}
}

static void test_intx_routing_moves(void **state)
{
	struct rig *r = *state;
	struct irq_line a, b, c;

	/* As firmware leaves it. */
	pci_host_intx_line(r->host, PCI_DEVFN(3, 0), 1, &a); /* PIRQC */
	pci_host_intx_line(r->host, PCI_DEVFN(7, 0), 1, &b); /* PIRQC */
	pci_host_intx_line(r->host, PCI_DEVFN(4, 0), 1, &c); /* PIRQD */
	irq_set(&a, true);
	irq_set(&b, true);
	irq_set(&c, true);
	assert_int_equal(r->board.irq.chip.votes[11], 2);
	irq_set(&a, false);
	irq_set(&c, false);
	assert_true(fake_irq_level(&r->board.irq, 11));
	/* The level moves with the wire. */
	config_write(r, 0x08, 0x62, 1, 5);
	assert_false(fake_irq_level(&r->board.irq, 11));
	assert_true(fake_irq_level(&r->board.irq, 5));
	/* The same by a dword write over all four. */
	config_write(r, 0x08, 0x60, 4, 0x0b090b0b);
	assert_false(fake_irq_level(&r->board.irq, 5));
	assert_true(fake_irq_level(&r->board.irq, 9));
	/* Off, and to a reserved number: nowhere, and nothing is left behind. */
	config_write(r, 0x08, 0x62, 1, 0x89);
	assert_false(fake_irq_level(&r->board.irq, 9));
	config_write(r, 0x08, 0x62, 1, 8);
	assert_int_equal(config_read(r, 0x08, 0x62, 1), 8);
	config_write(r, 0x08, 0x62, 1, 0);
	for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++)
		assert_false(fake_irq_level(&r->board.irq, gsi));
	/* Raised while off, seen when routed. */
	irq_set(&a, true);
	irq_set(&b, false);
	config_write(r, 0x08, 0x62, 1, 10);
	assert_true(fake_irq_level(&r->board.irq, 10));
	device_reset(piix3_device(r->south));
	assert_false(fake_irq_level(&r->board.irq, 10));
	assert_true(fake_irq_level(&r->board.irq, 11));
	irq_set(&a, false);
	assert_false(fake_irq_level(&r->board.irq, 11));
}

static void test_power_on_routing_is_off(void **state)
{
	struct rig *r = *state;
	struct irq_line a;

	assert_int_equal(config_read(r, 0x08, 0x60, 4), 0x80808080);
	pci_host_intx_line(r->host, PCI_DEVFN(3, 0), 1, &a);
	irq_set(&a, true);
	assert_int_equal(r->board.irq.count, 0);
	irq_set(&a, false);
}

static void test_preset_routing(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0x08, 0x60, 4), 0x0b0b0a0a);
	assert_int_equal(config_read(r, 0x08, 0x82, 1), 0x02);
	config_write(r, 0x08, 0x60, 4, 0xffffffff);
	assert_int_equal(config_read(r, 0x08, 0x60, 4), 0x8f8f8f8f);
}

static void test_i440fx_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0, 0x58, 4), 0);
	config_write(r, 0, 0x58, 4, 0xffffffff);
	assert_int_equal(config_read(r, 0, 0x58, 4), 0x33333000);
	config_write(r, 0, 0x5c, 4, 0xffffffff);
	assert_int_equal(config_read(r, 0, 0x5c, 4), 0x33333333);
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x02);
	config_write(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x4a);
	/* The lock closes SMRAM, and only a reset opens it. */
	config_write(r, 0, 0x72, 1, 0x5a);
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x1a);
	config_write(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x1a);
	device_reset(i440fx_device(r->north));
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x02);
	assert_int_equal(config_read(r, 0, 0x59, 1), 0x00);
	config_write(r, 0, 0x72, 1, 0x40);
	assert_int_equal(config_read(r, 0, 0x72, 1), 0x42);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_identity),
	    T(test_latch_takes_dwords_only),
	    T(test_absent_is_all_ones),
	    T(test_masks_and_hook),
	    T(test_sweep),
	    T(test_reset_port),
	    T(test_intx_wiring),
	    T(test_intx_routing_moves),
	    T(test_preset_routing),
	    T(test_i440fx_registers),
	    cmocka_unit_test_setup_teardown(test_power_on_routing_is_off, setup_power_on, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
