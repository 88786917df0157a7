/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of the patcher begin with: a guest, and instructions that access its TPR. */
#ifndef TPR_FIXTURE_H
#define TPR_FIXTURE_H

#include "tpr/rom.h"
#include "tpr_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CODE   TPR_RIG_CODE
#define ROM_VA (TPR_RIG_KSEG0 + TPR_RIG_ROM)
#define RECORD (TPR_RIG_ROM + TPR_ROM_RECORDS)

static const uint8_t load_eax[] = {0xa1, 0x80, 0x00, 0xfe, 0xff};
static const uint8_t store_ecx[] = {0x89, 0x0d, 0x80, 0x00, 0xfe, 0xff};
static const uint8_t store_imm[] = {0xc7, 0x05, 0x80, 0x00, 0xfe, 0xff, 0x41, 0, 0, 0};

/* PAE with an even number of vCPUs. */
static inline void create(struct tpr_rig *r, unsigned cpus)
{
	assert_true(tpr_rig_create(r, cpus % 2 == 0, cpus));
}

/* store_ecx is put at ip, and vCPU 0 comes across it. */
static inline void patch_store(struct tpr_rig *r, uint32_t ip)
{
	tpr_rig_put(r, ip, store_ecx, sizeof(store_ecx));
	tpr_rig_access(r, 0, ip);
}

#endif
