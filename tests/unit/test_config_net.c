/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of --net. */
#include "config/net.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void parse(const char *text, unsigned index, struct config_net *n)
{
	struct refusal why = {0};

	if (config_parse_net(text, index, n, &why))
		fail_msg("%s: %s", text, why.text);
}

static void has_defaults(void **state)
{
	struct config_net n;

	(void)state;
	parse("user", 0, &n);
	assert_int_equal(n.params.kind, NET_USER);
	assert_int_equal(n.params.forward_count, 0);
	assert_int_equal(n.params.queues, 0);
	assert_int_equal(n.model, NET_MODEL_DEFAULT);
	assert_false(n.mac_given);
	assert_memory_equal(n.params.mac, "\x02LG\0\0\0", 6);
	parse("none", 0, &n);
	assert_int_equal(n.params.kind, NET_NONE);
}

static void takes_every_key(void **state)
{
	struct config_net n;

	(void)state;
	parse("user,fwd=2222:22,fwd=udp:192.0.2.1:53:5353,fwd=tcp:1:65535,mac=52:54:00:aB:cD:eF,"
	      "model=virtio,packed=on",
	      3, &n);
	assert_int_equal(n.params.forward_count, 3);
	assert_false(n.params.forward[0].udp);
	assert_int_equal(n.params.forward[0].host_address, 0);
	assert_int_equal(n.params.forward[0].host_port, 2222);
	assert_int_equal(n.params.forward[0].guest_port, 22);
	assert_true(n.params.forward[1].udp);
	assert_int_equal(n.params.forward[1].host_address, htonl(0xc0000201));
	assert_int_equal(n.params.forward[1].host_port, 53);
	assert_int_equal(n.params.forward[1].guest_port, 5353);
	assert_false(n.params.forward[2].udp);
	assert_int_equal(n.params.forward[2].guest_port, 65535);
	assert_true(n.mac_given);
	assert_memory_equal(n.params.mac, "\x52\x54\x00\xab\xcd\xef", 6);
	assert_int_equal(n.model, NET_MODEL_VIRTIO);
	assert_true(n.packed);
	parse("tap,fd=3,fd=10,queues=2", 0, &n);
	assert_int_equal(n.params.fd_count, 2);
	assert_int_equal(n.params.fd[1], 10);
	assert_int_equal(n.params.queues, 2);
	parse("tap,ifname=tap0,queues=32", 0, &n);
	assert_string_equal(n.params.ifname, "tap0");
	parse("passt,path=/run/a,,b", 0, &n);
	assert_string_equal(n.params.path, "/run/a,b");
	parse("passt,fd=5", 0, &n);
	assert_int_equal(n.params.fd[0], 5);
	parse("dgram,path=a,peer=b", 0, &n);
	assert_string_equal(n.params.path, "a");
	assert_string_equal(n.params.peer, "b");
}

/* The same in each run; no two of a guest alike, nor two taps of a host, nor the ends of a cable.
 */
static void makes_addresses(void **state)
{
	struct config_net a, b;

	(void)state;
	parse("user", 1, &a);
	parse("user", 2, &b);
	assert_memory_not_equal(a.params.mac, b.params.mac, 6);
	parse("tap,ifname=tap0", 0, &a);
	parse("tap,ifname=tap1", 0, &b);
	assert_memory_not_equal(a.params.mac, b.params.mac, 6);
	assert_int_equal(a.params.mac[0], 0x02);
	parse("tap,ifname=tap0", 0, &b);
	assert_memory_equal(a.params.mac, b.params.mac, 6);
	parse("tap,ifname=tap0", 7, &b);
	assert_memory_not_equal(a.params.mac, b.params.mac, 6);
	parse("dgram,path=a,peer=b", 0, &a);
	parse("dgram,path=b,peer=a", 0, &b);
	assert_memory_not_equal(a.params.mac, b.params.mac, 6);
}

