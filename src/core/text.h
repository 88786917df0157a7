/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making text of foreign origin safe to show on a terminal. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

/*
 * Replaces in place, by '?', every byte that could move the cursor, start an escape sequence or
 * begin a new line: C0 controls, DEL, C1 controls, and whatever is not well-formed UTF-8 (RFC
 * 3629). The length stays the same.
 */
void text_sanitize(char *text);

#endif
