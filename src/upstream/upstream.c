#include "upstream/upstream.h"

#include <errno.h>

#include "net/address.h"
#include "telemetry/http_metrics.h"
#include "upstream/pool.h"

struct up_registry {
    pthread_mutex_t lock; /* of the list; reloads and closing snapshots are rare */
    struct b_list list;
    _Atomic bool closing;
};

static struct tel_family endpoint_requests = {
    .name = "weir_endpoint_requests_total",
    .help = "Requests sent to an endpoint, over a connection that was there.",
    .type = TEL_COUNTER,
    .labels = {"upstream", "endpoint"}};
static struct tel_family retries = {.name = "weir_upstream_retries_total",
                                    .help = "Attempts after the first one of a request.",
                                    .type = TEL_COUNTER,
                                    .labels = {"upstream"}};
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
static struct tel_family rejected = {.name = "weir_bulkhead_rejected_total",
                                     .help = "Requests refused because max_in_flight were at the upstream.",
                                     .type = TEL_COUNTER,
                                     .labels = {"upstream"}};
static struct tel_family connections = {.name = "weir_upstream_connections",
                                        .help = "Open connections to an upstream, idle ones included.",
                                        .type = TEL_GAUGE,
                                        .labels = {"upstream"}};

struct up_registry *up_registry_new(void) {
    struct up_registry *r = b_zalloc(B_TAG_UPSTREAM, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    b_list_init(&r->list);
    return r;
}

void up_registry_free(struct up_registry *r) {
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    b_free(r);
}

static unsigned worker_slots(void) {
    unsigned n = rt_worker_count();
    return n ? n : 1; /* `weir check` builds without workers */
}

static void free_upstream(struct up_upstream *u) {
    for (uint32_t i = 0; u->endpoints && i < u->endpoint_count; i++) {
        struct up_endpoint *e = u->endpoints[i];
        if (!e)
            continue;
        b_free((char *)(uintptr_t)e->authority.ptr);
        b_free((char *)(uintptr_t)e->name.ptr);
        b_free(e->text);
        b_free(e);
    }
    b_free(u->endpoints);
    b_free(u->weights);
    b_free(u->schedule);
    b_free(u->asked);
    b_free(u->name);
    rt_sem_destroy(&u->connections);
    b_free(u);
}

static int copy(struct b_slice from, struct b_slice *to) {
    char *p = b_strdup(B_TAG_UPSTREAM, from.ptr, from.len);
    *to = b_slice(p, from.len);
    return p ? 0 : -ENOMEM;
}

static int set_address(struct up_endpoint *e, const struct cfg_url *url) {
    switch (url->kind) {
    case CFG_HOST_IPV4: net_ipv4(&e->address, url->ip, url->port); return 0;
    case CFG_HOST_IPV6: net_ipv6(&e->address, url->ip, url->port); return 0;
    case CFG_HOST_UNIX: return net_unix(&e->address, url->path);
    default: return copy(url->name, &e->name);
    }
}

static struct up_endpoint *endpoint_new(struct up_upstream *u, const struct cfg_endpoint *conf) {
    unsigned n = worker_slots();
    struct up_endpoint *e = b_zalloc(B_TAG_UPSTREAM, sizeof *e + n * sizeof e->idle[0]);
    if (!e)
        return NULL;
    e->upstream = u;
    e->port = conf->url.port;
    e->text = b_strdup(B_TAG_UPSTREAM, conf->url.text.ptr, conf->url.text.len);
    for (unsigned i = 0; i < n; i++)
        b_list_init(&e->idle[i].conns);
    struct b_slice authority = conf->url.authority.len ? conf->url.authority : B_LIT("localhost");
    if (!e->text || copy(authority, &e->authority) || set_address(e, &conf->url)) {
        b_free((char *)(uintptr_t)e->authority.ptr);
        b_free(e->text);
        b_free(e);
        return NULL;
    }
    struct b_slice labels[2] = {b_slice_cstr(u->name), conf->url.text};
    e->requests = tel_series_get(&endpoint_requests, labels);
    return e;
}

static void open_metrics(struct up_upstream *u) {
    struct b_slice name = b_slice_cstr(u->name);
    u->metrics = (struct up_metrics){.duration = tel_client_series(name),
                                     .retries = tel_series_get(&retries, &name),
                                     .reused = tel_series_get(&reused, &name),
                                     .moved = tel_series_get(&moved, &name),
                                     .pool_wait = tel_series_get(&pool_wait, &name),
                                     .rejected = tel_series_get(&rejected, &name),
                                     .connections = tel_series_get(&connections, &name)};
}

static int fill(struct up_upstream *u, const struct cfg_upstream *conf) {
    unsigned n = worker_slots();
    u->name = b_strdup(B_TAG_UPSTREAM, conf->head.name.ptr, conf->head.name.len);
    u->endpoints = b_zalloc(B_TAG_UPSTREAM, conf->endpoints.count * sizeof(struct up_endpoint *));
    u->weights = b_zalloc(B_TAG_UPSTREAM, conf->endpoints.count * sizeof *u->weights);
    u->asked = b_zalloc(B_TAG_UPSTREAM, n * sizeof *u->asked);
    if (!u->name || !u->endpoints || !u->weights || !u->asked)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        u->asked[i].upstream = u;
        u->asked[i].msg.fn = up_pool_asked;
    }
    CFG_EACH(struct cfg_endpoint, c, &conf->endpoints) {
        u->weights[u->endpoint_count] = c->weight;
        struct up_endpoint *e = endpoint_new(u, c);
        if (!e)
            return -ENOMEM;
        u->endpoints[u->endpoint_count++] = e;
    }
    open_metrics(u);
    return up_schedule(u);
}

