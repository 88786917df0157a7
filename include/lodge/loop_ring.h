/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop's io_uring(7): submissions that go to the kernel in the call in which the loop sleeps.
 *
 * A loop that has a ring sleeps in io_uring_enter(2) instead of epoll. That one call submits what
 * was put into the ring since the last one, and waits for completions and descriptors alike, so
 * work that is done by io_uring costs no system call of its own. All who use the loop share its
 * ring. The fields of a submission are liburing's business.
 */
#ifndef LODGE_LOOP_RING_H
#define LODGE_LOOP_RING_H

#include <lodge/loop.h>

struct io_uring_sqe;

/* What a submission's user_data points to. The user's until done is called. */
struct ring_op {
	void (*done)(struct ring_op *op, int result); /* the loop's thread; as cqe->res */
};

/*
 * Gives the loop a ring, unless it has one. The loop does not run. 0 or -errno; -ENOSYS: the kernel
 * has io_uring, but not what a loop needs (Linux 5.13), nor the operations that are `needed`.
 */
int loop_ring_open(struct loop *l, const int *needed, unsigned count);

/*
 * A submission to be filled, user_data included; the kernel gets it before the loop sleeps next.
 * NULL: the kernel takes none now, and will when something has completed. The loop's thread.
 */
struct io_uring_sqe *loop_ring_sqe(struct loop *l);

/*
 * The number of fd among the files that are registered with the ring, which spares the kernel a
 * reference for each use (IOSQE_FIXED_FILE); registers it first. -1: there is no room. Before fd is
 * closed, it is forgotten. The loop's thread.
 */
int loop_ring_file(struct loop *l, int fd);
void loop_ring_forget_file(struct loop *l, int fd);

#endif
