/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what happened to an exit status.
 *
 * Theory of operation: a request is looked up in one table. Those that are events of the guest
 * (--on) may be answered by a reset or a pause, or by a status of the user's choice. All others end
 * the run. Where --until was given, status 0 means that it was reached: an ending that would have
 * been a plain 0 before that is 101, while faults keep their own status, which says more.
 *
 * What a guest wrote (the words of a panic) reaches the terminal without control characters.
 */
#include "machine/verdict.h"

#include "core/text.h"
#include <lodge/clock.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct ending {
	const char *name;
	int status;
	enum guest_event event; /* EVENT_COUNT: not one that --on knows */
	const char *text;
};

static const struct ending endings[] = {
    [REQUEST_POWEROFF] = {"poweroff", STATUS_OK, EVENT_POWEROFF, "the guest powered off"},
    [REQUEST_REBOOT] = {"reboot", STATUS_REBOOT, EVENT_REBOOT, "the guest rebooted"},
    [REQUEST_PANIC] = {"panic", STATUS_PANIC, EVENT_PANIC, "the guest's kernel panicked"},
    [REQUEST_TRIPLE_FAULT] = {"triple-fault", STATUS_TRIPLE_FAULT, EVENT_TRIPLE_FAULT,
			      "triple fault"},
    [REQUEST_KVM_REFUSED] = {"kvm-refused", STATUS_KVM_REFUSED, EVENT_COUNT,
			     "could not run the guest's code"},
    [REQUEST_VCPU_FAILED] = {"vcpu-failed", STATUS_HOST, EVENT_COUNT, "KVM_RUN failed"},
    [REQUEST_LOOP_FAILED] = {"internal-error", STATUS_INTERNAL, EVENT_COUNT,
			     "the event loop of disks and networks failed"},
    [REQUEST_EXIT_PORT] = {"exit-port", STATUS_OK, EVENT_COUNT, "the guest wrote to the exit port"},
    [REQUEST_UNTIL] = {"until", STATUS_OK, EVENT_COUNT, "--until was reached"},
    [REQUEST_TIMEOUT] = {"timeout", STATUS_TIMEOUT, EVENT_COUNT, "--timeout was reached"},
    [REQUEST_SIGNAL] = {"signal", STATUS_SIGNAL_BASE, EVENT_COUNT, "ended by signal"},
    [REQUEST_CONSOLE_QUIT] = {"console-quit", STATUS_OK, EVENT_COUNT, "quit from the console"},
};

struct line {
	char *text;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 0)))
line_vadd(struct line *l, const char *fmt, va_list ap)
{
	int n = vsnprintf(l->text + l->used, l->size - l->used, fmt, ap);

	if (n < 0)
		return;
	l->used += (size_t)n;
	if (l->used >= l->size)
		l->used = l->size - 1;
}

static void __attribute__((format(printf, 2, 3))) line_add(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_vadd(l, fmt, ap);
	va_end(ap);
}

static void line_add_after(struct line *l, const char *before, const char *s)
{
	if (s && *s)
		line_add(l, "%s%s", before, s);
}

/* Where a vCPU stopped, as far as KVM says. */
static void add_place(struct line *l, const struct vcpu_refused *r)
{
	if (r->mode_bits)
		line_add(l, " at 0x%llx", (unsigned long long)r->rip);
}

static void add_refused(struct line *l, const struct verdict_cause *cause)
{
	const struct vcpu_refused *r = cause->refused;

	line_add(l, "KVM (%s) could not run the guest's code", kvm_kind_name(cause->kvm));
	if (!r)
		return;
	line_add(l, ": %s",
		 cause->instruction && *cause->instruction ? cause->instruction
							   : "the instruction");
	add_place(l, r);
	line_add(l, " on vCPU %u", r->cpu);
	line_add_after(l, ": ", r->detail);
}

