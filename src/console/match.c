/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts in a stream, and streams without control sequences. */
/*
 * Theory of operation: matching is by Knuth, Morris and Pratt (SIAM J. Comput. 6, 1977): after a
 * mismatch the state falls back to the longest beginning of the text that the stream still ends
 * with, so the work per byte is bounded on average by two steps and no byte is looked at again.
 *
 * Control sequences are those of ECMA-48: ESC [ parameters, intermediates, a final byte; strings
 * from ESC ] P X ^ _ to BEL or ESC \; ESC and one byte, perhaps with intermediates. One that is
 * longer than any terminal takes is not one: text begins again after it, so that a lone ESC cannot
 * hide the rest of the stream.
 */
#include "console/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCE_MAX 256u
#define ESC          0x1bu
#define BEL          0x07u

int match_init(struct match *m, const char *text)
{
	size_t size = strlen(text);
	uint32_t at = 0;

	memset(m, 0, sizeof(*m));
	if (!size || size > UINT32_MAX / sizeof(*m->fallback))
		return -EINVAL;
	m->fallback = calloc(size, sizeof(*m->fallback));
	if (!m->fallback)
		return -ENOMEM;
	m->text = (const uint8_t *)text;
	m->size = (uint32_t)size;
	for (uint32_t i = 1; i < m->size; i++) {
		while (at && m->text[i] != m->text[at])
			at = m->fallback[at - 1];
		at += m->text[i] == m->text[at];
		m->fallback[i] = at;
	}
	return 0;
}

void match_fini(struct match *m)
{
	free(m->fallback);
	memset(m, 0, sizeof(*m));
}

void match_restart(struct match *m)
{
	m->at = 0;
}

bool match_feed(struct match *m, uint8_t b)
{
	if (!m->size)
		return false;
	while (m->at && m->text[m->at] != b)
		m->at = m->fallback[m->at - 1];
	m->at += m->text[m->at] == b;
	if (m->at < m->size)
		return false;
	m->at = m->fallback[m->at - 1];
	return true;
}

static bool plain_to(struct plain *p, int state)
{
	p->state = state;
	return false;
}

static bool plain_escape(struct plain *p, uint8_t b)
{
	if (b == '[')
		return plain_to(p, PLAIN_CSI);
	if (b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_')
		return plain_to(p, PLAIN_STRING);
	if (b >= 0x20 && b <= 0x2f) /* intermediates, then one byte */
		return false;
	return plain_to(p, b == ESC ? PLAIN_ESCAPE : PLAIN_TEXT);
}

bool plain_feed(struct plain *p, uint8_t b)
{
	if (p->state == PLAIN_TEXT) {
		p->length = 0;
		if (b != ESC)
			return true;
		return plain_to(p, PLAIN_ESCAPE);
	}
	if (++p->length > SEQUENCE_MAX || b == '\n')
		p->state = PLAIN_TEXT;
	switch (p->state) {
	case PLAIN_ESCAPE:
		return plain_escape(p, b);
	case PLAIN_CSI:
		if (b == ESC)
			return plain_to(p, PLAIN_ESCAPE);
		if (b < 0x20 || b > 0x3f)
			p->state = PLAIN_TEXT;
		return false;
	case PLAIN_STRING:
		if (b == BEL)
			p->state = PLAIN_TEXT;
		else if (b == ESC)
			p->state = PLAIN_STRING_ESCAPE;
		return false;
	case PLAIN_STRING_ESCAPE:
		return plain_to(p, b == '\\' ? PLAIN_TEXT : PLAIN_STRING);
	default:
		return true;
	}
}
