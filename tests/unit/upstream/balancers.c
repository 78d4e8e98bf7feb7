/* Whom the balancers pick, by chance, load, latency and key. */
#include <stdio.h>
#include <stdlib.h>

#include "fake.h"
#include "test.h"
#include "upstream/latency.h"

#define MS RT_MS

static bool near(double value, double wanted, double part) {
    return value > wanted * (1 - part) && value < wanted * (1 + part);
}

static int64_t ones[FAKES_MAX];

static const int64_t *even(void) {
    for (int i = 0; i < FAKES_MAX; i++)
        ones[i] = 1;
    return ones;
}

/* --- shares --- */

static const int with_shares[] = {CFG_ROUND_ROBIN, CFG_WEIGHTED_ROUND_ROBIN, CFG_RANDOM, CFG_P2C,
                                  CFG_CONSISTENT_HASH};

TEST(shares_follow_weights) {
    static const int64_t weights[] = {1, 2, 3, 10, 4};
    for (size_t b = 0; b < sizeof with_shares / sizeof with_shares[0]; b++) {
        unsigned had[FAKES_MAX] = {0};
        bool by_points =
            with_shares[b] == CFG_CONSISTENT_HASH; /* shares of a ring are as good as its points */
        fake_set(with_shares[b], weights, 5);
        fake_count(had, 200000, MS);
        for (int i = 0; i < 5; i++)
            if (with_shares[b] !=
                CFG_P2C) /* of two that cost the same it is the first, but they must differ */
                CHECK(near(had[i], 10000.0 * (double)weights[i], by_points ? 0.3 : 0.05));
        fake_free();
    }
}

TEST(every_balancer_keeps_to_what_is_usable) {
    static const int all[] = {CFG_ROUND_ROBIN, CFG_RANDOM, CFG_LEAST_REQUEST, CFG_P2C, CFG_CONSISTENT_HASH};
    for (size_t b = 0; b < sizeof all / sizeof all[0]; b++) {
        fake_set(all[b], even(), 10);
        for (unsigned i = 0; i < 10; i++)
            if (i != 3 && i != 7)
                fake_state(i, UP_FAILING);
        for (int n = 0; n < 100; n++) {
            struct up_pick p = fake_pick(MS);
            unsigned seen = 0;
            for (int k = 0; k < 2; k++)
                seen |= 1u << fake_number(up_set_pick(fake_the_set(), &p));
            CHECK_UINT(seen, 1u << 3 | 1u << 7); /* each once, then again */
            CHECK(up_set_pick(fake_the_set(), &p));
        }
        fake_state(3, UP_FAILING);
        fake_state(7, UP_EJECTED);
        struct up_pick p = fake_pick(MS);
        CHECK(!up_set_pick(fake_the_set(), &p));
        fake_free();
        fake_set(all[b], even(), 1);
        unsigned had[FAKES_MAX] = {0};
        fake_count(had, 20, MS);
        CHECK_UINT(had[0], 20);
        fake_free();
    }
}

/* --- least_request --- */

TEST(the_least_loaded_is_picked) {
    fake_set(CFG_LEAST_REQUEST, even(), 4);
    for (unsigned i = 0; i < 4; i++)
        fake_load(i, i == 2 ? 1 : 3 + i);
    unsigned had[FAKES_MAX] = {0};
    fake_count(had, 100, MS);
    CHECK_UINT(had[2], 100);
    fake_free();
}

TEST(ties_of_load_are_spread) {
    fake_set(CFG_LEAST_REQUEST, even(), 4);
    unsigned had[FAKES_MAX] = {0};
    fake_count(had, 4000, MS);
    for (int i = 0; i < 4; i++)
        CHECK(near(had[i], 1000, 0.2));
    fake_free();
}

TEST(load_counts_by_weight) {
    fake_set(CFG_LEAST_REQUEST, (const int64_t[]){1, 4}, 2);
    unsigned had[2] = {0};
    for (int i = 0; i < 50; i++) { /* they stay */
        struct up_pick p = fake_pick(MS);
        had[fake_number(up_set_pick(fake_the_set(), &p))]++;
    }
    CHECK_UINT(had[0], 10);
    CHECK_UINT(had[1], 40);
    fake_free();
}

/* --- p2c --- */

TEST(the_slow_one_is_avoided) {
    fake_set(CFG_P2C, even(), 3);
    for (unsigned i = 0; i < 3; i++)
        up_latency_observe(fake_endpoint(i), i == 1 ? 50 * MS : MS, RT_S);
    unsigned had[FAKES_MAX] = {0};
    fake_count(had, 3000, RT_S);
    CHECK(had[1] == 0);
    CHECK(had[0] > 500 && had[2] > 500);
    fake_count(had, 3000, RT_S + 60 * RT_S); /* the memory of it fades, and it is tried again */
    CHECK(had[1] == 0);
    up_latency_observe(fake_endpoint(0), MS, RT_S + 60 * RT_S);
    up_latency_observe(fake_endpoint(2), MS, RT_S + 60 * RT_S);
    fake_count(had, 3000, RT_S + 60 * RT_S);
    CHECK(had[1] > 100);
    fake_free();
}

