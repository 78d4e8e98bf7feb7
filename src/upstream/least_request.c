/* The member with the fewest attempts on their way for its weight. Looks at all, from a random one on, and stops at one that
 * has nothing to do. */
#include "upstream/set.h"

static int build(struct up_set *s) {
    s->even = true;
    for (uint32_t i = 1; i < s->count; i++)
        s->even &= s->members[i].weight == s->members[0].weight;
    return 0;
}

/* Of the members from `i` to `end`, one with less to do than `least`. */
static void look(const struct up_set *s, uint32_t i, uint32_t end, const struct up_pick *p, uint32_t *best,
                 uint32_t *least) {
    for (; i < end && *least; i++) {
        uint32_t load = up_load(s->members[i].endpoint);
        if (load < *least && up_usable(s, i, p)) {
            *best = i;
            *least = load;
        }
    }
}

static uint32_t pick_even(struct up_set *s, uint32_t from, const struct up_pick *p) {
    uint32_t best = UP_NONE, least = UINT32_MAX;
    look(s, from, s->count, p, &best, &least);
    look(s, 0, from, p, &best, &least);
    return best;
}

static uint32_t pick(struct up_set *s, const struct up_pick *p) {
    uint32_t from = (uint32_t)b_rng_below(p->rng, s->count), best = UP_NONE;
    uint64_t least = 0, weight = 0; /* of the best: (load + 1) / weight */
    if (s->even)
        return pick_even(s, from, p);
    for (uint32_t n = 0, i = from; n < s->count; n++, i = i + 1 < s->count ? i + 1 : 0) {
        uint64_t load = (uint64_t)up_load(s->members[i].endpoint) + 1, w = (uint64_t)s->members[i].weight;
        if ((best == UP_NONE || load * weight < least * w) && up_usable(s, i, p)) {
            best = i;
            least = load;
            weight = w;
        }
    }
    return best;
}

const struct up_balancer up_least_request = {.name = "least_request", .build = build, .pick = pick};
