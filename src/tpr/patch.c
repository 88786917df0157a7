// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: from KVM's report of an access to the patched instruction.
 *
 * Theory of operation: KVM reports after the access is done, with the vCPU behind the instruction,
 * so a report needs no answer; the vCPU could run on. On its thread the site is looked at without
 * changing anything. What cannot be patched is counted and remembered. For the rest the vCPU holds
 * itself and wakes the main loop, which stops every vCPU and calls tpr_serve(): all is checked
 * again, the ROM is activated if this is the first site, the CALL is written, and the vCPU armed.
 *
 *     dormant --first site, or call from a hibernated guest--> active --each vCPU--> armed
 *        ^                                                       |
 *        +---------- reset, or a BIOS announces the ROM ---------+--ROM changed--> stopped
 *
 * A vCPU that is not armed yet makes its accesses in the ROM's slow path; KVM reports them with an
 * address in the ROM, and it is armed then. Stopped means that all was taken back, until a reset.
 */
#include "tpr/tpr_internal.h"

#include "machine/layout.h"

#include <lodge/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CR0_PE         (1u << 0)

#define FRUITLESS_MAX  4096u /* reports to nothing: this guest is not one that can be patched */
#define TRY_FULL_EVERY 64u
#define ROM_SIGNATURE  0xaa55u /* of an option ROM's first two bytes, little endian */
#define ROM_BLOCK      512u    /* a BIOS puts option ROMs on multiples */

static void ask(struct tpr *t, unsigned cpu, unsigned what)
{
	atomic_fetch_or(&t->vcpu[cpu].asks, what);
	t->params.ops->hold(t->params.arg, cpu);
	t->params.ops->wake(t->params.arg);
}

static void refuse_site(struct tpr *t, struct tpr_vcpu *c, unsigned reason)
{
	tpr_count(&t->refusals[reason]);
	if (c->fruitless < FRUITLESS_MAX)
		c->fruitless++;
}

/* Whether the access at hand, made in the ROM, means that the vCPU wants to be armed. */
static bool wants_arming(const struct tpr *t, const struct tpr_vcpu *c)
{
	unsigned number;

	return c->arms < TPR_ARMS_MAX && tpr_check_kpcr(t, &c->view, &number) &&
	       number < TPR_ROM_CPUS && (int)number != c->number;
}

/* A full journal may have entries that are of no use any more; to look costs something. */
static bool may_try_full(const struct tpr *t)
{
	return atomic_load_explicit(&t->refusals[TPR_REASON_TABLE_FULL], memory_order_relaxed) %
		   TRY_FULL_EVERY ==
	       0;
}

/* TPR_REASON_NONE: the main loop has something to do. */
static unsigned look_at(const struct tpr *t, struct tpr_vcpu *c, unsigned cpu, uint64_t rip)
{
	struct tpr_finding f = {.count = 0};
	unsigned reason;

	if (t->stopped)
		return TPR_REASON_STOPPED;
	if (rip > UINT32_MAX)
		return TPR_REFUSE_LONG_MODE; /* or overwritten by a later exit's data */
	c->ip = (uint32_t)rip;
	reason = tpr_refused_lately(c, c->ip);
	if (reason)
		return reason;
	if (t->params.ops->get_view(t->params.arg, cpu, &c->view))
		return TPR_REASON_HOST;
	reason = tpr_check_site(t, &c->view, c->ip, &f);
	if (reason == TPR_REASON_IN_ROM && wants_arming(t, c))
		return TPR_REASON_NONE;
	if (!reason && !t->placed)
		reason = TPR_REASON_NO_ROM;
	if (!reason && tpr_journal_full(t) && !may_try_full(t))
		reason = TPR_REASON_TABLE_FULL;
	if (reason && reason != TPR_REASON_ALREADY && reason != TPR_REASON_IN_ROM)
		tpr_refused_note(c, c->ip, reason, &f);
	return reason;
}

