/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's terminal: raw while the guest has it, and given back on every way out. */
/*
 * Theory of operation (termios(3), credentials(7) on job control): in raw mode each key goes to the
 * guest as it is, Ctrl-c and Ctrl-z too, and the guest's output is not touched. The modes found at
 * the start are put back
 * - by terminal_leave(), on the ordinary ways out;
 * - by a handler for each signal that would end the process, if nobody else handles that signal:
 *   it puts the modes back, then lets the signal do what it would have done, core file and all;
 * - before SIGTSTP stops the process. SIGCONT, after this or after SIGSTOP, makes it raw again.
 * SIGKILL cannot be caught: the user then types `stty sane`.
 *
 * A process in the background must not touch the modes, as they belong to another then. SIGTTIN and
 * SIGTTOU are blocked in the threads that use the terminal, so that a race gives EIO and does not
 * stop the guest; terminal_in_foreground() is asked before modes change either way.
 *
 * Handlers call only tcgetpgrp(3), tcsetattr(3), sigaction(2), raise(3), kill(2): all
 * async-signal-safe.
 */
#include "console/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <lodge/console.h>
#include <lodge/log.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Signals that end a process unless it does something about them, signal(7). */
static const int ending[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,
			     SIGBUS,  SIGFPE,  SIGSEGV, SIGSYS,  SIGTERM, SIGUSR1,
			     SIGUSR2, SIGALRM, SIGPROF, SIGXCPU, SIGIO,   SIGPWR};
#define ENDING_COUNT (sizeof(ending) / sizeof(ending[0]))

static struct {
	int fd; /* -1: not entered */
	int stderr_is_tty;
	atomic_bool is_raw; /* and the modes are ours to put back */
	struct termios found, raw;
	struct sigaction old[ENDING_COUNT], old_stop, old_continue;
} terminal = {.fd = -1};

/* A stack of its own, as the main thread's may be what overflowed. */
static uint8_t signal_stack[16384];

bool terminal_in_foreground(int fd)
{
	pid_t group = tcgetpgrp(fd);

	/* Not our controlling terminal: there is no job control over us here. */
	return group < 0 || group == getpgrp();
}

/* tcsetattr(3) that cannot stop us. Async-signal-safe. */
static bool terminal_set(const struct termios *modes)
{
	sigset_t ttou, old;
	int err;

	if (!terminal_in_foreground(terminal.fd))
		return false;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	do {
		err = tcsetattr(terminal.fd, TCSANOW, modes);
	} while (err && errno == EINTR);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return !err;
}

void terminal_restore(void)
{
	int saved = errno;

	if (atomic_exchange(&terminal.is_raw, false)) {
		terminal_set(&terminal.found);
		log_set_raw_terminal(0);
	}
	errno = saved;
}

bool terminal_resume(void)
{
	int saved = errno;

	if (terminal.fd >= 0 && terminal_set(&terminal.raw)) {
		atomic_store(&terminal.is_raw, true);
		log_set_raw_terminal(terminal.stderr_is_tty);
	}
	errno = saved;
	return atomic_load(&terminal.is_raw);
}

static void on_ending(int sig, siginfo_t *info, void *context)
{
	bool fault;

	(void)context;
	terminal_restore();
	for (unsigned i = 0; i < ENDING_COUNT; i++)
		if (ending[i] == sig)
			sigaction(sig, &terminal.old[i], NULL);
	/* A fault happens again when the handler returns; what was sent must be sent again. */
	fault = sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;
	if (!fault || info->si_code <= 0 || info->si_code == SI_KERNEL)
		raise(sig);
}

static void on_stop(int sig, siginfo_t *info, void *context);

/* The window may have changed while others had the terminal, and only they were told. */
static void tell_size(void)
{
	kill(getpid(), SIGWINCH);
}

static void stop_handle(void)
{
	struct sigaction ours = {.sa_sigaction = on_stop, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigemptyset(&ours.sa_mask);
	sigaction(SIGTSTP, &ours, NULL);
}

static void on_stop(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	sigset_t only, old;

	(void)info, (void)context;
	terminal_restore();
	sigaction(sig, &terminal.old_stop, NULL);
	raise(sig);
	sigemptyset(&only);
	sigaddset(&only, sig);
	pthread_sigmask(SIG_UNBLOCK, &only, &old); /* stops here, and goes on after SIGCONT */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	stop_handle();
	terminal_resume();
	tell_size();
	errno = saved;
}

static void on_continue(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
	terminal_resume();
	tell_size();
}

static void terminal_handle_signals(void)
{
	stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	struct sigaction a = {.sa_sigaction = on_ending};
	struct sigaction go = {.sa_sigaction = on_continue, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigaltstack(&stack, NULL);
	sigemptyset(&a.sa_mask);
	sigemptyset(&go.sa_mask);
	a.sa_flags = SA_SIGINFO | SA_ONSTACK;
	for (unsigned i = 0; i < ENDING_COUNT; i++) {
		struct sigaction *old = &terminal.old[i];

		sigaction(ending[i], NULL, old);
		/* A handler of another is not ours to replace, except one that only reports. */
		if (old->sa_handler == SIG_DFL || ending[i] == SIGSEGV || ending[i] == SIGBUS)
			sigaction(ending[i], &a, NULL);
	}
	sigaction(SIGCONT, &go, &terminal.old_continue);
	sigaction(SIGTSTP, NULL, &terminal.old_stop);
	if (terminal.old_stop.sa_handler == SIG_DFL)
		stop_handle();
}

static void signal_give_back(int sig, void (*ours)(int, siginfo_t *, void *),
			     const struct sigaction *old)
{
	struct sigaction now;

	if (!sigaction(sig, NULL, &now) && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == ours)
		sigaction(sig, old, NULL);
}

int terminal_enter(int fd)
{
	if (terminal.fd >= 0)
		return -EBUSY;
	if (tcgetattr(fd, &terminal.found))
		return -errno;
	terminal.raw = terminal.found;
	cfmakeraw(&terminal.raw);
	terminal.fd = fd;
	terminal.stderr_is_tty = isatty(STDERR_FILENO);
	terminal_handle_signals();
	terminal_resume();
	return 0;
}

void terminal_leave(void)
{
	stack_t none = {.ss_flags = SS_DISABLE};

	if (terminal.fd < 0)
		return;
	terminal_restore();
	for (unsigned i = 0; i < ENDING_COUNT; i++)
		signal_give_back(ending[i], on_ending, &terminal.old[i]);
	signal_give_back(SIGTSTP, on_stop, &terminal.old_stop);
	signal_give_back(SIGCONT, on_continue, &terminal.old_continue);
	sigaltstack(&none, NULL);
	terminal.fd = -1;
}

bool terminal_size(unsigned *rows, unsigned *columns)
{
	static const int fds[] = {STDIN_FILENO, STDOUT_FILENO};
	struct winsize w;

	for (unsigned i = 0; i < 2; i++) {
		if (ioctl(fds[i], TIOCGWINSZ, &w) || !w.ws_row || !w.ws_col)
			continue;
		*rows = w.ws_row;
		*columns = w.ws_col;
		return true;
	}
	return false;
}

void terminal_tell(const char *name, const char *text)
{
	bool cr = terminal.stderr_is_tty && atomic_load(&terminal.is_raw);
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT)
		dprintf(STDERR_FILENO, "lodge: %s: %s%s", name, text, cr ? "\r\n" : "\n");
}

void stdio_secure(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			open("/dev/null", fd ? O_WRONLY : O_RDONLY); /* takes the lowest: fd */
	sigemptyset(&ignore.sa_mask);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL);
}
