#include "base/histogram.h"

#include <pthread.h>

#include "test.h"

#define MS 1000000u

TEST(bounds_ascend) {
    for (int i = 1; i < B_HISTOGRAM_BUCKETS; i++)
        CHECK(b_histogram_bounds[i] > b_histogram_bounds[i - 1]);
    CHECK_UINT(b_histogram_bounds[0], 100000);
    CHECK_UINT(b_histogram_bounds[B_HISTOGRAM_BUCKETS - 2], 60000000000u);
    CHECK_UINT(b_histogram_bounds[B_HISTOGRAM_BUCKETS - 1], UINT64_MAX);
}

TEST(a_bound_belongs_to_its_bucket) {
    struct b_histogram h = {0};
    struct b_histogram_totals t = {0};
    for (int i = 0; i < B_HISTOGRAM_BUCKETS - 1; i++) {
        b_histogram_add(&h, b_histogram_bounds[i]);
        b_histogram_add(&h, b_histogram_bounds[i] + 1); /* the next one's */
    }
    b_histogram_add(&h, 0);
    b_histogram_add(&h, UINT64_MAX / 2);
    b_histogram_read(&h, &t);
    for (int i = 0; i < B_HISTOGRAM_BUCKETS; i++)
        CHECK_UINT(t.buckets[i], 2);
    CHECK_UINT(t.count, 2 * B_HISTOGRAM_BUCKETS);
}

TEST(totals_add_up) {
    struct b_histogram a = {0}, b = {0};
    struct b_histogram_totals t = {0};
    b_histogram_add(&a, 3 * MS);
    b_histogram_add(&b, 4 * MS);
    b_histogram_add(&b, 70000ull * MS);
    b_histogram_read(&a, &t);
    b_histogram_read(&b, &t);
    CHECK_UINT(t.count, 3);
    CHECK_UINT(t.sum_ns, 70007ull * MS);
    CHECK_UINT(t.buckets[5], 2); /* 2.5 to 5 ms */
    CHECK_UINT(t.buckets[B_HISTOGRAM_BUCKETS - 1], 1);
}

TEST(quantiles_are_interpolated) {
    struct b_histogram h = {0};
    struct b_histogram_totals t = {0};
    CHECK_UINT(b_histogram_quantile(&t, 0.5), 0);
    for (int i = 0; i < 100; i++)
        b_histogram_add(&h, 20 * MS); /* the bucket of 10 to 25 ms */
    b_histogram_read(&h, &t);
    CHECK_UINT(b_histogram_quantile(&t, 0.5), 17500000);
    CHECK_UINT(b_histogram_quantile(&t, 1), 25 * MS);
    for (int i = 0; i < 100; i++)
        b_histogram_add(&h, 200 * MS); /* 100 to 250 ms */
    t = (struct b_histogram_totals){0};
    b_histogram_read(&h, &t);
    CHECK_UINT(b_histogram_quantile(&t, 0.5), 25 * MS);
    CHECK_UINT(b_histogram_quantile(&t, 0.75), 175 * MS);
    b_histogram_add(&h, 100000ull * MS);
    t = (struct b_histogram_totals){0};
    b_histogram_read(&h, &t);
    CHECK_UINT(b_histogram_quantile(&t, 1), 60000ull * MS); /* the last bound that is known */
}

static void *add_many(void *arg) {
    for (int i = 0; i < 20000; i++)
        b_histogram_add(arg, 3 * MS);
    return NULL;
}

TEST(a_reader_sees_a_growing_figure) {
    static struct b_histogram h;
    pthread_t thread;
    uint64_t last = 0;
    REQUIRE(pthread_create(&thread, NULL, add_many, &h) == 0);
    while (last < 20000) {
        struct b_histogram_totals t = {0};
        b_histogram_read(&h, &t);
        CHECK(t.count >= last && t.count <= 20000);
        last = t.count;
    }
    pthread_join(thread, NULL);
    CHECK_UINT(b_counter_get(&h.sum_ns), 20000ull * 3 * MS);
}

TEST(a_counter_goes_both_ways) {
    struct b_counter c = {0};
    b_counter_add(&c, 5);
    b_counter_sub(&c, 2);
    CHECK_UINT(b_counter_get(&c), 3);
}

const struct test_case histogram_tests[] = {
    {"bounds_ascend", bounds_ascend},
    {"a_bound_belongs_to_its_bucket", a_bound_belongs_to_its_bucket},
    {"totals_add_up", totals_add_up},
    {"quantiles_are_interpolated", quantiles_are_interpolated},
    {"a_reader_sees_a_growing_figure", a_reader_sees_a_growing_figure},
    {"a_counter_goes_both_ways", a_counter_goes_both_ways},
    {0},
};
