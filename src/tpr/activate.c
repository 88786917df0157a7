// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: where the guest sees the ROM and the TPR; the ROM's step from dormant to active.
 *
 * Theory of operation: NT's loader maps low memory at 0x80000000 + its physical address, so the ROM
 * is looked for there first; else the kernel half's page tables are searched for it, which costs up
 * to 2 MiB of reading and is therefore done at the 1st, 2nd, 4th ... time that it is asked for.
 *
 * A guest that hibernated comes back with patched code, and a fresh ROM from the firmware. Its
 * first call runs into the OUT at the entry's start. No unpatched instruction may be left from
 * which the TPR's address could be learned, so that is searched for in the same way, each time.
 *
 * Every vCPU is parked, except in tpr_find_dormant_entry().
 */
#include "tpr/tpr_internal.h"

#define PAGE_SIZE     4096u
#define APIC_TPR      0x80u
#define NT_APIC_PAGE  0xfffe0000u /* where NT's HALs map the local APIC */
#define DORMANT_BYTES 2u          /* out 0x7e, al */

/* Searches that lead to nothing become rare: the guest's tables may be made to be slow. */
static bool may_search(struct tpr *t)
{
	if (++t->searches < t->next_search)
		return false;
	t->next_search = t->searches * 2;
	return true;
}

static bool find_rom(struct tpr *t, const struct vcpu_view *v, uint32_t *va)
{
	gpa_t page = t->image.base & ~(gpa_t)(PAGE_SIZE - 1);

	*va = TPR_KERNEL_HALF + (uint32_t)t->image.base;
	if (tpr_check_rom_at(t, v, *va))
		return true;
	if (!may_search(t) || !tpr_walk_find(t->params.mem, v, page, va))
		return false;
	*va += (uint32_t)(t->image.base - page);
	return tpr_check_rom_at(t, v, *va);
}

static bool find_register(struct tpr *t, const struct vcpu_view *v, uint32_t *va)
{
	gpa_t page = v->apic_base & ~(gpa_t)(PAGE_SIZE - 1);

	*va = NT_APIC_PAGE + APIC_TPR;
	if (tpr_check_register(t, v, *va))
		return true;
	/* Always, as a vCPU for which this fails can never go on. */
	if (!tpr_walk_find(t->params.mem, v, page, va))
		return false;
	*va += APIC_TPR;
	return tpr_check_register(t, v, *va);
}

static unsigned activate(struct tpr *t, uint32_t rom_va, uint32_t real)
{
	if (tpr_image_activate(&t->image, rom_va, real))
		return TPR_REASON_NO_ROM;
	tpr_remember_code(t);
	t->next_search = t->searches = 0;
	tpr_count(&t->activations);
	return TPR_REASON_NONE;
}

unsigned tpr_activate_for(struct tpr *t, const struct vcpu_view *v, uint32_t real)
{
	uint32_t va;

	if (t->image.active)
		return TPR_REASON_NONE;
	if (!t->placed || !find_rom(t, v, &va))
		return TPR_REASON_NO_ROM;
	return activate(t, va, real);
}

bool tpr_find_dormant_entry(const struct tpr *t, const struct vcpu_view *v, uint32_t *entry_va,
			    uint32_t *rom_va)
{
	/* KVM may show the OUT as done or as still to be done (KVM_X86_QUIRK_OUT_7E_INC_RIP). */
	static const unsigned behind[] = {DORMANT_BYTES, 0};

	for (unsigned i = 0; t->placed && v->rip <= UINT32_MAX && i < 2; i++) {
		uint32_t va = (uint32_t)v->rip - behind[i];
		struct tpr_page page;

		if (!tpr_walk(t->params.mem, v, va, &page) || page.gpa < t->image.base ||
		    page.gpa - t->image.base >= TPR_ROM_SIZE ||
		    tpr_image_entry_at((uint32_t)(page.gpa - t->image.base)) < 0)
			continue;
		*entry_va = va;
		*rom_va = va - (uint32_t)(page.gpa - t->image.base);
		return true;
	}
	return false;
}

unsigned tpr_activate_dormant(struct tpr *t, const struct vcpu_view *v, uint32_t rom_va)
{
	uint32_t real;

	/* Another vCPU was faster; or the guest has put a fresh ROM over the active one. */
	if (t->image.active && !tpr_code_changed(t))
		return TPR_REASON_NONE;
	tpr_disarm_all(t);
	if (!tpr_check_rom_at(t, v, rom_va))
		return TPR_REASON_NO_ROM;
	if (!find_register(t, v, &real))
		return TPR_REASON_NOT_THE_TPR;
	return activate(t, rom_va, real);
}
