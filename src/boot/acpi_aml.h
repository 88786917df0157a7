/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What dsdt.asl and acpi.c must agree on. Only #defines of plain numbers: the ASL compiler takes no
 * expressions in resource descriptors, so acpi.c asserts that these follow from layout.h.
 */
#ifndef BOOT_ACPI_AML_H
#define BOOT_ACPI_AML_H

/* The ports below and above the configuration mechanism's. */
#define DSDT_IO_LOW_MAX    0x0cf7
#define DSDT_IO_LOW_SIZE   0x0cf8
#define DSDT_IO_HIGH       0x0d00
#define DSDT_IO_HIGH_SIZE  0xf300

#define DSDT_VGA_MAX       0x000bffff
#define DSDT_VGA_SIZE      0x00020000
#define DSDT_PCI_MMIO_SIZE 0x3ec00000

/* Minimum of the QWordMemory descriptor, the last one of PCI0._CRS, that acpi.c fills in. */
#define DSDT_PCI64_MIN  0x7fedc000
#define DSDT_PCI64_MAX  0x7fedcfff
#define DSDT_PCI64_SIZE 0x00001000

#endif
