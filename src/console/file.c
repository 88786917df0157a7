/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream into a file: what the guest writes, and nothing to read. */
/*
 * Theory of operation: a regular file is written by a thread, as its disk or its server may make a
 * write wait; terminals and FIFOs are opened O_NONBLOCK and written by the loop. A FIFO is opened
 * for reading too, so that it opens without a reader and outlives one: what the FIFO and the ring
 * can hold then waits for the next.
 *
 * The file is cut to length 0 only once the guest starts. A file that was made here and never used
 * is removed again.
 */
#include "console/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <lodge/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_FLAGS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

struct file {
	int fd; /* -1: the sink has it */
	enum sink_how how;
	bool created;
	char path[];
};

static int file_open_fd(const char *path, bool *created)
{
	struct stat st;
	int fd;

	*created = false;
	if (!stat(path, &st) && S_ISFIFO(st.st_mode))
		return open(path, O_RDWR | FILE_FLAGS);
	fd = open(path, O_WRONLY | FILE_FLAGS);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | FILE_FLAGS, 0666);
	if (fd < 0 && errno == EEXIST) /* a link to nowhere: make what it names */
		return open(path, O_WRONLY | O_CREAT | FILE_FLAGS, 0666);
	*created = fd >= 0;
	return fd;
}

static int file_open(struct chr *c, const char *path, struct refusal *why)
{
	struct file *f = calloc(1, sizeof(*f) + strlen(path) + 1);
	struct stat st;

	if (!f)
		return refuse_errno(why, ENOMEM, c->name, path, "memory");
	memcpy(f->path, path, strlen(path) + 1);
	f->fd = file_open_fd(path, &f->created);
	if (f->fd < 0 || fstat(f->fd, &st)) {
		refuse_output(why, errno, c->name, path);
		if (f->fd >= 0)
			close(f->fd);
		free(f);
		return -1;
	}
	f->how = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? SINK_THREAD : SINK_POLL;
	c->state = f;
	return 0;
}

static void file_start(struct chr *c)
{
	struct file *f = c->state;
	int err = 0;

	if (f->how == SINK_THREAD && ftruncate(f->fd, 0) && errno != EINVAL)
		err = -errno;
	if (!err)
		err = sink_attach(&c->sink, f->fd, f->how);
	if (err) {
		log_warning("%s: %s: %s; its output is dropped", c->name, f->path, strerror(-err));
		return;
	}
	f->fd = -1;
}

static void file_close(struct chr *c)
{
	struct file *f = c->state;

	if (f->fd >= 0)
		close(f->fd);
	if (f->created && !c->started)
		unlink(f->path);
	free(f);
}

static int file_check(const char *name, const char *path, struct refusal *why)
{
	struct stat st;
	char *copy;
	int err = 0;

	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			err = EISDIR;
		else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
			err = errno;
		return err ? refuse_output(why, err, name, path) : 0;
	}
	if (errno != ENOENT)
		return refuse_output(why, errno, name, path);
	copy = strdup(path);
	if (!copy)
		return refuse_errno(why, ENOMEM, name, path, "memory");
	if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS))
		err = errno;
	free(copy);
	return err ? refuse_output(why, err, name, path) : 0;
}

const struct backend backend_file = {
    .open = file_open, .start = file_start, .close = file_close, .check = file_check};
