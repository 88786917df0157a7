/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT of the machine `pc`: i440FX, PIIX3, PIIX4 and the ISA devices on them.
 *
 * ACPI specification 2.0, chapters 5, 6 and 17; PCI Firmware Specification 3.0 for the host
 * bridge. The C preprocessor runs over this file first, so each address is the one of layout.h.
 * Revision 1 keeps integers at 32 bits, as Windows XP expects.
 *
 * What depends on the configuration comes in two ways. The processors and the presence of the COM
 * ports are in the SSDT that acpi.c writes. The window above 4 GiB is a descriptor here, which
 * acpi.c finds by its minimum, DSDT_PCI64_MIN, and fills in.
 */
#include "machine/layout.h"
#include "boot/acpi_aml.h"

DefinitionBlock ("dsdt.aml", "DSDT", 1, "LODGE ", "LODGEPC ", 1)
{
	External (\COMS, IntObj)

	/* PM1 control, SLP_TYP: 0 is soft off in the PIIX4. Nothing else is offered. */
	Name (\_S5, Package () { 0, 0, 0, 0 })

	/* 1 when the system uses the I/O APIC. The GSIs are the same, so nothing depends on it. */
	Name (PICM, 0)
	Method (\_PIC, 1, NotSerialized)
	{
		Store (Arg0, PICM)
	}

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)

			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0xff, 0, 0x100)
				IO (Decode16, LAYOUT_PORT_PCI_CONFIG, LAYOUT_PORT_PCI_CONFIG, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, DSDT_IO_LOW_MAX, 0, DSDT_IO_LOW_SIZE)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, DSDT_IO_HIGH, 0xffff, 0, DSDT_IO_HIGH_SIZE)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, LAYOUT_VGA_HOLE, DSDT_VGA_MAX, 0, DSDT_VGA_SIZE)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
					ReadWrite, 0, LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO_END, 0,
					DSDT_PCI_MMIO_SIZE)
				/* The last one, see acpi_aml.h. */
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, DSDT_PCI64_MIN, DSDT_PCI64_MAX, 0, DSDT_PCI64_SIZE)
			})

			/* Pin A of slot n is PIRQ n - 1, as pci_host_intx_line() has it. */
#define SLOT(n, a, b, c, d)                                                                        \
	Package () { n##FFFF, 0, a, 0 }, Package () { n##FFFF, 1, b, 0 },                          \
	Package () { n##FFFF, 2, c, 0 }, Package () { n##FFFF, 3, d, 0 }
#define SLOTS(n, m, o, p)                                                                          \
	SLOT(n, LNKD, LNKA, LNKB, LNKC), SLOT(m, LNKA, LNKB, LNKC, LNKD),                          \
	SLOT(o, LNKB, LNKC, LNKD, LNKA), SLOT(p, LNKC, LNKD, LNKA, LNKB)
			Name (_PRT, Package ()
			{
				SLOT(0x0000, LNKD, LNKA, LNKB, LNKC),
				/* Power management's pin is wired to the SCI. */
				SLOT(0x0001, LNKS, LNKB, LNKC, LNKD),
				SLOT(0x0002, LNKB, LNKC, LNKD, LNKA),
				SLOT(0x0003, LNKC, LNKD, LNKA, LNKB),
				SLOTS(0x0004, 0x0005, 0x0006, 0x0007),
				SLOTS(0x0008, 0x0009, 0x000A, 0x000B),
				SLOTS(0x000C, 0x000D, 0x000E, 0x000F),
				SLOTS(0x0010, 0x0011, 0x0012, 0x0013),
				SLOTS(0x0014, 0x0015, 0x0016, 0x0017),
				SLOTS(0x0018, 0x0019, 0x001A, 0x001B),
				SLOTS(0x001C, 0x001D, 0x001E, 0x001F)
			})

			Device (ISA)
			{
				Name (_ADR, 0x00010000)
				OperationRegion (PIRQ, PCI_Config, 0x60, 4)
				Field (PIRQ, ByteAcc, NoLock, Preserve)
				{
					PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, LAYOUT_PORT_RTC, LAYOUT_PORT_RTC, 1, 4)
						IRQNoFlags () { LAYOUT_GSI_RTC }
					})
				}
				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, LAYOUT_PORT_KBD_DATA, LAYOUT_PORT_KBD_DATA, 1, 1)
						IO (Decode16, LAYOUT_PORT_KBD_STATUS, LAYOUT_PORT_KBD_STATUS, 1, 1)
						IRQNoFlags () { LAYOUT_GSI_KBD }
					})
				}
				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate ()
					{
						IRQNoFlags () { LAYOUT_GSI_MOUSE }
					})
				}
				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x20, 0x20, 1, 2)
						IO (Decode16, 0xa0, 0xa0, 1, 2)
						IO (Decode16, 0x4d0, 0x4d0, 1, 2)
						IRQNoFlags () { 2 }
					})
				}
				Device (PIT)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x40, 0x40, 1, 4)
						IRQNoFlags () { 0 }
					})
				}
