/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names one instruction, for messages and reports. The decoder is libzydis, loaded on first use. */
#ifndef MACHINE_DISASM_H
#define MACHINE_DISASM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes the instruction at bytes as text, in Intel syntax, to out: "cmpxchg16b xmmword ptr [rdi]".
 * mode_bits is 16, 32 or 64. Where the library is missing or the bytes are no instruction, the
 * bytes in hex: "0f c7 0f"; with count 0, "". Returns the length of the instruction, 0 if unknown.
 * Main loop's thread.
 */
unsigned disasm_format(const uint8_t *bytes, unsigned count, unsigned mode_bits, uint64_t rip,
		       char *out, size_t size);

#endif
