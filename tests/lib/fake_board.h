/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a chip is mounted on: I/O ports, interrupt pins, and a loop whose clock the test steps. */
#ifndef FAKE_BOARD_H
#define FAKE_BOARD_H

#include "fake_clock.h"
#include "fake_irq.h"

#include <lodge/bus.h>

struct fake_board {
	struct bus *ports;
	struct fake_irq irq;
	struct fake_clock clock;
	struct loop *loop;
};

/* wall_s: as for fake_clock_init(). Ends the program when memory is short. */
void fake_board_init(struct fake_board *b, int64_t wall_s);

/* The chips are gone. */
void fake_board_fini(struct fake_board *b);

#endif
