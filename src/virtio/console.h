/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-console: consoles and named ports, each to a stream of its own. Virtio 1.2, section 5.3.
 * Port 0 also serves drivers that know one port only.
 */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include "virtio/device.h"

#include <lodge/chr.h>

#define VIRTIO_CONSOLE_PORTS_MAX 16u
#define VIRTIO_CONSOLE_NAME_MAX  63u /* bytes */

/* Feature bits, section 5.3.3. */
#define VIRTIO_CONSOLE_F_SIZE        (1ull << 0)
#define VIRTIO_CONSOLE_F_MULTIPORT   (1ull << 1)
#define VIRTIO_CONSOLE_F_EMERG_WRITE (1ull << 2)

struct virtio_console_port {
	struct chr *chr; /* outlives the device; NULL: swallows everything */
	const char
	    *name;    /* "org.qemu.guest_agent.0", what udev(7) calls it in the guest; or NULL */
	bool console; /* for a terminal: hvc0 and so on */
};

struct virtio_console_params {
	const struct gmem *mem;
	struct loop *loop;                       /* the streams' */
	const struct virtio_console_port *ports; /* copied */
	unsigned count;                          /* 1 to VIRTIO_CONSOLE_PORTS_MAX */
};

/* 0 or -errno. Destroyed by base.ops when the loop is gone. */
int virtio_console_create(const struct virtio_console_params *p, struct virtio_device **out);

/*
 * Tells the guest how large the terminal behind a console is, in characters; 0, as at first:
 * unknown. port: a number below params.count. The loop's thread, or before the loop runs.
 */
void virtio_console_resize(struct virtio_device *v, unsigned port, uint16_t columns, uint16_t rows);

#endif
