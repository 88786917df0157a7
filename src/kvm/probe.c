// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kind of KVM the host has, and whether it runs code that was not written for it.
 *
 * A name in /sys/module says which module it is; what counts is tried: one 64-bit guest of a few
 * instructions with an SSE2 multiplication, which a KVM that emulates guest code refuses.
 */
#include "kvm/kvm_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum kvm_kind kvm_host_kind(void)
{
	static const struct {
		const char *path;
		enum kvm_kind kind;
	} modules[] = {
	    {"/sys/module/kvm_pvm", KVM_KIND_PVM},
	    {"/sys/module/kvm_amd", KVM_KIND_AMD},
	    {"/sys/module/kvm_intel", KVM_KIND_INTEL},
	};

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		if (!access(modules[i].path, F_OK))
			return modules[i].kind;
	}
	return KVM_KIND_UNKNOWN;
}

const char *kvm_kind_name(enum kvm_kind k)
{
	static const char *const names[] = {
	    [KVM_KIND_UNKNOWN] = "kvm",
	    [KVM_KIND_AMD] = "kvm_amd",
	    [KVM_KIND_INTEL] = "kvm_intel",
	    [KVM_KIND_PVM] = "kvm_pvm",
	};

	return names[k];
}

#define PROBE_BYTES     0x10000u
#define PROBE_PML4      0x1000u
#define PROBE_PDPT      0x2000u
#define PROBE_PD        0x3000u
#define PROBE_CODE      0x4000u
#define PROBE_DATA      0x5000u
#define PAGE_PRESENT_RW 3u
#define PAGE_SIZE_BIT   0x80u
#define PROBE_DONE_PORT 0xf4
#define PROBE_EXITS_MAX 64

/* mulpd xmm0, xmm0; out 0xf4, al; hlt: what every 64-bit kernel and program may contain. */
static const uint8_t probe_code[] = {0x66, 0x0f, 0x59, 0xc0, 0xe6, PROBE_DONE_PORT, 0xf4};

static void put64(uint8_t *memory, uint32_t at, uint64_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

static int set_probe_state(int vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r = {.rip = PROBE_CODE, .rdi = PROBE_DATA, .rflags = 2, .rsp = PROBE_BYTES};
	struct kvm_segment code = {
	    .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};

	if (ioctl(vcpu, KVM_GET_SREGS, &s))
		return -errno;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = (struct kvm_segment){
	    .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	s.cr3 = PROBE_PML4;
	s.cr4 |= 1u << 5 | 1u << 9 | 1u << 10; /* PAE; SSE */
	s.cr0 |= 1u | 1u << 31;
	s.efer |= 1u << 8 | 1u << 10;
	if (ioctl(vcpu, KVM_SET_SREGS, &s) || ioctl(vcpu, KVM_SET_REGS, &r))
		return -errno;
	return 0;
}

/* 1: reached its end; 0: refused; -errno. */
static int run_probe(int vcpu, const struct kvm_run *run, char *detail, size_t size)
{
	for (int i = 0; i < PROBE_EXITS_MAX; i++) {
		if (ioctl(vcpu, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return -errno;
		}
		if (run->exit_reason == KVM_EXIT_IO && run->io.port == PROBE_DONE_PORT)
			return 1;
		snprintf(detail, size, "an SSE2 multiplication ended in exit reason %u",
			 run->exit_reason);
		return 0;
	}
	return -EAGAIN;
}

static int probe_vm(int kvm, int vm, uint8_t *memory, char *detail, size_t size)
{
	struct kvm_userspace_memory_region slot = {.memory_size = PROBE_BYTES,
						   .userspace_addr = (uintptr_t)memory};
	int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct cpuid_table *cpuid;
	struct kvm_run *run;
	int vcpu, err;

	if (run_size < (int)sizeof(*run) || ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) ||
	    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return -errno;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -errno;
	run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	cpuid =
	    mmap(NULL, sizeof(*cpuid), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	err = run == MAP_FAILED || cpuid == MAP_FAILED ? -ENOMEM : 0;
	if (!err) {
		cpuid->nent = KVM_CPUID_MAX;
		if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) ||
		    ioctl(vcpu, KVM_SET_CPUID2, cpuid))
			err = -errno;
	}
	if (!err)
		err = set_probe_state(vcpu);
	if (!err)
		err = run_probe(vcpu, run, detail, size);
	if (cpuid != MAP_FAILED)
		munmap(cpuid, sizeof(*cpuid));
	if (run != MAP_FAILED)
		munmap(run, (size_t)run_size);
	close(vcpu);
	return err;
}

int kvm_probe_unenlightened(char *detail, size_t size)
{
	struct refusal ignored = {0};
	int kvm = vm_open_system(&ignored);
	uint8_t *memory;
	int vm, result;

	if (size)
		detail[0] = '\0';
	if (kvm < 0)
		return -ENODEV;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		close(kvm);
		return -ENODEV;
	}
	memory =
	    mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result = -ENOMEM;
	if (memory != MAP_FAILED) {
		put64(memory, PROBE_PML4, PROBE_PDPT | PAGE_PRESENT_RW);
		put64(memory, PROBE_PDPT, PROBE_PD | PAGE_PRESENT_RW);
		put64(memory, PROBE_PD, PAGE_SIZE_BIT | PAGE_PRESENT_RW);
		memcpy(memory + PROBE_CODE, probe_code, sizeof(probe_code));
		result = probe_vm(kvm, vm, memory, detail, size);
		munmap(memory, PROBE_BYTES);
	}
	close(vm);
	close(kvm);
	return result;
}
