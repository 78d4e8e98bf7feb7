#include "upstream/upstream.h"

#include <errno.h>

#include "base/log.h"
#include "config/copy.h"
#include "upstream/breaker.h"
#include "upstream/discover.h"
#include "upstream/figures.h"
#include "upstream/health.h"
#include "upstream/pool.h"

struct up_registry {
    pthread_mutex_t
        lock; /* of the lists of clusters and their upstreams; reloads and closing snapshots are rare */
    struct b_list clusters;
    struct up_figures *figures;
    _Atomic bool closing;
};

struct up_registry *up_registry_new(void) {
    struct up_registry *r = b_zalloc(B_TAG_UPSTREAM, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    b_list_init(&r->clusters);
    r->figures = up_figures_new(r);
    if (!r->figures) {
        up_registry_free(r);
        return NULL;
    }
    return r;
}

void up_registry_free(struct up_registry *r) {
    if (!r)
        return;
    up_figures_free(r->figures);
    pthread_mutex_destroy(&r->lock);
    b_free(r);
}

void up_registry_each(struct up_registry *r, void (*fn)(struct up_cluster *c, void *arg), void *arg) {
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->clusters) {
        struct up_cluster *c = B_CONTAINER(n, struct up_cluster, link);
        if (c->current)
            fn(c, arg);
    }
    pthread_mutex_unlock(&r->lock);
}

bool up_registry_drop(struct up_registry *r, struct up_cluster *c) {
    pthread_mutex_lock(&r->lock);
    bool last = atomic_fetch_sub(&c->refs, 1) == 1;
    if (last)
        b_list_remove(&c->link);
    pthread_mutex_unlock(&r->lock);
    return last;
}

struct up_target *up_targets(const struct cfg_upstream *conf) {
    struct up_target *targets = b_alloc(B_TAG_UPSTREAM, (conf->endpoints.count + 1) * sizeof *targets);
    size_t n = 0;
    if (targets)
        CFG_EACH(const struct cfg_endpoint, e, &conf->endpoints)
            targets[n++] = (struct up_target){&e->url, e->weight};
    return targets;
}

/* --- upstreams --- */

#define ARENA_MAX (64u << 20) /* 10,000 endpoints are some 5 MB */

static void free_upstream(struct up_upstream *u) {
    b_arena_release(&u->arena);
    b_free(u);
}

/* The default is what can be repeated without harm and is likely to go well elsewhere. */
static void set_retry_on(struct cfg_retry_on *on, const struct cfg_list *list) {
    static const char *const usual[] = {"connect_failure", "reset", "timeout", "502", "503", "504"};
    CFG_EACH(const struct cfg_text, t, list)
        (void)cfg_parse_retry_on(t->text, on);
    for (size_t i = 0; !list->node && i < sizeof usual / sizeof usual[0]; i++)
        (void)cfg_parse_retry_on(b_slice_cstr(usual[i]), on);
}

static struct up_upstream *upstream_new(const struct cfg_upstream *conf) {
    struct up_upstream *u = b_zalloc(B_TAG_UPSTREAM, sizeof *u);
    if (!u)
        return NULL;
    b_list_init(&u->link);
    atomic_init(&u->refs, 1);
    b_arena_init(&u->arena, B_TAG_UPSTREAM, NULL, NULL, 0, ARENA_MAX);
    if (cfg_copy(&cfg_upstream_table, conf, &u->conf, &u->arena)) {
        free_upstream(u);
        return NULL;
    }
    u->limits = http_limits_default;
    u->limits.max_header_bytes = (uint32_t)conf->max_header_bytes;
    u->limits.max_headers = (uint32_t)conf->max_headers;
    set_retry_on(&u->retry_on, &conf->retry.on);
    return u;
}

