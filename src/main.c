/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lodge command: hands the subcommand its arguments; the only file that ends the process. */
#include <stdio.h>

int main(void)
{
	puts("lodge " LODGE_VERSION);
	return 0;
}
