// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a vCPU does when KVM_RUN returns: accesses go to the buses, ends go to the machine.
 *
 * Runs on the vCPU's thread. Everything in kvm_run is written by the kernel except the data of
 * string instructions, whose count the kernel bounds to one page. Linux,
 * Documentation/virt/kvm/api.rst, section 5.
 */
#include "kvm/kvm_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void stop(struct vcpu *v, enum vcpu_stop why, const struct vcpu_refused *what)
{
	atomic_store(&v->stopped, true);
	v->params.host->stopped(v->params.host->arg, why, what);
}

static uint64_t load_le(const uint8_t *p, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	return value;
}

static void handle_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *ports = v->params.host->ports;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	atomic_fetch_add_explicit(&v->io, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			bus_write(ports, run->io.port, size, load_le(data, size));
		} else {
			uint64_t value = bus_read(ports, run->io.port, size);

			memcpy(data, &value, size);
		}
	}
}

static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *mmio = v->params.host->mmio;
	unsigned size = run->mmio.len;
	uint64_t value;

	atomic_fetch_add_explicit(&v->mmio, 1, memory_order_relaxed);
	if (!size || size > sizeof(run->mmio.data))
		return;
	if (run->mmio.is_write) {
		bus_write(mmio, run->mmio.phys_addr, size, load_le(run->mmio.data, size));
	} else {
		value = bus_read(mmio, run->mmio.phys_addr, size);
		memcpy(run->mmio.data, &value, size);
	}
}

static unsigned code_bits(const struct kvm_sregs *s)
{
	if (s->efer & 1u << 10 && s->cs.l)
		return 64;
	return s->cr0 & 1 && s->cs.db ? 32 : 16;
}

/*
 * After a shutdown SVM's saved state is undefined, so KVM does to the vCPU what INIT would do
 * (Linux, arch/x86/kvm/svm/svm.c, shutdown_interception()): the reset vector is not where it was.
 */
static bool is_wiped(const struct kvm_regs *r, const struct kvm_sregs *s)
{
	return r->rip == 0xfff0 && s->cs.base == 0xffff0000 && !(s->cr0 & 1);
}

/* Where it stands, and the code there, through the guest's own page tables. */
static void fetch_code(struct vcpu *v, struct vcpu_refused *what)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (ioctl(v->fd, KVM_GET_REGS, &regs) || ioctl(v->fd, KVM_GET_SREGS, &sregs))
		return;
	v->wiped = v->run->exit_reason == KVM_EXIT_SHUTDOWN && is_wiped(&regs, &sregs);
	if (v->wiped)
		return;
	what->rip = regs.rip;
	what->mode_bits = code_bits(&sregs);
	what->byte_count =
	    vcpu_read_linear(v, sregs.cs.base + regs.rip, what->bytes, sizeof(what->bytes));
}

static void __attribute__((format(printf, 2, 3))) refused(struct vcpu *v, const char *detail, ...)
{
	struct vcpu_refused what = {.cpu = v->params.id};
	va_list args;

	va_start(args, detail);
	vsnprintf(what.detail, sizeof(what.detail), detail, args);
	va_end(args);
	fetch_code(v, &what);
	stop(v, VCPU_STOP_KVM_REFUSED, &what);
}

static void handle_internal_error(struct vcpu *v)
{
	static const char *const names[] = {
	    [KVM_INTERNAL_ERROR_EMULATION] = "cannot emulate this instruction",
	    [KVM_INTERNAL_ERROR_SIMUL_EX] = "exceptions nested too deep",
	    [KVM_INTERNAL_ERROR_DELIVERY_EV] = "exit while an event was delivered",
	    [KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "unexpected exit reason",
	};
	uint32_t sub = v->run->internal.suberror;
	const char *name = sub < sizeof(names) / sizeof(names[0]) ? names[sub] : NULL;

	refused(v, "%s (internal error %u)", name ? name : "unknown", sub);
}

static void handle_shutdown(struct vcpu *v)
{
	struct vcpu_refused what = {.cpu = v->params.id};

	fetch_code(v, &what);
	stop(v, VCPU_STOP_TRIPLE_FAULT, &what);
}

void vcpu_report_run_error(struct vcpu *v, int err)
{
	struct vcpu_refused what = {.cpu = v->params.id};

	snprintf(what.detail, sizeof(what.detail), "%sKVM_RUN: %s",
		 err == EFAULT ? "the host cannot reach the guest's memory; " : "", strerror(err));
	fetch_code(v, &what);
	stop(v, VCPU_STOP_FAILED, &what);
}

static void handle_tpr_access(struct vcpu *v)
{
	const struct vcpu_host *host = v->params.host;

	host->tpr_access(host->arg, v->params.id, v->run->tpr_access.rip,
			 v->run->tpr_access.is_write != 0);
}

bool vcpu_handle_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	atomic_fetch_add_explicit(&v->exits, 1, memory_order_relaxed);
	vm_drain_ring(v->vm, v->params.host->ports, v->params.host->mmio);
	if (v->params.host->exited)
		v->params.host->exited(v->params.host->arg);
	if (!vcpu_vapic_in_step(v) && run->exit_reason != KVM_EXIT_TPR_ACCESS)
		v->params.host->vapic_lost(v->params.host->arg, v->params.id);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(v);
		return true;
	case KVM_EXIT_MMIO:
		handle_mmio(v);
		return true;
	case KVM_EXIT_TPR_ACCESS:
		handle_tpr_access(v);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		handle_shutdown(v);
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		refused(v, "system event %u", run->system_event.type);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		refused(v, "the processor refused to enter the guest (reason 0x%llx)",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(v);
		return false;
	case KVM_EXIT_UNKNOWN:
		refused(v, "unknown hardware exit 0x%llx",
			(unsigned long long)run->hw.hardware_exit_reason);
		return false;
	default:
		refused(v, "exit reason %u", run->exit_reason);
		return false;
	}
}