/* A guest that only has sites of other kinds need not be slowed by reports; its first arming turns
 * them on again. */
static void give_up(struct tpr *t, struct tpr_vcpu *c, unsigned cpu)
{
	if (c->fruitless < FRUITLESS_MAX || t->armed || !c->reporting)
		return;
	if (!t->params.ops->report(t->params.arg, cpu, false))
		c->reporting = false;
}

void tpr_access(struct tpr *t, unsigned cpu, uint64_t rip, bool is_write)
{
	struct tpr_vcpu *c = &t->vcpu[cpu];
	unsigned reason;

	(void)is_write; /* a hint that may be wrong; the repair does no harm after a read */
	tpr_count(&t->reports);
	if (c->number >= 0)
		tpr_repair(t, cpu);
	reason = look_at(t, c, cpu, rip);
	if (!reason) {
		ask(t, cpu, TPR_ASK_REPORT);
		return;
	}
	refuse_site(t, c, reason);
	give_up(t, c, cpu);
}

void tpr_vapic_lost(struct tpr *t, unsigned cpu)
{
	tpr_count(&t->losses);
	ask(t, cpu, TPR_ASK_LOST);
}

/* Gone for the guest, or changed by it: what was patched leads nowhere any more. */
static bool rom_is_lost(const struct tpr *t, const struct vcpu_view *v)
{
	return t->image.active && (tpr_code_changed(t) || !tpr_check_rom_at(t, v, t->image.va));
}

void tpr_take_back(struct tpr *t)
{
	tpr_disarm_all(t);
	atomic_fetch_add(&t->taken_back, tpr_journal_take_back(t));
	t->stopped = true;
}

static void trace(const struct tpr *t, unsigned cpu, const struct tpr_finding *f,
		  const struct tpr_site *s)
{
	const struct tpr_trace what = {.cpu = cpu,
				       .ip = s->ip,
				       .before = f->bytes,
				       .before_length = f->plan.length,
				       .after = s->after,
				       .after_length = s->length};

	if (t->params.ops->patched)
		t->params.ops->patched(t->params.arg, &what);
}

static unsigned patch(struct tpr *t, unsigned cpu, const struct tpr_finding *f)
{
	struct tpr_vcpu *c = &t->vcpu[cpu];
	uint8_t call[TPR_PATCH_MAX] = {0};
	const struct tpr_site *site;
	unsigned reason = tpr_activate_for(t, &c->view, f->plan.tpr_va);

	if (reason)
		return reason;
	tpr_encode_call(&f->plan, c->ip, t->image.va + TPR_ROM_ENTRY(f->plan.entry), call);
	site = tpr_journal_patch(t, c->ip, f, call);
	if (!site)
		return TPR_REASON_TABLE_FULL;
	tpr_count(&t->patched[f->plan.op]);
	trace(t, cpu, f, site);
	return tpr_arm(t, cpu, f->number);
}

static void serve_report(struct tpr *t, unsigned cpu)
{
	struct tpr_vcpu *c = &t->vcpu[cpu];
	struct tpr_finding f = {.count = 0};
	unsigned reason = TPR_REASON_STOPPED, number;

	if (!t->stopped && rom_is_lost(t, &c->view)) {
		log_guest(LOG_WARNING, "tpr: the guest changed the option ROM; its calls of it are "
				       "taken back");
		tpr_take_back(t);
		reason = TPR_REASON_ROM_CHANGED;
	} else if (!t->stopped) {
		reason = tpr_check_site(t, &c->view, c->ip, &f);
		if (!reason)
			reason = patch(t, cpu, &f);
		else if (reason == TPR_REASON_IN_ROM && tpr_check_kpcr(t, &c->view, &number))
			reason = tpr_arm(t, cpu, number);
	}
	if (!reason)
		return;
	refuse_site(t, c, reason);
	if (reason != TPR_REASON_ALREADY)
		tpr_refused_note(c, c->ip, reason, &f);
}