static void refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
	    {"", "give user, tap, passt, dgram or none"},
	    {"bridge", "'bridge' is not valid"},
	    {"none,mac=02:00:00:00:00:01", "none has no keys"},
	    {"user,", "the keys of user are"},
	    {"user,fwd", "the keys of user are"},
	    {"user,ifname=tap0", "'ifname' is not valid; the keys of user"},
	    {"tap,ifname=a,fwd=1:2", "'fwd' is not valid; the keys of tap"},
	    {"passt,path=a,queues=2", "the keys of passt"},
	    {"user,fwd=", "give fwd="},
	    {"user,fwd=22", "'22' is not valid; give fwd="},
	    {"user,fwd=0:22", "from 1 to 65535"},
	    {"user,fwd=65536:22", "from 1 to 65535"},
	    {"user,fwd=22:0", "from 1 to 65535"},
	    {"user,fwd=22:", "give fwd="},
	    {"user,fwd=:22", "give fwd="},
	    {"user,fwd=tcp:22", "give fwd="},
	    {"user,fwd=sctp:1:2", "'sctp:1:2' is not valid"},
	    {"user,fwd=localhost:1:2", "give fwd="},
	    {"user,fwd=1.2.3.4:1:2:3", "give fwd="},
	    {"user,mac=", "give mac=XX"},
	    {"user,mac=02:00:00:00:00", "give mac=XX"},
	    {"user,mac=02:00:00:00:00:000", "give mac=XX"},
	    {"user,mac=02-00-00-00-00-00", "give mac=XX"},
	    {"user,mac=0g:00:00:00:00:00", "give mac=XX"},
	    {"user,mac=01:00:00:00:00:00", "not of a group"},
	    {"user,mac=00:00:00:00:00:00", "not of a group"},
	    {"user,packed=", "packed is on or off"},
	    {"user,model=ne2k", "model is virtio"},
	    {"tap", "needs either ifname= or fd="},
	    {"tap,ifname=a,fd=3", "needs either ifname= or fd="},
	    {"tap,ifname=", "1 to 15 bytes"},
	    {"tap,ifname=1234567890123456", "1 to 15 bytes"},
	    {"tap,ifname=a/b", "1 to 15 bytes"},
	    {"tap,fd=0", "descriptor from 3 up"},
	    {"tap,fd=2147483648", "descriptor from 3 up"},
	    {"tap,fd=3,queues=2", "one fd= for each"},
	    {"tap,ifname=a,queues=0", "queues=1 to queues=32"},
	    {"tap,ifname=a,queues=33", "queues=1 to queues=32"},
	    {"passt", "needs either path="},
	    {"passt,path=a,fd=3", "needs either path="},
	    {"passt,fd=3,fd=4", "needs either path="},
	    {"passt,path=", "1 to 107 bytes"},
	    {"dgram,path=a", "needs path= and peer="},
	    {"dgram,path=a,peer=", "1 to 107 bytes"},
	    {"dgram,fd=3", "the keys of dgram"},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct refusal why = {0};
		struct config_net n;

		if (config_parse_net(cases[i].text, 0, &n, &why) == 0)
			fail_msg("'%s' was taken", cases[i].text);
		assert_int_equal(why.status, STATUS_USAGE);
		if (strncmp(why.text, "--net: ", 7) != 0 || !strstr(why.text, cases[i].reason))
			fail_msg("'%s': %s", cases[i].text, why.text);
	}
}

/* One more of each than there is room for. */
static void has_limits(void **state)
{
	char text[1024] = "user";
	struct refusal why = {0};
	struct config_net n;

	(void)state;
	for (unsigned i = 0; i < NET_FORWARDS_MAX; i++)
		strcat(text, ",fwd=1:2");
	parse(text, 0, &n);
	assert_int_equal(n.params.forward_count, NET_FORWARDS_MAX);
	strcat(text, ",fwd=1:2");
	assert_int_equal(config_parse_net(text, 0, &n, &why), -1);
	assert_non_null(strstr(why.text, "at most 32 ports"));
	strcpy(text, "tap");
	for (unsigned i = 0; i < NET_QUEUES_MAX; i++)
		strcat(text, ",fd=9");
	parse(text, 0, &n);
	strcat(text, ",fd=9");
	memset(&why, 0, sizeof(why));
	assert_int_equal(config_parse_net(text, 0, &n, &why), -1);
	assert_non_null(strstr(why.text, "at most 32 descriptors"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(has_defaults),    cmocka_unit_test(takes_every_key),
	    cmocka_unit_test(makes_addresses), cmocka_unit_test(refuses_what_it_does_not_know),
	    cmocka_unit_test(has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
