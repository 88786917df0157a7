/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's side of a tap, in a network namespace of the test's own. */
#ifndef TAP_HOST_H
#define TAP_HOST_H

#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#define TAP_KIND       (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
#define TAP_MANY       (TAP_KIND | IFF_MULTI_QUEUE)
#define TAP_EXPERIMENT 0x88b5u /* an EtherType; IEEE 802: for local use */

/* Before any thread. NULL, or why there are no taps here. */
const char *tap_enter_namespace(void);

/* A queue of a tap, which is made if it is not there: its descriptor, or -1. */
int tap_queue(const char *name, unsigned flags);
void tap_make(const char *name, unsigned flags); /* and brings it up */
void tap_remove(const char *name);
/* Down first: a tap that got its cable while it was up only works once the kernel's delay is over.
 */
void tap_bring_up(const char *name);
int tap_index(const char *name); /* 0: there is none */
/* For frames of TAP_EXPERIMENT, not blocking. */
int tap_packet_socket(const char *name);

#endif
