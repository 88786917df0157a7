// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TPR option ROM in guest memory: see the header, and firmware/README.md for why it is right.
 *
 * Theory of operation: an image is composed here, in a buffer, from the bytes that the build made
 * (firmware/mkrom.c) and its list of fixups, and then written; what the guest may have put there is
 * never read. Arming changes two pointers of a CPU or, with one CPU, operands of the entries. A
 * vCPU sees it when it runs again, since entering the guest serializes.
 */
#include "tpr/image.h"

#include "core/array.h"
#include "tpr/rom_tables.h"

#include "tpr_rom_bytes.h"

#include <errno.h>
#include <string.h>

#define OFF_IRR 0xffu

static void put32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
	p[2] = (uint8_t)(value >> 16);
	p[3] = (uint8_t)(value >> 24);
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t record_offset(const struct tpr_image *image, unsigned number)
{
	return TPR_ROM_RECORD(image->single_cpu ? 0 : number);
}

static uint32_t pointers_offset(unsigned number)
{
	return TPR_ROM_POINTERS + number * TPR_ROM_POINTER_SIZE;
}

gpa_t tpr_image_record(const struct tpr_image *image, unsigned number)
{
	return image->base + record_offset(image, number);
}

int tpr_image_place(struct tpr_image *image, struct gmem *mem, gpa_t base, bool single_cpu)
{
	uint8_t rom[TPR_ROM_SIZE] = {0};

	if (base % TPR_ROM_ALIGN || base > UINT32_MAX - (TPR_ROM_SIZE - 1))
		return -EINVAL;
	*image = (struct tpr_image){.mem = mem, .base = base, .single_cpu = single_cpu};
	memcpy(rom, dormant_code, sizeof(dormant_code));
	return gmem_write(mem, base, rom, sizeof(rom));
}

static void put_pointers(const struct tpr_image *image, unsigned number, bool armed, uint8_t *p)
{
	uint32_t record = image->va + TPR_ROM_RECORD(number);

	put32(p + TPR_POINTER_GET, armed ? record : image->real);
	put32(p + TPR_POINTER_SET, armed ? record : record + TPR_RECORD_OFF);
}

/* One CPU: its accesses go to the first record, or to the real TPR with stores of 32 bits. */
static void fix_operand(const struct tpr_image *image, const struct rom_fixup *f, bool armed,
			uint8_t *code)
{
	put32(code + f->offset, armed ? image->va + TPR_ROM_RECORD(0) : image->real);
	if (f->kind == FIXUP_WRITE)
		code[f->offset + 4 - f->back] |= armed ? 0 : 1;
}

/* A fresh copy of the image's code, with its addresses. armed: the one CPU, if it is only one. */
static void compose(const struct tpr_image *image, bool armed, uint8_t *code)
{
	const struct rom_fixup *fixup = image->single_cpu ? single_fixups : smp_fixups;
	size_t count = image->single_cpu ? ARRAY_COUNT(single_fixups) : ARRAY_COUNT(smp_fixups);

	memcpy(code, image->single_cpu ? single_code : smp_code, TPR_ROM_CODE_SIZE);
	for (size_t i = 0; i < count; i++) {
		uint8_t *field = code + fixup[i].offset;

		if (fixup[i].kind == FIXUP_ROM)
			put32(field, get32(field) + image->va);
		else if (fixup[i].kind == FIXUP_TPR)
			put32(field, image->real);
		else
			fix_operand(image, &fixup[i], armed, code);
	}
}

int tpr_image_activate(struct tpr_image *image, uint32_t va, uint32_t real)
{
	uint8_t rom[TPR_ROM_SIZE] = {0};

	if (!image->mem || va > UINT32_MAX - (TPR_ROM_SIZE - 1))
		return -EINVAL;
	image->va = va;
	image->real = real;
	image->active = true;
	compose(image, false, rom);
	for (unsigned n = 0; n < TPR_ROM_CPUS; n++) {
		put_pointers(image, n, false, rom + pointers_offset(n));
		rom[TPR_ROM_RECORD(n) + TPR_RECORD_OFF + TPR_RECORD_IRR] = OFF_IRR;
	}
	return gmem_write(image->mem, image->base, rom, sizeof(rom));
}

/* Lets the CPU use its record, or the real TPR. */
static int direct(struct tpr_image *image, unsigned number, bool armed)
{
	uint8_t code[TPR_ROM_CODE_SIZE];
	uint8_t pointers[TPR_ROM_POINTER_SIZE];

	if (!image->single_cpu) {
		put_pointers(image, number, armed, pointers);
		return gmem_write(image->mem, image->base + pointers_offset(number), pointers,
				  sizeof(pointers));
	}
	compose(image, armed, code);
	return gmem_write(image->mem, image->base, code, sizeof(code));
}

int tpr_image_arm(struct tpr_image *image, unsigned number, uint32_t word)
{
	/* The off word too, should the guest have written there: stores would be lost by it. */
	uint8_t record[TPR_RECORD_SIZE] = {[TPR_RECORD_ENABLED] = 1,
					   [TPR_RECORD_OFF + TPR_RECORD_IRR] = OFF_IRR};
	int err;

	if (!image->active || number >= TPR_ROM_CPUS)
		return -EINVAL;
	put32(record, word);
	err = gmem_write(image->mem, tpr_image_record(image, number), record, sizeof(record));
	return err ? err : direct(image, number, true);
}

int tpr_image_disarm(struct tpr_image *image, unsigned number)
{
	/*
	 * From ISR to `enabled`. The TPR stays for a load that has already chosen the record; a
	 * store that has is sent to the slow path. With one CPU the operand is the choice.
	 */
	uint8_t rest[TPR_RECORD_ENABLED] = {0, 0, image->single_cpu ? 0 : OFF_IRR, 0};
	int err;

	if (!image->active || number >= TPR_ROM_CPUS)
		return -EINVAL;
	err = gmem_write(image->mem, tpr_image_record(image, number) + TPR_RECORD_ISR, rest,
			 sizeof(rest));
	return err ? err : direct(image, number, false);
}

int tpr_image_entry_at(uint32_t offset)
{
	uint32_t number = (offset - TPR_ENTRY_OFFSET) / TPR_ENTRY_SIZE;

	if (offset < TPR_ENTRY_OFFSET || offset % TPR_ENTRY_SIZE || number >= TPR_ENTRY_COUNT)
		return -1;
	return (int)number;
}
