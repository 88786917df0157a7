/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts the value of one option into the configuration.
 *
 * Theory of operation: one function an option, called by parse.c in the order of the command line.
 * A scalar's last occurrence wins. Each refusal names the option, shows at most 60 bytes of what
 * was given, and says what would have been right. No function opens a file.
 */
#include "config/builder.h"
#include "config/disk.h"
#include "config/net.h"
#include "config/value.h"
#include "config/words.h"
#include "core/unix_socket.h"

#include <errno.h>
#include <lodge/clock.h>
#include <string.h>

#define GIVEN             "'%.60s'"

#define TIMEOUT_MAX_HOURS 8760ull

static int refuse_value(const struct option_spec *o, const char *value, const char *wanted,
			struct refusal *why)
{
	return refuse(why, STATUS_USAGE, NULL, NULL, "--%s: " GIVEN " is not valid; %s", o->name,
		      value, wanted);
}

static int refuse_later(const struct option_spec *o, const char *value, struct refusal *why)
{
	return refuse(why, STATUS_USAGE, NULL, NULL,
		      "--%s: " GIVEN " is not in this version (" LODGE_VERSION "); %s", o->name,
		      value, o->limit);
}

/* Known, but not built yet. */
int set_later(struct config_builder *b, const struct option_spec *o, const char *value,
	      struct refusal *why)
{
	(void)b;
	(void)value;
	return refuse(why, STATUS_USAGE, NULL, NULL, "--%s: %s", o->name, o->limit);
}

int set_disk(struct config_builder *b, const struct option_spec *o, const char *value,
	     struct refusal *why)
{
	struct config *c = b->c;
	struct config_disk *d = &c->disk[c->disk_count];

	if (c->disk_count == CONFIG_DISKS_MAX)
		return refuse_value(o, value, "at most 16 disks can be given", why);
	if (config_parse_disk(value, d, why))
		return -1;
	if (d->bus != DISK_BUS_DEFAULT && d->bus != DISK_BUS_VIRTIO)
		return refuse_later(o, value, why);
	c->disk_count++;
	return 0;
}

/* The first takes the default's place. */
int set_net(struct config_builder *b, const struct option_spec *o, const char *value,
	    struct refusal *why)
{
	struct config *c = b->c;
	struct config_net *n;

	if (!b->net_given)
		c->net_count = 0;
	if (c->net_count == CONFIG_NETS_MAX)
		return refuse_value(o, value, "at most 8 network adapters can be given", why);
	n = &c->net[c->net_count];
	if (config_parse_net(value, c->net_count, n, why))
		return -1;
	if (b->net_given && (n->params.kind == NET_NONE || !c->net_count))
		return refuse_value(o, value, "none goes with no other", why);
	if (n->model != NET_MODEL_DEFAULT && n->model != NET_MODEL_VIRTIO)
		return refuse_later(o, value, why);
	b->net_given = true;
	c->net_count += n->params.kind != NET_NONE;
	return 0;
}

int set_cpus(struct config_builder *b, const struct option_spec *o, const char *value,
	     struct refusal *why)
{
	uint64_t n;

	if (value_parse_number(value, &n) < 0 || n < 1 || n > CONFIG_CPUS_MAX)
		return refuse_value(o, value, "give a number from 1 to 255", why);
	b->c->cpus = (unsigned)n;
	return 0;
}

int set_memory(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	uint64_t n;

	if (value_parse_size(value, &n) < 0 || n < CONFIG_MEMORY_MIN || n > CONFIG_MEMORY_MAX)
		return refuse_value(o, value, "give a size from 1M to 1023G", why);
	if (n % 4096)
		return refuse_value(o, value, "give a multiple of 4K, from 1M to 1023G", why);
	b->c->memory = n;
	return 0;
}

int set_machine(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	if (strcmp(value, "micro") == 0)
		return refuse_later(o, value, why);
	if (strcmp(value, "pc") != 0)
		return refuse_value(o, value, "give pc", why);
	b->c->machine = MACHINE_PC;
	return 0;
}

/* ",+avx,-x2apic" */
static bool features_well_formed(const char *s)
{
	size_t n;

	for (; *s; s += n) {
		if (s[0] != ',' || (s[1] != '+' && s[1] != '-'))
			return false;
		s += 2;
		n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");
		if (!n)
			return false;
	}
	return true;
}

int set_cpu(struct config_builder *b, const struct option_spec *o, const char *value,
	    struct refusal *why)
{
	size_t model = strcspn(value, ",");

	if (strlen(value) > CONFIG_CPU_MAX)
		return refuse_value(o, value, "it is longer than 1024 bytes", why);
	if (!model)
		return refuse_value(o, value, "give host[,+FEATURE][,-FEATURE]", why);
	if (model != 4 || memcmp(value, "host", 4) != 0)
		return refuse_later(o, value, why);
	if (!features_well_formed(value + model))
		return refuse_value(o, value, "features are ,+NAME or ,-NAME in lower case", why);
	b->c->cpu_model = "host";
	b->c->cpu_features = value + model;
	return 0;
}

