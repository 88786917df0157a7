// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: which vCPU uses which record of the ROM, and keeping the records true.
 *
 * Theory of operation: a vCPU is armed when KVM has been given the address of the record that the
 * guest's code on it uses (by the guest's CPU number, which need not be ours) and the record is
 * filled and enabled. From then on, the record is the TPR, and KVM copies it into its local APIC at
 * every exit of the processor. That has one trap: an instruction that was not patched writes the
 * local APIC, and the next exit copies the stale record over it. KVM reports such a write before
 * the vCPU runs on, so the record is brought up to date then (tpr_repair()).
 */
#include "tpr/tpr_internal.h"

#include <lodge/log.h>

#include <errno.h>
#include <string.h>

static const struct tpr_ops *ops(const struct tpr *t)
{
	return t->params.ops;
}

void tpr_remember_code(struct tpr *t)
{
	gmem_read(t->params.mem, t->image.base, t->code, sizeof(t->code));
}

bool tpr_code_changed(const struct tpr *t)
{
	const void *now = gmem_pointer(t->params.mem, t->image.base, sizeof(t->code));

	return !now || memcmp(now, t->code, sizeof(t->code)) != 0;
}

/* With several CPUs, arming writes no code; what the guest has put there is not to be trusted. */
static void remember_own_code(struct tpr *t)
{
	if (t->image.single_cpu)
		tpr_remember_code(t);
}

static bool is_taken(const struct tpr *t, unsigned cpu, unsigned number)
{
	for (unsigned i = 0; i < t->params.cpus; i++) {
		if (i != cpu && t->vcpu[i].number == (int)number)
			return true;
	}
	return false;
}

/* Reports may have been turned off while there was nothing that a lost write could hurt. */
static void report_everywhere(struct tpr *t)
{
	for (unsigned i = 0; i < t->params.cpus; i++) {
		t->vcpu[i].fruitless = 0;
		if (!t->vcpu[i].reporting && !ops(t)->report(t->params.arg, i, true))
			t->vcpu[i].reporting = true;
	}
}

unsigned tpr_arm(struct tpr *t, unsigned cpu, unsigned number)
{
	struct tpr_vcpu *c = &t->vcpu[cpu];
	struct vcpu_apic apic;

	if (c->number == (int)number)
		return TPR_REASON_NONE;
	if (number >= TPR_ROM_CPUS || is_taken(t, cpu, number))
		return TPR_REASON_CPU_NUMBER;
	if (c->arms == TPR_ARMS_MAX)
		return TPR_REASON_STOPPED;
	tpr_disarm(t, cpu);
	if (!t->armed)
		report_everywhere(t);
	/* Without reports a write by an unpatched instruction would be lost. */
	if (!c->reporting || ops(t)->get_apic(t->params.arg, cpu, &apic) ||
	    ops(t)->set_vapic(t->params.arg, cpu, tpr_image_record(&t->image, number)))
		return TPR_REASON_HOST;
	if (tpr_image_arm(&t->image, number,
			  apic.tpr | (apic.in_service & 0xf0u) << 8 |
			      (uint32_t)apic.requested << 24)) {
		ops(t)->set_vapic(t->params.arg, cpu, 0);
		return TPR_REASON_HOST;
	}
	remember_own_code(t);
	c->number = (int)number;
	c->arms++;
	c->fruitless = 0;
	t->armed++;
	tpr_count(&t->arms);
	return TPR_REASON_NONE;
}

void tpr_disarm(struct tpr *t, unsigned cpu)
{
	struct tpr_vcpu *c = &t->vcpu[cpu];

	if (c->number < 0)
		return;
	ops(t)->set_vapic(t->params.arg, cpu, 0);
	tpr_image_disarm(&t->image, (unsigned)c->number);
	remember_own_code(t);
	c->number = -1;
	t->armed--;
}

void tpr_disarm_all(struct tpr *t)
{
	for (unsigned i = 0; i < t->params.cpus; i++)
		tpr_disarm(t, i);
}

void tpr_repair(struct tpr *t, unsigned cpu)
{
	gpa_t record = tpr_image_record(&t->image, (unsigned)t->vcpu[cpu].number);
	struct vcpu_apic apic;
	uint8_t was;

	/*
	 * KVM may have forgotten the word at an INIT, after which a processor's first access is an
	 * unpatched store more often than not; naming the address again makes KVM use it again.
	 */
	ops(t)->set_vapic(t->params.arg, cpu, record);
	if (ops(t)->get_apic(t->params.arg, cpu, &apic) ||
	    gmem_read(t->params.mem, record + TPR_RECORD_TPR, &was, 1) || was == apic.tpr)
		return;
	gmem_write(t->params.mem, record + TPR_RECORD_TPR, &apic.tpr, 1);
	tpr_count(&t->repairs);
}
