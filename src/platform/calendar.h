/* SPDX-License-Identifier: GPL-2.0-or-later */
/* calendar: seconds since 1970 to a date of the Gregorian calendar and back, without time zones. */
#ifndef PLATFORM_CALENDAR_H
#define PLATFORM_CALENDAR_H

#include <stdint.h>

struct date {
	int64_t year;
	unsigned month;   /* 1 to 12 */
	unsigned day;     /* 1 to 31 */
	unsigned weekday; /* 1 is Sunday */
	unsigned hour, minute, second;
};

/* For seconds within a few million years of 1970. */
void calendar_from_seconds(int64_t seconds, struct date *d);

/* weekday is not read. A day past its month's end counts on into the next. */
int64_t calendar_to_seconds(const struct date *d);

#endif
