#include "upstream/cluster.h"

#include <errno.h>

#include "base/map.h"
#include "telemetry/http_metrics.h"
#include "upstream/health.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

/* --- figures --- */

static struct tel_family retries = {.name = "weir_upstream_retries_total",
                                    .help = "Attempts after the first one of a request.",
                                    .type = TEL_COUNTER,
                                    .labels = {"upstream"}};
static struct tel_family hedges = {
    .name = "weir_upstream_hedges_total",
    .help = "Requests that went to another endpoint as well, because the first one took its time.",
    .type = TEL_COUNTER,
    .labels = {"upstream"}};
static struct tel_family hedges_won = {.name = "weir_upstream_hedges_won_total",
                                       .help = "Hedges whose answer was taken.",
                                       .type = TEL_COUNTER,
                                       .labels = {"upstream"}};
static struct tel_family exhausted = {
    .name = "weir_retry_budget_exhausted_total",
    .help = "Attempts that would have been made if the retry budget had not been used up.",
    .type = TEL_COUNTER,
    .labels = {"upstream"}};
static struct tel_family queue_wait = {
    .name = "weir_bulkhead_wait_seconds",
    .help = "Time that requests waited because max_in_flight were at the upstream.",
    .type = TEL_HISTOGRAM,
    .labels = {"upstream"},
    .one = TEL_NANOSECONDS};
static struct tel_family reused = {.name = "weir_pool_reused_total",
                                   .help = "Requests sent on a connection that was open already.",
                                   .type = TEL_COUNTER,
                                   .labels = {"upstream"}};
static struct tel_family moved = {
    .name = "weir_pool_moved_total",
    .help = "Connections that went to another worker, which needed one when no more may be opened.",
    .type = TEL_COUNTER,
    .labels = {"upstream"}};
static struct tel_family pool_wait = {.name = "weir_pool_wait_seconds",
                                      .help = "Time spent waiting for a connection of a full pool.",
                                      .type = TEL_HISTOGRAM,
                                      .labels = {"upstream"},
                                      .one = TEL_NANOSECONDS};
static struct tel_family rejected = {
    .name = "weir_bulkhead_rejected_total",
    .help = "Requests refused because max_in_flight were at the upstream and max_pending waited.",
    .type = TEL_COUNTER,
    .labels = {"upstream"}};
static struct tel_family connections = {.name = "weir_upstream_connections",
                                        .help = "Open connections to an upstream, idle ones included.",
                                        .type = TEL_GAUGE,
                                        .labels = {"upstream"}};

static void open_metrics(struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    c->metrics = (struct up_metrics){.duration = tel_client_series(name),
                                     .retries = tel_series_get(&retries, &name),
                                     .hedges = tel_series_get(&hedges, &name),
                                     .hedges_won = tel_series_get(&hedges_won, &name),
                                     .exhausted = tel_series_get(&exhausted, &name),
                                     .queue_wait = tel_series_get(&queue_wait, &name),
                                     .reused = tel_series_get(&reused, &name),
                                     .moved = tel_series_get(&moved, &name),
                                     .pool_wait = tel_series_get(&pool_wait, &name),
                                     .rejected = tel_series_get(&rejected, &name),
                                     .connections = tel_series_get(&connections, &name)};
}

/* --- changing the set --- */

#define TRIES 100

int up_on_all_workers(const char *name, void (*fn)(void *), void *arg) {
    int rc = rt_on_all_workers(name, fn, arg);
    rt_cancel_off();
    for (unsigned i = 1; rc && i < TRIES && rt_sleep_until(rt_after(rt_now(), 10 * RT_MS)) == 0; i++)
        rc = rt_on_all_workers(name, fn, arg);
    rt_cancel_on();
    return rc;
}

/* What is being made of the targets. */
struct change {
    struct up_cluster *cluster;
    struct up_member *members;
    uint32_t count;
    struct b_map known, taken; /* endpoints that the cluster has, and those that are members; by text */
    struct up_set *old;
};

/* It is cold: it joins a cluster that serves already, or was away. */
static void warm_up(struct up_endpoint *e) {
    if (!atomic_load(&e->cluster->slow_start))
        return;
    atomic_store(&e->back_at, rt_now());
    atomic_fetch_or(&e->state, UP_WARMING);
}

/* Under the cluster's lock. */
static struct up_endpoint *find_or_make(struct change *ch, const struct up_target *t) {
    struct up_endpoint *e = b_map_get(&ch->known, t->url->text);
    if (e && up_endpoint_try_hold(e))
        return e;
    e = up_endpoint_new(ch->cluster, t->url);
    if (!e)
        return NULL;
    b_list_push_back(&ch->cluster->endpoints, &e->link);
    if (up_cluster_set(ch->cluster))
        warm_up(e);
    return e;
}

