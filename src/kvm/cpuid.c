// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a guest reads from CPUID.
 *
 * Theory of operation: start from all that KVM and the host can show (KVM_GET_SUPPORTED_CPUID),
 * then write what only the monitor knows: each vCPU's APIC id, one socket of `count` cores with
 * one thread each, KVM's own leaves, and the frequencies, so that a guest calibrates nothing.
 * Pure: no ioctl, so that tests hold a table against it.
 *
 * Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux,
 * Documentation/virt/kvm/x86/cpuid.rst. Leaf 0x40000010 follows the timing leaf that VMware
 * defined and KVM guests read: TSC and local APIC frequency in kHz.
 */
#include "kvm/kvm_internal.h"

#include <string.h>

#define LEAF_KVM_SIGNATURE   0x40000000u
#define LEAF_KVM_FEATURES    0x40000001u
#define LEAF_KVM_TIMING      0x40000010u
#define APIC_FREQUENCY_KHZ   1000000u /* KVM's local APIC timer counts nanoseconds */

#define FEATURE_HTT          (1u << 28)
#define FEATURE_TSC_DEADLINE (1u << 24)
#define FEATURE_X2APIC       (1u << 21)
#define FEATURE_HYPERVISOR   (1u << 31)
#define FEATURE_CMP_LEGACY   (1u << 1)
#define KVM_CLOCK_OLD        (1u << 0) /* MSRs 0x11, 0x12 */
#define KVM_CLOCK            (1u << 3) /* MSRs 0x4b564d00, 0x4b564d01 */
#define KVM_CLOCK_STABLE     (1u << 24)
#define KVM_MSI_EXT_DEST_ID  (1u << 15) /* only for APIC ids above 255, which we do not give */

