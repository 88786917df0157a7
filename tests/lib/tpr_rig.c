// SPDX-License-Identifier: GPL-2.0-or-later
#include "tpr_rig.h"

#include <string.h>

#define ROOT   0x10000u
#define TABLES 0x11000u
#define PAGE   4096u

static int get_view(void *arg, unsigned cpu, struct vcpu_view *out)
{
	struct tpr_rig *r = arg;

	r->vcpu[cpu].views++;
	*out = r->vcpu[cpu].view;
	return r->fail_view;
}

static int get_apic(void *arg, unsigned cpu, struct vcpu_apic *out)
{
	struct tpr_rig *r = arg;

	*out = r->vcpu[cpu].apic;
	return r->fail_apic;
}

static int set_rip(void *arg, unsigned cpu, uint64_t rip)
{
	struct tpr_rig *r = arg;

	r->vcpu[cpu].view.rip = rip;
	return 0;
}

static int set_vapic(void *arg, unsigned cpu, gpa_t a)
{
	struct tpr_rig *r = arg;

	if (a && r->fail_vapic)
		return r->fail_vapic;
	r->vcpu[cpu].vapic = a;
	return 0;
}

static int report(void *arg, unsigned cpu, bool on)
{
	struct tpr_rig *r = arg;

	if (r->fail_report)
		return r->fail_report;
	r->vcpu[cpu].reporting = on;
	return 0;
}

static void hold(void *arg, unsigned cpu)
{
	((struct tpr_rig *)arg)->vcpu[cpu].held = true;
}

static void unhold(void *arg, unsigned cpu)
{
	((struct tpr_rig *)arg)->vcpu[cpu].held = false;
}

static unsigned current(void *arg)
{
	return ((struct tpr_rig *)arg)->current;
}

static void wake(void *arg)
{
	((struct tpr_rig *)arg)->wakes++;
}

static void patched(void *arg, const struct tpr_trace *t)
{
	(void)t;
	((struct tpr_rig *)arg)->traces++;
}

static uint64_t read_entry(struct tpr_rig *r, uint32_t at)
{
	uint64_t entry = 0;

	gmem_read(r->mem, at, &entry, r->pae ? 8 : 4);
	return entry;
}

static void write_entry(struct tpr_rig *r, uint32_t at, uint64_t entry)
{
	gmem_write(r->mem, at, &entry, r->pae ? 8 : 4);
}

/* The table that the entry leads to, made if there is none. */
static uint32_t descend(struct tpr_rig *r, uint32_t entry_at, uint64_t flags)
{
	uint64_t entry = read_entry(r, entry_at);

	if (!(entry & TPR_RIG_P)) {
		entry = r->next_table | flags;
		r->next_table += PAGE;
		write_entry(r, entry_at, entry);
	}
	return (uint32_t)entry & ~(PAGE - 1);
}

void tpr_rig_map(struct tpr_rig *r, uint32_t va, uint64_t pa, uint64_t flags)
{
	const uint64_t all = TPR_RIG_P | TPR_RIG_W | TPR_RIG_U;
	uint32_t table = ROOT;

	if (r->pae) {
		table = descend(r, ROOT + 8 * (va >> 30), TPR_RIG_P);
		table = descend(r, table + 8 * (va >> 21 & 0x1ff), all);
		write_entry(r, table + 8 * (va >> 12 & 0x1ff), pa | flags);
		return;
	}
	table = descend(r, ROOT + 4 * (va >> 22), all);
	write_entry(r, table + 4 * (va >> 12 & 0x3ff), pa | flags);
}

uint8_t *tpr_rig_at(struct tpr_rig *r, uint32_t va)
{
	return gmem_pointer(r->mem, va - TPR_RIG_KSEG0, 1);
}

static void set_up_vcpu(struct tpr_rig *r, unsigned n)
{
	const struct vcpu_segment data = {
	    .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = true, .db = true};
	struct vcpu_view *v = &r->vcpu[n].view;
	uint32_t kpcr = TPR_RIG_KPCR(n);

	*v = (struct vcpu_view){
	    .rsp = TPR_RIG_STACK - 0x100 * n,
	    .rflags = 2,
	    .cr0 = 0x80010001,
	    .cr3 = ROOT,
	    .cr4 = r->pae ? 0x30 : 0x10,
	    .efer = r->pae ? 0x800 : 0,
	    .apic_base = TPR_RIG_APIC | 0x800 | (n ? 0 : 0x100),
	    .cs = data,
	    .ss = data,
	    .ds = data,
	    .fs = data,
	};
	v->cs.type = 11;
	v->fs.base = kpcr;
	v->fs.limit = 0x1fff;
	memcpy(tpr_rig_at(r, kpcr + 0x1c), &kpcr, sizeof(kpcr));
	*tpr_rig_at(r, kpcr + 0x51) = (uint8_t)n;
}

