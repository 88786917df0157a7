/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libslirp: loaded when a network of it is made, and what it asks of us.
 *
 * The network is that of QEMU's `-nic user`, so that guests set up for it work: 10.0.2.0/24 and
 * fec0::/64, the host at .2, which is its loopback too, names at .3, and the guest gets .15 by
 * DHCP. No TFTP, no protocol helpers. Version 1 of its configuration has all that is needed, so any
 * libslirp from 4.0 on will do. Its warnings, which a guest can cause, go through our log, where
 * they are bounded.
 *
 * libslirp keeps the time and the host's name servers in globals: all networks of a process share
 * one thread.
 */
#include "core/array.h"
#include "core/dynlib.h"
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <lodge/log.h>

typedef void log_handler(const char *domain, int level, const char *text, void *arg);

struct glib_api {
	log_handler *(*set_log_handler)(log_handler *fn, void *arg);
};

struct slirp_api slirp_api;

static const struct dynlib_symbol slirp_symbols[] = {
    DYNLIB_SYMBOL(struct slirp_api, create, "slirp_new"),
    DYNLIB_SYMBOL(struct slirp_api, destroy, "slirp_cleanup"),
    DYNLIB_SYMBOL(struct slirp_api, input, "slirp_input"),
    DYNLIB_SYMBOL(struct slirp_api, fill, "slirp_pollfds_fill"),
    DYNLIB_SYMBOL(struct slirp_api, poll, "slirp_pollfds_poll"),
    DYNLIB_SYMBOL(struct slirp_api, forward, "slirp_add_hostfwd"),
};
static const struct dynlib_symbol glib_symbols[] = {
    DYNLIB_SYMBOL(struct glib_api, set_log_handler, "g_log_set_default_handler"),
};
static const struct dynlib slirp_library = {"libslirp.so.0", "libslirp0", slirp_symbols,
					    ARRAY_COUNT(slirp_symbols)};
static const struct dynlib glib_library = {"libglib-2.0.so.0", "libglib2.0-0", glib_symbols,
					   ARRAY_COUNT(glib_symbols)};

static void slirp_says(const char *domain, int level, const char *text, void *arg)
{
	(void)domain;
	(void)level;
	(void)arg;
	log_guest(LOG_INFO, "net: user: %s", text);
}

int user_load(struct refusal *why)
{
	struct glib_api glib;

	if (slirp_api.create)
		return 0;
	if (dynlib_load(&slirp_library, &slirp_api, "net: user", why) ||
	    dynlib_load(&glib_library, &glib, "net: user", why))
		return -1;
	glib.set_log_handler(slirp_says, NULL);
	return 0;
}

/* --- what it calls; opaque is the struct user --- */

/* The result must not be negative, which libslirp logs. */
static ssize_t on_packet(const void *frame, size_t size, void *opaque)
{
	user_packet(opaque, frame, size);
	return (ssize_t)size;
}

static void on_guest_error(const char *text, void *opaque)
{
	(void)opaque;
	log_guest(LOG_DEBUG, "net: user: the guest: %s", text);
}

static int64_t on_clock(void *opaque)
{
	const struct user *u = opaque;

	return (int64_t)clock_now_ns(loop_clock(u->net->loop));
}

static void timer_fired(struct timer *t)
{
	struct user_timer *ut = container_of(t, struct user_timer, timer);

	ut->fn(ut->arg);
	user_work(ut->user, false);
}

static void *on_timer_new(SlirpTimerCb fn, void *arg, void *opaque)
{
	struct user *u = opaque;

	for (unsigned i = 0; i < ARRAY_COUNT(u->timer); i++) {
		struct user_timer *t = &u->timer[i];

		if (t->fn)
			continue;
		*t = (struct user_timer){.fn = fn, .arg = arg, .user = u};
		timer_init(&t->timer, timer_fired);
		return t;
	}
	return NULL;
}

static void on_timer_free(void *timer, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;

	if (!t)
		return;
	loop_timer_cancel(u->net->loop, &t->timer);
	t->fn = NULL;
}

static void on_timer_set(void *timer, int64_t due_ms, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;

	if (t)
		loop_timer_set(u->net->loop, &t->timer, (uint64_t)due_ms * NS_PER_MS);
}

static void on_register(int fd, void *opaque)
{
	user_poll_register(opaque, fd);
}

static void on_unregister(int fd, void *opaque)
{
	user_poll_unregister(opaque, fd);
}

static void on_notify(void *opaque)
{
	(void)opaque; /* what is ready is asked after every call anyway */
}

static const SlirpCb callbacks = {
    .send_packet = on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_set,
    .register_poll_fd = on_register,
    .unregister_poll_fd = on_unregister,
    .notify = on_notify,
};

int user_create(struct user *u, struct refusal *why)
{
	SlirpConfig config = {
	    .version = 1,
	    .in_enabled = true,
	    .vnetwork.s_addr = htonl(0x0a000200),
	    .vnetmask.s_addr = htonl(0xffffff00),
	    .vhost.s_addr = htonl(0x0a000202),
	    .vdhcp_start.s_addr = htonl(0x0a00020f),
	    .vnameserver.s_addr = htonl(0x0a000203),
	    .in6_enabled = true,
	    .vprefix_len = 64,
	};

	if (user_load(why))
		return -1;
	inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &config.vhost6);
	inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
	u->slirp = slirp_api.create(&config, &callbacks, u);
	if (!u->slirp)
		return refuse(why, STATUS_UNAVAILABLE, "net", "user", "libslirp refuses");
	return 0;
}
