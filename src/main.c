/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lodge command. What main() returns is the exit status of docs/exit-status.md. */
#include "cli/cli.h"

#include <lodge/console.h>
#include <lodge/status.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/*
 * The host cannot give a page of memory: a mapped file was cut short, or memory has gone bad.
 * Nothing can go on, but the user gets a line and a status. Runs on the thread that touched the
 * page.
 */
static void on_memory_lost(int sig, siginfo_t *info, void *context)
{
	static const char line[] = "lodge: memory: the host could not give a page (SIGBUS): a "
				   "mapped file was cut short, or memory has gone bad\n";
	static atomic_flag told = ATOMIC_FLAG_INIT;
	struct sigaction ordinary = {.sa_handler = SIG_DFL};

	(void)context;
	terminal_restore();
	if (info->si_code > 0) {
		if (atomic_flag_test_and_set(&told))
			pause(); /* another thread is ending us */
		if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
			errno = 0; /* the status says it, too */
		_exit(STATUS_HOST);
	}
	/* Somebody sent it: it ends the process as ever. */
	sigaction(sig, &ordinary, NULL);
	raise(sig);
}

int main(int argc, char *argv[])
{
	struct sigaction lost = {.sa_sigaction = on_memory_lost, .sa_flags = SA_SIGINFO};

	stdio_secure();
	sigaction(SIGBUS, &lost, NULL);
	return cli_main(argc, (const char *const *)argv);
}
