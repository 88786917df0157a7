/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values as people write them: whole numbers, sizes, durations. Strict, as scripts depend on what
 * is accepted: no sign, no blanks, no fraction, nothing after the unit. 0 or -EINVAL, and -ERANGE
 * where the number does not fit.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stddef.h>
#include <stdint.h>

int value_parse_number(const char *s, uint64_t *out);      /* decimal */
int value_parse_port(const char *s, uint64_t *out);        /* decimal, or hexadecimal after 0x */
int value_parse_size(const char *s, uint64_t *bytes);      /* K, M, G, T; a bare number is MiB */
int value_parse_duration(const char *s, uint64_t *out_ns); /* ms, s, m, h; bare: seconds */

/* The shortest text that parses to the same value. */
void value_format_size(uint64_t bytes, char *out, size_t size);
void value_format_duration(uint64_t ns, char *out, size_t size);

#endif
