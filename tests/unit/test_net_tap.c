/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taps of the real kernel, in a network namespace of the test's own. */
#include "net_rig.h"
#include "tap_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <cmocka.h>

#define TAP       "lodge0"
#define FRAME_MAX 1514u

static const char *cannot; /* why there are no taps here */

struct fixture {
	struct net_rig rig;
	int packet; /* the kernel's end of the tap */
};

static void reconnect(struct fixture *f)
{
	tap_bring_up(TAP);
	close(f->packet);
	f->packet = tap_packet_socket(TAP);
}

static int setup_tap(void **state, unsigned flags)
{
	struct fixture *f = calloc(1, sizeof(*f));

	net_rig_setup(&f->rig);
	*state = f;
	if (cannot)
		return 0;
	tap_make(TAP, flags);
	f->packet = tap_packet_socket(TAP);
	return 0;
}

static int setup(void **state)
{
	return setup_tap(state, TAP_KIND);
}

static int setup_many(void **state)
{
	return setup_tap(state, TAP_MANY);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_rig_teardown(&f->rig);
	if (f->packet > 0)
		close(f->packet);
	if (!cannot)
		tap_remove(TAP);
	free(f);
	return 0;
}

/* cmocka's skip() has no word for the reason: the line before it has. */
#define NEEDS_TAPS()                                                                               \
	do {                                                                                       \
		if (cannot) {                                                                      \
			print_message("# %s\n", cannot);                                           \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static void fill(uint8_t *frame, size_t size, unsigned seed)
{
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\x02LODGE", 6);
	frame[12] = TAP_EXPERIMENT >> 8;
	frame[13] = TAP_EXPERIMENT & 0xff;
	for (size_t i = 14; i < size; i++)
		frame[i] = (uint8_t)(seed * 31 + i * 7);
}

/* Our packets only: the kernel has some of its own to say. */
static unsigned ours(const struct net_rig *r, unsigned *last)
{
	unsigned count = 0;

	*last = 0;

	for (unsigned i = 0; i < r->packets; i++) {
		if (memcmp(r->packet[i].data + 12, "\x88\xb5", 2) == 0) {
			*last = i;
			count++;
		}
	}
	return count;
}

static bool has_ours(struct net_rig *r, void *count)
{
	unsigned last;

	return ours(r, &last) >= *(unsigned *)count;
}

static void open_tap(struct fixture *f, unsigned queues)
{
	const struct net_params p = {.kind = NET_TAP, .ifname = TAP, .queues = queues};

	net_rig_must_open(&f->rig, &p);
	reconnect(f);
}

static void both_ways(struct fixture *f, size_t size)
{
	uint8_t frame[FRAME_MAX], got[FRAME_MAX + 1];
	unsigned one = 1, last;

	fill(frame, size, (unsigned)size);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame, size));
	assert_int_equal(recv(f->packet, got, sizeof(got), 0), size);
	assert_memory_equal(got, frame, size);
	assert_int_equal(send(f->packet, frame, size, 0), size);
	assert_true(net_rig_wait(&f->rig, has_ours, &one));
	assert_int_equal(ours(&f->rig, &last), 1);
	assert_int_equal(f->rig.packet[last].size, size);
	assert_memory_equal(f->rig.packet[last].data, frame, size);
	net_rig_forget(&f->rig);
}

static void test_by_name(void **state)
{
	struct fixture *f = *state;

	NEEDS_TAPS();
	open_tap(f, 1);
	assert_int_equal(net_queues(f->rig.net), 1);
	assert_int_equal(net_offloads(f->rig.net) & 0xf, 0xf);
	net_rig_ready(&f->rig, 0);
	for (size_t size = 15; size <= FRAME_MAX; size = size < 64 ? size + 1 : size + 145)
		both_ways(f, size);
	both_ways(f, FRAME_MAX);
	assert_true(f->rig.batches > 0);
}

