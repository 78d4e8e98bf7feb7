/* A small, fast, seeded generator (splitmix64, Steele et al. 2014) for jitter, sampling and the simulator. Not for
 * secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct b_rng {
    uint64_t state;
};

static inline uint64_t b_rng_next(struct b_rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. n-1; n must not be 0. */
static inline uint64_t b_rng_below(struct b_rng *r, uint64_t n) {
    return (uint64_t)(((__uint128_t)b_rng_next(r) * n) >> 64);
}

#endif
