// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names of CPUID feature bits, for --cpu host,+x,-y.
 *
 * Names are those of /proc/cpuinfo, so that a user can read them off a running machine. Bits:
 * Intel SDM volume 2 (CPUID), AMD APM volume 3 (appendix E), Linux virt/kvm/x86/cpuid.rst.
 */
#include "kvm/kvm_internal.h"

#include <string.h>

static const struct cpu_feature features[] = {
    {"tsc", 1, 0, CPUID_EDX, 4},
    {"mce", 1, 0, CPUID_EDX, 7},
    {"apic", 1, 0, CPUID_EDX, 9},
    {"sep", 1, 0, CPUID_EDX, 11},
    {"mtrr", 1, 0, CPUID_EDX, 12},
    {"pge", 1, 0, CPUID_EDX, 13},
    {"pat", 1, 0, CPUID_EDX, 16},
    {"clflush", 1, 0, CPUID_EDX, 19},
    {"sse", 1, 0, CPUID_EDX, 25},
    {"sse2", 1, 0, CPUID_EDX, 26},
    {"pni", 1, 0, CPUID_ECX, 0},
    {"pclmulqdq", 1, 0, CPUID_ECX, 1},
    {"vmx", 1, 0, CPUID_ECX, 5},
    {"ssse3", 1, 0, CPUID_ECX, 9},
    {"fma", 1, 0, CPUID_ECX, 12},
    {"cx16", 1, 0, CPUID_ECX, 13},
    {"pcid", 1, 0, CPUID_ECX, 17},
    {"sse4_1", 1, 0, CPUID_ECX, 19},
    {"sse4_2", 1, 0, CPUID_ECX, 20},
    {"x2apic", 1, 0, CPUID_ECX, 21},
    {"movbe", 1, 0, CPUID_ECX, 22},
    {"popcnt", 1, 0, CPUID_ECX, 23},
    {"tsc_deadline_timer", 1, 0, CPUID_ECX, 24},
    {"aes", 1, 0, CPUID_ECX, 25},
    {"xsave", 1, 0, CPUID_ECX, 26},
    {"avx", 1, 0, CPUID_ECX, 28},
    {"f16c", 1, 0, CPUID_ECX, 29},
    {"rdrand", 1, 0, CPUID_ECX, 30},
    {"hypervisor", 1, 0, CPUID_ECX, 31},
    {"fsgsbase", 7, 0, CPUID_EBX, 0},
    {"tsc_adjust", 7, 0, CPUID_EBX, 1},
    {"bmi1", 7, 0, CPUID_EBX, 3},
    {"avx2", 7, 0, CPUID_EBX, 5},
    {"smep", 7, 0, CPUID_EBX, 7},
    {"bmi2", 7, 0, CPUID_EBX, 8},
    {"erms", 7, 0, CPUID_EBX, 9},
    {"invpcid", 7, 0, CPUID_EBX, 10},
    {"avx512f", 7, 0, CPUID_EBX, 16},
    {"avx512dq", 7, 0, CPUID_EBX, 17},
    {"rdseed", 7, 0, CPUID_EBX, 18},
    {"adx", 7, 0, CPUID_EBX, 19},
    {"smap", 7, 0, CPUID_EBX, 20},
    {"clflushopt", 7, 0, CPUID_EBX, 23},
    {"clwb", 7, 0, CPUID_EBX, 24},
    {"avx512cd", 7, 0, CPUID_EBX, 28},
    {"sha_ni", 7, 0, CPUID_EBX, 29},
    {"avx512bw", 7, 0, CPUID_EBX, 30},
    {"avx512vl", 7, 0, CPUID_EBX, 31},
    {"umip", 7, 0, CPUID_ECX, 2},
    {"pku", 7, 0, CPUID_ECX, 3},
    {"vaes", 7, 0, CPUID_ECX, 9},
    {"vpclmulqdq", 7, 0, CPUID_ECX, 10},
    {"la57", 7, 0, CPUID_ECX, 16},
    {"rdpid", 7, 0, CPUID_ECX, 22},
    {"fsrm", 7, 0, CPUID_EDX, 4},
    {"xsaveopt", 0xd, 1, CPUID_EAX, 0},
    {"xsavec", 0xd, 1, CPUID_EAX, 1},
    {"xgetbv1", 0xd, 1, CPUID_EAX, 2},
    {"xsaves", 0xd, 1, CPUID_EAX, 3},
    {"lahf_lm", 0x80000001, 0, CPUID_ECX, 0},
    {"svm", 0x80000001, 0, CPUID_ECX, 2},
    {"cr8_legacy", 0x80000001, 0, CPUID_ECX, 4},
    {"abm", 0x80000001, 0, CPUID_ECX, 5},
    {"sse4a", 0x80000001, 0, CPUID_ECX, 6},
    {"misalignsse", 0x80000001, 0, CPUID_ECX, 7},
    {"3dnowprefetch", 0x80000001, 0, CPUID_ECX, 8},
    {"osvw", 0x80000001, 0, CPUID_ECX, 9},
    {"topoext", 0x80000001, 0, CPUID_ECX, 22},
    {"syscall", 0x80000001, 0, CPUID_EDX, 11},
    {"nx", 0x80000001, 0, CPUID_EDX, 20},
    {"mmxext", 0x80000001, 0, CPUID_EDX, 22},
    {"fxsr_opt", 0x80000001, 0, CPUID_EDX, 25},
    {"pdpe1gb", 0x80000001, 0, CPUID_EDX, 26},
    {"rdtscp", 0x80000001, 0, CPUID_EDX, 27},
    {"lm", 0x80000001, 0, CPUID_EDX, 29},
    {"invariant_tsc", 0x80000007, 0, CPUID_EDX, 8},
    {"clzero", 0x80000008, 0, CPUID_EBX, 0},
    {"kvmclock", 0x40000001, 0, CPUID_EAX, 3},
    {"kvm_asyncpf", 0x40000001, 0, CPUID_EAX, 4},
    {"kvm_steal_time", 0x40000001, 0, CPUID_EAX, 5},
    {"kvm_pv_eoi", 0x40000001, 0, CPUID_EAX, 6},
    {"kvm_pv_unhalt", 0x40000001, 0, CPUID_EAX, 7},
    {"kvm_pv_tlb_flush", 0x40000001, 0, CPUID_EAX, 9},
    {"kvm_pv_ipi", 0x40000001, 0, CPUID_EAX, 11},
    {"kvm_poll_control", 0x40000001, 0, CPUID_EAX, 12},
    {"kvm_pv_sched_yield", 0x40000001, 0, CPUID_EAX, 13},
    {"kvm_asyncpf_int", 0x40000001, 0, CPUID_EAX, 14},
};

const struct cpu_feature *cpu_feature_find(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (strlen(features[i].name) == length && !memcmp(features[i].name, name, length))
			return &features[i];
	}
	return NULL;
}
