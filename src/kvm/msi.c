/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI messages into KVM's local APICs.
 *
 * There are two ways. KVM_SIGNAL_MSI takes any message and needs nothing before. An eventfd that is
 * bound to a route (KVM_IRQFD) sends the route's message when 1 is written to it, which other
 * system calls can do on the way; but a route is part of one table for the whole VM, and setting
 * the table waits for all who read it, up to half a millisecond.
 *
 * So a route whose message is new sends by the first way, and after MSI_APART_MAX messages of one
 * the table is set with what all routes hold then. However often a guest changes messages, the
 * table is set once in so many interrupts at most, and guests that start, or move their interrupts
 * about, do not pay for it at all. A route that gets back the message that KVM knows is bound at
 * once.
 *
 * Routes are used from any thread. `live` says that the eventfd sends the route's own message: it
 * falls in route_change(), under the owner's lock as the sends, and rises when the table is set.
 * Linux, Documentation/virt/kvm/api.rst, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING and KVM_IRQFD.
 */
#include "kvm/kvm_internal.h"

#include <lodge/log.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MSI_APART_MAX 16u
#define NO_SLOT       UINT32_MAX
#define SLOT_GSI(n)   (IRQ_GSI_COUNT + (n))

/* Without a slot or an eventfd, messages go one by one for ever. */
static void route_attach(void *arg, struct msi_route *r)
{
	struct vm *vm = arg;
	uint32_t n;

	pthread_mutex_lock(&vm->msi_lock);
	for (n = 0; n < KVM_MSI_SLOTS && vm->msi_slot[n].route; n++)
		;
	r->slot = NO_SLOT;
	r->fd = n < KVM_MSI_SLOTS ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	if (r->fd >= 0) {
		r->slot = n;
		vm->msi_slot[n] = (struct msi_slot){.route = r};
	}
	pthread_mutex_unlock(&vm->msi_lock);
}

/* KVM lets go of an eventfd that is closed. */
static void route_detach(void *arg, struct msi_route *r)
{
	struct vm *vm = arg;

	pthread_mutex_lock(&vm->msi_lock);
	if (r->slot != NO_SLOT)
		vm->msi_slot[r->slot] = (struct msi_slot){0};
	pthread_mutex_unlock(&vm->msi_lock);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	atomic_store(&r->live, false);
}

static bool same(const struct msi_message *a, const struct msi_message *b)
{
	return a->address == b->address && a->data == b->data;
}

static void route_change(void *arg, struct msi_route *r, const struct msi_message *m)
{
	struct vm *vm = arg;
	struct msi_slot *s;

	pthread_mutex_lock(&vm->msi_lock);
	r->message = *m;
	r->sent_apart = 0;
	if (r->slot != NO_SLOT) {
		s = &vm->msi_slot[r->slot];
		s->used = true;
		atomic_store(&r->live, s->bound && same(&s->known, m));
	}
	pthread_mutex_unlock(&vm->msi_lock);
}

static void add_message(struct route_table *t, uint32_t slot, const struct msi_message *m)
{
	t->entry[t->count++] = (struct kvm_irq_routing_entry){
	    .gsi = SLOT_GSI(slot),
	    .type = KVM_IRQ_ROUTING_MSI,
	    .u.msi = {.address_lo = (uint32_t)m->address,
		      .address_hi = (uint32_t)(m->address >> 32),
		      .data = m->data},
	};
}

static bool bind(struct vm *vm, const struct msi_slot *s)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)s->route->fd, .gsi = SLOT_GSI(s->route->slot)};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) == 0;
}

/* Tells KVM all messages. MSI lock held. */
static int set_table(struct vm *vm)
{
	vm->routes.count = 0;
	vm_add_pin_routes(&vm->routes);
	for (uint32_t n = 0; n < KVM_MSI_SLOTS; n++) {
		if (vm->msi_slot[n].used)
			add_message(&vm->routes, n, &vm->msi_slot[n].route->message);
	}
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &vm->routes) ? -errno : 0;
}

static void commit(struct vm *vm)
{
	int err = 0;

	pthread_mutex_lock(&vm->msi_lock);
	if (!vm->msi_apart)
		err = set_table(vm);
	for (uint32_t n = 0; !vm->msi_apart && !err && n < KVM_MSI_SLOTS; n++) {
		struct msi_slot *s = &vm->msi_slot[n];

		if (!s->used)
			continue;
		s->known = s->route->message;
		if (!s->bound && !bind(vm, s))
			err = -errno;
		else
			s->bound = true;
		atomic_store(&s->route->live, s->bound);
	}
	if (err)
		log_info("kvm: messages of PCI devices go one by one: %s", strerror(-err));
	vm->msi_apart = vm->msi_apart || err;
	pthread_mutex_unlock(&vm->msi_lock);
}

static void route_send(void *arg, struct msi_route *r)
{
	struct vm *vm = arg;
	const struct kvm_msi m = {
	    .address_lo = (uint32_t)r->message.address,
	    .address_hi = (uint32_t)(r->message.address >> 32),
	    .data = r->message.data,
	};

	if (atomic_load_explicit(&r->live, memory_order_acquire) && !eventfd_write(r->fd, 1))
		return;
	if (ioctl(vm->fd, KVM_SIGNAL_MSI, &m) < 0)
		log_guest(LOG_WARNING, "kvm: message 0x%x to 0x%x: %s", m.data, m.address_lo,
			  strerror(errno));
	if (r->fd >= 0 && ++r->sent_apart == MSI_APART_MAX)
		commit(vm);
}

static const struct msi_chip_ops msi_ops = {
    .attach = route_attach,
    .detach = route_detach,
    .change = route_change,
    .send = route_send,
};

void vm_init_msi(struct vm *vm)
{
	pthread_mutex_init(&vm->msi_lock, NULL);
	vm->msi = (struct msi_chip){.ops = &msi_ops, .arg = vm};
}

void vm_forget_msi(struct vm *vm)
{
	eventfd_t stale;

	pthread_mutex_lock(&vm->msi_lock);
	for (uint32_t n = 0; n < KVM_MSI_SLOTS; n++) {
		struct msi_slot *s = &vm->msi_slot[n];

		if (!s->route)
			continue;
		*s = (struct msi_slot){.route = s->route};
		atomic_store(&s->route->live, false);
		s->route->sent_apart = 0;
		/* What came too late for the old VM is not for the new one. */
		(void)!eventfd_read(s->route->fd, &stale);
	}
	vm->msi_apart = false;
	pthread_mutex_unlock(&vm->msi_lock);
}

struct msi_chip *vm_msi_chip(struct vm *vm)
{
	return &vm->msi;
}
