/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MP tables: processors and interrupt wiring for systems that do not read ACPI, as Linux with
 * acpi=off, small kernels and systems from before it.
 *
 * Intel MultiProcessor Specification 1.4, chapter 4. The floating pointer, then the configuration
 * table right behind it. They say what the MADT and _PRT say (acpi.c, dsdt.asl), with the PIRQ
 * wires where a reset leaves them: there is no way to tell of a choice here.
 *
 * Virtual wire mode: until a system turns the I/O APIC on, the PIC reaches the boot processor
 * through LINT0. Every slot of bus 0 is told, as devices may come later.
 *
 * Runs on the main thread with the vCPUs stopped.
 */
#include "boot/mptable.h"

#include "boot/table.h"
#include "machine/layout.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define POINTER_SIZE 16u
#define HEADER_SIZE  44u
#define SPEC_REV     4 /* 1.4 */
#define APIC_VERSION 0x14
#define IOAPIC_ID    0 /* as KVM's chip has it after reset */
#define IOAPIC_REV   0x11
#define BUS_PCI      0
#define BUS_ISA      1
#define ISA_IRQS     16u
#define ISA_PIT      0
#define ISA_CASCADE  2
#define PIT_PIN      2 /* of KVM's I/O APIC */
#define PCI_SLOTS    32u
#define PCI_PINS     4u
#define ALL_APICS    0xff

enum entry_type {
	ENTRY_PROCESSOR,
	ENTRY_BUS,
	ENTRY_IOAPIC,
	ENTRY_IO_INTERRUPT,
	ENTRY_LOCAL_INTERRUPT,
};

#define PROCESSOR_SIZE   20u
#define OTHER_SIZE       8u /* of an entry of any other type */
#define PROCESSOR_USABLE 0x01
#define PROCESSOR_BOOT   0x02

enum interrupt_type { INTERRUPT_VECTORED, INTERRUPT_NMI, INTERRUPT_SMI, INTERRUPT_EXTERNAL };

/* Polarity and trigger. KVM's level-triggered wires are active high, PCI's too. */
#define AS_THE_BUS 0x0000
#define LEVEL_HIGH 0x000d

_Static_assert(POINTER_SIZE + HEADER_SIZE + MPTABLE_CPUS_MAX * PROCESSOR_SIZE +
		       (2 + 1 + ISA_IRQS + PCI_SLOTS * PCI_PINS + 2) * OTHER_SIZE <=
		   LAYOUT_MPTABLE_SIZE,
	       "the MP tables' region is too small");

static const uint8_t pirq_gsi[PCI_PINS] = {LAYOUT_GSI_PIRQA, LAYOUT_GSI_PIRQB, LAYOUT_GSI_PIRQC,
					   LAYOUT_GSI_PIRQD};

struct writer {
	uint8_t *at;
	unsigned entries;
};

/* The next entry, zeroed but for its type. */
static uint8_t *entry(struct writer *w, enum entry_type type)
{
	unsigned size = type == ENTRY_PROCESSOR ? PROCESSOR_SIZE : OTHER_SIZE;
	uint8_t *e = w->at;

	memset(e, 0, size);
	e[0] = (uint8_t)type;
	w->at += size;
	w->entries++;
	return e;
}

static void put_processor(struct writer *w, const struct mptable_params *p, unsigned id)
{
	uint8_t *e = entry(w, ENTRY_PROCESSOR);

	e[1] = (uint8_t)id;
	e[2] = APIC_VERSION;
	e[3] = PROCESSOR_USABLE | (id ? 0 : PROCESSOR_BOOT);
	put_le(e + 4, p->signature, 4);
	put_le(e + 8, p->features, 4);
}

static void put_bus(struct writer *w, uint8_t id, const char name[6])
{
	uint8_t *e = entry(w, ENTRY_BUS);

	e[1] = id;
	memcpy(e + 2, name, 6);
}

