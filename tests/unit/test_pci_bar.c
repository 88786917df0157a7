/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Base address registers, capabilities, pins and doorbells of PCI functions, as a guest sees them.
 */
#include "fake_board.h"
#include "fake_doorbell.h"
#include "machine/layout.h"
#include "platform/piix3.h"

#include <lodge/log.h>
#include <lodge/pci_interrupt.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#define SLOT_A       3u
#define SLOT_B       4u
#define DEVFN(slot)  PCI_DEVFN(slot, 0)
#define BAR(n)       (PCI_BAR0 + 4 * (n))
#define IO_SIZE      0x40u
#define MEMORY_SIZE  0x4000u
#define MEMORY64     0x100000ull
#define WINDOW64     (LAYOUT_4GIB + LAYOUT_PCI64_ALIGN)
#define WINDOW64_END (WINDOW64 + 8 * LAYOUT_PCI64_ALIGN)

/* A function with BAR 0 of I/O, BAR 1 of 32-bit and BAR 2 of 64-bit memory. */
struct toy {
	struct pci_function f;
	struct pci_intx intx;
	pthread_mutex_t lock;
	uint64_t offset, value;
	unsigned reads, writes, last_bar;
	struct toy_bar {
		struct toy *toy;
		unsigned index;
	} bar[PCI_BARS];
};

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct piix3 *isa;
	struct toy toy[2];
};

static uint64_t toy_read(void *dev, uint64_t offset, unsigned size)
{
	struct toy_bar *b = dev;

	(void)size;
	b->toy->reads++;
	b->toy->last_bar = b->index;
	return b->toy->offset = offset;
}

static void toy_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct toy_bar *b = dev;

	(void)size;
	b->toy->writes++;
	b->toy->last_bar = b->index;
	b->toy->offset = offset;
	b->toy->value = value;
}

static const struct bus_region_ops toy_ops = {
    .name = "toy", .read = toy_read, .write = toy_write, .width_max = 8};

static void toy_add_bar(struct toy *t, unsigned index, enum pci_bar_kind kind, uint64_t size)
{
	struct bus_region r = {.ops = &toy_ops, .dev = &t->bar[index], .lock = &t->lock};

	t->bar[index] = (struct toy_bar){t, index};
	pci_add_bar(&t->f, index, kind, size, &r);
}

static void toy_init(struct toy *t, unsigned slot)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x5678};

	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	pci_function_init(&t->f, "toy", DEVFN(slot), &ids);
	toy_add_bar(t, 0, PCI_BAR_IO, IO_SIZE);
	toy_add_bar(t, 1, PCI_BAR_MEMORY32, MEMORY_SIZE);
	toy_add_bar(t, 2, PCI_BAR_MEMORY64, MEMORY64);
	pci_use_intx(&t->f, &t->intx);
}

static void toy_fini(struct toy *t)
{
	pci_detach(&t->f);
	pci_intx_fini(&t->intx);
	pthread_mutex_destroy(&t->lock);
}

static int setup_preset(void **state, bool preset)
{
	static struct rig rig;
	struct piix3_params isa = {.preset = true};

	log_set_level(LOG_ERROR);
	fake_board_init(&rig.board, 0);
	rig.host = isa.host = fake_board_pci(&rig.board, preset);
	assert_int_equal(piix3_create(&isa, &rig.isa), 0);
	toy_init(&rig.toy[0], SLOT_A);
	toy_init(&rig.toy[1], SLOT_B);
	assert_int_equal(pci_attach(rig.host, &rig.toy[0].f), 0);
	assert_int_equal(pci_attach(rig.host, &rig.toy[1].f), 0);
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

	toy_fini(&r->toy[1]);
	toy_fini(&r->toy[0]);
	piix3_device(r->isa)->ops->destroy(piix3_device(r->isa));
	pci_host_device(r->host)->ops->destroy(pci_host_device(r->host));
	fake_board_fini(&r->board);
	return 0;
}

