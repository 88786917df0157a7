// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmos_date: the ten bytes of the date and the three of the alarm.
 *
 * Source: Motorola MC146818A data sheet, "Time, Calendar, and Alarm Locations"; the century is
 * where IBM's PC/AT has it.
 */
#include "platform/cmos_date.h"
#include "platform/calendar.h"

#define HOUR_PM   0x80
#define ALARM_ANY 0xc0 /* a byte of 0xc0 or more matches everything */
#define DAY_S     86400

/* What an alarm byte may ask for instead of a value. */
#define FIELD_ANY   (-1)
#define FIELD_NEVER (-2)

static uint8_t encode(const uint8_t *cmos, unsigned value)
{
	value %= 100;
	return (uint8_t)(cmos[CMOS_B] & CMOS_B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode(const uint8_t *cmos, uint8_t byte)
{
	return cmos[CMOS_B] & CMOS_B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15u);
}

static uint8_t encode_hour(const uint8_t *cmos, unsigned hour)
{
	if (cmos[CMOS_B] & CMOS_B_24H)
		return encode(cmos, hour);
	return encode(cmos, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const uint8_t *cmos, uint8_t byte)
{
	unsigned hour;

	if (cmos[CMOS_B] & CMOS_B_24H)
		return decode(cmos, byte);
	hour = decode(cmos, byte & (uint8_t)~HOUR_PM);
	if (hour == 0 || hour > 12)
		return UINT8_MAX;
	return hour % 12 + (byte & HOUR_PM ? 12 : 0);
}

void cmos_date_store(uint8_t cmos[CMOS_SIZE], int64_t seconds, unsigned weekday_off)
{
	struct date d;

	calendar_from_seconds(seconds, &d);
	cmos[CMOS_SECOND] = encode(cmos, d.second);
	cmos[CMOS_MINUTE] = encode(cmos, d.minute);
	cmos[CMOS_HOUR] = encode_hour(cmos, d.hour);
	cmos[CMOS_WEEKDAY] = encode(cmos, (d.weekday - 1 + weekday_off) % 7 + 1);
	cmos[CMOS_DAY] = encode(cmos, d.day);
	cmos[CMOS_MONTH] = encode(cmos, d.month);
	cmos[CMOS_YEAR] = encode(cmos, (unsigned)((d.year % 100 + 100) % 100));
	cmos[CMOS_CENTURY] = encode(cmos, (unsigned)((d.year / 100 % 100 + 100) % 100));
}

static unsigned within(unsigned value, unsigned low, unsigned high)
{
	return value < low ? low : value > high ? high : value;
}

int64_t cmos_date_load(const uint8_t cmos[CMOS_SIZE], unsigned *weekday_off)
{
	struct date d = {
	    .second = within(decode(cmos, cmos[CMOS_SECOND]), 0, 59),
	    .minute = within(decode(cmos, cmos[CMOS_MINUTE]), 0, 59),
	    .hour = within(decode_hour(cmos, cmos[CMOS_HOUR]), 0, 23),
	    .day = within(decode(cmos, cmos[CMOS_DAY]), 1, 31),
	    .month = within(decode(cmos, cmos[CMOS_MONTH]), 1, 12),
	    .year = within(decode(cmos, cmos[CMOS_CENTURY]), 0, 99) * 100 +
		    within(decode(cmos, cmos[CMOS_YEAR]), 0, 99),
	};
	unsigned weekday = within(decode(cmos, cmos[CMOS_WEEKDAY]), 1, 7);
	int64_t seconds = calendar_to_seconds(&d);

	calendar_from_seconds(seconds, &d);
	*weekday_off = (weekday + 7 - d.weekday) % 7;
	return seconds;
}

static int alarm_field(unsigned value, uint8_t byte, unsigned limit)
{
	if (byte >= ALARM_ANY)
		return FIELD_ANY;
	return value < limit ? (int)value : FIELD_NEVER;
}

int64_t cmos_next_alarm(const uint8_t cmos[CMOS_SIZE], int64_t after)
{
	int second =
	    alarm_field(decode(cmos, cmos[CMOS_SECOND_ALARM]), cmos[CMOS_SECOND_ALARM], 60);
	int minute =
	    alarm_field(decode(cmos, cmos[CMOS_MINUTE_ALARM]), cmos[CMOS_MINUTE_ALARM], 60);
	int hour = alarm_field(decode_hour(cmos, cmos[CMOS_HOUR_ALARM]), cmos[CMOS_HOUR_ALARM], 24);
	int64_t first = after + 1;
	int first_of_day = (int)((first % DAY_S + DAY_S) % DAY_S);
	int t = first_of_day;

	if (second == FIELD_NEVER || minute == FIELD_NEVER || hour == FIELD_NEVER)
		return INT64_MAX;
	/* At most one lap: each step leaves an hour, a minute or a second that does not match. */
	while (t < first_of_day + DAY_S) {
		if (hour != FIELD_ANY && t / 3600 % 24 != hour)
			t = (t / 3600 + 1) * 3600;
		else if (minute != FIELD_ANY && t / 60 % 60 != minute)
			t = (t / 60 + 1) * 60;
		else if (second != FIELD_ANY && t % 60 != second)
			t++;
		else
			return first + (t - first_of_day);
	}
	return INT64_MAX;
}

bool cmos_is_date(uint8_t index)
{
	return index == CMOS_SECOND || index == CMOS_MINUTE || index == CMOS_HOUR ||
	       (index >= CMOS_WEEKDAY && index <= CMOS_YEAR) || index == CMOS_CENTURY;
}
