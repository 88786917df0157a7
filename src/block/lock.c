// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks of images against a second writer.
 *
 * Theory of operation: the scheme is QEMU's, so that its tools and we refuse each other's images.
 * Each permission that a user of an image may need has a number; who uses it holds a shared lock of
 * the byte 100 + number, who does not let others use it one of the byte 200 + number. After taking
 * its locks a user looks whether anybody else holds the opposite of any. The locks are open file
 * description locks (fcntl(2), F_OFD_SETLK): they belong to the open file, and go with it however
 * the process ends. Taking before looking means that of two who start at once both may be refused,
 * but never both let in.
 *
 * io_uring gives its files back a moment after the process has ended or said that it is done with
 * them. So locks are let go by name, and who is refused tries again for a while, as the one before
 * may have been killed.
 */
#include "block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <time.h>

#define USED_BASE   100
#define DENIED_BASE 200
#define PATIENCE_MS 400
#define PAUSE_MS    10

enum permission {
	PERMISSION_READ = 1 << 0, /* what is read makes sense: nobody else writes */
	PERMISSION_WRITE = 1 << 1,
	PERMISSION_RESIZE = 1 << 3,
};

#define PERMISSION_COUNT 5

static struct flock byte_lock(int type, int at)
{
	return (struct flock){
	    .l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

static int hold(int fd, int base, unsigned permissions)
{
	for (int i = 0; i < PERMISSION_COUNT; i++) {
		struct flock l = byte_lock(F_RDLCK, base + i);

		if (permissions >> i & 1 && fcntl(fd, F_OFD_SETLK, &l) < 0)
			return -errno;
	}
	return 0;
}

/* Whether somebody else holds a lock of one of these bytes. */
static bool held_by_others(int fd, int base, unsigned permissions)
{
	for (int i = 0; i < PERMISSION_COUNT; i++) {
		struct flock l = byte_lock(F_WRLCK, base + i);

		if (permissions >> i & 1 && fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK)
			return true;
	}
	return false;
}

void file_unlock(int fd)
{
	struct flock l = byte_lock(F_UNLCK, USED_BASE);

	l.l_len = DENIED_BASE + PERMISSION_COUNT - USED_BASE;
	fcntl(fd, F_OFD_SETLK, &l);
}

/* 0, -EBUSY, or another -errno. */
static int try_lock(int fd, unsigned used, unsigned denied)
{
	int err = hold(fd, USED_BASE, used);

	if (!err)
		err = hold(fd, DENIED_BASE, denied);
	if (!err && !held_by_others(fd, DENIED_BASE, used) &&
	    !held_by_others(fd, USED_BASE, denied))
		return 0;
	file_unlock(fd);
	return !err || err == -EAGAIN || err == -EACCES ? -EBUSY : err;
}

int file_lock(int fd, const char *path, bool writable, struct refusal *why)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000l};
	unsigned denied = PERMISSION_WRITE | PERMISSION_RESIZE;
	unsigned used = PERMISSION_READ | (writable ? denied : 0);
	int err = try_lock(fd, used, denied);

	for (unsigned i = 0; err == -EBUSY && i < PATIENCE_MS / PAUSE_MS; i++) {
		nanosleep(&pause, NULL);
		err = try_lock(fd, used, denied);
	}
	if (err == -EBUSY)
		return refuse(why, STATUS_UNAVAILABLE, "--disk", path,
			      writable ? "is in use already" : "is being written already");
	/* A file system without locks: nothing to be had. */
	if (err && err != -ENOLCK && err != -EINVAL && err != -EOPNOTSUPP && err != -ENOSYS)
		return refuse_errno(why, err, "--disk", path, "lock");
	return 0;
}
