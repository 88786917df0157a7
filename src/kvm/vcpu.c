// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vCPU: its descriptor, its thread, and how it is stopped and let go.
 *
 * Theory of operation: the thread calls KVM_RUN in a loop. To stop it, another thread sets
 * `pause` and kvm_run's immediate_exit and sends a signal whose handler does nothing: a vCPU in
 * the guest is thrown out, one that is about to enter comes straight back. The thread parks only
 * after KVM_RUN said EINTR, since that call is what completes an access handled before: then
 * registers and memory are whole, and a report or a patch can look at them.
 */
#include "kvm/kvm_internal.h"

#include "core/thread.h"

#include <lodge/clock.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Nobody sends it, and unlike a real-time signal it needs no place in the user's queue of signals,
 * so that it cannot get lost when that is full. */
#define KICK_SIGNAL SIGURG

static _Thread_local unsigned current_id = VCPU_NONE;

unsigned vcpu_current(void)
{
	return current_id;
}

static void kick_handler(int signal)
{
	(void)signal;
}

static void install_kick_handler(void)
{
	struct sigaction action = {.sa_handler = kick_handler, .sa_flags = SA_RESTART};

	sigemptyset(&action.sa_mask);
	sigaction(KICK_SIGNAL, &action, NULL);
}

/* The descriptor and its pages; the counterpart of close_vcpu(). */
static int open_vcpu(struct vcpu *v, struct refusal *why)
{
	struct vm *vm = v->vm;
	void *run;

	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)v->params.id);
	if (v->fd < 0)
		return refuse(why, STATUS_UNAVAILABLE, "/dev/kvm", "KVM_CREATE_VCPU", "vCPU %u: %s",
			      v->params.id, strerror(errno));
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return refuse_errno(why, errno, "/dev/kvm", "mmap", "vCPU state");
	pthread_mutex_lock(&v->lock);
	v->run = run;
	pthread_mutex_unlock(&v->lock);
	if (vm->coalesced_page && v->params.id == 0)
		vm->ring = (void *)((char *)run + (size_t)vm->coalesced_page * 4096);
	return 0;
}

static void close_vcpu(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	if (v->params.id == 0)
		v->vm->ring = NULL;
	pthread_mutex_lock(&v->lock);
	v->run = NULL;
	pthread_mutex_unlock(&v->lock);
	if (run)
		munmap(run, v->vm->run_size);
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
}

static int set_cpuid(struct vcpu *v, struct refusal *why)
{
	struct cpuid_request req = {
	    .id = v->params.id,
	    .count = v->params.count,
	    .tsc_deadline = v->vm->tsc_deadline,
	    .features = v->params.cpu_features,
	};
	struct cpuid_table *cpuid = malloc(sizeof(*cpuid));
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	int err;

	if (!cpuid)
		return refuse(why, STATUS_HOST, NULL, NULL, "out of memory");
	req.tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	err = cpuid_build(v->vm->supported, &req, cpuid, why);
	if (!err && ioctl(v->fd, KVM_SET_CPUID2, cpuid))
		err = refuse(why, STATUS_UNAVAILABLE, "/dev/kvm", "KVM_SET_CPUID2", "%s",
			     strerror(errno));
	free(cpuid);
	return err;
}

int vcpu_reset(struct vcpu *v, const struct boot_entry *entry, struct refusal *why)
{
	int err;

	assert(!v->started || v->state == VCPU_PARKED);
	if (v->fd < 0 && open_vcpu(v, why))
		return -1;
	if (set_cpuid(v, why))
		return -1;
	err = vcpu_set_reset_state(v, entry, cpuid_physical_bits(v->vm->supported));
	if (err)
		return refuse(why, STATUS_UNAVAILABLE, "/dev/kvm", "registers", "vCPU %u: %s",
			      v->params.id, strerror(-err));
	v->wiped = false;
	v->vapic = NULL;
	atomic_store(&v->stopped, false);
	atomic_store(&v->held, false);
	return 0;
}

void vcpu_release(struct vcpu *v)
{
	assert(!v->started || v->state == VCPU_PARKED);
	close_vcpu(v);
}

