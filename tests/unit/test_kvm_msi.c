/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KVM is told of MSI routes and doorbells, and how often; KVM is this file's ioctl(). */
#include "kvm/kvm_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#define VM_FD     12345
#define APART_MAX 16u /* messages of a changed route before KVM is told of it */
#define PLACE     0xfee00000u
#define PINS      38u /* routes of the pins: 15 of the PICs, 23 of the I/O APIC */

static struct {
	unsigned tables, signals, irqfds, bells, unbells;
	struct route_table table;
	struct kvm_msi last;
	struct kvm_irqfd irqfd;
	struct kvm_ioeventfd bell;
	int table_errno, irqfd_errno, bell_errno;
} kvm;

static int answer(int err)
{
	errno = err;
	return err ? -1 : 0;
}

static int count_bell(const struct kvm_ioeventfd *bell)
{
	kvm.bell = *bell;
	if (bell->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		kvm.unbells++;
	else
		kvm.bells++;
	return answer(kvm.bell_errno);
}

int ioctl(int fd, unsigned long request, ...)
{
	const struct route_table *t;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	assert_int_equal(fd, VM_FD);
	switch (request) {
	case KVM_SIGNAL_MSI:
		kvm.signals++;
		kvm.last = *(struct kvm_msi *)arg;
		return 1;
	case KVM_SET_GSI_ROUTING:
		t = arg;
		kvm.tables++;
		kvm.table.count = t->count;
		memcpy(kvm.table.entry, t->entry, t->count * sizeof(t->entry[0]));
		return answer(kvm.table_errno);
	case KVM_IRQFD:
		kvm.irqfds++;
		kvm.irqfd = *(struct kvm_irqfd *)arg;
		return answer(kvm.irqfd_errno);
	case KVM_IOEVENTFD:
		return count_bell(arg);
	default:
		fail_msg("ioctl 0x%lx", request);
		return -1;
	}
}

static int setup(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	assert_non_null(vm);
	memset(&kvm, 0, sizeof(kvm));
	vm->fd = VM_FD;
	vm_init_msi(vm);
	vm_init_doorbells(vm);
	*state = vm;
	return 0;
}

static int teardown(void **state)
{
	struct vm *vm = *state;

	pthread_mutex_destroy(&vm->msi_lock);
	pthread_mutex_destroy(&vm->doorbell_lock);
	free(vm);
	return 0;
}

static void point(struct msi_route *r, uint32_t data)
{
	assert_true(msi_set(r, &(struct msi_message){PLACE, data}));
}

static void send_many(struct msi_route *r, unsigned count)
{
	while (count--)
		msi_send(r);
}

static uint64_t written(const struct msi_route *r)
{
	eventfd_t n;

	return eventfd_read(r->fd, &n) ? 0 : n;
}

static const struct kvm_irq_routing_entry *entry_of(uint32_t gsi)
{
	for (uint32_t i = 0; i < kvm.table.count; i++) {
		if (kvm.table.entry[i].gsi == gsi)
			return &kvm.table.entry[i];
	}
	return NULL;
}

/* New messages go one by one; then KVM is told of all routes at once, and eventfds do it. */
static void test_apart_then_bound(void **state)
{
	struct vm *vm = *state;
	struct msi_route r[3];

	for (unsigned i = 0; i < 3; i++)
		msi_route_init(&r[i], vm_msi_chip(vm));
	point(&r[0], 0x40);
	point(&r[1], 0x41);
	send_many(&r[0], APART_MAX - 1);
	assert_int_equal(kvm.signals, APART_MAX - 1);
	assert_int_equal(kvm.last.data, 0x40);
	assert_int_equal(kvm.last.address_lo, PLACE);
	assert_int_equal(msi_fd(&r[0]), -1);
	assert_int_equal(kvm.tables, 0);
	msi_send(&r[0]);
	assert_int_equal(kvm.tables, 1);
	assert_int_equal(kvm.irqfds, 2); /* the third has no message */
	assert_int_equal(kvm.irqfd.fd, r[1].fd);
	assert_int_equal(kvm.irqfd.gsi, IRQ_GSI_COUNT + 1);
	assert_int_equal(entry_of(IRQ_GSI_COUNT + 1)->u.msi.data, 0x41);
	assert_int_equal(entry_of(IRQ_GSI_COUNT)->type, KVM_IRQ_ROUTING_MSI);
	assert_null(entry_of(IRQ_GSI_COUNT + 2));
	/* The pins are all still there; 2 is the cascade. */
	for (uint32_t gsi = 0; gsi < IRQ_GSI_COUNT; gsi++)
		assert_int_equal(entry_of(gsi) != NULL, gsi != 2);
	send_many(&r[1], 3);
	assert_int_equal(kvm.signals, APART_MAX);
	assert_int_equal(written(&r[1]), 3);
	assert_int_equal(msi_fd(&r[1]), r[1].fd);
	for (unsigned i = 0; i < 3; i++)
		msi_route_fini(&r[i]);
	assert_int_equal(kvm.irqfds, 2);
}

/* However often a guest rewrites messages, the table is set once in sixteen interrupts at most. */
static void test_no_storm(void **state)
{
	struct vm *vm = *state;
	struct msi_route r;

	msi_route_init(&r, vm_msi_chip(vm));
	for (unsigned i = 0; i < 10000; i++)
		point(&r, 0x40 + i % 2);
	assert_int_equal(kvm.tables, 0);
	for (unsigned i = 0; i < 1000; i++) {
		point(&r, 0x40 + i % 2);
		msi_send(&r);
		assert_int_equal(kvm.last.data, 0x40 + i % 2);
	}
	assert_int_equal(kvm.tables, 0);
	send_many(&r, 100);
	assert_int_equal(kvm.tables, 1);
	/* There and back again: KVM knows it. */
	point(&r, 0x50);
	assert_int_equal(msi_fd(&r), -1);
	point(&r, 0x41);
	assert_int_equal(msi_fd(&r), r.fd);
	/* Bound once, told again: no second eventfd. */
	point(&r, 0x50);
	send_many(&r, 100);
	assert_int_equal(kvm.tables, 2);
	assert_int_equal(kvm.irqfds, 1);
	assert_int_equal(entry_of(IRQ_GSI_COUNT)->u.msi.data, 0x50);
	msi_route_fini(&r);
}

static void test_kvm_refuses(void **state)
{
	struct vm *vm = *state;
	struct msi_route r;

	for (unsigned i = 0; i < 2; i++) {
		memset(&kvm, 0, sizeof(kvm));
		kvm.table_errno = i ? 0 : EINVAL;
		kvm.irqfd_errno = i ? EINVAL : 0;
		msi_route_init(&r, vm_msi_chip(vm));
		for (unsigned n = 0; n < 5; n++) {
			point(&r, 0x40 + n);
			send_many(&r, 100);
		}
		assert_int_equal(kvm.tables, 1); /* it is not asked again */
		assert_int_equal(kvm.signals, 500);
		assert_int_equal(msi_fd(&r), -1);
		msi_route_fini(&r);
		vm_forget_msi(vm);
	}
}

/* The new VM knows nothing, and what came late for the old one is not for it. */
static void test_reset(void **state)
{
	struct vm *vm = *state;
	struct msi_route r;

	msi_route_init(&r, vm_msi_chip(vm));
	point(&r, 0x40);
	send_many(&r, APART_MAX);
	msi_send(&r);
	vm_forget_msi(vm);
	assert_int_equal(msi_fd(&r), -1);
	assert_int_equal(written(&r), 0);
	point(&r, 0x42);
	send_many(&r, APART_MAX);
	assert_int_equal(kvm.tables, 2);
	assert_int_equal(kvm.irqfds, 2);
	assert_int_equal(msi_fd(&r), r.fd);
	msi_route_fini(&r);
}

/* More routes than slots: the last ones go one by one for ever. */
static void test_out_of_slots(void **state)
{
	struct vm *vm = *state;
	static struct msi_route r[KVM_MSI_SLOTS + 1];
	unsigned with_fd = 0;

	for (unsigned i = 0; i <= KVM_MSI_SLOTS; i++) {
		msi_route_init(&r[i], vm_msi_chip(vm));
		point(&r[i], 0x40);
		with_fd += r[i].fd >= 0;
	}
	assert_true(with_fd > 0 && with_fd <= KVM_MSI_SLOTS); /* the host may have fewer */
	send_many(&r[KVM_MSI_SLOTS], 100);
	assert_int_equal(kvm.signals, 100);
	assert_int_equal(kvm.tables, 0);
	send_many(&r[0], APART_MAX);
	assert_int_equal(kvm.table.count, PINS + with_fd);
	for (unsigned i = 0; i <= KVM_MSI_SLOTS; i++)
		msi_route_fini(&r[i]);
}

static uint64_t region_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0;
}