/* One that hangs has the best past of all, and answers nothing: its silence counts. */
TEST(a_hung_one_gets_a_handful) {
    fake_set(CFG_P2C, even(), 3);
    for (unsigned i = 0; i < 3; i++)
        up_latency_observe(fake_endpoint(i), i == 0 ? MS / 10 : MS, RT_S);
    unsigned hung = 0;
    rt_time now = RT_S;
    for (int i = 0; i < 1000;
         i++, now += MS) { /* one each ms, answered within it, but for those at the first one */
        struct up_pick p = fake_pick(now);
        struct up_endpoint *e = up_set_pick(fake_the_set(), &p);
        if (fake_number(e) == 0) {
            hung++;
            continue;
        }
        atomic_store(&e->latency.since, now + MS);
        up_latency_observe(e, MS, now + MS);
        up_endpoint_put(e, 1);
    }
    CHECK(hung >= 1 && hung <= 5);
    fake_free();
}

TEST(a_failure_is_not_fast) {
    fake_set(CFG_P2C, even(), 2);
    for (unsigned i = 0; i < 2; i++)
        up_latency_observe(fake_endpoint(i), MS, RT_S);
    up_latency_punish(fake_endpoint(0), 1000, RT_S);
    CHECK(up_latency(fake_endpoint(0), RT_S) >= (uint64_t)(2 * MS));
    unsigned had[FAKES_MAX] = {0};
    fake_count(had, 100, RT_S);
    CHECK_UINT(had[1], 100);
    fake_free();
}

TEST(latency_follows_peaks_and_forgets) {
    struct up_endpoint *e = fake_endpoint(0);
    fake_set(CFG_P2C, even(), 1);
    CHECK_UINT(up_latency(e, RT_S), 0);
    up_latency_observe(e, 2 * MS, RT_S);
    CHECK_UINT(up_latency(e, RT_S), 2 * MS);
    up_latency_observe(e, 100 * MS, RT_S);
    CHECK_UINT(up_latency(e, RT_S), 100 * MS);
    up_latency_observe(e, 2 * MS, RT_S);
    CHECK(near((double)up_latency(e, RT_S), 95.1 * MS, 0.01));
    CHECK(near((double)up_latency(e, RT_S + UP_LATENCY_DECAY), 95.1 / 2.718 * MS, 0.08));
    for (int i = 0; i < 200; i++)
        up_latency_observe(e, 2 * MS, RT_S);
    CHECK(near((double)up_latency(e, RT_S), 2 * MS, 0.02));
    fake_free();
}

/* --- consistent_hash --- */

#define KEYS 20000

static unsigned char map_of(struct up_set *s, uint64_t key) {
    struct up_pick p = fake_pick(MS);
    p.hash = key * 0x9e3779b97f4a7c15u;
    struct up_endpoint *e = up_set_pick(s, &p);
    up_endpoint_put(e, 1);
    return (unsigned char)fake_number(e);
}

TEST(keys_stay_where_they_are) {
    static unsigned char before[KEYS];
    struct up_set *s = fake_set(CFG_CONSISTENT_HASH, even(), FAKES_MAX);
    for (uint64_t k = 0; k < KEYS; k++)
        before[k] = map_of(s, k);
    for (uint64_t k = 0; k < KEYS; k++)
        CHECK_UINT(map_of(s, k), before[k]);
    fake_free();
    unsigned moved = 0, of_the_last = 0;
    s = fake_set(CFG_CONSISTENT_HASH, even(), FAKES_MAX - 1); /* the last one goes */
    for (uint64_t k = 0; k < KEYS; k++) {
        unsigned now = map_of(s, k);
        of_the_last += before[k] == FAKES_MAX - 1;
        if (now != before[k]) {
            moved++;
            CHECK_UINT(before[k], FAKES_MAX - 1);
        }
    }
    CHECK_UINT(moved, of_the_last);
    CHECK(near(moved, KEYS / FAKES_MAX, 0.5));
    fake_free();
}

TEST(the_order_of_endpoints_does_not_matter) {
    struct up_member members[10];
    struct up_set *s = fake_set(CFG_CONSISTENT_HASH, even(), 10);
    for (unsigned i = 0; i < 10; i++)
        members[i] = s->members[9 - i];
    struct up_set *turned = up_set_new(CFG_CONSISTENT_HASH, members, 10);
    REQUIRE(turned);
    for (uint64_t k = 0; k < 1000; k++)
        CHECK_UINT(map_of(s, k), map_of(turned, k));
    turned->count = 0;
    up_set_free(turned);
    fake_free();
}

