/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why the guest ended, as an exit status, a name and a line for people. Pure: decides, does
 * nothing. docs/exit-status.md is the contract; verdict.c has it as a table.
 */
#ifndef MACHINE_VERDICT_H
#define MACHINE_VERDICT_H

#include <lodge/config.h>
#include <lodge/machine.h>

/* What is known about a request. Strings may be NULL and may hold what a guest wrote. */
struct verdict_cause {
	enum request what;
	int value; /* REQUEST_EXIT_PORT: the byte; REQUEST_SIGNAL: its number */
	const char
	    *detail; /* one line more: the console's words of a panic, who asked for a reset */
	/* REQUEST_KVM_REFUSED, REQUEST_TRIPLE_FAULT, REQUEST_VCPU_FAILED; else NULL */
	const struct vcpu_refused *refused;
	const char *instruction; /* of refused, from disasm_format(), "" or NULL if unknown */
	enum kvm_kind kvm;
};

/*
 * What the request does. ACTION_EXIT: the run ends and *v is the verdict. ACTION_RESET: the guest
 * starts again; ACTION_PAUSE: the vCPUs stop and the machine waits; *v then says what happened,
 * for the log, and its status is what an exit would have given. Any thread.
 */
enum action_kind verdict_decide(const struct config *c, const struct verdict_cause *cause,
				struct verdict *v);

#endif
