/* Histogram of durations with fixed buckets from 100 us to 60 s (the buckets of the Prometheus exposition) and a sum
 * in nanoseconds. One writer, any reader; readers may see a value whose bucket is counted and whose sum is not. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/counter.h"

#define B_HISTOGRAM_BUCKETS 19 /* the last one is +Inf */

struct b_histogram {
    struct b_counter buckets[B_HISTOGRAM_BUCKETS]; /* not cumulative */
    struct b_counter sum_ns;
};

/* Upper bounds in nanoseconds, ascending; the last is UINT64_MAX. */
extern const uint64_t b_histogram_bounds[B_HISTOGRAM_BUCKETS];

/* Counts one value; by the owning thread only. */
void b_histogram_add(struct b_histogram *h, uint64_t ns);
/* Adds the figures of `from` to the plain totals in `into` (buckets, then the sum). */
struct b_histogram_totals {
    uint64_t buckets[B_HISTOGRAM_BUCKETS];
    uint64_t sum_ns, count;
};
void b_histogram_read(const struct b_histogram *from, struct b_histogram_totals *into);
/* The value in nanoseconds below which the share q (0..1) lies, interpolated in its bucket; 0 when empty. */
uint64_t b_histogram_quantile(const struct b_histogram_totals *t, double q);

#endif
