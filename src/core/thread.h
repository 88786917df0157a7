/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of our own: no signal that was sent to the process ever runs on one. */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include <pthread.h>

/*
 * Starts fn(arg). All signals are blocked there but those that a fault of the thread itself raises;
 * fn may let others in. name is what ps(1) shows, 15 bytes of it. 0 or -errno. Any thread.
 */
int thread_start(pthread_t *out, const char *name, void *(*fn)(void *arg), void *arg);

#endif
