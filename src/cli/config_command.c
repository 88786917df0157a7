/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `lodge config check|dump [OPTIONS]`: the options of `lodge run`, checked, without running.
 *
 * check says nothing when all is well; dump prints what would be in effect, defaults included, as
 * YAML. Neither opens a file: `lodge run --dry-run` does.
 */
#include "cli/cli.h"

#include <lodge/config.h>
#include <string.h>

int cli_config(int argc, const char *const argv[])
{
	struct refusal why = {0};
	struct config c;

	if (argc < 1)
		return cli_usage("config: check or dump is missing");
	if (strcmp(argv[0], "check") != 0 && strcmp(argv[0], "dump") != 0)
		return cli_usage("config: '%.60s': give check or dump", argv[0]);
	if (config_parse(argc - 1, argv + 1, &c, &why) < 0)
		return cli_refuse(&why);
	if (c.help) {
		cli_run_help(stdout);
		return STATUS_OK;
	}
	if (config_check(&c, &why) < 0)
		return cli_refuse(&why);
	if (strcmp(argv[0], "dump") == 0)
		config_dump(&c, stdout);
	return STATUS_OK;
}
