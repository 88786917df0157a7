/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libslirp's sockets on our loop.
 *
 * Theory of operation: libslirp is made for poll(2): before each sleep it lists the descriptors it
 * waits for, and afterwards it is told which are ready. Here they stand in an epoll set of their
 * own, and the loop watches that set's descriptor. After each call into libslirp the list is taken
 * anew and compared with the last one, so that only what changed costs a system call. A socket that
 * is on no list leaves the set, as epoll would report its EPOLLHUP again and again.
 *
 * A closed descriptor leaves the set by itself and its number comes back as another socket;
 * libslirp says both, and what is known of that number is then forgotten.
 */
#include "net/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const struct {
	int slirp;
	uint32_t epoll;
} events_map[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

#define EVENTS_MAP (sizeof(events_map) / sizeof(events_map[0]))

static uint32_t to_epoll(int events)
{
	uint32_t out = 0;

	for (unsigned i = 0; i < EVENTS_MAP; i++)
		out |= events & events_map[i].slirp ? events_map[i].epoll : 0;
	return out;
}

static int to_slirp(uint32_t events)
{
	int out = 0;

	for (unsigned i = 0; i < EVENTS_MAP; i++)
		out |= events & events_map[i].epoll ? events_map[i].slirp : 0;
	return out;
}

/* NULL: there is no memory for more, and that socket waits for nothing. */
static struct user_socket *socket_of(struct user_poll *p, int fd)
{
	unsigned count = p->sockets ? p->sockets : 64;
	struct user_socket *more;

	if (fd < 0)
		return NULL;
	if ((unsigned)fd < p->sockets)
		return &p->socket[fd];
	while (count <= (unsigned)fd)
		count *= 2;
	more = realloc(p->socket, count * sizeof(more[0]));
	if (!more)
		return NULL;
	memset(&more[p->sockets], 0, (count - p->sockets) * sizeof(more[0]));
	p->socket = more;
	p->sockets = count;
	return &more[fd];
}

static void leave(struct user_poll *p, int fd, struct user_socket *s)
{
	if (s->events)
		epoll_ctl(p->watch.fd, EPOLL_CTL_DEL, fd, NULL);
	s->events = 0;
}

void user_poll_register(struct user *u, int fd)
{
	struct user_socket *s = socket_of(&u->poll, fd);

	if (!s)
		return;
	u->poll.registered += !s->registered;
	s->registered = true;
	leave(&u->poll, fd, s);
}

void user_poll_unregister(struct user *u, int fd)
{
	struct user_socket *s = socket_of(&u->poll, fd);

	if (!s)
		return;
	u->poll.registered -= s->registered;
	s->registered = false;
	leave(&u->poll, fd, s);
}

static bool join(struct user_poll *p, int fd, struct user_socket *s, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};
	int op = s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (s->events == events)
		return true;
	if (epoll_ctl(p->watch.fd, op, fd, &e) && (errno == ENOENT || errno == EEXIST)) {
		op = op == EPOLL_CTL_MOD ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		if (epoll_ctl(p->watch.fd, op, fd, &e))
			return false;
	}
	s->events = events;
	return true;
}

/* libslirp waits for fd. Its index for poll_revents(), or -1. */
static int poll_add(int fd, int events, void *arg)
{
	struct user_poll *p = &((struct user *)arg)->poll;
	struct user_socket *s = socket_of(p, fd);
	struct user_polled *more;

	if (!s)
		return -1;
	if (p->polled_count == p->polled_room) {
		more = realloc(p->polled, (p->polled_room + 64) * sizeof(more[0]));
		if (!more)
			return -1;
		p->polled = more;
		p->polled_room += 64;
	}
	if (!join(p, fd, s, to_epoll(events)))
		return -1;
	s->round = p->round;
	s->index = p->polled_count;
	p->polled[p->polled_count] = (struct user_polled){.fd = fd};
	return (int)p->polled_count++;
}

static int poll_revents(int index, void *arg)
{
	struct user_poll *p = &((struct user *)arg)->poll;

	return index >= 0 && (unsigned)index < p->polled_count ? to_slirp(p->polled[index].revents)
							       : 0;
}

static void swap_lists(struct user_poll *p)
{
	struct user_polled *list = p->before;
	unsigned room = p->before_room;

	p->before = p->polled;
	p->before_room = p->polled_room;
	p->before_count = p->polled_count;
	p->polled = list;
	p->polled_room = room;
	p->polled_count = 0;
}

void user_poll_sync(struct user *u)
{
	/* It never asks for more than a second, which stands for nothing to do. */
	const uint32_t never = 1000;
	struct user_poll *p = &u->poll;
	struct loop *l = u->net->loop;
	uint32_t timeout_ms = UINT32_MAX;
	struct user_socket *s;

	swap_lists(p);
	p->round++;
	slirp_api.fill(u->slirp, &timeout_ms, poll_add, u);
	for (unsigned i = 0; i < p->before_count; i++) {
		s = socket_of(p, p->before[i].fd);
		if (s && s->round != p->round)
			leave(p, p->before[i].fd, s);
	}
	if (timeout_ms >= never)
		loop_timer_cancel(l, &u->due);
	else
		loop_timer_set_after(l, &u->due, timeout_ms * NS_PER_MS);
}

static void ask_which_are_ready(struct user_poll *p)
{
	struct epoll_event e[64];
	int n = epoll_wait(p->watch.fd, e, 64, 0);
	struct user_socket *s;

	for (int i = 0; i < n; i++) {
		s = socket_of(p, e[i].data.fd);
		if (s && s->round == p->round)
			p->polled[s->index].revents = e[i].events;
	}
}

void user_poll_run(struct user *u, bool sockets)
{
	if (sockets)
		ask_which_are_ready(&u->poll);
	slirp_api.poll(u->slirp, 0, poll_revents, u);
	user_poll_sync(u);
}

static void poll_due(struct timer *t)
{
	user_work(container_of(t, struct user, due), false);
}

static void poll_ready(struct watch *w, uint32_t revents)
{
	(void)revents;
	user_work(container_of(w, struct user, poll.watch), true);
}

void user_poll_enable(struct user *u, bool on)
{
	loop_rewatch(u->net->loop, &u->poll.watch, on ? EPOLLIN : 0);
}

int user_poll_open(struct user *u)
{
	struct user_poll *p = &u->poll;
	int err;

	timer_init(&u->due, poll_due);
	p->watch = (struct watch){.fd = epoll_create1(EPOLL_CLOEXEC), .fn = poll_ready};
	if (p->watch.fd < 0)
		return -errno;
	err = loop_watch(u->net->loop, &p->watch);
	if (err)
		close(p->watch.fd);
	return err;
}

void user_poll_close(struct user *u)
{
	struct user_poll *p = &u->poll;

	loop_timer_cancel(u->net->loop, &u->due);
	loop_unwatch(u->net->loop, &p->watch);
	close(p->watch.fd);
	free(p->socket);
	free(p->polled);
	free(p->before);
}