static void test_one_queue_of_many(void **state)
{
	struct fixture *f = *state;

	NEEDS_TAPS();
	open_tap(f, 1); /* the interface was made with multi_queue */
	net_rig_ready(&f->rig, 0);
	both_ways(f, 100);
}

static void test_many_queues_of_one(void **state)
{
	struct fixture *f = *state;

	NEEDS_TAPS();
	open_tap(f, 4); /* the interface was made without it */
	assert_int_equal(net_queues(f->rig.net), 1);
	net_rig_ready(&f->rig, 0);
	both_ways(f, 100);
}

static void test_passed(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1, .fd_count = 1};

	NEEDS_TAPS();
	p.fd[0] = tap_queue(TAP, TAP_KIND);
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
	reconnect(f);
	net_rig_ready(&f->rig, 0);
	both_ways(f, 200);
}

static void test_passed_without_headers(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1, .fd_count = 1};

	NEEDS_TAPS();
	tap_remove(TAP);
	tap_make(TAP, IFF_TAP | IFF_NO_PI);
	p.fd[0] = tap_queue(TAP, IFF_TAP | IFF_NO_PI);
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
	assert_int_equal(net_offloads(f->rig.net), 0);
	assert_int_equal(net_receive_offloads(f->rig.net), 0);
	reconnect(f);
	net_rig_ready(&f->rig, 0);
	both_ways(f, 200);
}

/* A checksum that the kernel leaves to the guest, or may not. */
static void test_offloads(void **state)
{
	const struct net_header h = {NET_NEEDS_CSUM, 0, 0, 0, 34, 6, 0};
	struct fixture *f = *state;
	uint8_t sent[10 + 60] = {0};
	int on = 1;
	unsigned one = 1, last;

	NEEDS_TAPS();
	open_tap(f, 1);
	net_rig_ready(&f->rig, 0);
	assert_int_equal(setsockopt(f->packet, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	fill(sent + 10, 60, 1);
	memset(sent + 10 + 14, 0, 46);
	memcpy(sent, &h, 10);
	assert_int_equal(send(f->packet, sent, sizeof(sent), 0), sizeof(sent));
	assert_true(net_rig_wait(&f->rig, has_ours, &one));
	ours(&f->rig, &last);
	assert_int_equal(f->rig.packet[last].header.flags & NET_NEEDS_CSUM, 0);
	assert_memory_equal(f->rig.packet[last].data + 40, "\xff\xff", 2);
	net_rig_forget(&f->rig);

	net_set_offloads(f->rig.net, NET_OFFLOAD_CSUM);
	assert_int_equal(send(f->packet, sent, sizeof(sent), 0), sizeof(sent));
	assert_true(net_rig_wait(&f->rig, has_ours, &one));
	ours(&f->rig, &last);
	assert_int_equal(f->rig.packet[last].header.flags, NET_NEEDS_CSUM);
	assert_int_equal(f->rig.packet[last].header.checksum_start, 34);
	assert_int_equal(f->rig.packet[last].header.checksum_offset, 6);
	assert_memory_equal(f->rig.packet[last].data + 40, "\0\0", 2);
}

static void send_many(struct fixture *f, unsigned count)
{
	uint8_t frame[100];

	fill(frame, sizeof(frame), 1);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(f->packet, frame, sizeof(frame), 0), sizeof(frame));
}

static void test_a_batch_is_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned all = 200;

	NEEDS_TAPS();
	open_tap(f, 1);
	send_many(f, all);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, 0); /* not ready */
	net_rig_ready(&f->rig, 0);
	assert_int_equal(loop_step(f->rig.loop), 1);
	assert_int_equal(f->rig.packets, 64);
	assert_int_equal(f->rig.batches, 1);
	assert_true(net_rig_wait(&f->rig, has_ours, &all));
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	unsigned last;

	NEEDS_TAPS();
	open_tap(f, 1);
	f->rig.room = 5;
	net_rig_ready(&f->rig, 0);
	send_many(f, 20);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, 5);
	assert_int_equal(f->rig.refused, 1);
	/* The one that was held comes although the tap may have no other. */
	net_rig_make_room(&f->rig, 1);
	assert_int_equal(f->rig.packets, 6);
	net_rig_make_room(&f->rig, 100);
	assert_true(ours(&f->rig, &last) + 4 >= 20); /* the kernel's own are among them */
	net_receive_stop(f->rig.net, 0);
	last = f->rig.packets;
	send_many(f, 1);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, last);
}

