/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets that have a path: taking it, also over from a run that died, and giving it back. */
#ifndef CORE_UNIX_SOCKET_H
#define CORE_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Bytes of a path, less its NUL. */
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

struct unix_socket {
	struct sockaddr_un address;
	struct stat made; /* what was bound there; st_ino 0: nothing */
};

/* False: path is NULL, empty or longer than UNIX_PATH_MAX. */
bool unix_socket_address(struct sockaddr_un *a, const char *path);

/*
 * Whether a socket of this type, SOCK_STREAM or SOCK_DGRAM, can be bound there: 0 nothing is there,
 * 1 a socket is that no process has any more, -ENOTSOCK another file, -EADDRINUSE a socket that a
 * process has, or another -errno. Changes nothing.
 */
int unix_socket_look(const struct sockaddr_un *a, int type);

/*
 * Binds fd to s->address, in place of a socket that no process has any more. 0, or -errno as from
 * unix_socket_look(); nothing was made then.
 */
int unix_socket_bind(struct unix_socket *s, int fd, int type);

/* Removes the path if what is there is still what was bound. Before fd is closed. */
void unix_socket_remove(const struct unix_socket *s);

/* The reason for a refusal: of an error of unix_socket_look() or unix_socket_bind(). */
const char *unix_socket_error(int err, int type);

#endif