static void region_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)dev;
	(void)offset;
	(void)size;
	(void)value;
}

static const struct bus_region_ops region_ops = {
    .name = "region", .read = region_read, .write = region_write, .width_max = 4};

static void test_doorbells(void **state)
{
	struct vm *vm = *state;
	struct bus_region port = {.ops = &region_ops}, memory = {.ops = &region_ops};
	struct doorbell a = {.offset = 16, .size = 2, .match = true, .value = 3, .fd = 100};
	struct doorbell b = {.offset = 0x3000, .fd = 101};
	struct bus *ports, *mmio;

	assert_int_equal(bus_create("ports", 0xffff, &ports), 0);
	assert_int_equal(bus_create("mmio", UINT64_MAX, &mmio), 0);
	vm_take_doorbells(vm, ports, mmio);
	bus_add_doorbell(ports, &port, &a);
	bus_add_doorbell(mmio, &memory, &b);
	assert_int_equal(bus_map(ports, &port, 0xc000, 32), 0);
	assert_int_equal(bus_map(mmio, &memory, 0xd0000000, 0x4000), 0);
	assert_int_equal(kvm.bells, 0); /* there is no VM yet */
	vm_renew_doorbells(vm);
	assert_int_equal(kvm.bells, 2);
	assert_int_equal(kvm.bell.addr, 0xd0003000);
	assert_int_equal(kvm.bell.flags, 0);
	bus_unmap(ports, &port);
	assert_int_equal(kvm.unbells, 1);
	assert_int_equal(kvm.bell.addr, 0xc010);
	assert_int_equal(kvm.bell.flags, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH |
					     KVM_IOEVENTFD_FLAG_DEASSIGN);
	assert_int_equal(kvm.bell.datamatch, 3);
	assert_int_equal(kvm.bell.len, 2);
	assert_int_equal(bus_map(ports, &port, 0xd000, 32), 0);
	assert_int_equal(kvm.bell.addr, 0xd010);
	/* Another VM: what is armed then. */
	vm_suspend_doorbells(vm);
	bus_unmap(mmio, &memory);
	assert_int_equal(kvm.unbells, 1);
	kvm.bells = 0;
	vm_renew_doorbells(vm);
	assert_int_equal(kvm.bells, 1);
	assert_int_equal(kvm.bell.addr, 0xd010);
	/* Refused: not armed, so there is nothing to take back. */
	kvm.bell_errno = ENOSPC;
	assert_int_equal(bus_map(mmio, &memory, 0xd0000000, 0x4000), 0);
	assert_false(b.armed);
	bus_unmap(mmio, &memory);
	assert_int_equal(kvm.unbells, 1);
	bus_unmap(ports, &port);
	assert_int_equal(kvm.unbells, 2);
	assert_null(vm->port_bells.armed);
	bus_destroy(mmio);
	bus_destroy(ports);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_apart_then_bound), T(test_no_storm),  T(test_kvm_refuses), T(test_reset),
	    T(test_out_of_slots),     T(test_doorbells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
