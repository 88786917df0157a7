/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory.
 *
 * Theory of operation: RAM is one private anonymous mapping without a commit charge, aligned to
 * 1 GiB (2 MiB when it is smaller than that). Offsets of the reservation are placed at guest
 * addresses; as offset and address are congruent modulo the huge page size, so are host and guest
 * address, and KVM can map a huge page by one entry. Pages appear when the guest touches them.
 *
 * The regions are sorted by address and do not change once a vCPU runs, so readers take no lock.
 * An access walks the regions twice, first to check the whole range, then to copy: nothing moves
 * unless all of it can. Copies race with the guest's own writes by design; whoever reads checks
 * only his copy.
 *
 * Left out: memory hotplug, read-only RAM, files shared with another process.
 */
#include <lodge/gmem.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096ull
#define HUGE_2M    (2ull << 20)
#define HUGE_1G    (1ull << 30)

struct gmem {
	uint8_t *host;
	uint64_t size; /* bytes reserved */
	unsigned count;
	struct gmem_region region[GMEM_REGIONS_MAX]; /* by address */
};

static bool page_aligned(uint64_t v)
{
	return v % PAGE_BYTES == 0;
}

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

/* Both are wishes: a host without transparent huge pages still runs the guest. */
static void advise(void *host, uint64_t size)
{
	madvise(host, size, MADV_HUGEPAGE);
	madvise(host, size, MADV_DONTDUMP);
}

/* Fresh zero pages; at `fixed` or, when that is NULL, anywhere. MAP_FAILED with errno. */
static void *map_anonymous(void *fixed, uint64_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED : 0);

	return mmap(fixed, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

/* mmap(2) aligns to pages only: take more than needed, and give back both ends. */
static int map_aligned(uint64_t size, uint64_t align, uint8_t **out)
{
	uint64_t head;
	uint8_t *p;

	p = map_anonymous(NULL, size + align);
	if (p == MAP_FAILED)
		return -errno;
	head = -(uintptr_t)p & (align - 1);
	if (head)
		munmap(p, head);
	munmap(p + head + size, align - head);
	*out = p + head;
	return 0;
}

int gmem_create(uint64_t size, struct gmem **out)
{
	struct gmem *m;
	int err;

	if (size == 0 || !page_aligned(size))
		return -EINVAL;
	if (size > SIZE_MAX / 2)
		return -ENOMEM;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	err = map_aligned(size, size >= HUGE_1G ? HUGE_1G : HUGE_2M, &m->host);
	if (err) {
		free(m);
		return err;
	}
	m->size = size;
	advise(m->host, size);
	*out = m;
	return 0;
}

void gmem_destroy(struct gmem *m)
{
	if (!m)
		return;
	munmap(m->host, m->size);
	free(m);
}

static bool placement_valid(const struct gmem *m, gpa_t base, uint64_t offset, uint64_t size)
{
	if (size == 0 || !page_aligned(base) || !page_aligned(offset) || !page_aligned(size))
		return false;
	if (size > m->size || offset > m->size - size || base > UINT64_MAX - size)
		return false;
	return size < HUGE_2M || base % HUGE_2M == offset % HUGE_2M;
}

int gmem_place(struct gmem *m, gpa_t base, uint64_t offset, uint64_t size)
{
	unsigned i, pos = 0;

	if (!placement_valid(m, base, offset, size))
		return -EINVAL;
	for (i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->region[i];

		if (ranges_overlap(base, size, r->base, r->size) ||
		    ranges_overlap(offset, size, (uint64_t)(r->host - m->host), r->size))
			return -EINVAL;
		if (r->base < base)
			pos = i + 1;
	}
	if (m->count == GMEM_REGIONS_MAX)
		return -ENOSPC;
	memmove(&m->region[pos + 1], &m->region[pos], (m->count - pos) * sizeof(m->region[0]));
	m->region[pos] = (struct gmem_region){base, size, m->host + offset};
	m->count++;
	return 0;
}

unsigned gmem_region_count(const struct gmem *m)
{
	return m->count;
}

const struct gmem_region *gmem_region(const struct gmem *m, unsigned i)
{
	return i < m->count ? &m->region[i] : NULL;
}

uint64_t gmem_size(const struct gmem *m)
{
	return m->size;
}

/* The host address of a and how many bytes its region has from there; NULL and 0 outside RAM. */
static uint8_t *find(const struct gmem *m, gpa_t a, uint64_t *left)
{
	unsigned i;

	*left = 0;
	for (i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->region[i];

		if (a >= r->base && a - r->base < r->size) {
			*left = r->size - (a - r->base);
			return r->host + (a - r->base);
		}
	}
	return NULL;
}

/* The next piece of [a, a + n) that lies in one region. */
static uint8_t *next_piece(const struct gmem *m, gpa_t a, uint64_t n, uint64_t *piece)
{
	uint8_t *host = find(m, a, piece);

	if (*piece > n)
		*piece = n;
	return host;
}

/* No region reaches the top of the address space, so the walk ends before it can wrap. */
static bool in_ram(const struct gmem *m, gpa_t a, uint64_t n)
{
	uint64_t piece;

	for (; n; n -= piece, a += piece) {
		if (!next_piece(m, a, n, &piece))
			return false;
	}
	return true;
}

int gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t n)
{
	uint8_t *to = dst;
	const uint8_t *host;
	uint64_t piece;

	if (!in_ram(m, a, n))
		return -EFAULT;
	for (; n; n -= piece, a += piece, to += piece) {
		host = next_piece(m, a, n, &piece);
		memcpy(to, host, piece);
	}
	return 0;
}

int gmem_write(struct gmem *m, gpa_t a, const void *src, size_t n)
{
	const uint8_t *from = src;
	uint8_t *host;
	uint64_t piece;

	if (!in_ram(m, a, n))
		return -EFAULT;
	for (; n; n -= piece, a += piece, from += piece) {
		host = next_piece(m, a, n, &piece);
		memcpy(host, from, piece);
	}
	return 0;
}

int gmem_zero(struct gmem *m, gpa_t a, uint64_t n)
{
	uint64_t piece;
	uint8_t *host;

	if (!in_ram(m, a, n))
		return -EFAULT;
	for (; n; n -= piece, a += piece) {
		host = next_piece(m, a, n, &piece);
		memset(host, 0, piece);
	}
	return 0;
}

void *gmem_pointer(const struct gmem *m, gpa_t a, uint64_t n)
{
	uint64_t left;
	uint8_t *host = find(m, a, &left);

	return host && n <= left ? host : NULL;
}

int gmem_iov(const struct gmem *m, gpa_t a, uint64_t n, struct iovec *iov, unsigned max,
	     unsigned *count)
{
	unsigned used = *count;
	uint64_t piece;
	uint8_t *host;

	for (; n; n -= piece, a += piece) {
		host = next_piece(m, a, n, &piece);
		if (!host)
			return -EFAULT;
		if (used == max)
			return -E2BIG;
		iov[used++] = (struct iovec){host, piece};
	}
	*count = used;
	return 0;
}

int gmem_discard(struct gmem *m)
{
	if (map_anonymous(m->host, m->size) == MAP_FAILED)
		return -errno;
	advise(m->host, m->size);
	return 0;
}
