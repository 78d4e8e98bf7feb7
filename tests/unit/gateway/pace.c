/* Averages over the time that was waited for a client. */
#include "gateway/pace.h"

#include "test.h"

#define RATE 500
#define WINDOW (10 * RT_S)

static bool add(struct gw_pace *p, rt_time waited, uint64_t bytes) {
    return gw_pace_slow(p, waited, bytes, RATE, WINDOW);
}

TEST(nothing_counts_before_the_window_is_full) {
    struct gw_pace p = {0};
    CHECK(!add(&p, WINDOW - 1, 0));
    CHECK(add(&p, 1, 0));
}

TEST(the_average_decides) {
    struct gw_pace p = {0};
    CHECK(!add(&p, WINDOW, 5000));
    CHECK(add(&p, RT_MS, 0));
    CHECK(!add(&p, 0, 1));
    struct gw_pace steady = {0};
    for (int i = 0; i < 10000; i++)
        CHECK(!add(&steady, RT_S, 500));
    struct gw_pace dripping = {0};
    int slow = 0;
    for (int i = 0; i < 1000; i++)
        slow += add(&dripping, RT_S, 499);
    CHECK_INT(slow, 1000 - 9);
}

TEST(time_that_was_not_waited_does_not_count) {
    struct gw_pace p = {0};
    for (int i = 0; i < 1000000; i++)
        CHECK(!add(&p, 0, 1));
    CHECK_INT(p.waited, 0);
}

/* 1 GiB at once, then a byte a second: it lasts for minutes, not for weeks. */
TEST(a_burst_is_forgotten) {
    struct gw_pace p = {0};
    int seconds = 0;
    CHECK(!add(&p, 0, (uint64_t)1 << 30));
    while (!add(&p, RT_S, 1))
        seconds++;
    CHECK(seconds > 60);
    CHECK(seconds < 300);
}

TEST(long_waits_are_halved_at_once) {
    struct gw_pace p = {0};
    CHECK(!add(&p, 3600 * RT_S, 3600 * RATE));
    CHECK(p.waited < 2 * WINDOW);
    CHECK(add(&p, RT_S, 0));
}

TEST(a_rate_of_0_is_never_missed) {
    struct gw_pace p = {0};
    CHECK(!gw_pace_slow(&p, 24 * 3600 * RT_S, 0, 0, RT_MS));
}

const struct test_case pace_tests[] = {
    {"nothing_counts_before_the_window_is_full", nothing_counts_before_the_window_is_full},
    {"the_average_decides", the_average_decides},
    {"time_that_was_not_waited_does_not_count", time_that_was_not_waited_does_not_count},
    {"a_burst_is_forgotten", a_burst_is_forgotten},
    {"long_waits_are_halved_at_once", long_waits_are_halved_at_once},
    {"a_rate_of_0_is_never_missed", a_rate_of_0_is_never_missed},
    {0},
};
