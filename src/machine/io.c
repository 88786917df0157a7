// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The loop of disks and network adapters: thread io/0, beside the main one.
 *
 * Theory of operation: the loop is made before what is opened with it, and its thread runs from the
 * first instruction of the guest until the last vCPU is gone; before and after, its parts belong to
 * the main thread. It also runs while the machine stands still or is reset, as a device's reset
 * waits for what the loop has in work. A machine without such devices has no second thread.
 *
 * Where a processor is free, the thread starts as soon as it is woken. Where none is, it matters
 * whether it pushes the vCPU aside that woke it. One that is SCHED_BATCH (sched(7)) does not: the
 * vCPU goes on until it waits or its turn is over, and then there are several requests to be done
 * at once instead of one. A guest that asks for one thing at a time has nothing to add, though, and
 * would only go to sleep and be woken. So the thread is SCHED_BATCH as long as requests gather, an
 * ordinary one once they do not, and tries again after a while. If it may not be set, nothing
 * breaks.
 */
#include "machine/machine_internal.h"

#include "core/thread.h"
#include <lodge/log.h>

#include <sched.h>
#include <string.h>

/* So many kicks in a row that find one request each, and the thread is an ordinary one for so many.
 */
#define TRIAL_KICKS 16u
#define EAGER_KICKS 512u

int io_create(struct machine *m, struct refusal *why)
{
	int err = m->io.loop ? 0 : loop_create(clock_host(), &m->io.loop);

	return err ? refuse_errno(why, -err, NULL, NULL, "start") : 0;
}

static void set_eager(struct machine_io *io, bool eager)
{
	const struct sched_param none = {0};

	io->eager = eager;
	io->rest = eager ? EAGER_KICKS : TRIAL_KICKS;
	(void)pthread_setschedparam(pthread_self(), eager ? SCHED_OTHER : SCHED_BATCH, &none);
}

/* A kick found n requests. */
static void gathered(void *arg, unsigned n)
{
	struct machine_io *io = arg;

	if (!io->eager && n > 1)
		io->rest = TRIAL_KICKS;
	else if (--io->rest == 0)
		set_eager(io, !io->eager);
}

static void *io_thread(void *arg)
{
	struct machine *m = arg;
	int err;

	set_eager(&m->io, false);
	loop_hear_gathered(m->io.loop, gathered, &m->io);
	err = loop_run(m->io.loop);
	if (err) {
		log_error("io/0: event loop: %s", strerror(-err));
		machine_request(m, REQUEST_LOOP_FAILED, 0);
	}
	pthread_mutex_lock(&m->io.lock);
	m->io.over = true;
	pthread_cond_broadcast(&m->io.changed);
	pthread_mutex_unlock(&m->io.lock);
	return NULL;
}

static void carry_out(struct task *t)
{
	struct machine_io *io = container_of(t, struct machine_io, call);

	pthread_mutex_lock(&io->lock);
	if (io->call_fn)
		io->call_fn(io->call_arg);
	io->call_fn = NULL;
	pthread_cond_broadcast(&io->changed);
	pthread_mutex_unlock(&io->lock);
}

int io_start(struct machine *m)
{
	int err;

	if (!m->io.loop)
		return 0;
	m->io.call.fn = carry_out;
	pthread_mutex_init(&m->io.lock, NULL);
	pthread_cond_init(&m->io.changed, NULL);
	err = thread_start(&m->io.thread, "io/0", io_thread, m);
	m->io.started = !err;
	return err;
}

void io_call(struct machine *m, void (*fn)(void *arg), void *arg)
{
	struct machine_io *io = &m->io;

	if (!io->started) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&io->lock);
	io->call_fn = fn;
	io->call_arg = arg;
	loop_post(io->loop, &io->call);
	while (io->call_fn && !io->over)
		pthread_cond_wait(&io->changed, &io->lock);
	if (io->call_fn)
		io->call_fn(io->call_arg);
	io->call_fn = NULL;
	pthread_mutex_unlock(&io->lock);
}

void io_stop(struct machine *m)
{
	if (!m->io.started)
		return;
	loop_stop(m->io.loop);
	pthread_join(m->io.thread, NULL);
	m->io.started = false;
	pthread_cond_destroy(&m->io.changed);
	pthread_mutex_destroy(&m->io.lock);
}
