/* Points in time as people write them: the proleptic Gregorian calendar, UTC, and RFC 3339. Pure, without locks (gmtime_r takes
 * one). */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include "base/slice.h"

#define B_DAY_S 86400
#define B_YEAR_MAX 9999

struct b_date {
    unsigned year, month, day; /* month and day from 1 */
};

/* The date so many days after 1970-01-01, from 0000-01-01 (-719528) on. */
struct b_date b_date_of_days(int64_t days);
/* The other way round; the date is one (year 0 to 9999). */
int64_t b_days_of_date(struct b_date date);

/* A date-time of RFC 3339 section 5.6, whole: `2026-11-27T07:00:00.25+01:00`. Upper or lower case, a space for the T as well;
 * what is finer than a microsecond is cut, and a leap second is the first of the next minute. Microseconds since 1970, years 0 to
 * 9999 in UTC; false on anything else. */
bool b_parse_rfc3339(struct b_slice s, int64_t *us);
#define B_RFC3339_LEN 27 /* 2026-11-27T07:00:00.250000Z: always the same, so that texts sort as times do */
/* Writes it at buf. No NUL. The time is one that b_parse_rfc3339 can give. */
void b_format_rfc3339(char buf[B_RFC3339_LEN], int64_t us);

/* `v` as n decimal digits at buf, with leading zeros. */
static inline void b_format_digits(char *buf, uint64_t v, unsigned n) {
    for (; n; v /= 10)
        buf[--n] = (char)('0' + v % 10);
}

#endif
