/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), for every table whose keys a peer
 * can choose. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include "base/slice.h"

struct b_hash_key {
    uint64_t k0, k1;
};

uint64_t b_siphash(struct b_hash_key key, const void *data, size_t len);

#endif
