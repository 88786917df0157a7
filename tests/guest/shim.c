// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host whose KVM is missing, old or broken, for tests/guest/run: preloaded into the monitor
 * (LD_PRELOAD), it answers chosen calls itself and hands all others on.
 *
 * KVM_SHIM holds one rule: WHAT ANSWER [AFTER].
 *
 *   open ENOENT            opening /dev/kvm fails
 *   open /dev/null         something else is opened
 *   KVM_RUN EFAULT 3       from the fourth call on, this ioctl fails
 *   KVM_GET_API_VERSION 11 this ioctl gives a number
 *   KVM_CAP_IRQCHIP 0      KVM_CHECK_EXTENSION gives a number for this capability
 *   KVM_RUN SIGBUS 3       the fourth call touches a page that the host cannot give
 *   KVM_RUN stuck 3        from the fourth call on, none returns or is reached by a signal: as in a
 *                          page fault on a file whose server is gone
 *   KVM_RUN stuck/1        the same for calls of the thread vcpu/1 only
 *   disk stuck 3           from the fourth write to a disk on (aio=threads), none returns
 *   exit 255 3             from the fourth KVM_RUN on, the vCPU leaves the guest for this reason
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct named {
	const char *name;
	unsigned long number;
};

#define NAMED(x)                                                                                   \
	{                                                                                          \
#x, x                                                                              \
	}

static const struct named requests[] = {
    NAMED(KVM_GET_API_VERSION),
    NAMED(KVM_CREATE_VM),
    NAMED(KVM_GET_VCPU_MMAP_SIZE),
    NAMED(KVM_GET_SUPPORTED_CPUID),
    NAMED(KVM_SET_IDENTITY_MAP_ADDR),
    NAMED(KVM_SET_TSS_ADDR),
    NAMED(KVM_SET_USER_MEMORY_REGION),
    NAMED(KVM_CREATE_IRQCHIP),
    NAMED(KVM_CREATE_PIT2),
    NAMED(KVM_REGISTER_COALESCED_MMIO),
    NAMED(KVM_CREATE_VCPU),
    NAMED(KVM_SET_CPUID2),
    NAMED(KVM_SET_MSRS),
    NAMED(KVM_SET_SREGS),
    NAMED(KVM_SET_REGS),
    NAMED(KVM_SET_LAPIC),
    NAMED(KVM_RUN),
};

static const struct named capabilities[] = {
    NAMED(KVM_CAP_USER_MEMORY),
    NAMED(KVM_CAP_IRQCHIP),
    NAMED(KVM_CAP_PIT2),
    NAMED(KVM_CAP_EXT_CPUID),
    NAMED(KVM_CAP_IMMEDIATE_EXIT),
    NAMED(KVM_CAP_MP_STATE),
    NAMED(KVM_CAP_SET_TSS_ADDR),
    NAMED(KVM_CAP_SET_IDENTITY_MAP_ADDR),
    NAMED(KVM_CAP_COALESCED_MMIO),
    NAMED(KVM_CAP_COALESCED_PIO),
    NAMED(KVM_CAP_TSC_DEADLINE_TIMER),
    NAMED(KVM_CAP_IRQ_ROUTING),
    NAMED(KVM_CAP_SIGNAL_MSI),
    NAMED(KVM_CAP_IOEVENTFD),
    NAMED(KVM_CAP_IRQFD),
};

static const struct named errors[] = {
    NAMED(ENOENT), NAMED(EACCES), NAMED(EPERM),  NAMED(EBUSY),  NAMED(ENOMEM),
    NAMED(E2BIG),  NAMED(EFAULT), NAMED(EIO),    NAMED(EINVAL), NAMED(ENODEV),
    NAMED(EMFILE), NAMED(ENXIO),  NAMED(EAGAIN), NAMED(EINTR),
};

static struct {
	bool read, is_open, is_exit, is_capability, is_request, is_error, is_lost, is_stuck,
	    is_disk;
	unsigned long number; /* of the request or capability */
	char path[64];
	long value; /* what is given; with is_error, errno */
	int after;
} rule;

static atomic_int calls;

