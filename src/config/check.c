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

/* What a guest talks to, by any option. */
struct stream {
	const char *option;
	const struct config_serial *s;
};

static unsigned list_streams(const struct config *c, struct stream *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONFIG_SERIAL_MAX; i++)
		out[n++] = (struct stream){"--serial", &c->serial[i]};
	for (unsigned i = 0; i < c->console_count; i++)
		out[n++] = (struct stream){"--console", &c->console[i]};
	for (unsigned i = 0; i < c->port_count; i++)
		out[n++] = (struct stream){"--port", &c->port[i].stream};
	return n;
}

static int refuse_shared(const struct stream *a, const struct stream *b, struct refusal *why)
{
	const char *wanted =
	    a->s->path ? "give each a path of its own" : "only one can have the terminal";
	const char *what = a->s->path ? a->s->path : a->s->spec;

	if (strcmp(a->option, b->option) == 0)
		return refuse(why, STATUS_USAGE, NULL, NULL, "%s: '%.60s' twice; %s", a->option,
			      what, wanted);
	return refuse(why, STATUS_USAGE, NULL, NULL, "%s and %s: '%.60s' twice; %s", a->option,
		      b->option, what, wanted);
}

static int check_streams(const struct config *c, struct refusal *why)
{
	struct stream list[CONFIG_SERIAL_MAX + CONFIG_PORTS_MAX];
	unsigned n = list_streams(c, list);

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = i + 1; k < n; k++) {
			const struct config_serial *a = list[i].s, *b = list[k].s;

			if ((a->kind == SERIAL_STDIO && b->kind == SERIAL_STDIO) ||
			    (a->path && b->path && strcmp(a->path, b->path) == 0))
				return refuse_shared(&list[i], &list[k], why);
		}
	}
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
	if (check_kernel(c, why) < 0 || check_streams(c, why) < 0 || check_until(c, why) < 0 ||
	    check_exit_port(c, why) < 0)
		return -1;
	return 0;
}
