/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_pci: an input is a script of accesses to a virtio function's registers of both
 * interfaces and to its configuration space, of the loop's steps, of what the device does
 * meanwhile, and of resets. Afterwards a driver that does it right must work.
 */
#include "script.h"
#include "virtio_pci_rig.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Near a register, mostly. */
static uint32_t next_offset(struct script *s)
{
	uint32_t offset = next8(s) & 0x3f;
	uint8_t page = next8(s);

	return offset + (page & 3) * 0x1000u + (page & 0xc0 ? 0 : (page & 0x3cu) << 4);
}

static uint64_t next_value(struct script *s)
{
	uint8_t small = next8(s);

	return small < 0xf0 ? small : next32(s) * 0x100000001ull;
}

static void act(struct virtio_pci_rig *r, uint8_t what)
{
	const uint32_t value = what;

	switch (what & 7) {
	case 0:
		r->fake.slow = what & 8;
		break;
	case 1:
		fake_virtio_answer(&r->fake);
		break;
	case 2:
		virtio_change_config(&r->fake.v, what % 13, &value, 4);
		break;
	case 3:
		r->fake.slow = false;
		fake_virtio_answer(&r->fake);
		device_reset(virtio_pci_device(r->pci));
		break;
	case 4:
		virtio_pci_driver_negotiate(&r->driver, VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET);
		break;
	case 5:
		virtio_pci_driver_add_queue(&r->driver, (what >> 3) % FAKE_VIRTIO_QUEUES,
					    FAKE_DRIVER_BYTES, 16, 0);
		break;
	default:
		loop_step(r->board.loop);
	}
}

static void begin(struct virtio_pci_rig *r)
{
	if (!r->mem)
		virtio_pci_rig_init(r, false, false);
	memset(r->fake.v.config, 0, sizeof(r->fake.v.config));
	r->fake.v.generation = 0;
}

static void end(struct virtio_pci_rig *r)
{
	r->fake.slow = false;
	fake_virtio_answer(&r->fake);
	device_reset(virtio_pci_device(r->pci));
	must(virtio_pci_driver_start(&r->driver, VIRTIO_F_VERSION_1, 1, FAKE_DRIVER_BYTES, 16));
	must(virtio_pci_rig_exchange(r, 0));
	device_reset(virtio_pci_device(r->pci));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};
	static struct virtio_pci_rig r;

	begin(&r);
	while (s.at < s.end) {
		uint8_t op = next8(&s);
		unsigned width = 1u << (op >> 4 & 3);
		uint32_t offset = next_offset(&s);

		switch (op & 7) {
		case 0:
			bus_read(r.board.mmio, r.driver.common + offset, width);
			break;
		case 1:
		case 2:
			bus_write(r.board.mmio, r.driver.common + offset, width, next_value(&s));
			break;
		case 3:
			bus_read(r.board.ports, r.driver.io + (offset & 0x3f), width);
			break;
		case 4:
			bus_write(r.board.ports, r.driver.io + (offset & 0x3f), width,
				  next_value(&s));
			break;
		case 5:
			width = width == 8 ? 4 : width;
			offset &= 0xff & ~(width - 1);
			pci_config_read(r.host, VIRTIO_PCI_RIG_DEVFN, offset, width);
			pci_config_write(r.host, VIRTIO_PCI_RIG_DEVFN, offset, width,
					 (uint32_t)next_value(&s));
			break;
		default:
			act(&r, (uint8_t)offset);
		}
	}
	end(&r);
	return 0;
}
