/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of src/tpr share: the patcher's state.
 *
 * Who writes what: `asks` of a CPU, what was asked, its refused sites and its `fruitless` belong to
 * the vCPU's thread while it runs. All else changes only while every vCPU is parked, so its threads
 * read it without a lock. Counters are atomic.
 */
#ifndef TPR_INTERNAL_H
#define TPR_INTERNAL_H

#include "tpr/decode.h"
#include "tpr/image.h"
#include "tpr/walk.h"

#include <lodge/tpr.h>
#include <stdatomic.h>

#define TPR_SITES_MAX   1024u /* patched instructions; NT's HALs have some tens */
#define TPR_REFUSED_MAX 32u   /* refused sites that a vCPU remembers */
#define TPR_ARMS_MAX    1024u /* of one vCPU between resets */
#define TPR_PORT_COUNT  2u    /* ports from TPR_ROM_PORT on */

/* Why a site is left alone, beyond what its bytes say. */
enum tpr_reason {
	TPR_REASON_NONE = TPR_ACCEPTED,
	TPR_REASON_NO_PAGING = TPR_REFUSAL_COUNT,
	TPR_REASON_CODE_UNMAPPED,
	TPR_REASON_CODE_RIGHTS, /* for ring 3, or not executable */
	TPR_REASON_CODE_PLACE,  /* not in the kernel half, not in RAM, or in the ROM */
	TPR_REASON_APIC_OFF,    /* or moved, or an x2APIC */
	TPR_REASON_NOT_THE_TPR, /* the address does not lead to it */
	TPR_REASON_NO_KPCR,     /* FS does not point to NT's processor control region */
	TPR_REASON_CPU_NUMBER,  /* there is no record for it, or another vCPU has it */
	TPR_REASON_STACK,       /* no room that is mapped */
	TPR_REASON_NO_ROM,      /* no ROM, or the guest does not map it */
	TPR_REASON_ROM_CHANGED, /* the guest wrote over it, or unmapped it */
	TPR_REASON_IN_ROM,      /* an access of our own */
	TPR_REASON_ALREADY,     /* another vCPU was faster */
	TPR_REASON_TABLE_FULL,
	TPR_REASON_STOPPED, /* after a take-back, or armed too often */
	TPR_REASON_HOST,    /* a call to KVM failed */
	TPR_REASON_COUNT
};

const char *tpr_reason_name(unsigned reason);

/* Bytes at a virtual address: in one page, or in two. */
struct tpr_span {
	gpa_t gpa[2];
	uint8_t size[2];
};

/* Of a patched instruction: all that taking it back needs. */
struct tpr_site {
	uint32_t ip;
	struct tpr_span span; /* of the CALL */
	uint8_t length;       /* of the CALL */
	uint8_t before[TPR_PATCH_MAX], after[TPR_PATCH_MAX];
};

/* A site that was refused, with the bytes that stood there. */
struct tpr_refused {
	uint32_t ip;
	uint16_t reason; /* TPR_REASON_NONE: entry not used */
	uint8_t count;   /* of bytes */
	uint8_t bytes[TPR_INSTRUCTION_MAX];
	uint32_t hits, next; /* reports so far; looked at again when hits reaches next */
};

enum { TPR_ASK_REPORT = 1, TPR_ASK_LOST = 2, TPR_ASK_DORMANT = 4, TPR_ASK_ANNOUNCE = 8 };

struct tpr_vcpu {
	atomic_uint asks; /* TPR_ASK_*; cleared by tpr_serve() */
	uint32_t ip;      /* TPR_ASK_REPORT: the instruction */
	struct vcpu_view view;
	unsigned fruitless; /* reports in a row that led to nothing */
	struct tpr_refused refused[TPR_REFUSED_MAX];

	bool reporting;
	int number; /* the guest's number of this CPU, whose record it uses; -1: not armed */
	unsigned arms;
};

