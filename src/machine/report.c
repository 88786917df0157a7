/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaves a report of the run behind: result.json, config.yaml, vcpus.txt.
 *
 * Theory of operation: each file is made in memory first, so that parked vCPUs wait for no disk,
 * then written under a temporary name and renamed, so that a reader never sees half a file and a
 * full disk leaves the older one. The folder is opened again for each report; its path is the
 * user's and may have been moved. Nothing is read back.
 *
 * Main loop's thread only. What is left out: the screen and the timeline, which come with the
 * display and the tracer.
 */
#include "machine/report.h"

#include "core/json.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lodge/clock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *const files[] = {"result.json", "vcpus.txt", "config.yaml", REPORT_CONSOLE_LOG,
				    REPORT_SERIAL_LOG};

#define FILE_COUNT (sizeof(files) / sizeof(files[0]))

static bool made_here; /* by report_prepare(), in this process */

static int refuse_dir(struct refusal *why, int err, const char *dir, const char *what)
{
	enum exit_status status =
	    err == EACCES || err == EPERM ? STATUS_PERMISSION : STATUS_CANNOT_CREATE;

	return refuse(why, status, "--report", NULL, "'%.200s': %s: %s", dir, what, strerror(err));
}

/* The folder that dir would be made in. */
static void parent_of(const char *dir, char *out, size_t size)
{
	size_t n = strlen(dir);

	while (n && dir[n - 1] == '/')
		n--;
	while (n && dir[n - 1] != '/')
		n--;
	if (!n)
		snprintf(out, size, ".");
	else
		snprintf(out, size, "%.*s", n < size ? (int)n : (int)size - 1, dir);
}

