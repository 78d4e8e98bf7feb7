#include "base/calendar.h"

#include "test.h"

static int64_t parsed(const char *text) {
    int64_t us = INT64_MIN;
    return b_parse_rfc3339(b_slice_cstr(text), &us) ? us : INT64_MIN;
}

TEST(every_day_of_ten_thousand_years_goes_there_and_back) {
    struct b_date before = {0, 1, 1};
    int64_t first = b_days_of_date(before), last = b_days_of_date((struct b_date){9999, 12, 31});
    CHECK_INT(b_days_of_date((struct b_date){1970, 1, 1}), 0);
    CHECK_INT(first, -719528);
    CHECK_INT(last, 2932896);
    for (int64_t day = first + 1; day <= last; day++) {
        struct b_date d = b_date_of_days(day);
        bool follows = d.year == before.year
                           ? (d.month == before.month ? d.day == before.day + 1
                                                      : d.month == before.month + 1 && d.day == 1)
                           : d.year == before.year + 1 && d.month == 1 && d.day == 1 && before.month == 12;
        if (!follows || b_days_of_date(d) != day)
            CHECK_INT(day, first); /* tells which */
        before = d;
    }
}

TEST(times_are_read) {
    CHECK_INT(parsed("1970-01-01T00:00:00Z"), 0);
    CHECK_INT(parsed("2026-11-27T07:00:00.25+01:00"), 1795759200250000);
    CHECK_INT(parsed("2026-11-27t06:00:00.250000999z"), 1795759200250000);
    CHECK_INT(parsed("2026-11-27 06:00:00-00:00"), 1795759200000000);
    CHECK_INT(parsed("2016-12-31T23:59:60.9Z"), parsed("2017-01-01T00:00:00Z"));
    CHECK_INT(parsed("1969-12-31T23:59:59.999999Z"), -1);
    CHECK_INT(parsed("0000-01-01T00:00:00Z"), -719528ll * 86400 * 1000000);
    CHECK_INT(parsed("9999-12-31T23:59:59.999999Z"), 2932897ll * 86400 * 1000000 - 1);
    CHECK_INT(parsed("2024-02-29T00:00:00Z"), 1709164800000000);
}

TEST(what_is_no_time_is_refused) {
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-27",
                                      "2026-11-27T07:00:00",
                                      "2026-11-27T07:00Z",
                                      "2026-11-27T07:00:00.Z",
                                      "2026-11-27T07:00:00,5Z",
                                      "2026-11-27T07:00:00Z ",
                                      " 2026-11-27T07:00:00Z",
                                      "2026-11-27T24:00:00Z",
                                      "2026-11-27T07:60:00Z",
                                      "2026-11-27T07:00:61Z",
                                      "2026-11-31T07:00:00Z",
                                      "2025-02-29T07:00:00Z",
                                      "1900-02-29T07:00:00Z",
                                      "2026-00-10T07:00:00Z",
                                      "2026-13-10T07:00:00Z",
                                      "2026-11-00T07:00:00Z",
                                      "2026-11-27T07:00:00+0100",
                                      "2026-11-27T07:00:00+24:00",
                                      "2026-11-27T07:00:00+01:60",
                                      "10000-01-01T00:00:00Z",
                                      "-001-01-01T00:00:00Z",
                                      "0000-01-01T00:00:00+00:01",
                                      "9999-12-31T23:59:59-00:01"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parsed(bad[i]) != INT64_MIN)
            CHECK_STR(bad[i], "refused");
}

TEST(times_are_written_so_that_they_sort) {
    static const char *const texts[] = {"0000-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z",
                                        "1970-01-01T00:00:00.000000Z", "2026-11-27T06:00:00.250000Z",
                                        "9999-12-31T23:59:59.999999Z"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        char buf[B_RFC3339_LEN + 1] = {0};
        b_format_rfc3339(buf, parsed(texts[i]));
        CHECK_STR(buf, texts[i]);
    }
}

const struct test_case calendar_tests[] = {
    {"every_day_of_ten_thousand_years_goes_there_and_back",
     every_day_of_ten_thousand_years_goes_there_and_back},
    {"times_are_read", times_are_read},
    {"what_is_no_time_is_refused", what_is_no_time_is_refused},
    {"times_are_written_so_that_they_sort", times_are_written_so_that_they_sort},
    {0},
};
