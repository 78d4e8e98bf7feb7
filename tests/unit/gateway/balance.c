/* How many connections are given away. */
#include "gateway/balance.h"

#include "test.h"

enum { FULL = RT_LOAD_FULL };

TEST(even_loads_stay) {
    for (unsigned load = 0; load <= FULL; load += 64)
        for (unsigned active = 0; active < 200; active++) {
            CHECK_UINT(gw_gifts(load, load, load, active), 0);
            CHECK_UINT(gw_gifts(load, load + FULL / 8, load, active), 0);
            if (load >= FULL / 8)
                CHECK_UINT(gw_gifts(load, load - FULL / 8, load - FULL / 16, active), 0);
        }
}

TEST(a_single_busy_connection_stays) {
    CHECK_UINT(gw_gifts(FULL, 0, FULL / 2, 0), 0);
    CHECK_UINT(gw_gifts(FULL, 0, FULL / 2, 1), 0);
}

TEST(two_busy_connections_part) {
    CHECK_UINT(gw_gifts(FULL, 0, FULL / 2, 2), 1);
}

TEST(three_settle_as_two_and_one) {
    CHECK_UINT(gw_gifts(FULL, 0, FULL / 2, 3), 1);
    CHECK_UINT(gw_gifts(FULL * 2 / 3, FULL / 3, FULL / 2, 2), 0);
}

/* What a worker takes less what another has: the next look finds them nearer, and at the end nothing moves. */
TEST(many_connections_come_to_rest) {
    for (unsigned all = 2; all < 300; all++) {
        unsigned here = all, there = 0, moves = 0, gifts;
        unsigned each = FULL / all;
        do {
            gifts = gw_gifts(here * each, there * each, (here + there) * each / 2, here);
            CHECK(gifts <= here - there); /* they do not change places */
            here -= gifts;
            there += gifts;
        } while (gifts && moves++ < 100);
        CHECK(moves < 20);
        CHECK_UINT(gw_gifts(there * each, here * each, (here + there) * each / 2, there), 0);
        CHECK((here - there) * each < FULL / 4 || here - there < 2);
    }
}

/* One idle worker among many busy ones is not flooded by all of them. */
TEST(an_idle_worker_is_not_flooded) {
    unsigned workers = 32, connections = 64;
    unsigned gifts = gw_gifts(FULL, 0, FULL * (workers - 1) / workers, connections);
    CHECK(gifts >= 1);
    CHECK(gifts * (workers - 1) <= connections);
}

const struct test_case balance_tests[] = {
    {"even_loads_stay", even_loads_stay},
    {"a_single_busy_connection_stays", a_single_busy_connection_stays},
    {"two_busy_connections_part", two_busy_connections_part},
    {"three_settle_as_two_and_one", three_settle_as_two_and_one},
    {"many_connections_come_to_rest", many_connections_come_to_rest},
    {"an_idle_worker_is_not_flooded", an_idle_worker_is_not_flooded},
    {0},
};
