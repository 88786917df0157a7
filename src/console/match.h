/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds texts in a stream of bytes, one byte at a time, with fixed memory. Pure. */
#ifndef CONSOLE_MATCH_H
#define CONSOLE_MATCH_H

#include <stdbool.h>
#include <stdint.h>

struct match {
	const uint8_t *text; /* borrowed */
	uint32_t *fallback;  /* where to go on after a mismatch at each length */
	uint32_t size;       /* bytes; 0: matches nothing */
	uint32_t at;         /* bytes matched so far */
};

/* 0, -EINVAL for an empty text, -ENOMEM. */
int match_init(struct match *m, const char *text);
void match_fini(struct match *m);
void match_restart(struct match *m);

/* True when the text ends with b. */
bool match_feed(struct match *m, uint8_t b);

/* Takes terminal control sequences out of a stream (ECMA-48: CSI, OSC, two-byte escapes). */
struct plain {
	enum { PLAIN_TEXT, PLAIN_ESCAPE, PLAIN_CSI, PLAIN_STRING, PLAIN_STRING_ESCAPE } state;
	uint32_t length; /* of the sequence so far */
};

/* True if b is text. */
bool plain_feed(struct plain *p, uint8_t b);

#endif
