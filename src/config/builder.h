/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What parsing needs beside the configuration itself; the table's functions work on these. */
#ifndef CONFIG_BUILDER_H
#define CONFIG_BUILDER_H

#include <lodge/options.h>

struct config_builder {
	struct config *c;
	unsigned serial_count; /* given so far */
	bool net_given;        /* --net, also none */
	bool append_given;     /* also an empty one */
	char *append;          /* room for all of argv; NULL until the first --append */
	size_t append_used;    /* bytes, without the NUL */
	size_t append_room;    /* bytes that all of argv can need, with the NUL */
};

/* The items of one setting, as text. */
struct option_values {
	unsigned count;
	const char *item[CONFIG_INITRDS_MAX];
	char text[CONFIG_CPU_MAX + 64]; /* for items that have to be made */
};

/* set.c: each puts one option's value into the configuration. */
typedef int option_set_fn(struct config_builder *b, const struct option_spec *o, const char *value,
			  struct refusal *why);
option_set_fn set_cpus, set_memory, set_machine, set_cpu, set_hyperv, set_tpr_patch;
option_set_fn set_kernel, set_initrd, set_append;
option_set_fn set_disk, set_net, set_serial, set_console, set_port, set_display, set_control;
option_set_fn set_timeout, set_until, set_on, set_exit_port;
option_set_fn set_report, set_dry_run, set_verbose, set_help, set_later;

/* get.c: each gives the effective value as text. */
typedef void option_get_fn(const struct config *c, struct option_values *out);
option_get_fn get_cpus, get_memory, get_machine, get_cpu, get_hyperv, get_tpr_patch;
option_get_fn get_kernel, get_initrd, get_append;
option_get_fn get_none, get_disk, get_net, get_serial, get_console, get_port;
option_get_fn get_timeout, get_until, get_on, get_exit_port;
option_get_fn get_report;

#endif