/*
 * After an INIT, KVM's TPR is 0 and the word is ignored. A processor that has not got to paging yet
 * is at its start and its word is of the time before; else the guest already relies on the word.
 */
static void serve_loss(struct tpr *t, unsigned cpu)
{
	int number = t->vcpu[cpu].number;
	struct vcpu_view v = {.rip = 0};

	if (number < 0)
		return;
	if (!t->params.ops->get_view(t->params.arg, cpu, &v) && tpr_walk_possible(&v) &&
	    !t->params.ops->set_vapic(t->params.arg, cpu,
				      tpr_image_record(&t->image, (unsigned)number)))
		return;
	tpr_disarm(t, cpu);
}

/* False: the vCPU can only run into garbage; it stands still until a reset. */
static bool serve_dormant(struct tpr *t, unsigned cpu)
{
	uint32_t entry_va, rom_va;
	struct vcpu_view v;

	if (t->params.ops->get_view(t->params.arg, cpu, &v) ||
	    !tpr_find_dormant_entry(t, &v, &entry_va, &rom_va))
		return true;
	if (!tpr_activate_dormant(t, &v, rom_va) &&
	    !t->params.ops->set_rip(t->params.arg, cpu, entry_va))
		return true;
	log_guest(LOG_WARNING,
		  "tpr: vCPU %u called the option ROM at 0x%x, which cannot be used as the guest "
		  "maps it; it stands still",
		  cpu, entry_va);
	return false;
}

/* The linear address of the OUT, which is done, rounded down: where the BIOS put the ROM. */
static gpa_t announced_base(const struct vcpu_view *v)
{
	return (v->cs.base + (v->rip & 0xffff) - 1) & ~(gpa_t)(ROM_BLOCK - 1);
}

static bool is_rom_place(const struct tpr *t, gpa_t base)
{
	uint16_t signature = 0;

	return base >= LAYOUT_VGA_HOLE_END && base + TPR_ROM_SIZE <= LAYOUT_HIGH_RAM &&
	       !gmem_read(t->params.mem, base, &signature, sizeof(signature)) &&
	       signature == ROM_SIGNATURE;
}

/* Firmware starts the machine anew: no patched code can be alive. */
static void forget_guest(struct tpr *t)
{
	tpr_disarm_all(t);
	t->site_count = 0;
	t->stopped = t->placed = false;
	t->searches = t->next_search = 0;
	memset(&t->image, 0, sizeof(t->image));
}

static void serve_announcement(struct tpr *t, unsigned cpu)
{
	struct vcpu_view v;
	gpa_t base;

	if (t->params.ops->get_view(t->params.arg, cpu, &v) || v.cr0 & CR0_PE)
		return;
	base = announced_base(&v);
	if (!is_rom_place(t, base))
		return;
	forget_guest(t);
	tpr_place_rom(t, base);
	for (unsigned i = 0; i < t->params.cpus; i++)
		t->vcpu[i].fruitless = 0;
	tpr_start(t); /* reports may have been given up; without them all still works */
}

bool tpr_pending(const struct tpr *t)
{
	for (unsigned i = 0; i < t->params.cpus; i++) {
		if (atomic_load(&t->vcpu[i].asks))
			return true;
	}
	return false;
}

void tpr_serve(struct tpr *t)
{
	for (unsigned i = 0; i < t->params.cpus; i++) {
		unsigned asks = atomic_exchange(&t->vcpu[i].asks, 0);
		bool goes_on = true;

		if (!asks)
			continue;
		if (asks & TPR_ASK_LOST)
			serve_loss(t, i);
		if (asks & TPR_ASK_ANNOUNCE)
			serve_announcement(t, i);
		if (asks & TPR_ASK_DORMANT)
			goes_on = serve_dormant(t, i);
		if (asks & TPR_ASK_REPORT)
			serve_report(t, i);
		if (goes_on)
			t->params.ops->unhold(t->params.arg, i);
	}
}