#define COM(name, uid, port, gsi, bit)                                                             \
	Device (name)                                                                              \
	{                                                                                          \
		Name (_HID, EisaId ("PNP0501"))                                                    \
		Name (_UID, uid)                                                                   \
		Method (_STA, 0, NotSerialized)                                                    \
		{                                                                                  \
			If (And (COMS, bit)) { Return (0x0f) }                                     \
			Return (0)                                                                 \
		}                                                                                  \
		Name (_CRS, ResourceTemplate ()                                                    \
		{                                                                                  \
			IO (Decode16, port, port, 1, 8)                                            \
			IRQNoFlags () { gsi }                                                      \
		})                                                                                 \
	}
				COM (COM1, 1, LAYOUT_PORT_COM1, LAYOUT_GSI_COM1, 1)
				COM (COM2, 2, LAYOUT_PORT_COM2, LAYOUT_GSI_COM2, 2)

				/* pvpanic. The name is the one that Linux and Windows drivers look for. */
				Device (PEVT)
				{
					Name (_HID, "QEMU0001")
					Name (_STA, 0x0f)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, LAYOUT_PORT_PVPANIC, LAYOUT_PORT_PVPANIC, 1, 1)
					})
				}
				/* Ports that no driver may be given. */
				Device (MBRD)
				{
					Name (_HID, EisaId ("PNP0C02"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x61, 0x61, 1, 1)
						IO (Decode16, LAYOUT_PORT_POST, LAYOUT_PORT_POST, 1, 1)
						IO (Decode16, LAYOUT_PORT_SYSCTL, LAYOUT_PORT_SYSCTL, 1, 1)
						IO (Decode16, LAYOUT_PORT_PM, LAYOUT_PORT_PM, 1, 0x40)
						IO (Decode16, LAYOUT_PORT_SMBUS, LAYOUT_PORT_SMBUS, 1, 0x10)
					})
				}
			}
		}

		/*
		 * Link devices: which interrupt a PIRQ wire drives, by PIIX3's routing registers. The
		 * choices are never an ISA device's, and the MADT says that they are levels.
		 */
		Name (LRES, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
		})
		Method (LSTA, 1, NotSerialized)
		{
			If (And (Arg0, 0x80)) { Return (0x09) }
			Return (0x0b)
		}
#define LINK(name, uid, reg)                                                                       \
	Device (name)                                                                              \
	{                                                                                          \
		Name (_HID, EisaId ("PNP0C0F"))                                                    \
		Name (_UID, uid)                                                                   \
		Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.reg)) }              \
		Method (_PRS, 0, NotSerialized) { Return (LRES) }                                  \
		Name (RES, ResourceTemplate ()                                                     \
		{                                                                                  \
			Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }              \
		})                                                                                 \
		Method (_CRS, 0, Serialized)                                                       \
		{                                                                                  \
			CreateDWordField (RES, 5, IRQ)                                             \
			Store (0, IRQ)                                                             \
			If (LLess (\_SB.PCI0.ISA.reg, 0x80)) { Store (\_SB.PCI0.ISA.reg, IRQ) }    \
			Return (RES)                                                               \
		}                                                                                  \
		Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.reg, 0x80, \_SB.PCI0.ISA.reg) }\
		Method (_SRS, 1, NotSerialized)                                                    \
		{                                                                                  \
			CreateDWordField (Arg0, 5, IRQ)                                            \
			Store (IRQ, \_SB.PCI0.ISA.reg)                                             \
		}                                                                                  \
	}
		LINK (LNKA, 0, PRQA)
		LINK (LNKB, 1, PRQB)
		LINK (LNKC, 2, PRQC)
		LINK (LNKD, 3, PRQD)

		/* The wire of the SCI, which cannot be moved. */
		Device (LNKS)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 4)
			Name (_STA, 0x0b)
			Name (RES, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { LAYOUT_GSI_SCI }
			})
			Method (_PRS, 0, NotSerialized) { Return (RES) }
			Method (_CRS, 0, NotSerialized) { Return (RES) }
			Method (_DIS, 0, NotSerialized) { }
			Method (_SRS, 1, NotSerialized) { }
		}
	}
}
