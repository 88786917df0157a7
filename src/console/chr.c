/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character streams: what a port of the guest talks to. */
/*
 * Theory of operation: a stream is an observer that sees every byte (observe.c), a sink for what
 * the guest writes (sink.c), an input for what it reads (input.c), and a backend that gives the two
 * their descriptors as readers come and go. chr_write() runs on vCPU threads and touches the first
 * two only; all else runs on the main loop, or when that has stopped.
 *
 * Opening refuses what can be refused; the terminal, a file's old content and the user's screen are
 * left alone until the loop runs, so that a start which fails later leaves them as they were.
 */
#include "console/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct backend *const backends[] = {
    [SERIAL_STDIO] = &backend_stdio,
    [SERIAL_FILE] = &backend_file,
    [SERIAL_UNIX] = &backend_unix,
    [SERIAL_PTY] = &backend_pty,
};

static const struct backend *backend_of(enum serial_kind kind)
{
	return (size_t)kind < sizeof(backends) / sizeof(backends[0]) ? backends[kind] : NULL;
}

int refuse_output(struct refusal *why, int err, const char *name, const char *path)
{
	if (err == EACCES || err == EPERM || err == EROFS)
		return refuse(why, STATUS_PERMISSION, name, path, "%s", strerror(err));
	return refuse(why, STATUS_CANNOT_CREATE, name, path, "%s", strerror(err));
}

static void chr_started(struct timer *t)
{
	struct chr *c = container_of(t, struct chr, start);

	c->started = true;
	c->backend->start(c);
}

static void chr_input_over(void *arg, int err)
{
	struct chr *c = arg;

	if (c->backend->input_over)
		c->backend->input_over(c, err);
}

static void chr_reader_gone(void *arg, int err)
{
	struct chr *c = arg;

	c->backend->reader_gone(c, err);
}

static void chr_command(void *arg, enum escape_result r)
{
	struct chr *c = arg;
	unsigned rows, columns;
	char text[64];

	switch (r) {
	case ESCAPE_QUIT:
		if (c->quit)
			c->quit(c->quit_arg);
		break;
	case ESCAPE_BREAK:
		if (c->input.port.receive_break)
			c->input.port.receive_break(c->input.port.dev);
		break;
	case ESCAPE_SIZE:
		if (!terminal_size(&rows, &columns))
			break;
		snprintf(text, sizeof(text), "stty rows %u cols %u\r", rows, columns);
		input_type(&c->input, text);
		break;
	default:
		stdio_say(escape_help);
		break;
	}
}

static void chr_has_room(void *arg)
{
	struct chr *c = arg;

	if (c->input.port.has_room)
		c->input.port.has_room(c->input.port.dev);
}

static int chr_init(struct chr *c, struct loop *loop)
{
	struct sink_params sink = {
	    .loop = loop, .name = c->name, .has_room = chr_has_room, .arg = c};
	struct input_params input = {
	    .loop = loop, .arg = c, .over = chr_input_over, .command = chr_command};

	c->loop = loop;
	timer_init(&c->start, chr_started);
	input_init(&c->input, &input);
	if (!c->backend)
		return 0;
	if (c->backend->reader_gone)
		sink.gone = chr_reader_gone;
	return sink_init(&c->sink, &sink);
}

int chr_open(const struct config_serial *cfg, const char *name, struct loop *loop, struct chr **out,
	     struct refusal *why)
{
	struct chr *c;
	int err;

	*out = NULL;
	if (cfg->kind == SERIAL_NONE)
		return 0;
	c = malloc(sizeof(*c));
	if (!c)
		return refuse_errno(why, ENOMEM, name, NULL, "memory");
	memset(c, 0, offsetof(struct chr, sink));
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->backend = backend_of(cfg->kind);
	err = chr_init(c, loop);
	if (err) {
		free(c);
		return refuse_errno(why, -err, name, NULL, "memory");
	}
	if (c->backend && c->backend->open(c, cfg->path, why)) {
		sink_fini(&c->sink);
		free(c);
		return -1;
	}
	if (c->backend)
		loop_timer_set(loop, &c->start, 0);
	*out = c;
	return 0;
}

int chr_check(const struct config_serial *cfg, const char *name, struct refusal *why)
{
	const struct backend *b = backend_of(cfg->kind);

	return b ? b->check(name, cfg->path, why) : 0;
}

void chr_finish(struct chr *c)
{
	if (!c)
		return;
	loop_timer_cancel(c->loop, &c->start);
	if (c->backend) {
		if (c->backend->finish)
			c->backend->finish(c);
		sink_finish(&c->sink, SINK_FLUSH_NS);
		c->backend->close(c);
	}
	input_fini(&c->input);
}

void chr_close(struct chr *c)
{
	chr_finish(c);
	if (c && (!c->backend || sink_fini(&c->sink)))
		free(c);
}

void chr_attach(struct chr *c, const struct chr_port *port)
{
	if (c)
		c->input.port = *port;
}

void chr_detach(struct chr *c)
{
	if (!c)
		return;
	if (c->backend)
		sink_forget_room(&c->sink);
	memset(&c->input.port, 0, sizeof(c->input.port));
}

void chr_on_quit(struct chr *c, void (*fn)(void *arg), void *arg)
{
	if (!c)
		return;
	c->quit = fn;
	c->quit_arg = arg;
}

void chr_observe(struct chr *c, struct observer *o)
{
	if (c)
		c->observer = o;
}

void chr_write(struct chr *c, const uint8_t *buf, size_t n)
{
	if (!c || !n)
		return;
	if (!atomic_fetch_add_explicit(&c->written, n, memory_order_relaxed))
		atomic_store(&c->first_write_ns, clock_now_ns(loop_clock(c->loop)));
	if (c->observer)
		observer_feed(c->observer, buf, n);
	if (c->backend)
		sink_write(&c->sink, buf, n);
}

size_t chr_room(struct chr *c)
{
	return c && c->backend ? sink_room(&c->sink) : SIZE_MAX;
}

void chr_accept_input(struct chr *c)
{
	if (c)
		input_accept(&c->input);
}

void chr_stats(struct chr *c, struct chr_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (!c)
		return;
	out->written = c->written;
	out->lost = c->backend ? sink_lost(&c->sink) : 0;
	out->received = c->input.received;
	out->received_lost = c->input.lost;
	out->first_write_ns = c->first_write_ns;
}
