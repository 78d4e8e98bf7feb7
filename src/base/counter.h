/* Counters and gauges with one writer each (a worker), read by anyone: the scrape adds the workers up. A plain add,
 * stored with release-free relaxed order, so no locked instruction is on the way of a request. */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct b_counter {
    _Atomic uint64_t v;
};

/* By the owning thread only. */
static inline void b_counter_add(struct b_counter *c, uint64_t n) {
    atomic_store_explicit(&c->v, atomic_load_explicit(&c->v, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void b_counter_sub(struct b_counter *c, uint64_t n) {
    b_counter_add(c, (uint64_t)0 - n);
}

/* By any thread. */
static inline uint64_t b_counter_get(const struct b_counter *c) {
    return atomic_load_explicit(&((struct b_counter *)(uintptr_t)c)->v, memory_order_relaxed);
}

#endif
