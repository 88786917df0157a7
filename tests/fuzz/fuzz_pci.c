/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_pci: an input is a script of steps for the PCI host, the chipset's functions and one with
 * BARs, MSI-X and doorbells: accesses of every size to ports and memory, configuration cycles,
 * moved bases, interrupts, time, the power button. After each step what a guest cannot change must
 * not have changed, BARs must lie where they may, doorbells in them, and the loop must come to
 * rest.
 */
#include "fake_board.h"
#include "fake_doorbell.h"
#include "script.h"
#include "machine/layout.h"
#include "platform/i440fx.h"
#include "platform/piix3.h"
#include "platform/piix4_pm.h"

#include <lodge/log.h>
#include <lodge/pci_interrupt.h>
#include <stdlib.h>
#include <string.h>

#define PINS        4u
#define TOY         PCI_DEVFN(2, 0)
#define TOY_VECTORS 33u
#define TOY_IO      0
#define TOY_MSIX    1
#define TOY_MEMORY  2
#define BELLS       3u

/* A function with all there is: 32 ports, 64 KiB of 64-bit memory, MSI-X, a pin, doorbells. */
struct toy {
	struct pci_function f;
	struct pci_intx intx;
	struct pci_msix *msix;
	pthread_mutex_t lock;
	struct doorbell bell[BELLS];
	bool added[BELLS];
};

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct i440fx *north;
	struct piix3 *south;
	struct piix4_pm *pm;
	struct irq_line pin[PINS];
	struct toy toy;
	struct fake_doorbells port_bells, memory_bells;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_reset(void *arg, bool hard)
{
	(void)arg;
	(void)hard;
}

static void on_poweroff(void *arg)
{
	(void)arg;
}

static uint64_t toy_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	return offset + size;
}

static void toy_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct toy *t = dev;

	(void)size;
	/* A device interrupts from inside its own accesses too. */
	if (offset & 1)
		pci_intx_set(&t->f, value & 1);
	else
		pci_msix_fire(t->msix, (unsigned)value);
}

static void toy_create(struct rig *r)
{
	static const struct pci_ids ids = {.vendor = 0x1234, .device = 0x5678};
	static const struct bus_region_ops ops = {
	    .name = "toy", .read = toy_read, .write = toy_write, .width_max = 8};
	struct toy *t = &r->toy;
	struct bus_region region = {.ops = &ops, .dev = t, .lock = &t->lock};

	fake_doorbells_init(&r->port_bells, r->board.ports);
	fake_doorbells_init(&r->memory_bells, r->board.mmio);
	pthread_mutex_init(&t->lock, NULL);
	pci_function_init(&t->f, "toy", TOY, &ids);
	pci_add_bar(&t->f, TOY_IO, PCI_BAR_IO, 32, &region);
	pci_add_bar(&t->f, TOY_MEMORY, PCI_BAR_MEMORY64, 0x10000, &region);
	pci_use_intx(&t->f, &t->intx);
	must(pci_msix_create(r->host, &t->f, TOY_MSIX, TOY_VECTORS, &t->msix) == 0);
	must(pci_attach(r->host, &t->f) == 0);
	for (unsigned i = 0; i < BELLS; i++)
		t->bell[i] = (struct doorbell){.offset = 8ull * i, .fd = -1};
	t->bell[1].match = true;
	t->bell[1].size = 2;
}

static void toy_destroy(struct rig *r)
{
	struct toy *t = &r->toy;

	pci_detach(&t->f);
	must(r->port_bells.count + r->memory_bells.count == 0);
	pci_msix_destroy(t->msix);
	pci_intx_fini(&t->intx);
	pthread_mutex_destroy(&t->lock);
	must(r->board.msi.routes == 0);
	fake_doorbells_fini(&r->port_bells);
	fake_doorbells_fini(&r->memory_bells);
}

static unsigned bell_bar(unsigned i)
{
	return i ? TOY_MEMORY : TOY_IO;
}

