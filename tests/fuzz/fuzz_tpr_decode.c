/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_tpr_decode: an input is a place to patch (4 bytes), a page for the ROM (4 bytes), the state
 * of the CPU (2 bytes: flags, ESP) and up to 15 bytes of code. What the decoder makes of them must
 * agree with libzydis, and a call that replaces them must be sound (tests/lib/tpr_oracle.h).
 */
#include "tpr_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 10u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void must(const char *wrong)
{
	if (!wrong)
		return;
	fprintf(stderr, "fuzz_tpr_decode: %s\n", wrong);
	abort();
}

/* In any other state the answer is a refusal, whatever the bytes. */
static void check_state(const uint8_t *code, size_t count, uint8_t flags, uint8_t esp)
{
	struct tpr_plan plan = {.length = 0xee};
	struct tpr_cpu cpu = {
	    .protected_mode = !(flags & 0x01),
	    .vm86 = flags & 0x02,
	    .long_mode = flags & 0x04,
	    .code32 = !(flags & 0x08),
	    .stack32 = !(flags & 0x10),
	    .flat = !(flags & 0x20),
	    .cpl = flags >> 6,
	    .esp = esp,
	};
	enum tpr_refusal r = tpr_decode(code, count, &cpu, &plan);

	if ((flags || esp < TPR_ENTRY_STACK) && (!r || plan.length != 0xee))
		must("patches in a state that forbids it");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool loaded;
	struct refusal why = {0};
	struct tpr_plan plan;
	uint32_t ip, rom_va;
	uint8_t length;
	int entry;

	if (!loaded && tpr_oracle_load(&why) < 0)
		must(why.text);
	loaded = true;
	if (size < HEADER || size > HEADER + TPR_INSTRUCTION_MAX)
		return 0;
	ip = get32(data);
	rom_va = get32(data + 4) & 0xfffff000;
	must(tpr_oracle_check(data + HEADER, size - HEADER, ip, rom_va, &plan));
	check_state(data + HEADER, size - HEADER, data[8], data[9]);
	entry = tpr_decode_call(data + HEADER, size - HEADER, ip, rom_va, &length);
	if (entry >= 0 && plan.length)
		must("both an access and a call");
	if (entry >= TPR_ENTRY_COUNT || entry == TPR_ENTRY_LOAD + 4)
		must("a call of an entry that is not there");
	return 0;
}
