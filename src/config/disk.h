/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of --disk: FILE[,KEY=VALUE...]. */
#ifndef CONFIG_DISK_H
#define CONFIG_DISK_H

#include <lodge/config_devices.h>

/*
 * Fills *d; text is borrowed. A comma inside FILE or a value is written twice. 0, or -1 with *why,
 * whose line starts with "--disk: ". Opens nothing.
 */
int config_parse_disk(const char *text, struct config_disk *d, struct refusal *why);

#endif
