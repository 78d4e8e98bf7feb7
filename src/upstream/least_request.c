/* The member with the fewest attempts on their way for its weight. Looks at all, from a random one on, and stops at one that
 * has nothing to do. */
#include "upstream/set.h"

static int build(struct up_set *s) {
    s->even = true;
    for (uint32_t i = 1; i < s->count; i++)
        s->even &= s->members[i].weight == s->members[0].weight;
    return 0;
}

struct best {
    uint32_t member, load;
};

/* Of the members from `i` to `end`, one with less to do than the best so far. */
static struct best look(const struct up_set *s, uint32_t i, uint32_t end, const struct up_pick *p,
                        struct best best) {
    for (; i < end && best.load; i++) {
        uint32_t load = up_load(s->members[i].endpoint);
        if (load < best.load && up_usable(s, i, p))
            best = (struct best){i, load};
    }
    return best;
}

static inline uint32_t fewer(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* The same, for many: four at once, without a branch for each, since mostly none of them has less. */
static struct best look_all(const struct up_set *s, uint32_t i, uint32_t end, const struct up_pick *p,
                            struct best best) {
    const struct up_member *m = s->members + i, *behind = s->members + end;
    for (; behind - m >= 4; m += 4) {
        uint32_t one = fewer(up_load(m[0].endpoint), up_load(m[1].endpoint));
        uint32_t two = fewer(up_load(m[2].endpoint), up_load(m[3].endpoint));
        if (fewer(one, two) >= best.load)
            continue;
        i = (uint32_t)(m - s->members);
        best = look(s, i, i + 4, p, best);
        if (!best.load)
            return best;
    }
    return look(s, (uint32_t)(m - s->members), end, p, best);
}

static uint32_t pick_even(struct up_set *s, uint32_t from, const struct up_pick *p) {
    struct best best = look(s, from, from + 1, p, (struct best){UP_NONE, UINT32_MAX});
    if (!best.load) /* mostly the first one has nothing to do */
        return best.member;
    best = look_all(s, from + 1, s->count, p, best);
    return look_all(s, 0, from, p, best).member;
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
