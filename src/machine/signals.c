// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signals as the contract of the command line has them (docs/exit-status.md).
 *
 * Theory of operation: all of them are blocked in every thread and read from a signalfd on the main
 * loop, so that no code runs in a handler. One that came before the guest could be started ends the
 * start. One that was ignored when we were started (nohup(1), a shell's background job) stays
 * ignored.
 *
 * Faults and job control are the terminal's business, as it must be given back there; see
 * src/console. SIGBUS is that of src/main.c.
 */
#include "machine/machine_internal.h"

#include <lodge/log.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define POWER_GRACE_NS (10 * NS_PER_S)

/* What would end the process without a word if nobody took it, and SIGWINCH; and all real-time
 * signals. */
static const int taken[] = {SIGTERM, SIGINT,    SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,   SIGALRM,
			    SIGPROF, SIGVTALRM, SIGXCPU, SIGIO,   SIGPWR,  SIGSTKFLT, SIGWINCH};

#define TAKEN_COUNT (sizeof(taken) / sizeof(taken[0]))

static void add_unless_ignored(sigset_t *set, int signal)
{
	struct sigaction now;

	if (!sigaction(signal, NULL, &now) && now.sa_handler != SIG_IGN)
		sigaddset(set, signal);
}

static void fill_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < TAKEN_COUNT; i++)
		add_unless_ignored(set, taken[i]);
	for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
		add_unless_ignored(set, signal);
}

static bool asks_to_end(int signal)
{
	return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGPWR;
}

void signals_block(void)
{
	sigset_t set;

	fill_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The first asks a guest that runs to power off; the next, or 10 seconds, ends it. */
static void ask_to_end(struct machine *m, int signal)
{
	if (m->power_signal || !m->running) {
		machine_request(m, REQUEST_SIGNAL, signal);
		return;
	}
	m->power_signal = signal;
	log_info("signal %d: pressing the guest's power button", signal);
	pc_press_power_button(m);
	loop_timer_set_after(m->loop, &m->power_grace, POWER_GRACE_NS);
}

/* As much as standard error takes within a second: its reader may have stopped reading. */
static void write_to_stderr(const char *text, size_t size)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (size && poll(&p, 1, 1000) == 1) {
		/* What poll(2) calls room is at least this much in a pipe. */
		ssize_t n = write(STDERR_FILENO, text, size < 512 ? size : 512);

		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

static void dump_to_stderr(struct machine *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	machine_dump_vcpus(m, f);
	if (!fclose(f))
		write_to_stderr(text, size);
	free(text);
}

static void take(struct machine *m, int signal)
{
	if (asks_to_end(signal)) {
		ask_to_end(m, signal);
		return;
	}
	switch (signal) {
	case SIGUSR1:
		if (!m->config->report_dir)
			log_guest(LOG_WARNING, "SIGUSR1: no report without --report DIR");
		else if (machine_write_report(m, NULL))
			log_guest(LOG_WARNING, "SIGUSR1: the report could not be written whole");
		break;
	case SIGQUIT:
		dump_to_stderr(m);
		machine_request(m, REQUEST_SIGNAL, signal);
		break;
	case SIGWINCH:
		pc_virtio_resize(m);
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
	struct machine *m = container_of(w, struct machine, signals);
	struct signalfd_siginfo info[8];
	ssize_t n = read(w->fd, info, sizeof(info));

	(void)revents;
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++)
		take(m, (int)info[i].ssi_signo);
}

/* A signal that came before anything runs that it could be handed to; 0: none. */
static int came_early(const sigset_t *set)
{
	sigset_t pending;

	sigpending(&pending);
	for (size_t i = 0; i < TAKEN_COUNT; i++) {
		if ((asks_to_end(taken[i]) || taken[i] == SIGQUIT) && sigismember(set, taken[i]) &&
		    sigismember(&pending, taken[i]))
			return taken[i];
	}
	return 0;
}

int signals_open(struct machine *m, struct refusal *why)
{
	sigset_t set;
	int early, err;

	fill_set(&set);
	early = came_early(&set);
	if (early)
		return refuse(why, (enum exit_status)(STATUS_SIGNAL_BASE + early), NULL, NULL,
			      "ended by signal %d (SIG%s) before the guest started", early,
			      sigabbrev_np(early));
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
