#include "upstream/set.h"

#include "upstream/breaker.h"
#include "upstream/cluster.h"

static const struct up_balancer *const balancers[] = {
    [CFG_ROUND_ROBIN] = &up_round_robin,
    [CFG_WEIGHTED_ROUND_ROBIN] = &up_round_robin,
    [CFG_RANDOM] = &up_random,
    [CFG_LEAST_REQUEST] = &up_least_request,
    [CFG_P2C] = &up_p2c,
    [CFG_CONSISTENT_HASH] = &up_consistent_hash,
};

struct up_set *up_set_new(int balance, const struct up_member *members, uint32_t count) {
    struct up_set *s = b_zalloc(B_TAG_UPSTREAM, sizeof *s + count * sizeof s->members[0]);
    if (!s)
        return NULL;
    s->count = count;
    s->balance = balance;
    s->balancer = balancers[balance];
    atomic_init(&s->avoid, UP_AVOIDED);
    if (count)
        memcpy(s->members, members, count * sizeof s->members[0]);
    if (count && s->balancer->build(s)) {
        b_free(s->table);
        b_free(s);
        return NULL;
    }
    return s;
}

void up_set_free(struct up_set *s) {
    for (uint32_t i = 0; i < s->count; i++)
        up_endpoint_put(s->members[i].endpoint, UP_USER);
    b_free(s->table);
    b_free(s);
}

/* Panic (Envoy's term): when more than half of those whose checks do not fail are ejected, the few that are left would
 * be swamped, and the ejected ones are as good as any. With none left that is no panic: nothing answers. Where breakers may not
 * open (any more), what they have ejected is back at once: the others may have gone meanwhile. */
void up_set_mark(struct up_set *s) {
    uint32_t well = 0, ejected = 0, trials = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t state = up_state(s->members[i].endpoint);
        if (state & (UP_FAILING | UP_DRAINING))
            continue;
        trials += (state & UP_TRIAL) != 0;
        if (state & (UP_EJECTED | UP_PROBING))
            ejected++;
        else
            well++;
    }
    atomic_store_explicit(&s->trials, trials, memory_order_relaxed);
    bool panic = well && ejected > well, all = panic || !up_breaker_may_open(s);
    atomic_store_explicit(&s->panic, panic, memory_order_relaxed);
    atomic_store_explicit(&s->avoid, all ? UP_FAILING | UP_DRAINING : UP_AVOIDED, memory_order_relaxed);
}

#define WARM_LEAST 10 /* percent of its share that a cold endpoint begins with */

static bool warm_enough(struct up_endpoint *e, const struct up_pick *p) {
    rt_time span = atomic_load_explicit(&e->cluster->slow_start, memory_order_relaxed);
    rt_time age = p->now - atomic_load_explicit(&e->back_at, memory_order_relaxed);
    if (age >= span) {
        atomic_fetch_and(&e->state, ~(uint32_t)UP_WARMING);
        return true;
    }
    if (p->no_warming)
        return true;
    uint64_t percent = (uint64_t)(age > 0 ? age : 0) * 100 / (uint64_t)span;
    return b_rng_below(p->rng, 100) < (percent > WARM_LEAST ? percent : WARM_LEAST);
}

bool up_usable_state(const struct up_set *s, struct up_endpoint *e, uint32_t state, const struct up_pick *p) {
    if (state & up_set_avoids(s))
        return false;
    return !(state & UP_WARMING) || warm_enough(e, p);
}

uint32_t up_set_next(const struct up_set *s, uint32_t from, const struct up_pick *p) {
    for (uint32_t n = 0; n < s->count; n++) {
        uint32_t i = from + n < s->count ? from + n : from + n - s->count;
        if (up_usable(s, i, p))
            return i;
    }
    return UP_NONE;
}

bool up_set_is_out(const struct up_set *s) {
    const struct up_pick any = {.no_warming = true};
    return !atomic_load_explicit(&((struct up_set *)(uintptr_t)s)->trials, memory_order_relaxed) &&
           up_set_next(s, 0, &any) == UP_NONE;
}

/* By the balancer; NULL: there is none. */
static struct up_endpoint *pick_usable(struct up_set *s, struct up_pick *p) {
    uint32_t i = s->balancer->pick(s, p);
    if (i == UP_NONE) {
        struct up_pick again = {.hash = p->hash, .now = p->now, .rng = p->rng, .no_warming = true};
        i = s->balancer->pick(s, &again);
    }
    return i == UP_NONE ? NULL : s->members[i].endpoint;
}

struct up_endpoint *up_set_pick(struct up_set *s, struct up_pick *p) {
    bool trials = atomic_load_explicit(&s->trials, memory_order_relaxed);
    struct up_endpoint *e = trials ? up_breaker_claim(s, p, false) : NULL;
    p->trial = e != NULL;
    if (!e && s->count)
        e = pick_usable(s, p);
    if (!e && trials) { /* there is nobody else */
        e = up_breaker_claim(s, p, true);
        p->trial = e != NULL;
    }
    if (!e)
        return NULL;
    if (up_load(e) == 0)
        atomic_store_explicit(&e->latency.since, p->now, memory_order_relaxed);
    if (p->tried_count < UP_TRIED_MAX)
        p->tried[p->tried_count++] = e;
    up_endpoint_hold(e, 1);
    return e;
}
