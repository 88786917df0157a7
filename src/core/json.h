/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON, written by libjansson, which is loaded on first use: most runs need none.
 *
 * Every function takes over the values that it is given, also when it fails; running out of memory
 * loses values and never more. One thread at a time.
 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <lodge/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_t; /* jansson's */

/* Before anything else here. -1 with *why (69); purpose is as for dynlib_load(). */
int json_load_library(const char *purpose, struct refusal *why);

struct json_t *json_new_object(void);
struct json_t *json_new_array(void);
struct json_t *json_new_text(const char *s); /* NULL: null; what is not UTF-8 becomes '?' */
struct json_t *json_new_integer(int64_t n);
struct json_t *json_new_unsigned(uint64_t n); /* as text in hexadecimal past INT64_MAX */
struct json_t *json_new_address(uint64_t n);  /* text: "0xfee00000" */
struct json_t *json_new_real(double n);
struct json_t *json_new_bool(bool b);

void json_put(struct json_t *object, const char *key, struct json_t *value);
void json_add(struct json_t *array, struct json_t *value);

/* Writes root with indentation and a final newline, and frees it. 0 or -1 (f has the error). */
int json_write(struct json_t *root, FILE *f);

#endif
