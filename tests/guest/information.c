// SPDX-License-Identifier: GPL-2.0-or-later
/* Prints what the boot loader left: Multiboot Specification 0.6.96, section 3.3. */
#include "probe.h"

#define HAS_MEMORY  0x001u
#define HAS_LINE    0x004u
#define HAS_MODULES 0x008u
#define HAS_MAP     0x040u
#define HAS_LOADER  0x200u
#define FIRST_BYTES 8u

struct module {
	uint32_t start, end, text, reserved;
};

struct map_entry {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

enum field {
	FLAGS = 0,
	MEM_LOWER = 1,
	MEM_UPPER = 2,
	LINE = 4,
	MODS_COUNT = 5,
	MODS_ADDR = 6,
	MAP_LENGTH = 11,
	MAP_ADDR = 12,
	LOADER_NAME = 16,
};

static void put_text_field(const char *name, uint32_t address)
{
	put(name);
	put_line((const char *)address);
}

static void put_number_field(const char *name, uint32_t value)
{
	put(name);
	put_number(value);
	put("\n");
}

static void put_map(uint32_t address, uint32_t length)
{
	uint32_t end = address + length;

	while (address + sizeof(struct map_entry) <= end) {
		const struct map_entry *e = (const struct map_entry *)address;

		put("map 0x");
		put_hex((uint32_t)(e->base >> 32), 8);
		put_hex((uint32_t)e->base, 8);
		put(" 0x");
		put_hex((uint32_t)(e->length >> 32), 8);
		put_hex((uint32_t)e->length, 8);
		put_number_field(" type ", e->type);
		address += e->size + sizeof(e->size);
	}
}

static void put_modules(uint32_t address, uint32_t count)
{
	const struct module *m = (const struct module *)address;

	for (; count; count--, m++) {
		put("module ");
		put_number(m->end - m->start);
		put(" bytes:");
		for (uint32_t at = m->start; at < m->end && at < m->start + FIRST_BYTES; at++) {
			put(" ");
			put_hex(*(const uint8_t *)at, 2);
		}
		put(m->start & 4095 ? " unaligned" : "");
		put_text_field(" text ", m->text);
	}
}

void word_info(const char *argument)
{
	const uint32_t *field = (const uint32_t *)boot_information;
	uint32_t flags = field[FLAGS];

	(void)argument;
	put("magic ");
	put_hex(boot_magic, 8);
	put("\nflags ");
	put_hex(flags, 8);
	put("\n");
	if (flags & HAS_MEMORY) {
		put_number_field("mem_lower ", field[MEM_LOWER]);
		put_number_field("mem_upper ", field[MEM_UPPER]);
	}
	if (flags & HAS_LINE)
		put_text_field("line ", field[LINE]);
	if (flags & HAS_LOADER)
		put_text_field("loader ", field[LOADER_NAME]);
	if (flags & HAS_MAP)
		put_map(field[MAP_ADDR], field[MAP_LENGTH]);
	if (flags & HAS_MODULES)
		put_modules(field[MODS_ADDR], field[MODS_COUNT]);
}
