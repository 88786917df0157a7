// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads the value of --net.
 *
 * Each key belongs to some kinds of network and is refused for the others, so that nothing that was
 * asked for is left out without a word.
 */
#include "config/net.h"
#include "config/value.h"
#include "config/words.h"
#include "core/unix_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#define IFNAME_MAX 15u /* IFNAMSIZ less its NUL */

static const struct word kinds[] = {{"user", NET_USER},   {"tap", NET_TAP},   {"passt", NET_PASST},
				    {"dgram", NET_DGRAM}, {"none", NET_NONE}, {NULL, 0}};
static const struct word models[] = {{"virtio", NET_MODEL_VIRTIO},
				     {"e1000", NET_MODEL_E1000},
				     {"rtl8139", NET_MODEL_RTL8139},
				     {NULL, 0}};

static int refuse_net(struct refusal *why, const char *given, const char *wanted)
{
	return refuse(why, STATUS_USAGE, NULL, NULL, "--net: '%.60s' is not valid; %s", given,
		      wanted);
}

static bool parse_net_port(const char *text, uint16_t *port)
{
	uint64_t n;

	if (value_parse_number(text, &n) < 0 || n < 1 || n > 65535)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* [tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT */
static bool parse_forward(char *text, struct net_forward *f)
{
	char *guest = strrchr(text, ':'), *host;
	struct in_addr address;

	*f = (struct net_forward){.udp = strncmp(text, "udp:", 4) == 0};
	if (!guest)
		return false;
	*guest++ = '\0';
	if (f->udp || strncmp(text, "tcp:", 4) == 0)
		text += 4;
	host = strchr(text, ':');
	if (host) {
		*host++ = '\0';
		if (inet_pton(AF_INET, text, &address) != 1)
			return false;
		f->host_address = address.s_addr;
		f->everywhere = !address.s_addr;
	}
	return parse_net_port(host ? host : text, &f->host_port) &&
	       parse_net_port(guest, &f->guest_port);
}

static int set_forward(struct config_net *n, char *value, struct refusal *why)
{
	struct net_params *p = &n->params;
	char given[64];

	if (p->forward_count == NET_FORWARDS_MAX)
		return refuse_net(why, value, "at most 32 ports can be forwarded");
	strncpy(given, value, sizeof(given) - 1);
	given[sizeof(given) - 1] = '\0';
	if (!parse_forward(value, &p->forward[p->forward_count]))
		return refuse_net(why, given,
				  "give fwd=[tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT, with ports "
				  "from 1 to 65535");
	p->forward_count++;
	return 0;
}

static int set_mac(struct config_net *n, char *value, struct refusal *why)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	uint8_t *mac = n->params.mac;
	size_t length = strlen(value);

	for (unsigned i = 0; i < 17; i++) {
		const char *digit = i < length ? strchr(digits, value[i]) : NULL;
		ptrdiff_t nibble = digit ? digit - digits : 0;

		if (length != 17 || (i % 3 == 2 ? value[i] != ':' : !digit))
			return refuse_net(why, value, "give mac=XX:XX:XX:XX:XX:XX");
		if (i % 3 != 2)
			mac[i / 3] =
			    (uint8_t)(mac[i / 3] << 4 | (nibble > 15 ? nibble - 6 : nibble));
	}
	if ((mac[0] & 1) || memcmp(mac, "\0\0\0\0\0\0", 6) == 0)
		return refuse_net(why, value, "give the address of one adapter, not of a group");
	n->mac_given = true;
	return 0;
}

static int set_ifname(struct config_net *n, char *value, struct refusal *why)
{
	if (!*value || strlen(value) > IFNAME_MAX || strpbrk(value, "/ %:"))
		return refuse_net(why, value, "ifname= is the name of a tap, 1 to 15 bytes");
	n->params.ifname = value;
	return 0;
}

static int set_fd(struct config_net *n, char *value, struct refusal *why)
{
	struct net_params *p = &n->params;
	uint64_t fd;

	if (value_parse_number(value, &fd) < 0 || fd < 3 || fd > INT_MAX)
		return refuse_net(why, value, "fd= is a descriptor from 3 up");
	if (p->fd_count == NET_QUEUES_MAX)
		return refuse_net(why, value, "at most 32 descriptors can be given");
	p->fd[p->fd_count++] = (int)fd;
	return 0;
}

static int set_path(struct config_net *n, char *value, struct refusal *why)
{
	if (!*value || strlen(value) > UNIX_PATH_MAX)
		return refuse_net(why, value, "path= is a socket's, 1 to 107 bytes");
	n->params.path = value;
	return 0;
}

static int set_peer(struct config_net *n, char *value, struct refusal *why)
{
	if (!*value || strlen(value) > UNIX_PATH_MAX)
		return refuse_net(why, value, "peer= is a socket's, 1 to 107 bytes");
	n->params.peer = value;
	return 0;
}

static int set_queues(struct config_net *n, char *value, struct refusal *why)
{
	uint64_t queues;

	if (value_parse_number(value, &queues) < 0 || queues < 1 || queues > NET_QUEUES_MAX)
		return refuse_net(why, value, "give queues=1 to queues=32");
	n->params.queues = (unsigned)queues;
	return 0;
}

static int set_model(struct config_net *n, char *value, struct refusal *why)
{
	int found = words_find(models, value);

	if (found < 0)
		return refuse_net(why, value, "model is virtio, e1000 or rtl8139");
	n->model = (enum net_model)found;
	return 0;
}

static int set_packed(struct config_net *n, char *value, struct refusal *why)
{
	int found = words_find(words_on_off, value);

	if (found < 0)
		return refuse_net(why, value, "packed is on or off");
	n->packed = found;
	return 0;
}

#define OF(kind) (1u << (kind))
#define OF_ALL   (OF(NET_USER) | OF(NET_TAP) | OF(NET_PASST) | OF(NET_DGRAM))

static const struct {
	const char *key;
	unsigned kinds;
	int (*set)(struct config_net *n, char *value, struct refusal *why);
} keys[] = {
    {"fwd", OF(NET_USER), set_forward},
    {"model", OF_ALL, set_model},
    {"mac", OF_ALL, set_mac},
    {"packed", OF_ALL, set_packed},
    {"ifname", OF(NET_TAP), set_ifname},
    {"fd", OF(NET_TAP) | OF(NET_PASST), set_fd},
    {"queues", OF(NET_TAP), set_queues},
    {"path", OF(NET_PASST) | OF(NET_DGRAM), set_path},
    {"peer", OF(NET_DGRAM), set_peer},
};

static const char *keys_of(enum net_kind kind)
{
	static const char *const texts[] = {
	    [NET_NONE] = "none has no keys",
	    [NET_USER] = "the keys of user are fwd= model= mac= packed=",
	    [NET_TAP] = "the keys of tap are ifname= fd= queues= model= mac= packed=",
	    [NET_PASST] = "the keys of passt are path= fd= model= mac= packed=",
	    [NET_DGRAM] = "the keys of dgram are path= peer= model= mac= packed=",
	};

	return texts[kind];
}

static int set_item(struct config_net *n, char *item, struct refusal *why)
{
	char *value = strchr(item, '=');

	if (value)
		*value++ = '\0';
	for (unsigned i = 0; value && i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(item, keys[i].key) == 0 && (keys[i].kinds & OF(n->params.kind)))
			return keys[i].set(n, value, why);
	}
	return refuse_net(why, item, keys_of(n->params.kind));
}

