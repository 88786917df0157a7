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
#include <lodge/msi.h>
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
 * names what is missing. Once; before it only what is above vm_drain_coalesced().
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

/*
 * A guest's write of exactly `size` bytes to the port only adds 1 to the eventfd, without an exit
 * to us; where KVM cannot, it is an exit. The eventfd stays the caller's. Before vm_complete().
 */
void vm_port_event(struct vm *vm, uint16_t port, unsigned size, int fd);

struct msi_chip *vm_msi_chip(struct vm *vm);
void vm_take_doorbells(struct vm *vm, struct bus *ports, struct bus *mmio); /* from now on */

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

/* All are called on the vCPU's thread. */
struct vcpu_host {
	struct bus *ports, *mmio;
	void *arg;
	void (*exited)(void *arg); /* before each exit is handled; cheap; may be NULL */
	/* The vCPU then parks itself. */
	void (*stopped)(void *arg, enum vcpu_stop why, const struct vcpu_refused *what);
	/*
	 * The guest accessed its task priority register (vcpu_report_tpr() in kvm_tpr.h). The
	 * access is done; what KVM says of it is a hint, as a later exit may have overwritten it.
	 */
	void (*tpr_access)(void *arg, unsigned cpu, uint64_t rip, bool is_write);
	/* The armed VAPIC word and KVM's task priority went apart: KVM has forgotten the word. */
	void (*vapic_lost)(void *arg, unsigned cpu);
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

/*
 * On its own thread, in a callback: it parks behind it and vcpu_resume() does nothing until
 * vcpu_unhold(), on any thread, has been called too; a reset lets go as well.
 */
void vcpu_hold(struct vcpu *v);
void vcpu_unhold(struct vcpu *v);

#define VCPU_NONE (~0u)
/* The id of the vCPU whose thread this is; VCPU_NONE on others. */
unsigned vcpu_current(void);

/* Registers, segments, control registers, MSRs, events and code bytes, for a report. Parked. */
void vcpu_dump(struct vcpu *v, FILE *f);

struct vcpu_counters {
	uint64_t exits, io, mmio, coalesced;
};
void vcpu_counters(const struct vcpu *v, struct vcpu_counters *out);

#endif
