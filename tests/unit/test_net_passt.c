/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames over a stream socket; the test plays passt, also a hostile one. */
#include "net_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct net_rig rig;
	char folder[32], path[64];
	int server, peer;
};

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	net_rig_setup(&f->rig);
	strcpy(f->folder, "/tmp/lodge-passt-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
	f->server = listen_at(f->path);
	f->peer = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_rig_teardown(&f->rig);
	if (f->peer >= 0)
		close(f->peer);
	if (f->server >= 0)
		close(f->server);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
	return 0;
}

static bool answered(struct net_rig *r, void *arg)
{
	struct fixture *f = arg;

	if (f->peer < 0)
		f->peer = accept4(f->server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return f->peer >= 0 && r->link;
}

static void open_passt(struct fixture *f)
{
	const struct net_params p = {.kind = NET_PASST, .path = f->path, .queues = 1};

	net_rig_must_open(&f->rig, &p);
	assert_true(answered(&f->rig, f));
	net_rig_ready(&f->rig, 0);
}

/* The peer's socket is drained as it fills; size bytes of what came, to be freed. */
static uint8_t *peer_read(struct fixture *f, size_t size)
{
	uint8_t *p = malloc(size + 1);
	size_t have = 0;
	ssize_t n;

	for (unsigned idle = 0; have < size && idle < 1000; idle++) {
		n = recv(f->peer, p + have, size - have, 0);
		have += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle;
		net_rig_run(&f->rig);
	}
	assert_int_equal(have, size);
	return p;
}

static void peer_write(struct fixture *f, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = send(f->peer, (const uint8_t *)data + done, size - done, MSG_NOSIGNAL);

		done += n > 0 ? (size_t)n : 0;
		net_rig_run(&f->rig);
	}
}

/* A frame of this size behind its length. */
static uint8_t *framed(uint32_t size)
{
	uint8_t *p = malloc(size + 4);
	const uint32_t length = htonl(size);

	memcpy(p, &length, 4);
	for (size_t i = 0; i < size; i++)
		p[4 + i] = (uint8_t)(i * 13 + size);
	return p;
}

static void peer_sends(struct fixture *f, uint32_t size)
{
	uint8_t *p = framed(size);

	peer_write(f, p, size + 4);
	free(p);
}

static const uint32_t sizes[] = {14, 15, 60, 1514, 9014, 65535, NET_FRAME_MAX - 1, NET_FRAME_MAX};

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void test_guest_sends(void **state)
{
	struct fixture *f = *state;

	open_passt(f);
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t *sent = framed(sizes[i]), *got;

		assert_true(net_rig_send(&f->rig, 0, NULL, sent + 4, sizes[i]));
		got = peer_read(f, sizes[i] + 4);
		assert_memory_equal(got, sent, sizes[i] + 4);
		free(sent);
		free(got);
	}
}

static void test_guest_receives(void **state)
{
	struct fixture *f = *state;

	open_passt(f);
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t *sent = framed(sizes[i]);
		unsigned one = 1;

		peer_write(f, sent, sizes[i] + 4);
		assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &one));
		assert_int_equal(f->rig.packet[0].size, sizes[i]);
		assert_memory_equal(f->rig.packet[0].data, sent + 4, sizes[i]);
		net_rig_forget(&f->rig);
		free(sent);
	}
}

static void test_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(60);

	open_passt(f);
	for (unsigned i = 0; i < 3 * 64; i++)
		peer_write(f, frame + i % 64, 1);
	assert_int_equal(f->rig.packets, 3);
	assert_memory_equal(f->rig.packet[2].data, frame + 4, 60);
	free(frame);
}

