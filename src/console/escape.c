/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The escape key and the keys after it. */
/*
 * Theory of operation: the escape key is Ctrl-a, as in QEMU, kvmtool and screen. It is kept back
 * until the next key says what was meant; the table below has every meaning. Twice the key is the
 * key itself, once.
 */
#include "console/escape.h"

#include <stddef.h>

static const struct {
	uint8_t key;
	enum escape_result result;
} keys[] = {
    {ESCAPE_KEY, ESCAPE_BYTE}, {'a', ESCAPE_BYTE}, {'x', ESCAPE_QUIT}, {'b', ESCAPE_BREAK},
    {'r', ESCAPE_SIZE},        {'h', ESCAPE_HELP}, {'?', ESCAPE_HELP},
};

const char escape_help[] =
    "\r\n"
    "lodge: Ctrl-a x       end the guest\r\n"
    "lodge: Ctrl-a Ctrl-a  send Ctrl-a (also Ctrl-a a)\r\n"
    "lodge: Ctrl-a b       send a break (then a key: Linux's SysRq)\r\n"
    "lodge: Ctrl-a r       type `stty rows R cols C` with this terminal's size\r\n"
    "lodge: Ctrl-a h       show this\r\n";

enum escape_result escape_feed(struct escape *e, uint8_t *b)
{
	if (!e->pending) {
		e->pending = *b == ESCAPE_KEY;
		return e->pending ? ESCAPE_NOTHING : ESCAPE_BYTE;
	}
	e->pending = false;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].key != *b)
			continue;
		*b = ESCAPE_KEY;
		return keys[i].result;
	}
	return ESCAPE_UNKNOWN;
}
