// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What vCPUs, devices, the console and the user ask of the machine, and what comes of it.
 *
 * Theory of operation: a request is put into a small mailbox by any thread; all but a panic stop
 * the vCPUs at once, so that a guest that asked for power off does not run on. The main loop then
 * takes them in order, asks verdict_decide(), and ends, resets, or stands still.
 *
 * A panic is not acted on at once: the lines that say why come after the first, and many guests are
 * told to reboot right away. So it is noted, and whatever comes next (the end mark, a reboot, one
 * second) completes it.
 */
#include "machine/machine_internal.h"

#include <lodge/log.h>

#include "machine/disasm.h"
#include "machine/report.h"
#include "machine/verdict.h"

#include <string.h>

#define PANIC_GRACE_NS (1 * NS_PER_S)
#define PANIC_TAIL_NS  (50 * NS_PER_MS)

static bool stops_vcpus(enum request what)
{
	return what != REQUEST_PANIC;
}

/* Unless one of its kind waits already. */
static void put(struct requests *r, const struct request_entry *e)
{
	unsigned i = 0;

	pthread_mutex_lock(&r->lock);
	while (i < r->count && r->entry[i].what != e->what)
		i++;
	if (i == r->count)
		r->entry[r->count++] = *e;
	pthread_mutex_unlock(&r->lock);
}

static void post(struct machine *m, enum request what, int value,
		 const struct vcpu_refused *refused)
{
	struct request_entry e = {.what = what, .value = value, .has_refused = refused != NULL};
	struct requests *r = &m->requests;

	if (refused)
		e.refused = *refused;
	put(r, &e);
	for (unsigned i = 0; stops_vcpus(what) && i < m->vcpu_count; i++)
		vcpu_pause_begin(m->vcpu[i]);
	loop_post(m->loop, &r->task);
}

void requests_hold_vcpus(struct machine *m)
{
	bool waits = false;

	pthread_mutex_lock(&m->requests.lock);
	for (unsigned i = 0; i < m->requests.count; i++)
		waits = waits || stops_vcpus(m->requests.entry[i].what);
	pthread_mutex_unlock(&m->requests.lock);
	for (unsigned i = 0; waits && i < m->vcpu_count; i++)
		vcpu_pause_begin(m->vcpu[i]);
}

void machine_request(struct machine *m, enum request what, int value)
{
	post(m, what, value, NULL);
}

void requests_vcpu_stopped(void *arg, enum vcpu_stop why, const struct vcpu_refused *what)
{
	static const enum request requests[] = {
	    [VCPU_STOP_TRIPLE_FAULT] = REQUEST_TRIPLE_FAULT,
	    [VCPU_STOP_KVM_REFUSED] = REQUEST_KVM_REFUSED,
	    [VCPU_STOP_FAILED] = REQUEST_VCPU_FAILED,
	};

	post(arg, requests[why], 0, what);
}

static void end(struct machine *m, const struct verdict *v)
{
	m->verdict = *v;
	m->ended = true;
	m->running = false;
	loop_stop(m->loop);
}

/* Not the guest's: neither a reset nor standing still undoes it. */
static bool is_of_user(enum request what)
{
	return what == REQUEST_UNTIL || what == REQUEST_TIMEOUT || what == REQUEST_SIGNAL ||
	       what == REQUEST_CONSOLE_QUIT;
}

/* vCPUs are parked: what they asked for until now came from before the reset. */
static void forget_guest(struct requests *r)
{
	unsigned kept = 0;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->count; i++) {
		if (is_of_user(r->entry[i].what))
			r->entry[kept++] = r->entry[i];
	}
	r->count = kept;
	pthread_mutex_unlock(&r->lock);
}

static void restart(struct machine *m)
{
	struct refusal why = {0};
	struct verdict v = {.name = "internal-error"};

	if (!machine_restart(m, &why)) {
		forget_guest(&m->requests);
		return;
	}
	v.status = why.status ? why.status : STATUS_INTERNAL;
	snprintf(v.text, sizeof(v.text), "the guest could not be started again: %.*s",
		 (int)sizeof(v.text) - 64, why.text);
	end(m, &v);
}

static void carry_out(struct machine *m, const struct request_entry *e)
{
	struct verdict_cause cause = {.what = e->what, .value = e->value, .kvm = kvm_host_kind()};
	char panic_text[256] = "";
	struct verdict v;

	if (e->what == REQUEST_PANIC)
		consoles_panic_text(m, panic_text, sizeof(panic_text));
	if (panic_text[0])
		cause.detail = panic_text;
	if (e->has_refused) {
		disasm_format(e->refused.bytes, e->refused.byte_count, e->refused.mode_bits,
			      e->refused.rip, m->instruction, sizeof(m->instruction));
		cause.refused = &e->refused;
		cause.instruction = m->instruction;
	}
	switch (verdict_decide(m->config, &cause, &v)) {
	case ACTION_EXIT:
		end(m, &v);
		break;
	case ACTION_RESET:
		log_guest(LOG_INFO, "%s; starting the guest again", v.text);
		restart(m);
		break;
	case ACTION_PAUSE:
		log_warning("%s; the guest stands still (--on), SIGTERM ends it", v.text);
		m->running = false;
		machine_pause(m);
		break;
	}
}

