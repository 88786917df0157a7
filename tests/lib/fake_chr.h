/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character stream for tests of serial ports: keeps what the port sends, and hands over what the
 * test gives when the port can take it. Defines the functions of lodge/chr.h itself, so include it
 * in one file of a program that does not use the real ones.
 */
#ifndef FAKE_CHR_H
#define FAKE_CHR_H

#include <lodge/chr.h>
#include <stdbool.h>
#include <string.h>

#define FAKE_CHR_SIZE 65536u

struct chr {
	const struct chr_port *port;
	uint8_t sent[FAKE_CHR_SIZE]; /* later bytes are counted only */
	size_t sent_count;
	unsigned accepts; /* calls of chr_accept_input() */
	bool counted; /* chr_room() is room, which the port uses up; else there always is some */
	size_t room;
};

void chr_attach(struct chr *c, const struct chr_port *port)
{
	c->port = port;
}

void chr_detach(struct chr *c)
{
	if (c)
		c->port = NULL;
}

void chr_write(struct chr *c, const uint8_t *buf, size_t n)
{
	size_t i;

	if (c && c->counted)
		c->room -= n < c->room ? n : c->room;
	for (i = 0; c && i < n; i++) {
		if (c->sent_count < FAKE_CHR_SIZE)
			c->sent[c->sent_count] = buf[i];
		c->sent_count++;
	}
}

size_t chr_room(struct chr *c)
{
	return c && c->counted ? c->room : SIZE_MAX;
}

void chr_accept_input(struct chr *c)
{
	if (c)
		c->accepts++;
}

/* Gives the port as many of n bytes as it takes now; returns how many. */
static inline unsigned fake_chr_give(struct chr *c, const void *buf, unsigned n)
{
	unsigned room = c->port->can_receive(c->port->dev);

	if (n > room)
		n = room;
	if (n)
		c->port->receive(c->port->dev, buf, n);
	return n;
}

#endif