static void test_many_at_once(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(60), all[200][64];
	unsigned count = 200;

	for (unsigned i = 0; i < count; i++)
		memcpy(all[i], frame, 64);
	open_passt(f);
	assert_int_equal(send(f->peer, all, sizeof(all), 0), sizeof(all));
	loop_step(f->rig.loop);
	assert_int_equal(f->rig.packets, 64); /* then it is the turn of others */
	assert_int_equal(f->rig.batches, 1);
	assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &count));
	assert_memory_equal(f->rig.packet[199].data, frame + 4, 60);
	free(frame);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(60);

	open_passt(f);
	f->rig.room = 2;
	for (unsigned i = 0; i < 4; i++)
		peer_sends(f, 60);
	assert_int_equal(f->rig.packets, 2);
	assert_int_equal(f->rig.refused, 1);
	net_rig_make_room(&f->rig, 1);
	assert_int_equal(f->rig.packets, 3);
	net_rig_make_room(&f->rig, 10);
	assert_int_equal(f->rig.packets, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_memory_equal(f->rig.packet[i].data, frame + 4, 60);
	free(frame);
}

/* A checksum is not left to the other side; a segment of any size is. */
static void test_checksum(void **state)
{
	const struct net_header h = {NET_NEEDS_CSUM, NET_GSO_TCPV4, 54, 1460, 34, 16, 0};
	struct fixture *f = *state;
	uint8_t *frame = framed(60000), *got;

	open_passt(f);
	memset(frame + 4 + 34, 0, 60000 - 34);
	frame[4 + 34] = 0x12;
	assert_true(net_rig_send(&f->rig, 0, &h, frame + 4, 60000));
	got = peer_read(f, 60004);
	frame[4 + 50] = 0xed;
	frame[4 + 51] = 0xff;
	assert_memory_equal(got, frame, 60004);
	free(frame);
	free(got);
}

/* --- a peer that is slow, or worse --- */

static unsigned send_until_full(struct fixture *f, const uint8_t *frame, uint32_t size)
{
	unsigned count = 0;

	while (net_rig_send(&f->rig, 0, NULL, frame, size)) {
		count++;
		assert_in_range(count, 1, 10000);
	}
	return count;
}

static void test_slow_peer(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = NET_FRAME_MAX; /* a socket takes part of it */
	uint8_t *frame = framed(size), *got;
	unsigned count;

	open_passt(f);
	for (unsigned round = 0; round < 3; round++) {
		count = send_until_full(f, frame + 4, size);
		net_rig_run(&f->rig);
		assert_int_equal(f->rig.sendable, round);
		got = peer_read(f, count * (size + 4u));
		for (unsigned i = 0; i < count; i++)
			assert_memory_equal(got + i * (size + 4u), frame, size + 4);
		free(got);
		assert_int_equal(f->rig.sendable, round + 1);
	}
	assert_int_equal(f->rig.links, 0);
	free(frame);
}

static void test_peer_that_takes_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(1514);

	open_passt(f);
	send_until_full(f, frame + 4, 1514);
	fake_clock_run(&f->rig.clock, f->rig.loop, 4 * NS_PER_S, NS_PER_S);
	assert_true(f->rig.link);
	fake_clock_run(&f->rig.clock, f->rig.loop, 2 * NS_PER_S, NS_PER_S / 2);
	assert_true(f->rig.links >= 1); /* and it is called again */
	assert_int_equal(f->rig.sendable, 1);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame + 4, 1514));
	free(frame);
}

/* It answers calls, and each time says this; the guest gets nothing of it. */
static void hostile(struct fixture *f, uint32_t length)
{
	uint8_t bytes[64] = {0};
	bool down = false, up = true;

	length = htonl(length);
	memcpy(bytes, &length, 4);
	peer_sends(f, 60); /* a good one before */
	assert_int_equal(send(f->peer, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	assert_int_equal(f->rig.packets, 1);
	net_rig_forget(&f->rig);
	close(f->peer);
	f->peer = -1;
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &up));
	assert_true(answered(&f->rig, f));
}

static void test_hostile_lengths(void **state)
{
	static const uint32_t lengths[] = {0,          NET_FRAME_MAX + 1, 0x7fffffff,
					   0x80000000, 0xfffffffb,        0xffffffff};
	struct fixture *f = *state;

	open_passt(f);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		hostile(f, lengths[i]);
	peer_sends(f, 60);
	assert_int_equal(f->rig.packets, 1);
}

