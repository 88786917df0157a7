/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration, in sense: what no single option can know. Opens nothing; whether a file is
 * there, and what is in it, is found by who opens it.
 */
#include <lodge/config.h>

#include "machine/layout.h"
#include <string.h>

static int check_kernel(const struct config *c, struct refusal *why)
{
	size_t length = strlen(c->append);

	if (!c->kernel)
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "--kernel: missing; give a kernel file, as booting from firmware is "
			      "not in this version (" LODGE_VERSION ")");
	if (length >= LAYOUT_CMDLINE_MAX)
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "--append: %zu bytes in all; at most %llu fit", length,
			      LAYOUT_CMDLINE_MAX - 1);
	return 0;
}

static int check_serial(const struct config *c, struct refusal *why)
{
	const struct config_serial *a = &c->serial[0], *b = &c->serial[1];

	if (a->kind == SERIAL_STDIO && b->kind == SERIAL_STDIO)
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "--serial: 'stdio' twice; COM1 and COM2 cannot share the terminal");
	if (a->path && b->path && strcmp(a->path, b->path) == 0)
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "--serial: '%.60s' twice; COM1 and COM2 need a path each", b->path);
	return 0;
}

static int check_until(const struct config *c, struct refusal *why)
{
	if (c->until == UNTIL_STAGE && c->until_stage < STAGE_KERNEL)
		return refuse(
		    why, STATUS_USAGE, NULL, NULL,
		    "--until: 'stage:%s' never comes, as --kernel boots without firmware; "
		    "the stages are kernel, init, ready",
		    config_stage_name(c->until_stage));
	return 0;
}

/* Of all other taken ports the bus tells; a write to these never leaves the kernel. */
static int check_exit_port(const struct config *c, struct refusal *why)
{
	static const struct {
		int first, last;
		const char *owner;
	} kept[] = {
	    {0x20, 0x21, "interrupt controller"},
	    {0x40, 0x43, "timer"},
	    {0xa0, 0xa1, "interrupt controller"},
	    {0x4d0, 0x4d1, "interrupt controller"},
	};
	size_t i;

	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (c->exit_port >= kept[i].first && c->exit_port <= kept[i].last)
			return refuse(why, STATUS_USAGE, NULL, NULL,
				      "--exit-port: port 0x%x belongs to the %s", c->exit_port,
				      kept[i].owner);
	}
	return 0;
}

int config_check(const struct config *c, struct refusal *why)
{
	if (check_kernel(c, why) < 0 || check_serial(c, why) < 0 || check_until(c, why) < 0 ||
	    check_exit_port(c, why) < 0)
		return -1;
	return 0;
}
