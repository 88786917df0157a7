/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM: the virtual machine, its vCPUs and its in-kernel interrupt controllers. Every ioctl on
 * /dev/kvm and its children is made behind this header, and nothing else knows of it.
 *
 * A vCPU runs on a thread of its own. All that it may touch while it handles an exit is in
 * struct vcpu_host: the two buses and a way to ask the machine for something.
 */
#ifndef LODGE_KVM_H
#define LODGE_KVM_H

#include <lodge/boot.h>
#include <lodge/bus.h>
#include <lodge/gmem.h>
#include <lodge/irq.h>
#include <lodge/status.h>
#include <stdio.h>

struct vm;
struct vcpu;

/* What kind of KVM the host has; KVM_PVM emulates much code and refuses some. */
enum kvm_kind { KVM_KIND_UNKNOWN, KVM_KIND_AMD, KVM_KIND_INTEL, KVM_KIND_PVM };
enum kvm_kind kvm_host_kind(void);
const char *kvm_kind_name(enum kvm_kind k); /* "kvm_amd", ... */

/*
 * Starts to make a VM on another thread: opens /dev/kvm, checks the API version and each capability
 * that Lodge needs. What fails there is said by vm_complete().
 */
int vm_begin(struct vm **out, struct refusal *why);

/*
 * Waits for it and gives the VM its PIC, I/O APIC, local APICs and PIT, and the RAM of gmem. *why
 * names what is missing. Once; before it only the next three may be called.
 */
int vm_complete(struct vm *vm, const struct gmem *m, struct refusal *why);

/* vCPUs are destroyed before. The process is about to end: KVM takes the VM apart after it. */
void vm_destroy(struct vm *vm);

/* Its pins are those of the in-kernel PIC and I/O APIC, the GSIs. */
struct irq_chip *vm_irq_chip(struct vm *vm);

/*
 * Writes of guests to these ports are gathered in the kernel and come without an exit of their own,
 * in order, before the next exit that reaches us. Only for ports whose writes may be late.
 * Does nothing where KVM cannot. Before vm_complete().
 */
void vm_coalesce_ports(struct vm *vm, uint16_t first, uint16_t count);

/* Delivers what was gathered so far, without an exit. True: there was something. Any thread. */
bool vm_drain_coalesced(struct vm *vm, struct bus *ports, struct bus *mmio);

/*
 * A new VM over the same memory. Before, devices are reset (no line is asserted) and vCPUs
 * released; afterwards each vCPU is reset. -1 with *why: nothing can run any more.
 */
int vm_reset(struct vm *vm, struct refusal *why);

unsigned vm_physical_bits(const struct vm *vm); /* of a guest physical address on this host */

enum vcpu_stop {
	VCPU_STOP_TRIPLE_FAULT,
	VCPU_STOP_KVM_REFUSED, /* KVM cannot run or emulate the instruction at rip */
	VCPU_STOP_FAILED,      /* KVM_RUN failed otherwise */
};

struct vcpu_refused {
	unsigned cpu;
	unsigned mode_bits; /* 16, 32 or 64; 0: KVM does not say where, rip and bytes are unknown */
	uint64_t rip;
	uint8_t bytes[15];
	unsigned byte_count; /* 0: unknown */
	char detail[160];    /* what KVM said */
};

struct vcpu_host {
	struct bus *ports, *mmio;
	void *arg;                 /* of the calls, which come on the vCPU's thread */
	void (*exited)(void *arg); /* before each exit is handled; cheap; may be NULL */
	/* The vCPU then parks itself. */
	void (*stopped)(void *arg, enum vcpu_stop why, const struct vcpu_refused *what);
};

struct vcpu_params {
	unsigned id;    /* 0 is the boot processor; also its APIC id */
	unsigned count; /* of all vCPUs */
	const struct vcpu_host *host;
	const char *cpu_features; /* ",+x,-y" of --cpu, or ""; outlives the vCPU */
};

int vcpu_create(struct vm *vm, const struct vcpu_params *p, struct vcpu **out, struct refusal *why);
void vcpu_destroy(struct vcpu *v); /* stops and joins its thread first */

/*
 * State after power-on; entry is where the boot processor starts, NULL for the others. Parked or
 * not started. Needed once before vcpu_start() too. -1 with *why.
 */
int vcpu_reset(struct vcpu *v, const struct boot_entry *entry, struct refusal *why);
/* Gives KVM's part of a parked vCPU back; vcpu_reset() makes a new one. */
void vcpu_release(struct vcpu *v);

int vcpu_start(struct vcpu *v); /* its thread, parked */

/* Parks it. Not on its own thread. False: the host's kernel holds it still at until_ns on
 * clock_host(); then only resume or abandon follow. */
bool vcpu_pause(struct vcpu *v, uint64_t until_ns);
void vcpu_pause_begin(struct vcpu *v); /* the first half: asks, does not wait; any thread */
void vcpu_resume(struct vcpu *v);
void vcpu_abandon(struct vcpu *v); /* instead of destroying: the thread ends when it can */

/* Registers, segments, control registers, MSRs, events and code bytes, for a report. Parked. */
void vcpu_dump(struct vcpu *v, FILE *f);

struct vcpu_counters {
	uint64_t exits, io, mmio, coalesced;
};
void vcpu_counters(const struct vcpu *v, struct vcpu_counters *out);

/* For `lodge doctor`: runs a few instructions of unenlightened code; 1 runs, 0 refused, -errno. */
int kvm_probe_unenlightened(char *detail, size_t size);

/* What /dev/kvm says of itself, for `lodge doctor` and `lodge version`. */
struct kvm_capability {
	const char *name; /* "KVM_CAP_IRQCHIP" */
	const char *use;  /* what Lodge does with it */
	bool required;
	int value; /* of KVM_CHECK_EXTENSION; 0: not there */
};

#define KVM_SURVEY_CAPABILITIES_MAX 24u

enum kvm_switch { KVM_SWITCH_UNKNOWN, KVM_SWITCH_OFF, KVM_SWITCH_ON };

struct kvm_survey {
	int error;       /* 0, or the errno of opening /dev/kvm; the rest is then empty */
	int api_version; /* -1: not a KVM device; Lodge needs 12 */
	unsigned capability_count;
	struct kvm_capability capability[KVM_SURVEY_CAPABILITIES_MAX];
	unsigned vcpus_recommended, vcpus_max;
	unsigned physical_bits; /* of guest physical addresses; 0: unknown */
	/* The module's parameters; names as in /sys/module/KIND/parameters, NULL: has none. */
	const char *paging_name, *apic_name;
	enum kvm_switch paging, apic; /* nested paging; interrupt controller in hardware */
};

void kvm_survey(struct kvm_survey *out);

#endif
