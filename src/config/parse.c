/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of `lodge run`, in form.
 *
 * Theory of operation: getopt_long(3)'s grammar over the table of options: --name VALUE,
 * --name=VALUE, -x VALUE, -xVALUE, letters without a value bundled (-vv). Abbreviated long names
 * are not taken, so that a later option can never change what a script means. An unknown name is
 * refused with the nearest known one. Of an option given twice the last value counts, unless the
 * table says that it repeats. Linear in argc.
 */
#include "config/builder.h"
#include "config/net.h"
#include "core/nearest.h"

#include <string.h>

static const struct option_spec *find_letter(char letter)
{
	unsigned i;

	for (i = 0; i < option_count; i++) {
		if (options[i].letter && options[i].letter == letter)
			return &options[i];
	}
	return NULL;
}

static const struct option_spec *find_name(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < option_count; i++) {
		if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0)
			return &options[i];
	}
	return NULL;
}

static const char *nearest_name(const char *name, size_t n)
{
	unsigned best = NEAREST_FAR, score, i;
	const char *found = NULL;

	for (i = 0; i < option_count; i++) {
		score = nearest_score(name, n, options[i].name);
		if (score < best) {
			best = score;
			found = options[i].name;
		}
	}
	return found;
}

static int refuse_unknown(const char *name, size_t n, struct refusal *why)
{
	const char *near = nearest_name(name, n);

	if (near)
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "--%.*s: unknown option; did you mean --%s?", n > 60 ? 60 : (int)n,
			      name, near);
	return refuse(why, STATUS_USAGE, NULL, NULL,
		      "--%.*s: unknown option; lodge run --help lists them", n > 60 ? 60 : (int)n,
		      name);
}

static int refuse_missing(const struct option_spec *o, struct refusal *why)
{
	return refuse(why, STATUS_USAGE, NULL, NULL, "--%s: needs a value: %s", o->name,
		      o->argument);
}

/* *used is set when the value is the next word. next is NULL at the end. */
static int parse_long(struct config_builder *b, const char *arg, const char *next, bool *used,
		      struct refusal *why)
{
	size_t n = strcspn(arg, "=");
	const char *value = arg[n] ? arg + n + 1 : NULL;
	const struct option_spec *o = find_name(arg, n);

	if (!o)
		return refuse_unknown(arg, n, why);
	if (!o->argument && value)
		return refuse(why, STATUS_USAGE, NULL, NULL, "--%s: takes no value", o->name);
	if (o->argument && !o->optional && !value) {
		if (!next)
			return refuse_missing(o, why);
		value = next;
		*used = true;
	}
	return o->set(b, o, value, why);
}

static int parse_short(struct config_builder *b, const char *arg, const char *next, bool *used,
		       struct refusal *why)
{
	const struct option_spec *o;

	for (; *arg && !b->c->help; arg++) {
		o = find_letter(*arg);
		if (!o)
			return refuse(why, STATUS_USAGE, NULL, NULL,
				      "-%c: unknown option; lodge run --help lists them", *arg);
		if (o->argument) {
			if (!arg[1] && !next)
				return refuse_missing(o, why);
			*used = !arg[1];
			return o->set(b, o, arg[1] ? arg + 1 : next, why);
		}
		if (o->set(b, o, NULL, why) < 0)
			return -1;
	}
	return 0;
}

static int parse_word(struct config_builder *b, const char *arg, const char *next, bool *used,
		      struct refusal *why)
{
	if (arg[0] != '-' || !arg[1])
		return refuse(why, STATUS_USAGE, NULL, NULL,
			      "'%.60s': not an option; a kernel is given with --kernel", arg);
	if (arg[1] == '-')
		return parse_long(b, arg + 2, next, used, why);
	return parse_short(b, arg + 1, next, used, why);
}

static bool console_has_terminal(const struct config *c)
{
	for (unsigned i = 0; i < c->console_count; i++) {
		if (c->console[i].kind == SERIAL_STDIO)
			return true;
	}
	return false;
}

/*
 * What a Linux with a disk needs to be told and would be told by most: its console and its root.
 * Whoever has the root elsewhere, as in a partition, gives --append. The last of two consoles is
 * the one that programs get, so it is the one on the terminal; a serial port that leads nowhere
 * would only cost time.
 */
static const char *default_append(const struct config *c)
{
	static const char *const texts[][2] = {
	    {"", "console=ttyS0 root=/dev/vda rw"},
	    {"console=hvc0", "console=hvc0 root=/dev/vda rw"},
	    {"console=ttyS0 console=hvc0", "console=ttyS0 console=hvc0 root=/dev/vda rw"},
	    {"console=hvc0 console=ttyS0", "console=hvc0 console=ttyS0 root=/dev/vda rw"},
	};
	unsigned consoles;

	if (!c->console_count)
		consoles = 0;
	else if (c->serial[0].kind == SERIAL_NULL)
		consoles = 1;
	else
		consoles = c->serial[0].kind == SERIAL_STDIO ? 3 : 2;
	return texts[consoles][c->disk_count != 0];
}

/* What follows from the options that were given for those that were not. */
static void set_dependent_defaults(struct config_builder *b)
{
	struct config *c = b->c;

	if (!b->serial_count && console_has_terminal(c))
		c->serial[0] = (struct config_serial){.kind = SERIAL_NULL, .spec = "null"};
	if (c->kernel && !b->append_given)
		c->append = default_append(c);
}

static void set_defaults(struct config *c)
{
	memset(c, 0, sizeof(*c));
	c->machine = MACHINE_PC;
	c->cpus = 1;
	c->memory = 512ull << 20;
	c->append = "";
	config_default_net(&c->net[0]);
	c->net_count = 1;
	c->serial[0] = (struct config_serial){.kind = SERIAL_STDIO, .spec = "stdio"};
	for (unsigned e = 0; e < EVENT_COUNT; e++)
		c->on[e] = (struct config_action){ACTION_EXIT, -1};
	c->on[EVENT_REBOOT].kind = ACTION_RESET;
	c->exit_port = -1;
	c->cpu_model = "host";
	c->cpu_features = "";
	c->log_level = LOG_WARNING;
}

int config_parse(int argc, const char *const argv[], struct config *c, struct refusal *why)
{
	struct config_builder b = {.c = c, .append_room = 1};
	bool used;
	int i;

	set_defaults(c);
	for (i = 0; i < argc; i++)
		b.append_room += strlen(argv[i]) + 1;
	for (i = 0; i < argc && !c->help; i++) {
		if (strcmp(argv[i], "--") == 0) {
			if (i + 1 < argc)
				return refuse(why, STATUS_USAGE, NULL, NULL,
					      "--: a COMMAND for the guest is not in this version "
					      "(" LODGE_VERSION ")");
			break;
		}
		used = false;
		if (parse_word(&b, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, why) < 0)
			return -1;
		i += used;
	}
	set_dependent_defaults(&b);
	return 0;
}
