/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lodge command. What main() returns is the exit status of docs/exit-status.md. */
#include "cli/cli.h"

#include <lodge/console.h>

int main(int argc, char *argv[])
{
	stdio_secure();
	return cli_main(argc, (const char *const *)argv);
}
