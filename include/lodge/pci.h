/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: one host bridge, bus 0, functions with a 256-byte configuration space.
 *
 * Configuration space is a byte array with a mask of the bits that the guest may write; a function
 * asks to be told after a write. Base address registers, INTx routing and capabilities are kept
 * here, so that a device says what it has and is told when it is mapped. PCI Local Bus
 * Specification 3.0, chapter 6.
 */
#ifndef LODGE_PCI_H
#define LODGE_PCI_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/irq.h>
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE    256u
#define PCI_DEVFN(dev, fn) ((uint8_t)((dev) << 3 | (fn)))

struct pci_host; /* configuration mechanism #1 at ports 0xcf8 to 0xcff, and bus 0 */

struct pci_function {
	const char *name;
	uint8_t devfn;
	uint8_t config[PCI_CONFIG_SIZE];   /* as the guest reads it; guarded by the host's lock */
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may write */
	uint8_t write1_clear[PCI_CONFIG_SIZE];
	/* After a guest wrote [offset, offset + size). May be NULL. Host lock held. */
	void (*written)(struct pci_function *f, unsigned offset, unsigned size);
};

struct pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	bool multifunction;
};

/* Clears f and writes its header type 0. */
void pci_function_init(struct pci_function *f, const char *name, uint8_t devfn,
		       const struct pci_ids *ids);

/* Answers at f->devfn from now on. -EEXIST: taken. Before the first vCPU runs. */
int pci_attach(struct pci_host *h, struct pci_function *f);

uint16_t pci_get16(const struct pci_function *f, unsigned offset);
uint32_t pci_get32(const struct pci_function *f, unsigned offset);
void pci_set16(struct pci_function *f, unsigned offset, uint16_t value);
void pci_set32(struct pci_function *f, unsigned offset, uint32_t value);

/* Creates the host and maps its ports. 0 or -errno. */
int pci_host_create(struct bus *ports, struct pci_host **out);
struct device *pci_host_device(struct pci_host *h);

#endif