static uint32_t get(struct rig *r, unsigned slot, unsigned reg)
{
	return pci_config_read(r->host, DEVFN(slot), reg, 4);
}

static void set(struct rig *r, unsigned slot, unsigned reg, uint32_t value)
{
	pci_config_write(r->host, DEVFN(slot), reg, 4, value);
}

static void command(struct rig *r, unsigned slot, uint16_t value)
{
	pci_config_write(r->host, DEVFN(slot), PCI_COMMAND, 2, value);
}

/* Whether a byte access at addr reaches that BAR of t, at that offset. */
static bool reaches(struct rig *r, unsigned toy, unsigned bar, uint64_t addr, uint64_t offset)
{
	struct toy *t = &r->toy[toy];
	unsigned before = t->reads;

	bus_read(bar == 0 ? r->board.ports : r->board.mmio, addr, 1);
	return t->reads == before + 1 && t->last_bar == bar && t->offset == offset;
}

static void test_preset_places(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, SLOT_A, BAR(0)), LAYOUT_PCI_IO | 1);
	assert_int_equal(get(r, SLOT_A, BAR(1)), LAYOUT_PCI_MMIO);
	assert_int_equal(get(r, SLOT_A, BAR(2)), (LAYOUT_PCI_MMIO + MEMORY64) | 0xc);
	assert_int_equal(get(r, SLOT_A, BAR(3)), 0);
	assert_int_equal(get(r, SLOT_B, BAR(0)), (LAYOUT_PCI_IO + IO_SIZE) | 1);
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) & 0xffff, 3);
	assert_true(reaches(r, 0, 0, LAYOUT_PCI_IO, 0));
	assert_true(reaches(r, 1, 0, LAYOUT_PCI_IO + IO_SIZE, 0));
	assert_true(reaches(r, 0, 1, LAYOUT_PCI_MMIO, 0));
	assert_true(reaches(r, 0, 1, LAYOUT_PCI_MMIO + MEMORY_SIZE - 1, MEMORY_SIZE - 1));
	assert_false(reaches(r, 0, 1, LAYOUT_PCI_MMIO + MEMORY_SIZE, 0));
	assert_true(reaches(r, 0, 2, LAYOUT_PCI_MMIO + MEMORY64, 0));
	/* Pin A of slots 3 and 4 is PIRQC# and PIRQD#. */
	assert_int_equal(get(r, SLOT_A, PCI_INTERRUPT_LINE) & 0xffff, 0x100 | LAYOUT_GSI_PIRQC);
	assert_int_equal(get(r, SLOT_B, PCI_INTERRUPT_LINE) & 0xffff, 0x100 | LAYOUT_GSI_PIRQD);
}

static void test_power_on_decodes_nothing(void **state)
{
	struct rig *r = *state;

	for (unsigned bar = 0; bar < PCI_BARS; bar++)
		assert_int_equal(get(r, SLOT_A, BAR(bar)) & ~0xfu, 0);
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) & 0xffff, 0);
	assert_int_equal(get(r, SLOT_A, PCI_INTERRUPT_LINE) & 0xffff, 0x100);
	/* A place is not enough, and enabled I/O is not memory. */
	set(r, SLOT_A, BAR(1), 0xe0000000);
	assert_false(reaches(r, 0, 1, 0xe0000000, 0));
	command(r, SLOT_A, PCI_COMMAND_IO);
	assert_false(reaches(r, 0, 1, 0xe0000000, 0));
	command(r, SLOT_A, PCI_COMMAND_MEMORY);
	assert_true(reaches(r, 0, 1, 0xe0000000, 0));
}

