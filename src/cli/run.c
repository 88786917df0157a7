/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `lodge run`: from options to a machine, and from how it ended to an exit status.
 *
 * Every ending but status 0 is told in one line on stderr, after the terminal was given back.
 */
#include "cli/cli.h"

#include <lodge/config.h>
#include <lodge/log.h>
#include <lodge/machine.h>

static int run_machine(const struct config *c)
{
	struct refusal why = {0};
	struct verdict v = {0};
	struct machine *m;

	if (machine_create(c, &m, &why) < 0)
		return cli_refuse(&why);
	if (!c->dry_run)
		machine_run(m, &v);
	machine_destroy(m);
	if (v.status != STATUS_OK)
		cli_say(v.text);
	return v.status;
}

int cli_run(int argc, const char *const argv[])
{
	/* Borrowed by the machine; strings live in argv. */
	static struct config c;
	struct refusal why = {0};

	if (config_parse(argc, argv, &c, &why) < 0)
		return cli_refuse(&why);
	if (c.help) {
		cli_run_help(stdout);
		return STATUS_OK;
	}
	if (config_check(&c, &why) < 0)
		return cli_refuse(&why);
	log_set_level(c.log_level);
	return run_machine(&c);
}
