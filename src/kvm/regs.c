// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vCPU's registers at its first instruction.
 *
 * Theory of operation: KVM creates a vCPU in the state after INIT, as Intel's SDM volume 3, table
 * 10-1 has it. What firmware would have added is set here: memory type ranges (write-back RAM,
 * uncached PCI hole; a kernel complains of firmware that left them empty), and for the boot
 * processor of a direct boot the mode that the boot protocol wants. The other processors wait for
 * their start-up interrupt.
 */
#include "kvm/kvm_internal.h"

#include "machine/layout.h"

#include <errno.h>
#include <string.h>

#define CR0_PE                (1ull << 0)
#define CR0_ET                (1ull << 4)
#define CR0_NE                (1ull << 5)
#define CR0_PG                (1ull << 31)
#define CR4_PAE               (1ull << 5)
#define EFER_LME              (1ull << 8)
#define EFER_LMA              (1ull << 10)

#define MSR_MISC_ENABLE       0x1a0
#define MISC_FAST_STRING      1u
#define MSR_MTRR_PHYS_BASE(n) (0x200 + 2 * (n))
#define MSR_MTRR_PHYS_MASK(n) (0x201 + 2 * (n))
#define MSR_MTRR_FIX64K_00000 0x250
#define MSR_MTRR_FIX16K_80000 0x258
#define MSR_MTRR_FIX16K_A0000 0x259
#define MSR_MTRR_FIX4K_C0000  0x268
#define MSR_MTRR_DEF_TYPE     0x2ff
#define MTRR_WRITE_BACK       6ull
#define MTRR_WRITE_BACK_8     0x0606060606060606ull
#define MTRR_ENABLE           (1ull << 11)
#define MTRR_FIXED_ENABLE     (1ull << 10)
#define MTRR_MASK_VALID       (1ull << 11)

#define SELECTOR_CODE         0x10
#define SELECTOR_DATA         0x18
#define SELECTOR_TSS          0x20

/* A struct kvm_msrs with room for its entries. */
struct msr_list {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry[20];
};
_Static_assert(offsetof(struct msr_list, entry) == sizeof(struct kvm_msrs), "KVM's own layout");

static void msr_add(struct msr_list *l, uint32_t index, uint64_t data)
{
	l->entry[l->nmsrs++] = (struct kvm_msr_entry){.index = index, .data = data};
}

/* Write-back by default, one uncached range from 3 GiB to 4 GiB, the VGA window uncached. */
static int set_msrs(struct vcpu *v, unsigned phys_bits)
{
	uint64_t hole = LAYOUT_4GIB - LAYOUT_HOLE;
	uint64_t address_mask = (1ull << phys_bits) - 1;
	struct msr_list list = {0};

	msr_add(&list, MSR_MTRR_PHYS_BASE(0), LAYOUT_HOLE);
	msr_add(&list, MSR_MTRR_PHYS_MASK(0), (address_mask & ~(hole - 1)) | MTRR_MASK_VALID);
	msr_add(&list, MSR_MTRR_FIX64K_00000, MTRR_WRITE_BACK_8);
	msr_add(&list, MSR_MTRR_FIX16K_80000, MTRR_WRITE_BACK_8);
	msr_add(&list, MSR_MTRR_FIX16K_A0000, 0);
	for (unsigned i = 0; i < 8; i++)
		msr_add(&list, MSR_MTRR_FIX4K_C0000 + i, MTRR_WRITE_BACK_8);
	msr_add(&list, MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_FIXED_ENABLE | MTRR_WRITE_BACK);
	msr_add(&list, MSR_MISC_ENABLE, MISC_FAST_STRING);

	int done = ioctl(v->fd, KVM_SET_MSRS, &list);

	/* A host may not have the last one; the ranges it must take. */
	return done < (int)list.nmsrs - 1 ? -EIO : 0;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
	    .base = 0,
	    .limit = 0xffffffff,
	    .selector = selector,
	    .type = type,
	    .present = 1,
	    .s = 1,
	    .db = 1,
	    .g = 1,
	};
}

static void set_boot_segments(struct kvm_sregs *s, const struct boot_entry *entry)
{
	struct kvm_segment code = flat_segment(SELECTOR_CODE, 11); /* execute, read, accessed */
	struct kvm_segment data = flat_segment(SELECTOR_DATA, 3);  /* read, write, accessed */

	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){
	    .selector = SELECTOR_TSS,
	    .limit = 0x67,
	    .type = 11, /* busy 32-bit or 64-bit TSS */
	    .present = 1,
	};
	s->gdt.base = entry->gdt;
	s->gdt.limit = (uint16_t)(entry->gdt_size - 1);
	s->idt.base = 0;
	s->idt.limit = 0;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (entry->mode == BOOT_LONG64) {
		s->cs.db = 0;
		s->cs.l = 1;
		s->cr0 |= CR0_PG;
		s->cr3 = entry->cr3;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
	}
}

int vcpu_set_reset_state(struct vcpu *v, const struct boot_entry *entry, unsigned phys_bits)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rflags = 2};
	int err = set_msrs(v, phys_bits);

	if (err || !entry)
		return err;
	if (ioctl(v->fd, KVM_GET_SREGS, &sregs))
		return -errno;
	set_boot_segments(&sregs, entry);
	if (ioctl(v->fd, KVM_SET_SREGS, &sregs))
		return -errno;
	regs.rip = entry->rip;
	regs.rax = entry->rax;
	regs.rbx = entry->rbx;
	regs.rsi = entry->rsi;
	regs.rsp = LAYOUT_BOOT_STACK;
	if (ioctl(v->fd, KVM_SET_REGS, &regs))
		return -errno;
	return 0;
}
