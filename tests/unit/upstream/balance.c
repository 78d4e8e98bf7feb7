/* Whose turn it is. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "test.h"
#include "upstream/upstream.h"

#define ENDPOINTS_MAX 100

/* An upstream with nothing but what the balancer looks at. */
struct fake {
    struct up_upstream u;
    int64_t weights[ENDPOINTS_MAX];
    struct up_endpoint *endpoints[ENDPOINTS_MAX];
};

static struct up_upstream *fake(struct fake *f, const int64_t *weights, uint32_t count) {
    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < count; i++) {
        f->weights[i] = weights[i];
        f->endpoints[i] = (struct up_endpoint *)(uintptr_t)(i + 1); /* never looked into */
    }
    f->u.endpoint_count = count;
    f->u.weights = f->weights;
    f->u.endpoints = f->endpoints;
    CHECK_INT(up_schedule(&f->u), 0);
    return &f->u;
}

static unsigned next(struct up_upstream *u, uint64_t *tried) {
    return (unsigned)(uintptr_t)up_balance(u, tried) - 1;
}

static const char *order(struct up_upstream *u, unsigned n) {
    static char text[256];
    for (unsigned i = 0; i < n; i++) {
        uint64_t tried = 0;
        text[i] = (char)('a' + next(u, &tried));
    }
    text[n] = 0;
    return text;
}

TEST(equal_weights_take_turns) {
    struct fake f;
    CHECK_STR(order(fake(&f, (const int64_t[]){7, 7, 7}, 3), 7), "abcabca");
    CHECK_UINT(f.u.schedule_len, 3);
    b_free(f.u.schedule);
}

/* nginx's classic: no endpoint gets its share in one go. */
TEST(weights_are_smooth) {
    struct fake f;
    CHECK_STR(order(fake(&f, (const int64_t[]){5, 1, 1}, 3), 14), "aabacaaaabacaa");
    b_free(f.u.schedule);
    CHECK_STR(order(fake(&f, (const int64_t[]){6, 2}, 2), 8), "aabaaaba");
    CHECK_UINT(f.u.schedule_len, 4);
    b_free(f.u.schedule);
    CHECK_STR(order(fake(&f, (const int64_t[]){1000}, 1), 3), "aaa");
    CHECK_UINT(f.u.schedule_len, 1);
    b_free(f.u.schedule);
}

/* In every stretch of the schedule an endpoint is within one turn of its share. */
TEST(weights_are_exact) {
    static const int64_t weights[] = {3, 7, 1, 11, 4};
    struct fake f;
    struct up_upstream *u = fake(&f, weights, 5);
    int64_t had[5] = {0}, sum = 26;
    CHECK_UINT(u->schedule_len, 26);
    for (int64_t n = 1; n <= 2 * sum; n++) {
        uint64_t tried = 0;
        had[next(u, &tried)]++;
        for (int i = 0; i < 5; i++)
            CHECK(llabs(had[i] * sum - n * weights[i]) <= 2 * sum);
        for (int i = 0; n % sum == 0 && i < 5; i++)
            CHECK_INT(had[i], weights[i] * (n / sum));
    }
    b_free(u->schedule);
}

TEST(a_long_schedule_is_scaled_down) {
    static int64_t weights[ENDPOINTS_MAX];
    struct fake f;
    for (int i = 0; i < ENDPOINTS_MAX; i++)
        weights[i] = i == 0 ? 1 : 997;
    struct up_upstream *u = fake(&f, weights, ENDPOINTS_MAX);
    unsigned had[ENDPOINTS_MAX] = {0};
    CHECK(u->schedule_len <= 4096 + ENDPOINTS_MAX);
    for (uint32_t i = 0; i < u->schedule_len; i++)
        had[u->schedule[i]]++;
    CHECK_UINT(had[0], 1); /* nobody is left out */
    CHECK_UINT(had[1], had[99]);
    CHECK(had[1] > 30);
    b_free(u->schedule);
}

TEST(does_not_try_one_again) {
    struct fake f;
    struct up_upstream *u = fake(&f, (const int64_t[]){100, 1, 1}, 3);
    for (int i = 0; i < 300; i++) {
        uint64_t tried = 0;
        unsigned seen = 0;
        for (int n = 0; n < 3; n++)
            seen |= 1u << next(u, &tried);
        CHECK_UINT(seen, 7);
        CHECK_UINT(tried, 7);
        CHECK(next(u, &tried) < 3); /* all have been tried: any */
    }
    b_free(u->schedule);
}

TEST(one_endpoint_is_tried_again) {
    struct fake f;
    struct up_upstream *u = fake(&f, (const int64_t[]){1}, 1);
    uint64_t tried = 0;
    CHECK_UINT(next(u, &tried), 0);
    CHECK_UINT(next(u, &tried), 0);
    b_free(u->schedule);
}

TEST(more_than_the_mask_holds) {
    static int64_t weights[ENDPOINTS_MAX];
    struct fake f;
    bool seen[ENDPOINTS_MAX] = {false};
    for (int i = 0; i < ENDPOINTS_MAX; i++)
        weights[i] = 1;
    struct up_upstream *u = fake(&f, weights, ENDPOINTS_MAX);
    for (int i = 0; i < ENDPOINTS_MAX; i++) {
        uint64_t tried = 0;
        seen[next(u, &tried)] = true;
        CHECK_UINT(tried, i < 64 ? 1ull << i : 0);
    }
    for (int i = 0; i < ENDPOINTS_MAX; i++)
        CHECK(seen[i]);
    b_free(u->schedule);
}

TEST(memory_runs_out) {
    for (uint64_t n = 1; n <= 2; n++) {
        struct up_upstream u = {.endpoint_count = 2, .weights = (int64_t[]){1, 2}};
        b_alloc_fail_at(n);
        CHECK(up_schedule(&u) < 0);
        b_alloc_fail_at(0);
        CHECK(!u.schedule);
    }
}

const struct test_case balance_tests[] = {
    {"equal_weights_take_turns", equal_weights_take_turns},
    {"weights_are_smooth", weights_are_smooth},
    {"weights_are_exact", weights_are_exact},
    {"a_long_schedule_is_scaled_down", a_long_schedule_is_scaled_down},
    {"does_not_try_one_again", does_not_try_one_again},
    {"one_endpoint_is_tried_again", one_endpoint_is_tried_again},
    {"more_than_the_mask_holds", more_than_the_mask_holds},
    {"memory_runs_out", memory_runs_out},
    {0},
};
