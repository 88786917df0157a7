/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers, sizes and durations.
 *
 * Theory of operation: one digit loop with an overflow check; a unit is looked up in a table and
 * multiplied in, checked again. strtoull(3) is not used, as it takes signs, blanks and 0x.
 */
#include "config/value.h"

#include <errno.h>
#include <inttypes.h>
#include <lodge/clock.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* A bare number takes the factor of "". Largest first, for formatting. */
static const struct unit size_units[] = {{"T", 1ull << 40}, {"G", 1ull << 30}, {"M", 1ull << 20},
					 {"K", 1ull << 10}, {"", 1ull << 20},  {NULL, 0}};
static const struct unit duration_units[] = {{"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S},
					     {"s", NS_PER_S},        {"ms", NS_PER_MS},
					     {"", NS_PER_S},         {NULL, 0}};

static int digit(char c, unsigned base)
{
	int d = -1;

	if (c >= '0' && c <= '9')
		d = c - '0';
	else if (c >= 'a' && c <= 'f')
		d = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		d = c - 'A' + 10;
	return d < (int)base ? d : -1;
}

/* Leaves *end at the first character that is no digit. */
static int parse_digits(const char *s, unsigned base, const char **end, uint64_t *out)
{
	uint64_t n = 0;
	int d, err = 0;

	if (digit(*s, base) < 0)
		return -EINVAL;
	for (; (d = digit(*s, base)) >= 0; s++) {
		if (__builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, (unsigned)d, &n))
			err = -ERANGE;
	}
	*end = s;
	*out = n;
	return err;
}

int value_parse_number(const char *s, uint64_t *out)
{
	const char *end;
	int err = parse_digits(s, 10, &end, out);

	if (err == -EINVAL || *end)
		return -EINVAL;
	return err;
}

int value_parse_port(const char *s, uint64_t *out)
{
	const char *end;
	int err;

	if (strncasecmp(s, "0x", 2) != 0)
		return value_parse_number(s, out);
	err = parse_digits(s + 2, 16, &end, out);
	if (err == -EINVAL || *end)
		return -EINVAL;
	return err;
}

static int parse_with_unit(const char *s, const struct unit *units, uint64_t *out)
{
	const char *end;
	uint64_t n;
	int err = parse_digits(s, 10, &end, &n);

	if (err == -EINVAL)
		return err;
	for (; units->name; units++) {
		if (strcasecmp(end, units->name) != 0)
			continue;
		if (err || __builtin_mul_overflow(n, units->factor, out))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}

int value_parse_size(const char *s, uint64_t *bytes)
{
	return parse_with_unit(s, size_units, bytes);
}

int value_parse_duration(const char *s, uint64_t *out_ns)
{
	return parse_with_unit(s, duration_units, out_ns);
}

static void format_with_unit(uint64_t n, const struct unit *units, char *out, size_t size)
{
	while (units[1].name && *units[1].name && (!n || n % units->factor))
		units++;
	snprintf(out, size, "%" PRIu64 "%s", n / units->factor, units->name);
}

void value_format_size(uint64_t bytes, char *out, size_t size)
{
	format_with_unit(bytes, size_units, out, size);
}

void value_format_duration(uint64_t ns, char *out, size_t size)
{
	format_with_unit(ns, duration_units, out, size);
}
