// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Wiring of the TPR patcher: its vCPUs, its ROM, its port, its place in the main loop.
 *
 * The ROM is there and served whatever --tpr-patch says: a guest that hibernated with patched code
 * may wake up here. Only where patching is on are accesses reported, patched, and vCPUs armed.
 */
#include "machine/machine_internal.h"

#include <lodge/kvm_survey.h>
#include <lodge/log.h>

#include "machine/disasm.h"
#include "machine/layout.h"
#include "machine/report.h"
#include "tpr/rom.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TRACES_MAX   1024u
#define PATCHED_TEXT "tpr: vCPU %u: patched 0x%08x: %s -> %s"

static int get_view(void *arg, unsigned cpu, struct vcpu_view *out)
{
	struct machine *m = arg;

	return vcpu_get_view(m->vcpu[cpu], out);
}

static int get_apic(void *arg, unsigned cpu, struct vcpu_apic *out)
{
	struct machine *m = arg;

	return vcpu_get_apic(m->vcpu[cpu], out);
}

static int set_rip(void *arg, unsigned cpu, uint64_t rip)
{
	struct machine *m = arg;

	return vcpu_set_rip(m->vcpu[cpu], rip);
}

static int set_vapic(void *arg, unsigned cpu, gpa_t a)
{
	struct machine *m = arg;

	return vcpu_set_vapic(m->vcpu[cpu], a);
}

static int report(void *arg, unsigned cpu, bool on)
{
	struct machine *m = arg;

	return vcpu_report_tpr(m->vcpu[cpu], on);
}

static void hold(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	vcpu_hold(m->vcpu[cpu]);
}

static void unhold(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	vcpu_unhold(m->vcpu[cpu]);
}

static unsigned current(void *arg)
{
	(void)arg;
	return vcpu_current();
}

static void wake(void *arg)
{
	struct machine *m = arg;

	loop_post(m->loop, &m->tpr.task);
}

static void patched(void *arg, const struct tpr_trace *t)
{
	struct machine *m = arg;
	char before[96], after[96];

	disasm_format(t->before, t->before_length, 32, t->ip, before, sizeof(before));
	disasm_format(t->after, t->after_length, 32, t->ip, after, sizeof(after));
	/* Each of a usual guest's some tens of sites is told; a guest can make any number. */
	if (m->tpr.traces < TRACES_MAX) {
		m->tpr.traces++;
		log_info(PATCHED_TEXT, t->cpu, t->ip, before, after);
	} else {
		log_guest(LOG_INFO, PATCHED_TEXT, t->cpu, t->ip, before, after);
	}
}

static const struct tpr_ops quiet_ops = {
    .get_view = get_view,
    .get_apic = get_apic,
    .set_rip = set_rip,
    .set_vapic = set_vapic,
    .report = report,
    .hold = hold,
    .unhold = unhold,
    .current = current,
    .wake = wake,
};

static void serve(void *arg)
{
	struct machine *m = arg;

	tpr_serve(m->tpr.patcher);
}

static void wanted(struct task *t)
{
	struct machine *m = container_of(t, struct machine, tpr.task);

	/* One stop serves all that wait; their other tasks then find nothing left to do. */
	if (tpr_pending(m->tpr.patcher) && machine_while_parked(m, serve, m) >= 0)
		loop_post(m->loop, t);
}

void pc_tpr_access(void *arg, unsigned cpu, uint64_t rip, bool is_write)
{
	struct machine *m = arg;

	tpr_access(m->tpr.patcher, cpu, rip, is_write);
}

void pc_tpr_vapic_lost(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	tpr_vapic_lost(m->tpr.patcher, cpu);
}

/* Whether accesses are to be patched, and why not. */
static int decide(struct machine *m, struct refusal *why)
{
	struct kvm_tpr_survey survey = {false, "--tpr-patch off"};

	if (m->config->tpr_patch != TPR_PATCH_OFF)
		kvm_survey_tpr(&survey);
	m->tpr.on = survey.patch;
	m->tpr.why = survey.text;
	if (m->config->tpr_patch == TPR_PATCH_ON && !survey.patch)
		return refuse(why, STATUS_UNAVAILABLE, NULL, "--tpr-patch",
			      "'on' cannot be had on this host: %s", survey.text);
	return 0;
}

