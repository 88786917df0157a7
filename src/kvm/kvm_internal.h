/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/kvm share: the insides of a VM and of a vCPU. */
#ifndef KVM_INTERNAL_H
#define KVM_INTERNAL_H

#include <lodge/kvm.h>
#include <lodge/kvm_survey.h>
#include <lodge/kvm_tpr.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#define KVM_COALESCED_ZONES_MAX 8u
#define KVM_PORT_EVENTS_MAX     4u
#define KVM_CPUID_MAX           256u
#define KVM_MSI_SLOTS           1024u
#define KVM_PIN_ROUTES_MAX      40u

struct cpuid_table {
	uint32_t nent;
	uint32_t padding; /* the layout of struct kvm_cpuid2 */
	struct kvm_cpuid_entry2 entry[KVM_CPUID_MAX];
};

/* The layout of struct kvm_irq_routing. */
struct route_table {
	uint32_t count, flags;
	struct kvm_irq_routing_entry entry[KVM_PIN_ROUTES_MAX + KVM_MSI_SLOTS];
};

/* One MSI route, and what KVM knows of it; msi.c. */
struct msi_slot {
	struct msi_route *route; /* NULL: free */
	bool used;               /* its message was set */
	bool bound;              /* its eventfd sends `known` */
	struct msi_message known;
};

/* The doorbells of one bus; doorbell.c. */
struct doorbell_space {
	struct vm *vm;
	uint32_t flags; /* of KVM_IOEVENTFD */
	struct doorbell *armed;
};

struct vm {
	int sys_fd, fd;
	pthread_t maker; /* makes both, then ends; until joined they are its own */
	bool making;
	struct refusal making_why;
	const struct gmem *mem;
	struct irq_chip chip;
	size_t run_size;

	/* Gathered port writes: the ring lives behind vCPU 0's kvm_run page. */
	pthread_mutex_t coalesced_lock;
	unsigned coalesced_page;              /* 0: KVM cannot */
	struct kvm_coalesced_mmio_ring *ring; /* NULL while vCPU 0 has no descriptor */
	unsigned ring_max;
	struct kvm_coalesced_mmio_zone zones[KVM_COALESCED_ZONES_MAX];
	unsigned zone_count;
	atomic_ullong coalesced_count;

	struct kvm_ioeventfd port_events[KVM_PORT_EVENTS_MAX];
	unsigned port_event_count;

	struct msi_chip msi;
	pthread_mutex_t msi_lock; /* guards what follows; leaf */
	struct msi_slot msi_slot[KVM_MSI_SLOTS];
	bool msi_apart; /* KVM takes no more routes: messages go one by one */
	struct route_table routes;

	pthread_mutex_t doorbell_lock; /* guards what follows; leaf */
	struct doorbell_space port_bells, mmio_bells;
	bool bells_ready; /* fd is a whole VM */

	bool tsc_deadline;
	struct cpuid_table *supported; /* what KVM and the host can show a guest */
};

enum vcpu_state {
	VCPU_RUNNING, /* in the loop: in the guest or handling an exit */
	VCPU_PARKED,
};

struct vcpu {
	struct vm *vm;
	struct vcpu_params params;
	int fd;
	struct kvm_run *run; /* changes under lock only, and while the thread is parked */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards state; leaf */
	pthread_cond_t changed;
	enum vcpu_state state;
	atomic_bool pause;    /* someone wants it parked */
	atomic_bool leave;    /* the thread shall end */
	atomic_bool stopped;  /* reported `stopped`: stays parked until reset */
	atomic_bool held;     /* by itself, until someone has seen to it */
	bool wiped;           /* by KVM, at a triple fault: registers say nothing */
	const uint8_t *vapic; /* the armed VAPIC word in guest memory, or NULL */

	atomic_ullong exits, io, mmio;
};

/* vm.c */
int vm_open_system(struct refusal *why); /* checked /dev/kvm descriptor, or -1 */
int kvm_refuse_ioctl(struct refusal *why, const char *name); /* errno says why; -1 */
void vm_drain_ring(struct vm *vm, struct bus *ports, struct bus *mmio);

/* chips.c: gives a new VM its interrupt controllers, their routes and the PIT. -1 with *why. */
int vm_make_chips(struct vm *vm, struct refusal *why);
void vm_add_pin_routes(struct route_table *t);

/* msi.c */
void vm_init_msi(struct vm *vm);
void vm_forget_msi(struct vm *vm); /* the VM is a new one, without MSI routes */

/* doorbell.c */
void vm_init_doorbells(struct vm *vm);
void vm_suspend_doorbells(struct vm *vm); /* fd is about to be closed */
void vm_renew_doorbells(struct vm *vm);   /* fd is another VM */

/* survey.c: every capability that Lodge asks for. */
struct kvm_wanted {
	int number;
	const char *name;
	bool required;
	const char *use;
};
extern const struct kvm_wanted kvm_wanted[];
extern const unsigned kvm_wanted_count;

/*
 * survey.c: pure. first, second: avic of kvm_amd; flexpriority and enable_apicv of kvm_intel.
 * AVIC may be inhibited for a while and come back, so what counts is the parameter.
 */
struct kvm_tpr_survey survey_judge_tpr(enum kvm_kind kind, enum kvm_switch first,
				       enum kvm_switch second);

/* release.c: closes a VM's descriptor; the process is about to end. */
void vm_release_descriptor(int fd);

/* cpuid.c: pure. What vCPU `id` of `count` sees; tsc_khz 0: unknown. */
struct cpuid_request {
	unsigned id, count;
	uint32_t tsc_khz;
	bool tsc_deadline;
	const char *features; /* ",+x,-y" or "" */
};
int cpuid_build(const struct cpuid_table *supported, const struct cpuid_request *req,
		struct cpuid_table *out, struct refusal *why);
unsigned cpuid_physical_bits(const struct cpuid_table *c);

/* cpu_features.c */
struct cpu_feature {
	const char *name; /* as in /proc/cpuinfo */
	uint32_t function, index;
	enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX } reg;
	uint8_t bit;
};
const struct cpu_feature *cpu_feature_find(const char *name, size_t length);

/* regs.c */
int vcpu_set_reset_state(struct vcpu *v, const struct boot_entry *entry, unsigned phys_bits);

/*
 * dump.c: up to max bytes at a linear address, as far as the guest maps them; how many. Its own
 * thread, or parked.
 */
unsigned vcpu_read_linear(struct vcpu *v, uint64_t at, uint8_t *out, unsigned max);

/* tpr.c: at an exit; false: the armed VAPIC word is not what KVM holds */
bool vcpu_vapic_in_step(const struct vcpu *v);

/* exit.c: one exit of KVM_RUN. False: the vCPU has reported `stopped`. */
bool vcpu_handle_exit(struct vcpu *v);
void vcpu_report_run_error(struct vcpu *v, int err); /* the same for a KVM_RUN that failed */

#endif
