/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's KVM is and can do, without creating a VM.
 *
 * Theory of operation: /dev/kvm is opened, asked, and closed again. The table of capabilities is
 * also the one that vm.c checks before it creates a VM, so that `lodge doctor` and `lodge run`
 * cannot disagree. Module parameters are read from /sys/module; a parameter that is missing or
 * unreadable is unknown, never off. Linux, Documentation/virt/kvm/api.rst, section 4.4.
 */
#include "kvm/kvm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WANTED(name, required, use)                                                                \
	{                                                                                          \
		name, #name, required, use                                                         \
	}

const struct kvm_wanted kvm_wanted[] = {
    WANTED(KVM_CAP_USER_MEMORY, true, "the guest's memory"),
    WANTED(KVM_CAP_IRQCHIP, true, "interrupt controllers in the kernel"),
    WANTED(KVM_CAP_IRQ_ROUTING, true, "which interrupt reaches which controller"),
    WANTED(KVM_CAP_SIGNAL_MSI, true, "interrupts of PCI devices by messages"),
    WANTED(KVM_CAP_PIT2, true, "the PC's timer in the kernel"),
    WANTED(KVM_CAP_EXT_CPUID, true, "what processor the guest sees"),
    WANTED(KVM_CAP_IMMEDIATE_EXIT, true, "stopping a vCPU without a race"),
    WANTED(KVM_CAP_MP_STATE, true, "starting and stopping processors"),
    WANTED(KVM_CAP_SET_TSS_ADDR, true, "real mode on Intel processors"),
    WANTED(KVM_CAP_SET_IDENTITY_MAP_ADDR, true, "real mode on Intel processors"),
    WANTED(KVM_CAP_COALESCED_MMIO, false, "gathering writes, fewer exits"),
    WANTED(KVM_CAP_COALESCED_PIO, false, "gathering writes to the serial port, fewer exits"),
    WANTED(KVM_CAP_TSC_DEADLINE_TIMER, false, "cheap timers in the guest"),
    WANTED(KVM_CAP_VAPIC, false, "32-bit Windows guests at full speed"),
    WANTED(KVM_CAP_IOEVENTFD, false, "writes that wake us without stopping the guest"),
    WANTED(KVM_CAP_IRQFD, false, "interrupts of PCI devices by file descriptors"),
};

const unsigned kvm_wanted_count = sizeof(kvm_wanted) / sizeof(kvm_wanted[0]);

static const struct {
	const char *paging, *apic;
} parameters[] = {
    [KVM_KIND_UNKNOWN] = {NULL, NULL},
    [KVM_KIND_AMD] = {"npt", "avic"},
    [KVM_KIND_INTEL] = {"ept", "enable_apicv"},
    [KVM_KIND_PVM] = {NULL, NULL},
};

static enum kvm_switch read_parameter(enum kvm_kind kind, const char *name)
{
	enum kvm_switch state = KVM_SWITCH_UNKNOWN;
	char path[96];
	FILE *f;

	if (!name)
		return state;
	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", kvm_kind_name(kind), name);
	f = fopen(path, "re");
	if (!f)
		return state;
	switch (fgetc(f)) {
	case 'Y':
	case '1':
		state = KVM_SWITCH_ON;
		break;
	case 'N':
	case '0':
		state = KVM_SWITCH_OFF;
		break;
	default:
		break;
	}
	fclose(f);
	return state;
}

static unsigned read_physical_bits(int fd)
{
	struct cpuid_table *table = calloc(1, sizeof(*table));
	unsigned bits = 0;

	if (!table)
		return 0;
	table->nent = KVM_CPUID_MAX;
	if (!ioctl(fd, KVM_GET_SUPPORTED_CPUID, table))
		bits = cpuid_physical_bits(table);
	free(table);
	return bits;
}

static unsigned check_number(int fd, int capability)
{
	int n = ioctl(fd, KVM_CHECK_EXTENSION, capability);

	return n > 0 ? (unsigned)n : 0;
}

static void read_capabilities(int fd, struct kvm_survey *out)
{
	unsigned i;

	for (i = 0; i < kvm_wanted_count && i < KVM_SURVEY_CAPABILITIES_MAX; i++) {
		out->capability[i] = (struct kvm_capability){
		    .name = kvm_wanted[i].name,
		    .use = kvm_wanted[i].use,
		    .required = kvm_wanted[i].required,
		    .value = (int)check_number(fd, kvm_wanted[i].number),
		};
	}
	out->capability_count = i;
}

static struct kvm_tpr_survey judge_amd(enum kvm_switch avic)
{
	if (avic == KVM_SWITCH_ON)
		return (struct kvm_tpr_survey){false, "kvm_amd's hardware does it (avic)"};
	if (avic == KVM_SWITCH_UNKNOWN)
		return (struct kvm_tpr_survey){false, "kvm_amd does not say what its avic is"};
	return (struct kvm_tpr_survey){true, "kvm_amd stops the guest at each access (no avic)"};
}

static struct kvm_tpr_survey judge_intel(enum kvm_switch flexpriority, enum kvm_switch apicv)
{
	if (flexpriority == KVM_SWITCH_ON || apicv == KVM_SWITCH_ON)
		return (struct kvm_tpr_survey){
		    false, "kvm_intel's hardware does it (flexpriority or enable_apicv)"};
	if (flexpriority == KVM_SWITCH_UNKNOWN || apicv == KVM_SWITCH_UNKNOWN)
		return (struct kvm_tpr_survey){
		    false, "kvm_intel does not say what its flexpriority or enable_apicv is"};
	return (struct kvm_tpr_survey){true, "kvm_intel stops the guest at each access (neither "
					     "flexpriority nor enable_apicv)"};
}

struct kvm_tpr_survey survey_judge_tpr(enum kvm_kind kind, enum kvm_switch first,
				       enum kvm_switch second)
{
	switch (kind) {
	case KVM_KIND_AMD:
		return judge_amd(first);
	case KVM_KIND_INTEL:
		return judge_intel(first, second);
	case KVM_KIND_PVM:
		return (struct kvm_tpr_survey){
		    false, "kvm_pvm runs code in batches and does not see each access"};
	default:
		return (struct kvm_tpr_survey){false, "it is not known what this KVM does"};
	}
}

void kvm_survey_tpr(struct kvm_tpr_survey *out)
{
	enum kvm_kind kind = kvm_host_kind();

	if (kind == KVM_KIND_INTEL)
		*out = survey_judge_tpr(kind, read_parameter(kind, "flexpriority"),
					read_parameter(kind, "enable_apicv"));
	else
		*out = survey_judge_tpr(kind, read_parameter(kind, parameters[kind].apic),
					KVM_SWITCH_OFF);
}

void kvm_survey(struct kvm_survey *out)
{
	enum kvm_kind kind = kvm_host_kind();
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	memset(out, 0, sizeof(*out));
	if (fd < 0) {
		out->error = errno;
		return;
	}
	out->api_version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (out->api_version >= 0) {
		read_capabilities(fd, out);
		out->vcpus_recommended = check_number(fd, KVM_CAP_NR_VCPUS);
		out->vcpus_max = check_number(fd, KVM_CAP_MAX_VCPUS);
		out->physical_bits = read_physical_bits(fd);
		out->paging_name = parameters[kind].paging;
		out->apic_name = parameters[kind].apic;
		out->paging = read_parameter(kind, out->paging_name);
		out->apic = read_parameter(kind, out->apic_name);
	}
	close(fd);
}