static unsigned count_queues(struct fixture *f)
{
	unsigned seen = 0;

	/* The kernel spreads by what it takes for a flow. */
	for (unsigned i = 0; i < 200; i++) {
		const struct sockaddr_ll to = {.sll_family = AF_PACKET,
					       .sll_protocol = htons(ETH_P_IP),
					       .sll_ifindex = tap_index(TAP)};
		uint8_t frame[60] = {[12] = 0x08, [14] = 0x45, [17] = 46, [22] = 64, [23] = 17};

		memset(frame, 0xff, 6);
		frame[37] = (uint8_t)i; /* UDP's port */
		assert_int_equal(sendto(f->packet, frame, sizeof(frame), 0,
					(const struct sockaddr *)&to, sizeof(to)),
				 sizeof(frame));
		net_rig_run(&f->rig);
	}
	for (unsigned i = 0; i < f->rig.packets; i++)
		seen |= 1u << f->rig.packet[i].queue;
	net_rig_forget(&f->rig);
	return (unsigned)__builtin_popcount(seen);
}

static void test_queues(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[60], got[100];

	NEEDS_TAPS();
	open_tap(f, 4);
	assert_int_equal(net_queues(f->rig.net), 4);
	for (unsigned i = 0; i < 4; i++)
		net_rig_ready(&f->rig, i);
	assert_int_equal(count_queues(f), 1);
	net_set_queues(f->rig.net, 4);
	assert_true(count_queues(f) > 1);
	fill(frame, sizeof(frame), 1);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(net_rig_send(&f->rig, i, NULL, frame, sizeof(frame)));
		assert_int_equal(recv(f->packet, got, sizeof(got), 0), sizeof(frame));
	}
	net_set_queues(f->rig.net, 2);
	assert_true(net_rig_send(&f->rig, 3, NULL, frame, sizeof(frame))); /* dropped */
	assert_int_equal(recv(f->packet, got, sizeof(got), 0), -1);
	net_set_queues(f->rig.net, 1);
	net_rig_run(&f->rig);
	net_rig_forget(&f->rig);
	assert_int_equal(count_queues(f), 1);
	assert_int_equal(loop_step(f->rig.loop), 0); /* the detached do not spin */
	assert_int_equal(f->rig.links, 0);
}

static void test_interface_down(void **state)
{
	struct ifreq r = {.ifr_name = TAP};
	struct fixture *f = *state;
	uint8_t frame[60];
	int fd;

	NEEDS_TAPS();
	open_tap(f, 1);
	net_rig_ready(&f->rig, 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
	fill(frame, sizeof(frame), 1);
	for (unsigned i = 0; i < 100; i++)
		assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	net_rig_run(&f->rig);
	assert_int_equal(loop_step(f->rig.loop), 0);
	reconnect(f);
	both_ways(f, 100);
}

static void test_removed_and_back(void **state)
{
	struct fixture *f = *state;
	bool up = true, down = false;
	uint8_t frame[60];

	NEEDS_TAPS();
	open_tap(f, 1);
	net_rig_ready(&f->rig, 0);
	tap_remove(TAP);
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	fill(frame, sizeof(frame), 1);
	assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	assert_int_equal(fake_clock_run(&f->rig.clock, f->rig.loop, 5 * NS_PER_S, NS_PER_S), 5);
	tap_make(TAP, TAP_KIND);
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &up));
	reconnect(f);
	both_ways(f, 100);
	assert_int_equal(f->rig.links, 2);
}

