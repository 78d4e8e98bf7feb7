#include "runtime/cpus.h"

#include "test.h"

TEST(quota_is_rounded_up) {
    static const struct {
        const char *text;
        unsigned want;
    } cases[] = {
        {"max 100000\n", 0},
        {"100000 100000\n", 1},
        {"150000 100000\n", 2},
        {"200000 100000", 2},
        {"200001 100000\n", 3},
        {"1 100000\n", 1},
        {"50000 100000\n", 1},
        {"-1 100000", 0},
        {"", 0},
        {"\n", 0},
        {"100000", 0},
        {"100000 0\n", 0},
        {"0 100000\n", 0},
        {"x y\n", 0},
        {"1000000 100000\n", 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (rt_cpu_quota(cases[i].text) != cases[i].want)
            FAIL("\"%s\" gives %u, not %u", cases[i].text, rt_cpu_quota(cases[i].text), cases[i].want);
}

TEST(there_is_at_least_one) {
    CHECK(rt_cpu_count() >= 1);
}

const struct test_case cpus_tests[] = {
    {"quota_is_rounded_up", quota_is_rounded_up},
    {"there_is_at_least_one", there_is_at_least_one},
    {0},
};