/* Under the cluster's lock. Holds what it puts into `members`, whatever it returns. */
static int find_members(struct change *ch, const struct up_target *targets, size_t count) {
    B_LIST_EACH(n, &ch->cluster->endpoints) {
        struct up_endpoint *e = B_CONTAINER(n, struct up_endpoint, link);
        if (b_map_put(&ch->known, b_slice_cstr(e->text), e) < 0)
            return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (b_map_get(&ch->taken, targets[i].url->text))
            continue;
        struct up_endpoint *e = find_or_make(ch, &targets[i]);
        if (!e)
            return -ENOMEM;
        ch->members[ch->count++] = (struct up_member){e, targets[i].weight};
        if (b_map_put(&ch->taken, b_slice_cstr(e->text), e) < 0)
            return -ENOMEM;
    }
    return 0;
}

static bool same_set(const struct up_set *s, const struct change *ch, int balance) {
    if (!s || s->count != ch->count || s->balance != balance)
        return false;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].endpoint != ch->members[i].endpoint ||
            s->members[i].weight != ch->members[i].weight)
            return false;
    return true;
}

/* Under the cluster's lock: the new set takes over. */
static void swap_sets(struct change *ch, struct up_set *s) {
    ch->old = up_cluster_set(ch->cluster);
    for (uint32_t i = 0; ch->old && i < ch->old->count; i++) {
        struct up_endpoint *e = ch->old->members[i].endpoint;
        if (b_map_get(&ch->taken, b_slice_cstr(e->text)) != e)
            atomic_fetch_or(&e->state, UP_DRAINING);
    }
    for (uint32_t i = 0; i < s->count; i++)
        atomic_fetch_and(&s->members[i].endpoint->state, ~(uint32_t)UP_DRAINING);
    up_set_mark(s);
    atomic_store_explicit(&ch->cluster->set, s, memory_order_release);
}

/* A set of the targets in place of the one before, which is left in ch->old. 0, 1 (the same) or -ENOMEM. */
static int change_set(struct change *ch, int balance, const struct up_target *targets, size_t count) {
    struct up_cluster *c = ch->cluster;
    struct up_set *s = NULL;
    bool same = false;
    ch->members = b_alloc(B_TAG_UPSTREAM, (count + 1) * sizeof *ch->members);
    if (!ch->members)
        return -ENOMEM;
    b_map_init(&ch->known, B_TAG_UPSTREAM, (struct b_hash_key){0, 0});
    b_map_init(&ch->taken, B_TAG_UPSTREAM, (struct b_hash_key){0, 0});
    pthread_mutex_lock(&c->lock);
    int rc = find_members(ch, targets, count);
    same = rc == 0 && same_set(up_cluster_set(c), ch, balance);
    if (rc == 0 && !same && (s = up_set_new(balance, ch->members, ch->count)))
        swap_sets(ch, s);
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; !s && i < ch->count; i++)
        up_endpoint_put(ch->members[i].endpoint, UP_USER);
    b_map_free(&ch->known);
    b_map_free(&ch->taken);
    b_free(ch->members);
    return s ? 0 : same ? 1 : -ENOMEM;
}

/* Once this has run on a worker, nobody there looks at the old set any more. */
static void leave_old(void *arg) {
    const struct change *ch = arg;
    for (uint32_t i = 0; i < ch->old->count; i++)
        if (up_state(ch->old->members[i].endpoint) & UP_DRAINING)
            up_pool_clear_endpoint(ch->old->members[i].endpoint);
}

/* By another upstream now: what was found for the one before is late. */
static bool is_late(struct up_cluster *c, const struct up_upstream *only_for) {
    struct up_upstream *now = only_for ? up_current(c) : NULL;
    if (now)
        up_put(now);
    return now != only_for;
}

int up_cluster_apply(struct up_cluster *c, const struct up_upstream *only_for, int balance,
                     const struct up_target *targets, size_t count) {
    struct change ch = {.cluster = c};
    rt_cancel_off();
    int rc = rt_sem_acquire(&c->changing, RT_NEVER);
    (void)rc; /* without a deadline and not to be cancelled: 0 */
    rc = is_late(c, only_for) ? 1 : change_set(&ch, balance, targets, count);
    /* a worker that had no fiber to spare for all that time may still be reading: better to lose some memory */
    if (rc == 0 && ch.old && up_on_all_workers("change endpoints", leave_old, &ch) == 0)
        up_set_free(ch.old);
    if (rc == 0)
        up_health_start(c);
    rt_sem_release(&c->changing);
    rt_cancel_on();
    return rc;
}

void up_cluster_mark(struct up_endpoint *e, uint32_t set, uint32_t clear) {
    struct up_cluster *c = e->cluster;
    pthread_mutex_lock(&c->lock);
    uint32_t before = atomic_fetch_and(&e->state, ~clear), now = atomic_fetch_or(&e->state, set) | set;
    if ((before & UP_AVOIDED) && !(now & UP_AVOIDED)) {
        atomic_store(&e->latency.average, 0); /* what it was like when it was ill says nothing now */
        warm_up(e);
    }
    struct up_set *s = up_cluster_set(c);
    if (s)
        up_set_mark(s);
    pthread_mutex_unlock(&c->lock);
}