static void put_ioapic(struct writer *w)
{
	uint8_t *e = entry(w, ENTRY_IOAPIC);

	e[1] = IOAPIC_ID;
	e[2] = IOAPIC_REV;
	e[3] = 1; /* usable */
	put_le(e + 4, LAYOUT_IOAPIC, 4);
}

/* From source to an input: of the I/O APIC, or LINT0 and LINT1 of local APICs. */
static void put_interrupt(struct writer *w, enum entry_type where, enum interrupt_type type,
			  uint16_t flags, uint8_t bus, unsigned source, uint8_t apic, uint8_t input)
{
	uint8_t *e = entry(w, where);

	e[1] = (uint8_t)type;
	put_le(e + 2, flags, 2);
	e[4] = bus;
	e[5] = (uint8_t)source;
	e[6] = apic;
	e[7] = input;
}

static bool is_pirq(unsigned irq)
{
	return memchr(pirq_gsi, (int)irq, sizeof(pirq_gsi)) != NULL;
}

static void put_isa_interrupts(struct writer *w)
{
	for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
		if (irq == ISA_CASCADE || is_pirq(irq))
			continue;
		put_interrupt(w, ENTRY_IO_INTERRUPT, INTERRUPT_VECTORED,
			      irq == LAYOUT_GSI_SCI ? LEVEL_HIGH : AS_THE_BUS, BUS_ISA, irq,
			      IOAPIC_ID, irq == ISA_PIT ? PIT_PIN : (uint8_t)irq);
	}
}

/* Pin A of slot n is PIRQ n - 1, as pci_host_intx_line() has it. */
static void put_pci_interrupts(struct writer *w)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			/* Power management's pin is wired to the SCI. */
			bool sci = slot == LAYOUT_PCI_PIIX && pin == 0;
			uint8_t gsi =
			    sci ? LAYOUT_GSI_SCI : pirq_gsi[(slot + PCI_PINS - 1 + pin) % PCI_PINS];

			put_interrupt(w, ENTRY_IO_INTERRUPT, INTERRUPT_VECTORED, LEVEL_HIGH,
				      BUS_PCI, slot << 2 | pin, IOAPIC_ID, gsi);
		}
	}
}

static void put_entries(struct writer *w, const struct mptable_params *p)
{
	for (unsigned id = 0; id < p->cpus; id++)
		put_processor(w, p, id);
	put_bus(w, BUS_PCI, "PCI   ");
	put_bus(w, BUS_ISA, "ISA   ");
	put_ioapic(w);
	put_isa_interrupts(w);
	put_pci_interrupts(w);
	put_interrupt(w, ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTERNAL, AS_THE_BUS, BUS_ISA, 0, 0, 0);
	put_interrupt(w, ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, AS_THE_BUS, BUS_ISA, 0, ALL_APICS,
		      1);
}

int mptable_build(struct gmem *m, const struct mptable_params *p)
{
	uint8_t *pointer = gmem_pointer(m, LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE);
	uint8_t *header;
	struct writer w;
	size_t length;

	assert(p->cpus >= 1 && p->cpus <= MPTABLE_CPUS_MAX);
	if (!pointer)
		return -EFAULT;
	header = pointer + POINTER_SIZE;
	memset(pointer, 0, POINTER_SIZE + HEADER_SIZE);
	w = (struct writer){.at = header + HEADER_SIZE};
	put_entries(&w, p);

	length = (size_t)(w.at - header);
	memcpy(header, "PCMP", 4);
	put_le(header + 4, length, 2);
	header[6] = SPEC_REV;
	memcpy(header + 8, "LODGE   PC          ", 20); /* OEM and product */
	put_le(header + 34, w.entries, 2);
	put_le(header + 36, LAYOUT_LOCAL_APIC, 4);
	header[7] = checksum(header, length);

	memcpy(pointer, "_MP_", 4);
	put_le(pointer + 4, LAYOUT_MPTABLE + POINTER_SIZE, 4);
	pointer[8] = POINTER_SIZE / 16;
	pointer[9] = SPEC_REV;
	pointer[10] = checksum(pointer, POINTER_SIZE);
	return 0;
}
