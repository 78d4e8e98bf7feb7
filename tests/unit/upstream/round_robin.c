/* Whose turn it is, and what a set does for every balancer. */
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "test.h"

static unsigned next(struct up_set *s, struct up_pick *p) {
    return fake_number(up_set_pick(s, p));
}

static const char *order(struct up_set *s, unsigned n) {
    static char text[256];
    for (unsigned i = 0; i < n; i++) {
        struct up_pick p = {0};
        text[i] = (char)('a' + next(s, &p));
    }
    text[n] = 0;
    return text;
}

static struct up_set *turns(const int64_t *weights, uint32_t count) {
    return fake_set(CFG_ROUND_ROBIN, weights, count);
}

TEST(equal_weights_take_turns) {
    CHECK_STR(order(turns((const int64_t[]){7, 7, 7}, 3), 7), "abcabca");
    fake_free();
}

/* nginx's classic: no endpoint gets its share in one go. */
TEST(weights_are_smooth) {
    CHECK_STR(order(turns((const int64_t[]){5, 1, 1}, 3), 14), "aabacaaaabacaa");
    fake_free();
    CHECK_STR(order(turns((const int64_t[]){6, 2}, 2), 8), "aabaaaba");
    fake_free();
    CHECK_STR(order(turns((const int64_t[]){1000}, 1), 3), "aaa");
    fake_free();
}

/* In every stretch of the schedule an endpoint is within one turn of its share. */
TEST(weights_are_exact) {
    static const int64_t weights[] = {3, 7, 1, 11, 4};
    struct up_set *s = turns(weights, 5);
    int64_t had[5] = {0}, sum = 26;
    for (int64_t n = 1; n <= 2 * sum; n++) {
        struct up_pick p = {0};
        had[next(s, &p)]++;
        for (int i = 0; i < 5; i++)
            CHECK(llabs(had[i] * sum - n * weights[i]) <= 2 * sum);
        for (int i = 0; n % sum == 0 && i < 5; i++)
            CHECK_INT(had[i], weights[i] * (n / sum));
    }
    fake_free();
}

TEST(a_long_schedule_is_scaled_down) {
    static int64_t weights[FAKES_MAX];
    unsigned had[FAKES_MAX] = {0};
    for (int i = 0; i < FAKES_MAX; i++)
        weights[i] = i == 0 ? 1 : 997;
    struct up_set *s = turns(weights, FAKES_MAX);
    for (unsigned i = 0; i < 4096 + FAKES_MAX; i++) {
        struct up_pick p = {0};
        had[next(s, &p)]++;
    }
    CHECK(had[0] >= 1); /* nobody is left out */
    CHECK(had[1] > 30 && had[99] > 30);
    fake_free();
}

TEST(does_not_try_one_again) {
    struct up_set *s = turns((const int64_t[]){100, 1, 1}, 3);
    for (int i = 0; i < 300; i++) {
        struct up_pick p = {0};
        unsigned seen = 0;
        for (int n = 0; n < 3; n++)
            seen |= 1u << next(s, &p);
        CHECK_UINT(seen, 7);
        CHECK_UINT(p.tried_count, 3);
        CHECK(next(s, &p) < 3); /* all have been tried: any */
    }
    fake_free();
}

TEST(one_endpoint_is_tried_again) {
    struct up_set *s = turns((const int64_t[]){1}, 1);
    struct up_pick p = {0};
    for (unsigned i = 0; i < UP_TRIED_MAX + 2; i++)
        CHECK_UINT(next(s, &p), 0);
    CHECK_UINT(up_load(s->members[0].endpoint), UP_TRIED_MAX + 2);
    fake_free();
}

/* --- of every balancer --- */

TEST(what_is_avoided_is_not_picked) {
    static const uint32_t reasons[] = {UP_EJECTED, UP_PROBING, UP_FAILING, UP_DRAINING};
    for (unsigned r = 0; r < sizeof reasons / sizeof reasons[0]; r++) {
        struct up_set *s = turns((const int64_t[]){1, 1, 1}, 3);
        fake_state(0, reasons[r]);
        CHECK_STR(order(s, 4), "bbcb");
        fake_state(1, UP_FAILING);
        CHECK_STR(order(s, 4), "cccc");
        fake_state(2, reasons[r]);
        struct up_pick p = {0};
        CHECK(!up_set_pick(s, &p));
        CHECK_UINT(p.tried_count, 0);
        fake_free();
    }
}

/* U06: the few that are left would be swamped. */
TEST(panic_ignores_ejection_by_attempts) {
    struct up_set *s = turns((const int64_t[]){1, 1, 1, 1}, 4);
    fake_state(0, UP_EJECTED);
    fake_state(1, UP_EJECTED);
    CHECK_STR(order(s, 4), "cccd"); /* just half */
    fake_state(2, UP_EJECTED);
    CHECK_STR(order(s, 4), "abcd");
    fake_state(1, UP_FAILING); /* that is not ignored, and does not count */
    CHECK_STR(order(s, 4), "accd");
    fake_state(0, UP_PROBING);
    CHECK_STR(order(s, 4), "accd");
    fake_state(3, UP_EJECTED); /* nothing answers: no panic */
    struct up_pick p = {0};
    CHECK(!up_set_pick(s, &p));
    fake_free();
}

TEST(an_empty_set_has_nobody) {
    struct up_set *s = turns(NULL, 0);
    struct up_pick p = {0};
    CHECK(!up_set_pick(s, &p));
    fake_free();
}

TEST(memory_runs_out) {
    for (uint64_t n = 1; n <= 3; n++) {
        struct up_member member = {fake_endpoint(0), 1};
        b_alloc_fail_at(n);
        CHECK(!up_set_new(CFG_ROUND_ROBIN, &member, 1));
        b_alloc_fail_at(0);
    }
}

const struct test_case round_robin_tests[] = {
    {"equal_weights_take_turns", equal_weights_take_turns},
    {"weights_are_smooth", weights_are_smooth},
    {"weights_are_exact", weights_are_exact},
    {"a_long_schedule_is_scaled_down", a_long_schedule_is_scaled_down},
    {"does_not_try_one_again", does_not_try_one_again},
    {"one_endpoint_is_tried_again", one_endpoint_is_tried_again},
    {"what_is_avoided_is_not_picked", what_is_avoided_is_not_picked},
    {"panic_ignores_ejection_by_attempts", panic_ignores_ejection_by_attempts},
    {"an_empty_set_has_nobody", an_empty_set_has_nobody},
    {"memory_runs_out", memory_runs_out},
    {0},
};
