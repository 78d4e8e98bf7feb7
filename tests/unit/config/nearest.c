#include "config/nearest.h"

#include "test.h"

static size_t distance(const char *a, const char *b) {
    size_t there = cfg_distance(b_slice_cstr(a), b_slice_cstr(b), 20);
    CHECK_UINT(cfg_distance(b_slice_cstr(b), b_slice_cstr(a), 20), there);
    return there;
}

TEST(edits_are_counted) {
    CHECK_UINT(distance("", ""), 0);
    CHECK_UINT(distance("", "abc"), 3);
    CHECK_UINT(distance("timeout", "timeout"), 0);
    CHECK_UINT(distance("Timeout", "tImeouT"), 0);
    CHECK_UINT(distance("tiemout", "timeout"), 1); /* neighbours swapped */
    CHECK_UINT(distance("timeou", "timeout"), 1);
    CHECK_UINT(distance("timeoutt", "timeout"), 1);
    CHECK_UINT(distance("tymeout", "timeout"), 1);
    CHECK_UINT(distance("kitten", "sitting"), 3);
    CHECK_UINT(distance("ab", "ba"), 1);
    CHECK_UINT(distance("abcdef", "fedcba"), 5);
    CHECK_UINT(distance("log", "workers"), 6);
}

TEST(beyond_the_limit_it_stops) {
    char longest[CFG_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    CHECK_UINT(cfg_distance(B_LIT("abcdef"), B_LIT("uvwxyz"), 2), 3);
    CHECK_UINT(cfg_distance(b_slice(longest, CFG_NAME_MAX), b_slice(longest, CFG_NAME_MAX), 2), 0);
    CHECK_UINT(cfg_distance(b_slice(longest, CFG_NAME_MAX + 1), b_slice(longest, CFG_NAME_MAX), 2), 3);
}

static const char *nearest(const char *wanted) {
    static const char *const names[] = {"timeout",  "retry",         "io", "balance",
                                        "max_idle", "max_idle_time", NULL};
    struct cfg_nearest n;
    cfg_nearest_init(&n, b_slice_cstr(wanted));
    for (size_t i = 0; names[i]; i++)
        cfg_nearest_offer(&n, b_slice_cstr(names[i]));
    return n.best.ptr;
}

TEST(the_nearest_is_found) {
    CHECK_STR(nearest("tiemout"), "timeout");
    CHECK_STR(nearest("time_out"), "timeout");
    CHECK_STR(nearest("RETRY"), "retry");
    CHECK_STR(nearest("retries"), NULL);
    CHECK_STR(nearest("i"), "io");
    CHECK_STR(nearest("maxidle"), "max_idle");
    CHECK_STR(nearest("max_idle_times"), "max_idle_time");
    CHECK_STR(nearest("entirely_else"), NULL);
    CHECK_STR(nearest("xy"), NULL);
    CHECK_STR(nearest(""), NULL);
}

const struct test_case nearest_tests[] = {
    {"edits_are_counted", edits_are_counted},
    {"beyond_the_limit_it_stops", beyond_the_limit_it_stops},
    {"the_nearest_is_found", the_nearest_is_found},
    {0},
};