static struct up_upstream *upstream_new(struct up_registry *r, const struct cfg_upstream *conf) {
    struct up_upstream *u = b_zalloc(B_TAG_UPSTREAM, sizeof *u);
    if (!u)
        return NULL;
    b_list_init(&u->link);
    u->registry = r;
    u->pool = conf->pool;
    u->max_in_flight = conf->max_in_flight;
    u->connect_timeout = conf->connect_timeout;
    u->timeout = conf->timeout;
    u->limits = http_limits_default;
    u->limits.max_header_bytes = (uint32_t)conf->max_header_bytes;
    u->limits.max_headers = (uint32_t)conf->max_headers;
    u->attempts = (uint32_t)conf->retry.attempts;
    atomic_store(&u->refs, 1);
    rt_sem_init(&u->connections, conf->pool.max_connections);
    if (fill(u, conf)) {
        free_upstream(u);
        return NULL;
    }
    return u;
}

/* Whether nothing that counts has changed. */
static bool same(const struct up_upstream *u, const struct cfg_upstream *conf) {
    if (!b_slice_eq(b_slice_cstr(u->name), conf->head.name) || u->endpoint_count != conf->endpoints.count ||
        u->max_in_flight != conf->max_in_flight || u->connect_timeout != conf->connect_timeout ||
        u->timeout != conf->timeout || u->limits.max_header_bytes != conf->max_header_bytes ||
        u->limits.max_headers != conf->max_headers || u->attempts != (uint32_t)conf->retry.attempts ||
        u->pool.max_connections != conf->pool.max_connections || u->pool.max_idle != conf->pool.max_idle ||
        u->pool.min_idle != conf->pool.min_idle || u->pool.max_idle_time != conf->pool.max_idle_time ||
        u->pool.max_lifetime != conf->pool.max_lifetime)
        return false;
    const struct cfg_endpoint *c = conf->endpoints.items;
    for (uint32_t i = 0; i < u->endpoint_count; i++)
        if (u->weights[i] != c[i].weight || !b_slice_eq(b_slice_cstr(u->endpoints[i]->text), c[i].url.text))
            return false;
    return true;
}

struct up_upstream *up_get(struct up_registry *r, const struct cfg_upstream *conf) {
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->list) {
        struct up_upstream *u = B_CONTAINER(n, struct up_upstream, link);
        if (same(u, conf)) {
            atomic_fetch_add(&u->refs, 1);
            pthread_mutex_unlock(&r->lock);
            return u;
        }
    }
    struct up_upstream *u = upstream_new(r, conf);
    if (u)
        b_list_push_back(&r->list, &u->link);
    pthread_mutex_unlock(&r->lock);
    return u;
}

struct up_upstream *up_hold(struct up_upstream *u) {
    atomic_fetch_add(&u->refs, 1);
    return u;
}

bool up_try_hold(struct up_upstream *u) {
    uint32_t refs = atomic_load(&u->refs);
    while (refs)
        if (atomic_compare_exchange_weak(&u->refs, &refs, refs + 1))
            return true;
    return false;
}

#define TRIES 100

/* Memory or fibers may be short for a moment. */
static int on_all_workers(const char *name, void (*fn)(void *), void *arg) {
    int rc = rt_on_all_workers(name, fn, arg);
    rt_cancel_off();
    for (unsigned i = 1; rc && i < TRIES && rt_sleep_until(rt_after(rt_now(), 10 * RT_MS)) == 0; i++)
        rc = rt_on_all_workers(name, fn, arg);
    rt_cancel_on();
    return rc;
}

static void clear_here(void *arg) {
    up_pool_clear(arg);
}

void up_registry_clear_here(struct up_registry *r) {
    pthread_mutex_lock(&r->lock); /* clearing a pool does not wait */
    B_LIST_EACH(n, &r->list)
        up_pool_clear(B_CONTAINER(n, struct up_upstream, link));
    pthread_mutex_unlock(&r->lock);
}

static void clear_all_here(void *arg) {
    up_registry_clear_here(arg);
}

void up_registry_close(struct up_registry *r) {
    atomic_store(&r->closing, true);
    int rc = on_all_workers("close pools", clear_all_here, r);
    (void)rc; /* what is left is closed with the process */
}

bool up_registry_closing(const struct up_registry *r) {
    return atomic_load_explicit(&((struct up_registry *)(uintptr_t)r)->closing, memory_order_relaxed);
}

void up_put(struct up_upstream *u) {
    struct up_registry *r = u->registry;
    pthread_mutex_lock(&r->lock);
    bool last = atomic_fetch_sub(&u->refs, 1) == 1;
    if (last)
        b_list_remove(&u->link);
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    if (rt_worker_count() && on_all_workers("close pool", clear_here, u) != 0)
        return; /* no fiber to be had: what is left is closed with the process */
    free_upstream(u);
}

void up_warm(struct up_upstream *u) {
    struct rt_call call = {.deadline = rt_after(rt_now(), u->connect_timeout)};
    b_arena_init(&call.arena, B_TAG_UPSTREAM, rt_chunks(), NULL, 0, B_ARENA_CHUNK * 16);
    /* one try each: a connection may be closed again at once */
    for (int64_t n = 0; n < u->pool.min_idle && atomic_load(&u->idle) < u->pool.min_idle; n++) {
        uint64_t tried = 0;
        rt_time deadline = call.deadline;
        struct up_conn *c;
        if (up_pool_get(up_balance(u, &tried), &call, &deadline, true, &c) != 0)
            break; /* requests will find out, and say so */
        up_pool_give(c);
    }
    b_arena_release(&call.arena);
}
