/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines for people, on stderr. Any thread may log; a line is written by one write(2).
 *
 * A guest must not be able to fill the user's disk: whatever a guest can provoke goes through
 * log_guest(), which lets the first 10 lines of one place through and then one for every
 * power of two, saying how many were left out.
 */
#ifndef LODGE_LOG_H
#define LODGE_LOG_H

#include <stdatomic.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped. Default LOG_WARNING. Set before threads start. */
void log_set_level(enum log_level level);
enum log_level log_level(void);

/* When the terminal is in raw mode, a line must end in CR LF. Any thread. */
void log_set_raw_terminal(int raw);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

/* True when the n-th occurrence (n counted in *count) of a guest-caused line is to be shown. */
_Bool log_guest_allowed(atomic_ulong *count);

#define log_guest(level, ...)                                                                      \
	do {                                                                                       \
		static atomic_ulong log_guest_count;                                               \
		if (log_guest_allowed(&log_guest_count))                                           \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)

#endif
