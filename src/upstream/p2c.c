/* The power of two choices (Mitzenmacher 1996): of two members drawn by weight, the one that costs less, which is its
 * latency times what it has to do already (peak EWMA, as in Finagle). Finds slow endpoints without looking at all, and does
 * not send everybody to the one that is best at the moment. */
#include <errno.h>

#include "upstream/alias.h"
#include "upstream/latency.h"

#define DRAWS 8

static int build(struct up_set *s) {
    s->table = up_alias_new(s);
    return s->table ? 0 : -ENOMEM;
}

/* A usable member other than `not`, or UP_NONE when the draws find none. */
static uint32_t draw(struct up_set *s, const struct up_pick *p, uint32_t not ) {
    for (int n = 0; n < DRAWS; n++) {
        uint32_t i = up_alias_draw(s->table, p->rng);
        if (i != not &&up_usable(s, i, p))
            return i;
    }
    return UP_NONE;
}

/* Of two usable members the one that costs less. */
static uint32_t better(const struct up_set *s, uint32_t a, uint32_t b, rt_time now) {
    uint64_t first = up_cost(s->members[a].endpoint, now), second = up_cost(s->members[b].endpoint, now);
    uint32_t other = 0u - (uint32_t)(second < first); /* no branch: nobody could predict it */
    return (b & other) | (a & ~other);
}

/* When the first two draws are not two usable members. */
static __attribute__((noinline)) uint32_t pick_slowly(struct up_set *s, const struct up_pick *p) {
    uint32_t a = draw(s, p, UP_NONE);
    if (a == UP_NONE)
        return up_set_next(s, (uint32_t)b_rng_below(p->rng, s->count), p);
    uint32_t b = s->count > 1 ? draw(s, p, a) : UP_NONE;
    for (uint32_t n = 1; b == UP_NONE && n < s->count; n++) /* there are few: by turns then */
        if (up_usable(s, (a + n) % s->count, p))
            b = (a + n) % s->count;
    return b == UP_NONE ? a : better(s, a, b, p->now);
}

static uint32_t pick(struct up_set *s, const struct up_pick *p) {
    uint32_t a = up_alias_draw(s->table, p->rng), b = up_alias_draw(s->table, p->rng);
    if (a != b && up_usable(s, a, p) && up_usable(s, b, p))
        return better(s, a, b, p->now);
    return pick_slowly(s, p);
}

const struct up_balancer up_p2c = {.name = "p2c", .build = build, .pick = pick};
