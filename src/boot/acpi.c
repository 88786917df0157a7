/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of the machine `pc`, for guests that boot without firmware.
 *
 * ACPI specification 2.0c, chapter 5, with the additions of 3.0 that systems since then look for
 * (FADT boot flags). The DSDT is dsdt.asl, compiled when Lodge is built; the other tables are
 * written here, every address from layout.h. The SSDT holds what depends on the configuration:
 * processors, and constants that the DSDT asks. Processors are Processor() objects, not devices,
 * since Windows before Vista knows no others.
 *
 * The machine is in ACPI mode from reset on (piix4_pm.h, preset), so SMI_CMD is 0 and no system
 * enters it. FADT revision 3 is the oldest with a reset register and the newest that every system
 * since Windows XP reads; revision 5 is the oldest that may leave the power management timer out
 * (5.0A, 4.8.3.3). No MCFG: the i440FX has no memory-mapped configuration. No HPET.
 *
 * Runs on the main thread with the vCPUs stopped. The tables go straight to guest memory.
 */
#include "boot/acpi.h"

#include "boot/acpi_aml.h"
#include "boot/table.h"
#include "machine/layout.h"

#include "dsdt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert(DSDT_IO_LOW_SIZE == LAYOUT_PORT_PCI_CONFIG, "see acpi_aml.h");
_Static_assert(DSDT_IO_LOW_MAX + 1 == DSDT_IO_LOW_SIZE, "see acpi_aml.h");
_Static_assert(DSDT_IO_HIGH == LAYOUT_PORT_PCI_CONFIG + 8, "see acpi_aml.h");
_Static_assert(DSDT_IO_HIGH + DSDT_IO_HIGH_SIZE == 0x10000, "see acpi_aml.h");
_Static_assert(DSDT_VGA_MAX + 1 == LAYOUT_VGA_HOLE_END, "see acpi_aml.h");
_Static_assert(DSDT_VGA_SIZE == LAYOUT_VGA_HOLE_END - LAYOUT_VGA_HOLE, "see acpi_aml.h");
_Static_assert(DSDT_PCI_MMIO_SIZE == LAYOUT_PCI_MMIO_END + 1 - LAYOUT_PCI_MMIO, "see acpi_aml.h");

#define HEADER_SIZE     36u
#define HEADER_LENGTH   4u
#define HEADER_CHECKSUM 9u
#define TABLES_MAX      8u

/* FADT, chapter 5.2.8. */
#define FADT_SIZE           244u
#define FADT5_SIZE          268u /* of revision 5 */
#define FADT_PM_TMR_BLK     76u
#define FADT_PM_TMR_LEN     91u
#define FADT_X_PM_TMR_BLK   208u
#define FADT_FLAG_CLUSTER   0x00040000u /* more than 8 local APICs: no flat logical mode */
#define FADT_FLAGS_OFFSET   112u
#define FADT_BOOT_ARCH      109u
#define BOOT_ARCH_LEGACY    0x0001u
#define BOOT_ARCH_8042      0x0002u
#define BOOT_ARCH_NO_VGA    0x0004u
#define FADT_FACS_OFFSET    36u
#define FADT_DSDT_OFFSET    40u
#define FADT_X_DSDT_OFFSET  140u
#define FLAT_CPUS_MAX       8u

#define MADT_LOCAL_APIC     0
#define MADT_IO_APIC        1
#define MADT_OVERRIDE       2
#define MADT_LOCAL_APIC_NMI 4
#define MADT_LEVEL_HIGH     0x000d
#define MADT_IO_APIC_ID     0 /* as KVM's chip has it after reset */

#define AML_NAME            0x08
#define AML_BYTE            0x0a
#define AML_EXT             0x5b
#define AML_EXT_PROCESSOR   0x83
#define AML_PROCESSOR_SIZE  19u
#define AML_NAME_BYTE_SIZE  7u

#define QWORD_MEMORY_SIZE   46u
#define VENDOR_LARGE        0x84

/* At most: tables in the order of acpi_build(), and alignment before each of them. */
#define TABLES_SIZE_MAX                                                                            \
	(36u + 64u + sizeof(dsdt_aml_code) + FADT5_SIZE +                                          \
	 (HEADER_SIZE + 8u + ACPI_CPUS_MAX * 8ul + 12u + 5ul * 10 + 6u) + (HEADER_SIZE + 4u) +     \
	 (HEADER_SIZE + (size_t)ACPI_CPUS_MAX * AML_PROCESSOR_SIZE + AML_NAME_BYTE_SIZE) +         \
	 2ul * (HEADER_SIZE + TABLES_MAX * 8ul) + 64ul * 9)