TEST(loads_are_bounded) {
    struct up_set *s = fake_set(CFG_CONSISTENT_HASH, even(), 10);
    unsigned most = 0;
    for (unsigned i = 0; i < 100; i++) { /* one hot key, all of whose requests stay */
        struct up_pick p = fake_pick(MS);
        p.hash = 42;
        struct up_endpoint *e = up_set_pick(s, &p);
        atomic_fetch_sub(&fake_cluster.permits.available, 1);
        most = up_load(e) > most ? up_load(e) : most;
    }
    CHECK(most >= 12 && most <= 14); /* 100 / 10 and a quarter */
    fake_free();
}

/* --- slow start --- */

TEST(a_cold_endpoint_warms_up) {
    static const int all[] = {CFG_ROUND_ROBIN, CFG_RANDOM, CFG_LEAST_REQUEST, CFG_P2C};
    for (size_t b = 0; b < sizeof all / sizeof all[0]; b++) {
        fake_set(all[b], even(), 2);
        atomic_store(&fake_cluster.slow_start, 10 * RT_S);
        atomic_store(&fake_endpoint(0)->back_at, 100 * RT_S);
        fake_state(0, UP_WARMING);
        unsigned cold[FAKES_MAX] = {0}, half[FAKES_MAX] = {0}, warm[FAKES_MAX] = {0};
        fake_count(cold, 10000, 100 * RT_S);
        fake_count(half, 10000, 105 * RT_S);
        CHECK_UINT(up_state(fake_endpoint(0)), UP_WARMING);
        fake_count(warm, 10000, 110 * RT_S);
        CHECK_UINT(up_state(fake_endpoint(0)), 0);
        CHECK(cold[0] > 100 && cold[0] < 2000);
        CHECK(half[0] > cold[0] * 2);
        if (all[b] != CFG_P2C)
            CHECK(warm[0] > half[0] && near(warm[0], 5000, 0.1));
        fake_free();
    }
}

TEST(the_only_one_needs_no_warming) {
    fake_set(CFG_ROUND_ROBIN, even(), 1);
    atomic_store(&fake_cluster.slow_start, 10 * RT_S);
    atomic_store(&fake_endpoint(0)->back_at, 100 * RT_S);
    fake_state(0, UP_WARMING);
    unsigned had[FAKES_MAX] = {0};
    fake_count(had, 1000, 100 * RT_S);
    CHECK_UINT(had[0], 1000);
    fake_free();
}

TEST(a_set_may_be_large) {
    static const int all[] = {CFG_ROUND_ROBIN, CFG_RANDOM, CFG_LEAST_REQUEST, CFG_P2C, CFG_CONSISTENT_HASH};
    enum { MANY = 10000 };
    static struct up_endpoint many[MANY];
    static char names[MANY][16];
    struct up_member *members = malloc(MANY * sizeof *members);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "unix:/%u", i);
        many[i] = (struct up_endpoint){.text = names[i], .cluster = &fake_cluster};
        atomic_store(&many[i].users, UP_USER);
        members[i] = (struct up_member){&many[i], 1 + i % 3};
    }
    fake_set(CFG_ROUND_ROBIN, even(), 1); /* for its generator */
    for (size_t b = 0; b < sizeof all / sizeof all[0]; b++) {
        struct up_set *s = up_set_new(all[b], members, MANY);
        REQUIRE(s);
        for (int i = 0; i < 100; i++) {
            struct up_pick p = fake_pick(MS);
            struct up_endpoint *e = up_set_pick(s, &p);
            CHECK(e);
            up_endpoint_put(e, 1);
        }
        s->count = 0;
        up_set_free(s);
    }
    fake_free();
    free(members);
}

const struct test_case balancers_tests[] = {
    {"shares_follow_weights", shares_follow_weights},
    {"every_balancer_keeps_to_what_is_usable", every_balancer_keeps_to_what_is_usable},
    {"the_least_loaded_is_picked", the_least_loaded_is_picked},
    {"ties_of_load_are_spread", ties_of_load_are_spread},
    {"load_counts_by_weight", load_counts_by_weight},
    {"the_slow_one_is_avoided", the_slow_one_is_avoided},
    {"a_hung_one_gets_a_handful", a_hung_one_gets_a_handful},
    {"a_failure_is_not_fast", a_failure_is_not_fast},
    {"latency_follows_peaks_and_forgets", latency_follows_peaks_and_forgets},
    {"keys_stay_where_they_are", keys_stay_where_they_are},
    {"the_order_of_endpoints_does_not_matter", the_order_of_endpoints_does_not_matter},
    {"loads_are_bounded", loads_are_bounded},
    {"a_cold_endpoint_warms_up", a_cold_endpoint_warms_up},
    {"the_only_one_needs_no_warming", the_only_one_needs_no_warming},
    {"a_set_may_be_large", a_set_may_be_large},
    {0},
};
