/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's KVM is and can do, found without a virtual machine, or with a throw-away one.
 * For `lodge doctor`, `lodge version` and what depends on the host. Any thread.
 */
#ifndef LODGE_KVM_SURVEY_H
#define LODGE_KVM_SURVEY_H

#include <lodge/kvm.h>
#include <stdbool.h>
#include <stddef.h>

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

/* Whether a 32-bit guest's accesses to its task priority register are worth patching here. */
struct kvm_tpr_survey {
	bool patch;       /* each access leaves the guest, and KVM keeps the VAPIC word in step */
	const char *text; /* why, or why not: "kvm_amd's AVIC does it in hardware" */
};

void kvm_survey_tpr(struct kvm_tpr_survey *out);

#endif