_Static_assert(TABLES_SIZE_MAX <= LAYOUT_ACPI_SIZE, "the ACPI region is too small");

/* Where in guest memory the next table goes. */
struct writer {
	uint8_t *start; /* of the region */
	gpa_t gpa;      /* of the same */
	uint64_t size;
	uint64_t used;
	gpa_t tables[TABLES_MAX]; /* for the RSDT and the XSDT */
	unsigned table_count;
};

/* FADT fields that are not 0, in order of offset. */
static const struct {
	uint8_t offset, size;
	uint32_t value;
} fadt_fields[] = {
    {46, 2, LAYOUT_GSI_SCI},
    {56, 4, LAYOUT_PORT_PM},       /* PM1a_EVT_BLK */
    {64, 4, LAYOUT_PORT_PM + 4},   /* PM1a_CNT_BLK */
    {80, 4, LAYOUT_PORT_PM + 0xc}, /* GPE0_BLK */
    {88, 1, 4},                    /* PM1_EVT_LEN */
    {89, 1, 2},                    /* PM1_CNT_LEN */
    {92, 1, 4},                    /* GPE0_BLK_LEN */
    {96, 2, 0xfff},                /* P_LVL2_LAT: no C2 */
    {98, 2, 0xfff},                /* P_LVL3_LAT: no C3 */
    {108, 1, 0x32},                /* CENTURY, in CMOS memory */
    /* WBINVD, PROC_C1, no sleep button, RTC wake not in fixed registers, RESET_REG_SUP */
    {FADT_FLAGS_OFFSET, 4, 0x00000465},
    {128, 1, 0x06}, /* RESET_VALUE: hard reset */
};

/* Generic address structures in the FADT: system I/O space. */
static const struct {
	uint8_t offset, bits, access;
	uint16_t port;
} fadt_addresses[] = {
    {116, 8, 1, LAYOUT_PORT_RESET},
    {148, 32, 0, LAYOUT_PORT_PM},
    {172, 16, 0, LAYOUT_PORT_PM + 4},
    {220, 32, 0, LAYOUT_PORT_PM + 0xc},
};

/* Interrupt sources of the ISA bus whose GSI or signal is not the usual one. */
static const struct {
	uint8_t source, gsi;
	uint16_t flags;
} madt_overrides[] = {
    {0, 2, 0}, /* the PIT is on input 2 of KVM's I/O APIC */
    {5, 5, MADT_LEVEL_HIGH},
    {LAYOUT_GSI_SCI, LAYOUT_GSI_SCI, MADT_LEVEL_HIGH},
    {10, 10, MADT_LEVEL_HIGH},
    {11, 11, MADT_LEVEL_HIGH},
};

/* The next n bytes, zeroed. That they are there is asserted at compile time, see TABLES_SIZE_MAX.
 */
static uint8_t *take(struct writer *w, uint64_t n)
{
	uint8_t *p = w->start + w->used;

	assert(n <= w->size - w->used);
	memset(p, 0, n);
	w->used += n;
	return p;
}

static void put(struct writer *w, uint64_t value, unsigned size)
{
	put_le(take(w, size), value, size);
}

static void align(struct writer *w, unsigned to)
{
	take(w, (to - w->used % to) % to);
}

static gpa_t gpa_of(const struct writer *w, const uint8_t *p)
{
	return w->gpa + (uint64_t)(p - w->start);
}

static uint8_t *table_begin(struct writer *w, const char *signature, uint8_t revision)
{
	uint8_t *t;

	align(w, 16);
	t = take(w, HEADER_SIZE);
	memcpy(t, signature, 4);
	t[8] = revision;
	memcpy(t + 10, "LODGE LODGEPC ", 14); /* OEMID and OEM Table ID */
	put_le(t + 24, 1, 4);
	memcpy(t + 28, "LDGE", 4);
	put_le(t + 32, 1, 4);
	return t;
}

/* From t on to here is one table; it goes into the RSDT and the XSDT if it is listed. */
static gpa_t table_end(struct writer *w, uint8_t *t, bool listed)
{
	size_t length = (size_t)(w->start + w->used - t);

	put_le(t + HEADER_LENGTH, length, 4);
	t[HEADER_CHECKSUM] = 0;
	t[HEADER_CHECKSUM] = checksum(t, length);
	if (listed) {
		assert(w->table_count < TABLES_MAX);
		w->tables[w->table_count++] = gpa_of(w, t);
	}
	return gpa_of(w, t);
}

