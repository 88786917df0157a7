/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_pci: an input is a script of steps for the PCI host and the chipset's functions: port
 * accesses of every size, configuration cycles, moved port bases, interrupt pins, time, the power
 * button. After each step what a guest cannot change must not have changed, and the loop must come
 * to rest.
 */
#include "fake_board.h"
#include "script.h"
#include "machine/layout.h"
#include "platform/i440fx.h"
#include "platform/piix3.h"
#include "platform/piix4_pm.h"

#include <lodge/log.h>
#include <stdlib.h>
#include <string.h>

#define PINS 4u

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct i440fx *north;
	struct piix3 *south;
	struct piix4_pm *pm;
	struct irq_line pin[PINS];
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
}

static void reset_all(struct rig *r)
{
	struct device *d[] = {pci_host_device(r->host), i440fx_device(r->north),
			      piix3_device(r->south), piix4_pm_device(r->pm)};

	for (unsigned i = 0; i < sizeof(d) / sizeof(d[0]); i++)
		device_reset(d[i]);
}

static void rig_destroy(struct rig *r)
{
	struct device *d[] = {piix4_pm_device(r->pm), piix3_device(r->south),
			      i440fx_device(r->north), pci_host_device(r->host)};

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
	static const uint8_t devfn[] = {0x00, 0x08, 0x0b, 0x10};
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
		case 2:
			bus_write(r.board.ports, next_port(&s), width, next32(&s) * 0x100000001ull);
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
			if (op & 0x80)
				reset_all(&r);
			else
				piix4_pm_power_button(r.pm);
		}
		check(&r);
	}
	rig_destroy(&r);
	return 0;
}
