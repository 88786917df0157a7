/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edit distance between short names.
 *
 * Theory of operation: the optimal string alignment distance, by its textbook table, on a bounded
 * array. One letter is never enough to guess from.
 */
#include "core/nearest.h"

#include <string.h>

#define NAME_MAX_BYTES 24u

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

unsigned nearest_score(const char *given, size_t n, const char *known)
{
	unsigned d[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];
	size_t m = strlen(known), i, j;

	if (n < 2 || n > NAME_MAX_BYTES || m > NAME_MAX_BYTES)
		return NEAREST_FAR;
	if (strncmp(known, given, n) == 0)
		return 0;
	for (i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= n; i++) {
		for (j = 1; j <= m; j++) {
			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + (given[i - 1] != known[j - 1]));
			if (i > 1 && j > 1 && given[i - 1] == known[j - 2] &&
			    given[i - 2] == known[j - 1] && d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[n][m] < NEAREST_FAR ? d[n][m] : NEAREST_FAR;
}