static gpa_t put_facs(struct writer *w)
{
	uint8_t *t;

	align(w, 64);
	t = take(w, 64);
	memcpy(t, "FACS", 4);
	put_le(t + 4, 64, 4);
	t[32] = 1; /* version */
	return gpa_of(w, t);
}

/* PCI0's window above 4 GiB; without one, a vendor's descriptor of zeroes in its place. */
static void patch_pci64(uint8_t *dsdt, size_t size, const struct acpi_params *p)
{
	static const uint8_t header[3] = {0x8a, QWORD_MEMORY_SIZE - 3, 0};
	unsigned found = 0;

	for (size_t i = 0; i + QWORD_MEMORY_SIZE <= size; i++) {
		uint8_t *d = dsdt + i;
		uint8_t min[8];

		put_le(min, DSDT_PCI64_MIN, 8);
		if (memcmp(d, header, sizeof(header)) != 0 || memcmp(d + 14, min, 8) != 0)
			continue;
		found++;
		if (p->pci64_size == 0) {
			memset(d + 3, 0, QWORD_MEMORY_SIZE - 3);
			d[0] = VENDOR_LARGE;
			continue;
		}
		put_le(d + 14, p->pci64_base, 8);
		put_le(d + 22, p->pci64_base + p->pci64_size - 1, 8);
		put_le(d + 38, p->pci64_size, 8);
	}
	assert(found == 1);
}

static gpa_t put_dsdt(struct writer *w, const struct acpi_params *p)
{
	uint8_t *t;

	align(w, 16);
	t = take(w, sizeof(dsdt_aml_code));
	memcpy(t, dsdt_aml_code, sizeof(dsdt_aml_code));
	patch_pci64(t, sizeof(dsdt_aml_code), p);
	return table_end(w, t, false);
}

static void put_io_address(uint8_t *gas, uint8_t bits, uint8_t access, uint16_t port)
{
	gas[0] = 1; /* system I/O */
	gas[1] = bits;
	gas[3] = access;
	put_le(gas + 4, port, 8);
}

static void put_fadt(struct writer *w, const struct acpi_params *p, gpa_t facs, gpa_t dsdt)
{
	uint8_t *t = table_begin(w, "FACP", p->pm_timer ? 3 : 5);
	uint16_t boot_arch = BOOT_ARCH_LEGACY | BOOT_ARCH_8042 | (p->vga ? 0 : BOOT_ARCH_NO_VGA);

	take(w, (p->pm_timer ? FADT_SIZE : FADT5_SIZE) - HEADER_SIZE);
	for (size_t i = 0; i < sizeof(fadt_fields) / sizeof(fadt_fields[0]); i++)
		put_le(t + fadt_fields[i].offset, fadt_fields[i].value, fadt_fields[i].size);
	for (size_t i = 0; i < sizeof(fadt_addresses) / sizeof(fadt_addresses[0]); i++)
		put_io_address(t + fadt_addresses[i].offset, fadt_addresses[i].bits,
			       fadt_addresses[i].access, fadt_addresses[i].port);
	if (p->pm_timer) {
		put_le(t + FADT_PM_TMR_BLK, LAYOUT_PORT_PM + 8, 4);
		t[FADT_PM_TMR_LEN] = 4;
		put_io_address(t + FADT_X_PM_TMR_BLK, 32, 0, LAYOUT_PORT_PM + 8);
	}
	put_le(t + FADT_FACS_OFFSET, facs, 4);
	put_le(t + FADT_DSDT_OFFSET, dsdt, 4);
	put_le(t + FADT_X_DSDT_OFFSET, dsdt, 8);
	put_le(t + FADT_BOOT_ARCH, boot_arch, 2);
	if (p->cpus > FLAT_CPUS_MAX)
		t[FADT_FLAGS_OFFSET + 2] |= FADT_FLAG_CLUSTER >> 16;
	table_end(w, t, true);
}

