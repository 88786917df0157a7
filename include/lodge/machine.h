/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: owns every part, runs until something ends it, and says what that was.
 *
 * machine_run() is the main loop's thread. vCPUs and devices ask for things (power off, reset,
 * stop) through machine_request(), from any thread; the first request that ends the run is its
 * verdict.
 */
#ifndef LODGE_MACHINE_H
#define LODGE_MACHINE_H

#include <lodge/config.h>
#include <lodge/kvm.h>
#include <lodge/status.h>

struct machine;

enum request {
	REQUEST_POWEROFF, /* ACPI S5 */
	REQUEST_REBOOT,   /* reset register, keyboard controller, port 0xcf9, port 92h */
	REQUEST_PANIC,    /* pvpanic or the console's words */
	REQUEST_TRIPLE_FAULT,
	REQUEST_KVM_REFUSED,
	REQUEST_VCPU_FAILED,
	REQUEST_LOOP_FAILED, /* of devices */
	REQUEST_EXIT_PORT,   /* value: the byte written */
	REQUEST_UNTIL,       /* what --until named was seen */
	REQUEST_TIMEOUT,
	REQUEST_SIGNAL,       /* value: its number */
	REQUEST_CONSOLE_QUIT, /* Ctrl-a x */
};

/* How a run ended: the last line of every run, and the heart of result.json. */
struct verdict {
	int status;                  /* the exit status of the run */
	const char *name;            /* "poweroff", "panic", "triple-fault", "kvm-refused", ... */
	char text[512];              /* one line for people */
	struct vcpu_refused refused; /* name is "kvm-refused" */
};

/*
 * Checks, opens and wires everything; on failure nothing is left behind but, maybe, an unpacked
 * kernel in the cache. With c->dry_run, the same without KVM. 0, or -1 with *why. Of several faults
 * the first of this order is told, always the same: the report's folder, the kernel's and initrds'
 * files, disks, networks, memory, what is in the kernel's files, the consoles, devices on one port,
 * KVM, vCPUs.
 */
int machine_create(const struct config *c, struct machine **out, struct refusal *why);

/* Runs to the end and writes the report. Once. -1: did not start; *v says why. */
int machine_run(struct machine *m, struct verdict *v);

void machine_destroy(struct machine *m);

/* Any thread, any device lock held; never blocks. */
void machine_request(struct machine *m, enum request what, int value);

#endif
