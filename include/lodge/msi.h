/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message signalled interrupts: what a PCI function holds to interrupt a processor without a wire.
 *
 * A message is a write of data to an address that belongs to the local APICs. Intel SDM volume 3A,
 * section 10.11. Like interrupt lines, routes are the leaf of the lock order: any thread, any lock
 * held, and nobody is called back.
 *
 * The guest chooses address and data, so neither is trusted: a message that is not for the local
 * APICs, or that they would not take, goes nowhere. It never writes memory.
 */
#ifndef LODGE_MSI_H
#define LODGE_MSI_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct msi_message {
	uint64_t address;
	uint32_t data;
};

struct msi_route;

struct msi_chip_ops {
	/* Once, before a vCPU runs; sets fd if the route can have one. */
	void (*attach)(void *arg, struct msi_route *r);
	void (*detach)(void *arg, struct msi_route *r);
	/* Copies m, which is valid, to r->message. Makes no system call. */
	void (*change)(void *arg, struct msi_route *r, const struct msi_message *m);
	void (*send)(void *arg, struct msi_route *r);
};

struct msi_chip {
	const struct msi_chip_ops *ops;
	void *arg;
};

/*
 * One source of messages, embedded in its owner. The owner calls msi_set() and msi_send() of one
 * route under one lock of its own, at most one at a time.
 */
struct msi_route {
	struct msi_chip *chip; /* NULL: not connected, and messages go nowhere */
	bool valid;            /* message may be sent */
	/* The chip's. */
	struct msi_message message;
	int fd;              /* eventfd that sends the message while `live`; -1: none */
	uint32_t slot;       /* number among the chip's routes */
	atomic_bool live;    /* fd sends the message as it is now */
	unsigned sent_apart; /* messages since the change that did not go through fd */
};

/* Whether the local APICs take it: address 0xfeexxxxx, a delivery mode and a vector that exist. */
bool msi_message_valid(const struct msi_message *m);

/* chip may be NULL. Before a vCPU runs. */
void msi_route_init(struct msi_route *r, struct msi_chip *chip);
void msi_route_fini(struct msi_route *r);

/* What the next msi_send() sends. Costs no system call. False: invalid, nothing will be sent. */
bool msi_set(struct msi_route *r, const struct msi_message *m);

/* One system call, rarely two. */
void msi_send(struct msi_route *r);

/*
 * For who batches system calls: writing 1 to the eventfd sends the message, as long as msi_set()
 * is not called. -1: not now, use msi_send().
 */
static inline int msi_fd(struct msi_route *r)
{
	return r->valid && atomic_load_explicit(&r->live, memory_order_acquire) ? r->fd : -1;
}

#endif
