/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the option ROM from what the linker left, checks it, and writes it out: as a file, and as C
 * for the monitor.
 *
 *     mkrom FOLDER ROM HEADER
 *
 * FOLDER has, for "smp" and "single": NAME.rom, linked for address 0; NAME.high, linked for HIGH;
 * NAME.fixups. The build stops when a promise of firmware/README.md is broken.
 */
#include "tpr/rom.h"
#include "tpr/rom_tables.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HIGH     0x81234000u
#define CHECKSUM 0x1ff /* the byte that makes the sum of all bytes 0 */
#define TABLE    128   /* at most so many fixups */

struct image {
	const char *name;
	uint8_t code[TPR_ROM_CODE_SIZE];
	uint8_t high[TPR_ROM_CODE_SIZE];
	struct rom_fixup fixup[TABLE];
	size_t fixups;
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	va_list args;

	fputs("mkrom: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static size_t read_file(const char *folder, const char *name, const char *suffix, void *to,
			size_t room)
{
	char path[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.%s", folder, name, suffix);
	f = fopen(path, "rb");
	if (!f)
		fail("%s: cannot open it", path);
	n = fread(to, 1, room, f);
	if (ferror(f) || fgetc(f) != EOF)
		fail("%s: longer than %zu bytes", path, room);
	fclose(f);
	return n;
}

static void read_image(struct image *m, const char *folder, const char *name)
{
	m->name = name;
	if (read_file(folder, name, "rom", m->code, sizeof(m->code)) != TPR_ROM_CODE_SIZE ||
	    read_file(folder, name, "high", m->high, sizeof(m->high)) != TPR_ROM_CODE_SIZE)
		fail("%s: not %d bytes", name, TPR_ROM_CODE_SIZE);
	m->fixups =
	    read_file(folder, name, "fixups", m->fixup, sizeof(m->fixup)) / sizeof(m->fixup[0]);
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Each fixup is what it says, and nothing else depends on where the image is. */
static void check_fixups(const struct image *m)
{
	uint8_t moved[TPR_ROM_CODE_SIZE];

	memcpy(moved, m->code, sizeof(moved));
	for (size_t i = 0; i < m->fixups; i++) {
		const struct rom_fixup *f = &m->fixup[i];
		uint32_t value;

		if (f->offset < TPR_ENTRY_OFFSET || f->offset > TPR_ROM_CODE_SIZE - 4)
			fail("%s: fixup %zu is outside the code", m->name, i);
		value = get32(m->code + f->offset);
		if (f->kind == FIXUP_ROM) {
			if (value < TPR_ROM_CODE_SIZE || value >= TPR_ROM_SIZE)
				fail("%s: 0x%x: points into no table", m->name, f->offset);
			value += HIGH;
			for (int b = 0; b < 4; b++)
				moved[f->offset + b] = (uint8_t)(value >> 8 * b);
		} else if (f->kind > FIXUP_WRITE || value != 0) {
			fail("%s: 0x%x: not a field for an address", m->name, f->offset);
		}
		if (f->kind == FIXUP_WRITE && m->code[f->offset + 4 - f->back] != 0x88 &&
		    m->code[f->offset + 4 - f->back] != 0xa2)
			fail("%s: 0x%x: not a byte store", m->name, f->offset);
	}
	for (int i = 0; i < TPR_ROM_CODE_SIZE; i++)
		if (moved[i] != m->high[i])
			fail("%s: 0x%x: an address without a fixup", m->name, i);
}

/* An image that runs: every entry has code where callers expect it, and ends before the next. */
static void check_entries(const struct image *m)
{
	for (int n = 0; n < TPR_ENTRY_COUNT; n++) {
		const uint8_t *code = m->code + TPR_ROM_ENTRY(n);
		uint32_t first = code[0] | (uint32_t)code[1] << 8;

		if (first == 0xcccc || first == TPR_ROM_DORMANT)
			fail("%s: entry %d is missing", m->name, n);
		if ((first == 0x0b0f) != (n == TPR_ENTRY_LOAD + 4))
			fail("%s: entry %d: UD2 is for the load of ESP", m->name, n);
		if (code[TPR_ENTRY_SIZE - 1] != 0xcc)
			fail("%s: entry %d fills its room: does its code end there?", m->name, n);
	}
}

static uint8_t sum(const uint8_t *rom)
{
	uint8_t total = 0;

	for (int i = 0; i < TPR_ROM_SIZE; i++)
		total = (uint8_t)(total + rom[i]);
	return total;
}

/* What is in guest memory until a guest calls: `smp`, with the first bytes of each entry replaced.
 */
static void make_dormant(uint8_t *rom, const struct image *smp)
{
	memset(rom, 0, TPR_ROM_SIZE);
	memcpy(rom, smp->code, TPR_ROM_CODE_SIZE);
	for (int n = 0; n < TPR_ENTRY_COUNT; n++) {
		if (n == TPR_ENTRY_LOAD + 4)
			continue;
		rom[TPR_ROM_ENTRY(n)] = TPR_ROM_DORMANT & 0xff;
		rom[TPR_ROM_ENTRY(n) + 1] = TPR_ROM_DORMANT >> 8;
	}
	if (rom[CHECKSUM] != 0)
		fail("the checksum's byte is in use");
	rom[CHECKSUM] = (uint8_t)-sum(rom);
	if (rom[0] != 0x55 || rom[1] != 0xaa || rom[2] * 512 != TPR_ROM_SIZE || sum(rom) != 0 ||
	    memcmp(rom + 0x18, "\0\0\0", 4) != 0)
		fail("not an option ROM");
}

static void put_bytes(FILE *f, const char *name, const uint8_t *bytes)
{
	fprintf(f, "\nstatic const uint8_t %s[TPR_ROM_CODE_SIZE] = {", name);
	for (int i = 0; i < TPR_ROM_CODE_SIZE; i++)
		fprintf(f, "%s%u,", i % 24 ? "" : "\n\t", bytes[i]);
	fputs("\n};\n", f);
}

static void put_fixups(FILE *f, const struct image *m)
{
	fprintf(f, "\nstatic const struct rom_fixup %s_fixups[] = {\n", m->name);
	for (size_t i = 0; i < m->fixups; i++)
		fprintf(f, "\t{0x%x, %u, %u},\n", m->fixup[i].offset, m->fixup[i].kind,
			m->fixup[i].back);
	fputs("};\n", f);
}

static FILE *open_output(const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f)
		fail("%s: cannot write it", path);
	return f;
}

static void close_output(FILE *f, const char *path)
{
	if (ferror(f) | fclose(f))
		fail("%s: cannot write it", path);
}

int main(int argc, char **argv)
{
	static struct image smp, single;
	static uint8_t rom[TPR_ROM_SIZE];
	FILE *f;

	if (argc != 4)
		fail("usage: mkrom FOLDER ROM HEADER");
	read_image(&smp, argv[1], "smp");
	read_image(&single, argv[1], "single");
	check_fixups(&smp);
	check_fixups(&single);
	check_entries(&smp);
	check_entries(&single);
	if (memcmp(smp.code, single.code, TPR_ENTRY_OFFSET) != 0)
		fail("the two images have different headers");
	make_dormant(rom, &smp);

	f = open_output(argv[2]);
	fwrite(rom, 1, sizeof(rom), f);
	close_output(f, argv[2]);
	f = open_output(argv[3]);
	fputs("/* Made by firmware/mkrom.c from firmware/tpr_rom.S. */\n", f);
	put_bytes(f, "dormant_code", rom);
	put_bytes(f, "smp_code", smp.code);
	put_bytes(f, "single_code", single.code);
	put_fixups(f, &smp);
	put_fixups(f, &single);
	close_output(f, argv[3]);
	return 0;
}
