// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: whether an instruction may be patched, from what the guest's memory says now.
 *
 * Theory of operation: nothing that was reported, decoded or found before is believed; each call
 * reads bytes, page tables and KPCR again. It runs on a vCPU's thread to weed out what will never
 * work, and once more with every vCPU stopped, right before a byte is written.
 *
 * A site must lie in the kernel half, as must the TPR and the ROM: NT maps that half alike in every
 * process, so what holds under one CR3 holds under all. The KPCR check (its SelfPcr points to
 * itself) tells NT from others as well: no other system has that there.
 */
#include "tpr/tpr_internal.h"

#include <string.h>

#define CR0_PE           (1u << 0)
#define EFER_LMA         (1u << 10)
#define RFLAGS_VM        (1u << 17)

#define APIC_BASE_X2     (1u << 10) /* MSR 0x1b, Intel SDM volume 3, section 11.4.4 */
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_TPR         0x80u

#define KPCR_SELF        0x1cu /* NT 5.x and 6.x, 32-bit */
#define PAGE_SIZE        4096u
#define SEGMENT_CODE     (1u << 3)
#define SEGMENT_WRITABLE (1u << 1)
#define SEGMENT_DOWN     (1u << 2)

static const char *const reason_names[TPR_REASON_COUNT] = {
    [TPR_REASON_NO_PAGING] = "no-paging",     [TPR_REASON_CODE_UNMAPPED] = "code-unmapped",
    [TPR_REASON_CODE_RIGHTS] = "code-rights", [TPR_REASON_CODE_PLACE] = "code-place",
    [TPR_REASON_APIC_OFF] = "apic-off",       [TPR_REASON_NOT_THE_TPR] = "not-the-tpr",
    [TPR_REASON_NO_KPCR] = "no-kpcr",         [TPR_REASON_CPU_NUMBER] = "cpu-number",
    [TPR_REASON_STACK] = "stack-unmapped",    [TPR_REASON_NO_ROM] = "no-rom",
    [TPR_REASON_ROM_CHANGED] = "rom-changed", [TPR_REASON_IN_ROM] = "in-rom",
    [TPR_REASON_ALREADY] = "already-patched", [TPR_REASON_TABLE_FULL] = "table-full",
    [TPR_REASON_STOPPED] = "stopped",         [TPR_REASON_HOST] = "host-error",
};

const char *tpr_reason_name(unsigned reason)
{
	if (reason < TPR_REFUSAL_COUNT)
		return tpr_refusal_name((enum tpr_refusal)reason);
	return reason < TPR_REASON_COUNT ? reason_names[reason] : "unknown";
}

static bool is_flat(const struct vcpu_segment *s)
{
	return s->present && s->base == 0 && s->limit == 0xffffffff;
}

static bool is_flat_data(const struct vcpu_segment *s)
{
	return is_flat(s) && (s->type & (SEGMENT_CODE | SEGMENT_DOWN)) == 0 &&
	       s->type & SEGMENT_WRITABLE;
}

static struct tpr_cpu decoder_view(const struct vcpu_view *v)
{
	return (struct tpr_cpu){
	    .protected_mode = v->cr0 & CR0_PE,
	    .vm86 = v->rflags & RFLAGS_VM,
	    .long_mode = v->efer & EFER_LMA,
	    .code32 = v->cs.db && !v->cs.l,
	    .stack32 = v->ss.db,
	    .flat = is_flat(&v->cs) && is_flat_data(&v->ss) && is_flat_data(&v->ds),
	    .cpl = v->ss.dpl,
	    .esp = (uint32_t)v->rsp,
	};
}

bool tpr_check_register(const struct tpr *t, const struct vcpu_view *v, uint32_t va)
{
	struct tpr_page page;
	gpa_t apic = v->apic_base & ~(gpa_t)(PAGE_SIZE - 1);

	return va >= TPR_KERNEL_HALF && tpr_walk(t->params.mem, v, va, &page) && !page.user &&
	       page.writable && page.gpa == (apic | APIC_TPR);
}

bool tpr_check_kpcr(const struct tpr *t, const struct vcpu_view *v, unsigned *number)
{
	uint32_t base = (uint32_t)v->fs.base, self = 0;
	uint8_t n = 0;

	if (!v->fs.present || v->fs.base < TPR_KERNEL_HALF || v->fs.base > UINT32_MAX ||
	    v->fs.limit < TPR_KPCR_NUMBER)
		return false;
	if (tpr_walk_read(t->params.mem, v, base + KPCR_SELF, &self, sizeof(self)) !=
		sizeof(self) ||
	    self != base ||
	    tpr_walk_read(t->params.mem, v, base + TPR_KPCR_NUMBER, &n, sizeof(n)) != sizeof(n))
		return false;
	*number = n;
	return true;
}

