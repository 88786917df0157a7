/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Elements of an array. */
#ifndef CORE_ARRAY_H
#define CORE_ARRAY_H

#include <stddef.h>

/* Does not tell an array from a pointer, for which it is wrong. */
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
