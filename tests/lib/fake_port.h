/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A serial port that keeps what it is given, and takes as much as the test says. */
#ifndef FAKE_PORT_H
#define FAKE_PORT_H

#include <lodge/chr.h>
#include <stddef.h>

struct fake_port {
	struct chr_port port; /* give this to chr_attach() */
	unsigned room;        /* bytes that it takes before it is full; the test adds to it */
	unsigned breaks;
	size_t used;
	uint8_t got[1u << 18];
};

/* Everything empty; room bytes of room. */
void fake_port_init(struct fake_port *f, unsigned room);

#endif
