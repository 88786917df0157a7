/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_tpr_patch: an input is a script of a hostile 32-bit guest: code, page tables, registers and
 * KPCRs of its choice, reports of accesses anywhere, OUTs to the ROM's port, INITs, resets. The
 * patcher may write to the ROM and to the bytes of one instruction for each report, nowhere else;
 * it arms with addresses of records only; and a vCPU that is not held for good is let go.
 */
#include "script.h"
#include "tpr_rig.h"
#include "tpr/rom.h"

#include <lodge/log.h>
#include <string.h>

#define PATCH_MAX 9u
#define STEPS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t before[TPR_RIG_MEMORY];
static unsigned vcpus;

static bool is_ram(uint32_t pa)
{
	return pa < 0xa0000 || (pa >= 0xc0000 && pa < TPR_RIG_MEMORY);
}

static void keep(struct tpr_rig *r)
{
	gmem_read(r->mem, 0, before, 0xa0000);
	gmem_read(r->mem, 0xc0000, before + 0xc0000, TPR_RIG_MEMORY - 0xc0000);
}

/* A BIOS may have announced the ROM elsewhere below 1 MiB. */
static unsigned changed(struct tpr_rig *r, uint32_t from, uint32_t to)
{
	const uint8_t *now = gmem_pointer(r->mem, from, to - from);
	unsigned n = 0;

	if (!memcmp(now, before + from, to - from))
		return 0;
	for (uint32_t i = 0; i < to - from; i++)
		n += now[i] != before[from + i];
	return n;
}

static void check(struct tpr_rig *r, unsigned reports, bool taken_back)
{
	unsigned n = changed(r, 0, 0xa0000) + changed(r, 0x100000, TPR_RIG_MEMORY);
	unsigned low = changed(r, 0xc0000, 0x100000);

	must(taken_back || n <= reports * PATCH_MAX);
	must(taken_back || low <= reports * PATCH_MAX + 2 * TPR_ROM_SIZE);
	for (unsigned i = 0; i < TPR_RIG_CPUS; i++)
		must(r->vcpu[i].vapic % TPR_RECORD_SIZE == 0 || r->vcpu[i].vapic == 1);
}

static void put_code(struct tpr_rig *r, struct script *s)
{
	static const uint8_t forms[][10] = {
	    {0xa1, 0x80, 0, 0xfe, 0xff},       {0xa3, 0x80, 0, 0xfe, 0xff},
	    {0x8b, 0x0d, 0x80, 0, 0xfe, 0xff}, {0x89, 0x15, 0x80, 0, 0xfe, 0xff},
	    {0xff, 0x35, 0x80, 0, 0xfe, 0xff}, {0x8f, 0x05, 0x80, 0, 0xfe, 0xff},
	    {0xc7, 0x05, 0x80, 0, 0xfe, 0xff}, {0x0f, 0xb6, 0x05, 0x80, 0, 0xfe, 0xff},
	};
	uint32_t at = TPR_RIG_CODE - TPR_RIG_KSEG0 + (next32(s) & 0x3fff);

	gmem_write(r->mem, at, forms[next8(s) % 8], 10);
}

static void put_raw(struct tpr_rig *r, struct script *s)
{
	uint8_t bytes[16];
	unsigned n = next8(s) % 16 + 1;
	uint32_t at = next32(s) % TPR_RIG_MEMORY;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = next8(s);
	if (is_ram(at) && is_ram(at + n - 1))
		gmem_write(r->mem, at, bytes, n);
}

static void map(struct tpr_rig *r, struct script *s)
{
	static const uint32_t places[] = {TPR_RIG_CODE, TPR_RIG_CODE + 0x1000,
					  0xfffe0000,   0x800c8000,
					  0x800c9000,   0x800ca000,
					  0x80120000,   0x00400000};
	static const uint64_t targets[] = {0x110000, TPR_RIG_APIC,   0xc8000, 0x10000,
					   0xa0000,  TPR_RIG_MEMORY, 0xc9000, 0x120000};
	uint32_t va = places[next8(s) % 8];
	uint64_t pa = targets[next8(s) % 8];
	uint64_t flags = next8(s) & 7;

	/* The rig's own tables may be the guest's victims: then there is nothing to map with. */
	if (r->next_table < 0x90000)
		tpr_rig_map(r, va, pa, flags);
}