static int check_only(const char *dir, struct refusal *why)
{
	char parent[4096];
	struct stat st;

	if (stat(dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return refuse_dir(why, ENOTDIR, dir, "is in the way");
		return access(dir, W_OK | X_OK) ? refuse_dir(why, errno, dir, "cannot write") : 0;
	}
	if (errno != ENOENT)
		return refuse_dir(why, errno, dir, "cannot be made");
	parent_of(dir, parent, sizeof(parent));
	if (access(parent, W_OK | X_OK))
		return refuse_dir(why, errno, dir, "cannot be made");
	return 0;
}

/* Makes and removes a file, as a mount may be read-only whatever the mode says. */
static int try_writing(int dir_fd)
{
	static const char name[] = ".lodge-report.tmp";
	int fd = openat(dir_fd, name, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno;
	close(fd);
	unlinkat(dir_fd, name, 0);
	return 0;
}

int report_prepare(const char *dir, bool dry_run, struct refusal *why)
{
	size_t i;
	int fd, err;

	if (json_load_library("--report", why) < 0)
		return -1;
	if (dry_run)
		return check_only(dir, why);
	if (mkdir(dir, 0777) == 0)
		made_here = true;
	else if (errno != EEXIST)
		return refuse_dir(why, errno, dir, "cannot be made");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return refuse_dir(why, errno, dir,
				  errno == ENOTDIR ? "is in the way" : "cannot open");
	err = try_writing(fd);
	for (i = 0; !err && i < FILE_COUNT; i++) {
		if (unlinkat(fd, files[i], 0) && errno != ENOENT)
			err = errno;
	}
	close(fd);
	if (err) {
		report_abandon(dir);
		return refuse_dir(why, err, dir, "cannot write");
	}
	return 0;
}

void report_abandon(const char *dir)
{
	int fd;

	if (!made_here)
		return;
	made_here = false;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	unlinkat(fd, REPORT_CONSOLE_LOG, 0);
	unlinkat(fd, REPORT_SERIAL_LOG, 0);
	close(fd);
	rmdir(dir);
}

/* Puts size bytes under name, whole or not at all. */
static int write_file(int dir_fd, const char *name, const char *text, size_t size)
{
	char temporary[64];
	int fd, err = 0;
	ssize_t n;

	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	while (size && !err) {
		n = write(fd, text, size);
		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(dir_fd, temporary, dir_fd, name))
		err = -errno;
	if (err)
		unlinkat(dir_fd, temporary, 0);
	return err;
}

static void format_utc(int64_t wall_ns, char *out, size_t size)
{
	time_t seconds = (time_t)(wall_ns / (int64_t)NS_PER_S);
	unsigned ms = (unsigned)(wall_ns % (int64_t)NS_PER_S / (int64_t)NS_PER_MS);
	struct tm tm;
	char date[32];

	if (wall_ns < 0 || !gmtime_r(&seconds, &tm) ||
	    !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm)) {
		snprintf(out, size, "1970-01-01T00:00:00.000Z");
		return;
	}
	snprintf(out, size, "%s.%03uZ", date, ms);
}

static struct json_t *seconds(uint64_t ns)
{
	return json_new_real((double)ns / (double)NS_PER_S);
}

static struct json_t *bare_value(const char *s)
{
	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
		return json_new_bool(*s == 't');
	return json_new_integer(strtoll(s, NULL, 10));
}

static void put_setting(void *arg, const struct config_value *v)
{
	struct json_t *list;
	unsigned i;

	if (!v->list) {
		json_put(arg, v->key, v->bare ? bare_value(v->item[0]) : json_new_text(v->item[0]));
		return;
	}
	list = json_new_array();
	for (i = 0; i < v->count; i++)
		json_add(list, json_new_text(v->item[i]));
	json_put(arg, v->key, list);
}

static struct json_t *make_refused(const struct report_input *in)
{
	const struct vcpu_refused *r = &in->verdict->refused;
	struct json_t *o = json_new_object();
	char bytes[3 * sizeof(r->bytes) + 1] = "";
	size_t i;

	for (i = 0; i < r->byte_count && i < sizeof(r->bytes); i++)
		snprintf(&bytes[3 * i], 4, "%02x ", r->bytes[i]);
	if (i)
		bytes[3 * i - 1] = '\0';
	json_put(o, "vcpu", json_new_integer(r->cpu));
	json_put(o, "rip", json_new_address(r->rip));
	json_put(o, "mode_bits", json_new_integer(r->mode_bits));
	json_put(o, "bytes", json_new_text(bytes));
	json_put(o, "instruction", json_new_text(in->instruction));
	json_put(o, "detail", json_new_text(r->detail));
	return o;
}

static struct json_t *make_host(const struct report_input *in)
{
	struct json_t *o = json_new_object();
	struct utsname u;

	json_put(o, "kernel", json_new_text(uname(&u) ? NULL : u.release));
	json_put(o, "kvm", json_new_text(kvm_kind_name(in->kvm)));
	return o;
}

static struct json_t *make_kernel(const struct boot_info *b)
{
	struct json_t *o = json_new_object();

	json_put(o, "kind", json_new_text(b->kind));
	json_put(o, "version", json_new_text(b->version));
	json_put(o, "compression", json_new_text(b->compression));
	json_put(o, "from_cache", json_new_bool(b->from_cache));
	json_put(o, "bytes", json_new_unsigned(b->kernel_bytes));
	json_put(o, "initrd_bytes", json_new_unsigned(b->initrd_bytes));
	return o;
}

static struct json_t *make_vcpus(const struct report_input *in)
{
	struct json_t *list = json_new_array(), *o;
	unsigned i;

	for (i = 0; i < in->vcpu_count; i++) {
		o = json_new_object();
		json_put(o, "exits", json_new_unsigned(in->vcpu[i].exits));
		json_put(o, "io", json_new_unsigned(in->vcpu[i].io));
		json_put(o, "mmio", json_new_unsigned(in->vcpu[i].mmio));
		json_put(o, "coalesced", json_new_unsigned(in->vcpu[i].coalesced));
		json_add(list, o);
	}
	return list;
}

static struct json_t *make_console(const struct report_input *in)
{
	struct json_t *o = json_new_object();

	json_put(o, "bytes", json_new_unsigned(in->console_bytes));
	json_put(o, "lost_bytes", json_new_unsigned(in->console_lost_bytes));
	return o;
}

static struct json_t *make_counters(const struct tpr_counter *c, unsigned count)
{
	struct json_t *o = json_new_object();

	for (unsigned i = 0; i < count; i++)
		json_put(o, c[i].name, json_new_unsigned(c[i].value));
	return o;
}

static struct json_t *make_tpr(const struct report_tpr *t)
{
	const struct tpr_counters *c = &t->counters;
	struct json_t *o = json_new_object();

	json_put(o, "on", json_new_bool(t->on));
	json_put(o, "why", json_new_text(t->why));
	json_put(o, "reports", json_new_unsigned(c->reports));
	json_put(o, "patched", make_counters(c->patched, c->patched_count));
	json_put(o, "refused", make_counters(c->refused, c->refused_count));
	json_put(o, "polls", json_new_unsigned(t->polls));
	json_put(o, "repairs", json_new_unsigned(c->repairs));
	json_put(o, "arms", json_new_unsigned(c->arms));
	json_put(o, "losses", json_new_unsigned(c->losses));
	json_put(o, "activations", json_new_unsigned(c->activations));
	json_put(o, "taken_back", json_new_unsigned(c->taken_back));
	return o;
}

static struct json_t *make_disk(const struct report_disk *d)
{
	static const char *const names[] = {
	    [BLOCK_READ] = "reads",
	    [BLOCK_WRITE] = "writes",
	    [BLOCK_FLUSH] = "flushes",
	    [BLOCK_DISCARD] = "discards",
	    [BLOCK_WRITE_ZEROES] = "write_zeroes",
	};
	struct json_t *o = json_new_object();

	json_put(o, "file", json_new_text(d->path));
	json_put(o, "engine", json_new_text(d->engine));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_put(o, names[i], json_new_unsigned(d->counters.requests[i]));
	json_put(o, "read_bytes", json_new_unsigned(d->counters.bytes[BLOCK_READ]));
	json_put(o, "written_bytes", json_new_unsigned(d->counters.bytes[BLOCK_WRITE]));
	json_put(o, "errors", json_new_unsigned(d->counters.errors));
	json_put(o, "pauses", json_new_unsigned(d->counters.pauses));
	return o;
}

static struct json_t *make_disks(const struct report_input *in)
{
	struct json_t *list = json_new_array();

	for (unsigned i = 0; i < in->config->disk_count; i++)
		json_add(list, make_disk(&in->disk[i]));
	return list;
}

static struct json_t *make_nets(const struct report_input *in)
{
	struct json_t *list = json_new_array();

	for (unsigned i = 0; i < in->config->net_count; i++) {
		const struct report_net *n = &in->net[i];
		struct json_t *o = json_new_object();

		json_put(o, "net", json_new_text(in->config->net[i].spec));
		json_put(o, "sent_packets", json_new_unsigned(n->sent_packets));
		json_put(o, "sent_bytes", json_new_unsigned(n->sent_bytes));
		json_put(o, "received_packets", json_new_unsigned(n->received_packets));
		json_put(o, "received_bytes", json_new_unsigned(n->received_bytes));
		json_put(o, "dropped_packets", json_new_unsigned(n->dropped_packets));
		json_add(list, o);
	}
	return list;
}

static struct json_t *make_port(const char *name, const struct report_port *p)
{
	struct json_t *o = json_new_object();

	json_put(o, "port", json_new_text(name));
	json_put(o, "bytes", json_new_unsigned(p->bytes));
	json_put(o, "lost_bytes", json_new_unsigned(p->lost_bytes));
	json_put(o, "received_bytes", json_new_unsigned(p->received_bytes));
	return o;
}

static struct json_t *make_ports(const struct report_input *in)
{
	const struct report_port *p = in->port;
	const struct config *c = in->config;
	struct json_t *list = json_new_array();
	char name[20];

	for (unsigned i = 0; i < c->console_count; i++) {
		snprintf(name, sizeof(name), "console%u", i);
		json_add(list, make_port(name, p++));
	}
	for (unsigned i = 0; i < c->port_count; i++)
		json_add(list, make_port(c->port[i].name, p++));
	return list;
}

static void put_verdict(struct json_t *root, const struct report_input *in)
{
	const struct verdict *v = in->verdict;

	json_put(root, "ended", json_new_bool(v != NULL));
	json_put(root, "status", v ? json_new_integer(v->status) : json_new_text(NULL));
	json_put(root, "verdict", json_new_text(v ? v->name : "running"));
	json_put(root, "text", json_new_text(v ? v->text : "the guest runs"));
	/* Set for whatever a vCPU stopped at, which is never in mode 0. */
	if (v && v->refused.mode_bits)
		json_put(root, "stopped_at", make_refused(in));
}

static void make_result(const struct report_input *in, FILE *f)
{
	struct json_t *root = json_new_object(), *config = json_new_object();
	char start[64];

	format_utc(in->start_wall_ns, start, sizeof(start));
	json_put(root, "lodge", json_new_text(LODGE_VERSION));
	put_verdict(root, in);
	json_put(root, "start", json_new_text(start));
	json_put(root, "duration_s", seconds(in->duration_ns));
	json_put(root, "first_output_s",
		 in->first_output_ns == REPORT_NEVER ? json_new_text(NULL)
						     : seconds(in->first_output_ns));
	json_put(root, "resets", json_new_integer(in->resets));
	json_put(root, "host", make_host(in));
	if (in->boot)
		json_put(root, "kernel", make_kernel(in->boot));
	json_put(root, "console", make_console(in));
	json_put(root, "vcpus", make_vcpus(in));
	json_put(root, "disks", make_disks(in));
	json_put(root, "networks", make_nets(in));
	json_put(root, "ports", make_ports(in));
	if (in->tpr)
		json_put(root, "tpr", make_tpr(in->tpr));
	config_each(in->config, put_setting, config);
	json_put(root, "config", config);
	json_write(root, f);
}

static void make_config(const struct report_input *in, FILE *f)
{
	config_dump(in->config, f);
}

static void make_vcpu_text(const struct report_input *in, FILE *f)
{
	in->dump_vcpus(in->arg, f);
}

static int write_made(int dir_fd, const char *name, const struct report_input *in,
		      void (*make)(const struct report_input *in, FILE *f))
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int err = 0;

	if (!f)
		return -errno;
	make(in, f);
	if (ferror(f))
		err = -ENOMEM;
	if (fclose(f) && !err)
		err = -ENOMEM;
	if (!err)
		err = write_file(dir_fd, name, text, size);
	free(text);
	return err;
}

int report_write(const char *dir, const struct report_input *in)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0, one;

	if (fd < 0)
		return -errno;
	made_here = false;
	if (in->dump_vcpus)
		err = write_made(fd, "vcpus.txt", in, make_vcpu_text);
	one = write_made(fd, "config.yaml", in, make_config);
	err = err ? err : one;
	/* Last: who waits for result.json finds the rest. */
	one = write_made(fd, "result.json", in, make_result);
	err = err ? err : one;
	close(fd);
	return err;
}
