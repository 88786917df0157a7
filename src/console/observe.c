/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches what the guest says on its console. */
/*
 * Theory of operation: observer_feed() runs on the thread that writes, under the observer's lock,
 * and before the ring can drop a byte; so each byte is seen once, however slow readers are. Per
 * byte it takes control sequences out, feeds a handful of matchers (match.c), appends to the
 * current line and, for a report, to console.log, whose sink writes from a thread. Nothing grows: a
 * line without an end is cut, the log has a size that it does not pass.
 *
 * What was found is noted, and a timer that is due at once tells it on the loop's thread.
 *
 * Linux's words (kernel/panic.c, init/main.c) count where a line begins, or where the kernel's own
 * time stamp stands before them: a panic at a login prompt begins in the middle of a line.
 */
#include "console/match.h"
#include "console/sink.h"
#include "console/stream.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lodge/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BYTES_MAX (64ull << 20)
#define TAIL_BYTES    128u /* power of two, longer than each word and a kernel's prefix */
#define OUT_BYTES     512u

enum found { FOUND_UNTIL, FOUND_PANIC, FOUND_PANIC_END, FOUND_KERNEL, FOUND_INIT, FOUND_READY };
#define FOUND_COUNT 6u

/* Where a word counts. */
enum place { ANYWHERE, LINE_START, AFTER_RUN };

static const struct word {
	const char *text;
	enum found found;
	enum place place;
} words[] = {
    {"Kernel panic - not syncing: ", FOUND_PANIC, LINE_START},
    {"---[ end Kernel panic", FOUND_PANIC_END, LINE_START},
    {"Linux version ", FOUND_KERNEL, LINE_START},
    {" as init process", FOUND_INIT, AFTER_RUN},
    {"systemd[1]: ", FOUND_INIT, LINE_START},
    {"login: ", FOUND_READY, ANYWHERE},
};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

struct observer {
	struct observer_params p;
	pthread_mutex_t lock; /* guards what follows */
	struct match words[WORD_COUNT], until, until_plain;
	struct plain plain;
	bool seen[FOUND_COUNT], told[FOUND_COUNT];
	uint64_t at_ns[FOUND_COUNT];
	struct timer tell;
	/* The line so far: its length, its last bytes; and the last lines, cut. */
	uint64_t line_bytes;
	char tail[TAIL_BYTES];
	unsigned line;                      /* the current one */
	uint16_t line_used[OBSERVER_LINES]; /* bytes kept of each, without the 0 */
	bool in_panic;                      /* panic_text is being read */
	bool panic_prefix;
	char panic_text[OBSERVER_LINE_BYTES];
	unsigned panic_used;
	bool has_log, log_on; /* it is there; it is not at its end */
	bool log_in_line;
	uint64_t log_bytes;
	/* Last: untouched until needed. */
	char lines[OBSERVER_LINES][OBSERVER_LINE_BYTES];
	struct sink log;
};

/* --- events, on the loop's thread --- */

/* Takes one thing that was found and not told. */
static bool observer_take(struct observer *o, enum found f)
{
	bool take;

	pthread_mutex_lock(&o->lock);
	take = o->seen[f] && !o->told[f];
	/* The panic is told once its line is whole. */
	if (f == FOUND_PANIC && o->in_panic)
		take = false;
	if (take)
		o->told[f] = true;
	pthread_mutex_unlock(&o->lock);
	return take;
}

static void observer_tell(struct timer *t)
{
	observer_tell_now(container_of(t, struct observer, tell));
}

void observer_tell_now(struct observer *o)
{
	static const enum boot_stage stages[FOUND_COUNT] = {
	    [FOUND_KERNEL] = STAGE_KERNEL, [FOUND_INIT] = STAGE_INIT, [FOUND_READY] = STAGE_READY};
	const struct observer_events *e;
	char text[OBSERVER_LINE_BYTES];

	if (!o)
		return;
	e = &o->p.events;

	for (unsigned f = FOUND_KERNEL; f < FOUND_COUNT; f++)
		if (observer_take(o, f) && e->stage)
			e->stage(e->arg, stages[f], o->at_ns[f]);
	if (observer_take(o, FOUND_UNTIL) && e->until)
		e->until(e->arg, o->at_ns[FOUND_UNTIL]);
	if (observer_take(o, FOUND_PANIC) && e->panic) {
		observer_panic_text(o, text, sizeof(text));
		e->panic(e->arg, &(struct observer_panic){.text = text,
							  .printk_prefix = o->panic_prefix,
							  .at_ns = o->at_ns[FOUND_PANIC]});
	}
	if (observer_take(o, FOUND_PANIC_END) && e->panic_end)
		e->panic_end(e->arg);
}

/* --- what follows runs on the writing thread, lock held --- */

static void observer_found(struct observer *o, enum found f)
{
	if (o->seen[f])
		return;
	o->seen[f] = true;
	o->at_ns[f] = clock_now_ns(loop_clock(o->p.loop));
	loop_timer_set(o->p.loop, &o->tell, 0);
}

