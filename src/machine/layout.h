/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every guest physical address, I/O port and interrupt of the machine `pc`. If two parts must
 * agree on a number, it is here; tables (ACPI, SMBIOS, e820) are built from it.
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

/* Memory below 1 MiB, in address order. Direct boot uses it as a BIOS would. */
/* 0x400: BIOS data area, 256 bytes */
#define LAYOUT_GDT              0x500ull  /* boot GDT, 64 bytes */
#define LAYOUT_START_INFO       0x1000ull /* PVH start_info, module list, memory map */
#define LAYOUT_MULTIBOOT_INFO   0x2000ull /* multiboot 1 information structure */
#define LAYOUT_BOOT_PARAMS      0x7000ull /* Linux zero page, 4 KiB */
#define LAYOUT_PAGE_TABLES      0x9000ull /* PML4, PDPT, four PDs: identity map of 4 GiB */
#define LAYOUT_PAGE_TABLES_SIZE 0x6000ull
#define LAYOUT_BOOT_STACK       0xfff0ull
#define LAYOUT_CMDLINE          0x20000ull /* up to 64 KiB */
#define LAYOUT_CMDLINE_MAX      0x10000ull
#define LAYOUT_EBDA             0x9fc00ull /* extended BIOS data area: low RAM ends */
#define LAYOUT_VGA_HOLE         0xa0000ull
#define LAYOUT_VGA_HOLE_END     0xc0000ull
#define LAYOUT_OPTION_ROM       0xc8000ull /* our TPR ROM, 12 KiB; a video BIOS lies before it */
#define LAYOUT_ACPI             0xe0000ull /* RSDP first, on a 16-byte boundary */
#define LAYOUT_ACPI_SIZE        0x10000ull
#define LAYOUT_SMBIOS           0xf0000ull /* entry points, then the structures */
#define LAYOUT_SMBIOS_SIZE      0xe000ull
#define LAYOUT_MPTABLE          0xfe000ull /* floating pointer, then the MP configuration table */
#define LAYOUT_MPTABLE_SIZE     0x2000ull
#define LAYOUT_HIGH_RAM         0x100000ull

/* Memory above: RAM up to the PCI hole, the rest from 4 GiB on. */
#define LAYOUT_HOLE             0xc0000000ull /* 3 GiB: RAM below ends here at the latest */
#define LAYOUT_PCI_MMIO         0xc0000000ull
#define LAYOUT_PCI_MMIO_END     0xfebfffffull
#define LAYOUT_IOAPIC           0xfec00000ull
#define LAYOUT_LOCAL_APIC       0xfee00000ull
#define LAYOUT_KVM_IDENTITY_MAP 0xfeffc000ull /* one page, Intel without unrestricted guest */
#define LAYOUT_KVM_TSS          0xfeffd000ull /* three pages, the same */
#define LAYOUT_4GIB             0x100000000ull
#define LAYOUT_PCI64_ALIGN      0x40000000ull /* PCI's window above RAM starts on 1 GiB */

/* I/O ports. */
#define LAYOUT_PORT_POST       0x80
#define LAYOUT_PORT_KBD_DATA   0x60
#define LAYOUT_PORT_KBD_STATUS 0x64
#define LAYOUT_PORT_RTC        0x70
#define LAYOUT_PORT_SYSCTL     0x92 /* fast A20 and reset */
#define LAYOUT_PORT_COM2       0x2f8
#define LAYOUT_PORT_COM1       0x3f8
#define LAYOUT_PORT_PVPANIC    0x505
#define LAYOUT_PORT_PM         0x600 /* PIIX4 power management: PM1, timer, GPE; 64 bytes */
#define LAYOUT_PORT_SMBUS      0x700 /* PIIX4 SMBus host controller, 16 bytes */
#define LAYOUT_PORT_PCI_CONFIG 0xcf8
#define LAYOUT_PORT_RESET      0xcf9 /* PIIX3, between the bytes of the one above */
#define LAYOUT_PORT_PCI_DATA   0xcfc
#define LAYOUT_PORT_GPE0       0xafe0 /* reserved for hot-plug events, later */
#define LAYOUT_PCI_IO          0x1000 /* BARs from here on: as low as systems ever put one */
#define LAYOUT_PCI_IO_SIZE     0xf000

/* Interrupts: GSIs of the I/O APIC, the same numbers as the PIC's inputs below 16. */
#define LAYOUT_GSI_KBD   1
#define LAYOUT_GSI_COM2  3
#define LAYOUT_GSI_COM1  4
#define LAYOUT_GSI_RTC   8
#define LAYOUT_GSI_SCI   9
#define LAYOUT_GSI_MOUSE 12
/* PIRQA#, B#, C#, D# as firmware leaves them; level-triggered, shared, never an ISA device's. */
#define LAYOUT_GSI_PIRQA 10
#define LAYOUT_GSI_PIRQB 10
#define LAYOUT_GSI_PIRQC 11
#define LAYOUT_GSI_PIRQD 11

/* PCI: device numbers on bus 0, as on the i440FX boards that firmware knows. */
#define LAYOUT_PCI_I440FX 0
#define LAYOUT_PCI_PIIX   1 /* function 0: PIIX3 ISA bridge, 1: IDE (later), 3: PIIX4 PM */
/* 2: display (later) */
#define LAYOUT_PCI_RNG     3
#define LAYOUT_PCI_NET     4  /* up to 8 adapters */
#define LAYOUT_PCI_DISK    12 /* up to 16 disks */
#define LAYOUT_PCI_CONSOLE 28 /* the first console */
#define LAYOUT_PCI_PORTS   29 /* further consoles, and named ports; 30 and 31 are free */

#endif
