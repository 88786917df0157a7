/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts threads.
 *
 * Theory of operation: a signal for the process goes to any thread that lets it in, so ours let
 * none in and the main thread takes them all. A fault is different: it is the thread's own, and a
 * blocked one ends the process at once (signal(7)), before the handler that would have given the
 * terminal back. A new thread inherits its creator's mask, so there is no moment with another.
 */
#include "core/thread.h"

#include <signal.h>
#include <stdio.h>

/* Of the usual 8 MiB, transparent huge pages would make the first 2 MiB resident. */
#define STACK_BYTES (256u << 10)

static void fill_mask(sigset_t *mask)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

	sigfillset(mask);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(mask, faults[i]);
}

int thread_start(pthread_t *out, const char *name, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attributes;
	sigset_t mask, old;
	char cut[16];
	int err;

	fill_mask(&mask);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	err = pthread_create(out, &attributes, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (err)
		return -err;
	snprintf(cut, sizeof(cut), "%s", name);
	pthread_setname_np(*out, cut);
	return 0;
}
