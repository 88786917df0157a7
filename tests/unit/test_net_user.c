/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user-mode network, with real libslirp and real sockets of this host's loopback. */
#include "net/user.h"
#include "net_guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct net_rig rig;
	struct guest_tcp guest;
	int server, peer; /* of the host; peer: connected */
	uint8_t *data;    /* what the peer got */
	size_t size, wanted;
	const uint8_t *sending;
	size_t sent, sending_size;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	net_rig_setup(&f->rig);
	f->server = f->peer = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_rig_teardown(&f->rig);
	guest_tcp_free(&f->guest);
	if (f->server >= 0)
		close(f->server);
	if (f->peer >= 0)
		close(f->peer);
	free(f->data);
	free(f);
	return 0;
}

static bool loaded(const char *library)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	while (fgets(line, sizeof(line), maps))
		found |= strstr(line, library) != NULL;
	fclose(maps);
	return found;
}

/* A socket of 127.0.0.1, of any port, which is stored. */
static int host_socket(int type, uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4096), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static uint16_t free_port(int type)
{
	uint16_t port;

	close(host_socket(type, &port));
	return port;
}

static void open_user(struct fixture *f, const struct net_params *p)
{
	net_rig_must_open(&f->rig, p);
	net_set_offloads(f->rig.net, net_receive_offloads(f->rig.net));
	net_rig_ready(&f->rig, 0);
}

static const struct net_params plain = {.kind = NET_USER, .queues = 1};

/* First, as libraries stay loaded. */
static void test_nothing_is_loaded_before_the_first_packet(void **state)
{
	const struct net_params p = {.kind = NET_USER, .queues = 4, .by_default = true};
	struct fixture *f = *state;
	unsigned one = 1;

	open_user(f, &p);
	assert_int_equal(net_queues(f->rig.net), 1);
	net_rig_run(&f->rig);
	assert_false(loaded("libslirp"));
	assert_false(loaded("libglib"));
	guest_send_arp(&f->rig, HOST_IP);
	assert_true(loaded("libslirp"));
	assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &one));
	assert_true(f->rig.link);
}

static void test_arp(void **state)
{
	struct fixture *f = *state;
	unsigned one = 1;

	open_user(f, &plain);
	guest_send_arp(&f->rig, HOST_IP);
	assert_int_equal(f->rig.packets, 0); /* not within our call */
	assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &one));
	assert_memory_equal(f->rig.packet[0].data + 20, "\0\2", 2);
	assert_memory_equal(f->rig.packet[0].data + 28, "\x0a\0\2\2", 4);
	assert_true(f->rig.batches >= 1);
}

static void test_dhcp(void **state)
{
	struct fixture *f = *state;
	const uint8_t *bootp;
	unsigned one = 1;

	open_user(f, &plain);
	guest_send_dhcp_discover(&f->rig);
	assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &one));
	bootp = f->rig.packet[0].data + 42;
	assert_int_equal(bootp[0], 2); /* BOOTREPLY */
	assert_memory_equal(bootp + 4, "\x12\x34\x56\x78", 4);
	assert_memory_equal(bootp + 16, "\x0a\0\2\x0f", 4);
	assert_int_equal(f->rig.packet[0].header.flags, NET_DATA_VALID);
	net_set_offloads(f->rig.net, 0);
	guest_send_dhcp_discover(&f->rig);
	one = 2;
	assert_true(net_rig_wait(&f->rig, net_rig_has_packets, &one));
	assert_int_equal(f->rig.packet[1].header.flags, 0);
}

/* --- TCP --- */

