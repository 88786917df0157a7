/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets that have a path.
 *
 * Theory of operation: a socket's path outlives its process. One that refuses connections has no
 * process behind it, unix(7), and may be replaced; any other file, and any other socket, is left
 * alone. At the end the path is removed only if it is still ours, by its inode: somebody may have
 * taken it over meanwhile.
 */
#include "core/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool unix_socket_address(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (!path || !path[0] || strlen(path) > UNIX_PATH_MAX)
		return false;
	memcpy(a->sun_path, path, strlen(path));
	return true;
}

/* As unix_socket_look(), of a socket that is there. */
static int look_behind(const struct sockaddr_un *a, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)a, sizeof(*a)) ? errno : 0;
	close(fd);
	switch (err) {
	case ECONNREFUSED:
		return 1;
	case ENOENT:
		return 0;
	case 0:
	case EAGAIN: /* its queue is full */
		return -EADDRINUSE;
	default: /* a datagram socket may refuse all but its own peer */
		return type == SOCK_DGRAM ? -EADDRINUSE : -err;
	}
}

int unix_socket_look(const struct sockaddr_un *a, int type)
{
	struct stat st;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	return S_ISSOCK(st.st_mode) ? look_behind(a, type) : -ENOTSOCK;
}

int unix_socket_bind(struct unix_socket *s, int fd, int type)
{
	int err = unix_socket_look(&s->address, type);

	if (err < 0)
		return err;
	if (err)
		unlink(s->address.sun_path);
	if (bind(fd, (const struct sockaddr *)&s->address, sizeof(s->address)))
		return -errno;
	if (!lstat(s->address.sun_path, &s->made))
		return 0;
	err = -errno;
	unlink(s->address.sun_path);
	return err;
}

void unix_socket_remove(const struct unix_socket *s)
{
	struct stat now;

	if (s->made.st_ino && !lstat(s->address.sun_path, &now) && now.st_ino == s->made.st_ino &&
	    now.st_dev == s->made.st_dev)
		unlink(s->address.sun_path);
}

const char *unix_socket_error(int err, int type)
{
	if (err == -ENOTSOCK)
		return "exists and is not a socket";
	if (err == -EADDRINUSE)
		return type == SOCK_DGRAM ? "another process has this socket"
					  : "another process listens on it";
	return strerror(-err);
}
