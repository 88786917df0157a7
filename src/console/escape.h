/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The escape key: what the user types for us among what is for the guest. Pure. */
#ifndef CONSOLE_ESCAPE_H
#define CONSOLE_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>

#define ESCAPE_KEY 0x01u /* Ctrl-a */

enum escape_result {
	ESCAPE_NOTHING, /* the key was kept back or swallowed */
	ESCAPE_BYTE,    /* the byte goes to the guest */
	ESCAPE_QUIT,
	ESCAPE_BREAK,
	ESCAPE_SIZE,
	ESCAPE_HELP,
	ESCAPE_UNKNOWN, /* the escape key, then a key without a meaning */
};

struct escape {
	bool pending; /* the escape key came last */
};

/* One byte from the keyboard. After ESCAPE_BYTE, *b is what the guest gets. */
enum escape_result escape_feed(struct escape *e, uint8_t *b);

extern const char escape_help[]; /* lines end in CR LF */

#endif