struct tpr {
	struct device device;
	struct tpr_params params;
	struct bus_region region;

	/* What a snapshot has to keep, beyond RAM; each vCPU is armed again on demand. */
	bool placed, stopped;
	struct tpr_image image;
	uint8_t code[TPR_ROM_CODE_SIZE]; /* as it was written last */
	struct tpr_site site[TPR_SITES_MAX];
	unsigned site_count;

	unsigned armed;                 /* vCPUs */
	unsigned searches, next_search; /* asked for; the one that is done next */

	atomic_ullong reports, repairs, arms, losses, activations, taken_back;
	atomic_ullong patched[TPR_OP_COUNT], refusals[TPR_REASON_COUNT];
	struct tpr_vcpu vcpu[];
};

static inline void tpr_count(atomic_ullong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* check.c */
struct tpr_finding {
	uint8_t bytes[TPR_INSTRUCTION_MAX];
	unsigned count;
	struct tpr_plan plan;
	struct tpr_span span; /* of the instruction */
	unsigned number;      /* of the CPU, from its KPCR */
};

/*
 * Everything that must hold for the instruction at ip to be patched, except that the ROM is
 * mapped. Changes nothing. TPR_REASON_NONE with all of *f; else bytes and count only.
 */
unsigned tpr_check_site(const struct tpr *t, const struct vcpu_view *v, uint32_t ip,
			struct tpr_finding *f);
/* The CPU's number from NT's KPCR; false if FS does not point to one. */
bool tpr_check_kpcr(const struct tpr *t, const struct vcpu_view *v, unsigned *number);
/* Whether the whole ROM is seen at va. */
bool tpr_check_rom_at(const struct tpr *t, const struct vcpu_view *v, uint32_t va);
/* Whether va is seen as the TPR. */
bool tpr_check_register(const struct tpr *t, const struct vcpu_view *v, uint32_t va);

/* refused.c: what a vCPU remembers of sites that were refused. On its thread, or parked. */
/* The reason, if it is not yet time to look at the site again; else TPR_REASON_NONE. */
unsigned tpr_refused_lately(struct tpr_vcpu *c, uint32_t ip);
void tpr_refused_note(struct tpr_vcpu *c, uint32_t ip, unsigned reason,
		      const struct tpr_finding *f);

/* journal.c */
bool tpr_journal_full(const struct tpr *t);
/* Writes the CALL over the instruction that f was found for; NULL: no room, or not RAM. */
const struct tpr_site *tpr_journal_patch(struct tpr *t, uint32_t ip, const struct tpr_finding *f,
					 const uint8_t *call);
/* Puts back what is still ours and forgets all; how many were put back. */
unsigned tpr_journal_take_back(struct tpr *t);

/* arm.c. Parked: behind an access, as a report leaves a vCPU (firmware/README.md). */
unsigned tpr_arm(struct tpr *t, unsigned cpu, unsigned number); /* TPR_REASON_NONE: it is armed */
void tpr_disarm(struct tpr *t, unsigned cpu);
void tpr_disarm_all(struct tpr *t);
void tpr_repair(struct tpr *t, unsigned cpu); /* the vCPU is armed; its thread, or parked */
void tpr_remember_code(struct tpr *t);        /* the ROM as it is now is as it shall be */
bool tpr_code_changed(const struct tpr *t);

/* activate.c: finds the ROM and the TPR in the guest's address space. */
unsigned tpr_activate_for(struct tpr *t, const struct vcpu_view *v, uint32_t real);
/*
 * Where a vCPU that made a dormant OUT must go on: the entry it called. False: the OUT came from
 * elsewhere. Its thread, or parked.
 */
bool tpr_find_dormant_entry(const struct tpr *t, const struct vcpu_view *v, uint32_t *entry_va,
			    uint32_t *rom_va);
unsigned tpr_activate_dormant(struct tpr *t, const struct vcpu_view *v, uint32_t rom_va);

#endif