static void toggle_bell(struct toy *t, unsigned i)
{
	if (t->added[i])
		pci_doorbell_remove(&t->f, bell_bar(i), &t->bell[i]);
	else
		pci_doorbell_add(&t->f, bell_bar(i), &t->bell[i]);
	t->added[i] = !t->added[i];
}

/* Where the toy is, or anywhere; odd or even. */
static uint64_t next_address(struct rig *r, struct script *s)
{
	uint8_t which = next8(s);
	uint64_t offset = next8(s);

	offset |= (uint64_t)next8(s) << 8;
	if (which & 0x80)
		return offset << (which & 0x3f);
	return r->toy.f.bar[which & 1 ? TOY_MSIX : TOY_MEMORY].region.base + offset;
}

static void check_bar(const struct rig *r, unsigned index)
{
	const struct pci_bar *b = &r->toy.f.bar[index];
	uint64_t base = b->region.base, end = base + (b->size - 1);
	bool low = base >= LAYOUT_PCI_MMIO && end <= LAYOUT_PCI_MMIO_END;

	if (!b->region.mapped)
		return;
	must(base % b->size == 0 && end > base && b->region.size == b->size);
	if (index == TOY_IO) {
		must(r->toy.f.config[PCI_COMMAND] & PCI_COMMAND_IO);
		must(base >= LAYOUT_PCI_IO && end <= 0xffff);
	} else {
		must(r->toy.f.config[PCI_COMMAND] & PCI_COMMAND_MEMORY);
		must(low || (index == TOY_MEMORY && base >= LAYOUT_4GIB + LAYOUT_PCI64_ALIGN &&
			     end < LAYOUT_4GIB + 9 * LAYOUT_PCI64_ALIGN));
	}
}

static void check_toy(const struct rig *r)
{
	const struct toy *t = &r->toy;

	must(t->f.config[PCI_VENDOR] == 0x34);
	for (unsigned i = 0; i <= TOY_MEMORY; i++)
		check_bar(r, i);
	for (unsigned i = 0; i < BELLS; i++) {
		const struct bus_region *region = &t->f.bar[bell_bar(i)].region;

		must(t->bell[i].armed == (t->added[i] && region->mapped));
		must(!t->bell[i].armed || t->bell[i].addr == region->base + t->bell[i].offset);
	}
	/* The pin is low while messages are how it interrupts. */
	must(!pci_msix_enabled(t->msix) || !t->intx.line.asserted);
}

static void rig_create(struct rig *r)
{
	struct piix3_params isa = {.preset = true, .reset = on_reset};
	struct piix4_pm_params pm = {.preset = true, .poweroff = on_poweroff};

	memset(r, 0, sizeof(*r));
	fake_board_init(&r->board, 0);
	r->host = fake_board_pci(&r->board, true);
	must(i440fx_create(r->host, &r->north) == 0);
	isa.host = pm.host = r->host;
	must(piix3_create(&isa, &r->south) == 0);
	pm.ports = r->board.ports;
	pm.irq = &r->board.irq.chip;
	pm.loop = r->board.loop;
	must(piix4_pm_create(&pm, &r->pm) == 0);
	for (unsigned i = 0; i < PINS; i++)
		pci_host_intx_line(r->host, PCI_DEVFN(2 + i, 0), 1, &r->pin[i]);
	toy_create(r);
}

static void reset_all(struct rig *r)
{
	struct device *d[] = {pci_host_device(r->host), i440fx_device(r->north),
			      piix3_device(r->south), piix4_pm_device(r->pm)};

	for (unsigned i = 0; i < sizeof(d) / sizeof(d[0]); i++)
		device_reset(d[i]);
	pci_function_reset(&r->toy.f);
}

static void rig_destroy(struct rig *r)
{
	struct device *d[] = {piix4_pm_device(r->pm), piix3_device(r->south),
			      i440fx_device(r->north), pci_host_device(r->host)};

	toy_destroy(r);
	for (unsigned i = 0; i < sizeof(d) / sizeof(d[0]); i++)
		d[i]->ops->destroy(d[i]);
	fake_board_fini(&r->board);
}

