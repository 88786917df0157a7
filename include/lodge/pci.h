/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: one host bridge, bus 0, functions with a 256-byte configuration space.
 *
 * Configuration space is a byte array with a mask of the bits that the guest may write; a function
 * asks to be told after a write. PCI Local Bus Specification 3.0, chapter 6.
 *
 * A function's interrupt pin is an irq_line like any other. It votes on one of four PIRQ wires,
 * and the ISA bridge says which GSI each wire drives, so a device never sees the routing.
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
#define PCI_PIRQS          4u

/* Offsets in configuration space, header type 0. */
enum pci_offset {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* interface, subclass, class */
	PCI_HEADER_TYPE = 0x0e,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO 0x0001u

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

/*
 * Clears f, its hook too, and writes its header type 0: identity, and an interrupt line register
 * that the guest may write. The rest is the function's own to fill in.
 */
void pci_function_init(struct pci_function *f, const char *name, uint8_t devfn,
		       const struct pci_ids *ids);

/* Answers at f->devfn from now on, for the host's life. -EEXIST: taken. Before a vCPU runs. */
int pci_attach(struct pci_host *h, struct pci_function *f);

/* Little-endian; offset and the bytes after it are within the space. Host lock or vCPUs stopped. */
uint16_t pci_get16(const struct pci_function *f, unsigned offset);
uint32_t pci_get32(const struct pci_function *f, unsigned offset);
void pci_set16(struct pci_function *f, unsigned offset, uint16_t value);
void pci_set32(struct pci_function *f, unsigned offset, uint32_t value);

/* Creates the host and maps its ports. PIRQ wires drive pins of irq. 0 or -errno. */
int pci_host_create(struct bus *ports, struct irq_chip *irq, struct pci_host **out);
struct device *pci_host_device(struct pci_host *h);

/* As a configuration cycle of the guest: for firmware's duties and for tests. Any thread. */
uint32_t pci_config_read(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size,
		      uint32_t value);

/*
 * Connects *line to interrupt pin 1 (INTA#) to 4 (INTD#) of devfn's slot. The line then behaves as
 * irq.h says, and outlives neither the host nor its own device.
 */
void pci_host_intx_line(struct pci_host *h, uint8_t devfn, unsigned pin, struct irq_line *line);

/*
 * Wire pirq (0 is PIRQA#) drives GSI gsi from now on, or nothing when gsi is negative. An asserted
 * wire moves its level along. Any thread, host lock held or not.
 */
void pci_host_route_pirq(struct pci_host *h, unsigned pirq, int gsi);

/*
 * Port 0xcf9, the reset control register of the ISA bridge, lies between the bytes of the
 * configuration address register. Byte accesses there go to *r (offset 0), which is not mapped on
 * any bus and is called as bus.h says. Before a vCPU runs.
 */
void pci_host_set_reset_port(struct pci_host *h, struct bus_region *r);

#endif