static void test_sizing(void **state)
{
	static const struct {
		unsigned bar;
		uint32_t ones;
	} cases[] = {
	    {0, ~(IO_SIZE - 1) | 1},
	    {1, ~(MEMORY_SIZE - 1)},
	    {2, (uint32_t) ~(MEMORY64 - 1) | 0xc},
	    {3, 0xffffffff},
	    {4, 0},
	    {5, 0},
	};
	struct rig *r = *state;

	for (unsigned decode = 0; decode < 2; decode++) {
		command(r, SLOT_A, decode ? 3 : 0);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint32_t was = get(r, SLOT_A, BAR(cases[i].bar));

			set(r, SLOT_A, BAR(cases[i].bar), 0xffffffff);
			assert_int_equal(get(r, SLOT_A, BAR(cases[i].bar)), cases[i].ones);
			set(r, SLOT_A, BAR(cases[i].bar), was);
			assert_int_equal(get(r, SLOT_A, BAR(cases[i].bar)), was);
		}
	}
	assert_true(reaches(r, 0, 0, LAYOUT_PCI_IO, 0));
	assert_true(reaches(r, 0, 1, LAYOUT_PCI_MMIO, 0));
	assert_true(reaches(r, 0, 2, LAYOUT_PCI_MMIO + MEMORY64, 0));
	/* Byte by byte it is the same. */
	for (unsigned i = 0; i < 4; i++)
		pci_config_write(r->host, DEVFN(SLOT_A), BAR(1) + i, 1, 0xff);
	assert_int_equal(get(r, SLOT_A, BAR(1)), ~(MEMORY_SIZE - 1));
	assert_false(reaches(r, 0, 1, LAYOUT_PCI_MMIO, 0));
}

/* Where a 64-bit BAR may lie: in a window, all of it, and nowhere else. */
static void test_windows(void **state)
{
	static const struct {
		uint64_t at;
		bool mapped;
	} cases[] = {
	    {0, false},
	    {0x100000, false}, /* RAM */
	    {LAYOUT_PCI_MMIO - MEMORY64, false},
	    {LAYOUT_PCI_MMIO + 4 * MEMORY64, true},
	    {LAYOUT_PCI_MMIO_END + 1 - MEMORY64, true},
	    {LAYOUT_PCI_MMIO_END + 1, false}, /* I/O APIC */
	    {LAYOUT_LOCAL_APIC, false},
	    {LAYOUT_4GIB - MEMORY64, false},
	    {LAYOUT_4GIB, false}, /* RAM above */
	    {WINDOW64 - MEMORY64, false},
	    {WINDOW64, true},
	    {WINDOW64_END - MEMORY64, true},
	    {WINDOW64_END, false},
	    {0x7ffffffffff00000, false},
	    {0x8000000000000000, false},
	    {0xfffffffffff00000, false}, /* its end is 2^64 */
	    {WINDOW64 + MEMORY64, true},
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t at = cases[i].at;

		command(r, SLOT_A, 0);
		set(r, SLOT_A, BAR(2), (uint32_t)at);
		set(r, SLOT_A, BAR(3), (uint32_t)(at >> 32));
		assert_false(reaches(r, 0, 2, at, 0));
		command(r, SLOT_A, PCI_COMMAND_MEMORY);
		assert_int_equal(reaches(r, 0, 2, at, 0), cases[i].mapped);
		assert_int_equal(reaches(r, 0, 2, at + MEMORY64 - 1, MEMORY64 - 1),
				 cases[i].mapped);
	}
	/* Ports below the window are the board's. */
	command(r, SLOT_A, PCI_COMMAND_IO);
	set(r, SLOT_A, BAR(0), 0xfc0);
	assert_false(reaches(r, 0, 0, 0xfc0, 0));
	set(r, SLOT_A, BAR(0), 0xffc0);
	assert_true(reaches(r, 0, 0, 0xffff, 0x3f));
	set(r, SLOT_A, BAR(0), 0x1ffc0); /* ports have 16 bits, and do not wrap */
	assert_false(reaches(r, 0, 0, 0xffc0, 0));
}