int vcpu_create(struct vm *vm, const struct vcpu_params *p, struct vcpu **out, struct refusal *why)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	pthread_condattr_t monotonic;

	if (!v)
		return refuse(why, STATUS_HOST, NULL, NULL, "out of memory");
	install_kick_handler();
	v->vm = vm;
	v->params = *p;
	v->fd = -1;
	v->state = VCPU_PARKED;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&v->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	atomic_store(&v->pause, true);
	if (open_vcpu(v, why)) {
		vcpu_destroy(v);
		return -1;
	}
	*out = v;
	return 0;
}

static void park(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	v->state = VCPU_PARKED;
	pthread_cond_broadcast(&v->changed);
	while (atomic_load(&v->pause) && !atomic_load(&v->leave))
		pthread_cond_wait(&v->changed, &v->lock);
	v->state = VCPU_RUNNING;
	if (v->run)
		v->run->immediate_exit = 0;
	pthread_mutex_unlock(&v->lock);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	sigset_t kick;

	current_id = v->params.id;
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	park(v);
	while (!atomic_load(&v->leave)) {
		int err = ioctl(v->fd, KVM_RUN, 0) ? errno : 0;

		if (atomic_load(&v->leave))
			break; /* abandoned: what an exit is handled with may be gone */
		if (err == EINTR || err == EAGAIN) {
			if (atomic_load(&v->pause))
				park(v);
			continue;
		}
		if (err)
			vcpu_report_run_error(v, err);
		else if (vcpu_handle_exit(v))
			continue;
		/* Stopped: stays out of the guest until someone resets it. */
		vcpu_pause_begin(v);
		park(v);
	}
	return NULL;
}

int vcpu_start(struct vcpu *v)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "vcpu/%u", v->params.id);
	err = thread_start(&v->thread, name, vcpu_thread, v);
	v->started = err == 0;
	return err;
}

/* Out of the guest, or not into it. Lock held. */
static void kick(struct vcpu *v)
{
	if (v->run)
		v->run->immediate_exit = 1;
	if (v->started && v->state == VCPU_RUNNING && !pthread_equal(v->thread, pthread_self()))
		pthread_kill(v->thread, KICK_SIGNAL);
}

void vcpu_pause_begin(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	/* Once is enough, and a guest can make its devices ask a million times. */
	if (!atomic_exchange(&v->pause, true))
		kick(v);
	pthread_mutex_unlock(&v->lock);
}

bool vcpu_pause(struct vcpu *v, uint64_t until_ns)
{
	const struct timespec until = {
	    .tv_sec = (time_t)(until_ns / NS_PER_S),
	    .tv_nsec = (long)(until_ns % NS_PER_S),
	};
	bool parked;
	int err = 0;

	vcpu_pause_begin(v);
	if (!v->started)
		return true;
	assert(!pthread_equal(v->thread, pthread_self()));
	pthread_mutex_lock(&v->lock);
	while (v->state != VCPU_PARKED && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&v->changed, &v->lock, &until);
	parked = v->state == VCPU_PARKED;
	pthread_mutex_unlock(&v->lock);
	return parked;
}

void vcpu_resume(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	if (!atomic_load(&v->stopped) && !atomic_load(&v->held)) {
		atomic_store(&v->pause, false);
		/* It may never have got as far as to park, which takes this back. */
		if (v->run)
			v->run->immediate_exit = 0;
		pthread_cond_broadcast(&v->changed);
	}
	pthread_mutex_unlock(&v->lock);
}

void vcpu_abandon(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	atomic_store(&v->leave, true);
	kick(v);
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

void vcpu_hold(struct vcpu *v)
{
	assert(v->started && pthread_equal(v->thread, pthread_self()));
	atomic_store(&v->held, true);
	vcpu_pause_begin(v);
}

void vcpu_unhold(struct vcpu *v)
{
	atomic_store(&v->held, false);
}

void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	if (v->started) {
		vcpu_abandon(v);
		pthread_join(v->thread, NULL);
	}
	close_vcpu(v);
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

void vcpu_counters(const struct vcpu *v, struct vcpu_counters *out)
{
	out->exits = atomic_load(&v->exits);
	out->io = atomic_load(&v->io);
	out->mmio = atomic_load(&v->mmio);
	out->coalesced = v->params.id ? 0 : atomic_load(&v->vm->coalesced_count);
}
