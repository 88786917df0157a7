// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The life of a machine: create, run, reset, report, destroy.
 *
 * Theory of operation: machine_create() goes from what can be refused cheaply to what costs. KVM
 * makes the VM on another thread meanwhile, but is asked last what became of it, so its silence or
 * its failure never changes which of several faults is told (machine.h). machine_run() is the main
 * loop: it lets the vCPUs go and waits until a request (requests.c) ends the run.
 * Destroying is the reverse of creating. While the guest runs, only reports and resets allocate.
 */
#include "machine/machine_internal.h"

#include <lodge/log.h>

#include "machine/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Output that KVM gathered waits for the next exit, and a guest that falls asleep right after
 * writing makes none. KVM tells nobody that it gathers, but a driver looks at the port's status or
 * its interrupt before it writes, which is an exit: so the ring is looked at a little after an
 * exit, and while there was something in it. For a guest that writes blindly after it has slept,
 * there is a second timer, so slow that an idle guest costs next to nothing.
 */
#define DRAIN_NS      (20 * NS_PER_MS)
#define DRAIN_IDLE_NS (250 * NS_PER_MS)

/*
 * A vCPU leaves the guest within microseconds, or when the host's kernel lets it: while a page of
 * its memory comes from swap, or from a file on a server that is gone, no signal reaches it. So
 * whoever stops the vCPUs waits for so long, and then does without.
 */
#define PAUSE_LIMIT_NS (5 * NS_PER_S)

void machine_own(struct machine *m, struct device *d)
{
	d->older = m->newest;
	m->newest = d;
}

int machine_pause(struct machine *m)
{
	uint64_t until = clock_now_ns(clock_host()) + PAUSE_LIMIT_NS;

	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_pause_begin(m->vcpu[i]);
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		if (!vcpu_pause(m->vcpu[i], until))
			return (int)i;
	}
	return -1;
}

void machine_resume(struct machine *m)
{
	for (unsigned i = 0; m->running && i < m->vcpu_count; i++)
		vcpu_resume(m->vcpu[i]);
}

int machine_while_parked(struct machine *m, void (*fn)(void *arg), void *arg)
{
	int stuck = machine_pause(m);

	if (stuck < 0)
		fn(arg);
	machine_resume(m);
	requests_hold_vcpus(m);
	return stuck;
}

void machine_hear_out(struct machine *m)
{
	vm_drain_coalesced(m->vm, m->ports, m->mmio);
	consoles_tell_now(m);
}

/* False: one of them may still write to guest memory. */
static bool reset_devices(struct machine *m)
{
	for (struct device *d = m->newest; d; d = d->older) {
		device_reset(d);
		if (d->stuck)
			return false;
	}
	return true;
}

static int reset_vcpus(struct machine *m, struct refusal *why)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		if (vcpu_reset(m->vcpu[i], i ? NULL : &m->entry, why))
			return -1;
	}
	return pc_tpr_start(m, why);
}

int machine_restart(struct machine *m, struct refusal *why)
{
	int stuck = machine_pause(m);
	int err;

	if (stuck >= 0)
		return refuse(why, STATUS_HOST, NULL, "reset", STUCK_TEXT, (unsigned)stuck);
	machine_hear_out(m);
	loop_timer_cancel(m->loop, &m->panic_grace);
	m->panic_noted = m->panic_over = false;
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_release(m->vcpu[i]);
	if (!reset_devices(m))
		return refuse(why, STATUS_HOST, NULL, "reset",
			      "storage does not answer: what is in work does not end");
	err = gmem_discard(m->mem);
	if (err)
		return refuse_errno(why, -err, NULL, "memory", "discard");
	if (vm_reset(m->vm, why) || guest_load(m, why) || reset_vcpus(m, why))
		return -1;
	consoles_reset(m);
	m->resets++;
	return 0;
}

/* Any thread. All but the first in 20 ms find the timer set. */
static void guest_exited(void *arg)
{
	struct machine *m = arg;

	if (!atomic_load_explicit(&m->drain_set, memory_order_relaxed) &&
	    !atomic_exchange(&m->drain_set, true))
		loop_timer_set_after(m->loop, &m->drain, DRAIN_NS);
}

static void drain_due(struct timer *t)
{
	struct machine *m = container_of(t, struct machine, drain);

	/* First: who exits from here on sets it anew. */
	atomic_store(&m->drain_set, false);
	if (vm_drain_coalesced(m->vm, m->ports, m->mmio))
		guest_exited(m);
}

static void drain_idle_due(struct timer *t)
{
	struct machine *m = container_of(t, struct machine, drain_idle);

	if (vm_drain_coalesced(m->vm, m->ports, m->mmio))
		guest_exited(m);
	loop_timer_set_after(m->loop, t, DRAIN_IDLE_NS);
}