static uint16_t next_port(struct script *s)
{
	static const uint16_t first[] = {LAYOUT_PORT_PCI_CONFIG, LAYOUT_PORT_PM, LAYOUT_PORT_SMBUS};
	uint8_t which = next8(s);

	if (which >> 6 < 3)
		return (uint16_t)(first[which >> 6] + (which & 0x3f));
	return (uint16_t)next32(s);
}

/* A cycle of one of the functions there are, or of one that is not. */
static void config_cycle(struct rig *r, struct script *s, unsigned size)
{
	static const uint8_t devfn[] = {0x00, 0x08, 0x0b, TOY};
	uint8_t reg = next8(s);
	uint32_t address = 0x80000000u | (uint32_t)devfn[next8(s) & 3] << 8 | (reg & 0xfc);

	bus_write(r->board.ports, LAYOUT_PORT_PCI_CONFIG, 4, address);
	bus_write(r->board.ports, LAYOUT_PORT_PCI_DATA + (reg & 3), size, next32(s));
	bus_read(r->board.ports, LAYOUT_PORT_PCI_DATA + (reg & 3), size);
}

static void check(struct rig *r)
{
	unsigned votes = 0, i;

	for (i = 0; i < 16 && loop_step(r->board.loop); i++)
		;
	must(i < 16);
	must(pci_config_read(r->host, 0x00, 0, 4) == 0x12378086);
	must(pci_config_read(r->host, 0x08, 0, 4) == 0x70008086);
	must(pci_config_read(r->host, 0x0b, 0, 4) == 0x71138086);
	/* At most the four wires and the SCI vote, whatever was routed in which order. */
	for (i = 0; i < IRQ_GSI_COUNT; i++) {
		votes += r->board.irq.chip.votes[i];
		must(r->board.irq.level[i] == (r->board.irq.chip.votes[i] != 0));
	}
	must(votes <= PCI_PIRQS + 1);
	check_toy(r);
}

/* The function's own doings, and those of the machine. */
static void other_step(struct rig *r, struct script *s, unsigned what)
{
	switch (what) {
	case 0:
		reset_all(r);
		break;
	case 1:
		piix4_pm_power_button(r->pm);
		break;
	case 2:
		toggle_bell(&r->toy, next8(s) % BELLS);
		break;
	case 3:
		pci_msix_fire_fd(r->toy.msix, next8(s));
		break;
	default:
		pci_intx_set(&r->toy.f, what & 1);
	}
}

static void memory_step(struct rig *r, struct script *s, unsigned size, bool write)
{
	uint64_t address = next_address(r, s);

	if (write)
		bus_write(r->board.mmio, address, size, next32(s) * 0x100000001ull);
	else
		bus_read(r->board.mmio, address, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};
	static struct rig r;

	log_set_level(LOG_ERROR);
	rig_create(&r);
	while (s.at < s.end) {
		uint8_t op = next8(&s);
		unsigned width = 1u << (op >> 4 & 3);

		switch (op & 7) {
		case 0:
			bus_read(r.board.ports, next_port(&s), width);
			break;
		case 1:
			bus_write(r.board.ports, next_port(&s), width, next32(&s) * 0x100000001ull);
			break;
		case 2:
			memory_step(&r, &s, width, op & 0x80);
			break;
		case 3:
		case 4:
			config_cycle(&r, &s, width & 7 ? width & 7 : 4);
			break;
		case 5:
			irq_set(&r.pin[op >> 3 & 3], op & 0x80);
			break;
		case 6:
			fake_clock_step(&r.board.clock, (uint64_t)next32(&s) << (op >> 4));
			break;
		default:
			other_step(&r, &s, op >> 5);
		}
		check(&r);
	}
	rig_destroy(&r);
	return 0;
}