int set_hyperv(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	int on = words_find(words_on_off, value);

	if (on < 0)
		return refuse_value(o, value, "give on or off", why);
	if (on)
		return refuse_later(o, value, why);
	b->c->hyperv = false;
	return 0;
}

int set_tpr_patch(struct config_builder *b, const struct option_spec *o, const char *value,
		  struct refusal *why)
{
	if (strcmp(value, "auto") == 0)
		b->c->tpr_patch = TPR_PATCH_AUTO;
	else if (strcmp(value, "on") == 0)
		b->c->tpr_patch = TPR_PATCH_ON;
	else if (strcmp(value, "off") == 0)
		b->c->tpr_patch = TPR_PATCH_OFF;
	else
		return refuse_value(o, value, "give auto, on or off", why);
	return 0;
}

int set_kernel(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	if (!*value)
		return refuse_value(o, value, "give a file name", why);
	b->c->kernel = value;
	return 0;
}

int set_initrd(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	if (!*value)
		return refuse_value(o, value, "give a file name", why);
	if (b->c->initrd_count == CONFIG_INITRDS_MAX)
		return refuse_value(o, value, "at most 64 initrds can be given", why);
	b->c->initrd[b->c->initrd_count++] = value;
	return 0;
}

int set_append(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	size_t n = strlen(value);

	b->append_given = true;
	if (!n)
		return 0;
	if (!b->append) {
		b->append = config_keep(b->append_room);
		if (!b->append)
			return refuse(why, STATUS_HOST, NULL, NULL, "--%s: no memory", o->name);
	}
	if (b->append_used)
		b->append[b->append_used++] = ' ';
	memcpy(b->append + b->append_used, value, n + 1);
	b->append_used += n;
	b->c->append = b->append;
	return 0;
}

static int set_only_none(const struct option_spec *o, const char *value, struct refusal *why)
{
	if (!*value)
		return refuse_value(o, value, "give none", why);
	return strcmp(value, "none") == 0 ? 0 : refuse_later(o, value, why);
}

int set_display(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	(void)b;
	return set_only_none(o, value, why);
}

int set_control(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	(void)b;
	return set_only_none(o, value, why);
}

static const struct {
	const char *text;
	enum serial_kind kind;
} serial_kinds[] = {
    {"stdio", SERIAL_STDIO}, {"null", SERIAL_NULL},  {"pty", SERIAL_PTY},
    {"file:", SERIAL_FILE},  {"unix:", SERIAL_UNIX},
};

/* value: of the option, for the refusal; text: the part of it that names the stream. */
static int parse_stream(const struct option_spec *o, const char *value, const char *text,
			struct config_serial *s, struct refusal *why)
{
	size_t i, n;

	*s = (struct config_serial){.spec = text};
	for (i = 0; i < sizeof(serial_kinds) / sizeof(serial_kinds[0]); i++) {
		n = strlen(serial_kinds[i].text);
		if (serial_kinds[i].text[n - 1] == ':' ? !strncmp(text, serial_kinds[i].text, n)
						       : !strcmp(text, serial_kinds[i].text)) {
			s->kind = serial_kinds[i].kind;
			break;
		}
	}
	if (s->kind == SERIAL_FILE || s->kind == SERIAL_UNIX) {
		s->path = strchr(text, ':') + 1;
		if (!*s->path)
			return refuse_value(o, value, "the path is empty", why);
	}
	if (s->kind == SERIAL_UNIX && strlen(s->path) > UNIX_PATH_MAX)
		return refuse_value(o, value, "the path of a socket has at most 107 bytes", why);
	if (s->kind == SERIAL_NONE)
		return refuse_value(o, value, "give stdio, null, file:PATH, unix:PATH or pty", why);
	return 0;
}

int set_serial(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	struct config_serial s;

	if (parse_stream(o, value, value, &s, why))
		return -1;
	if (b->serial_count == CONFIG_SERIAL_MAX)
		return refuse_value(o, value, "at most 2 serial ports can be given", why);
	b->c->serial[b->serial_count++] = s;
	return 0;
}

static int check_ports(const struct config *c, const struct option_spec *o, const char *value,
		       struct refusal *why)
{
	if (c->console_count + c->port_count < CONFIG_PORTS_MAX)
		return 0;
	return refuse_value(o, value, "at most 16 consoles and ports can be given", why);
}

int set_console(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	struct config *c = b->c;

	if (check_ports(c, o, value, why) ||
	    parse_stream(o, value, value, &c->console[c->console_count], why))
		return -1;
	c->console_count++;
	return 0;
}