static void timeout_due(struct timer *t)
{
	machine_request(container_of(t, struct machine, timeout), REQUEST_TIMEOUT, 0);
}

static void power_grace_due(struct timer *t)
{
	struct machine *m = container_of(t, struct machine, power_grace);

	machine_request(m, REQUEST_SIGNAL, m->power_signal);
}

static int create_vcpus(struct machine *m, struct refusal *why)
{
	m->host = (struct vcpu_host){
	    .ports = m->ports,
	    .mmio = m->mmio,
	    .arg = m,
	    .exited = guest_exited,
	    .stopped = requests_vcpu_stopped,
	    .tpr_access = pc_tpr_access,
	    .vapic_lost = pc_tpr_vapic_lost,
	};
	for (unsigned i = 0; i < m->config->cpus; i++) {
		struct vcpu_params p = {
		    .id = i,
		    .count = m->config->cpus,
		    .host = &m->host,
		    .cpu_features = m->config->cpu_features,
		};

		if (vcpu_create(m->vm, &p, &m->vcpu[i], why))
			return -1;
		m->vcpu_count++;
	}
	return reset_vcpus(m, why);
}

/* The guest's highest address must be one that the host's processors can form. */
static int check_address_space(const struct machine *m, struct refusal *why)
{
	const struct gmem_region *top = gmem_region(m->mem, gmem_region_count(m->mem) - 1);
	unsigned bits = vm_physical_bits(m->vm);

	if (top->base + top->size <= 1ull << bits)
		return 0;
	return refuse(why, STATUS_UNAVAILABLE, NULL, "--memory",
		      "%llu MiB need more than this host's %u bits of guest physical address",
		      (unsigned long long)(m->config->memory >> 20), bits);
}

/* A dry run has all devices, on lines that lead nowhere, so that two on one port are refused. */
static int create_hardware(struct machine *m, struct refusal *why)
{
	if (m->config->dry_run)
		return pc_build(m, why);
	m->irqs = vm_irq_chip(m->vm);
	vm_take_doorbells(m->vm, m->ports, m->mmio);
	if (pc_build(m, why) || vm_complete(m->vm, m->mem, why) || check_address_space(m, why))
		return -1;
	return create_vcpus(m, why) || signals_open(m, why) ? -1 : 0;
}

static int create(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;
	int err;

	if (c->report_dir && report_prepare(c->report_dir, c->dry_run, why))
		return -1;
	if (guest_open_files(m, why))
		return -1;
	err = loop_create(clock_host(), &m->loop);
	if (!err)
		err = bus_create("port", 0xffff, &m->ports);
	if (!err)
		err = bus_create("mmio", UINT64_MAX, &m->mmio);
	if (err)
		return refuse_errno(why, -err, NULL, NULL, "start");
	if (!c->dry_run && vm_begin(&m->vm, why))
		return -1;
	if (backends_open(m, why))
		return -1;
	if (guest_create_memory(m, why) || guest_load(m, why) || consoles_open(m, why))
		return -1;
	return create_hardware(m, why);
}

int machine_create(const struct config *c, struct machine **out, struct refusal *why)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return refuse(why, STATUS_HOST, NULL, NULL, "out of memory");
	if (!c->dry_run)
		signals_block();
	m->config = c;
	m->files.kernel = -1;
	m->tpr.poll_fd = -1;
	requests_init(m);
	timer_init(&m->timeout, timeout_due);
	timer_init(&m->power_grace, power_grace_due);
	timer_init(&m->drain, drain_due);
	timer_init(&m->drain_idle, drain_idle_due);
	if (create(m, why)) {
		machine_destroy(m);
		if (c->report_dir)
			report_abandon(c->report_dir);
		return -1;
	}
	*out = m;
	return 0;
}

struct dump {
	struct machine *m;
	FILE *f;
};

static void dump_vcpus(void *arg)
{
	struct dump *d = arg;

	for (unsigned i = 0; i < d->m->vcpu_count; i++)
		vcpu_dump(d->m->vcpu[i], d->f);
}

void machine_dump_vcpus(void *machine, FILE *f)
{
	struct machine *m = machine;
	struct dump d = {m, f};
	int stuck = (int)m->abandoned - 1;

	if (stuck < 0)
		stuck = machine_while_parked(m, dump_vcpus, &d);
	/* Of the others, too, nothing: the code bytes might lie in the same lost page. */
	if (stuck >= 0)
		fprintf(f, STUCK_TEXT "\n", (unsigned)stuck);
}

