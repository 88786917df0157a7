// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signals as the contract of the command line has them (docs/exit-status.md).
 *
 * Theory of operation: all of them are blocked in every thread and read from a signalfd on the main
 * loop, so that no code runs in a handler. Faults (SIGSEGV, SIGBUS, ...) and job control are the
 * terminal's business, as it must be given back there; see src/console.
 */
#include "machine/machine_internal.h"

#include <lodge/log.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define POWER_GRACE_NS (10 * NS_PER_S)

/* What would end the process without a word if nobody took it. */
static const int taken[] = {SIGTERM, SIGINT,    SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
			    SIGALRM, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  SIGXCPU};

static void fill_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(set, taken[i]);
}

void signals_block(void)
{
	sigset_t set;

	fill_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The first asks the guest to power off; the next, or 10 seconds, ends it. */
static void ask_to_end(struct machine *m, int signal)
{
	if (m->power_signal) {
		machine_request(m, REQUEST_SIGNAL, signal);
		return;
	}
	m->power_signal = signal;
	log_info("signal %d: pressing the guest's power button", signal);
	pc_press_power_button(m);
	loop_timer_set(m->loop, &m->power_grace,
		       clock_now_ns(loop_clock(m->loop)) + POWER_GRACE_NS);
}

static void dump_to_stderr(void *arg)
{
	struct machine *m = arg;

	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_dump(m->vcpu[i], m->mem, stderr);
}

static void take(struct machine *m, int signal)
{
	switch (signal) {
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
	case SIGPWR:
		ask_to_end(m, signal);
		break;
	case SIGUSR1:
		if (!m->config->report_dir)
			log_guest(LOG_WARNING, "SIGUSR1: no report without --report DIR");
		else if (machine_write_report(m, NULL))
			log_guest(LOG_WARNING, "SIGUSR1: the report could not be written whole");
		break;
	case SIGQUIT:
		machine_exclusive(m, dump_to_stderr, m);
		machine_request(m, REQUEST_SIGNAL, signal);
		break;
	case SIGUSR2:
	case SIGALRM:
	case SIGVTALRM:
	case SIGPROF:
	case SIGIO:
		log_guest(LOG_WARNING, "signal %d has no meaning here", signal);
		break;
	default:
		machine_request(m, REQUEST_SIGNAL, signal);
	}
}

static void signals_ready(struct watch *w, uint32_t revents)
{
	struct machine *m =
	    (struct machine *)((char *)w - __builtin_offsetof(struct machine, signals));
	struct signalfd_siginfo info[8];
	ssize_t n = read(w->fd, info, sizeof(info));

	(void)revents;
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++)
		take(m, (int)info[i].ssi_signo);
}

int signals_open(struct machine *m, struct refusal *why)
{
	sigset_t set;
	int err;

	fill_set(&set);
	m->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->signals.fd < 0)
		return refuse_errno(why, errno, NULL, "signalfd", NULL);
	m->signals.events = EPOLLIN;
	m->signals.fn = signals_ready;
	err = loop_watch(m->loop, &m->signals);
	if (err) {
		close(m->signals.fd);
		return refuse_errno(why, -err, NULL, "signalfd", NULL);
	}
	m->signals_open = true;
	return 0;
}

void signals_close(struct machine *m)
{
	if (!m->signals_open)
		return;
	loop_unwatch(m->loop, &m->signals);
	close(m->signals.fd);
	m->signals_open = false;
}
