// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A parked vCPU's state as text, for vcpus.txt of a report.
 *
 * Reads KVM's view only and copies code bytes through guest memory's checked accessor; what cannot
 * be read is left out rather than guessed.
 */
#include "kvm/kvm_internal.h"

#include <string.h>

static void dump_segment(FILE *f, const char *name, const struct kvm_segment *s)
{
	fprintf(f, "  %-4s sel %04x base %016llx limit %08x type %x dpl %u%s%s%s%s%s\n", name,
		s->selector, (unsigned long long)s->base, s->limit, s->type, s->dpl,
		s->present ? " P" : "", s->s ? " S" : "", s->l ? " L" : "", s->db ? " DB" : "",
		s->g ? " G" : "");
}

static void dump_regs(FILE *f, const struct kvm_regs *r)
{
	const struct {
		const char *name;
		uint64_t value;
	} table[] = {
	    {"rax", r->rax}, {"rbx", r->rbx}, {"rcx", r->rcx}, {"rdx", r->rdx},
	    {"rsi", r->rsi}, {"rdi", r->rdi}, {"rbp", r->rbp}, {"rsp", r->rsp},
	    {"r8", r->r8},   {"r9", r->r9},   {"r10", r->r10}, {"r11", r->r11},
	    {"r12", r->r12}, {"r13", r->r13}, {"r14", r->r14}, {"r15", r->r15},
	};

	fprintf(f, "  rip  %016llx  rflags %016llx\n", (unsigned long long)r->rip,
		(unsigned long long)r->rflags);
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		fprintf(f, "  %-4s %016llx%s", table[i].name, (unsigned long long)table[i].value,
			i % 4 == 3 ? "\n" : "");
}

static void dump_sregs(FILE *f, const struct kvm_sregs *s)
{
	dump_segment(f, "cs", &s->cs);
	dump_segment(f, "ss", &s->ss);
	dump_segment(f, "ds", &s->ds);
	dump_segment(f, "es", &s->es);
	dump_segment(f, "fs", &s->fs);
	dump_segment(f, "gs", &s->gs);
	dump_segment(f, "tr", &s->tr);
	dump_segment(f, "ldt", &s->ldt);
	fprintf(f, "  gdt  base %016llx limit %04x  idt base %016llx limit %04x\n",
		(unsigned long long)s->gdt.base, s->gdt.limit, (unsigned long long)s->idt.base,
		s->idt.limit);
	fprintf(f, "  cr0  %016llx  cr2 %016llx  cr3 %016llx  cr4 %016llx\n",
		(unsigned long long)s->cr0, (unsigned long long)s->cr2, (unsigned long long)s->cr3,
		(unsigned long long)s->cr4);
	fprintf(f, "  efer %016llx  cr8 %llx  apic base %016llx\n", (unsigned long long)s->efer,
		(unsigned long long)s->cr8, (unsigned long long)s->apic_base);
}

unsigned vcpu_read_linear(struct vcpu *v, uint64_t at, uint8_t *out, unsigned max)
{
	for (unsigned i = 0; i < max; i++) {
		struct kvm_translation t = {.linear_address = at + i};

		if (ioctl(v->fd, KVM_TRANSLATE, &t) || !t.valid ||
		    gmem_read(v->vm->mem, t.physical_address, &out[i], 1))
			return i;
	}
	return max;
}

static void dump_bytes(struct vcpu *v, FILE *f, const char *name, uint64_t linear, unsigned count)
{
	uint8_t bytes[64];
	unsigned n = vcpu_read_linear(v, linear, bytes, count < 64 ? count : 64);

	fprintf(f, "  %-5s", name);
	if (!n)
		fprintf(f, " not mapped");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %02x", bytes[i]);
	fputc('\n', f);
}

static const char *mp_state_name(const struct kvm_mp_state *s)
{
	switch (s->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return "running";
	case KVM_MP_STATE_UNINITIALIZED:
		return "waiting for INIT";
	case KVM_MP_STATE_INIT_RECEIVED:
		return "waiting for SIPI";
	case KVM_MP_STATE_HALTED:
		return "halted";
	default:
		return "other";
	}
}

void vcpu_dump(struct vcpu *v, FILE *f)
{
	struct kvm_mp_state mp = {0};
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;

	fprintf(f, "vcpu %u: ", v->params.id);
	if (v->fd < 0 || ioctl(v->fd, KVM_GET_MP_STATE, &mp) || ioctl(v->fd, KVM_GET_REGS, &regs) ||
	    ioctl(v->fd, KVM_GET_SREGS, &sregs)) {
		fprintf(f, "state not available\n");
		return;
	}
	fprintf(f, "%s, %llu exits to the monitor\n", mp_state_name(&mp),
		(unsigned long long)atomic_load(&v->exits));
	if (v->wiped) {
		fprintf(f, "  triple fault; this host's KVM keeps no registers of it\n");
		return;
	}
	dump_regs(f, &regs);
	dump_sregs(f, &sregs);
	if (!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events))
		fprintf(f, "  events: exception %s %u, interrupt %s %u, nmi %s\n",
			events.exception.injected ? "injected" : "-", events.exception.nr,
			events.interrupt.injected ? "injected" : "-", events.interrupt.nr,
			events.nmi.injected  ? "injected"
			: events.nmi.pending ? "pending"
					     : "-");
	dump_bytes(v, f, "code", sregs.cs.base + regs.rip, 16);
	dump_bytes(v, f, "stack", sregs.ss.base + regs.rsp, 64);
}
