#include "base/histogram.h"

#define US 1000ull
#define MS 1000000ull
#define S 1000000000ull

const uint64_t b_histogram_bounds[B_HISTOGRAM_BUCKETS] = {
    100 * US, 250 * US, 500 * US, 1 * MS,    2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS,    100 * MS,
    250 * MS, 500 * MS, 1 * S,    2500 * MS, 5 * S,     10 * S, 30 * S,  60 * S,  UINT64_MAX,
};

void b_histogram_add(struct b_histogram *h, uint64_t ns) {
    int i = 0;
    while (ns > b_histogram_bounds[i])
        i++;
    b_counter_add(&h->buckets[i], 1);
    b_counter_add(&h->sum_ns, ns);
}

void b_histogram_read(const struct b_histogram *from, struct b_histogram_totals *into) {
    for (int i = 0; i < B_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = b_counter_get(&from->buckets[i]);
        into->buckets[i] += n;
        into->count += n;
    }
    into->sum_ns += b_counter_get(&from->sum_ns);
}

uint64_t b_histogram_quantile(const struct b_histogram_totals *t, double q) {
    double rank = q * (double)t->count, below = 0;
    for (int i = 0; t->count && i < B_HISTOGRAM_BUCKETS; i++) {
        double n = (double)t->buckets[i];
        if (below + n >= rank && n > 0) {
            double low = i ? (double)b_histogram_bounds[i - 1] : 0;
            if (i == B_HISTOGRAM_BUCKETS - 1)
                return (uint64_t)low; /* nothing is known above the last bound */
            double high = (double)b_histogram_bounds[i];
            return (uint64_t)(low + (high - low) * (rank - below) / n);
        }
        below += n;
    }
    return 0;
}
