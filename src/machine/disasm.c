/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction as text.
 *
 * Theory of operation: libzydis 4 decodes and formats in one call, ZydisDisassembleIntel(). It is
 * loaded when the first instruction has to be named, which only happens when a run ends badly, and
 * a missing library costs the name, never the run: the bytes are shown instead.
 */
#include "machine/disasm.h"

#include "core/dynlib.h"
#include <Zydis/Zydis.h>
#include <stdio.h>

struct zydis_api {
	ZyanStatus (*disassemble)(ZydisMachineMode mode, ZyanU64 address, const void *bytes,
				  ZyanUSize size, ZydisDisassembledInstruction *out);
};

static const struct dynlib_symbol zydis_symbols[] = {
    DYNLIB_SYMBOL(struct zydis_api, disassemble, "ZydisDisassembleIntel"),
};

static const struct dynlib zydis = {"libZydis.so.4.0", "libzydis4.0", zydis_symbols, 1};

static void format_bytes(const uint8_t *bytes, unsigned count, char *out, size_t size)
{
	size_t used = 0;
	unsigned i;

	out[0] = '\0';
	for (i = 0; i < count && used + 9 <= size; i++)
		used +=
		    (size_t)snprintf(out + used, size - used, i ? " %02x" : "bytes %02x", bytes[i]);
}

unsigned disasm_format(const uint8_t *bytes, unsigned count, unsigned mode_bits, uint64_t rip,
		       char *out, size_t size)
{
	static struct zydis_api api;
	ZydisDisassembledInstruction text;
	struct refusal why = {0};
	ZydisMachineMode mode = ZYDIS_MACHINE_MODE_LONG_64;

	if (mode_bits == 16)
		mode = ZYDIS_MACHINE_MODE_LEGACY_16;
	else if (mode_bits == 32)
		mode = ZYDIS_MACHINE_MODE_LEGACY_32;
	if (!size)
		return 0;
	format_bytes(bytes, count, out, size);
	if (!count || (!api.disassemble && dynlib_load(&zydis, &api, "disassembly", &why) < 0))
		return 0;
	if (!ZYAN_SUCCESS(api.disassemble(mode, rip, bytes, count, &text)))
		return 0;
	snprintf(out, size, "%s", text.text);
	return text.info.length;
}
