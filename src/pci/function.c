/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions: the configuration space that every function has.
 *
 * PCI Local Bus Specification 3.0, section 6.1 (header type 0). A byte of the space reads as it
 * stands; a guest's write changes the bits of its mask, and clears those of the write-1-to-clear
 * mask where it writes 1. A register without a mask is read-only, so an absent base address
 * register reads 0, which is what sizing it must give. Capabilities (section 6.7) are a list that
 * grows at its head.
 */
#include <lodge/pci.h>

#include <assert.h>
#include <string.h>

#define CAPABILITIES_FIRST 0x40u

void pci_function_init(struct pci_function *f, const char *name, uint8_t devfn,
		       const struct pci_ids *ids)
{
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->devfn = devfn;
	pci_set16(f, PCI_VENDOR, ids->vendor);
	pci_set16(f, PCI_DEVICE, ids->device);
	f->config[PCI_REVISION] = ids->revision;
	f->config[PCI_CLASS] = (uint8_t)ids->class_code;
	f->config[PCI_CLASS + 1] = (uint8_t)(ids->class_code >> 8);
	f->config[PCI_CLASS + 2] = (uint8_t)(ids->class_code >> 16);
	f->config[PCI_HEADER_TYPE] = ids->multifunction ? 0x80 : 0;
	pci_set16(f, PCI_SUBSYSTEM_VENDOR, ids->subsystem_vendor);
	pci_set16(f, PCI_SUBSYSTEM, ids->subsystem);
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
	f->first_free = CAPABILITIES_FIRST;
}

unsigned pci_add_capability(struct pci_function *f, uint8_t id, unsigned size)
{
	unsigned offset = f->first_free;

	assert(size >= 2 && size <= PCI_CONFIG_SIZE - offset && !f->host);
	f->config[offset] = id;
	f->config[offset + 1] = f->config[PCI_CAPABILITIES];
	f->config[PCI_CAPABILITIES] = (uint8_t)offset;
	f->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	f->first_free = (uint8_t)((offset + size + 3) & ~3u);
	return offset;
}

uint16_t pci_get16(const struct pci_function *f, unsigned offset)
{
	assert(offset <= PCI_CONFIG_SIZE - 2);
	return (uint16_t)(f->config[offset] | f->config[offset + 1] << 8);
}

uint32_t pci_get32(const struct pci_function *f, unsigned offset)
{
	return pci_get16(f, offset) | (uint32_t)pci_get16(f, offset + 2) << 16;
}

void pci_set16(struct pci_function *f, unsigned offset, uint16_t value)
{
	assert(offset <= PCI_CONFIG_SIZE - 2);
	f->config[offset] = (uint8_t)value;
	f->config[offset + 1] = (uint8_t)(value >> 8);
}

void pci_set32(struct pci_function *f, unsigned offset, uint32_t value)
{
	pci_set16(f, offset, (uint16_t)value);
	pci_set16(f, offset + 2, (uint16_t)(value >> 16));
}
