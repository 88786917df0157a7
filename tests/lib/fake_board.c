/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a chip is mounted on. */
#include "fake_board.h"

#include <stdlib.h>

void fake_board_init(struct fake_board *b, int64_t wall_s)
{
	fake_irq_init(&b->irq);
	fake_clock_init(&b->clock, wall_s);
	if (loop_create(&b->clock.clock, &b->loop) || bus_create("ports", 0xffff, &b->ports))
		abort();
}

void fake_board_fini(struct fake_board *b)
{
	bus_destroy(b->ports);
	loop_destroy(b->loop);
	fake_irq_fini(&b->irq);
}
