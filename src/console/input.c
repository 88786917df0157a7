/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reading end of a stream. */
/*
 * Theory of operation: bytes are read into a buffer of 4 KiB and handed to the port as it has room,
 * all on the loop's thread. While the buffer is full nothing is read, so a paste of any length
 * waits in the terminal, the pipe or the socket, and no byte of it is lost. The guest's reading
 * makes room: the port says so through input_accept() on a vCPU's thread, which wakes the loop if,
 * and only if, bytes wait for it.
 *
 * A keyboard is different in one way: its user must be able to leave a guest that has hung. If a
 * full buffer has not moved for 5 s, what is typed is read and dropped, and only the escape key is
 * listened to, until the guest takes a byte again.
 *
 * Regular files cannot be polled and are read whenever there is room.
 */
#include "console/input.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Reading starts again once this much is free, so that a slow guest does not cost a call a byte. */
#define ROOM_MIN (INPUT_PENDING_BYTES / 4)

static void input_pump(struct input *in);

static void input_again(struct timer *t)
{
	input_pump(container_of(t, struct input, again));
}

static void input_pump_soon(struct input *in)
{
	loop_timer_set(in->p.loop, &in->again, 0);
}

static void input_stalled(struct timer *t)
{
	struct input *in = container_of(t, struct input, stall);

	in->flooded = true;
	input_pump(in);
}

void input_init(struct input *in, const struct input_params *p)
{
	/* Not pending[]: its page stays untouched until something is typed. */
	memset(in, 0, offsetof(struct input, pending));
	in->at = in->used = 0;
	in->p = *p;
	in->fd = -1;
	timer_init(&in->again, input_again);
	timer_init(&in->stall, input_stalled);
}

/* Hands pending bytes to the port. True: none are left. */
static bool input_deliver(struct input *in)
{
	while (in->at < in->used) {
		unsigned room = in->port.can_receive ? in->port.can_receive(in->port.dev) : 0;
		unsigned n = in->used - in->at;

		if (!room && !atomic_exchange(&in->waiting, true))
			continue; /* it may have made room before it could see that we wait */
		if (!room)
			return false;
		if (n > room)
			n = room;
		in->port.receive(in->port.dev, in->pending + in->at, n);
		in->at += n;
		in->received += n;
		in->flooded = false;
		loop_timer_cancel(in->p.loop, &in->stall);
	}
	atomic_store(&in->waiting, false);
	in->at = in->used = 0;
	return true;
}

static unsigned input_room(struct input *in)
{
	if (in->at) {
		memmove(in->pending, in->pending + in->at, in->used - in->at);
		in->used -= in->at;
		in->at = 0;
	}
	return INPUT_PENDING_BYTES - in->used;
}

static void input_take(struct input *in, const uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t b = buf[i];
		enum escape_result r = in->keyboard ? escape_feed(&in->escape, &b) : ESCAPE_BYTE;

		if (r == ESCAPE_BYTE && in->used < INPUT_PENDING_BYTES)
			in->pending[in->used++] = b;
		else if (r == ESCAPE_BYTE)
			in->lost++;
		else if (r != ESCAPE_NOTHING)
			in->p.command(in->p.arg, r);
	}
}

/* Reads once. False: there is nothing now, or nothing any more. */
static bool input_read(struct input *in)
{
	uint8_t buf[ROOM_MIN];
	ssize_t n = read(in->fd, buf, sizeof(buf));

	if (n > 0) {
		input_take(in, buf, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return false;
	input_stop(in);
	in->p.over(in->p.arg, n < 0 ? errno : 0);
	return false;
}

static void input_ready(struct watch *w, uint32_t revents)
{
	struct input *in = container_of(w, struct input, watch);

	(void)revents; /* the read says what EPOLLERR and EPOLLHUP are about */
	input_read(in);
	input_pump(in);
}

static void input_unwatch(struct input *in)
{
	if (in->watching)
		loop_unwatch(in->p.loop, &in->watch);
	in->watching = false;
}

/* Asks for more where there is room for it. */
static void input_want(struct input *in)
{
	bool room = in->flooded || input_room(in) >= ROOM_MIN;
	int err;

	if (in->fd < 0 || (room && in->watching))
		return;
	if (!room) {
		input_unwatch(in);
		if (in->keyboard && in->stall.heap_pos == TIMER_IDLE)
			loop_timer_set_after(in->p.loop, &in->stall, INPUT_STALL_NS);
		return;
	}
	if (in->unpollable) {
		if (input_read(in))
			input_pump_soon(in);
		return;
	}
	in->watch = (struct watch){.fd = in->fd, .events = EPOLLIN, .fn = input_ready};
	err = loop_watch(in->p.loop, &in->watch);
	in->watching = err == 0;
	if (err == -EPERM) {
		in->unpollable = true;
		input_pump_soon(in);
	} else if (err) {
		input_stop(in);
		in->p.over(in->p.arg, -err);
	}
}

static void input_pump(struct input *in)
{
	input_deliver(in);
	input_want(in);
}

void input_start(struct input *in, int fd, bool keyboard)
{
	assert(in->fd < 0 && fd >= 0);
	in->fd = fd;
	in->unpollable = false;
	in->keyboard = keyboard;
	input_pump(in);
}

void input_stop(struct input *in)
{
	input_unwatch(in);
	loop_timer_cancel(in->p.loop, &in->stall);
	in->flooded = false;
	in->escape.pending = false;
	in->fd = -1;
}

void input_type(struct input *in, const char *text)
{
	size_t n = strlen(text), room = input_room(in);

	if (n > room)
		n = room;
	memcpy(in->pending + in->used, text, n);
	in->used += (unsigned)n;
	input_deliver(in);
}

void input_accept(struct input *in)
{
	if (atomic_exchange(&in->waiting, false))
		input_pump_soon(in);
}

void input_fini(struct input *in)
{
	input_stop(in);
	loop_timer_cancel(in->p.loop, &in->again);
}