static void add_failed(struct line *l, const struct verdict_cause *cause)
{
	const struct vcpu_refused *r = cause->refused;

	line_add(l, "KVM (%s) could not go on", kvm_kind_name(cause->kvm));
	if (!r)
		return;
	line_add(l, " with vCPU %u", r->cpu);
	add_place(l, r);
	line_add_after(l, ": ", r->detail);
}

static void add_triple_fault(struct line *l, const struct verdict_cause *cause)
{
	const struct vcpu_refused *r = cause->refused;

	if (!r) {
		line_add(l, "a triple fault shut a vCPU down");
		return;
	}
	line_add(l, "a triple fault shut vCPU %u down", r->cpu);
	add_place(l, r);
	if (cause->instruction && *cause->instruction)
		line_add(l, " (%s)", cause->instruction);
}

static void add_what_happened(struct line *l, const struct config *c,
			      const struct verdict_cause *cause)
{
	const char *signal_name;

	switch (cause->what) {
	case REQUEST_KVM_REFUSED:
		add_refused(l, cause);
		break;
	case REQUEST_VCPU_FAILED:
		add_failed(l, cause);
		break;
	case REQUEST_TRIPLE_FAULT:
		add_triple_fault(l, cause);
		break;
	case REQUEST_EXIT_PORT:
		line_add(l, "the guest wrote 0x%02x to the exit port", cause->value & 0xff);
		break;
	case REQUEST_TIMEOUT:
		line_add(l, "the guest did not end within %llu.%03llu s (--timeout)",
			 (unsigned long long)(c->timeout_ns / NS_PER_S),
			 (unsigned long long)(c->timeout_ns / NS_PER_MS % 1000));
		break;
	case REQUEST_SIGNAL:
		signal_name = sigabbrev_np(cause->value);
		line_add(l, "ended by signal %d", cause->value);
		if (signal_name)
			line_add(l, " (SIG%s)", signal_name);
		break;
	default:
		line_add(l, "%s", endings[cause->what].text);
	}
	line_add_after(l, ": ", cause->detail);
}

static int natural_status(const struct ending *e, const struct verdict_cause *cause)
{
	switch (cause->what) {
	case REQUEST_EXIT_PORT:
		return ((cause->value & 0xff) << 1 | 1) & 0xff;
	case REQUEST_SIGNAL:
		return STATUS_SIGNAL_BASE + (cause->value & 0x7f);
	default:
		return e->status;
	}
}

static void add_until(struct line *l, const struct config *c)
{
	if (c->until == UNTIL_STAGE)
		line_add(l, " before --until stage:%s", config_stage_name(c->until_stage));
	else
		line_add_after(l, " before --until ", c->until_text);
	line_add(l, " was reached");
}

static enum action_kind apply_action(const struct config *c, const struct ending *e,
				     struct verdict *v)
{
	const struct config_action *action = &c->on[e->event];

	if (action->kind == ACTION_EXIT && action->status >= 0)
		v->status = action->status;
	return action->kind;
}

enum action_kind verdict_decide(const struct config *c, const struct verdict_cause *cause,
				struct verdict *v)
{
	const struct ending *e = &endings[cause->what];
	struct line l = {v->text, sizeof(v->text), 0};
	enum action_kind action = ACTION_EXIT;
	bool status_given = false;

	memset(v, 0, sizeof(*v));
	v->name = e->name;
	v->status = natural_status(e, cause);
	if (cause->refused)
		v->refused = *cause->refused;
	add_what_happened(&l, c, cause);
	if (e->event != EVENT_COUNT) {
		action = apply_action(c, e, v);
		status_given = c->on[e->event].status >= 0;
	}
	if (action == ACTION_EXIT && v->status == STATUS_OK && !status_given &&
	    c->until != UNTIL_NONE && cause->what != REQUEST_UNTIL) {
		v->status = STATUS_STAGE;
		v->name = "until-not-reached";
		add_until(&l, c);
	}
	text_sanitize(v->text);
	return action;
}
