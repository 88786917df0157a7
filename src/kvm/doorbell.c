/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells of the buses (bus.h), taken by KVM: a guest's write adds 1 to an eventfd, and the vCPU
 * goes on in the guest.
 *
 * A bus may arm them before the VM is there, and a reset makes another VM; so those that are armed
 * are kept in a list, and each new VM is told all of them. If it refuses one then, its writes are
 * exits and reach the region, as if the doorbell were not armed.
 * Linux, Documentation/virt/kvm/api.rst, KVM_IOEVENTFD.
 */
#include "kvm/kvm_internal.h"

#include <lodge/log.h>

#include <errno.h>
#include <string.h>

static int tell(const struct doorbell_space *space, const struct doorbell *d, uint32_t flags)
{
	struct kvm_ioeventfd io = {
	    .datamatch = d->value,
	    .addr = d->addr,
	    .len = d->size,
	    .fd = d->fd,
	    .flags = space->flags | flags | (d->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return ioctl(space->vm->fd, KVM_IOEVENTFD, &io) ? -errno : 0;
}

/* Nobody minds: it costs speed only. */
static int add(const struct doorbell_space *space, const struct doorbell *d)
{
	int err = tell(space, d, 0);

	if (err)
		log_guest(LOG_INFO, "kvm: each write to 0x%llx is an exit: %s",
			  (unsigned long long)d->addr, strerror(-err));
	return err;
}

static int bell_arm(void *arg, struct doorbell *d)
{
	struct doorbell_space *space = arg;
	int err = 0;

	pthread_mutex_lock(&space->vm->doorbell_lock);
	if (space->vm->bells_ready)
		err = add(space, d);
	if (!err) {
		d->next_armed = space->armed;
		space->armed = d;
	}
	pthread_mutex_unlock(&space->vm->doorbell_lock);
	return err;
}

static void bell_disarm(void *arg, struct doorbell *d)
{
	struct doorbell_space *space = arg;
	struct doorbell **link = &space->armed;

	pthread_mutex_lock(&space->vm->doorbell_lock);
	while (*link && *link != d)
		link = &(*link)->next_armed;
	if (*link)
		*link = d->next_armed;
	if (space->vm->bells_ready)
		tell(space, d, KVM_IOEVENTFD_FLAG_DEASSIGN);
	pthread_mutex_unlock(&space->vm->doorbell_lock);
}

static const struct doorbell_ops bell_ops = {.arm = bell_arm, .disarm = bell_disarm};

void vm_init_doorbells(struct vm *vm)
{
	pthread_mutex_init(&vm->doorbell_lock, NULL);
	vm->port_bells = (struct doorbell_space){.vm = vm, .flags = KVM_IOEVENTFD_FLAG_PIO};
	vm->mmio_bells = (struct doorbell_space){.vm = vm};
}

void vm_take_doorbells(struct vm *vm, struct bus *ports, struct bus *mmio)
{
	bus_set_doorbell_ops(ports, &bell_ops, &vm->port_bells);
	bus_set_doorbell_ops(mmio, &bell_ops, &vm->mmio_bells);
}

void vm_suspend_doorbells(struct vm *vm)
{
	pthread_mutex_lock(&vm->doorbell_lock);
	vm->bells_ready = false;
	pthread_mutex_unlock(&vm->doorbell_lock);
}

void vm_renew_doorbells(struct vm *vm)
{
	pthread_mutex_lock(&vm->doorbell_lock);
	vm->bells_ready = true;
	for (const struct doorbell *d = vm->port_bells.armed; d; d = d->next_armed)
		add(&vm->port_bells, d);
	for (const struct doorbell *d = vm->mmio_bells.armed; d; d = d->next_armed)
		add(&vm->mmio_bells, d);
	pthread_mutex_unlock(&vm->doorbell_lock);
}