bool tpr_rig_create(struct tpr_rig *r, bool pae, unsigned cpus)
{
	struct tpr_params p = {.cpus = cpus, .patch = true, .arg = r};

	memset(r, 0, sizeof(*r));
	r->pae = pae;
	r->next_table = TABLES;
	if (gmem_create(TPR_RIG_MEMORY, &r->mem) || bus_create("port", 0xffff, &r->ports))
		return false;
	if (gmem_place(r->mem, 0, 0, 0xa0000) ||
	    gmem_place(r->mem, 0xc0000, 0xc0000, TPR_RIG_MEMORY - 0xc0000))
		return false;
	for (uint32_t pa = 0; pa < TPR_RIG_MEMORY; pa += PAGE)
		tpr_rig_map(r, TPR_RIG_KSEG0 + pa, pa, TPR_RIG_P | TPR_RIG_W);
	tpr_rig_map(r, TPR_RIG_TPR & ~(PAGE - 1), TPR_RIG_APIC, TPR_RIG_P | TPR_RIG_W);
	for (unsigned n = 0; n < TPR_RIG_CPUS; n++)
		set_up_vcpu(r, n);
	r->ops = (struct tpr_ops){.get_view = get_view,
				  .get_apic = get_apic,
				  .set_rip = set_rip,
				  .set_vapic = set_vapic,
				  .report = report,
				  .hold = hold,
				  .unhold = unhold,
				  .current = current,
				  .wake = wake,
				  .patched = patched};
	p.mem = r->mem;
	p.ports = r->ports;
	p.ops = &r->ops;
	return !tpr_create(&p, &r->tpr) && !tpr_place_rom(r->tpr, TPR_RIG_ROM) &&
	       !tpr_start(r->tpr);
}

void tpr_rig_destroy(struct tpr_rig *r)
{
	struct device *d = tpr_device(r->tpr);

	d->ops->destroy(d);
	bus_destroy(r->ports);
	gmem_destroy(r->mem);
}

void tpr_rig_serve(struct tpr_rig *r)
{
	if (tpr_pending(r->tpr))
		tpr_serve(r->tpr);
}

void tpr_rig_access(struct tpr_rig *r, unsigned cpu, uint32_t ip)
{
	tpr_access(r->tpr, cpu, ip, true);
	tpr_rig_serve(r);
}

void tpr_rig_out(struct tpr_rig *r, unsigned cpu, uint32_t rip, unsigned size, uint32_t value)
{
	r->current = cpu;
	r->vcpu[cpu].view.rip = rip;
	bus_write(r->ports, 0x7e, size, value);
	tpr_rig_serve(r);
}

void tpr_rig_put(struct tpr_rig *r, uint32_t va, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*tpr_rig_at(r, va + (uint32_t)i) = bytes[i];
}

static uint64_t value(const struct tpr_counter *c, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(c[i].name, name))
			return c[i].value;
	return 0;
}

uint64_t tpr_rig_patched(const struct tpr_rig *r)
{
	struct tpr_counters c;
	uint64_t n = 0;

	tpr_get_counters(r->tpr, &c);
	for (unsigned i = 0; i < c.patched_count; i++)
		n += c.patched[i].value;
	return n;
}

uint64_t tpr_rig_refused(const struct tpr_rig *r, const char *reason)
{
	struct tpr_counters c;

	tpr_get_counters(r->tpr, &c);
	return value(c.refused, c.refused_count, reason);
}

uint32_t tpr_rig_call_target(struct tpr_rig *r, uint32_t ip)
{
	uint32_t displacement;

	while (*tpr_rig_at(r, ip) == 0x2e)
		ip++;
	if (*tpr_rig_at(r, ip) != 0xe8)
		return 0;
	memcpy(&displacement, tpr_rig_at(r, ip + 1), 4);
	return ip + 5 + displacement;
}
