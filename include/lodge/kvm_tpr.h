/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What patching a guest's accesses to its task priority register (TPR) needs of a vCPU: KVM's
 * reports of them, the VAPIC word, the local APIC's state, and registers enough to follow the
 * guest's page tables.
 *
 * The VAPIC word is four bytes of guest memory which KVM keeps in step with the local APIC while
 * the vCPU is armed with its address: TPR, highest vector in service & 0xf0, 0, highest vector
 * requested. KVM takes the TPR from it after each exit of the processor and writes the others
 * before an entry, where something changed. Linux, arch/x86/kvm/lapic.c and
 * Documentation/virt/kvm/api.rst, KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR.
 *
 * All calls: the vCPU is parked, or the caller is its own thread. They return 0 or -errno.
 */
#ifndef LODGE_KVM_TPR_H
#define LODGE_KVM_TPR_H

#include <lodge/gmem.h>
#include <lodge/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu_segment {
	uint64_t base;
	uint32_t limit; /* the last byte, whatever the granularity */
	uint16_t selector;
	uint8_t type, dpl; /* Intel SDM volume 3, section 3.4.5 */
	bool present, db, l;
};

struct vcpu_view {
	uint64_t rip, rsp, rflags;
	uint64_t cr0, cr3, cr4, efer;
	uint64_t apic_base; /* MSR 0x1b */
	struct vcpu_segment cs, ss, ds, fs;
};

int vcpu_get_view(struct vcpu *v, struct vcpu_view *out);
int vcpu_set_rip(struct vcpu *v, uint64_t rip);

struct vcpu_apic {
	uint8_t tpr;
	uint8_t in_service; /* the highest vector in ISR, 0: none */
	uint8_t requested;  /* the highest vector in IRR, 0: none */
};

int vcpu_get_apic(struct vcpu *v, struct vcpu_apic *out);

/*
 * With on, each access to the TPR that leaves the guest makes KVM tell vcpu_host.tpr_access(). Off
 * after each vcpu_reset().
 */
int vcpu_report_tpr(struct vcpu *v, bool on);

/*
 * Arms the vCPU with the VAPIC word at guest address a, or with 0 disarms it. -EINVAL: a is not on
 * a 4-byte boundary, or the word is not in RAM. While it is armed the word is compared at each exit
 * with what KVM holds; see vcpu_host.vapic_lost(). A vCPU is disarmed by each vcpu_reset().
 */
int vcpu_set_vapic(struct vcpu *v, gpa_t a);

#endif