/* After a panic, whatever the guest does next is part of it. */
static bool completes_panic(enum request what)
{
	return what == REQUEST_REBOOT || what == REQUEST_POWEROFF || what == REQUEST_TRIPLE_FAULT;
}

static void handle_one(struct machine *m, struct request_entry *e)
{
	if (m->panic_noted && completes_panic(e->what)) {
		e->what = REQUEST_PANIC;
		m->panic_over = true;
	}
	if (e->what == REQUEST_PANIC && !m->panic_over) {
		if (!m->panic_noted)
			loop_timer_set_after(m->loop, &m->panic_grace, PANIC_GRACE_NS);
		m->panic_noted = true;
		return;
	}
	carry_out(m, e);
}

static bool is_of_console(enum request what)
{
	return what == REQUEST_PANIC || what == REQUEST_UNTIL;
}

/*
 * Empties the mailbox into batch; how many. What the console was seen to say goes first: it was
 * said before the access that asked for the rest, but is noticed later.
 */
static unsigned take_all(struct requests *r, struct request_entry *batch)
{
	unsigned count = 0;

	pthread_mutex_lock(&r->lock);
	for (int console = 1; console >= 0; console--) {
		for (unsigned i = 0; i < r->count; i++) {
			if (is_of_console(r->entry[i].what) == console)
				batch[count++] = r->entry[i];
		}
	}
	r->count = 0;
	pthread_mutex_unlock(&r->lock);
	return count;
}

static void requests_ready(struct task *t)
{
	struct machine *m = container_of(t, struct machine, requests.task);
	struct request_entry batch[REQUESTS_MAX];
	unsigned count, resets;

	machine_hear_out(m);
	count = take_all(&m->requests, batch);
	resets = m->resets;
	for (unsigned i = 0; i < count && !m->ended; i++) {
		/* What a guest asked for that was then reset, or stands still, is void. */
		if ((m->running && m->resets == resets) || is_of_user(batch[i].what))
			handle_one(m, &batch[i]);
	}
	machine_resume(m);
}

static void panic_grace_over(struct timer *t)
{
	struct machine *m = container_of(t, struct machine, panic_grace);

	m->panic_over = true;
	machine_request(m, REQUEST_PANIC, 0);
}

static void console_panic(void *arg, const struct observer_panic *p)
{
	struct machine *m = arg;

	log_debug("the console says panic: %s", p->text);
	machine_request(m, REQUEST_PANIC, 0);
}

/* The last line is on its way: a moment for what the guest has written behind it. */
static void console_panic_end(void *arg)
{
	struct machine *m = arg;

	if (m->panic_noted)
		loop_timer_set_after(m->loop, &m->panic_grace, PANIC_TAIL_NS);
}

static void console_until(void *arg, uint64_t at_ns)
{
	(void)at_ns;
	machine_request(arg, REQUEST_UNTIL, 0);
}

static void console_stage(void *arg, enum boot_stage stage, uint64_t at_ns)
{
	struct machine *m = arg;

	if (m->stages & 1u << stage)
		return;
	m->stages |= 1u << stage;
	log_guest(LOG_INFO, "stage %s after %.3f s", config_stage_name(stage),
		  (double)(at_ns - m->start_ns) / NS_PER_S);
	if (m->config->until == UNTIL_STAGE && stage >= m->config->until_stage)
		machine_request(m, REQUEST_UNTIL, 0);
}

int requests_observe(struct machine *m, const char *log_name, struct observer **out,
		     struct refusal *why)
{
	char log_path[4096];
	struct observer_params p = {
	    .loop = m->loop,
	    .events = {.arg = m,
		       .panic = console_panic,
		       .panic_end = console_panic_end,
		       .until = console_until,
		       .stage = console_stage},
	    .until_text = m->config->until == UNTIL_TEXT ? m->config->until_text : NULL,
	    .start_ns = clock_now_ns(loop_clock(m->loop)),
	};

	if (m->config->report_dir) {
		int n =
		    snprintf(log_path, sizeof(log_path), "%s/%s", m->config->report_dir, log_name);

		if (n < 0 || (size_t)n >= sizeof(log_path))
			return refuse(why, STATUS_USAGE, NULL, "--report", "the path is too long");
		p.log_path = log_path;
		p.log_name = log_name;
	}
	return observer_create(&p, out, why);
}

void requests_init(struct machine *m)
{
	pthread_mutex_init(&m->requests.lock, NULL);
	m->requests.task.fn = requests_ready;
	timer_init(&m->panic_grace, panic_grace_over);
}

void requests_fini(struct machine *m)
{
	pthread_mutex_destroy(&m->requests.lock);
}
