/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A serial port for tests. */
#include "fake_port.h"

#include <assert.h>
#include <string.h>

static unsigned port_can_receive(void *dev)
{
	const struct fake_port *f = dev;

	return f->room;
}

static void port_receive(void *dev, const uint8_t *buf, unsigned n)
{
	struct fake_port *f = dev;

	assert(n <= f->room && n <= sizeof(f->got) - f->used);
	memcpy(f->got + f->used, buf, n);
	f->used += n;
	f->room -= n;
}

static void port_receive_break(void *dev)
{
	struct fake_port *f = dev;

	f->breaks++;
}

void fake_port_init(struct fake_port *f, unsigned room)
{
	memset(f, 0, sizeof(*f));
	f->room = room;
	f->port = (struct chr_port){.dev = f,
				    .can_receive = port_can_receive,
				    .receive = port_receive,
				    .receive_break = port_receive_break};
}
