/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "must.h"
#include "virtio_pci_rig.h"

#include <lodge/log.h>
#include <string.h>

#define GSI 11u

void virtio_pci_rig_init(struct virtio_pci_rig *r, bool modern_only, bool legacy_driver)
{
	struct virtio_pci_params p = {.devfn = VIRTIO_PCI_RIG_DEVFN, .modern_only = modern_only};

	memset(r, 0, sizeof(*r));
	log_set_level(LOG_ERROR);
	fake_board_init(&r->board, 0);
	r->host = fake_board_pci(&r->board, true);
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		pci_host_route_pirq(r->host, i, GSI);
	fake_doorbells_init(&r->port_bells, r->board.ports);
	fake_doorbells_init(&r->memory_bells, r->board.mmio);
	must(!gmem_create(VIRTIO_PCI_RIG_RAM, &r->mem) &&
	     !gmem_place(r->mem, 0, 0, VIRTIO_PCI_RIG_RAM));
	fake_virtio_init(&r->fake, r->mem, r->board.loop, VIRTIO_PCI_RIG_FEATURES);
	p.host = r->host;
	p.v = &r->fake.v;
	must(!virtio_pci_create(&p, &r->pci));
	virtio_pci_driver_init(&r->driver, &r->board, r->host, r->mem, VIRTIO_PCI_RIG_DEVFN,
			       legacy_driver);
}

void virtio_pci_rig_fini(struct virtio_pci_rig *r)
{
	struct device *d[] = {virtio_pci_device(r->pci), pci_host_device(r->host)};

	virtio_pci_driver_fini(&r->driver);
	d[0]->ops->destroy(d[0]);
	must(r->port_bells.count + r->memory_bells.count == 0);
	fake_virtio_fini(&r->fake);
	d[1]->ops->destroy(d[1]);
	gmem_destroy(r->mem);
	fake_doorbells_fini(&r->port_bells);
	fake_doorbells_fini(&r->memory_bells);
	fake_board_fini(&r->board);
}

bool virtio_pci_rig_exchange(struct virtio_pci_rig *r, unsigned queue)
{
	const struct fake_buffer b = {VIRTIO_PCI_RIG_BUFFERS, 64, true};
	struct fake_driver *q = &r->driver.queue[queue];
	uint32_t length;
	unsigned id;

	must(fake_driver_add(q, &b, 1, false) >= 0);
	fake_driver_publish(q);
	virtio_pci_driver_kick(&r->driver, queue);
	virtio_pci_driver_settle(&r->driver);
	return fake_driver_get(q, &id, &length);
}

bool virtio_pci_rig_pin(struct virtio_pci_rig *r)
{
	return fake_irq_level(&r->board.irq, GSI);
}