/* The byte that stands `back` bytes before the line's end; 0: before the line. */
static char tail_at(const struct observer *o, uint64_t back)
{
	if (back >= o->line_bytes || back >= TAIL_BYTES)
		return 0;
	return o->tail[(o->line_bytes - 1 - back) % TAIL_BYTES];
}

/*
 * True if the kernel's prefix ends `back` bytes before the line's end: "[    1.234567] ", perhaps
 * with "[    T1]" of printk.caller, or "<0>". Read backwards.
 */
static bool tail_has_prefix(const struct observer *o, uint64_t back)
{
	bool dot = false;
	char ch;

	if (tail_at(o, back) == '>')
		return isdigit((unsigned char)tail_at(o, back + 1)) && tail_at(o, back + 2) == '<';
	if (tail_at(o, back) == ' ')
		back++;
	if (tail_at(o, back) != ']')
		return false;
	for (back++; (ch = tail_at(o, back)) != 0 && ch != '['; back++) {
		dot |= ch == '.';
		if (!isdigit((unsigned char)ch) && !strchr(" .TC", ch))
			return false;
	}
	return ch == '[' && (dot || tail_at(o, back + 1) == ']');
}

/* *prefix: the kernel's prefix stands before the word. */
static bool place_fits(struct observer *o, const struct word *w, bool *prefix)
{
	uint64_t size = strlen(w->text);

	*prefix = tail_has_prefix(o, size);
	switch (w->place) {
	case LINE_START:
		return *prefix || o->line_bytes == size;
	case AFTER_RUN:
		return memmem(o->lines[o->line], o->line_used[o->line], "Run /", 5) != NULL;
	default:
		return true;
	}
}

/* b is the line's last byte now. */
static void observer_match(struct observer *o, uint8_t b)
{
	for (unsigned i = 0; i < WORD_COUNT; i++) {
		const struct word *w = &words[i];
		bool prefix;

		if (!match_feed(&o->words[i], b) || o->seen[w->found] || !place_fits(o, w, &prefix))
			continue;
		if (w->found == FOUND_PANIC) {
			o->in_panic = true;
			o->panic_prefix = prefix;
			o->panic_used = 0;
		}
		observer_found(o, w->found);
	}
}

static void observer_panic_done(struct observer *o)
{
	if (!o->in_panic)
		return;
	o->in_panic = false;
	loop_timer_set(o->p.loop, &o->tell, 0);
}

static void observer_line_end(struct observer *o)
{
	observer_panic_done(o);
	if (o->line_bytes)
		o->line = (o->line + 1) % OBSERVER_LINES;
	o->line_used[o->line] = 0;
	o->line_bytes = 0;
}

/* A byte of text: not of a control sequence. */
static void observer_text(struct observer *o, uint8_t b)
{
	if (b == '\n') {
		observer_line_end(o);
		return;
	}
	if ((b < 0x20 && b != '\t') || b == 0x7f)
		return;
	if (o->in_panic && o->panic_used < sizeof(o->panic_text) - 1) {
		o->panic_text[o->panic_used++] = (char)b;
		o->panic_text[o->panic_used] = '\0';
	}
	o->tail[o->line_bytes % TAIL_BYTES] = (char)b;
	o->line_bytes++;
	if (o->line_used[o->line] < OBSERVER_LINE_BYTES - 1)
		o->lines[o->line][o->line_used[o->line]++] = (char)b;
	observer_match(o, b);
}

/* Text for the log, the time before each line; out has room for a time and a byte. */
static size_t log_format(struct observer *o, uint8_t b, char *out, size_t size)
{
	uint64_t ns;
	int n = 0;

	if ((b < 0x20 && b != '\t' && b != '\n') || b == 0x7f)
		return 0;
	if (!o->log_in_line) {
		ns = clock_now_ns(loop_clock(o->p.loop));
		ns = ns > o->p.start_ns ? ns - o->p.start_ns : 0;
		n = snprintf(out, size, "[%5llu.%06llu] ", (unsigned long long)(ns / NS_PER_S),
			     (unsigned long long)(ns % NS_PER_S / 1000));
	}
	o->log_in_line = b != '\n';
	out[n] = (char)b;
	return (size_t)n + 1;
}

static void log_put(struct observer *o, const char *text, size_t n)
{
	static const char end[] = "\n[lodge: this log ends here, at 64 MiB]\n";

	if (!o->log_on || !n)
		return;
	o->log_bytes += n;
	if (o->log_bytes > LOG_BYTES_MAX) {
		o->log_on = false;
		text = end;
		n = sizeof(end) - 1;
	}
	sink_write(&o->log, (const uint8_t *)text, n);
}

void observer_feed(struct observer *o, const uint8_t *buf, size_t n)
{
	char out[OUT_BYTES];
	size_t used = 0;

	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < n; i++) {
		bool text = plain_feed(&o->plain, buf[i]);
		bool until = match_feed(&o->until, buf[i]);

		if (text) {
			until |= match_feed(&o->until_plain, buf[i]);
			observer_text(o, buf[i]);
		}
		if (until)
			observer_found(o, FOUND_UNTIL);
		if (text && o->log_on)
			used += log_format(o, buf[i], out + used, sizeof(out) - used);
		if (used > sizeof(out) - 64) {
			log_put(o, out, used);
			used = 0;
		}
	}
	log_put(o, out, used);
	pthread_mutex_unlock(&o->lock);
}