/* --- life --- */

static void free_cluster(struct up_cluster *c) {
    struct up_set *s = up_cluster_set(c);
    if (s)
        up_set_free(s);
    b_free(c->asked);
    b_free(c->name);
    rt_sem_destroy(&c->connections);
    rt_sem_destroy(&c->permits);
    rt_sem_destroy(&c->changing);
    up_budget_destroy(&c->budget);
    pthread_mutex_destroy(&c->lock);
    b_free(c);
}

static int first_set(struct up_cluster *c, const struct cfg_upstream *conf) {
    struct change ch = {.cluster = c};
    struct up_target *targets = up_targets(conf);
    int rc = targets ? change_set(&ch, conf->balance, targets, conf->endpoints.count) : -ENOMEM;
    b_free(targets);
    return rc;
}

static unsigned worker_slots(void) {
    unsigned n = rt_worker_count();
    return n ? n : 1; /* `weir check` builds without workers */
}

static int fill(struct up_cluster *c, const struct cfg_upstream *conf) {
    unsigned n = worker_slots();
    c->name = b_strdup(B_TAG_UPSTREAM, conf->head.name.ptr, conf->head.name.len);
    c->asked = b_zalloc(B_TAG_UPSTREAM, n * sizeof *c->asked);
    if (!c->name || !c->asked)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        c->asked[i].cluster = c;
        c->asked[i].msg.fn = up_pool_asked;
    }
    open_metrics(c);
    return first_set(c, conf);
}

struct up_cluster *up_cluster_new(struct up_registry *r, const struct cfg_upstream *conf) {
    struct up_cluster *c = b_zalloc(B_TAG_UPSTREAM, sizeof *c);
    if (!c)
        return NULL;
    b_list_init(&c->link);
    b_list_init(&c->endpoints);
    b_list_init(&c->upstreams);
    c->registry = r;
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->lock, NULL);
    up_budget_init(&c->budget);
    rt_sem_init(&c->changing, 1);
    rt_sem_init(&c->permits, 0);
    rt_sem_init(&c->connections, 0);
    up_cluster_limits(c, conf);
    if (fill(c, conf)) {
        free_cluster(c);
        return NULL;
    }
    return c;
}

/* Reloads exclude each other. */
static void limit(struct rt_sem *s, _Atomic int64_t *now, int64_t to) {
    int64_t by = to - atomic_exchange(now, to);
    if (by)
        rt_sem_adjust(s, by);
}

static void breaker_options(struct up_breaker_options *o, const struct cfg_upstream *conf) {
    const struct cfg_breaker *b = &conf->breaker;
    atomic_store(&o->on, b->enabled);
    atomic_store(&o->named, b->head.given);
    atomic_store(&o->failure_percent, b->failure_percent);
    atomic_store(&o->min_requests, b->min_requests);
    atomic_store(&o->window, b->window);
    atomic_store(&o->open_for, b->open_for);
    atomic_store(&o->max_open_for, b->max_open_for);
    atomic_store(&o->consecutive_failures, b->consecutive_failures);
    atomic_store(&o->connect_timeout, conf->connect_timeout);
}

void up_cluster_limits(struct up_cluster *c, const struct cfg_upstream *conf) {
    const struct cfg_pool *pool = &conf->pool;
    limit(&c->permits, &c->max_in_flight, conf->max_in_flight);
    limit(&c->connections, &c->max_connections, pool->max_connections);
    atomic_store(&c->max_idle, pool->max_idle);
    atomic_store(&c->min_idle, pool->min_idle);
    atomic_store(&c->max_idle_time, pool->max_idle_time);
    atomic_store(&c->max_lifetime, pool->max_lifetime);
    atomic_store(&c->slow_start, conf->slow_start);
    breaker_options(&c->breaker, conf);
    pthread_mutex_lock(&c->lock);
    up_deny_set(&c->deny, conf);
    struct up_set *s = up_cluster_set(c);
    if (s)
        up_set_mark(s); /* by what the breaker's options are now */
    pthread_mutex_unlock(&c->lock);
}

bool up_cluster_try_hold(struct up_cluster *c) {
    uint32_t refs = atomic_load(&c->refs);
    while (refs)
        if (atomic_compare_exchange_weak(&c->refs, &refs, refs + 1))
            return true;
    return false;
}

static void clear_here(void *arg) {
    up_pool_clear(arg);
}

void up_cluster_put(struct up_cluster *c) {
    if (!up_registry_drop(c->registry, c))
        return;
    if (rt_worker_count() && up_on_all_workers("close pool", clear_here, c) != 0)
        return; /* no fiber to be had: what is left is closed with the process */
    free_cluster(c);
}
