/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines on stderr.
 *
 * Theory of operation: a line is put together on the caller's stack and leaves by one write(2), so
 * that lines of several threads and of several processes do not mix. vCPU threads log too, and a
 * reader who stopped reading must not stop them: the descriptor is polled first, and a line that
 * would have to wait is dropped and counted; the next line that gets through says how many were.
 * A mutex makes the poll and the write one step against other threads of ours.
 */
#include <lodge/log.h>

#include "core/text.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024u
#define GUEST_LINES    10ul /* of one place, before the rate is limited */

static enum log_level max_level = LOG_WARNING;
static atomic_int raw_terminal;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long lines_lost; /* guarded by write_lock */

/* Set by log_guest_allowed() for the log_line() that follows it on the same thread. */
static _Thread_local unsigned long left_out;

static const char *const prefixes[] = {
    [LOG_ERROR] = "lodge: error: ",
    [LOG_WARNING] = "lodge: warning: ",
    [LOG_INFO] = "lodge: ",
    [LOG_DEBUG] = "lodge: debug: ",
};

void log_set_level(enum log_level level)
{
	max_level = level;
}

enum log_level log_level(void)
{
	return max_level;
}

void log_set_raw_terminal(int raw)
{
	atomic_store_explicit(&raw_terminal, raw, memory_order_relaxed);
}

/* Adds the line's end to text, which has room for it, and sends it. False: not taken. */
static bool send_line(char *text)
{
	const char *end = atomic_load_explicit(&raw_terminal, memory_order_relaxed) ? "\r\n" : "\n";
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	size_t n;

	text_sanitize(text);
	n = strlen(text);
	memcpy(text + n, end, strlen(end));
	n += strlen(end);
	if (poll(&p, 1, 0) != 1 || p.revents != POLLOUT)
		return false;
	return write(STDERR_FILENO, text, n) >= 0;
}

static void send_counted(char *text)
{
	char lost[96];

	pthread_mutex_lock(&write_lock);
	if (lines_lost) {
		snprintf(lost, sizeof(lost) - 2, "%s%lu log lines lost: nobody read them",
			 prefixes[LOG_WARNING], lines_lost);
		if (send_line(lost))
			lines_lost = 0;
	}
	if (!send_line(text))
		lines_lost++;
	pthread_mutex_unlock(&write_lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	const size_t room = LINE_MAX_BYTES - 2; /* for CR LF; the NUL takes the place of the CR */
	unsigned long skipped = left_out;
	char text[LINE_MAX_BYTES];
	char note[64] = "";
	va_list args;
	size_t used, limit;

	left_out = 0;
	if (level > max_level)
		return;
	if (skipped)
		snprintf(note, sizeof(note), " (%lu more were left out)", skipped);
	limit = room - strlen(note);
	used = (size_t)snprintf(text, sizeof(text), "%s", prefixes[level]);
	va_start(args, fmt);
	vsnprintf(text + used, limit - used, fmt, args);
	va_end(args);
	memcpy(text + strlen(text), note, strlen(note) + 1);
	send_counted(text);
}

_Bool log_guest_allowed(atomic_ulong *count)
{
	unsigned long n = atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1;

	if (n <= GUEST_LINES)
		return true;
	if (n & (n - 1))
		return false;
	/* The line before this one was the 10th or that of the power of two below. */
	left_out = n / 2 > GUEST_LINES ? n / 2 - 1 : n - GUEST_LINES - 1;
	return true;
}