/* What can be a file's name in the guest without being changed there. */
static bool is_port_name(const char *s, size_t n)
{
	static const char marks[] = "._-:@+";
	static const char letters[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (!n || n > CONFIG_PORT_NAME_MAX || strchr(marks, s[0]))
		return false;
	for (; n; n--, s++) {
		if (!strchr(letters, *s) && !strchr(marks, *s))
			return false;
	}
	return true;
}

int set_port(struct config_builder *b, const struct option_spec *o, const char *value,
	     struct refusal *why)
{
	size_t n = strcspn(value, "=");
	struct config *c = b->c;
	struct config_port *p = &c->port[c->port_count];

	if (!is_port_name(value, n))
		return refuse_value(o, value,
				    "a name has 1 to 63 letters, digits and ._-:@+, the first a "
				    "letter or a digit",
				    why);
	if (!value[n])
		return refuse_value(o, value, "give NAME=null, file:PATH, unix:PATH or pty", why);
	if (check_ports(c, o, value, why) || parse_stream(o, value, value + n + 1, &p->stream, why))
		return -1;
	if (p->stream.kind == SERIAL_STDIO)
		return refuse_value(o, value, "a port cannot have the terminal; a --console can",
				    why);
	memcpy(p->name, value, n);
	p->name[n] = '\0';
	for (unsigned i = 0; i < c->port_count; i++) {
		if (strcmp(c->port[i].name, p->name) == 0)
			return refuse_value(o, value, "another port has this name", why);
	}
	p->spec = value;
	c->port_count++;
	return 0;
}

int set_timeout(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	uint64_t ns;

	if (value_parse_duration(value, &ns) < 0 || !ns ||
	    ns > TIMEOUT_MAX_HOURS * (3600 * NS_PER_S))
		return refuse_value(o, value, "give a duration from 1ms to 8760h", why);
	b->c->timeout_ns = ns;
	return 0;
}

int set_until(struct config_builder *b, const struct option_spec *o, const char *value,
	      struct refusal *why)
{
	unsigned s;

	if (strncmp(value, "stage:", 6) != 0) {
		if (!*value || strlen(value) > CONFIG_UNTIL_MAX)
			return refuse_value(o, value, "give 1 to 1024 bytes of text", why);
		b->c->until = UNTIL_TEXT;
		b->c->until_text = value;
		return 0;
	}
	for (s = 0; s < STAGE_COUNT; s++) {
		if (strcmp(value + 6, config_stage_name(s)) != 0)
			continue;
		b->c->until = UNTIL_STAGE;
		b->c->until_stage = s;
		return 0;
	}
	return refuse_value(o, value, "the stages are firmware, bootloader, kernel, init, ready",
			    why);
}

static int parse_action(const char *s, struct config_action *out)
{
	uint64_t n;

	*out = (struct config_action){ACTION_EXIT, -1};
	if (strcmp(s, "reset") == 0) {
		out->kind = ACTION_RESET;
	} else if (strcmp(s, "pause") == 0) {
		out->kind = ACTION_PAUSE;
	} else if (strncmp(s, "exit:", 5) == 0) {
		if (value_parse_number(s + 5, &n) < 0 || n > 255)
			return -ERANGE;
		out->status = (int)n;
	} else if (strcmp(s, "exit") != 0) {
		return -EINVAL;
	}
	return 0;
}

int set_on(struct config_builder *b, const struct option_spec *o, const char *value,
	   struct refusal *why)
{
	size_t n = strcspn(value, "=");
	struct config_action action;
	unsigned e;
	int err;

	for (e = 0; e < EVENT_COUNT; e++) {
		if (strlen(config_event_name(e)) == n &&
		    memcmp(value, config_event_name(e), n) == 0)
			break;
	}
	if (e == EVENT_COUNT || !value[n])
		return refuse_value(o, value,
				    "give EVENT=ACTION; the events are poweroff, reboot, panic "
				    "and triple-fault",
				    why);
	err = parse_action(value + n + 1, &action);
	if (err == -ERANGE)
		return refuse_value(o, value, "the status after exit: is 0 to 255", why);
	if (err < 0)
		return refuse_value(o, value,
				    "the actions are exit, exit:0 to exit:255, reset, "
				    "pause",
				    why);
	if (e == EVENT_WATCHDOG)
		return refuse_later(o, value, why);
	b->c->on[e] = action;
	return 0;
}

int set_exit_port(struct config_builder *b, const struct option_spec *o, const char *value,
		  struct refusal *why)
{
	uint64_t port = 0xf4;

	if (value && (value_parse_port(value, &port) < 0 || port < 1 || port > 0xffff))
		return refuse_value(o, value, "give a port from 1 to 0xffff", why);
	b->c->exit_port = (int)port;
	return 0;
}

int set_report(struct config_builder *b, const struct option_spec *o, const char *value,
	       struct refusal *why)
{
	if (!*value)
		return refuse_value(o, value, "give the name of a folder", why);
	b->c->report_dir = value;
	return 0;
}

int set_dry_run(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	(void)o;
	(void)value;
	(void)why;
	b->c->dry_run = true;
	return 0;
}

int set_verbose(struct config_builder *b, const struct option_spec *o, const char *value,
		struct refusal *why)
{
	(void)o;
	(void)value;
	(void)why;
	if (b->c->log_level < LOG_DEBUG)
		b->c->log_level++;
	return 0;
}

int set_help(struct config_builder *b, const struct option_spec *o, const char *value,
	     struct refusal *why)
{
	(void)o;
	(void)value;
	(void)why;
	b->c->help = true;
	return 0;
}
