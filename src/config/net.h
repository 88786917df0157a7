/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of --net: user|tap|passt|dgram|none[,KEY=VALUE...]. */
#ifndef CONFIG_NET_H
#define CONFIG_NET_H

#include <lodge/config_devices.h>

/*
 * Fills *n, the adapter with this number, counted from 0; text is borrowed. params.kind is NET_NONE
 * for "none". 0, or -1 with *why, whose line starts with "--net: ". Opens nothing.
 */
int config_parse_net(const char *text, unsigned index, struct config_net *n, struct refusal *why);

/* The adapter of a machine for which --net is not given. */
void config_default_net(struct config_net *n);

/* The address of an adapter for which none is given: the same in each run; another for each tap. */
void config_default_mac(const struct config_net *n, unsigned index, uint8_t mac[6]);

#endif
