/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: RAM as the guest sees it, and the only way for the monitor to touch it.
 *
 * Every accessor checks that the whole range lies in RAM, safely against overflow, before the
 * first byte moves. What a guest wrote can change under us at any time: copy it once with
 * gmem_read() and check and use only the copy. Device memory is never reached through here, so
 * a guest cannot make one device write another's registers.
 *
 * The region list is fixed before the first vCPU runs and then read by any thread without a lock.
 * RAM is private anonymous memory that costs nothing until touched; huge pages are asked for.
 */
#ifndef LODGE_GMEM_H
#define LODGE_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef uint64_t gpa_t; /* guest physical address, in bytes */

#define GMEM_REGIONS_MAX 8u

struct gmem_region {
	gpa_t base;    /* page aligned */
	uint64_t size; /* bytes, page aligned, not 0; base + size does not wrap */
	uint8_t *host; /* congruent to base modulo 2 MiB (size >= 2 MiB), so that huge pages map */
};

struct gmem;

/*
 * Reserves `size` bytes of RAM (a multiple of 4096) for later placing. Nothing is committed.
 * 0, -EINVAL, or -ENOMEM and what mmap(2) may say.
 */
int gmem_create(uint64_t size, struct gmem **out);
void gmem_destroy(struct gmem *m);

/*
 * Makes bytes [offset, offset + size) of the reservation appear at guest address base.
 * -EINVAL when unaligned, overlapping or outside the reservation, or when 2 MiB or more are placed
 * where offset and base differ modulo 2 MiB; -ENOSPC past GMEM_REGIONS_MAX.
 * Before the first vCPU runs only.
 */
int gmem_place(struct gmem *m, gpa_t base, uint64_t offset, uint64_t size);

/* The regions in address order; gmem_size() is the whole reservation, in bytes. */
unsigned gmem_region_count(const struct gmem *m);
const struct gmem_region *gmem_region(const struct gmem *m, unsigned i);
uint64_t gmem_size(const struct gmem *m);

/* Whole range or nothing: 0, or -EFAULT when a byte of it is not RAM. n may be 0. */
int gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t n);
int gmem_write(struct gmem *m, gpa_t a, const void *src, size_t n);
int gmem_zero(struct gmem *m, gpa_t a, uint64_t n);

/*
 * The host address of [a, a + n), or NULL when the range is not inside one region. For loaders,
 * which fill RAM before the guest runs, and for rings. The guest may change what it points to.
 */
void *gmem_pointer(const struct gmem *m, gpa_t a, uint64_t n);

/*
 * Appends the host's pieces of [a, a + n) to iov, whose first *count elements of max are taken; n
 * is not 0. -EFAULT: a byte of it is not RAM; -E2BIG: no room. *count is changed on success only.
 * The guest may change what they point to.
 */
int gmem_iov(const struct gmem *m, gpa_t a, uint64_t n, struct iovec *iov, unsigned max,
	     unsigned *count);

/* Gives all RAM back to the host: the guest then reads zeroes. vCPUs stopped. */
int gmem_discard(struct gmem *m);

#endif