static void put_madt(struct writer *w, const struct acpi_params *p)
{
	uint8_t *t = table_begin(w, "APIC", 1);

	put(w, LAYOUT_LOCAL_APIC, 4);
	put(w, 1, 4); /* PCAT_COMPAT: two 8259 */
	for (unsigned i = 0; i < p->cpus; i++) {
		put(w, MADT_LOCAL_APIC, 1);
		put(w, 8, 1);
		put(w, i, 1); /* ACPI processor UID */
		put(w, i, 1); /* APIC id */
		put(w, 1, 4); /* enabled */
	}
	put(w, MADT_IO_APIC, 1);
	put(w, 12, 1);
	put(w, MADT_IO_APIC_ID, 2);
	put(w, LAYOUT_IOAPIC, 4);
	put(w, 0, 4); /* first GSI */
	for (size_t i = 0; i < sizeof(madt_overrides) / sizeof(madt_overrides[0]); i++) {
		put(w, MADT_OVERRIDE, 1);
		put(w, 10, 1);
		put(w, 0, 1); /* ISA */
		put(w, madt_overrides[i].source, 1);
		put(w, madt_overrides[i].gsi, 4);
		put(w, madt_overrides[i].flags, 2);
	}
	put(w, MADT_LOCAL_APIC_NMI, 1);
	put(w, 6, 1);
	put(w, 0xff, 1); /* all processors */
	put(w, 0, 2);
	put(w, 1, 1); /* LINT1 */
	table_end(w, t, true);
}

/* Tells Windows that one read of the power management timer is enough. */
static void put_waet(struct writer *w)
{
	uint8_t *t = table_begin(w, "WAET", 1);

	put(w, 2, 4);
	table_end(w, t, true);
}

/* Processor (\_SB.Cnnn, uid, 0, 0) {} and Name (\COMS, ...), ACPI 2.0c chapter 17. */
static void put_ssdt(struct writer *w, const struct acpi_params *p)
{
	static const char digits[16] = "0123456789ABCDEF";
	uint8_t *t = table_begin(w, "SSDT", 1);
	uint8_t *b;

	for (unsigned i = 0; i < p->cpus; i++) {
		b = take(w, AML_PROCESSOR_SIZE);
		b[0] = AML_EXT;
		b[1] = AML_EXT_PROCESSOR;
		b[2] = AML_PROCESSOR_SIZE - 2; /* length from here on */
		memcpy(b + 3, "\\._SB_C0", 8); /* root prefix, dual name prefix, names */
		b[11] = (uint8_t)digits[i >> 4];
		b[12] = (uint8_t)digits[i & 15];
		b[13] = (uint8_t)i;
	}
	b = take(w, AML_NAME_BYTE_SIZE);
	b[0] = AML_NAME;
	memcpy(b + 1, "COMS", 4);
	b[5] = AML_BYTE;
	b[6] = (uint8_t)(p->com1 | p->com2 << 1);
	table_end(w, t, true);
}

static gpa_t put_root_table(struct writer *w, const char *signature, unsigned entry_size)
{
	uint8_t *t = table_begin(w, signature, 1);

	for (unsigned i = 0; i < w->table_count; i++)
		put(w, w->tables[i], entry_size);
	return table_end(w, t, false);
}

static void fill_rsdp(uint8_t *r, gpa_t rsdt, gpa_t xsdt)
{
	memcpy(r, "RSD PTR ", 8);
	memcpy(r + 9, "LODGE ", 6);
	r[15] = 2; /* revision */
	put_le(r + 16, rsdt, 4);
	put_le(r + 20, 36, 4);
	put_le(r + 24, xsdt, 8);
	r[8] = checksum(r, 20);
	r[32] = checksum(r, 36);
}

int acpi_build(struct gmem *m, const struct acpi_params *p, gpa_t *rsdp)
{
	struct writer w = {.gpa = LAYOUT_ACPI, .size = LAYOUT_ACPI_SIZE};
	gpa_t facs, dsdt, rsdt, xsdt;
	uint8_t *root;

	assert(p->cpus >= 1 && p->cpus <= ACPI_CPUS_MAX);
	w.start = gmem_pointer(m, LAYOUT_ACPI, LAYOUT_ACPI_SIZE);
	if (!w.start)
		return -EFAULT;
	root = take(&w, 36);
	facs = put_facs(&w);
	dsdt = put_dsdt(&w, p);
	put_fadt(&w, p, facs, dsdt);
	put_madt(&w, p);
	put_waet(&w);
	put_ssdt(&w, p);
	rsdt = put_root_table(&w, "RSDT", 4);
	xsdt = put_root_table(&w, "XSDT", 8);
	fill_rsdp(root, rsdt, xsdt);
	*rsdp = gpa_of(&w, root);
	return 0;
}
