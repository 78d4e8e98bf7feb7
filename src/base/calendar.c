#include "base/calendar.h"

#define EPOCH 719468 /* days from 0000-03-01 to 1970-01-01 */
#define ERA 146097   /* days in 400 years */
#define ERAS_MORE 1  /* added and taken off again, so that January of year 0 is not negative */

/* Years begin in March, so that the leap day is the last of its year and a month's first day is a linear function (H. Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms"). */
struct b_date b_date_of_days(int64_t days) {
    uint64_t since = (uint64_t)(days + EPOCH + ERAS_MORE * ERA);
    unsigned era = (unsigned)(since / ERA), day_of_era = (unsigned)(since % ERA);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct b_date){.year = era * 400 + year_of_era + (month <= 2) - ERAS_MORE * 400,
                           .month = month,
                           .day = day_of_year - (153 * march_month + 2) / 5 + 1};
}

int64_t b_days_of_date(struct b_date d) {
    unsigned year = d.year + ERAS_MORE * 400 - (d.month <= 2);
    unsigned march_month = d.month > 2 ? d.month - 3 : d.month + 9;
    unsigned year_of_era = year % 400, day_of_year = (153 * march_month + 2) / 5 + d.day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return ((int64_t)(year / 400) - ERAS_MORE) * ERA + day_of_era - EPOCH;
}

static unsigned days_in_month(unsigned year, unsigned month) {
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 ? 28u + leap : 30u + ((month + month / 8) & 1);
}

/* Takes exactly n digits off the front. */
static bool take(struct b_slice *s, unsigned n, unsigned *out) {
    *out = 0;
    if (s->len < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (!b_is_digit(s->ptr[i]))
            return false;
        *out = *out * 10 + (unsigned)(s->ptr[i] - '0');
    }
    *s = b_slice_from(*s, n);
    return true;
}

static bool take_char(struct b_slice *s, char c) {
    if (!s->len || s->ptr[0] != c)
        return false;
    *s = b_slice_from(*s, 1);
    return true;
}

static bool take_date(struct b_slice *s, int64_t *days) {
    struct b_date d;
    if (!take(s, 4, &d.year) || !take_char(s, '-') || !take(s, 2, &d.month) || !take_char(s, '-') ||
        !take(s, 2, &d.day) || d.month < 1 || d.month > 12 || d.day < 1 ||
        d.day > days_in_month(d.year, d.month))
        return false;
    *days = b_days_of_date(d);
    return true;
}

static bool take_fraction(struct b_slice *s, int64_t *us) {
    unsigned digits = 0;
    *us = 0;
    if (!take_char(s, '.'))
        return true;
    for (; s->len && b_is_digit(s->ptr[0]); *s = b_slice_from(*s, 1), digits++)
        if (digits < 6)
            *us = *us * 10 + (s->ptr[0] - '0');
    for (unsigned i = digits; i < 6; i++)
        *us *= 10;
    return digits > 0;
}

/* Seconds east of UTC. */
static bool take_offset(struct b_slice *s, int64_t *offset) {
    unsigned hours, minutes;
    *offset = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    bool west = take_char(s, '-');
    if ((!west && !take_char(s, '+')) || !take(s, 2, &hours) || !take_char(s, ':') || !take(s, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *offset = (int64_t)(hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

bool b_parse_rfc3339(struct b_slice s, int64_t *us) {
    static const struct b_date last = {B_YEAR_MAX, 12, 31}, first = {0, 1, 1};
    unsigned hour, minute, second;
    int64_t days, fraction, offset;
    if (!take_date(&s, &days) || !(take_char(&s, 'T') || take_char(&s, 't') || take_char(&s, ' ')) ||
        !take(&s, 2, &hour) || !take_char(&s, ':') || !take(&s, 2, &minute) || !take_char(&s, ':') ||
        !take(&s, 2, &second) || !take_fraction(&s, &fraction) || !take_offset(&s, &offset) || s.len ||
        hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t seconds = days * B_DAY_S + hour * 3600 + minute * 60 + second - offset;
    if (seconds < b_days_of_date(first) * B_DAY_S || seconds >= (b_days_of_date(last) + 1) * B_DAY_S)
        return false;
    *us = seconds * 1000000 + (second == 60 ? 0 : fraction);
    return true;
}

void b_format_rfc3339(char buf[B_RFC3339_LEN], int64_t us) {
    const int64_t day_us = (int64_t)B_DAY_S * 1000000;
    int64_t days = us / day_us - (us % day_us < 0);
    uint64_t rest = (uint64_t)(us - days * day_us);
    struct b_date d = b_date_of_days(days);
    memcpy(buf, "0000-00-00T00:00:00.000000Z", B_RFC3339_LEN);
    b_format_digits(buf, d.year, 4);
    b_format_digits(buf + 5, d.month, 2);
    b_format_digits(buf + 8, d.day, 2);
    b_format_digits(buf + 11, rest / 3600000000, 2);
    b_format_digits(buf + 14, rest / 60000000 % 60, 2);
    b_format_digits(buf + 17, rest / 1000000 % 60, 2);
    b_format_digits(buf + 20, rest % 1000000, 6);
}