/* Out of turn, an OUT is only looked at: what is not the ROM's own wakes nobody. */
static void port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct tpr *t = dev;
	unsigned cpu = t->params.ops->current(t->params.arg);
	uint32_t entry_va, rom_va;
	struct vcpu_view v;

	if (offset || cpu >= t->params.cpus || t->params.ops->get_view(t->params.arg, cpu, &v))
		return;
	if (size == 1 && tpr_find_dormant_entry(t, &v, &entry_va, &rom_va))
		ask(t, cpu, TPR_ASK_DORMANT);
	else if (size == 2 && value == TPR_ROM_ABI && !(v.cr0 & CR0_PE))
		ask(t, cpu, TPR_ASK_ANNOUNCE);
}

static uint64_t port_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return UINT64_MAX;
}

static const struct bus_region_ops region_ops = {
    .name = "tpr", .read = port_read, .write = port_write, .width_max = 2};

static void reset(struct device *d)
{
	struct tpr *t = container_of(d, struct tpr, device);

	/* KVM's part is gone already. */
	for (unsigned i = 0; i < t->params.cpus; i++) {
		memset(&t->vcpu[i], 0, sizeof(t->vcpu[i]));
		t->vcpu[i].number = -1;
	}
	t->armed = 0;
	forget_guest(t);
}

static void destroy(struct device *d)
{
	struct tpr *t = container_of(d, struct tpr, device);

	bus_unmap(t->params.ports, &t->region);
	free(t);
}

static const struct device_ops device_ops = {.name = "tpr", .reset = reset, .destroy = destroy};

int tpr_create(const struct tpr_params *p, struct tpr **out)
{
	struct tpr *t = calloc(1, sizeof(*t) + p->cpus * sizeof(t->vcpu[0]));
	int err;

	if (!t)
		return -ENOMEM;
	t->device.ops = &device_ops;
	t->params = *p;
	t->region.ops = &region_ops;
	t->region.dev = t;
	reset(&t->device);
	err = bus_map(p->ports, &t->region, TPR_ROM_PORT, TPR_PORT_COUNT);
	if (err) {
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

struct device *tpr_device(struct tpr *t)
{
	return &t->device;
}

int tpr_place_rom(struct tpr *t, gpa_t base)
{
	int err = tpr_image_place(&t->image, t->params.mem, base, t->params.cpus == 1);

	t->placed = err == 0;
	return err;
}

int tpr_start(struct tpr *t)
{
	for (unsigned i = 0; t->params.patch && i < t->params.cpus; i++) {
		int err = t->params.ops->report(t->params.arg, i, true);

		if (err)
			return err;
		t->vcpu[i].reporting = true;
	}
	return 0;
}

_Static_assert(TPR_REASON_COUNT <= TPR_COUNTERS_MAX, "each reason has a counter");

static uint64_t value_of(const atomic_ullong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void tpr_get_counters(const struct tpr *t, struct tpr_counters *out)
{
	*out = (struct tpr_counters){
	    .reports = value_of(&t->reports),
	    .repairs = value_of(&t->repairs),
	    .arms = value_of(&t->arms),
	    .losses = value_of(&t->losses),
	    .activations = value_of(&t->activations),
	    .taken_back = value_of(&t->taken_back),
	};
	for (unsigned i = 0; i < TPR_OP_COUNT; i++)
		out->patched[out->patched_count++] =
		    (struct tpr_counter){tpr_op_name((enum tpr_op)i), value_of(&t->patched[i])};
	for (unsigned i = 1; i < TPR_REASON_COUNT; i++) {
		uint64_t n = value_of(&t->refusals[i]);

		if (n)
			out->refused[out->refused_count++] =
			    (struct tpr_counter){tpr_reason_name(i), n};
	}
}