static void test_passed_removed(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1, .fd_count = 1};
	bool down = false;

	NEEDS_TAPS();
	p.fd[0] = tap_queue(TAP, TAP_KIND);
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
	net_rig_ready(&f->rig, 0);
	tap_remove(TAP);
	assert_true(net_rig_wait(&f->rig, net_rig_link_is, &down));
	assert_int_equal(fake_clock_run(&f->rig.clock, f->rig.loop, 5 * NS_PER_S, NS_PER_S), 0);
}

/* --- refusals --- */

/* CVE-2019-13164: the names that a helper of QEMU's believed. */
static void test_names(void **state)
{
	static char endless[4097];
	static const char *const names[] = {
	    NULL,
	    "",
	    "0123456789abcdef",
	    "0123456789abcdefg",
	    endless,
	    "../x",
	    "a/b",
	    ".",
	    "..",
	    "tap%d",
	    "%s%s%n",
	    "a b",
	    "a\nb",
	    "a:1",
	    "a\x80",
	};
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1};

	memset(endless, 'a', sizeof(endless) - 1);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		p.ifname = names[i];
		net_rig_refused(&f->rig, &p, STATUS_USAGE, "1 to 15 characters");
	}
	NEEDS_TAPS();
	p.ifname = "0123456789abcde"; /* the longest */
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "no such interface");
}

static void test_no_tap(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1};

	NEEDS_TAPS();
	p.ifname = "lodge-none";
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE,
			"net: lodge-none: there is no such interface");
	assert_int_equal(tap_index("lodge-none"), 0);
	p.ifname = "lo";
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "net: lo: the interface is no tap");
}

static void test_busy(void **state)
{
	struct fixture *f = *state;
	const struct net_params p = {.kind = NET_TAP, .ifname = TAP, .queues = 1};
	int fd;

	NEEDS_TAPS();
	fd = tap_queue(TAP, TAP_KIND);
	net_rig_refused(&f->rig, &p, STATUS_UNAVAILABLE, "another process");
	close(fd);
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
}

static void test_no_permission(void **state)
{
	struct fixture *f = *state;
	const struct net_params p = {.kind = NET_TAP, .ifname = TAP, .queues = 1};
	int status;
	pid_t child;

	NEEDS_TAPS();
	child = fork();
	if (!child) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(2); /* a user namespace with one user */
		_exit(net_open(&p, f->rig.loop, &f->rig.net, &f->rig.why) == -1 &&
			      f->rig.why.status == STATUS_PERMISSION
			  ? 0
			  : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
		print_message("# there is no other user here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_passed_that_are_no_taps(void **state)
{
	struct fixture *f = *state;
	struct net_params p = {.kind = NET_TAP, .queues = 1, .fd_count = 1};
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	p.fd[0] = pipes[0];
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "not that of a tap");
	assert_int_equal(fcntl(pipes[0], F_GETFD), -1); /* taken over, so closed */
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "not open");
	close(pipes[1]);
	NEEDS_TAPS();
	p.fd[0] = tap_queue(TAP, TAP_KIND);
	p.fd[1] = dup(p.fd[0]);
	p.fd_count = 2;
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "more than");
	tap_remove(TAP);
	p.fd[0] = tap_queue(TAP, IFF_TUN | IFF_NO_PI);
	p.fd_count = 1;
	net_rig_refused(&f->rig, &p, STATUS_USAGE, "not that of a tap");
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_MANY(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_by_name),
	    TEST_MANY(test_one_queue_of_many),
	    TEST(test_many_queues_of_one),
	    TEST(test_passed),
	    TEST(test_passed_without_headers),
	    TEST(test_offloads),
	    TEST(test_a_batch_is_bounded),
	    TEST(test_no_room),
	    TEST_MANY(test_queues),
	    TEST(test_interface_down),
	    TEST(test_removed_and_back),
	    TEST(test_passed_removed),
	    TEST(test_names),
	    TEST(test_no_tap),
	    TEST(test_busy),
	    TEST(test_no_permission),
	    TEST(test_passed_that_are_no_taps),
	};

	cannot = tap_enter_namespace();
	return cmocka_run_group_tests_name("net_tap", tests, NULL, NULL);
}