/* Under the registry's lock. */
static struct up_cluster *find_cluster(struct up_registry *r, struct b_slice name) {
    B_LIST_EACH(n, &r->clusters) {
        struct up_cluster *c = B_CONTAINER(n, struct up_cluster, link);
        if (b_slice_eq(b_slice_cstr(c->name), name))
            return c;
    }
    return NULL;
}

static struct up_upstream *find_equal(struct up_cluster *c, const struct cfg_upstream *conf) {
    B_LIST_EACH(n, &c->upstreams) {
        struct up_upstream *u = B_CONTAINER(n, struct up_upstream, link);
        if (cfg_equal(&cfg_upstream_table, &u->conf, conf))
            return u;
    }
    return NULL;
}

/* Under the registry's lock. */
static struct up_upstream *get(struct up_registry *r, const struct cfg_upstream *conf) {
    struct up_cluster *c = find_cluster(r, conf->head.name);
    struct up_upstream *u = c ? find_equal(c, conf) : NULL;
    if (u)
        return up_hold(u);
    u = upstream_new(conf);
    if (!u)
        return NULL;
    if (c)
        atomic_fetch_add(&c->refs, 1);
    else if ((c = up_cluster_new(r, conf)))
        b_list_push_back(&r->clusters, &c->link);
    if (!c) {
        free_upstream(u);
        return NULL;
    }
    u->cluster = c;
    b_list_push_back(&c->upstreams, &u->link);
    return u;
}

struct up_upstream *up_get(struct up_registry *r, const struct cfg_upstream *conf) {
    pthread_mutex_lock(&r->lock);
    struct up_upstream *u = get(r, conf);
    pthread_mutex_unlock(&r->lock);
    return u;
}

struct up_upstream *up_find(struct up_registry *r, struct b_slice name) {
    pthread_mutex_lock(&r->lock);
    struct up_cluster *c = find_cluster(r, name);
    struct up_upstream *u = c && c->current ? up_hold(c->current) : NULL;
    pthread_mutex_unlock(&r->lock);
    return u;
}

struct up_upstream *up_current(struct up_cluster *c) {
    pthread_mutex_lock(&c->registry->lock);
    struct up_upstream *u = c->current ? up_hold(c->current) : NULL;
    pthread_mutex_unlock(&c->registry->lock);
    return u;
}

struct up_upstream *up_hold(struct up_upstream *u) {
    atomic_fetch_add(&u->refs, 1);
    return u;
}

void up_put(struct up_upstream *u) {
    struct up_cluster *c = u->cluster;
    pthread_mutex_lock(&c->registry->lock);
    bool last = atomic_fetch_sub(&u->refs, 1) == 1;
    if (last)
        b_list_remove(&u->link);
    pthread_mutex_unlock(&c->registry->lock);
    if (!last)
        return;
    free_upstream(u);
    up_cluster_put(c);
}

/* --- the config in force --- */

/* Another upstream becomes the one that the cluster goes by, or none. */
static void set_current(struct up_cluster *c, struct up_upstream *u) {
    pthread_mutex_lock(&c->registry->lock);
    struct up_upstream *old = c->current;
    c->current = u ? up_hold(u) : NULL;
    pthread_mutex_unlock(&c->registry->lock);
    if (old)
        up_put(old);
}

static void follow(struct up_cluster *c, struct up_upstream *u) {
    int rc = 0;
    up_cluster_limits(c, &u->conf);
    set_current(c, u);
    if (!u->conf.discover.head.node) {
        struct up_target *targets = up_targets(&u->conf);
        rc = targets ? up_cluster_apply(c, NULL, u->conf.balance, targets, u->conf.endpoints.count) : -ENOMEM;
        b_free(targets);
    }
    if (rc < 0)
        B_LOG(B_ERROR, "upstream", "upstream %s keeps its endpoints until the next reload: memory is short",
              c->name);
    up_discover_start(c);
    up_health_start(c);
}

/* The next cluster that does not go by what the root says, with a reference, and in *u what it should go by (with one, too),
 * or NULL for none. NULL: all do. */
