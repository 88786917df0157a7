/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text of foreign origin, made safe to show.
 *
 * Theory of operation: file names, guests and peers put bytes into our messages. Terminals act on
 * C0 controls (below 0x20), on DEL and on C1 controls (U+0080 to U+009F, where 0x9b is as good as
 * ESC [), so none of them gets through. Whatever is not well-formed UTF-8 by RFC 3629 section 3
 * goes too, because terminals in 8-bit mode read stray bytes as C1 controls. Pure; any thread.
 */
#include "core/text.h"

#include <stdint.h>
#include <string.h>

struct utf8_form {
	uint8_t lead_min, lead_max;
	uint8_t second_min, second_max; /* of the second byte; later ones are 0x80 to 0xbf */
	uint8_t length;
};

/* RFC 3629 section 4; the first row starts at U+00A0, so that C1 controls find no row. */
static const struct utf8_form utf8_forms[] = {
    {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* Bytes of the well-formed sequence that starts at s, or 0. The final NUL ends any sequence. */
static unsigned utf8_length(const uint8_t *s)
{
	unsigned i, k;

	for (i = 0; i < sizeof(utf8_forms) / sizeof(utf8_forms[0]); i++) {
		const struct utf8_form *f = &utf8_forms[i];

		if (s[0] < f->lead_min || s[0] > f->lead_max)
			continue;
		if (s[1] < f->second_min || s[1] > f->second_max)
			return 0;
		for (k = 2; k < f->length; k++) {
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		}
		return f->length;
	}
	return 0;
}

void text_sanitize(char *text)
{
	uint8_t *s = (uint8_t *)text;

	while (*s) {
		unsigned n = *s < 0x80 ? *s >= 0x20 && *s != 0x7f : utf8_length(s);

		if (n == 0) {
			*s = '?';
			n = 1;
		}
		s += n;
	}
}
