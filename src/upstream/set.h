/* The endpoints of a cluster at one time, with what its balancer has made of them. Immutable but for its marks: a change
 * of endpoints, weights or balancer makes a new set, and the old one is freed once every worker's loop has turned. So it
 * is read without a lock, and good until the next wait. */
#ifndef UPSTREAM_SET_H
#define UPSTREAM_SET_H

#include "base/rng.h"
#include "config/config.h"
#include "upstream/endpoint.h"

struct up_set;

#define UP_TRIED_MAX \
    3 /* of more attempts than that, some may go where one has been: it lies on the fiber's stack */
#define UP_NONE UINT32_MAX

/* What is known when an endpoint is picked. */
struct up_pick {
    uint64_t hash; /* of what the config's hash_on names; where it is not there, a random number */
    rt_time now;
    struct b_rng *rng;
    bool
        may_try; /* it may be the probe of a half-open breaker: when it fails, it can be tried again elsewhere */
    bool trial;      /* set: it is */
    bool no_warming; /* slow start is not looked at: there is nobody else */
    unsigned
        tried_count; /* endpoints that earlier attempts of the request went to: avoided while there are others */
    const struct up_endpoint *tried[UP_TRIED_MAX];
};

/* One balancer, one file. No allocation, lock or wait in `pick`. */
struct up_balancer {
    const char *name; /* as in the config */
    /* Prepares set->table (from b_alloc, or NULL when it needs none). 0 or -ENOMEM. */
    int (*build)(struct up_set *s);
    /* The number of the member to send to, or UP_NONE: there is none that is up_usable. The set is not empty. */
    uint32_t (*pick)(struct up_set *s, const struct up_pick *p);
};

struct up_member {
    struct up_endpoint *endpoint;
    int64_t weight;
};

struct up_set {
    uint32_t count;
    int balance;             /* enum cfg_balance */
    bool even;               /* all have one weight; for the balancer's use */
    _Atomic uint32_t avoid;  /* UP_AVOIDED, or without what breakers eject (up_set_mark) */
    _Atomic bool panic;      /* so many are ejected that it is ignored */
    _Atomic uint32_t trials; /* members whose breakers wait for a probe */
    _Atomic uint32_t turn;   /* for the balancer's use */
    const struct up_balancer *balancer;
    void *table; /* the balancer's; freed with the set */
    struct up_member members[];
};

/* A set that owns one UP_USER of each member, which the caller hands over. NULL when memory is short: they stay his. */
struct up_set *up_set_new(int balance, const struct up_member *members, uint32_t count);
/* Frees it and puts its members back. */
void up_set_free(struct up_set *s);
/* Looks at the state of all members and sets `avoid`. Under the cluster's lock. */
void up_set_mark(struct up_set *s);

/* Whether one whose state is not 0 may be picked: what keeps it back is ignored in panic, and an endpoint in slow start gets
 * a growing part of its share. */
bool up_usable_state(const struct up_set *s, struct up_endpoint *e, uint32_t state, const struct up_pick *p);
/* What keeps members of this set back at the moment: UP_AVOIDED, or less (up_set_mark). */
static inline uint32_t up_set_avoids(const struct up_set *s) {
    return atomic_load_explicit(&((struct up_set *)(uintptr_t)s)->avoid, memory_order_relaxed);
}
static inline bool up_set_panics(const struct up_set *s) {
    return atomic_load_explicit(&((struct up_set *)(uintptr_t)s)->panic, memory_order_relaxed);
}
static inline bool up_was_tried(const struct up_pick *p, const struct up_endpoint *e) {
    for (unsigned n = 0; n < p->tried_count; n++)
        if (p->tried[n] == e)
            return true;
    return false;
}
/* Whether the member may be picked for a request that has not tried it yet. */
static inline bool up_usable(const struct up_set *s, uint32_t i, const struct up_pick *p) {
    struct up_endpoint *e = s->members[i].endpoint;
    uint32_t state = up_state(e);
    if (state && !up_usable_state(s, e, state, p))
        return false;
    return !up_was_tried(p, e);
}
/* The first usable member at or after `from`, all around; UP_NONE when there is none. */
uint32_t up_set_next(const struct up_set *s, uint32_t from, const struct up_pick *p);

/* Whether up_set_pick would find nobody. */
bool up_set_is_out(const struct up_set *s);
/* Picks an endpoint for an attempt, which becomes a user of it (load 1): one that was not tried yet, else one that was
 * and is usable; NULL when none is. While a breaker is half-open it may be that endpoint (p->trial). Notes it in *p as tried. */
struct up_endpoint *up_set_pick(struct up_set *s, struct up_pick *p);

extern const struct up_balancer up_round_robin, up_random, up_least_request, up_p2c, up_consistent_hash;

#endif