static void test_moves(void **state)
{
	struct rig *r = *state;

	set(r, SLOT_A, BAR(1), 0xd0000000);
	assert_false(reaches(r, 0, 1, LAYOUT_PCI_MMIO, 0));
	assert_true(reaches(r, 0, 1, 0xd0000000, 0));
	set(r, SLOT_A, BAR(1), 0xd0000abc); /* the bits below the size are not there */
	assert_int_equal(get(r, SLOT_A, BAR(1)), 0xd0000000);
	command(r, SLOT_A, 0);
	assert_false(reaches(r, 0, 1, 0xd0000000, 0));
	/* While it was off, its half-written places did not matter. */
	set(r, SLOT_A, BAR(2), 0x40000000);
	set(r, SLOT_A, BAR(3), 1);
	command(r, SLOT_A, 2);
	assert_true(reaches(r, 0, 2, 0x140000000, 0));
	assert_false(reaches(r, 0, 0, LAYOUT_PCI_IO, 0));
	device_reset(pci_host_device(r->host));
	pci_function_reset(&r->toy[0].f);
	assert_int_equal(get(r, SLOT_A, BAR(3)), 0);
	assert_true(reaches(r, 0, 1, LAYOUT_PCI_MMIO, 0));
	assert_true(reaches(r, 0, 0, LAYOUT_PCI_IO, 0));
}

/* The first one keeps the place; the other gets it when it is free. */
static void test_conflicts(void **state)
{
	struct rig *r = *state;
	uint32_t a = get(r, SLOT_A, BAR(1)), b = get(r, SLOT_B, BAR(1));

	set(r, SLOT_A, BAR(1), b);
	assert_true(reaches(r, 1, 1, b, 0));
	assert_false(reaches(r, 0, 1, a, 0));
	set(r, SLOT_B, BAR(1), a); /* exchanged */
	assert_true(reaches(r, 0, 1, b, 0));
	assert_true(reaches(r, 1, 1, a, 0));
	/* Two of one function, and one inside the other. */
	set(r, SLOT_A, BAR(1), 0xd0004000);
	set(r, SLOT_A, BAR(2), 0xd0000000);
	assert_true(reaches(r, 0, 1, 0xd0004000, 0));
	assert_false(reaches(r, 0, 2, 0xd0000000, 0));
	set(r, SLOT_A, BAR(1), 0xe0000000);
	assert_true(reaches(r, 0, 2, 0xd0004000, 0x4000));
	/* A reset finds another one where it belongs, which is reset later. */
	set(r, SLOT_B, BAR(1), 0xdf000000);
	set(r, SLOT_A, BAR(1), b);
	pci_function_reset(&r->toy[1].f);
	assert_true(reaches(r, 0, 1, b, 0));
	pci_function_reset(&r->toy[0].f);
	assert_true(reaches(r, 0, 1, a, 0));
	assert_true(reaches(r, 1, 1, b, 0));
}

/* What has no BAR may leave a place too. */
static void test_conflict_with_ports(void **state)
{
	struct rig *r = *state;
	struct bus_region fixed = {.ops = &toy_ops, .dev = &r->toy[1].bar[5]};

	r->toy[1].bar[5] = (struct toy_bar){&r->toy[1], 5};
	assert_int_equal(bus_map(r->board.ports, &fixed, 0xc010, 1), 0);
	set(r, SLOT_A, BAR(0), 0xc000);
	assert_false(reaches(r, 0, 0, 0xc000, 0));
	bus_read(r->board.ports, 0xc010, 1);
	assert_int_equal(r->toy[1].last_bar, 5);
	bus_unmap(r->board.ports, &fixed);
	set(r, SLOT_A, PCI_INTERRUPT_LINE, 11); /* any write at all */
	assert_true(reaches(r, 0, 0, 0xc010, 0x10));
}

