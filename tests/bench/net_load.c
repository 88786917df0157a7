// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Both ends of the network benchmark's load: one TCP connection, in one direction at a time.
 *
 *   net_load serve PORT          in the lab: sends or takes what a connection asks for
 *   net_load drive ADDRESS PORT  in the guest: each direction with two counts of bytes, so that the
 *                                difference of the two is free of what surrounds it
 *
 * Before, between and after them stands a line "mark DIRECTION NUMBER" and a pause in which the
 * host reads its counters.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK    65536u
#define PAUSE_NS 300000000
#define TRIES    50

static const uint64_t counts[2] = {4u << 20, 20u << 20};
static uint8_t buffer[CHUNK];

struct order {
	uint64_t bytes;
	char direction; /* 's': the guest sends, 'r': it receives */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void send_bytes(int fd, uint64_t bytes)
{
	ssize_t n;

	for (; bytes; bytes -= (uint64_t)n) {
		n = send(fd, buffer, bytes < CHUNK ? bytes : CHUNK, MSG_NOSIGNAL);
		if (n <= 0)
			die("send");
	}
}

static void take_bytes(int fd, uint64_t bytes)
{
	ssize_t n;

	for (; bytes; bytes -= (uint64_t)n) {
		n = recv(fd, buffer, bytes < CHUNK ? bytes : CHUNK, 0);
		if (n <= 0)
			die("recv");
	}
}

static void serve_one(int fd)
{
	struct order o;

	if (recv(fd, &o, sizeof(o), MSG_WAITALL) != sizeof(o))
		return;
	if (o.direction == 'r') {
		send_bytes(fd, o.bytes);
		return;
	}
	take_bytes(fd, o.bytes);
	send_bytes(fd, 1); /* all is here */
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)strtoul(port, NULL, 10))};

	if (host && inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static void serve(const char *port)
{
	struct sockaddr_in a = address(NULL, port);
	int one = 1, fd, server = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, (struct sockaddr *)&a, sizeof(a)) || listen(server, 4))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		fd = accept(server, NULL, NULL);
		serve_one(fd);
		close(fd);
	}
}

static void transfer(const struct sockaddr_in *a, char direction, uint64_t bytes)
{
	struct order o = {bytes, direction};
	int fd = socket(AF_INET, SOCK_STREAM, 0), tries = 0;

	while (connect(fd, (const struct sockaddr *)a, sizeof(*a))) {
		if (++tries == TRIES)
			die("connect");
		usleep(100000);
	}
	if (send(fd, &o, sizeof(o), 0) != sizeof(o))
		die("send");
	if (direction == 's') {
		send_bytes(fd, bytes);
		take_bytes(fd, 1);
	} else {
		take_bytes(fd, bytes);
	}
	close(fd);
}

static void mark(char direction, unsigned number)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};

	printf("mark %s %u\n", direction == 's' ? "send" : "receive", number);
	fflush(stdout);
	nanosleep(&pause, NULL);
}

int main(int argc, char **argv)
{
	static const char directions[2] = {'s', 'r'};
	struct sockaddr_in a;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 4)
		return 64;
	a = address(argv[2], argv[3]);
	for (unsigned d = 0; d < 2; d++) {
		transfer(&a, directions[d], 1u << 20); /* warm */
		mark(directions[d], 0);
		for (unsigned i = 0; i < 2; i++) {
			transfer(&a, directions[d], counts[i]);
			mark(directions[d], i + 1);
		}
	}
	return 0;
}
