// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The page tables: 2-level, or PAE with "pae" or "nx" on the command line. As under NT, low memory
 * is at 0x80000000 (8 MiB in small pages, more in large ones), the APICs are at FFFE0000; low
 * memory is also where it physically is, for the way of processors into paging.
 *
 * AMD APM volume 2, 5.2. All tables exist before paging is on, so that nothing writes CR4 or a
 * page directory pointer later, and each processor starts with pointers of its own that nobody has
 * used: the lab's emulation of nested paging writes to them what KVM then refuses (docs/lab.md).
 */
#include "guest.h"

#define SMALL_BYTES 0x800000u
#define LARGE_BYTES 0x4000000u
#define TABLES      24
#define CR4_PSE     0x10u
#define CR4_PAE     0x20u
#define CR4_PGE     0x80u
#define PTE_LARGE   0x80u

static uint8_t tables[TABLES][PAGE] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32)));
static uint64_t copies[CPU_MAX][4] __attribute__((aligned(32)));
static uint32_t tables_used;
static uint32_t *directory; /* 2-level */

extern uint32_t ap_cr3, ap_cr4, ap_nx;
void paging_switch(uint32_t cr3, uint32_t cr4, uint32_t nx);

uint32_t physical(const void *p)
{
	return (uint32_t)p - KSEG0;
}

static void *table_new(void)
{
	if (tables_used == TABLES) {
		fail("page tables used up", tables_used);
		tables_used--;
	}
	return tables[tables_used++];
}

static void *at_physical(uint64_t pa)
{
	return (void *)(KSEG0 + ((uint32_t)pa & ~(PAGE - 1)));
}

static uint32_t *entry2(uint32_t va)
{
	uint32_t *d = &directory[va >> 22];

	if (!*d)
		*d = physical(table_new()) | PTE_RAM | PTE_U;
	return (uint32_t *)at_physical(*d) + (va >> 12 & 1023);
}

static uint64_t *entry3(uint32_t va)
{
	uint64_t *d = (uint64_t *)at_physical(pointers[va >> 30]) + (va >> 21 & 511);

	if (!*d)
		*d = physical(table_new()) | PTE_RAM | PTE_U;
	return (uint64_t *)at_physical(*d) + (va >> 12 & 511);
}

void page_flush(uint32_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void page_set(uint32_t va, uint64_t entry)
{
	if (!settings.nx)
		entry &= ~PTE_NX;
	if (settings.pae) {
		volatile uint32_t *at = (volatile uint32_t *)entry3(va);

		at[0] = 0; /* never half of two entries */
		at[1] = (uint32_t)(entry >> 32);
		at[0] = (uint32_t)entry;
	} else {
		*(volatile uint32_t *)entry2(va) = (uint32_t)entry;
	}
	page_flush(va);
}

uint64_t page_get(uint32_t va)
{
	return settings.pae ? *entry3(va) : *entry2(va);
}

static void map_large(void)
{
	uint32_t step = settings.pae ? 0x200000 : 0x400000;

	for (uint32_t pa = SMALL_BYTES; pa < LARGE_BYTES; pa += step) {
		uint32_t va = KSEG0 + pa;

		if (settings.pae)
			*((uint64_t *)at_physical(pointers[va >> 30]) + (va >> 21 & 511)) =
			    pa | PTE_RAM | PTE_LARGE | PTE_G;
		else
			directory[va >> 22] = pa | PTE_RAM | PTE_LARGE | PTE_G;
	}
}

/* The same tables also where the memory physically is. */
static void map_low_twice(void)
{
	if (!settings.pae) {
		directory[0] = directory[KSEG0 >> 22];
		directory[1] = directory[(KSEG0 >> 22) + 1];
		return;
	}
	for (uint32_t i = 0; i < 4; i++)
		((uint64_t *)at_physical(pointers[0]))[i] =
		    ((uint64_t *)at_physical(pointers[2]))[i];
}

void paging_for(uint32_t number)
{
	if (!settings.pae)
		return;
	for (uint32_t i = 0; i < 4; i++)
		copies[number][i] = (pointers[i] & ~(uint64_t)(PAGE - 1)) | PTE_P;
	ap_cr3 = physical(copies[number]);
}

void paging_init(void)
{
	directory = table_new();
	if (settings.pae) {
		pointers[0] = physical(directory) | PTE_P;
		for (uint32_t i = 1; i < 4; i++)
			pointers[i] = physical(table_new()) | PTE_P;
	}
	for (uint32_t pa = 0; pa < SMALL_BYTES; pa += PAGE)
		page_set(KSEG0 + pa, pa | PTE_RAM);
	map_large();
	map_low_twice();
	page_set(APIC, LAYOUT_LOCAL_APIC | PTE_RAM | PTE_PCD);
	page_set(IOAPIC, LAYOUT_IOAPIC | PTE_RAM | PTE_PCD);
	page_set(WINDOW, 0);
	page_set(WINDOW + 0x200000, 0);
	page_set(FIRST_PCR, 0);
	ap_cr3 = settings.pae ? physical(pointers) : physical(directory);
	ap_cr4 = CR4_PSE | CR4_PGE | (settings.pae ? CR4_PAE : 0);
	ap_nx = settings.nx;
	paging_switch(ap_cr3, ap_cr4, ap_nx);
}
