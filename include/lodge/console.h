/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console as the machine sees it: opens what stands behind its ports, watches what the
 * guest says there, and looks after the user's terminal.
 *
 * chr.h is the side of the port. Unless said otherwise, everything here is called on the main
 * loop's thread, or while the loop does not run.
 */
#ifndef LODGE_CONSOLE_H
#define LODGE_CONSOLE_H

#include <lodge/chr.h>
#include <lodge/config.h>
#include <lodge/loop.h>
#include <lodge/status.h>
#include <stdbool.h>

/*
 * Opens what cfg names. name ("serial0") is what messages call it, copied. A file is created but
 * not cut short, a socket listens, a pty exists; the terminal is touched and anything is said only
 * once the loop runs. SERIAL_NONE gives *out NULL. 0, or -1 with *why: 64, 71, 73, 77.
 */
int chr_open(const struct config_serial *cfg, const char *name, struct loop *loop, struct chr **out,
	     struct refusal *why);

/* As chr_open() would refuse, leaving nothing behind: for --dry-run. */
int chr_check(const struct config_serial *cfg, const char *name, struct refusal *why);

/*
 * Hands over what the reader can still take within a second, gives the terminal back, removes the
 * socket. vCPUs and the loop have stopped. NULL is allowed.
 */
void chr_close(struct chr *c);
void chr_finish(struct chr *c); /* the same, but *c stays: a vCPU may still write, to nobody */

/* fn is called when the user typed Ctrl-a x. */
void chr_on_quit(struct chr *c, void (*fn)(void *arg), void *arg);

struct chr_stats {
	uint64_t written;        /* bytes that the guest wrote */
	uint64_t lost;           /* of them, never handed to a reader */
	uint64_t received;       /* bytes handed to the guest */
	uint64_t received_lost;  /* typed, but dropped as the guest took nothing for seconds */
	uint64_t first_write_ns; /* on the loop's clock; 0: nothing yet */
};

void chr_stats(struct chr *c, struct chr_stats *out); /* any thread; NULL gives zeroes */

/*
 * What the guest said. An observer sees each byte once, before any is dropped, on the thread that
 * writes; it keeps fixed memory and does a fixed amount of work per byte. Its events are called on
 * the main loop. All of it is the guest's word: whoever can write to the console can say it.
 */
struct observer;

struct observer_panic {
	const char *text; /* what follows "Kernel panic - not syncing: ", control characters out */
	bool printk_prefix; /* the line carried the kernel's time or level */
	uint64_t at_ns;     /* on the loop's clock */
};

struct observer_events {
	void *arg;
	/* Each may be NULL. Times are on the loop's clock. */
	void (*panic)(void *arg, const struct observer_panic *p); /* once a reset */
	void (*panic_end)(void *arg);             /* "---[ end Kernel panic": nothing follows */
	void (*until)(void *arg, uint64_t at_ns); /* the text of --until; once */
	void (*stage)(void *arg, enum boot_stage s, uint64_t at_ns); /* once a reset */
};

struct observer_params {
	struct loop *loop;
	struct observer_events events;
	const char
	    *until_text;      /* matched anywhere, with and without escape sequences; NULL: none */
	const char *log_path; /* made afresh: lines with times since start_ns; NULL: none */
	const char *log_name; /* what messages call it; outlives the observer */
	uint64_t start_ns;    /* on the loop's clock */
};

/* 0, or -1 with *why: 73 or 77 for the log, 71. */
int observer_create(const struct observer_params *p, struct observer **out, struct refusal *why);

/* From now on o sees what the port writes. Before the first vCPU runs; o outlives c. */
void chr_observe(struct chr *c, struct observer *o);

/*
 * Calls the events for all that was seen so far, now instead of at the loop's next turn: what the
 * guest said before it asked for something comes before what it asked for. NULL is allowed.
 */
void observer_tell_now(struct observer *o);

/* Sets what console.log calls 0, if known only after the observer was made. Before vCPUs run. */
void observer_start_at(struct observer *o, uint64_t start_ns);

#define OBSERVER_LINES      32u
#define OBSERVER_LINE_BYTES 256u

/*
 * Calls fn for each of the last lines, oldest first, escape sequences and control characters taken
 * out, cut at OBSERVER_LINE_BYTES - 1; the last may be unfinished. Any thread.
 */
void observer_each_line(struct observer *o, void (*fn)(const char *line, void *arg), void *arg);

/* The text of the panic since the last reset, or "". Any thread. */
void observer_panic_text(struct observer *o, char *out, size_t size);

/* When stage s was seen, on the loop's clock; 0: not yet. Any thread. */
uint64_t observer_stage_ns(struct observer *o, enum boot_stage s);

/* The guest was reset: all but `until` starts afresh, the log says so. vCPUs are stopped. */
void observer_reset(struct observer *o);

/* Writes the log out (within a second). The loop has stopped, the chr is closed. NULL is allowed.
 */
void observer_destroy(struct observer *o);
void observer_finish(struct observer *o); /* the same, but *o stays: it may still be fed */

/*
 * Descriptors 0 to 2 that were closed at start are opened on /dev/null, so that no other file gets
 * their number. First thing in main(). Signal dispositions of SIGPIPE and SIGXFSZ become "ignored".
 */
void stdio_secure(void);

/* Gives the terminal back as it was found. Any thread, any time, signal handlers too. */
void terminal_restore(void);

/* Of the terminal on stdin or stdout. false: there is none, or it has no size. Any thread. */
bool terminal_size(unsigned *rows, unsigned *columns);

#endif
