// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The KVM virtual machine: capabilities, memory slots, gathered port writes.
 *
 * Theory of operation: what KVM keeps of a machine (local APICs, I/O APIC, PIC, PIT, clocks) has
 * dozens of small states that would have to be put back one by one at a reset. A reset here is a
 * new VM instead: the descriptors are closed and made anew over the same memory, so nothing of
 * the old machine can survive. That costs about as much as one start.
 *
 * Making a VM and its chips lets the kernel wait for grace periods of RCU, 5 to 12 ms with nothing
 * to do, so vm_begin() has a thread wait while the kernel is loaded.
 *
 * Gathered ("coalesced") port writes arrive in one ring for the whole VM. It is drained before
 * each exit is handled, under a lock, so that the order of a guest's accesses stays as it was.
 * Linux, Documentation/virt/kvm/api.rst, KVM_CAP_COALESCED_PIO.
 */
#include "kvm/kvm_internal.h"

#include <lodge/log.h>
#include "core/thread.h"

#include "machine/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"

static int check_system(int fd, struct refusal *why)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, "KVM_GET_API_VERSION",
			      "not a KVM device: %s", strerror(errno));
	if (version != KVM_API_VERSION)
		return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, "KVM_GET_API_VERSION",
			      "the kernel has KVM API %d, Lodge needs %d", version,
			      KVM_API_VERSION);
	for (unsigned i = 0; i < kvm_wanted_count; i++) {
		if (kvm_wanted[i].required &&
		    ioctl(fd, KVM_CHECK_EXTENSION, kvm_wanted[i].number) <= 0)
			return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, kvm_wanted[i].name,
				      "the host's KVM does not have this capability");
	}
	return 0;
}