static struct kvm_cpuid_entry2 *find(struct cpuid_table *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entry[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *find_or_add(struct cpuid_table *c, uint32_t function,
					    uint32_t index, bool indexed)
{
	struct kvm_cpuid_entry2 *e = find(c, function, index);

	if (e || c->nent == KVM_CPUID_MAX)
		return e;
	e = &c->entry[c->nent++];
	*e = (struct kvm_cpuid_entry2){
	    .function = function,
	    .index = index,
	    .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	return e;
}

/* Bits that an APIC id needs for `count` cores. */
static unsigned id_bits(unsigned count)
{
	unsigned bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

static void set_basic(struct cpuid_table *c, const struct cpuid_request *r)
{
	struct kvm_cpuid_entry2 *e = find(c, 1, 0);

	if (!e)
		return;
	e->ebx = (e->ebx & 0xffffu) | r->count << 16 | r->id << 24;
	e->ecx |= FEATURE_HYPERVISOR | FEATURE_X2APIC;
	if (r->tsc_deadline)
		e->ecx |= FEATURE_TSC_DEADLINE;
	e->edx = r->count > 1 ? e->edx | FEATURE_HTT : e->edx & ~FEATURE_HTT;
}

/* Leaves 4 and 0x8000001d: caches up to level 2 belong to one core, above to all. */
static void set_cache_sharing(struct cpuid_table *c, uint32_t function, unsigned count)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entry[i];
		unsigned level = (e->eax >> 5) & 7;
		uint32_t sharing = level >= 3 ? count - 1 : 0;

		if (e->function != function || !(e->eax & 0x1f))
			continue;
		e->eax = (e->eax & ~(0xfffu << 14)) | sharing << 14;
		if (function == 4)
			e->eax = (e->eax & ~(0x3fu << 26)) | (count > 64 ? 63 : count - 1) << 26;
	}
}

/* Leaves 0x0b and 0x1f: a level of one thread, then a level of `count` cores. */
static void set_extended_topology(struct cpuid_table *c, uint32_t function,
				  const struct cpuid_request *r)
{
	struct kvm_cpuid_entry2 *max = find(c, 0, 0);
	struct kvm_cpuid_entry2 *e;

	if (!max || max->eax < function)
		return;
	for (uint32_t i = 0; i < c->nent; i++) {
		if (c->entry[i].function == function)
			c->entry[i--] = c->entry[--c->nent];
	}
	for (unsigned level = 0; level < 3; level++) {
		e = find_or_add(c, function, level, true);
		if (!e)
			return;
		e->ecx = level;
		e->edx = r->id;
		if (level == 0) {
			e->ebx = 1;
			e->ecx |= 1u << 8; /* thread */
		} else if (level == 1) {
			e->eax = id_bits(r->count);
			e->ebx = r->count;
			e->ecx |= 2u << 8; /* core */
		}
	}
}

static void set_amd_topology(struct cpuid_table *c, const struct cpuid_request *r)
{
	struct kvm_cpuid_entry2 *e = find(c, 0x80000001, 0);

	if (e)
		e->ecx = r->count > 1 ? e->ecx | FEATURE_CMP_LEGACY : e->ecx & ~FEATURE_CMP_LEGACY;
	e = find(c, 0x80000008, 0);
	if (e)
		e->ecx = id_bits(r->count) << 12 | (r->count - 1);
	e = find(c, 0x8000001e, 0);
	if (e) {
		e->eax = r->id;
		e->ebx = r->id & 0xff; /* core id, one thread a core */
		e->ecx = 0;            /* one node */
	}
}

static void set_kvm_leaves(struct cpuid_table *c, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *e = find(c, LEAF_KVM_SIGNATURE, 0);

	if (!e)
		return;
	if (tsc_khz)
		e->eax = LEAF_KVM_TIMING;
	e = find(c, LEAF_KVM_FEATURES, 0);
	if (e)
		e->eax &= ~KVM_MSI_EXT_DEST_ID;
	if (!tsc_khz)
		return;
	e = find_or_add(c, LEAF_KVM_TIMING, 0, false);
	if (e) {
		e->eax = tsc_khz;
		e->ebx = APIC_FREQUENCY_KHZ;
	}
}

static bool is_intel(struct cpuid_table *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0, 0);

	return e && e->ebx == 0x756e6547; /* "Genu" */
}

/* Leaf 0x15: TSC = crystal * ebx / eax, the crystal being what drives the APIC timer. */
static void set_intel_frequency(struct cpuid_table *c, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *max = find(c, 0, 0);
	struct kvm_cpuid_entry2 *e;

	if (!tsc_khz || !max || max->eax < 0x15 || !is_intel(c))
		return;
	e = find_or_add(c, 0x15, 0, false);
	if (!e)
		return;
	e->eax = APIC_FREQUENCY_KHZ;
	e->ebx = tsc_khz;
	e->ecx = APIC_FREQUENCY_KHZ * 1000u;
	e->edx = 0;
}

static uint32_t *feature_word(struct cpuid_table *c, const struct cpu_feature *f)
{
	struct kvm_cpuid_entry2 *e = find(c, f->function, f->index);

	if (!e)
		return NULL;
	switch (f->reg) {
	case CPUID_EAX:
		return &e->eax;
	case CPUID_EBX:
		return &e->ebx;
	case CPUID_ECX:
		return &e->ecx;
	case CPUID_EDX:
		return &e->edx;
	}
	return NULL;
}

/* ",+x,-y": what the user switches on must be something that KVM can show. */
static int apply_features(struct cpuid_table *c, const char *list, struct refusal *why)
{
	while (*list == ',') {
		bool on = list[1] == '+';
		size_t n = strcspn(list + 1, ",");
		const char *name = list + 2;
		const struct cpu_feature *f = n > 1 ? cpu_feature_find(name, n - 1) : NULL;
		uint32_t *word;

		if (!f || (list[1] != '+' && list[1] != '-'))
			return refuse(why, STATUS_USAGE, NULL, "--cpu",
				      "unknown feature \"%.*s\"; names are those of /proc/cpuinfo",
				      (int)n, list + 1);
		word = feature_word(c, f);
		if (on && (!word || !(*word & 1u << f->bit)))
			return refuse(why, STATUS_UNAVAILABLE, NULL, "--cpu",
				      "this host cannot give the feature \"%s\"", f->name);
		if (!on && word)
			*word &= ~(1u << f->bit);
		list += n + 1;
	}
	return 0;
}

/* The clock has two generations of MSRs and a promise of its own: hidden is hidden. */
static void hide_clock(struct cpuid_table *c)
{
	struct kvm_cpuid_entry2 *e = find(c, LEAF_KVM_FEATURES, 0);

	if (e && !(e->eax & KVM_CLOCK))
		e->eax &= ~(KVM_CLOCK_OLD | KVM_CLOCK_STABLE);
}

int cpuid_build(const struct cpuid_table *supported, const struct cpuid_request *req,
		struct cpuid_table *out, struct refusal *why)
{
	*out = *supported;
	set_basic(out, req);
	set_cache_sharing(out, 4, req->count);
	set_cache_sharing(out, 0x8000001d, req->count);
	set_extended_topology(out, 0x0b, req);
	set_extended_topology(out, 0x1f, req);
	set_amd_topology(out, req);
	set_kvm_leaves(out, req->tsc_khz);
	set_intel_frequency(out, req->tsc_khz);
	if (apply_features(out, req->features, why))
		return -1;
	hide_clock(out);
	return 0;
}

unsigned cpuid_physical_bits(const struct cpuid_table *c)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		unsigned bits = c->entry[i].eax & 0xff;

		if (c->entry[i].function == 0x80000008 && bits >= 32 && bits <= 52)
			return bits;
	}
	return 36; /* what PAE gave, where a processor does not say */
}