static void test_runts(void **state)
{
	struct fixture *f = *state;

	open_passt(f);
	for (uint32_t size = 1; size < NET_FRAME_MIN; size++)
		peer_sends(f, size);
	peer_sends(f, NET_FRAME_MIN);
	assert_int_equal(f->rig.packets, 1);
	assert_true(f->rig.link);
}

static void test_peer_goes_and_comes(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(60), *got;
	bool down = false, up = true;

	open_passt(f);
	peer_write(f, frame, 30); /* in the middle of a frame */
	close(f->peer);
	close(f->server);
	unlink(f->path);
	f->peer = -1;
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	assert_true(net_rig_send(&f->rig, 0, NULL, frame + 4, 60)); /* dropped */
	assert_int_equal(fake_clock_run(&f->rig.clock, f->rig.loop, 10 * NS_PER_S, NS_PER_S), 10);
	f->server = listen_at(f->path);
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &up));
	assert_true(answered(&f->rig, f));
	peer_sends(f, 60); /* what came before is forgotten */
	assert_int_equal(f->rig.packets, 1);
	assert_memory_equal(f->rig.packet[0].data, frame + 4, 60);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame + 4, 60));
	got = peer_read(f, 64);
	assert_memory_equal(got, frame, 64);
	assert_int_equal(f->rig.links, 2);
	free(got);
	free(frame);
}

/* It is the guest's frame that shows it. */
static void test_peer_gone_while_the_guest_takes_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = framed(60);
	bool down = false;

	open_passt(f);
	net_receive_stop(f->rig.net, 0);
	close(f->peer);
	f->peer = -1;
	net_rig_run(&f->rig);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame + 4, 60));
	assert_int_equal(f->rig.links, 0); /* not within our call */
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	free(frame);
}

static void test_passed(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_PASST, .queues = 1, .fd_count = 1};
	bool down = false;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	p.fd[0] = pair[0];
	f->peer = pair[1];
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
	net_rig_ready(&f->rig, 0);
	peer_sends(f, 60);
	assert_int_equal(f->rig.packets, 1);
	close(f->peer);
	f->peer = -1;
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	/* There is nobody to call. */
	assert_int_equal(fake_clock_run(&f->rig.clock, f->rig.loop, 5 * NS_PER_S, NS_PER_S), 0);
}

/* --- refusals --- */

static void test_refused(void **state)
{
	static char endless[4097];
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_PASST, .queues = 1};
	int pipes[2];

	net_rig_refused(&f->rig, &p, STATUS_USAGE, "1 to 107 bytes");
	p.path = "";
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "1 to 107 bytes");
	memset(endless, 'a', sizeof(endless) - 1);
	p.path = endless;
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "1 to 107 bytes");
	p.path = f->folder;
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "nobody answers");
	p.path = f->path;
	close(f->server);
	f->server = -1;
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "start passt first");
	unlink(f->path);
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "start passt first");
	assert_int_equal(pipe(pipes), 0);
	p.fd[0] = pipes[0];
	p.fd_count = 1;
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "a stream socket");
	assert_int_equal(fcntl(pipes[0], F_GETFD), -1);
	close(pipes[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_guest_sends),
	    TEST(test_guest_receives),
	    TEST(test_byte_by_byte),
	    TEST(test_many_at_once),
	    TEST(test_no_room),
	    TEST(test_checksum),
	    TEST(test_slow_peer),
	    TEST(test_peer_that_takes_nothing),
	    TEST(test_hostile_lengths),
	    TEST(test_runts),
	    TEST(test_peer_goes_and_comes),
	    TEST(test_peer_gone_while_the_guest_takes_nothing),
	    TEST(test_passed),
	    TEST(test_refused),
	};

	return cmocka_run_group_tests_name("net_passt", tests, NULL, NULL);
}
