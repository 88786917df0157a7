/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmos_date: date and alarm as an mc146818's bytes, in the forms that its register B chooses. */
#ifndef PLATFORM_CMOS_DATE_H
#define PLATFORM_CMOS_DATE_H

#include "platform/cmos_ram.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CMOS_SECOND = 0x00,
	CMOS_SECOND_ALARM = 0x01,
	CMOS_MINUTE = 0x02,
	CMOS_MINUTE_ALARM = 0x03,
	CMOS_HOUR = 0x04,
	CMOS_HOUR_ALARM = 0x05,
	CMOS_WEEKDAY = 0x06,
	CMOS_DAY = 0x07,
	CMOS_MONTH = 0x08,
	CMOS_YEAR = 0x09,
	CMOS_A = 0x0a,
	CMOS_B = 0x0b,
	CMOS_C = 0x0c,
	CMOS_D = 0x0d,
};

#define CMOS_B_BINARY 0x04 /* else BCD */
#define CMOS_B_24H    0x02

/* The bytes of the date, the century's too; not those of the alarm. */
bool cmos_is_date(uint8_t index);

/*
 * Seconds are since 1970-01-01 00:00 as the guest's clock shows it. weekday_off is the guest's day
 * of the week less the calendar's, 0 to 6.
 */
void cmos_date_store(uint8_t cmos[CMOS_SIZE], int64_t seconds, unsigned weekday_off);

/* What is not a date is taken for the nearest that is one. */
int64_t cmos_date_load(const uint8_t cmos[CMOS_SIZE], unsigned *weekday_off);

/* The first second later than `after` that the alarm bytes match; INT64_MAX if none does. */
int64_t cmos_next_alarm(const uint8_t cmos[CMOS_SIZE], int64_t after);

#endif