/* The ROM's request for an exit: being served in the kernel is all that it needs. */
static void open_poll_port(struct machine *m)
{
	m->tpr.poll_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->tpr.poll_fd < 0)
		log_info("tpr: polls are not counted: %s", strerror(errno));
	else
		vm_port_event(m->vm, TPR_ROM_PORT, 4, m->tpr.poll_fd);
}

int pc_tpr_build(struct machine *m, struct refusal *why)
{
	struct tpr_params p = {.mem = m->mem, .ports = m->ports, .cpus = m->config->cpus, .arg = m};
	int err;

	if (decide(m, why))
		return -1;
	m->tpr.ops = quiet_ops;
	if (log_level() >= LOG_INFO)
		m->tpr.ops.patched = patched;
	p.ops = &m->tpr.ops;
	p.patch = m->tpr.on;
	err = tpr_create(&p, &m->tpr.patcher);
	if (err)
		return refuse_errno(why, -err, NULL, "tpr", NULL);
	machine_own(m, tpr_device(m->tpr.patcher));
	m->tpr.task.fn = wanted;
	if (m->tpr.on && m->vm)
		open_poll_port(m);
	return 0;
}

void pc_tpr_close(struct machine *m)
{
	if (m->tpr.poll_fd >= 0)
		close(m->tpr.poll_fd);
	m->tpr.poll_fd = -1;
}

int pc_tpr_start(struct machine *m, struct refusal *why)
{
	int err = tpr_place_rom(m->tpr.patcher, LAYOUT_OPTION_ROM);

	if (err)
		return refuse_errno(why, -err, NULL, "tpr", "option ROM");
	err = tpr_start(m->tpr.patcher);
	if (!err)
		return 0;
	if (m->config->tpr_patch == TPR_PATCH_ON)
		return refuse(why, STATUS_UNAVAILABLE, NULL, "--tpr-patch",
			      "'on' cannot be had on this host: KVM_TPR_ACCESS_REPORTING: %s",
			      strerror(-err));
	m->tpr.on = false;
	m->tpr.why = "this KVM does not report accesses";
	log_info("tpr: %s: %s", m->tpr.why, strerror(-err));
	return 0;
}

void pc_tpr_report(struct machine *m, struct report_tpr *out)
{
	uint64_t polls = 0;

	if (m->tpr.poll_fd >= 0 && read(m->tpr.poll_fd, &polls, sizeof(polls)) == sizeof(polls))
		m->tpr.polls += polls;
	*out = (struct report_tpr){.on = m->tpr.on, .why = m->tpr.why, .polls = m->tpr.polls};
	tpr_get_counters(m->tpr.patcher, &out->counters);
}

static uint64_t sum(const struct tpr_counter *c, unsigned count)
{
	uint64_t n = 0;

	while (count)
		n += c[--count].value;
	return n;
}

/* "tpr: patched: load 3, store 8"; nothing if all are 0. */
static void say_each(const char *what, const struct tpr_counter *c, unsigned count)
{
	char line[1024] = "";
	size_t used = 0;

	for (unsigned i = 0; i < count && used < sizeof(line); i++) {
		if (c[i].value)
			used += (size_t)snprintf(line + used, sizeof(line) - used, "%s %s %llu",
						 used ? "," : "", c[i].name,
						 (unsigned long long)c[i].value);
	}
	if (used)
		log_info("tpr: %s:%s", what, line);
}

void pc_tpr_say(struct machine *m)
{
	const struct tpr_counters *c;
	struct report_tpr r;

	pc_tpr_report(m, &r);
	c = &r.counters;
	if (!c->reports && !c->activations)
		return;
	log_info("tpr: %llu reports, %llu instructions patched, %llu refusals, %llu polls, %llu "
		 "lost writes repaired, %llu taken back",
		 (unsigned long long)c->reports,
		 (unsigned long long)sum(c->patched, c->patched_count),
		 (unsigned long long)sum(c->refused, c->refused_count), (unsigned long long)r.polls,
		 (unsigned long long)c->repairs, (unsigned long long)c->taken_back);
	say_each("patched", c->patched, c->patched_count);
	say_each("refused", c->refused, c->refused_count);
}
