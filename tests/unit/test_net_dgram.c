/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix datagram sockets: two adapters with a cable, and what happens when one end is not there. */
#include "net_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct net_rig rig, other;
	char folder[32], a[64], b[64];
	int peer; /* a plain socket in the place of other */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	net_rig_setup(&f->rig);
	net_rig_setup(&f->other);
	strcpy(f->folder, "/tmp/lodge-dgram-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->a, sizeof(f->a), "%s/a", f->folder);
	snprintf(f->b, sizeof(f->b), "%s/b", f->folder);
	f->peer = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_rig_teardown(&f->rig);
	net_rig_teardown(&f->other);
	if (f->peer >= 0)
		close(f->peer);
	assert_int_equal(access(f->a, F_OK), -1); /* ours is removed */
	unlink(f->b);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void open_dgram(struct net_rig *r, const char *path, const char *peer)
{
	const struct net_params p = {.kind = NET_DGRAM, .path = path, .peer = peer, .queues = 1};

	net_rig_must_open(r, &p);
	assert_int_equal(net_offloads(r->net), 0);
	net_rig_ready(r, 0);
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	return a;
}

static int bound(const char *path)
{
	const struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static ssize_t send_to(int fd, const char *path, const void *data, size_t size)
{
	const struct sockaddr_un a = address(path);

	return sendto(fd, data, size, 0, (const struct sockaddr *)&a, sizeof(a));
}

static uint8_t *frame_of(size_t size)
{
	uint8_t *p = malloc(size);

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 11 + size);
	return p;
}

static void carry(struct net_rig *from, struct net_rig *to, size_t size)
{
	uint8_t *frame = frame_of(size);
	unsigned one = 1;

	assert_true(net_rig_send(from, 0, NULL, frame, size));
	assert_true(net_rig_wait(to, net_rig_has_packets, &one));
	assert_int_equal(to->packet[0].size, size);
	assert_memory_equal(to->packet[0].data, frame, size);
	net_rig_forget(to);
	free(frame);
}

static void test_two_guests(void **state)
{
	static const size_t sizes[] = {14, 60, 1514, 9014, NET_FRAME_MAX};
	struct fixture *f = *state;

	open_dgram(&f->rig, f->a, f->b);
	open_dgram(&f->other, f->b, f->a);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		carry(&f->rig, &f->other, sizes[i]);
		carry(&f->other, &f->rig, sizes[i]);
	}
}

static void test_peer_comes_goes_and_comes(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60] = {0};

	open_dgram(&f->rig, f->a, f->b);
	for (unsigned i = 0; i < 100; i++)
		assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	for (unsigned round = 0; round < 3; round++) {
		open_dgram(&f->other, f->b, f->a);
		/* The one that was started again speaks first: it must be heard. */
		carry(&f->other, &f->rig, 60);
		carry(&f->rig, &f->other, 60);
		net_close(f->other.net);
		f->other.net = NULL;
		for (unsigned i = 0; i < 100; i++)
			assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	}
	net_rig_run(&f->rig);
	assert_int_equal(loop_step(f->rig.loop), 0);
	assert_int_equal(f->rig.links, 0);
}

static unsigned send_until_full(struct fixture *f)
{
	uint8_t frame[60] = {0};
	unsigned count = 0;

	while (net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)))
		assert_in_range(++count, 1, 100000);
	return count;
}

static unsigned read_all(int fd)
{
	uint8_t frame[100];
	unsigned count = 0;

	while (recv(fd, frame, sizeof(frame), 0) > 0)
		count++;
	return count;
}

static void test_slow_peer(void **state)
{
	struct fixture *f = *state;

	open_dgram(&f->rig, f->a, f->b);
	f->peer = bound(f->b);
	for (unsigned round = 0; round < 3; round++) {
		unsigned sent = send_until_full(f);

		net_rig_run(&f->rig);
		assert_int_equal(f->rig.sendable, round);
		assert_int_equal(read_all(f->peer), sent);
		net_rig_run(&f->rig);
		assert_int_equal(f->rig.sendable, round + 1);
	}
}

