/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: one host bridge, bus 0, functions with a 256-byte configuration space.
 *
 * Configuration space is a byte array with a mask of the bits that the guest may write; a function
 * may ask to be told before a read and after a write. Base address registers (BARs) are the host's
 * work: it maps their regions where the guest puts them. PCI Local Bus Specification 3.0, chapter
 * 6. Interrupts of a function: pci_interrupt.h.
 *
 * Locks: the host's lock comes before those of devices. A function's hooks run under it; a device
 * that holds a lock of its own must not call what says "host lock" here.
 */
#ifndef LODGE_PCI_H
#define LODGE_PCI_H

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/irq.h>
#include <lodge/msi.h>
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE    256u
#define PCI_DEVFN(dev, fn) ((uint8_t)((dev) << 3 | (fn)))
#define PCI_BARS           6u

/* Offsets in configuration space, header type 0. */
enum pci_offset {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* interface, subclass, class */
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO           0x0001u
#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_MASTER       0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT     0x0008u
#define PCI_STATUS_CAPABILITIES  0x0010u

#define PCI_CAP_VENDOR           0x09u
#define PCI_CAP_MSIX             0x11u

struct pci_host; /* configuration mechanism #1 at ports 0xcf8 to 0xcff, and bus 0 */
struct pci_msix;

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY32, PCI_BAR_MEMORY64 };

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t size; /* bytes, a power of 2 */
	struct bus_region region;
};

/* One interrupt pin; pci_interrupt.h. */
struct pci_intx {
	pthread_mutex_t lock; /* guards what follows; above the interrupt lines only */
	struct irq_line line;
	bool wanted, disabled, msix;
};

struct pci_function {
	const char *name;
	uint8_t devfn;
	uint8_t config[PCI_CONFIG_SIZE];   /* as the guest reads it; guarded by the host's lock */
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may write */
	uint8_t write1_clear[PCI_CONFIG_SIZE];
	/* Host lock held; may be NULL. The guest is about to read, or wrote, [offset, +size). */
	void (*reading)(struct pci_function *f, unsigned offset, unsigned size);
	void (*written)(struct pci_function *f, unsigned offset, unsigned size);

	/* The host's. */
	struct pci_host *host; /* NULL until attached */
	struct pci_bar bar[PCI_BARS];
	struct pci_intx *intx; /* NULL: no pin */
	struct pci_msix *msix; /* NULL: none */
	unsigned first_free;   /* for the next capability */
	uint8_t initial[PCI_CONFIG_SIZE];
};

struct pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	bool multifunction;
};

/*
 * Clears f, its hooks too, and writes its header type 0: identity, and an interrupt line register
 * that the guest may write. The rest is the function's own to fill in. A function with BARs,
 * capabilities or interrupts is initialised once and reset by pci_function_reset().
 */
void pci_function_init(struct pci_function *f, const char *name, uint8_t devfn,
		       const struct pci_ids *ids);

/*
 * r: ops, dev and lock of the region, which is told offsets in the BAR. size: a power of 2, of I/O
 * 4 to 256, of memory from 16 up. MEMORY64 takes index + 1 too, and is prefetchable. Before attach.
 */
void pci_add_bar(struct pci_function *f, unsigned index, enum pci_bar_kind kind, uint64_t size,
		 const struct bus_region *r);

/*
 * Links a capability of size bytes (its first two are written here) in front of the others and
 * returns its offset, a multiple of 4. It is read-only but for what the caller makes writable.
 */
unsigned pci_add_capability(struct pci_function *f, uint8_t id, unsigned size);

/*
 * Answers at f->devfn from now on. With params.preset its BARs have places, it decodes, and its
 * interrupt line register is filled in, as firmware would leave it. What it says then is what
 * pci_function_reset() brings back. -EEXIST: devfn is taken; -ENOSPC: no room for a BAR. Before a
 * vCPU runs.
 */
int pci_attach(struct pci_host *h, struct pci_function *f);
void pci_detach(struct pci_function *f); /* vCPUs are gone; not attached: nothing */

/* As it was when attached, its pin low, its vectors masked. vCPUs stopped. */
void pci_function_reset(struct pci_function *f);

/*
 * Doorbells of a BAR, as bus.h has them; they move with it. Host lock not needed, any lock held.
 */
void pci_doorbell_add(struct pci_function *f, unsigned bar, struct doorbell *d);
void pci_doorbell_remove(struct pci_function *f, unsigned bar, struct doorbell *d);

/* Little-endian; offset and the bytes after it are within the space. Host lock or vCPUs stopped. */
uint16_t pci_get16(const struct pci_function *f, unsigned offset);
uint32_t pci_get32(const struct pci_function *f, unsigned offset);
void pci_set16(struct pci_function *f, unsigned offset, uint16_t value);
void pci_set32(struct pci_function *f, unsigned offset, uint32_t value);

#endif
