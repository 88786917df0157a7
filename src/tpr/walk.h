/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows a 32-bit guest's page tables: two levels with 4 MiB pages, and PAE. The tables are the
 * guest's and may be anything: each walk reads at most three entries, each from RAM, and only
 * decides what the guest would have seen. Any thread.
 */
#ifndef TPR_WALK_H
#define TPR_WALK_H

#include <lodge/gmem.h>
#include <lodge/kvm_tpr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The half of the address space that NT gives to its kernel, alike in every process. */
#define TPR_KERNEL_HALF 0x80000000u

struct tpr_page {
	gpa_t gpa;       /* of the byte asked for; may be no RAM */
	bool user;       /* reachable by ring 3 */
	bool writable;   /* R/W in each level; what CR0.WP makes of it is the caller's to know */
	bool executable; /* no XD bit that counts */
};

/* Whether the walker knows the paging mode: on, and neither long mode nor 5 levels. */
bool tpr_walk_possible(const struct vcpu_view *v);

/* False: not mapped, or tables outside RAM. */
bool tpr_walk(const struct gmem *m, const struct vcpu_view *v, uint32_t va, struct tpr_page *out);

/* Copies as far as mapped RAM goes, without wrapping around 4 GiB; how many bytes. */
size_t tpr_walk_read(const struct gmem *m, const struct vcpu_view *v, uint32_t va, void *dst,
		     size_t n);

/*
 * Looks through the kernel half for the lowest address under which its ring 0 finds the page at
 * gpa (page aligned), writable. False: none. Reads at most 2 MiB of tables.
 */
bool tpr_walk_find(const struct gmem *m, const struct vcpu_view *v, gpa_t gpa, uint32_t *va);

#endif
