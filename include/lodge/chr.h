/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character streams: the seam between a port of the guest and whatever is behind it.
 *
 * A port writes on a vCPU thread and must never wait, so chr_write() only copies into a ring of
 * fixed size; the main loop moves the ring's content to a terminal, a file, a socket. When
 * nobody reads, the oldest bytes are dropped and counted, and a late reader gets what the ring
 * still holds. A port that can make the guest wait may ask chr_room() first. Input goes the other
 * way on the main loop: the backend asks how many bytes the port can take now and hands over at
 * most those.
 */
#ifndef LODGE_CHR_H
#define LODGE_CHR_H

#include <stddef.h>
#include <stdint.h>

struct chr;

/* What a port gives to its stream. Called on the main loop's thread, no chr lock held, unless said.
 */
struct chr_port {
	void *dev;
	unsigned (*can_receive)(void *dev); /* bytes that the port takes now */
	void (*receive)(void *dev, const uint8_t *buf, unsigned n); /* n <= can_receive() */
	void (*receive_break)(void *dev);                           /* may be NULL */
	/*
	 * There is room again after chr_room() gave 0. May be NULL. Any thread, the stream's lock
	 * held: it posts a task.
	 */
	void (*has_room)(void *dev);
};

/* Connects the port; the stream may call it from now on. Before the loop runs. */
void chr_attach(struct chr *c, const struct chr_port *port);

/* The port goes away: when this returns, it is not called any more. The loop does not run. */
void chr_detach(struct chr *c);

/* Any thread, any lock held; never blocks, never allocates. NULL c swallows everything. */
void chr_write(struct chr *c, const uint8_t *buf, size_t n);

/*
 * How many bytes chr_write() takes now without losing one: for a port whose writer can wait. While
 * nobody reads, and for NULL, that is SIZE_MAX. Any thread.
 */
size_t chr_room(struct chr *c);

/* The port can take input again. Any thread, any lock held. */
void chr_accept_input(struct chr *c);

#endif
