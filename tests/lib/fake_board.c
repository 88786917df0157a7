/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a chip is mounted on. */
#include "fake_board.h"

#include "machine/layout.h"

#include <stdlib.h>

void fake_board_init(struct fake_board *b, int64_t wall_s)
{
	fake_irq_init(&b->irq);
	fake_msi_init(&b->msi);
	fake_clock_init(&b->clock, wall_s);
	if (loop_create(&b->clock.clock, &b->loop) || bus_create("ports", 0xffff, &b->ports) ||
	    bus_create("mmio", UINT64_MAX, &b->mmio))
		abort();
}

struct pci_host *fake_board_pci(struct fake_board *b, bool preset)
{
	const struct pci_host_params p = {
	    .ports = b->ports,
	    .mmio = b->mmio,
	    .irq = &b->irq.chip,
	    .msi = &b->msi.chip,
	    .io = {LAYOUT_PCI_IO, LAYOUT_PCI_IO_SIZE},
	    .memory32 = {LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO_END + 1 - LAYOUT_PCI_MMIO},
	    .memory64 = {LAYOUT_4GIB + LAYOUT_PCI64_ALIGN, 8 * LAYOUT_PCI64_ALIGN},
	    .preset = preset,
	};
	struct pci_host *h;

	if (pci_host_create(&p, &h))
		abort();
	return h;
}

void fake_board_fini(struct fake_board *b)
{
	bus_destroy(b->mmio);
	bus_destroy(b->ports);
	loop_destroy(b->loop);
	fake_msi_fini(&b->msi);
	fake_irq_fini(&b->irq);
}