bool tpr_check_rom_at(const struct tpr *t, const struct vcpu_view *v, uint32_t va)
{
	uint32_t last = va + TPR_ROM_SIZE - 1;

	if (!t->placed || va < TPR_KERNEL_HALF || last < va ||
	    va % PAGE_SIZE != t->image.base % PAGE_SIZE)
		return false;
	for (uint32_t at = va;;) {
		struct tpr_page page;

		if (!tpr_walk(t->params.mem, v, at, &page) || page.user || !page.writable ||
		    !page.executable || page.gpa != t->image.base + (at - va))
			return false;
		at = (at & ~(PAGE_SIZE - 1)) + PAGE_SIZE;
		if (at > last || at < va)
			return true;
	}
}

/* Where `size` bytes at va are, for a write: supervisor's, executable RAM that is not the ROM. */
static unsigned find_code(const struct tpr *t, const struct vcpu_view *v, uint32_t va,
			  unsigned size, struct tpr_span *out)
{
	unsigned first = PAGE_SIZE - va % PAGE_SIZE;

	if (va < TPR_KERNEL_HALF || va + (size - 1) < va)
		return TPR_REASON_CODE_PLACE;
	if (first > size)
		first = size;
	*out = (struct tpr_span){.size = {(uint8_t)first, (uint8_t)(size - first)}};
	for (unsigned i = 0; i < 2 && out->size[i]; i++) {
		struct tpr_page page;

		if (!tpr_walk(t->params.mem, v, va + i * first, &page))
			return TPR_REASON_CODE_UNMAPPED;
		if (page.user || !page.executable)
			return TPR_REASON_CODE_RIGHTS;
		if (!gmem_pointer(t->params.mem, page.gpa, out->size[i]) ||
		    (t->placed && page.gpa + out->size[i] > t->image.base &&
		     page.gpa < t->image.base + TPR_ROM_SIZE))
			return TPR_REASON_CODE_PLACE;
		out->gpa[i] = page.gpa;
	}
	return TPR_REASON_NONE;
}

/* The CALL and the entry use TPR_ENTRY_STACK bytes below ESP, where the original used none. */
static bool has_stack(const struct tpr *t, const struct vcpu_view *v)
{
	const uint32_t places[] = {(uint32_t)v->rsp - 4, (uint32_t)v->rsp - TPR_ENTRY_STACK};

	for (unsigned i = 0; i < 2; i++) {
		struct tpr_page page;

		if (!tpr_walk(t->params.mem, v, places[i], &page) || !page.writable)
			return false;
	}
	return true;
}

static unsigned check_surroundings(const struct tpr *t, const struct vcpu_view *v,
				   struct tpr_finding *f)
{
	if ((v->apic_base & (APIC_BASE_ENABLE | APIC_BASE_X2)) != APIC_BASE_ENABLE)
		return TPR_REASON_APIC_OFF;
	if (!tpr_check_register(t, v, f->plan.tpr_va))
		return TPR_REASON_NOT_THE_TPR;
	if (!tpr_check_kpcr(t, v, &f->number))
		return TPR_REASON_NO_KPCR;
	if (f->number >= TPR_ROM_CPUS)
		return TPR_REASON_CPU_NUMBER;
	return has_stack(t, v) ? TPR_REASON_NONE : TPR_REASON_STACK;
}

unsigned tpr_check_site(const struct tpr *t, const struct vcpu_view *v, uint32_t ip,
			struct tpr_finding *f)
{
	struct tpr_cpu cpu = decoder_view(v);
	uint8_t length;
	unsigned reason;

	memset(f, 0, sizeof(*f));
	/* Where there is no paging that we follow, the decoder knows a better word for most. */
	if (tpr_walk_possible(v))
		f->count =
		    (unsigned)tpr_walk_read(t->params.mem, v, ip, f->bytes, sizeof(f->bytes));
	if (t->image.active && ip - t->image.va < TPR_ROM_SIZE)
		return TPR_REASON_IN_ROM;
	if (t->image.active && tpr_decode_call(f->bytes, f->count, ip, t->image.va, &length) >= 0)
		return TPR_REASON_ALREADY;
	reason = tpr_decode(f->bytes, f->count, &cpu, &f->plan);
	if (!tpr_walk_possible(v))
		return reason == TPR_REFUSE_TRUNCATED ? TPR_REASON_NO_PAGING : reason;
	if (!f->count)
		return TPR_REASON_CODE_UNMAPPED;
	if (reason)
		return reason;
	reason = find_code(t, v, ip, f->plan.length, &f->span);
	return reason ? reason : check_surroundings(t, v, f);
}
