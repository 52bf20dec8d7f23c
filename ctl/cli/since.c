/* SPDX-License-Identifier: Apache-2.0 */
#include "since.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "options.h"

/* Exactly so many digits; moves *text behind them. */
static bool take_digits(const char **text, unsigned count, int *ret_number)
{
    int number = 0;

    for (unsigned i = 0; i < count; i++) {
        char digit = (*text)[i];

        if (digit < '0' || digit > '9')
            return false;
        number = number * 10 + (digit - '0');
    }
    *text += count;
    *ret_number = number;
    return true;
}

static bool take_letter(const char **text, char letter)
{
    if (**text != letter && **text != letter + ('a' - 'A')) /* RFC 3339 5.6: t and z may be small */
        return false;
    (*text)++;
    return true;
}

static bool take_mark(const char **text, char mark)
{
    if (**text != mark)
        return false;
    (*text)++;
    return true;
}

/* .1 to .123456789, or nothing */
static bool take_fraction(const char **text, uint64_t *ret_ns)
{
    uint64_t ns = 0;
    unsigned digits = 0;

    *ret_ns = 0;
    if (!take_mark(text, '.'))
        return true;
    for (; **text >= '0' && **text <= '9' && digits < 9; digits++, (*text)++)
        ns = ns * 10 + (uint64_t)(**text - '0');
    for (unsigned i = digits; i < 9; i++)
        ns *= 10;
    *ret_ns = ns;
    return digits > 0;
}

/* Z or +01:00: seconds east of Greenwich. */
static bool take_zone(const char **text, int *ret_seconds)
{
    int sign = **text == '-' ? -1 : 1;
    int hours = 0;
    int minutes = 0;

    *ret_seconds = 0;
    if (take_letter(text, 'Z'))
        return true;
    if (!take_mark(text, sign < 0 ? '-' : '+') || !take_digits(text, 2, &hours) ||
        !take_mark(text, ':') || !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool take_date(const char **text, struct tm *utc)
{
    if (!take_digits(text, 4, &utc->tm_year) || !take_mark(text, '-') ||
        !take_digits(text, 2, &utc->tm_mon) || !take_mark(text, '-') ||
        !take_digits(text, 2, &utc->tm_mday))
        return false;
    utc->tm_year -= 1900;
    utc->tm_mon -= 1;
    return utc->tm_year >= 70 && utc->tm_mon >= 0 && utc->tm_mon <= 11 && utc->tm_mday >= 1;
}

static bool take_time(const char **text, struct tm *utc)
{
    return take_digits(text, 2, &utc->tm_hour) && take_mark(text, ':') &&
           take_digits(text, 2, &utc->tm_min) && take_mark(text, ':') &&
           take_digits(text, 2, &utc->tm_sec) && utc->tm_hour <= 23 && utc->tm_min <= 59 &&
           utc->tm_sec <= 60; /* a leap second is the one after */
}

bool time_read(const char *text, uint64_t *ret_wall_ns)
{
    struct tm utc = {0};
    uint64_t fraction_ns = 0;
    int zone_seconds = 0;

    if (!take_date(&text, &utc))
        return false;
    int day = utc.tm_mday;
    int month = utc.tm_mon;
    struct tm date = utc;
    (void)timegm(&date);
    if (date.tm_mday != day || date.tm_mon != month) /* the 30th of February */
        return false;
    if (!take_letter(&text, 'T') || !take_time(&text, &utc) ||
        !take_fraction(&text, &fraction_ns) || !take_zone(&text, &zone_seconds) || *text != '\0')
        return false;
    int64_t seconds = (int64_t)timegm(&utc) - zone_seconds;
    uint64_t ns = 0;
    if (seconds < 0 || __builtin_mul_overflow((uint64_t)seconds, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, fraction_ns, &ns))
        return false;

    *ret_wall_ns = ns;
    return true;
}

int since_read(const char *text, bool is_controller, struct query *query, struct fault *fault)
{
    if (time_read(text, &query->since_number)) {
        query->since = SINCE_TIME;
        return 0;
    }
    if (is_controller && text[0] != '\0') {
        query->since = SINCE_CURSOR;
        query->since_cursor = text;
        return 0;
    }
    if (number_read(text, &query->since_number)) {
        query->since = SINCE_SEQ;
        return 0;
    }
    fault_set(fault, STATUS_INVALID, 0, "--since %s: neither a %s nor a time", text,
              is_controller ? "cursor" : "seq");
    fault_hint(fault, "a time is 2026-01-02T03:04:05Z, in UTC or with +01:00 for Z");
    return -EINVAL;
}
