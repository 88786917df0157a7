// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stands behind the guest's serial ports, consoles and named ports, and who listens to them.
 *
 * Theory of operation: two streams are listened to for the words that mean something: COM1 and the
 * first virtio console, each by an observer of its own, as what they say comes on two threads and
 * would be mixed within a line. Where there is such a console it is the one that the report is
 * about, and else COM1 is. Nobody listens to the others: their words are a program's.
 */
#include "machine/machine_internal.h"

#include "machine/report.h"

#include <stdio.h>
#include <string.h>

static void console_quit(void *arg)
{
	machine_request(arg, REQUEST_CONSOLE_QUIT, 0);
}

static int open_one(struct machine *m, const struct config_serial *cfg, const char *name,
		    struct chr **out, struct refusal *why)
{
	if (m->config->dry_run)
		return chr_check(cfg, name, why);
	if (chr_open(cfg, name, m->loop, out, why))
		return -1;
	chr_on_quit(*out, console_quit, m);
	return 0;
}

static int open_streams(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;
	struct chr **port = m->port;
	char name[20];

	for (unsigned i = 0; i < CONFIG_SERIAL_MAX; i++) {
		snprintf(name, sizeof(name), "serial%u", i);
		if (open_one(m, &c->serial[i], name, &m->serial[i], why))
			return -1;
	}
	for (unsigned i = 0; i < c->console_count; i++) {
		snprintf(name, sizeof(name), "console%u", i);
		if (open_one(m, &c->console[i], name, port++, why))
			return -1;
	}
	for (unsigned i = 0; i < c->port_count; i++) {
		if (open_one(m, &c->port[i].stream, c->port[i].name, port++, why))
			return -1;
	}
	return 0;
}

static int observe(struct machine *m, struct chr *c, const char *log_name, struct observer **out,
		   struct refusal *why)
{
	if (requests_observe(m, log_name, out, why))
		return -1;
	chr_observe(c, *out);
	return 0;
}

int consoles_open(struct machine *m, struct refusal *why)
{
	if (open_streams(m, why))
		return -1;
	if (m->config->dry_run)
		return 0;
	if (!m->config->console_count)
		return observe(m, m->serial[0], REPORT_CONSOLE_LOG, &m->observer[0], why);
	if (observe(m, m->port[0], REPORT_CONSOLE_LOG, &m->observer[0], why))
		return -1;
	return observe(m, m->serial[0], REPORT_SERIAL_LOG, &m->observer[1], why);
}

void consoles_start_at(struct machine *m, uint64_t start_ns)
{
	for (unsigned i = 0; i < OBSERVERS_MAX; i++) {
		if (m->observer[i])
			observer_start_at(m->observer[i], start_ns);
	}
}

void consoles_tell_now(struct machine *m)
{
	for (unsigned i = 0; i < OBSERVERS_MAX; i++)
		observer_tell_now(m->observer[i]);
}

void consoles_panic_text(struct machine *m, char *out, size_t size)
{
	out[0] = '\0';
	for (unsigned i = 0; i < OBSERVERS_MAX && !out[0]; i++) {
		if (m->observer[i])
			observer_panic_text(m->observer[i], out, size);
	}
}

void consoles_reset(struct machine *m)
{
	m->stages = 0;
	for (unsigned i = 0; i < OBSERVERS_MAX; i++) {
		if (m->observer[i])
			observer_reset(m->observer[i]);
	}
}

void consoles_report(struct machine *m, struct report_input *r)
{
	struct chr *console = m->config->console_count ? m->port[0] : m->serial[0];
	struct chr_stats s;

	chr_stats(console, &s);
	r->first_output_ns = s.first_write_ns ? s.first_write_ns - m->start_ns : REPORT_NEVER;
	r->console_bytes = s.written;
	r->console_lost_bytes = s.lost;
	for (unsigned i = 0; i < CONFIG_PORTS_MAX; i++) {
		chr_stats(m->port[i], &s);
		r->port[i] = (struct report_port){
		    .bytes = s.written, .lost_bytes = s.lost, .received_bytes = s.received};
	}
}

void consoles_close(struct machine *m, void (*close_chr)(struct chr *c),
		    void (*close_observer)(struct observer *o))
{
	for (unsigned i = 0; i < CONFIG_SERIAL_MAX; i++)
		close_chr(m->serial[i]);
	for (unsigned i = 0; i < CONFIG_PORTS_MAX; i++)
		close_chr(m->port[i]);
	for (unsigned i = 0; i < OBSERVERS_MAX; i++)
		close_observer(m->observer[i]);
}
