/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit statuses of the lodge command, and the one way to refuse an input.
 *
 * The numbers are a contract with scripts (docs/exit-status.md): 64 to 77 are those of
 * sysexits.h, 124 is that of timeout(1), 125 that of docker run, the rest are ours.
 *
 * Start-up code that refuses an input fills a struct refusal and returns -1; main.c prints it
 * as "lodge: SOURCE: FIELD: REASON" and ends with its status. Run-time code returns 0 or -errno
 * instead, as there the guest goes on.
 */
#ifndef LODGE_STATUS_H
#define LODGE_STATUS_H

enum exit_status {
	STATUS_OK = 0,               /* the guest powered off, or --until was reached */
	STATUS_USAGE = 64,           /* the command line is wrong */
	STATUS_DATA = 65,            /* a file's content is wrong */
	STATUS_NO_INPUT = 66,        /* an input file is missing or unreadable */
	STATUS_UNAVAILABLE = 69,     /* KVM or a device is not to be had */
	STATUS_INTERNAL = 70,        /* a mistake of our own */
	STATUS_HOST = 71,            /* the host system refused a call */
	STATUS_CANNOT_CREATE = 73,   /* an output file cannot be made */
	STATUS_IO = 74,              /* reading or writing failed */
	STATUS_PERMISSION = 77,      /* permission denied */
	STATUS_PANIC = 96,           /* the guest's kernel panicked */
	STATUS_STOP_CODE = 97,       /* Windows stopped with a code */
	STATUS_TRIPLE_FAULT = 98,    /* a vCPU shut down */
	STATUS_WATCHDOG = 99,        /* the guest's watchdog fired */
	STATUS_REBOOT = 100,         /* the guest rebooted where that was not wanted */
	STATUS_STAGE = 101,          /* ended before the stage or text of --until */
	STATUS_EXPECTATION = 102,    /* a boot test's expectation failed */
	STATUS_NOT_BOOTABLE = 103,   /* firmware found nothing to boot */
	STATUS_KVM_REFUSED = 104,    /* KVM could not run the guest's code */
	STATUS_TIMEOUT = 124,        /* --timeout was reached */
	STATUS_COMMAND_FAILED = 125, /* with a COMMAND: the monitor or the guest failed */
	STATUS_SIGNAL_BASE = 128,    /* plus the number of the signal that ended the run */
};

#define REFUSAL_TEXT_MAX 512

struct refusal {
	int status;                  /* enum exit_status; 0 while nothing was refused */
	char text[REFUSAL_TEXT_MAX]; /* one line, without "lodge: " and without a newline */
};

/*
 * Fills *r with "SOURCE: FIELD: REASON" (either of the first two may be NULL, and is then left
 * out) and returns -1. Control characters in what results are replaced by '?', so that a hostile
 * file name cannot forge a second line. The first refusal wins: a filled r stays as it is.
 *
 * int refuse(struct refusal *r, enum exit_status status, const char *source, const char *field,
 *	      const char *reason, ...);
 */
#define refuse(...) (refusal_fill(__VA_ARGS__), refusal_result())

/*
 * As refuse(), with the status that fits errno value err, of either sign (EACCES: 77, ENOENT: 66,
 * other: 71). The reason is "WHAT: text of err", or the text alone where what is NULL.
 *
 * int refuse_errno(struct refusal *r, int err, const char *source, const char *field,
 *		    const char *what);
 */
#define refuse_errno(...) (refusal_fill_errno(__VA_ARGS__), refusal_result())

void refusal_fill(struct refusal *r, enum exit_status status, const char *source, const char *field,
		  const char *reason, ...) __attribute__((format(printf, 5, 6)));
void refusal_fill_errno(struct refusal *r, int err, const char *source, const char *field,
			const char *what);

/* Here, so that compilers and analysers know the result of refuse() in each caller. */
static inline int refusal_result(void)
{
	return -1;
}

#endif