int machine_write_report(struct machine *m, const struct verdict *v)
{
	struct vcpu_counters counters[CONFIG_CPUS_MAX];
	struct report_tpr tpr;
	struct report_input in = {
	    .config = m->config,
	    .verdict = v,
	    .instruction = m->instruction[0] ? m->instruction : NULL,
	    .kvm = kvm_host_kind(),
	    .boot = &m->boot,
	    .start_wall_ns = m->start_wall_ns,
	    .duration_ns = clock_now_ns(loop_clock(m->loop)) - m->start_ns,
	    .vcpu = counters,
	    .vcpu_count = m->vcpu_count,
	    .resets = m->resets,
	    .tpr = &tpr,
	    .dump_vcpus = machine_dump_vcpus,
	    .arg = m,
	};

	pc_tpr_report(m, &tpr);
	backends_report(m, &in);
	pc_virtio_report(m, &in);
	consoles_report(m, &in);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_counters(m->vcpu[i], &counters[i]);
	return report_write(m->config->report_dir, &in);
}

static int refuse_thread(struct verdict *v, const char *what, int err)
{
	v->status = STATUS_HOST;
	v->name = "host-error";
	snprintf(v->text, sizeof(v->text), "cannot start the thread of %s: %s", what,
		 strerror(-err));
	return -1;
}

static int start_threads(struct machine *m, struct verdict *v)
{
	int err = io_start(m);
	char name[16];

	if (err)
		return refuse_thread(v, "disks and networks", err);
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		err = vcpu_start(m->vcpu[i]);
		snprintf(name, sizeof(name), "vCPU %u", i);
		if (err)
			return refuse_thread(v, name, err);
	}
	return 0;
}

static void tell_stuck(struct verdict *v, unsigned stuck)
{
	size_t used = strlen(v->text);

	snprintf(v->text + used, sizeof(v->text) - used, "; " STUCK_TEXT, stuck);
}

int machine_run(struct machine *m, struct verdict *v)
{
	struct clock *clock = loop_clock(m->loop);
	int err;

	m->start_wall_ns = clock_wall_ns(clock);
	m->start_ns = clock_now_ns(clock);
	consoles_start_at(m, m->start_ns);
	if (start_threads(m, v))
		return -1;
	if (m->config->timeout_ns)
		loop_timer_set(m->loop, &m->timeout, m->start_ns + m->config->timeout_ns);
	loop_timer_set_after(m->loop, &m->drain_idle, DRAIN_IDLE_NS);
	m->running = true;
	machine_resume(m);
	err = loop_run(m->loop);
	m->running = false;
	m->abandoned = (unsigned)(machine_pause(m) + 1);
	if (!m->abandoned)
		vm_drain_coalesced(m->vm, m->ports, m->mmio);
	if (!m->ended) {
		m->verdict.status = STATUS_INTERNAL;
		m->verdict.name = "internal-error";
		snprintf(m->verdict.text, sizeof(m->verdict.text), "event loop: %s",
			 strerror(-err));
	}
	if (m->abandoned)
		tell_stuck(&m->verdict, m->abandoned - 1);
	pc_tpr_say(m);
	if (m->config->report_dir && machine_write_report(m, &m->verdict))
		log_warning("%s: the report could not be written whole", m->config->report_dir);
	*v = m->verdict;
	return 0;
}

/*
 * Gives back what the user sees, and leaves the rest to the end of the process: a vCPU that is
 * stuck, or storage, may go on any time and has the right to all of it.
 */
static void abandon(struct machine *m)
{
	static struct machine *left; /* for leak checkers: still in use */

	left = m;
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_abandon(m->vcpu[i]);
	consoles_close(left, chr_finish, observer_finish);
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	signals_close(m);
	if (m->abandoned) {
		abandon(m);
		return;
	}
	while (m->vcpu_count)
		vcpu_destroy(m->vcpu[--m->vcpu_count]);
	io_stop(m);
	backends_quiesce(m);
	if (!backends_settle(m)) {
		abandon(m);
		return;
	}
	/* KVM need not be told of each, which takes its time: the VM ends whole. */
	if (m->mmio) {
		bus_set_doorbell_ops(m->ports, NULL, NULL);
		bus_set_doorbell_ops(m->mmio, NULL, NULL);
	}
	while (m->newest) {
		struct device *d = m->newest;

		m->newest = d->older;
		d->ops->destroy(d);
	}
	backends_close(m);
	vm_destroy(m->vm);
	pc_tpr_close(m);
	consoles_close(m, chr_close, observer_destroy);
	gmem_destroy(m->mem);
	bus_destroy(m->mmio);
	bus_destroy(m->ports);
	loop_destroy(m->io.loop);
	loop_destroy(m->loop);
	guest_close_files(m);
	requests_fini(m);
	free(m);
}