static void set_register(struct tpr_rig *r, struct script *s)
{
	struct vcpu_view *v = &r->vcpu[next8(s) % vcpus].view;
	uint64_t *const fields[] = {&v->rsp,  &v->rflags,    &v->cr0,     &v->cr3,    &v->cr4,
				    &v->efer, &v->apic_base, &v->cs.base, &v->fs.base};
	unsigned which = next8(s) % 12;
	uint32_t value = next32(s);

	if (which < 9)
		*fields[which] = value;
	else if (which == 9)
		v->ss.dpl = value & 3;
	else if (which == 10)
		v->cs.db = value & 1;
	else
		v->fs.limit = value;
}

static uint32_t pick_ip(struct script *s)
{
	switch (next8(s) % 4) {
	case 0:
		return next32(s);
	case 1:
		return 0x800c8000 + (next32(s) & 0x3fff);
	default:
		return TPR_RIG_CODE + (next32(s) & 0x3fff);
	}
}

static uint64_t taken_back(const struct tpr_rig *r)
{
	struct tpr_counters c;

	tpr_get_counters(r->tpr, &c);
	return c.taken_back;
}

/* Some vCPUs report at once, and the guest changes something before they are served. */
static void report(struct tpr_rig *r, struct script *s)
{
	unsigned cpus = next8(s), n = 0, asked = 0;
	uint64_t back = taken_back(r);

	for (unsigned i = 0; i < vcpus; i++) {
		if (!(cpus & 1u << i) || r->vcpu[i].held)
			continue;
		tpr_access(r->tpr, i, pick_ip(s), cpus & 0x10);
		asked |= r->vcpu[i].held ? 1u << i : 0;
		n++;
	}
	if (cpus & 0x20)
		put_raw(r, s);
	if (!tpr_pending(r->tpr))
		return;
	keep(r);
	tpr_rig_serve(r);
	check(r, n, taken_back(r) != back);
	for (unsigned i = 0; i < vcpus; i++)
		must(!(asked & 1u << i) || !r->vcpu[i].held);
}

static void out(struct tpr_rig *r, struct script *s)
{
	unsigned cpu = next8(s) % vcpus;

	if (r->vcpu[cpu].held)
		return;
	keep(r);
	tpr_rig_out(r, cpu, pick_ip(s), 1u << next8(s) % 3, next8(s) % 3);
	check(r, 0, false);
}

static void reset(struct tpr_rig *r)
{
	struct device *d = tpr_device(r->tpr);

	d->ops->reset(d);
	for (unsigned i = 0; i < TPR_RIG_CPUS; i++) {
		r->vcpu[i].vapic = 0;
		r->vcpu[i].held = false;
	}
	must(!tpr_place_rom(r->tpr, TPR_RIG_ROM));
	must(!tpr_start(r->tpr));
}

static void other(struct tpr_rig *r, struct script *s)
{
	unsigned cpu = next8(s) % vcpus;

	switch (next8(s) % 4) {
	case 0:
		reset(r);
		break;
	case 1:
		tpr_take_back(r->tpr);
		break;
	case 2:
		r->vcpu[cpu].apic.tpr = next8(s);
		r->vcpu[cpu].apic.requested = next8(s);
		break;
	default:
		if (r->vcpu[cpu].held)
			break;
		tpr_vapic_lost(r->tpr, cpu);
		tpr_rig_serve(r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct tpr_rig * r, struct script * s) = {
	    put_code, put_raw, map, set_register, report, report, out, other};
	struct script s = {data, data + size};
	struct tpr_rig r;
	uint8_t shape = next8(&s);

	log_set_level(LOG_ERROR);
	vcpus = shape & 2 ? TPR_RIG_CPUS : 1;
	must(tpr_rig_create(&r, shape & 1, vcpus));
	for (unsigned i = 0; i < STEPS_MAX && s.at < s.end; i++)
		steps[next8(&s) % 8](&r, &s);
	tpr_rig_destroy(&r);
	return 0;
}
