/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Steps of a virtio driver over PCI, good or bad, read from the input of a fuzz target. The device
 * is attached once; each input begins with a reset.
 */
#ifndef VIRTIO_SCRIPT_H
#define VIRTIO_SCRIPT_H

#include "script.h"
#include "virtio_pci_driver.h"
#include "virtio/transport_pci.h"

#include <lodge/log.h>

#define VIRTIO_SCRIPT_RAM     0x4000000u
#define VIRTIO_SCRIPT_RINGS   0x200000u
#define VIRTIO_SCRIPT_BUFFERS 0x3000000u
#define VIRTIO_SCRIPT_DEVFN   PCI_DEVFN(3, 0)

struct virtio_script {
	struct fake_board board;
	struct pci_host *host;
	struct gmem *mem;
	struct virtio_device *v;
	struct virtio_pci *pci;
	struct virtio_pci_driver driver;
	unsigned queues;
	bool poked; /* what comes back from a ring that was poked proves nothing */
};

/* Before the device is created. */
static inline void virtio_script_open(struct virtio_script *x)
{
	log_set_level(LOG_ERROR);
	fake_board_init(&x->board, 0);
	x->host = fake_board_pci(&x->board, true);
	must(!gmem_create(VIRTIO_SCRIPT_RAM, &x->mem) &&
	     !gmem_place(x->mem, 0, 0, VIRTIO_SCRIPT_RAM));
}

static inline void virtio_script_attach(struct virtio_script *x, unsigned queues)
{
	const struct virtio_pci_params p = {
	    .host = x->host, .devfn = VIRTIO_SCRIPT_DEVFN, .v = x->v};

	must(!virtio_pci_create(&p, &x->pci));
	virtio_pci_driver_init(&x->driver, &x->board, x->host, x->mem, VIRTIO_SCRIPT_DEVFN, false);
	x->queues = queues;
}

static inline void virtio_script_start(struct virtio_script *x, uint64_t features)
{
	device_reset(virtio_pci_device(x->pci));
	must(virtio_pci_driver_start(&x->driver, features | VIRTIO_F_VERSION_1, x->queues,
				     VIRTIO_SCRIPT_RINGS, 16));
	x->poked = false;
}

static inline void virtio_script_add(struct virtio_script *x, struct script *s, unsigned queue)
{
	struct fake_buffer b[4];
	uint8_t shape = next8(s);
	unsigned n = 1 + (shape & 3);

	for (unsigned i = 0; i < n; i++) {
		uint8_t length = next8(s), text[8];

		b[i].address = VIRTIO_SCRIPT_BUFFERS + 0x1000u * (next8(s) & 0x3f);
		b[i].length = shape & 0x40 ? (uint32_t)length << (length & 15) : length % 17u + 1;
		b[i].write = shape >> (2 + i) & 1;
		for (unsigned k = 0; !b[i].write && k < sizeof(text); k++)
			text[k] = next8(s);
		if (!b[i].write)
			must(!gmem_write(x->mem, b[i].address, text, sizeof(text)));
	}
	fake_driver_add(&x->driver.queue[queue], b, n, false);
	fake_driver_publish(&x->driver.queue[queue]);
}

static inline void virtio_script_collect(struct virtio_script *x)
{
	uint32_t length;
	unsigned id;

	for (unsigned i = 0; !x->poked && i < x->queues; i++) {
		while (fake_driver_get(&x->driver.queue[i], &id, &length))
			;
	}
}

static inline void virtio_script_step(struct virtio_script *x, struct script *s, uint8_t op)
{
	unsigned queue = next8(s) % x->queues;

	switch (op & 7) {
	case 0:
	case 1:
		virtio_script_add(x, s, queue);
		break;
	case 2:
	case 3:
		virtio_pci_driver_kick(&x->driver, queue);
		break;
	case 4:
		for (unsigned n = 1 + (op >> 5); n; n--)
			loop_step(x->board.loop);
		virtio_script_collect(x);
		break;
	case 5:
		fake_driver_write_desc(
		    &x->driver.queue[queue], x->driver.queue[queue].desc, next8(s) % 16,
		    (struct fake_desc){next32(s), next32(s), next8(s) & 7, next8(s)});
		x->poked = true;
		break;
	case 6:
		bus_write(x->board.mmio, x->driver.common + 22, 2, queue);
		bus_write(x->board.mmio, x->driver.common + 58, 2, 1);
		if (op & 0x80)
			virtio_pci_driver_settle(&x->driver);
		virtio_pci_driver_add_queue(&x->driver, queue,
					    VIRTIO_SCRIPT_RINGS + (gpa_t)queue * FAKE_DRIVER_BYTES,
					    16, x->v->features);
		/* If it still ran in the old place, it sees a ring that has changed. */
		x->poked = true;
		break;
	default:
		fake_clock_step(&x->board.clock, (uint64_t)op << 20);
	}
}

#endif
