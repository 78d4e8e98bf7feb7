/* A weighted draw in one step: the alias method (Walker 1974; built after Vose 1991). */
#ifndef UPSTREAM_ALIAS_H
#define UPSTREAM_ALIAS_H

#include "base/rng.h"
#include "upstream/set.h"

struct up_alias {
    uint32_t count;
    struct up_alias_slot {
        uint32_t keep;  /* the slot's own member, with this chance of 2^32; UINT32_MAX: always */
        uint32_t other; /* else this one */
    } slots[];
};

/* A table of the set's weights, for b_free. NULL when memory is short. */
struct up_alias *up_alias_new(const struct up_set *s);

/* The number of a member. */
static inline uint32_t up_alias_draw(const struct up_alias *t, struct b_rng *rng) {
    uint64_t r = b_rng_next(rng);
    uint32_t i = (uint32_t)(((r >> 32) * t->count) >> 32);
    const struct up_alias_slot *slot = &t->slots[i];
    uint32_t own = 0u - (uint32_t)((uint32_t)r <= slot->keep); /* no branch: nobody could predict it */
    return (i & own) | (slot->other & ~own);
}

#endif
