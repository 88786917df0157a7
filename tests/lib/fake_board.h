/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a chip is mounted on: buses, interrupts, and a loop whose clock the test steps. */
#ifndef FAKE_BOARD_H
#define FAKE_BOARD_H

#include "fake_clock.h"
#include "fake_irq.h"
#include "fake_msi.h"

#include <lodge/bus.h>
#include <lodge/pci_host.h>

struct fake_board {
	struct bus *ports, *mmio;
	struct fake_irq irq;
	struct fake_msi msi;
	struct fake_clock clock;
	struct loop *loop;
};

/* wall_s: as for fake_clock_init(). Ends the program when memory is short. */
void fake_board_init(struct fake_board *b, int64_t wall_s);

/* A PCI host with the windows of the machine `pc`, and 8 GiB above 4 GiB + 1 GiB. */
struct pci_host *fake_board_pci(struct fake_board *b, bool preset);

/* The chips are gone. */
void fake_board_fini(struct fake_board *b);

#endif
