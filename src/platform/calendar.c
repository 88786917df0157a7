// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * calendar: dates by arithmetic.
 *
 * The C library's gmtime_r() would open the time zone's file on its first call, and a vCPU thread
 * touches no file. Years are counted here from 1 March, so that a leap day is the last day of its
 * year, and in the 400-year cycles after which the Gregorian calendar repeats.
 */
#include "platform/calendar.h"

#define DAY_S         86400
#define DAYS_4_YEARS  1461   /* with one leap day */
#define DAYS_100      36524  /* 25 of those, less the leap day of the last */
#define DAYS_400      146097 /* 4 of those, and the leap day of the 400th year */
#define EPOCH_TO_1970 719468 /* days from 1 March of year 0 to 1 January 1970 */

/* From March on; February is last and may run over. */
static const uint8_t month_days[12] = {31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t at_most(int64_t value, int64_t limit)
{
	return value < limit ? value : limit;
}

void calendar_from_seconds(int64_t seconds, struct date *d)
{
	int64_t since_1970 = floor_div(seconds, DAY_S);
	unsigned second_of_day = (unsigned)(seconds - since_1970 * DAY_S);
	int64_t days = since_1970 + EPOCH_TO_1970;
	int64_t cycles = floor_div(days, DAYS_400);
	int64_t centuries, leaps, years;
	unsigned month = 0;

	d->hour = second_of_day / 3600;
	d->minute = second_of_day / 60 % 60;
	d->second = second_of_day % 60;
	/* 1 January 1970 was a Thursday. */
	d->weekday = (unsigned)(since_1970 + 4 - floor_div(since_1970 + 4, 7) * 7) + 1;

	days -= cycles * DAYS_400;
	centuries = at_most(days / DAYS_100, 3);
	days -= centuries * DAYS_100;
	leaps = days / DAYS_4_YEARS;
	days -= leaps * DAYS_4_YEARS;
	years = at_most(days / 365, 3);
	days -= years * 365;
	while (days >= month_days[month])
		days -= month_days[month++];

	d->year = cycles * 400 + centuries * 100 + leaps * 4 + years + (month >= 10);
	d->month = month >= 10 ? month - 9 : month + 3;
	d->day = (unsigned)days + 1;
}

int64_t calendar_to_seconds(const struct date *d)
{
	int64_t year = d->month <= 2 ? d->year - 1 : d->year;
	unsigned month = d->month <= 2 ? d->month + 9 : d->month - 3;
	int64_t days = (int64_t)d->day - 1;
	unsigned i;

	for (i = 0; i < month && i < 12; i++)
		days += month_days[i];
	days += year * 365 + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400);
	return (days - EPOCH_TO_1970) * DAY_S + d->hour * 3600ll + d->minute * 60ll + d->second;
}
