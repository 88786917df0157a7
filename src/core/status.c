/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refusals: why a run does not start.
 *
 * Theory of operation: a refusal is filled once, by whoever knows the reason first, and carried
 * up unchanged to main.c, which prints it. The text is cut at the buffer's end rather than lost,
 * and sanitised as a whole, because any of its parts may come from a file. Any thread.
 */
#include <lodge/status.h>

#include "core/text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends up to the buffer's end; what does not fit is cut. */
static void append(char *text, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void append(char *text, size_t size, const char *fmt, va_list args)
{
	size_t used = strlen(text);

	vsnprintf(text + used, size - used, fmt, args);
}

static void append_name(char *text, size_t size, const char *name)
{
	size_t used = strlen(text);

	if (name)
		snprintf(text + used, size - used, "%s: ", name);
}

void refusal_fill(struct refusal *r, enum exit_status status, const char *source, const char *field,
		  const char *reason, ...)
{
	va_list args;

	assert(status != STATUS_OK);
	if (r->status != STATUS_OK)
		return;
	r->status = status;
	r->text[0] = '\0';
	append_name(r->text, sizeof(r->text), source);
	append_name(r->text, sizeof(r->text), field);
	va_start(args, reason);
	append(r->text, sizeof(r->text), reason, args);
	va_end(args);
	text_sanitize(r->text);
}

static enum exit_status status_of_errno(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return STATUS_PERMISSION;
	case ENOENT:
	case ENOTDIR:
		return STATUS_NO_INPUT;
	default:
		return STATUS_HOST;
	}
}

void refusal_fill_errno(struct refusal *r, int err, const char *source, const char *field,
			const char *what)
{
	char text[128];

	/* Callers hold errno or a negative return value; both mean the same. */
	if (err < 0)
		err = -err;
	refusal_fill(r, status_of_errno(err), source, field, "%s%s%s", what ? what : "",
		     what ? ": " : "", strerror_r(err, text, sizeof(text)));
}
