/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "must.h"
#include "virtio_pci_slot.h"

#include <lodge/log.h>
#include <string.h>

#define DEVFN PCI_DEVFN(3, 0)

void virtio_pci_slot_init(struct virtio_pci_slot *s)
{
	memset(s, 0, sizeof(*s));
	log_set_level(LOG_ERROR);
	fake_board_init(&s->board, 0);
	s->host = fake_board_pci(&s->board, true);
	must(!gmem_create(VIRTIO_PCI_SLOT_RAM, &s->mem) &&
	     !gmem_place(s->mem, 0, 0, VIRTIO_PCI_SLOT_RAM));
}

void virtio_pci_slot_attach(struct virtio_pci_slot *s, bool legacy_driver)
{
	const struct virtio_pci_params p = {.host = s->host, .devfn = DEVFN, .v = s->v};

	must(!virtio_pci_create(&p, &s->pci));
	virtio_pci_driver_init(&s->driver, &s->board, s->host, s->mem, DEVFN, legacy_driver);
}

void virtio_pci_slot_fini(struct virtio_pci_slot *s)
{
	struct device *d[] = {virtio_pci_device(s->pci), &s->v->base, pci_host_device(s->host)};

	virtio_pci_driver_fini(&s->driver);
	for (unsigned i = 0; i < sizeof(d) / sizeof(d[0]); i++)
		d[i]->ops->destroy(d[i]);
	gmem_destroy(s->mem);
	fake_board_fini(&s->board);
}
