/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the decoder of TPR accesses must say about any bytes, worked out from libzydis' view of
 * them. A random test and a fuzz target hold src/tpr/decode.c against it.
 */
#ifndef TEST_TPR_ORACLE_H
#define TEST_TPR_ORACLE_H

#include "tpr/decode.h"

#include <lodge/status.h>

/* Loads libzydis; -1 with *why where it is missing. Before any other call. */
int tpr_oracle_load(struct refusal *why);

/* A CPU on which nothing stands in the way of a patch. */
extern const struct tpr_cpu tpr_oracle_cpu;

/*
 * Decodes count bytes, at most TPR_INSTRUCTION_MAX, compares, and where they are accepted encodes
 * the call from ip to the entry of a ROM at rom_va and looks at that. NULL if all is well,
 * otherwise what is not; *plan is what was decoded, its length 0 if it was refused.
 */
const char *tpr_oracle_check(const uint8_t *bytes, size_t count, uint32_t ip, uint32_t rom_va,
			     struct tpr_plan *plan);

#endif
