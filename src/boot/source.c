// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where kernels and initrds come from: files, and memory that files were unpacked to.
 *
 * Theory of operation: a file is read with pread(2) only, at most once per byte, and never mapped:
 * a user who cuts a mapped file short would take the monitor down with SIGBUS. Its size is taken
 * once; when a read comes out short the file was changed meanwhile, and the load is refused.
 */
#include "boot/loader.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int source_open(struct source *s, const char *path, int fd, const char *field, struct stat *st,
		struct refusal *why)
{
	if (fstat(fd, st) < 0)
		return refuse_errno(why, errno, path, field, "cannot be examined");
	if (!S_ISREG(st->st_mode))
		return refuse(why, STATUS_NO_INPUT, path, field, "not a regular file");
	if (st->st_size == 0)
		return refuse(why, STATUS_DATA, path, field, "the file is empty");
	*s = (struct source){.path = path, .fd = fd, .size = (uint64_t)st->st_size};
	return 0;
}

static int read_file(const struct source *s, uint64_t offset, uint8_t *dst, uint64_t n,
		     const char *field, struct refusal *why)
{
	while (n > 0) {
		ssize_t got = pread(s->fd, dst, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse(why, STATUS_IO, s->path, field, "cannot be read: %s",
				      strerror(errno));
		if (got == 0)
			return refuse(why, STATUS_DATA, s->path, field,
				      "the file became shorter while it was read");
		dst += got;
		offset += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return 0;
}

int source_read(const struct source *s, uint64_t offset, void *dst, uint64_t n, const char *field,
		struct refusal *why)
{
	if (offset > s->size || n > s->size - offset)
		return refuse(why, STATUS_DATA, s->path, field,
			      "bytes %#llx to %#llx are beyond the end of the file (%#llx)",
			      (unsigned long long)offset, (unsigned long long)offset + n,
			      (unsigned long long)s->size);
	if (!s->data)
		return read_file(s, offset, dst, n, field, why);
	if (offset > s->present || n > s->present - offset)
		return refuse(why, STATUS_DATA, s->path, field, "not unpacked so far");
	memcpy(dst, s->data + offset, n);
	return 0;
}

int scratch_alloc(struct scratch *s, uint64_t size, const char *path, struct refusal *why)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return refuse(why, STATUS_HOST, path, "kernel", "no %llu bytes of memory: %s",
			      (unsigned long long)size, strerror(errno));
	madvise(p, size, MADV_HUGEPAGE);
	*s = (struct scratch){.data = p, .size = size};
	return 0;
}

void scratch_free(struct scratch *s)
{
	if (s->data)
		munmap(s->data, s->size);
	*s = (struct scratch){.data = NULL};
}
