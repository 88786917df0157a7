// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The task priority register's side of a vCPU: reports, VAPIC word, local APIC state.
 *
 * Theory of operation: with the local APIC in the kernel, KVM adopts the TPR byte of an armed VAPIC
 * word after each exit of the processor, so that at each exit to us its own TPR, of which
 * kvm_run.cr8 is the upper half, must be the word's. Where it is not, the guest wrote the register
 * by an instruction that was not patched (KVM then says so), or an INIT reset the local APIC, which
 * stops the adopting without a word to userspace (Linux, arch/x86/kvm/lapic.c, kvm_lapic_reset()).
 */
#include "kvm/kvm_internal.h"

#include <errno.h>
#include <string.h>

#define APIC_TPR   0x80u
#define APIC_ISR   0x100u
#define APIC_IRR   0x200u
#define VAPIC_SIZE 4u

static void convert(const struct kvm_segment *from, struct vcpu_segment *to)
{
	*to = (struct vcpu_segment){
	    .base = from->base,
	    .limit = from->limit, /* KVM gives it in bytes */
	    .selector = from->selector,
	    .type = from->type,
	    .dpl = from->dpl,
	    .present = from->present && !from->unusable,
	    .db = from->db,
	    .l = from->l,
	};
}

int vcpu_get_view(struct vcpu *v, struct vcpu_view *out)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_REGS, &r) || ioctl(v->fd, KVM_GET_SREGS, &s))
		return -errno;
	*out = (struct vcpu_view){
	    .rip = r.rip,
	    .rsp = r.rsp,
	    .rflags = r.rflags,
	    .cr0 = s.cr0,
	    .cr3 = s.cr3,
	    .cr4 = s.cr4,
	    .efer = s.efer,
	    .apic_base = s.apic_base,
	};
	convert(&s.cs, &out->cs);
	convert(&s.ss, &out->ss);
	convert(&s.ds, &out->ds);
	convert(&s.fs, &out->fs);
	return 0;
}

int vcpu_set_rip(struct vcpu *v, uint64_t rip)
{
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_REGS, &r))
		return -errno;
	r.rip = rip;
	return ioctl(v->fd, KVM_SET_REGS, &r) ? -errno : 0;
}

/* Eight registers of 32 vectors, 16 bytes apart. */
static uint8_t highest_vector(const struct kvm_lapic_state *s, unsigned base)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t bits;

		memcpy(&bits, s->regs + base + 16 * (size_t)i, sizeof(bits));
		if (bits)
			return (uint8_t)(32 * i + 31 - __builtin_clz(bits));
	}
	return 0;
}

int vcpu_get_apic(struct vcpu *v, struct vcpu_apic *out)
{
	struct kvm_lapic_state s;

	if (ioctl(v->fd, KVM_GET_LAPIC, &s))
		return -errno;
	out->tpr = (uint8_t)s.regs[APIC_TPR];
	out->in_service = highest_vector(&s, APIC_ISR);
	out->requested = highest_vector(&s, APIC_IRR);
	return 0;
}

int vcpu_report_tpr(struct vcpu *v, bool on)
{
	struct kvm_tpr_access_ctl ctl = {.enabled = on};

	return ioctl(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl) ? -errno : 0;
}

int vcpu_set_vapic(struct vcpu *v, gpa_t a)
{
	struct kvm_vapic_addr address = {.vapic_addr = a};
	const uint8_t *word = a ? gmem_pointer(v->vm->mem, a, VAPIC_SIZE) : NULL;

	/* KVM takes an address that crosses a page, or with older kernels any. */
	if (a && (a % VAPIC_SIZE || !word))
		return -EINVAL;
	if (ioctl(v->fd, KVM_SET_VAPIC_ADDR, &address)) {
		int err = -errno;

		v->vapic = NULL;
		return err;
	}
	v->vapic = word;
	return 0;
}

bool vcpu_vapic_in_step(const struct vcpu *v)
{
	return !v->vapic || __atomic_load_n(v->vapic, __ATOMIC_RELAXED) >> 4 == v->run->cr8;
}