static struct up_cluster *next_stale(struct up_registry *r, const struct cfg_root *root,
                                     struct up_upstream **u) {
    struct up_cluster *found = NULL;
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->clusters) {
        struct up_cluster *c = B_CONTAINER(n, struct up_cluster, link);
        const struct cfg_upstream *conf = root ? cfg_upstream_find(root, b_slice_cstr(c->name)) : NULL;
        *u = conf ? find_equal(c, conf) : NULL;
        if (*u != c->current) {
            found = c;
            break;
        }
    }
    if (found) {
        atomic_fetch_add(&found->refs, 1);
        if (*u)
            up_hold(*u);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

#define FIRST_ANSWERS RT_S /* that discoveries have before requests may come */

static void look_whether_awaited(struct up_cluster *c, void *arg) {
    *(bool *)arg |= up_discover_awaited(c);
}

/* A start would answer 503 until the endpoints are known; so it waits a little. */
static void await_discoveries(struct up_registry *r) {
    rt_time until = rt_after(rt_now(), FIRST_ANSWERS);
    for (bool awaited = true; awaited && rt_now() < until;) {
        awaited = false;
        up_registry_each(r, look_whether_awaited, &awaited);
        if (awaited && rt_sleep_until(rt_after(rt_now(), 5 * RT_MS)) != 0)
            return;
    }
}

void up_registry_publish(struct up_registry *r, const struct cfg_root *root) {
    struct up_upstream *u;
    rt_cancel_off();
    for (struct up_cluster *c; (c = next_stale(r, root, &u)); up_cluster_put(c)) {
        if (!u) {
            set_current(c, NULL);
            continue;
        }
        follow(c, u);
        up_put(u);
    }
    if (root)
        await_discoveries(r);
    rt_cancel_on();
}

/* --- the end --- */

void up_registry_clear_here(struct up_registry *r) {
    pthread_mutex_lock(&r->lock); /* clearing a pool does not wait */
    B_LIST_EACH(n, &r->clusters)
        up_pool_clear(B_CONTAINER(n, struct up_cluster, link));
    pthread_mutex_unlock(&r->lock);
}

static void clear_all_here(void *arg) {
    up_registry_clear_here(arg);
}

void up_registry_close(struct up_registry *r) {
    atomic_store(&r->closing, true);
    up_registry_publish(r, NULL);
    int rc = up_on_all_workers("close pools", clear_all_here, r);
    (void)rc; /* what is left is closed with the process */
}

bool up_registry_closing(const struct up_registry *r) {
    return atomic_load_explicit(&((struct up_registry *)(uintptr_t)r)->closing, memory_order_relaxed);
}

/* --- warming --- */

void up_warm(struct up_upstream *u) {
    struct up_cluster *cluster = u->cluster;
    struct rt_call call = {.deadline = rt_after(rt_now(), u->conf.connect_timeout)};
    b_arena_init(&call.arena, B_TAG_UPSTREAM, rt_chunks(), NULL, 0, B_ARENA_CHUNK * 16);
    /* one try each: a connection may be closed again at once */
    for (int64_t n = 0; n < u->conf.pool.min_idle && atomic_load(&cluster->idle) < u->conf.pool.min_idle;
         n++) {
        struct up_pick pick = {.now = rt_now(), .rng = &rt_self()->rng};
        struct up_endpoint *e = up_set_pick(up_cluster_set(cluster), &pick);
        rt_time deadline = call.deadline;
        struct up_conn *c;
        int rc = e ? up_pool_get(e, &call, u->conf.connect_timeout, &deadline, true, &c) : -ENOENT;
        if (rc == 0)
            up_pool_give(c);
        if (e && pick.trial)
            up_breaker_note(e, UP_GONE, true); /* a connection is not what it is tried with */
        if (e)
            up_endpoint_put(e, 1);
        if (rc)
            break; /* requests will find out, and say so */
    }
    b_arena_release(&call.arena);
}