/* 1 GiB each: not even one below 4 GiB, where it is a little less, and eight above. */
static void test_no_room(void **state)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x9abc};
	static struct toy big[9];
	struct rig *r = *state;

	memset(big, 0, sizeof(big));
	for (unsigned n = 0; n < 9; n++) {
		pci_function_init(&big[n].f, "big", DEVFN(8 + n), &ids);
		toy_add_bar(&big[n], 4, PCI_BAR_MEMORY64, 1ull << 30);
		assert_int_equal(pci_attach(r->host, &big[n].f), n < 8 ? 0 : -ENOSPC);
		if (n < 8)
			bus_read(r->board.mmio, WINDOW64 + ((uint64_t)n << 30), 1);
		assert_int_equal(big[n].reads, n < 8);
	}
	for (unsigned n = 0; n < 9; n++)
		pci_detach(&big[n].f);
	assert_int_equal(get(r, 8, 0), 0xffffffff);
	bus_read(r->board.mmio, WINDOW64, 1);
	assert_int_equal(big[0].reads, 1);
}

static void test_capabilities(void **state)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x9abc};
	struct rig *r = *state;
	struct pci_function f;
	unsigned first, last, offset;

	pci_function_init(&f, "caps", DEVFN(9), &ids);
	assert_int_equal(pci_get16(&f, PCI_STATUS), 0);
	first = pci_add_capability(&f, PCI_CAP_VENDOR, 13);
	last = pci_add_capability(&f, PCI_CAP_MSIX, 12);
	assert_int_equal(first, 0x40);
	assert_int_equal(last, 0x50);
	assert_int_equal(pci_add_capability(&f, PCI_CAP_VENDOR, 0x100 - 0x5c), 0x5c);
	assert_int_equal(pci_attach(r->host, &f), 0);
	assert_int_equal(get(r, 9, PCI_COMMAND) >> 16, PCI_STATUS_CAPABILITIES);
	offset = pci_config_read(r->host, DEVFN(9), PCI_CAPABILITIES, 1);
	assert_int_equal(offset, 0x5c);
	assert_int_equal(get(r, 9, 0x5c) & 0xffff, last << 8 | PCI_CAP_VENDOR);
	set(r, 9, last, 0); /* read-only */
	assert_int_equal(get(r, 9, last) & 0xffff, first << 8 | PCI_CAP_MSIX);
	assert_int_equal(get(r, 9, first) & 0xffff, PCI_CAP_VENDOR);
	pci_detach(&f);
}

static void on_reading(struct pci_function *f, unsigned offset, unsigned size)
{
	if (offset <= 0x60 && offset + size > 0x60)
		f->config[0x60]++;
}

static void test_reading_hook(void **state)
{
	struct rig *r = *state;

	r->toy[0].f.reading = on_reading;
	assert_int_equal(get(r, SLOT_A, 0x60), 1);
	assert_int_equal(get(r, SLOT_A, 0x60), 2);
	assert_int_equal(get(r, SLOT_A, 0x5c), 0);
	assert_int_equal(get(r, SLOT_A, 0x60), 3);
}

static void test_intx(void **state)
{
	struct rig *r = *state;
	struct pci_function *f = &r->toy[0].f;

	pci_intx_set(f, true);
	pci_intx_set(f, true);
	assert_true(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) >> 16, PCI_STATUS_INTERRUPT);
	assert_int_equal(get(r, SLOT_B, PCI_COMMAND) >> 16, 0);
	/* Another function on the same GSI holds it. */
	pci_intx_set(&r->toy[1].f, true);
	command(r, SLOT_A, PCI_COMMAND_INTX_DISABLE);
	assert_true(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	pci_intx_set(&r->toy[1].f, false);
	assert_false(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) >> 16, PCI_STATUS_INTERRUPT);
	command(r, SLOT_A, 0);
	assert_true(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	/* The status bit is not the guest's to clear. */
	pci_config_write(r->host, DEVFN(SLOT_A), PCI_STATUS, 2, 0xffff);
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) >> 16, PCI_STATUS_INTERRUPT);
	pci_intx_set(f, false);
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) >> 16, 0);
	pci_intx_set(f, true);
	command(r, SLOT_A, 0xffff);
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND) & 0xffff, 0x0407);
	pci_function_reset(f);
	assert_false(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	assert_int_equal(get(r, SLOT_A, PCI_COMMAND), 3);
	pci_intx_set(f, true);
	assert_true(fake_irq_level(&r->board.irq, LAYOUT_GSI_PIRQC));
	pci_intx_set(f, false);
}

