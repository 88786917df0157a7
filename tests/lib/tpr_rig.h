/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for the TPR patcher without KVM: memory with real page tables (two levels or PAE), NT's
 * mappings (low memory at 0x80000000, the local APIC at 0xfffe0000), KPCRs, and vCPUs that note
 * what the patcher did to them.
 */
#ifndef TPR_RIG_H
#define TPR_RIG_H

#include <lodge/bus.h>
#include <lodge/tpr.h>

#define TPR_RIG_CPUS    4u
#define TPR_RIG_MEMORY  0x200000u
#define TPR_RIG_ROM     0xc8000u
#define TPR_RIG_APIC    0xfee00000u
#define TPR_RIG_KSEG0   0x80000000u
#define TPR_RIG_TPR     0xfffe0080u
#define TPR_RIG_CODE    0x80110000u /* free for code; a page of its own follows */
#define TPR_RIG_KPCR(n) (0x80120000u + (n)*0x1000u)
#define TPR_RIG_STACK   0x80140000u

enum { TPR_RIG_P = 1, TPR_RIG_W = 2, TPR_RIG_U = 4 };
#define TPR_RIG_NX (1ull << 63)

struct tpr_rig_vcpu {
	struct vcpu_view view;
	struct vcpu_apic apic;
	gpa_t vapic;
	bool reporting, held;
	unsigned views; /* how often it was looked at */
};

struct tpr_rig {
	bool pae;
	struct gmem *mem;
	struct bus *ports;
	struct tpr *tpr;
	struct tpr_ops ops;
	uint32_t next_table; /* physical, for tpr_rig_map() */
	struct tpr_rig_vcpu vcpu[TPR_RIG_CPUS];
	unsigned current, wakes, traces;
	int fail_view, fail_apic, fail_vapic, fail_report; /* -errno that the calls return */
};

/* Everything mapped, the ROM placed, reports on. False: out of memory. */
bool tpr_rig_create(struct tpr_rig *r, bool pae, unsigned cpus);
void tpr_rig_destroy(struct tpr_rig *r);

/* One page; flags: TPR_RIG_*; 0 unmaps. */
void tpr_rig_map(struct tpr_rig *r, uint32_t va, uint64_t pa, uint64_t flags);

/* Guest memory at a KSEG0 address. */
uint8_t *tpr_rig_at(struct tpr_rig *r, uint32_t va);

void tpr_rig_put(struct tpr_rig *r, uint32_t va, const uint8_t *bytes, size_t n);

/* How many instructions were patched, and refused for a reason, by the counters. */
uint64_t tpr_rig_patched(const struct tpr_rig *r);
uint64_t tpr_rig_refused(const struct tpr_rig *r, const char *reason);

/* Where the CALL at ip leads, from its displacement; 0: there is none. */
uint32_t tpr_rig_call_target(struct tpr_rig *r, uint32_t ip);

/* The vCPU made the access at ip, KVM reports it; what it asked for is served. */
void tpr_rig_access(struct tpr_rig *r, unsigned cpu, uint32_t ip);
/* The vCPU, standing behind an OUT at rip - 2, writes to the ROM's port. */
void tpr_rig_out(struct tpr_rig *r, unsigned cpu, uint32_t rip, unsigned size, uint32_t value);
void tpr_rig_serve(struct tpr_rig *r);

#endif
