/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's terminal in raw mode. There is one in a process; console.h has what others may call.
 */
#ifndef CONSOLE_TERMINAL_H
#define CONSOLE_TERMINAL_H

#include <stdbool.h>

/*
 * Puts the terminal on fd into raw mode now, or as soon as this process is in its foreground and
 * terminal_resume() or SIGCONT notices; installs the handlers that give it back. fd stays open
 * until terminal_leave(). 0 or -errno. Main thread.
 */
int terminal_enter(int fd);

/* Gives the terminal back for good and takes the handlers away. Main thread. */
void terminal_leave(void);

/* True if this process may read fd and change its modes without being stopped. */
bool terminal_in_foreground(int fd);

/* Raw mode again if it was entered, is off, and we are in the foreground. True: it is on. */
bool terminal_resume(void);

/* "lodge: NAME: TEXT" on stderr, at any log level; left out if that would wait. */
void terminal_tell(const char *name, const char *text);

#endif
