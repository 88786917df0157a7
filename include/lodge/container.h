/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an embedded member to its owner. Timers, watches, tasks, devices and PCI functions are
 * members of the struct that owns them, and their callbacks are told the member. loop.h and
 * device.h bring this header along.
 */
#ifndef LODGE_CONTAINER_H
#define LODGE_CONTAINER_H

#include <stddef.h>

/*
 * The `type` whose `member` ptr points to. Does not compile unless ptr has exactly the type of a
 * pointer to that member.
 */
#define container_of(ptr, type, member)                                                            \
	((type *)(void *)((char *)_Generic((ptr), container_member(ptr, type, member) *            \
					   : (ptr)) -                                              \
			  offsetof(type, member)))

/* The member's type. The pointer is as good as any, as nothing is read. */
#define container_member(ptr, type, member) __typeof__(((type *)(void *)(ptr))->member)

#endif
