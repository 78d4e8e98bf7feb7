#include "gateway/overload.h"

#include "test.h"

TEST(R17_steps_are_entered_and_left_apart) {
    static const struct {
        enum gw_pressure now;
        unsigned permille;
        enum gw_pressure next;
    } cases[] = {
        {GW_CALM, 0, GW_CALM},         {GW_CALM, 849, GW_CALM},    {GW_CALM, 850, GW_RELEASE},
        {GW_CALM, 900, GW_SHED},       {GW_CALM, 950, GW_STOP},    {GW_CALM, 10000, GW_STOP},
        {GW_RELEASE, 899, GW_RELEASE}, {GW_RELEASE, 900, GW_SHED}, {GW_RELEASE, 800, GW_RELEASE},
        {GW_RELEASE, 799, GW_CALM},    {GW_SHED, 949, GW_SHED},    {GW_SHED, 850, GW_SHED},
        {GW_SHED, 849, GW_RELEASE},    {GW_SHED, 799, GW_CALM},    {GW_STOP, 900, GW_STOP},
        {GW_STOP, 899, GW_SHED},       {GW_STOP, 849, GW_RELEASE}, {GW_STOP, 0, GW_CALM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (gw_pressure_next(cases[i].now, cases[i].permille) != cases[i].next)
            FAIL("from step %d at %u it does not go to %d", (int)cases[i].now, cases[i].permille,
                 (int)cases[i].next);
}

const struct test_case overload_tests[] = {
    {"R17_steps_are_entered_and_left_apart", R17_steps_are_entered_and_left_apart},
    {0},
};
