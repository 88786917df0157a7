/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of unix sockets: free, left behind, in use, not a socket; streams and datagrams. */
#include "core/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static int stream = SOCK_STREAM, datagram = SOCK_DGRAM; /* the state of a test: its type */
static char folder[32];
static struct unix_socket at;

static int setup(void **state)
{
	char path[64];

	(void)state;
	strcpy(folder, "/tmp/lodge-unix.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	memset(&at, 0, sizeof(at));
	assert_true(unix_socket_address(&at.address, path));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(at.address.sun_path);
	return rmdir(folder);
}

static int new_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	return fd;
}

/* A socket of somebody else at the path. */
static int others(int type)
{
	int fd = new_socket(type);

	assert_int_equal(bind(fd, (struct sockaddr *)&at.address, sizeof(at.address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static void test_address(void **state)
{
	char path[UNIX_PATH_MAX + 2];
	struct sockaddr_un a;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[UNIX_PATH_MAX + 1] = '\0';
	assert_false(unix_socket_address(&a, NULL));
	assert_false(unix_socket_address(&a, ""));
	assert_false(unix_socket_address(&a, path));
	path[UNIX_PATH_MAX] = '\0';
	assert_true(unix_socket_address(&a, path));
	assert_int_equal(a.sun_family, AF_UNIX);
	assert_string_equal(a.sun_path, path);
	assert_true(unix_socket_address(&a, "b"));
	assert_string_equal(a.sun_path, "b");
}

static void test_free_path(void **state)
{
	const int type = *(int *)*state;
	int fd = new_socket(type);

	assert_int_equal(unix_socket_look(&at.address, type), 0);
	assert_int_equal(unix_socket_bind(&at, fd, type), 0);
	assert_int_equal(access(at.address.sun_path, F_OK), 0);
	unix_socket_remove(&at);
	assert_int_equal(access(at.address.sun_path, F_OK), -1);
	unix_socket_remove(&at); /* it is gone already */
	close(fd);
}

/* Looking leaves it there; binding takes its place. */
static void test_left_behind(void **state)
{
	const int type = *(int *)*state;
	int fd = new_socket(type);

	close(others(type));
	assert_int_equal(unix_socket_look(&at.address, type), 1);
	assert_int_equal(unix_socket_look(&at.address, type), 1);
	assert_int_equal(unix_socket_bind(&at, fd, type), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(unix_socket_look(&at.address, type), -EADDRINUSE);
	unix_socket_remove(&at);
	close(fd);
}

static void test_in_use(void **state)
{
	const int type = *(int *)*state;
	int other = others(type), fd = new_socket(type);

	assert_int_equal(unix_socket_look(&at.address, type), -EADDRINUSE);
	assert_int_equal(unix_socket_bind(&at, fd, type), -EADDRINUSE);
	unix_socket_remove(&at); /* not ours */
	assert_int_equal(access(at.address.sun_path, F_OK), 0);
	close(fd);
	close(other);
}

static void test_full_queue(void **state)
{
	int other = others(SOCK_STREAM), first = new_socket(SOCK_STREAM);

	(void)state;
	assert_int_equal(connect(first, (struct sockaddr *)&at.address, sizeof(at.address)), 0);
	assert_int_equal(unix_socket_look(&at.address, SOCK_STREAM), -EADDRINUSE);
	close(first);
	close(other);
}

/* It lets in nobody but its peer. */
static void test_socket_with_a_peer(void **state)
{
	int other = others(SOCK_DGRAM), peer = new_socket(SOCK_DGRAM);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(sa_family_t); /* the kernel finds a name, unix(7) */

	(void)state;
	assert_int_equal(bind(peer, (struct sockaddr *)&a, size), 0);
	size = sizeof(a);
	assert_int_equal(getsockname(peer, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(connect(other, (struct sockaddr *)&a, size), 0);
	assert_int_equal(unix_socket_look(&at.address, SOCK_DGRAM), -EADDRINUSE);
	close(peer);
	close(other);
}

/* A live socket of the other type. */
static void test_other_type(void **state)
{
	const int type = *(int *)*state;
	int other = others(type == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM);

	assert_int_equal(unix_socket_look(&at.address, type),
			 type == SOCK_STREAM ? -EPROTOTYPE : -EADDRINUSE);
	close(other);
}

static void test_not_a_socket(void **state)
{
	const int type = *(int *)*state;
	int fd = new_socket(type);

	close(open(at.address.sun_path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(unix_socket_look(&at.address, type), -ENOTSOCK);
	assert_int_equal(unix_socket_bind(&at, fd, type), -ENOTSOCK);
	assert_int_equal(access(at.address.sun_path, F_OK), 0);
	close(fd);
}

static void test_no_folder(void **state)
{
	struct unix_socket none = {0};
	const int type = *(int *)*state;
	int fd = new_socket(type);

	assert_true(unix_socket_address(&none.address, "/lodge-none/s"));
	assert_int_equal(unix_socket_look(&none.address, type), 0);
	assert_int_equal(unix_socket_bind(&none, fd, type), -ENOENT);
	assert_true(unix_socket_address(&none.address, "/dev/null/s"));
	assert_int_equal(unix_socket_look(&none.address, type), -ENOTDIR);
	close(fd);
}

/* What a successor made at the path is not ours to remove. */
static void test_successor(void **state)
{
	const int type = *(int *)*state;
	int fd = new_socket(type);

	assert_int_equal(unix_socket_bind(&at, fd, type), 0);
	unlink(at.address.sun_path);
	close(others(type));
	unix_socket_remove(&at);
	assert_int_equal(access(at.address.sun_path, F_OK), 0);
	close(fd);
}

static void test_errors(void **state)
{
	const int type = *(int *)*state;

	assert_string_equal(unix_socket_error(-ENOTSOCK, type), "exists and is not a socket");
	assert_string_equal(unix_socket_error(-EADDRINUSE, type),
			    type == SOCK_STREAM ? "another process listens on it"
						: "another process has this socket");
	assert_string_equal(unix_socket_error(-EACCES, type), strerror(EACCES));
}

#define TEST(type, name) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, &(type))
#define BOTH(name)       TEST(stream, name), TEST(datagram, name)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_address),
	    BOTH(test_free_path),
	    BOTH(test_left_behind),
	    BOTH(test_in_use),
	    TEST(stream, test_full_queue),
	    TEST(datagram, test_socket_with_a_peer),
	    BOTH(test_other_type),
	    BOTH(test_not_a_socket),
	    BOTH(test_no_folder),
	    BOTH(test_successor),
	    BOTH(test_errors),
	};

	return cmocka_run_group_tests_name("unix_socket", tests, NULL, NULL);
}