static uint64_t rings(int fd)
{
	eventfd_t n;

	return eventfd_read(fd, &n) ? 0 : n;
}

static void test_doorbells_move(void **state)
{
	struct rig *r = *state;
	struct fake_doorbells kernel;
	struct doorbell any = {.offset = 0x1000, .size = 0};
	struct doorbell match = {.offset = 0x1004, .size = 2, .match = true, .value = 7};
	uint64_t at = LAYOUT_PCI_MMIO;

	any.fd = eventfd(0, EFD_NONBLOCK);
	match.fd = eventfd(0, EFD_NONBLOCK);
	fake_doorbells_init(&kernel, r->board.mmio);
	pci_doorbell_add(&r->toy[0].f, 1, &any);
	pci_doorbell_add(&r->toy[0].f, 1, &match);
	assert_int_equal(kernel.count, 2);
	assert_true(fake_doorbells_write(&kernel, r->board.mmio, at + 0x1000, 4, 1));
	assert_true(fake_doorbells_write(&kernel, r->board.mmio, at + 0x1004, 2, 7));
	assert_false(fake_doorbells_write(&kernel, r->board.mmio, at + 0x1004, 2, 8));
	assert_int_equal(rings(any.fd), 1);
	assert_int_equal(rings(match.fd), 1);
	assert_int_equal(r->toy[0].writes, 1);
	/* To another place, off, on again: with the BAR, and no oftener than it. */
	set(r, SLOT_A, BAR(1), 0xd0000000);
	assert_int_equal(kernel.arms, 4);
	assert_false(fake_doorbells_write(&kernel, r->board.mmio, at + 0x1000, 4, 1));
	assert_true(fake_doorbells_write(&kernel, r->board.mmio, 0xd0001000, 4, 1));
	set(r, SLOT_A, BAR(1), 0xd0000000);
	set(r, SLOT_A, BAR(2), 0xe0000000);
	assert_int_equal(kernel.arms, 4);
	command(r, SLOT_A, 0);
	assert_int_equal(kernel.count, 0);
	command(r, SLOT_A, 2);
	assert_int_equal(kernel.count, 2);
	/* Added while nowhere, removed twice. */
	command(r, SLOT_A, 0);
	pci_doorbell_remove(&r->toy[0].f, 1, &any);
	pci_doorbell_remove(&r->toy[0].f, 1, &any);
	command(r, SLOT_A, 2);
	assert_int_equal(kernel.count, 1);
	kernel.refuse = -ENOSPC;
	pci_doorbell_add(&r->toy[0].f, 1, &any);
	assert_false(fake_doorbells_write(&kernel, r->board.mmio, 0xd0001000, 4, 1));
	kernel.refuse = 0;
	/* Nobody is told of the end. */
	bus_set_doorbell_ops(r->board.mmio, NULL, NULL);
	pci_doorbell_remove(&r->toy[0].f, 1, &any);
	pci_doorbell_remove(&r->toy[0].f, 1, &match);
	assert_int_equal(kernel.count, 1);
	fake_doorbells_fini(&kernel);
	close(any.fd);
	close(match.fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_preset_places),
	    cmocka_unit_test_setup_teardown(test_power_on_decodes_nothing, setup_power_on,
					    teardown),
	    T(test_sizing),
	    T(test_windows),
	    T(test_moves),
	    T(test_conflicts),
	    T(test_conflict_with_ports),
	    T(test_no_room),
	    T(test_capabilities),
	    T(test_reading_hook),
	    T(test_intx),
	    T(test_doorbells_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