static void test_peer_that_takes_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60] = {0};

	open_dgram(&f->rig, f->a, f->b);
	f->peer = bound(f->b);
	send_until_full(f);
	fake_clock_run(&f->rig.clock, f->rig.loop, 2 * NS_PER_S, NS_PER_S / 2);
	assert_int_equal(f->rig.sendable, 1);
	for (unsigned i = 0; i < 100; i++) /* nobody waits for it any more */
		assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	read_all(f->peer);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	assert_int_equal(read_all(f->peer), 1);
	send_until_full(f); /* it is trusted again */
}

static void test_peer_vanishes_while_it_is_waited_for(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60] = {0};

	open_dgram(&f->rig, f->a, f->b);
	f->peer = bound(f->b);
	send_until_full(f);
	close(f->peer);
	f->peer = -1;
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.sendable, 1);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
}

static void test_frames_that_are_none(void **state)
{
	struct fixture *f = *state;
	uint8_t *big = frame_of(NET_FRAME_MAX + 100);

	open_dgram(&f->rig, f->a, f->b);
	f->peer = bound(f->b);
	assert_int_equal(send_to(f->peer, f->a, big, 0), 0);
	assert_int_equal(send_to(f->peer, f->a, big, 13), 13);
	assert_int_equal(send_to(f->peer, f->a, big, NET_FRAME_MAX + 1), NET_FRAME_MAX + 1);
	assert_int_equal(send_to(f->peer, f->a, big, NET_FRAME_MAX + 100), NET_FRAME_MAX + 100);
	assert_int_equal(send_to(f->peer, f->a, big, 14), 14);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, 1);
	assert_int_equal(f->rig.packet[0].size, 14);
	free(big);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60] = {0};

	open_dgram(&f->rig, f->a, f->b);
	f->peer = bound(f->b);
	f->rig.room = 2;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(send_to(f->peer, f->a, frame, 60), 60);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, 2);
	assert_int_equal(f->rig.refused, 1);
	net_rig_make_room(&f->rig, 1);
	assert_int_equal(f->rig.packets, 3);
	net_rig_make_room(&f->rig, 10);
	assert_int_equal(f->rig.packets, 4);
}

/* --- paths --- */

static void refused(struct fixture *f, const char *path, const char *peer, int status,
		    const char *text)
{
	const struct net_params p = {.kind = NET_DGRAM, .path = path, .peer = peer, .queues = 1};

	net_rig_refused(&f->rig, &p, status, text);
}

static void test_refused(void **state)
{
	static char endless[4097];
	struct fixture *f = *state;
	struct stat st;

	memset(endless, 'a', sizeof(endless) - 1);
	refused(f, NULL, f->b, STATUS_USAGE, "path: ");
	refused(f, f->a, NULL, STATUS_USAGE, "peer: ");
	refused(f, endless, f->b, STATUS_USAGE, "1 to 107 bytes");
	refused(f, f->a, f->a, STATUS_USAGE, "the same socket");
	refused(f, "/lodge-none/a", f->b, STATUS_CANNOT_CREATE, "No such file");
	refused(f, f->folder, f->b, STATUS_CANNOT_CREATE, "exists and is not a socket");
	f->peer = bound(f->b);
	refused(f, f->b, f->a, STATUS_CANNOT_CREATE, "another process");
	assert_int_equal(stat(f->b, &st), 0);
}

static void test_socket_of_a_dead_run(void **state)
{
	struct fixture *f = *state;

	close(bound(f->a));
	open_dgram(&f->rig, f->a, f->b);
	open_dgram(&f->other, f->b, f->a);
	carry(&f->other, &f->rig, 60);
}

/* At the end only our own socket is removed. */
static void test_socket_of_a_successor(void **state)
{
	struct fixture *f = *state;

	open_dgram(&f->rig, f->b, f->a);
	unlink(f->b);
	f->peer = bound(f->b);
	net_close(f->rig.net);
	f->rig.net = NULL;
	assert_int_equal(access(f->b, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_two_guests),
	    TEST(test_peer_comes_goes_and_comes),
	    TEST(test_slow_peer),
	    TEST(test_peer_that_takes_nothing),
	    TEST(test_peer_vanishes_while_it_is_waited_for),
	    TEST(test_frames_that_are_none),
	    TEST(test_no_room),
	    TEST(test_refused),
	    TEST(test_socket_of_a_dead_run),
	    TEST(test_socket_of_a_successor),
	};

	return cmocka_run_group_tests_name("net_dgram", tests, NULL, NULL);
}
