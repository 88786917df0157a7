// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening files, and transfers that their caller waits for.
 *
 * What the modes are, as open(2) flags: none and directsync O_DIRECT; writethrough and directsync
 * make each write durable, which is a flag of the write and not of the file (RWF_DSYNC, Linux 4.7),
 * so that a format can write its metadata without it.
 */
#include "block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELD      "--disk"
#define NOT_A_DISK "is neither a file nor a block device"

/* The smallest alignment that a direct read works with. 0: none does. */
static uint32_t probe_alignment(int fd)
{
	static char buffer[FILE_ALIGN_MAX] __attribute__((aligned(FILE_ALIGN_MAX)));
	uint32_t n;

	for (n = BLOCK_SECTOR; n <= FILE_ALIGN_MAX; n *= 2) {
		/* At an address that is aligned no better than that. */
		if (pread(fd, buffer + (n < sizeof(buffer) ? n : 0), n, 0) >= 0)
			return n;
		if (errno != EINVAL)
			break;
	}
	return 0;
}

static int measure(struct file *f, struct refusal *why)
{
	struct stat st;
	unsigned bytes;
	int sector;

	if (fstat(f->fd, &st) < 0)
		return refuse_errno(why, errno, FIELD, f->path, NULL);
	f->physical = 4096;
	if (S_ISBLK(st.st_mode)) {
		f->block_device = true;
		if (ioctl(f->fd, BLKGETSIZE64, &f->size) < 0 ||
		    ioctl(f->fd, BLKSSZGET, &sector) < 0)
			return refuse_errno(why, errno, FIELD, f->path, "size");
		if (ioctl(f->fd, BLKPBSZGET, &bytes) == 0 && bytes >= BLOCK_SECTOR &&
		    (bytes & (bytes - 1)) == 0)
			f->physical = bytes;
	} else if (S_ISREG(st.st_mode)) {
		f->size = (uint64_t)st.st_size;
	} else {
		return refuse(why, STATUS_NO_INPUT, FIELD, f->path, NOT_A_DISK);
	}
	f->alignment = 1;
	if (!f->direct)
		return 0;
	f->alignment = f->size || f->block_device ? probe_alignment(f->fd) : FILE_ALIGN_MAX;
	if (!f->alignment)
		return refuse(why, STATUS_UNAVAILABLE, FIELD, f->path,
			      "direct I/O does not work on it; use cache=writeback");
	return 0;
}

static int open_fd(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static int set_up_bounces(struct file *f)
{
	if (!f->direct)
		return 0;
	f->bounce_memory = mmap(NULL, (size_t)FILE_BOUNCES * FILE_BOUNCE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->bounce_memory == MAP_FAILED) {
		f->bounce_memory = NULL;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < FILE_BOUNCES; i++)
		f->bounce[i].buffer = f->bounce_memory + (size_t)i * FILE_BOUNCE;
	return 0;
}

static struct file *new_file(const char *path, struct engine *e)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fd = -1;
	f->engine = e;
	f->waiting_end = &f->waiting;
	f->path = strdup(path);
	if (!f->path) {
		free(f);
		return NULL;
	}
	return f;
}

int file_open(const char *path, bool writable, enum block_cache cache, struct engine *e,
	      struct file **out, struct refusal *why)
{
	struct file *f = new_file(path, e);
	int flags = writable ? O_RDWR : O_RDONLY;

	if (!f)
		return refuse_errno(why, ENOMEM, FIELD, path, NULL);
	f->writable = writable;
	f->unsafe = cache == BLOCK_CACHE_UNSAFE;
	f->direct = cache == BLOCK_CACHE_NONE || cache == BLOCK_CACHE_DIRECTSYNC;
	f->fd = open_fd(path, flags | (f->direct ? O_DIRECT : 0));
	if (f->fd < 0 && errno == EINVAL && f->direct)
		refuse(why, STATUS_UNAVAILABLE, FIELD, path,
		       "its file system has no direct I/O; use cache=writeback");
	else if (f->fd < 0 && errno == EISDIR)
		refuse(why, STATUS_NO_INPUT, FIELD, path, NOT_A_DISK);
	else if (f->fd < 0)
		refuse_errno(why, errno, FIELD, path, NULL);
	else if (file_lock(f->fd, path, writable, why) == 0 && measure(f, why) == 0) {
		if (set_up_bounces(f) == 0) {
			*out = f;
			return 0;
		}
		refuse_errno(why, ENOMEM, FIELD, path, NULL);
	}
	file_close(f);
	return -1;
}

/* Without a name from the start, or where the file system cannot do that, at once after. */
static int open_nameless(const char *folder)
{
	char path[PATH_MAX];
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR) ||
	    (size_t)snprintf(path, sizeof(path), "%s/lodge-XXXXXX", folder) >= sizeof(path))
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

