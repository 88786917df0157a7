/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small face for libjansson.
 *
 * Theory of operation: the functions are taken from the library when json_load_library() is first
 * called (API of jansson 2.x, stable since 2009), so that building needs no header of it. Text is
 * handed over as it is if it is UTF-8, and cleaned first if it is not: file names may hold any
 * bytes, JSON may not. The root is owned by nobody else, so deleting it frees the whole tree.
 */
#include "core/json.h"

#include "core/dynlib.h"
#include "core/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* jansson.h: JSON_INDENT(n) is n, JSON_REAL_PRECISION(n) is n << 11. */
#define INDENT_2          2u
#define REAL_PRECISION_12 (12u << 11)

struct jansson_api {
	struct json_t *(*object)(void);
	struct json_t *(*array)(void);
	struct json_t *(*string)(const char *s);
	struct json_t *(*integer)(long long n);
	struct json_t *(*real)(double n);
	struct json_t *(*true_value)(void);
	struct json_t *(*false_value)(void);
	struct json_t *(*null_value)(void);
	int (*object_set_new)(struct json_t *object, const char *key, struct json_t *value);
	int (*array_append_new)(struct json_t *array, struct json_t *value);
	int (*dump_file)(const struct json_t *root, FILE *f, size_t flags);
	void (*delete)(struct json_t *root);
};

static const struct dynlib_symbol symbols[] = {
    DYNLIB_SYMBOL(struct jansson_api, object, "json_object"),
    DYNLIB_SYMBOL(struct jansson_api, array, "json_array"),
    DYNLIB_SYMBOL(struct jansson_api, string, "json_string"),
    DYNLIB_SYMBOL(struct jansson_api, integer, "json_integer"),
    DYNLIB_SYMBOL(struct jansson_api, real, "json_real"),
    DYNLIB_SYMBOL(struct jansson_api, true_value, "json_true"),
    DYNLIB_SYMBOL(struct jansson_api, false_value, "json_false"),
    DYNLIB_SYMBOL(struct jansson_api, null_value, "json_null"),
    DYNLIB_SYMBOL(struct jansson_api, object_set_new, "json_object_set_new"),
    DYNLIB_SYMBOL(struct jansson_api, array_append_new, "json_array_append_new"),
    DYNLIB_SYMBOL(struct jansson_api, dump_file, "json_dumpf"),
    DYNLIB_SYMBOL(struct jansson_api, delete, "json_delete"),
};

static const struct dynlib library = {"libjansson.so.4", "libjansson4", symbols,
				      sizeof(symbols) / sizeof(symbols[0])};

static struct jansson_api jansson;

int json_load_library(const char *purpose, struct refusal *why)
{
	return jansson.object ? 0 : dynlib_load(&library, &jansson, purpose, why);
}

struct json_t *json_new_object(void)
{
	return jansson.object();
}

struct json_t *json_new_array(void)
{
	return jansson.array();
}

struct json_t *json_new_text(const char *s)
{
	struct json_t *text;
	char *clean;

	if (!s)
		return jansson.null_value();
	text = jansson.string(s);
	if (text)
		return text;
	clean = strdup(s);
	if (!clean)
		return jansson.null_value();
	text_sanitize(clean);
	text = jansson.string(clean);
	free(clean);
	return text;
}

struct json_t *json_new_integer(int64_t n)
{
	return jansson.integer(n);
}

struct json_t *json_new_unsigned(uint64_t n)
{
	return n > INT64_MAX ? json_new_address(n) : jansson.integer((int64_t)n);
}

struct json_t *json_new_address(uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, n);
	return jansson.string(text);
}

struct json_t *json_new_real(double n)
{
	return jansson.real(n);
}

struct json_t *json_new_bool(bool b)
{
	return b ? jansson.true_value() : jansson.false_value();
}

void json_put(struct json_t *object, const char *key, struct json_t *value)
{
	jansson.object_set_new(object, key, value);
}

void json_add(struct json_t *array, struct json_t *value)
{
	jansson.array_append_new(array, value);
}

int json_write(struct json_t *root, FILE *f)
{
	int err = jansson.dump_file(root, f, INDENT_2 | REAL_PRECISION_12);

	if (root)
		jansson.delete(root);
	if (!err && fputc('\n', f) == EOF)
		err = -1;
	return err;
}