/* --- life --- */

static int observer_open_log(struct observer *o, struct refusal *why)
{
	const char *path = o->p.log_path;
	struct sink_params sink = {.loop = o->p.loop, .name = o->p.log_name};
	int fd, err;

	o->p.log_path = NULL; /* the caller's, for now only */
	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return refuse_output(why, errno, "report", path);
	err = sink_init(&o->log, &sink);
	if (!err) {
		err = sink_attach(&o->log, fd, SINK_THREAD);
		if (err)
			sink_fini(&o->log);
	}
	if (err) {
		close(fd);
		return refuse_errno(why, -err, "report", path, "thread");
	}
	o->has_log = o->log_on = true;
	return 0;
}

static void observer_free(struct observer *o)
{
	for (unsigned i = 0; i < WORD_COUNT; i++)
		match_fini(&o->words[i]);
	match_fini(&o->until);
	match_fini(&o->until_plain);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int observer_create(const struct observer_params *p, struct observer **out, struct refusal *why)
{
	struct observer *o = malloc(sizeof(*o));
	int err = 0;

	if (!o)
		return refuse_errno(why, ENOMEM, "console", NULL, "memory");
	memset(o, 0, offsetof(struct observer, lines));
	o->p = *p;
	pthread_mutex_init(&o->lock, NULL);
	timer_init(&o->tell, observer_tell);
	for (unsigned i = 0; i < WORD_COUNT && !err; i++)
		err = match_init(&o->words[i], words[i].text);
	if (p->until_text && p->until_text[0] && !err) {
		err = match_init(&o->until, p->until_text);
		if (!err)
			err = match_init(&o->until_plain, p->until_text);
	}
	if (err)
		refuse_errno(why, -err, "console", NULL, "memory");
	if (err || observer_open_log(o, why)) {
		observer_free(o);
		return -1;
	}
	*out = o;
	return 0;
}

void observer_start_at(struct observer *o, uint64_t start_ns)
{
	pthread_mutex_lock(&o->lock);
	o->p.start_ns = start_ns;
	pthread_mutex_unlock(&o->lock);
}

void observer_reset(struct observer *o)
{
	static const char note[] = "[lodge: the guest was reset]\n";

	pthread_mutex_lock(&o->lock);
	if (o->log_in_line)
		log_put(o, "\n", 1);
	log_put(o, note, sizeof(note) - 1);
	o->log_in_line = false;
	observer_line_end(o);
	memset(&o->plain, 0, sizeof(o->plain));
	for (unsigned i = 0; i < WORD_COUNT; i++)
		match_restart(&o->words[i]);
	match_restart(&o->until);
	match_restart(&o->until_plain);
	for (unsigned f = 0; f < FOUND_COUNT; f++) {
		o->seen[f] = o->told[f] = o->told[f] && f == FOUND_UNTIL;
		if (!o->seen[f])
			o->at_ns[f] = 0;
	}
	o->panic_text[0] = '\0';
	pthread_mutex_unlock(&o->lock);
}

void observer_finish(struct observer *o)
{
	if (!o)
		return;
	loop_timer_cancel(o->p.loop, &o->tell);
	if (o->has_log)
		sink_finish(&o->log, SINK_FLUSH_NS);
}

void observer_destroy(struct observer *o)
{
	observer_finish(o);
	if (o && (!o->has_log || sink_fini(&o->log)))
		observer_free(o);
}

/* --- questions --- */

void observer_each_line(struct observer *o, void (*fn)(const char *line, void *arg), void *arg)
{
	char line[OBSERVER_LINE_BYTES];

	for (unsigned i = 1; i <= OBSERVER_LINES; i++) {
		unsigned at, used;

		pthread_mutex_lock(&o->lock);
		at = (o->line + i) % OBSERVER_LINES;
		used = o->line_used[at];
		memcpy(line, o->lines[at], used);
		line[used] = '\0';
		pthread_mutex_unlock(&o->lock);
		if (used)
			fn(line, arg);
	}
}

void observer_panic_text(struct observer *o, char *out, size_t size)
{
	pthread_mutex_lock(&o->lock);
	snprintf(out, size, "%s", o->panic_text);
	pthread_mutex_unlock(&o->lock);
}

uint64_t observer_stage_ns(struct observer *o, enum boot_stage s)
{
	uint64_t ns = 0;

	pthread_mutex_lock(&o->lock);
	if (s == STAGE_KERNEL)
		ns = o->at_ns[FOUND_KERNEL];
	else if (s == STAGE_INIT)
		ns = o->at_ns[FOUND_INIT];
	else if (s == STAGE_READY)
		ns = o->at_ns[FOUND_READY];
	pthread_mutex_unlock(&o->lock);
	return ns;
}
