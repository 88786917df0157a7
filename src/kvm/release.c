// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ends a VM without waiting for it.
 *
 * Theory of operation: closing a VM's last descriptor makes the kernel wait for several grace
 * periods of RCU, 30 to 40 ms in all, in which nothing is done; the user's shell would wait with
 * it. Whoever holds the last reference waits. So the descriptor is registered with an io_uring that
 * is never used: that ring lives until the process is gone, and its files are let go by one of the
 * kernel's own workers afterwards (io_uring_register(2), IORING_REGISTER_FILES). Where there is no
 * io_uring, the wait is ours as ever.
 */
#include "kvm/kvm_internal.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

void vm_release_descriptor(int fd)
{
	struct io_uring_params params = {.flags = 0};
	long ring = syscall(SYS_io_uring_setup, 1, &params);

	if (ring >= 0 && syscall(SYS_io_uring_register, (int)ring, IORING_REGISTER_FILES, &fd, 1))
		close((int)ring);
	/* A ring that took it stays open until the process ends: that is its purpose. */
	close(fd);
}
