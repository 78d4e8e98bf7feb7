/* For targets whose result must not depend on how the input is cut: the cuts, and a digest of what was understood. */
#ifndef FUZZ_SPLITS_H
#define FUZZ_SPLITS_H

#include "base/rng.h"
#include "base/slice.h"

struct splits {
    enum { SPLIT_NOT, SPLIT_BYTES, SPLIT_RANDOM } how;
    struct b_rng rng;
};

/* How many of the bytes that are left come next. */
static inline size_t split_next(struct splits *s, size_t left) {
    if (s->how == SPLIT_NOT || left == 0)
        return left;
    if (s->how == SPLIT_BYTES)
        return 1;
    return 1 + (size_t)b_rng_below(&s->rng, left < 64 ? left : b_rng_below(&s->rng, 2) ? 64 : left);
}

/* FNV-1a, over bytes and their number. */
static inline void digest_bytes(uint64_t *d, struct b_slice s) {
    for (size_t i = 0; i < s.len; i++)
        *d = (*d ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
}

static inline void digest_number(uint64_t *d, uint64_t n) {
    digest_bytes(d, b_slice(&n, sizeof n));
}

static inline void digest_slice(uint64_t *d, struct b_slice s) {
    digest_number(d, s.len);
    digest_bytes(d, s);
}

#endif