static int check(const struct config_net *n, struct refusal *why)
{
	const struct net_params *p = &n->params;

	if (p->kind == NET_TAP && !p->ifname == !p->fd_count)
		return refuse_net(why, n->spec, "tap needs either ifname= or fd=");
	if (p->kind == NET_TAP && p->fd_count && p->queues && p->queues != p->fd_count)
		return refuse_net(why, n->spec, "give one fd= for each of queues=");
	if (p->kind == NET_PASST && (p->fd_count > 1 || !p->path == !p->fd_count))
		return refuse_net(why, n->spec, "passt needs either path=, its socket, or fd=");
	if (p->kind == NET_DGRAM && (!p->path || !p->peer))
		return refuse_net(why, n->spec, "dgram needs path= and peer=, two sockets");
	return 0;
}

void config_default_mac(const struct config_net *n, unsigned index, uint8_t mac[6])
{
	/* Guests that meet on a bridge or a cable differ in this. */
	const char *name = n->params.kind == NET_DGRAM ? n->params.path : n->params.ifname;
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *c = name; c && *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	memcpy(mac, "\x02LG", 3); /* locally administered, of one adapter */
	mac[3] = name ? (uint8_t)(hash >> 16) : 0;
	mac[4] = name ? (uint8_t)(hash >> 8) : 0;
	mac[5] = (uint8_t)((name ? hash & 0xf8 : 0) | index);
}

void config_default_net(struct config_net *n)
{
	*n = (struct config_net){.params = {.kind = NET_USER, .by_default = true}, .spec = "user"};
	config_default_mac(n, 0, n->params.mac);
}

int config_parse_net(const char *text, unsigned index, struct config_net *n, struct refusal *why)
{
	char *rest = config_keep_text(text);
	int kind;

	*n = (struct config_net){.spec = text};
	if (!rest)
		return refuse_errno(why, ENOMEM, NULL, NULL, "--net");
	kind = words_find(kinds, words_next(&rest));
	if (kind < 0)
		return refuse_net(why, text, "give user, tap, passt, dgram or none");
	n->params.kind = (enum net_kind)kind;
	while (rest) {
		if (set_item(n, words_next(&rest), why))
			return -1;
	}
	if (!n->mac_given)
		config_default_mac(n, index, n->params.mac);
	return check(n, why);
}
