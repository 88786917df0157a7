/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Steps of a virtio driver over PCI, good or bad, read from the input of a fuzz target. The device
 * is attached once; each input begins with a reset.
 */
#ifndef VIRTIO_SCRIPT_H
#define VIRTIO_SCRIPT_H

#include "script.h"
#include "virtio_pci_slot.h"

#define VIRTIO_SCRIPT_BUFFERS 0x3000000u

struct virtio_script {
	struct virtio_pci_slot slot;
	unsigned queues; /* that its driver sets up */
	bool poked;      /* what comes back from a ring that was poked proves nothing */
};

static inline void virtio_script_start(struct virtio_script *x, uint64_t features)
{
	device_reset(virtio_pci_device(x->slot.pci));
	must(virtio_pci_driver_start(&x->slot.driver, features | VIRTIO_F_VERSION_1, x->queues,
				     VIRTIO_PCI_SLOT_RINGS, 16));
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
			must(!gmem_write(x->slot.mem, b[i].address, text, sizeof(text)));
	}
	fake_driver_add(&x->slot.driver.queue[queue], b, n, false);
	fake_driver_publish(&x->slot.driver.queue[queue]);
}

static inline void virtio_script_collect(struct virtio_script *x)
{
	uint32_t length;
	unsigned id;

	for (unsigned i = 0; !x->poked && i < x->queues; i++) {
		while (fake_driver_get(&x->slot.driver.queue[i], &id, &length))
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
		virtio_pci_driver_kick(&x->slot.driver, queue);
		break;
	case 4:
		for (unsigned n = 1 + (op >> 5); n; n--)
			loop_step(x->slot.board.loop);
		virtio_script_collect(x);
		break;
	case 5:
		fake_driver_write_desc(
		    &x->slot.driver.queue[queue], x->slot.driver.queue[queue].desc, next8(s) % 16,
		    (struct fake_desc){next32(s), next32(s), next8(s) & 7, next8(s)});
		x->poked = true;
		break;
	case 6:
		bus_write(x->slot.board.mmio, x->slot.driver.common + 22, 2, queue);
		bus_write(x->slot.board.mmio, x->slot.driver.common + 58, 2, 1);
		if (op & 0x80)
			virtio_pci_driver_settle(&x->slot.driver);
		virtio_pci_driver_add_queue(&x->slot.driver, queue,
					    VIRTIO_PCI_SLOT_RINGS +
						(gpa_t)queue * FAKE_DRIVER_BYTES,
					    16, x->slot.v->features);
		/* If it still ran in the old place, it sees a ring that has changed. */
		x->poked = true;
		break;
	default:
		fake_clock_step(&x->slot.board.clock, (uint64_t)op << 20);
	}
}

#endif