int file_open_temporary(struct engine *e, uint64_t size, struct file **out, struct refusal *why)
{
	const char *folder = getenv("TMPDIR");
	struct file *f;

	if (!folder || !*folder)
		folder = "/var/tmp";
	f = new_file(folder, e);
	if (!f)
		return refuse_errno(why, ENOMEM, FIELD, folder, NULL);
	f->writable = true;
	f->unsafe = true;
	f->alignment = 1;
	f->physical = 4096;
	f->size = size;
	f->fd = open_nameless(folder);
	if (f->fd < 0 || ftruncate(f->fd, (off_t)size) < 0) {
		refuse_errno(why, errno, FIELD, folder, "temporary file");
		file_close(f);
		return -1;
	}
	*out = f;
	return 0;
}

void file_close(struct file *f)
{
	if (!f)
		return;
	if (f->fd >= 0) {
		engine_forget(f->engine, f->fd);
		file_unlock(f->fd);
		close(f->fd);
	}
	if (f->bounce_memory)
		munmap(f->bounce_memory, (size_t)FILE_BOUNCES * FILE_BOUNCE);
	free(f->path);
	free(f);
}

/* --- transfers that the caller waits for --- */

static int64_t run(struct file *f, struct io *io)
{
	unsigned again = 0;
	int64_t result;

	do
		result = engine_run(f->engine, io);
	while (file_is_to_try_again(result, &again));
	return result;
}

/* Block by block, through one of our own: rare, and small. */
static int read_misaligned(struct file *f, uint64_t offset, char *to, size_t n)
{
	char block[FILE_ALIGN_MAX] __attribute__((aligned(FILE_ALIGN_MAX)));
	uint64_t skip = offset & (f->alignment - 1);
	size_t part;
	int err = 0;

	for (; n && !err; offset += part, to += part, n -= part, skip = 0) {
		part = f->alignment - skip < n ? f->alignment - skip : n;
		err = file_read_now(f, offset - skip, block, f->alignment, false);
		memcpy(to, block + skip, part);
	}
	return err;
}

int file_read_now(struct file *f, uint64_t offset, void *buffer, size_t n, bool whole)
{
	char *to = buffer;
	size_t moved = 0;
	int64_t got = 1;

	if ((offset | n | (uintptr_t)buffer) & (f->alignment - 1) && !whole)
		return read_misaligned(f, offset, to, n);
	while (moved < n && got) {
		struct iovec iov = {to + moved, n - moved};
		struct io io = {.kind = IO_READ,
				.fd = f->fd,
				.offset = offset + moved,
				.length = n - moved,
				.iov = &iov,
				.iov_count = 1};

		got = run(f, &io);
		if (got < 0)
			return (int)got;
		moved += (size_t)got;
		if (moved & (f->alignment - 1))
			break; /* only the file's end cuts a direct read between blocks */
	}
	if (moved < n && whole)
		return -ENODATA;
	memset(to + moved, 0, n - moved);
	return 0;
}

int file_write_now(struct file *f, uint64_t offset, const void *buffer, size_t n)
{
	size_t moved = 0;

	while (moved < n) {
		struct iovec iov = {(char *)buffer + moved, n - moved};
		struct io io = {.kind = IO_WRITE,
				.fd = f->fd,
				.offset = offset + moved,
				.length = n - moved,
				.iov = &iov,
				.iov_count = 1};
		int64_t put = run(f, &io);

		if (put < 0)
			return (int)put;
		if (put == 0)
			return -EIO;
		moved += (size_t)put;
	}
	return 0;
}

int file_sync_now(struct file *f)
{
	struct io io = {.kind = IO_SYNC, .fd = f->fd};
	int err;

	if (f->unsafe)
		return 0;
	if (atomic_load(&f->sync_failed))
		return -EIO;
	err = (int)run(f, &io);
	if (err)
		atomic_store(&f->sync_failed, true);
	return !err && atomic_load(&f->sync_failed) ? -EIO : err;
}

int file_zero_now(struct file *f, uint64_t offset, uint64_t length, bool punch)
{
	static const char zeroes[FILE_ZERO_BYTES] __attribute__((aligned(FILE_ALIGN_MAX)));
	atomic_bool *cannot = punch ? &f->no_punch : &f->no_zero;
	struct io io = {
	    .kind = punch ? IO_PUNCH : IO_ZERO, .fd = f->fd, .offset = offset, .length = length};
	int err = atomic_load(cannot) ? -EOPNOTSUPP : (int)run(f, &io);
	uint64_t n;

	if (err != -EOPNOTSUPP)
		return err;
	atomic_store(cannot, true);
	for (err = 0; length && !err; offset += n, length -= n) {
		n = length < sizeof(zeroes) ? length : sizeof(zeroes);
		err = file_write_now(f, offset, zeroes, n);
	}
	return err;
}
