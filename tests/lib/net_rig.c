/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net_rig.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define PATIENCE_MS 5000u

static bool rig_receive(void *arg, unsigned queue, const struct net_header *h,
			const struct iovec *frame, unsigned count)
{
	struct net_rig *r = arg;
	struct rig_packet *p = &r->packet[r->packets];
	unsigned i;

	assert_false(r->busy);
	if (!r->room || r->packets == RIG_PACKETS) {
		r->refused++;
		return false;
	}
	r->room--;
	r->packets++;
	*p = (struct rig_packet){.header = *h, .queue = queue};
	for (i = 0; i < count; i++) {
		p->data = realloc(p->data, p->size + frame[i].iov_len);
		memcpy(p->data + p->size, frame[i].iov_base, frame[i].iov_len);
		p->size += frame[i].iov_len;
	}
	return true;
}

static void rig_received(void *arg, unsigned queue)
{
	struct net_rig *r = arg;

	(void)queue;
	assert_false(r->busy);
	r->batches++;
}

static void rig_send_ready(void *arg, unsigned queue)
{
	struct net_rig *r = arg;

	(void)queue;
	assert_false(r->busy);
	r->sendable++;
}

static void rig_link_changed(void *arg, bool up)
{
	struct net_rig *r = arg;

	assert_false(r->busy);
	r->links++;
	r->link = up;
}

void net_rig_setup(struct net_rig *r)
{
	memset(r, 0, sizeof(*r));
	fake_clock_init(&r->clock, 0);
	assert_int_equal(loop_create(&r->clock.clock, &r->loop), 0);
}

int net_rig_open(struct net_rig *r, const struct net_params *p)
{
	const struct net_client client = {rig_receive, rig_received, rig_send_ready,
					  rig_link_changed, r};
	int ret = net_open(p, r->loop, &r->net, &r->why);

	if (ret) {
		r->net = NULL;
		return ret;
	}
	net_connect(r->net, &client);
	r->link = net_link(r->net);
	r->room = UINT_MAX;
	return 0;
}

void net_rig_must_open(struct net_rig *r, const struct net_params *p)
{
	if (net_rig_open(r, p))
		fail_msg("%s", r->why.text);
}

void net_rig_refused(struct net_rig *r, const struct net_params *p, int status, const char *text)
{
	memset(&r->why, 0, sizeof(r->why));
	assert_int_equal(net_rig_open(r, p), -1);
	if (r->why.status != status || !strstr(r->why.text, text))
		fail_msg("status %d: %s", r->why.status, r->why.text);
}

void net_rig_forget(struct net_rig *r)
{
	while (r->packets)
		free(r->packet[--r->packets].data);
}

void net_rig_teardown(struct net_rig *r)
{
	net_close(r->net);
	net_rig_forget(r);
	loop_destroy(r->loop);
}

void net_rig_ready(struct net_rig *r, unsigned queue)
{
	r->busy = true;
	net_receive_ready(r->net, queue);
	r->busy = false;
}

void net_rig_make_room(struct net_rig *r, unsigned packets)
{
	r->room = packets;
	net_rig_ready(r, 0);
	net_rig_run(r);
}

bool net_rig_send(struct net_rig *r, unsigned queue, const struct net_header *h, const void *frame,
		  size_t size)
{
	/* In two pieces and from a copy that is gone afterwards, as guest memory may be. */
	uint8_t *copy = malloc(size + 1);
	const struct iovec iov[2] = {{copy, size / 2}, {copy + size / 2, size - size / 2}};
	const struct net_header none = {0};
	bool sent;

	memcpy(copy, frame, size);
	r->busy = true;
	sent = net_send(r->net, queue, h ? h : &none, iov, 2);
	memset(copy, 0xee, size);
	net_flush(r->net, queue);
	r->busy = false;
	free(copy);
	return sent;
}

bool net_rig_wait(struct net_rig *r, bool (*done)(struct net_rig *r, void *arg), void *arg)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	unsigned ms;

	for (ms = 0; ms < PATIENCE_MS && !done(r, arg); ms++) {
		if (loop_step(r->loop))
			continue;
		nanosleep(&nap, NULL);
		fake_clock_step(&r->clock, NS_PER_MS);
	}
	return done(r, arg);
}

bool net_rig_has_packets(struct net_rig *r, void *count)
{
	return r->packets >= *(unsigned *)count;
}

bool net_rig_link_is(struct net_rig *r, void *up)
{
	return r->link == *(bool *)up;
}

void net_rig_run(struct net_rig *r)
{
	unsigned i;

	for (i = 0; i < 100 && loop_step(r->loop); i++)
		;
}
