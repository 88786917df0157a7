/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TPR patching: makes a 32-bit guest's accesses to its task priority register cheap, by replacing
 * each accessing instruction, the first time it leaves the guest, with a call into an option ROM of
 * ours. docs/tpr-patching.md has the whole story.
 *
 * Two kinds of callers. A vCPU's thread tells of an exit (tpr_access(), tpr_vapic_lost(), the
 * port); it only looks, and where something is to be done it holds itself and has the main loop
 * woken. The main loop then stops every vCPU and calls tpr_serve(), which checks all again and
 * acts. So what is shared changes only while no vCPU runs, and vCPU threads read it without a lock.
 *
 * The guest is hostile: whatever it does costs itself alone.
 */
#ifndef LODGE_TPR_H
#define LODGE_TPR_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/gmem.h>
#include <lodge/kvm_tpr.h>
#include <stdbool.h>
#include <stdint.h>

struct tpr;

/* One patch, for a trace. */
struct tpr_trace {
	unsigned cpu;
	uint32_t ip;
	const uint8_t *before, *after;
	unsigned before_length, after_length; /* bytes */
};

/*
 * What the patcher needs of the machine. cpu is the index of a vCPU; calls that return int give 0
 * or -errno and are those of kvm_tpr.h.
 */
struct tpr_ops {
	int (*get_view)(void *arg, unsigned cpu, struct vcpu_view *out);
	int (*get_apic)(void *arg, unsigned cpu, struct vcpu_apic *out);
	int (*set_rip)(void *arg, unsigned cpu, uint64_t rip);
	int (*set_vapic)(void *arg, unsigned cpu, gpa_t a);
	int (*report)(void *arg, unsigned cpu, bool on);
	void (*hold)(void *arg, unsigned cpu); /* on its thread: out of the guest until unhold() */
	void (*unhold)(void *arg, unsigned cpu);
	unsigned (*current)(void *arg); /* whose thread this is, or VCPU_NONE */
	void (*wake)(void *arg);        /* has tpr_serve() called soon; any thread */
	void (*patched)(void *arg, const struct tpr_trace *t); /* from tpr_serve(); or NULL */
};

struct tpr_params {
	struct gmem *mem;
	struct bus *ports;
	unsigned cpus;
	bool patch; /* else the ROM only serves a guest that hibernated with patches */
	const struct tpr_ops *ops;
	void *arg;
};

/* What p points to outlives it. 0 or -errno. */
int tpr_create(const struct tpr_params *p, struct tpr **out);

/* For the machine's list: its reset forgets all, its destroy frees. */
struct device *tpr_device(struct tpr *t);

/*
 * Puts the ROM, dormant, at guest address base below 1 MiB, as firmware would. Every vCPU parked,
 * at start and after each reset. 0 or -errno.
 */
int tpr_place_rom(struct tpr *t, gpa_t base);

/* Every vCPU was reset and is parked: turns the reports on. 0 or -errno. */
int tpr_start(struct tpr *t);

/* On the vCPU's thread: see vcpu_host. */
void tpr_access(struct tpr *t, unsigned cpu, uint64_t rip, bool is_write);
void tpr_vapic_lost(struct tpr *t, unsigned cpu);

/* Whether there is something to serve. Any thread. */
bool tpr_pending(const struct tpr *t);

/* Does what vCPUs asked for. Main loop's thread, every vCPU parked. */
void tpr_serve(struct tpr *t);

/*
 * Puts every patched instruction back whose bytes are still ours and uses the VAPIC no more;
 * nothing is patched until the next reset. Main loop's thread, every vCPU parked.
 */
void tpr_take_back(struct tpr *t);

#define TPR_COUNTERS_MAX 64u

struct tpr_counter {
	const char *name; /* "load", "byte-store": stays as it is over versions */
	uint64_t value;
};

/* From the start of the run, over resets. Any thread. */
struct tpr_counters {
	uint64_t reports; /* accesses that KVM told of */
	uint64_t repairs; /* of them, unpatched writes that KVM would have lost */
	uint64_t arms;    /* how often a vCPU began to use its VAPIC word */
	uint64_t losses;  /* how often KVM had forgotten it (INIT) */
	uint64_t activations;
	uint64_t taken_back;
	struct tpr_counter patched[8]; /* by form */
	unsigned patched_count;
	struct tpr_counter refused[TPR_COUNTERS_MAX]; /* by reason; none that is 0 */
	unsigned refused_count;
};

void tpr_get_counters(const struct tpr *t, struct tpr_counters *out);

#endif
