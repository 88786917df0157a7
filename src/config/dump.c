/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effective configuration as YAML 1.2.
 *
 * Theory of operation: the table's get functions give text; this file only writes it. A value that
 * any YAML reader takes for the same string is written plain, all others in double quotes with
 * JSON's escapes. Settings that are off and have no word for it are left out.
 */
#include "config/builder.h"

#include <string.h>
#include <strings.h>

void config_each(const struct config *c, void (*fn)(void *arg, const struct config_value *v),
		 void *arg)
{
	unsigned i;

	for (i = 0; i < option_count; i++) {
		const struct option_spec *o = &options[i];
		struct option_values values = {.count = 0};
		struct config_value v = {.key = o->key, .bare = o->bare, .item = values.item};

		if (!o->key)
			continue;
		o->get(c, &values);
		/* Text that repeats is joined: one string. */
		v.list = o->repeats && o->get != get_append && o->get != get_none;
		v.count = values.count;
		if (v.list || v.count)
			fn(arg, &v);
	}
}

static bool plain_is_safe(const char *s)
{
	static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
					    "off", "true", "false", "null"};
	size_t i;

	if (!*s || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			     "_./=+-") != strlen(s))
		return false;
	/* Numbers, signs and dots at the start may be read as something else. */
	if (strchr("0123456789.=+-", s[0]) && !strpbrk(s, "KMGTshm"))
		return false;
	if (strchr(".=+-", s[0]))
		return false;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(s, words[i]) == 0)
			return false;
	}
	return true;
}

static void write_text(FILE *f, const char *s)
{
	if (plain_is_safe(s)) {
		fputs(s, f);
		return;
	}
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			fprintf(f, "\\x%02x", (unsigned char)*s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void write_value(void *arg, const struct config_value *v)
{
	FILE *f = arg;
	unsigned i;

	fprintf(f, "%s:", v->key);
	if (v->list && !v->count)
		fputs(" []", f);
	for (i = 0; i < v->count; i++) {
		fputs(v->list ? "\n  - " : " ", f);
		if (v->bare)
			fputs(v->item[i], f);
		else
			write_text(f, v->item[i]);
	}
	fputc('\n', f);
}

void config_dump(const struct config *c, FILE *f)
{
	config_each(c, write_value, f);
}
