/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which known name was meant: for the suggestion in "unknown option". */
#ifndef CORE_NEAREST_H
#define CORE_NEAREST_H

#include <stddef.h>

#define NEAREST_FAR 3u /* this score and above: not meant */

/*
 * How far the n bytes at given are from the known name: 0 if they begin it, else how many letters
 * have to be added, taken away, replaced, or swapped with their neighbour. At most NEAREST_FAR.
 * Names of more than 24 bytes are always far. Pure.
 */
unsigned nearest_score(const char *given, size_t n, const char *known);

#endif