static bool find(const struct named *list, size_t count, const char *name, unsigned long *number)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(list[i].name, name)) {
			*number = list[i].number;
			return true;
		}
	}
	return false;
}

#define FIND(list, name, number) find(list, sizeof(list) / sizeof((list)[0]), name, number)

static void read_rule(void)
{
	const char *text = getenv("KVM_SHIM");
	char what[64], answer[64];
	unsigned long error = 0;

	if (rule.read)
		return;
	rule.read = true;
	if (!text || sscanf(text, "%63s %63s %d", what, answer, &rule.after) < 2)
		return;
	rule.is_lost = !strcmp(answer, "SIGBUS");
	rule.is_stuck = !strncmp(answer, "stuck", 5);
	rule.is_error = FIND(errors, answer, &error);
	rule.value = rule.is_error ? (long)error : strtol(answer, NULL, 0);
	memcpy(rule.path, answer, sizeof(rule.path));
	rule.is_open = !strcmp(what, "open");
	rule.is_exit = !strcmp(what, "exit");
	rule.is_disk = !strcmp(what, "disk");
	rule.is_capability = FIND(capabilities, what, &rule.number);
	rule.is_request = FIND(requests, what, &rule.number);
	if (rule.is_open || rule.is_exit || rule.is_capability || rule.is_request || rule.is_disk)
		return;
	fprintf(stderr, "shim: unknown rule: %s\n", text);
	_exit(99);
}

static int open_path(int dir, const char *path, int flags, int mode)
{
	read_rule();
	if (rule.is_open && path && !strcmp(path, "/dev/kvm")) {
		if (rule.is_error) {
			errno = (int)rule.value;
			return -1;
		}
		path = rule.path;
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define OPEN_MODE(mode)                                                                            \
	do {                                                                                       \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, flags);                                                             \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;                      \
		va_end(args);                                                                      \
	} while (0)

int open(const char *path, int flags, ...)
{
	int mode;

	OPEN_MODE(mode);
	return open_path(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	int mode;

	OPEN_MODE(mode);
	return open_path(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	int mode;

	OPEN_MODE(mode);
	return open_path(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	int mode;

	OPEN_MODE(mode);
	return open_path(dir, path, flags, mode);
}

/* The thread's name is "vcpu" and what follows "stuck". */
static bool is_stuck_here(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return !rule.path[5] || (!strncmp(name, "vcpu", 4) && !strcmp(name + 4, rule.path + 5));
}

static bool is_due(void)
{
	if (rule.is_stuck && !is_stuck_here())
		return false;
	return atomic_fetch_add(&calls, 1) >= rule.after;
}

/* A page of a file that is shorter: mmap(2), SIGBUS. */
static void touch_lost_page(void)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);
	volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (page != MAP_FAILED)
		(void)page[0];
}

static void hang(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (;;)
		pause();
}

/* The vCPU's shared page, mapped once more, takes the reason. */
static int leave_guest(int vcpu)
{
	struct kvm_run *run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	if (run == MAP_FAILED)
		return -1;
	run->exit_reason = (unsigned)rule.value;
	memset(&run->hw, 0, 64);
	munmap(run, 4096);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	read_rule();
	if (rule.is_exit && request == KVM_RUN && is_due())
		return leave_guest(fd);
	if ((rule.is_request && request == rule.number && is_due()) ||
	    (rule.is_capability && request == KVM_CHECK_EXTENSION &&
	     (unsigned long)argument == rule.number)) {
		if (rule.is_lost)
			touch_lost_page();
		if (rule.is_stuck)
			hang();
		if (!rule.is_error)
			return (int)rule.value;
		errno = (int)rule.value;
		return -1;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
	static ssize_t (*next)(int, const struct iovec *, int, off64_t, int);

	read_rule();
	if (!next)
		next = (ssize_t(*)(int, const struct iovec *, int, off64_t, int))dlsym(
		    RTLD_NEXT, "pwritev64v2");
	while (rule.is_disk && atomic_fetch_add(&calls, 1) >= rule.after)
		pause();
	return next(fd, iov, count, offset, flags);
}