int vm_open_system(struct refusal *why)
{
	int fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		if (errno == EACCES || errno == EPERM)
			return refuse(why, STATUS_PERMISSION, KVM_DEVICE, NULL,
				      "permission denied; be a member of its group: "
				      "sudo usermod -aG kvm $USER, then log in again");
		if (errno == ENOENT)
			return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, NULL,
				      "no KVM on this host; `lodge doctor` says more");
		return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, NULL, "%s", strerror(errno));
	}
	if (check_system(fd, why)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void chip_set(void *arg, uint32_t gsi, bool asserted)
{
	struct vm *vm = arg;
	struct kvm_irq_level level = {.irq = gsi, .level = asserted};

	if (ioctl(vm->fd, KVM_IRQ_LINE, &level))
		log_guest(LOG_ERROR, "kvm: interrupt line %u: %s", gsi, strerror(errno));
}

static const struct irq_chip_ops chip_ops = {.set = chip_set};

static int set_memory(struct vm *vm, struct refusal *why)
{
	for (unsigned i = 0; i < gmem_region_count(vm->mem); i++) {
		const struct gmem_region *r = gmem_region(vm->mem, i);
		struct kvm_userspace_memory_region slot = {
		    .slot = i,
		    .guest_phys_addr = r->base,
		    .memory_size = r->size,
		    .userspace_addr = (uintptr_t)r->host,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
			return refuse(why, STATUS_HOST, KVM_DEVICE, "KVM_SET_USER_MEMORY_REGION",
				      "%llu MiB at 0x%llx: %s", (unsigned long long)(r->size >> 20),
				      (unsigned long long)r->base, strerror(errno));
	}
	return 0;
}

/* What a new VM needs of the machine: memory, ports. */
static int set_up_vm(struct vm *vm, struct refusal *why)
{
	if (set_memory(vm, why))
		return -1;
	/*
	 * Wide ports before the zones of one byte that they reach into: KVM sorts a port that comes
	 * later behind those and may then not find it (Linux, virt/kvm/kvm_main.c,
	 * kvm_io_bus_cmp(); 0x7e with 4 bytes and 0x80).
	 */
	for (unsigned i = 0; i < vm->port_event_count; i++) {
		if (ioctl(vm->fd, KVM_IOEVENTFD, &vm->port_events[i]))
			log_info("kvm: port 0x%x has an exit for each write: %s",
				 (unsigned)vm->port_events[i].addr, strerror(errno));
	}
	for (unsigned i = 0; vm->coalesced_page && i < vm->zone_count; i++) {
		if (ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &vm->zones[i]))
			log_info("kvm: ports 0x%x are not gathered: %s",
				 (unsigned)vm->zones[i].addr, strerror(errno));
	}
	vm_renew_doorbells(vm);
	return 0;
}

static int read_supported_cpuid(struct vm *vm, struct refusal *why)
{
	vm->supported = calloc(1, sizeof(*vm->supported));
	if (!vm->supported)
		return refuse(why, STATUS_HOST, NULL, NULL, "out of memory");
	vm->supported->nent = KVM_CPUID_MAX;
	if (ioctl(vm->sys_fd, KVM_GET_SUPPORTED_CPUID, vm->supported))
		return kvm_refuse_ioctl(why, "KVM_GET_SUPPORTED_CPUID");
	return 0;
}

static int read_sizes(struct vm *vm, struct refusal *why)
{
	int size = ioctl(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int page = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (size < (int)sizeof(struct kvm_run))
		return refuse(why, STATUS_UNAVAILABLE, KVM_DEVICE, "KVM_GET_VCPU_MMAP_SIZE",
			      "%d bytes are too few", size);
	vm->run_size = (size_t)size;
	if (page > 0 && (size_t)(page + 1) * 4096 <= vm->run_size &&
	    ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0) {
		vm->coalesced_page = (unsigned)page;
		vm->ring_max = (4096 - sizeof(struct kvm_coalesced_mmio_ring)) /
			       sizeof(struct kvm_coalesced_mmio);
	}
	vm->tsc_deadline = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

/* A VM with its chips, but without memory. */
static int make_vm(struct vm *vm, struct refusal *why)
{
	do {
		vm->fd = ioctl(vm->sys_fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return kvm_refuse_ioctl(why, "KVM_CREATE_VM");
	return vm_make_chips(vm, why);
}

static void *make_vm_thread(void *arg)
{
	struct vm *vm = arg;

	vm->sys_fd = vm_open_system(&vm->making_why);
	if (vm->sys_fd >= 0)
		make_vm(vm, &vm->making_why);
	return NULL;
}

int vm_begin(struct vm **out, struct refusal *why)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int err;

	if (!vm)
		return refuse(why, STATUS_HOST, NULL, NULL, "out of memory");
	vm->fd = vm->sys_fd = -1;
	pthread_mutex_init(&vm->coalesced_lock, NULL);
	irq_chip_init(&vm->chip, &chip_ops, vm);
	vm_init_msi(vm);
	vm_init_doorbells(vm);
	err = thread_start(&vm->maker, "vm", make_vm_thread, vm);
	vm->making = err == 0;
	if (err) {
		vm_destroy(vm);
		return refuse_errno(why, -err, NULL, "thread", "start");
	}
	*out = vm;
	return 0;
}

static void wait_for_maker(struct vm *vm)
{
	if (vm->making)
		pthread_join(vm->maker, NULL);
	vm->making = false;
}

int vm_complete(struct vm *vm, const struct gmem *m, struct refusal *why)
{
	wait_for_maker(vm);
	if (vm->making_why.status)
		return refuse(why, vm->making_why.status, NULL, NULL, "%s", vm->making_why.text);
	vm->mem = m;
	if (read_sizes(vm, why) || read_supported_cpuid(vm, why))
		return -1;
	return set_up_vm(vm, why);
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	wait_for_maker(vm);
	if (vm->fd >= 0)
		vm_release_descriptor(vm->fd);
	if (vm->sys_fd >= 0)
		close(vm->sys_fd);
	irq_chip_fini(&vm->chip);
	pthread_mutex_destroy(&vm->doorbell_lock);
	pthread_mutex_destroy(&vm->msi_lock);
	pthread_mutex_destroy(&vm->coalesced_lock);
	free(vm->supported);
	free(vm);
}

int vm_reset(struct vm *vm, struct refusal *why)
{
	vm_suspend_doorbells(vm);
	vm_forget_msi(vm);
	close(vm->fd);
	vm->fd = -1;
	return make_vm(vm, why) || set_up_vm(vm, why) ? -1 : 0;
}

struct irq_chip *vm_irq_chip(struct vm *vm)
{
	return &vm->chip;
}

unsigned vm_physical_bits(const struct vm *vm)
{
	return cpuid_physical_bits(vm->supported);
}

void vm_coalesce_ports(struct vm *vm, uint16_t first, uint16_t count)
{
	if (vm->zone_count < KVM_COALESCED_ZONES_MAX)
		vm->zones[vm->zone_count++] =
		    (struct kvm_coalesced_mmio_zone){.addr = first, .size = count, .pio = 1};
}

void vm_port_event(struct vm *vm, uint16_t port, unsigned size, int fd)
{
	if (vm->port_event_count < KVM_PORT_EVENTS_MAX)
		vm->port_events[vm->port_event_count++] = (struct kvm_ioeventfd){
		    .addr = port, .len = size, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_PIO};
}

/*
 * Up to what is in the ring now: other vCPUs may fill it as fast as we empty it. The kernel's
 * numbers are checked before they index anything. Lock held.
 */
static void drain(struct vm *vm, struct bus *ports, struct bus *mmio)
{
	uint32_t last = __atomic_load_n(&vm->ring->last, __ATOMIC_ACQUIRE);
	uint32_t at = vm->ring->first;

	if (last >= vm->ring_max)
		return;
	while (at != last && at < vm->ring_max) {
		const struct kvm_coalesced_mmio *e = &vm->ring->coalesced_mmio[at];
		uint64_t value;

		memcpy(&value, e->data, sizeof(value));
		if (e->len >= 1 && e->len <= sizeof(value))
			bus_write(e->pio ? ports : mmio, e->phys_addr, e->len, value);
		atomic_fetch_add_explicit(&vm->coalesced_count, 1, memory_order_relaxed);
		at = (at + 1) % vm->ring_max;
		__atomic_store_n(&vm->ring->first, at, __ATOMIC_RELEASE);
	}
}

void vm_drain_ring(struct vm *vm, struct bus *ports, struct bus *mmio)
{
	/* An empty ring is the common case and costs two loads. */
	if (!vm->ring || __atomic_load_n(&vm->ring->first, __ATOMIC_ACQUIRE) ==
			     __atomic_load_n(&vm->ring->last, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&vm->coalesced_lock);
	drain(vm, ports, mmio);
	pthread_mutex_unlock(&vm->coalesced_lock);
}

bool vm_drain_coalesced(struct vm *vm, struct bus *ports, struct bus *mmio)
{
	uint64_t before = atomic_load(&vm->coalesced_count);

	vm_drain_ring(vm, ports, mmio);
	return atomic_load(&vm->coalesced_count) != before;
}
