/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to hold in fakes, rigs and fuzz targets: else the program ends. Not assert(), so that a
 * replayer's answer does not depend on NDEBUG.
 */
#ifndef MUST_H
#define MUST_H

#include <stdbool.h>
#include <stdlib.h>

static inline void must(bool good)
{
	if (!good)
		abort();
}

#endif