static void host_work(struct fixture *f)
{
	uint8_t chunk[65536];
	ssize_t n;

	if (f->peer < 0 && f->server >= 0)
		f->peer = accept4(f->server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (f->peer < 0)
		return;
	while ((n = read(f->peer, chunk, sizeof(chunk))) > 0) {
		f->data = realloc(f->data, f->size + (size_t)n);
		memcpy(f->data + f->size, chunk, (size_t)n);
		f->size += (size_t)n;
	}
	while (f->sent < f->sending_size) {
		n = send(f->peer, f->sending + f->sent, f->sending_size - f->sent, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		f->sent += (size_t)n;
	}
}

static bool is_open(struct net_rig *r, void *arg)
{
	struct fixture *f = arg;

	(void)r;
	guest_tcp_work(&f->guest);
	host_work(f);
	return f->guest.open && f->peer >= 0;
}

static bool host_has_all(struct net_rig *r, void *arg)
{
	struct fixture *f = arg;

	(void)r;
	guest_tcp_work(&f->guest);
	host_work(f);
	return f->size >= f->wanted;
}

static bool guest_has_all(struct net_rig *r, void *arg)
{
	struct fixture *f = arg;

	(void)r;
	guest_tcp_work(&f->guest);
	host_work(f);
	return f->guest.received_size >= f->wanted;
}

static uint8_t *pattern(size_t size)
{
	uint8_t *p = malloc(size);
	uint32_t x = 1;

	for (size_t i = 0; i < size; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
	return p;
}

static void connect_out(struct fixture *f)
{
	uint16_t port;

	open_user(f, &plain);
	f->server = host_socket(SOCK_STREAM, &port);
	guest_tcp_connect(&f->guest, &f->rig, 40000, port);
	assert_true(net_rig_wait(&f->rig, is_open, f));
}

static void test_guest_connects_to_the_hosts_loopback(void **state)
{
	struct fixture *f = *state;

	connect_out(f);
	guest_tcp_send(&f->guest, "hello", 5);
	f->wanted = 5;
	assert_true(net_rig_wait(&f->rig, host_has_all, f));
	assert_memory_equal(f->data, "hello", 5);
}

/* Segmentation is libslirp's: what it takes in one piece must arrive as it is. */
static void test_guest_sends_large_segments(void **state)
{
	struct fixture *f = *state;
	const size_t block = 60000, blocks = 20;
	uint8_t *data = pattern(block * blocks);

	connect_out(f);
	for (size_t i = 0; i < blocks; i++) {
		guest_tcp_send(&f->guest, data + i * block, block);
		f->wanted = (i + 1) * block;
		if (!net_rig_wait(&f->rig, host_has_all, f))
			fail_msg("%zu of %zu bytes arrived", f->size, f->wanted);
	}
	assert_memory_equal(f->data, data, block * blocks);
	free(data);
}

static void host_sends_much(struct fixture *f, unsigned offloads)
{
	const size_t size = 2000000;
	uint8_t *data = pattern(size);

	connect_out(f);
	net_set_offloads(f->rig.net, offloads);
	f->sending = data;
	f->sending_size = f->wanted = size;
	assert_true(net_rig_wait(&f->rig, guest_has_all, f));
	assert_int_equal(f->guest.received_size, size);
	assert_memory_equal(f->guest.received, data, size);
	free(data);
}

static void test_host_sends_much(void **state)
{
	struct fixture *f = *state;

	host_sends_much(f, NET_OFFLOAD_CSUM);
	assert_int_equal(f->guest.merged, 0);
	assert_true(f->guest.largest <= 1460);
}

static void test_host_sends_large_packets(void **state)
{
	struct fixture *f = *state;

	host_sends_much(f, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
	assert_true(f->guest.merged > 0);
	assert_true(f->guest.largest > 4 * 1460);
	assert_true(f->guest.packets < 2000000 / 1460 / 2);
}

static void test_guest_closes(void **state)
{
	struct fixture *f = *state;
	char byte;

	connect_out(f);
	guest_tcp_close(&f->guest);
	f->wanted = 1;
	for (int i = 0; i < 50; i++)
		net_rig_run(&f->rig);
	assert_int_equal(read(f->peer, &byte, 1), 0);
}

static unsigned waiting(const struct fixture *f)
{
	return ((const struct user *)f->rig.net->state)->waiting_count;
}

/* The guest has no buffers: what the host sends stays with the host. */
static void test_no_room_in_the_guest(void **state)
{
	struct fixture *f = *state;
	const size_t size = 8000000;
	uint8_t *data = pattern(size);

	connect_out(f);
	f->sending = data;
	f->sending_size = f->wanted = size;
	f->rig.room = 0;
	for (int i = 0; i < 300; i++) {
		host_work(f);
		net_rig_run(&f->rig);
		fake_clock_step(&f->rig.clock, 10 * NS_PER_MS);
	}
	assert_true(waiting(f) > 0);
	assert_true(waiting(f) < USER_WAITING_MAX);
	assert_true(f->rig.refused < 10); /* not offered again and again */
	assert_true(f->sent < size);
	/* One at a time, and in the end as much as it wants. */
	net_rig_make_room(&f->rig, 1);
	assert_int_equal(f->rig.packets, 1);
	f->rig.room = UINT32_MAX;
	net_rig_ready(&f->rig, 0);
	f->wanted = 1000000;
	assert_true(net_rig_wait(&f->rig, guest_has_all, f));
	assert_memory_equal(f->guest.received, data, f->wanted);
	free(data);
}

/* --- forwards --- */

static void connect_in(struct fixture *f, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	f->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->peer, (struct sockaddr *)&a, sizeof(a)), 0);
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
}

static void test_forward_tcp(void **state)
{
	struct fixture *f = *state;
	struct net_params p = plain;

	p.forward[0].host_port = free_port(SOCK_STREAM);
	p.forward[0].guest_port = 22;
	p.forward_count = 1;
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
	/* A client that comes before the guest has a driver waits for it. */
	connect_in(f, p.forward[0].host_port);
	net_rig_run(&f->rig);
	guest_tcp_listen(&f->guest, &f->rig, 22);
	net_rig_ready(&f->rig, 0);
	assert_true(net_rig_wait(&f->rig, is_open, f));
	f->sending = (const uint8_t *)"SSH-2.0-test\r\n";
	f->sending_size = f->wanted = 14;
	assert_true(net_rig_wait(&f->rig, guest_has_all, f));
	assert_memory_equal(f->guest.received, "SSH-2.0-test\r\n", 14);
	guest_tcp_send(&f->guest, "welcome", 7);
	f->wanted = 7;
	assert_true(net_rig_wait(&f->rig, host_has_all, f));
	assert_memory_equal(f->data, "welcome", 7);
}

static bool has_udp(struct net_rig *r, void *arg)
{
	struct guest_tcp arp = {.rig = r};

	(void)arg;
	for (unsigned i = 0; i < r->packets; i++) {
		if (r->packet[i].size > 42 && r->packet[i].data[23] == 17)
			return memcmp(r->packet[i].data + 42, "ping", 4) == 0;
	}
	guest_tcp_work(&arp);
	return false;
}

/* Connects the peer to a port of the host that leads to the guest. */
static void forward_udp(struct fixture *f)
{
	struct net_params p = plain;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint16_t mine;

	p.forward[0].udp = true;
	p.forward[0].host_port = free_port(SOCK_DGRAM);
	p.forward[0].guest_port = 53;
	p.forward_count = 1;
	open_user(f, &p);
	f->peer = host_socket(SOCK_DGRAM, &mine);
	a.sin_port = htons(p.forward[0].host_port);
	assert_int_equal(connect(f->peer, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void test_forward_udp(void **state)
{
	struct fixture *f = *state;

	forward_udp(f);
	assert_int_equal(send(f->peer, "ping", 4, 0), 4);
	assert_true(net_rig_wait(&f->rig, has_udp, f));
}

/* Nobody paces datagrams: what the guest has no room for stays in the host's socket. */
static void test_datagrams_without_room(void **state)
{
	struct fixture *f = *state;

	forward_udp(f);
	guest_send_arp(&f->rig, HOST_IP);
	net_rig_run(&f->rig);
	f->rig.room = 0;
	for (unsigned i = 0; i < 100; i++) {
		send(f->peer, "ping", 4, 0);
		net_rig_run(&f->rig);
		guest_send_arp(&f->rig, HOST_IP); /* answered, which is work for the loop */
		net_rig_run(&f->rig);
	}
	assert_in_range(waiting(f), 100, 104);
	assert_int_equal(loop_step(f->rig.loop), 0); /* nor is it asked again and again */
}

static void port_in_use(struct fixture *f, int type)
{
	struct net_params p = plain;
	char port[16];

	p.forward[0].udp = type == SOCK_DGRAM;
	p.forward[0].guest_port = 22;
	f->server = host_socket(type, &p.forward[0].host_port);
	p.forward_count = 1;
	assert_int_equal(net_rig_open(&f->rig, &p), -1);
	assert_int_equal(f->rig.why.status, STATUS_UNAVAILABLE);
	snprintf(port, sizeof(port), "port %u ", p.forward[0].host_port);
	if (!strstr(f->rig.why.text, port) || !strstr(f->rig.why.text, "in use"))
		fail_msg("%s", f->rig.why.text);
}

static void test_forward_tcp_port_in_use(void **state)
{
	port_in_use(*state, SOCK_STREAM);
}

static void test_forward_udp_port_in_use(void **state)
{
	port_in_use(*state, SOCK_DGRAM);
}

static void test_same_forward_twice(void **state)
{
	struct fixture *f = *state;
	struct net_params p = plain;

	p.forward[0].host_port = free_port(SOCK_STREAM);
	p.forward[0].guest_port = 22;
	p.forward[1] = p.forward[0];
	p.forward_count = 2;
	assert_int_equal(net_rig_open(&f->rig, &p), -1);
	assert_int_equal(f->rig.why.status, STATUS_UNAVAILABLE);
	/* Nothing is left of it. */
	p.forward_count = 1;
	f->rig.why.status = 0;
	assert_int_equal(net_rig_open(&f->rig, &p), 0);
}

/* --- hostile guests --- */

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static void test_guest_opens_connections_without_end(void **state)
{
	struct fixture *f = *state;
	unsigned before = open_descriptors();
	struct tcp_packet syn = {.flags = GUEST_SYN, .window = 0xffff};

	open_user(f, &plain);
	f->server = host_socket(SOCK_STREAM, &syn.to);
	for (unsigned i = 0; i < 3000; i++) {
		syn.from = (uint16_t)(1024 + i);
		guest_send_tcp(&f->rig, &syn);
		if (i % 32 == 0) {
			net_rig_run(&f->rig);
			net_rig_forget(&f->rig);
		}
	}
	assert_in_range(open_descriptors() - before, USER_CONNECTIONS_MAX / 2,
			USER_CONNECTIONS_MAX + 16);
}

static void test_only_ip_and_arp_reach_libslirp(void **state)
{
	const struct net_params p = {.kind = NET_USER, .queues = 1, .by_default = true};
	struct fixture *f = *state;
	uint8_t frame[64] = {0};

	open_user(f, &p);
	memcpy(frame + 12, "\x88\xf8", 2); /* NC-SI */
	assert_true(net_rig_send(&f->rig, 0, NULL, frame, sizeof(frame)));
	assert_null(((struct user *)f->rig.net->state)->slirp);
}

/* What it asks it is answered, or it has to wait with its questions. */
static void test_more_answers_than_room(void **state)
{
	static const uint8_t arp[60] = "\xff\xff\xff\xff\xff\xff\x52\x54\0\x12\x34\x56\x08\6"
				       "\0\1\x08\0\6\4\0\1\x52\x54\0\x12\x34\x56\x0a\0\2\x0f"
				       "\0\0\0\0\0\0\x0a\0\2\2";
	struct fixture *f = *state;
	unsigned asked = 0;

	open_user(f, &plain);
	while (asked < 1000 && net_rig_send(&f->rig, 0, NULL, arp, sizeof(arp)))
		asked++;
	assert_in_range(asked, 64, USER_WAITING_MAX - 64);
	assert_int_equal(f->rig.sendable, 0);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, asked);
	assert_int_equal(f->rig.sendable, 1);
	assert_true(net_rig_send(&f->rig, 0, NULL, arp, sizeof(arp)));
	/* One that takes no answers is not waited for. */
	net_rig_run(&f->rig);
	net_receive_stop(f->rig.net, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(net_rig_send(&f->rig, 0, NULL, arp, sizeof(arp)));
	assert_int_equal(waiting(f), USER_WAITING_MAX);
}

/* Once nobody uses it, nothing is done. */
static void test_idle(void **state)
{
	struct fixture *f = *state;

	open_user(f, &plain);
	guest_send_arp(&f->rig, HOST_IP);
	net_rig_run(&f->rig);
	assert_int_equal(f->rig.packets, 1);
	assert_int_equal(fake_clock_run(&f->rig.clock, f->rig.loop, 60 * NS_PER_S, NS_PER_S), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing_is_loaded_before_the_first_packet),
	    TEST(test_arp),
	    TEST(test_dhcp),
	    TEST(test_guest_connects_to_the_hosts_loopback),
	    TEST(test_guest_sends_large_segments),
	    TEST(test_host_sends_much),
	    TEST(test_host_sends_large_packets),
	    TEST(test_guest_closes),
	    TEST(test_no_room_in_the_guest),
	    TEST(test_forward_tcp),
	    TEST(test_forward_udp),
	    TEST(test_datagrams_without_room),
	    TEST(test_forward_tcp_port_in_use),
	    TEST(test_forward_udp_port_in_use),
	    TEST(test_same_forward_twice),
	    TEST(test_guest_opens_connections_without_end),
	    TEST(test_only_ip_and_arp_reach_libslirp),
	    TEST(test_more_answers_than_room),
	    TEST(test_idle),
	};

	return cmocka_run_group_tests_name("net_user", tests, NULL, NULL);
}
