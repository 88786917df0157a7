/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effective configuration as text: for `lodge config dump` and for reports.
 *
 * Theory of operation: one function an option with a key, the reverse of set.c: what it gives
 * parses to the same value. Items point into the configuration or into the caller's scratch text.
 */
#include "config/builder.h"
#include "config/value.h"

#include <stdio.h>

static void give(struct option_values *out, const char *item)
{
	out->item[out->count++] = item;
}

void get_cpus(const struct config *c, struct option_values *out)
{
	snprintf(out->text, sizeof(out->text), "%u", c->cpus);
	give(out, out->text);
}

void get_memory(const struct config *c, struct option_values *out)
{
	value_format_size(c->memory, out->text, sizeof(out->text));
	give(out, out->text);
}

void get_machine(const struct config *c, struct option_values *out)
{
	give(out, c->machine == MACHINE_PC ? "pc" : "micro");
}

void get_cpu(const struct config *c, struct option_values *out)
{
	snprintf(out->text, sizeof(out->text), "%s%s", c->cpu_model, c->cpu_features);
	give(out, out->text);
}

void get_hyperv(const struct config *c, struct option_values *out)
{
	give(out, c->hyperv ? "true" : "false");
}

void get_tpr_patch(const struct config *c, struct option_values *out)
{
	static const char *const names[] = {"auto", "on", "off"};

	give(out, names[c->tpr_patch]);
}

void get_kernel(const struct config *c, struct option_values *out)
{
	if (c->kernel)
		give(out, c->kernel);
}

void get_initrd(const struct config *c, struct option_values *out)
{
	unsigned i;

	for (i = 0; i < c->initrd_count; i++)
		give(out, c->initrd[i]);
}

void get_append(const struct config *c, struct option_values *out)
{
	give(out, c->append);
}

void get_none(const struct config *c, struct option_values *out)
{
	(void)c;
	give(out, "none");
}

void get_disk(const struct config *c, struct option_values *out)
{
	for (unsigned i = 0; i < c->disk_count; i++)
		give(out, c->disk[i].spec);
}

void get_net(const struct config *c, struct option_values *out)
{
	for (unsigned i = 0; i < c->net_count; i++)
		give(out, c->net[i].spec);
	if (!c->net_count)
		give(out, "none");
}

void get_serial(const struct config *c, struct option_values *out)
{
	unsigned i;

	for (i = 0; i < CONFIG_SERIAL_MAX; i++) {
		if (c->serial[i].kind != SERIAL_NONE)
			give(out, c->serial[i].spec);
	}
}

void get_console(const struct config *c, struct option_values *out)
{
	for (unsigned i = 0; i < c->console_count; i++)
		give(out, c->console[i].spec);
}

void get_port(const struct config *c, struct option_values *out)
{
	for (unsigned i = 0; i < c->port_count; i++)
		give(out, c->port[i].spec);
}

void get_timeout(const struct config *c, struct option_values *out)
{
	if (!c->timeout_ns)
		return;
	value_format_duration(c->timeout_ns, out->text, sizeof(out->text));
	give(out, out->text);
}

void get_until(const struct config *c, struct option_values *out)
{
	if (c->until == UNTIL_TEXT)
		give(out, c->until_text);
	if (c->until != UNTIL_STAGE)
		return;
	snprintf(out->text, sizeof(out->text), "stage:%s", config_stage_name(c->until_stage));
	give(out, out->text);
}

void get_on(const struct config *c, struct option_values *out)
{
	static const char *const actions[] = {"exit", "reset", "pause"};
	const size_t size = sizeof(out->text) / EVENT_COUNT;
	unsigned e;

	for (e = 0; e < EVENT_COUNT; e++) {
		const struct config_action *a = &c->on[e];
		char *text = out->text + e * size;

		if (e == EVENT_WATCHDOG)
			continue;
		if (a->kind == ACTION_EXIT && a->status >= 0)
			snprintf(text, size, "%s=exit:%d", config_event_name(e), a->status);
		else
			snprintf(text, size, "%s=%s", config_event_name(e), actions[a->kind]);
		give(out, text);
	}
}

void get_exit_port(const struct config *c, struct option_values *out)
{
	if (c->exit_port < 0)
		return;
	snprintf(out->text, sizeof(out->text), "%d", c->exit_port);
	give(out, out->text);
}

void get_report(const struct config *c, struct option_values *out)
{
	if (c->report_dir)
		give(out, c->report_dir);
}
