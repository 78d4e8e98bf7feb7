/* Start, reload, drain and stop of the gateway as a whole. */
#include "gateway/gateway.h"

#include <errno.h>

#include "base/log.h"
#include "gateway/conn.h"
#include "gateway/recorder.h"
#include "gateway/reference.h"
#include "gateway/stores.h"
#include "gateway/tunnel.h"
#include "net/dns.h"
#include "net/listener.h"
#include "telemetry/http_metrics.h"
#include "upstream/upstream.h"

#define STORES_TIME (10 * RT_S) /* that a last commit may take */

/* --- pins: who uses which snapshot, counted per worker --- */

struct gw_snapshot *gw_pin(struct gateway *g) {
    struct gw_snapshot *s = atomic_load_explicit(&g->current[rt_index()], memory_order_relaxed);
    b_counter_add(&s->pins[rt_index() * 8], 1);
    return s;
}

void gw_pin_more(struct gw_snapshot *s) {
    b_counter_add(&s->pins[rt_index() * 8], 1);
}

void gw_unpin(struct gw_snapshot *s) {
    struct b_counter *c = &s->pins[rt_index() * 8];
    /* release: what was read of the snapshot was read before it may be freed */
    atomic_store_explicit(&c->v, atomic_load_explicit(&c->v, memory_order_relaxed) - 1, memory_order_release);
}

static bool pinned(struct gw_snapshot *s) {
    uint64_t n = 0;
    for (unsigned i = 0; i < rt_worker_count(); i++)
        n += atomic_load_explicit(&s->pins[i * 8].v, memory_order_acquire);
    return n != 0;
}

/* Frees what nobody uses any more. A retired snapshot is current on no worker, so its pins only go down. */
static void free_retired(struct gateway *g) {
    for (struct gw_snapshot **at = &g->retired; *at;) {
        struct gw_snapshot *s = *at;
        if (pinned(s)) {
            at = &s->older;
            continue;
        }
        *at = s->older;
        gw_snapshot_free(s);
    }
}

/* Waits until the requests that began under older configs are done. Reloads and reaping exclude each other. */
static void reap_fiber(void *arg) {
    struct gateway *g = arg;
    bool left = true;
    while (left && rt_sleep_until(rt_after(rt_now(), 50 * RT_MS)) == 0) {
        atomic_fetch_add(&g->reapers_busy, 1);
        if (!atomic_exchange(&g->reload_busy, true)) {
            free_retired(g);
            left = g->retired != NULL;
            atomic_store(&g->reload_busy, false);
        }
        atomic_fetch_sub(&g->reapers_busy, 1);
    }
}

static void adopt(void *arg) {
    struct gateway *g = arg;
    struct gw_snapshot *s = atomic_load(&g->snapshot);
    atomic_store_explicit(&g->current[rt_index()], s, memory_order_relaxed);
}

static void publish(struct gateway *g, struct gw_snapshot *s) {
    struct gw_snapshot *old = atomic_exchange(&g->snapshot, s);
    atomic_store(&g->generation, s->generation);
    /* every worker has taken the new one when this returns; the memory of one fiber each cannot be had once in a
     * blue moon, and then a second try is all that is to be done */
    while (rt_on_all_workers("adopt config", adopt, g) != 0)
        if (rt_sleep_until(rt_after(rt_now(), 10 * RT_MS)) != 0)
            return;
    if (old) {
        old->older = g->retired;
        g->retired = old;
    }
}

/* --- listeners --- */

static struct gw_listener *find_listener(struct gateway *g, const struct cfg_addr *addr, bool admin) {
    B_LIST_EACH(n, &g->listeners) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        if (l->admin == admin && cfg_addr_eq(&l->conf, addr))
            return l;
    }
    return NULL;
}

static void set_switches(struct b_list *listeners, const struct cfg_root *root) {
    B_LIST_EACH(n, listeners) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        CFG_EACH(const struct cfg_listener, c, &root->listen)
            if (!l->admin && cfg_addr_eq(&l->conf, &c->addr)) {
                atomic_store_explicit(&l->switches, c->switches, memory_order_relaxed);
                atomic_store_explicit(&l->proxy_protocol, c->proxy_protocol, memory_order_relaxed);
            }
    }
}

static int want_listener(struct gateway *g, const struct cfg_addr *addr, const struct cfg_node *node,
                         int backlog, bool admin, struct b_list *fresh, struct cfg_errors *errors) {
    struct gw_listener *l = find_listener(g, addr, admin);
    int rc = 0;
    if (!l) {
        l = gw_listener_new(g, addr, backlog, admin, &rc);
        if (!l) {
            char text[NET_LISTEN_ERROR_TEXT];
            struct rt_sockaddr at;
            if (gw_sockaddr(addr, &at) != 0)
                return cfg_error_at(errors, node, "%.*s is not an address to listen on", B_FMT(addr->text));
            return cfg_error_at(errors, node, "%s", net_listen_error_text(rc, &at, text));
        }
        b_list_push_back(fresh, &l->link);
    }
    l->keep = true;
    return 0;
}

/* Opens what the new config names and is not open yet; nothing accepts on it so far. */
static int open_listeners(struct gateway *g, const struct cfg_root *root, struct b_list *fresh,
                          struct cfg_errors *errors) {
    int rc = 0;
    B_LIST_EACH(n, &g->listeners)
        B_CONTAINER(n, struct gw_listener, link)->keep = false;
    CFG_EACH(const struct cfg_listener, c, &root->listen)
        if (want_listener(g, &c->addr, c->head.node, (int)c->backlog, false, fresh, errors) != 0)
            rc = -EINVAL;
    if (g->options->admin && want_listener(g, &root->admin.addr, root->admin.head.node, NET_LISTEN_BACKLOG,
                                           true, fresh, errors) != 0)
        rc = -EINVAL;
    return rc;
}

static void close_fresh(struct b_list *fresh) {
    for (struct b_list *n; (n = b_list_pop_front(fresh));) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        net_unlisten(l->fd, &l->address);
        gw_listener_put(l);
    }
}

static void start_listeners(struct gateway *g, struct b_list *fresh) {
    for (struct b_list *n; (n = b_list_pop_front(fresh));) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        b_list_push_back(&g->listeners, &l->link);
        int rc = gw_listener_start(l);
        if (rc)
            B_LOG(B_ERROR, "gateway", "%s is not served by every worker: %s", l->text, strerror(-rc));
    }
}

static void stop_unwanted(struct gateway *g) {
    B_LIST_EACH(n, &g->listeners) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        if (!l->keep)
            gw_listener_stop(l);
    }
}

/* --- swapping --- */

static void warn_of_descriptors(const struct cfg_root *root) {
    const struct cfg_limits *limits = &root->limits;
    uint64_t most = gw_most_connections(limits);
    if (limits->max_connections && (uint64_t)limits->max_connections > most)
        B_LOG(
            B_WARN, "gateway",
            "limits.max_connections is %lld, but the limit on open files allows %llu; raise it (LimitNOFILE)",
            (long long)limits->max_connections, (unsigned long long)most);
}

static int swap(struct gateway *g, struct gw_snapshot *s, struct cfg_errors *errors) {
    struct b_list fresh;
    b_list_init(&fresh);
    int rc = open_listeners(g, s->root, &fresh, errors);
    if (rc) {
        close_fresh(&fresh);
        return rc;
    }
    if (gw_references_publish(g, s) != 0) {
        close_fresh(&fresh);
        return cfg_error_memory(errors);
    }
    gw_stores_start(s);
    warn_of_descriptors(s->root);
    up_registry_publish(g->upstreams, s->root);
    publish(g, s);
    set_switches(&g->listeners, s->root);
    set_switches(&fresh, s->root);
    start_listeners(g, &fresh);
    stop_unwanted(g);
    gw_register(g);
    gw_references_start(g, s);
    return 0;
}

static void warm_fiber(void *arg) {
    struct up_upstream *u = arg;
    up_warm(u);
    up_put(u);
}

/* Connections that a pool is to hold from the start. */
static void warm_pools(struct gateway *g, const struct cfg_root *root) {
    CFG_EACH(const struct cfg_upstream, c, &root->upstreams) {
        struct up_upstream *u = c->pool.min_idle ? up_find(g->upstreams, c->head.name) : NULL;
        if (u && rt_spawn("warm pool", warm_fiber, u) != 0)
            up_put(u);
    }
}

int gw_start(struct gateway *g, const struct gw_options *options, struct cfg_errors *errors) {
    memset(g, 0, sizeof *g);
    g->options = options;
    g->started = rt_clock();
    b_list_init(&g->listeners);
    b_list_init(&g->tables);
    g->upstreams = up_registry_new();
    g->stores = st_registry_new();
    g->admin_route = (struct gw_route){.pattern = B_LIT("admin"),
                                       .deadline = 60 * RT_S,
                                       .handler = options->admin,
                                       .max_body = 65536};
    if (!g->upstreams || !g->stores || gw_references_init(g) != 0 || gw_workers_init() != 0)
        return cfg_error_memory(errors);
    struct gw_snapshot *s = gw_build(g, options, errors);
    if (!s)
        return -EINVAL;
    int rc = swap(g, s, errors);
    if (rc) {
        gw_snapshot_free(s);
        return rc;
    }
    atomic_store(&g->reload_ok, true);
    atomic_store(&g->reload_time, rt_wall_clock());
    warm_pools(g, s->root);
    return 0;
}

/* What a running process cannot change. */
static void warn_of_fixed(const struct cfg_root *old, const struct cfg_root *new) {
    if (old->workers != new->workers || old->io != new->io || old->log.format != new->log.format)
        B_LOG(B_WARN, "gateway", "`workers`, `io` and `log.format` take effect with the next start");
}

static int reload(struct gateway *g, struct cfg_errors *errors, struct b_text *changes,
                  enum gw_format format) {
    struct gw_snapshot *old = atomic_load(&g->snapshot), *s = gw_build(g, g->options, errors);
    if (!s)
        return -EINVAL;
    warn_of_fixed(old->root, s->root);
    if (changes)
        gw_write_changes(changes, old, s, format);
    int rc = swap(g, s, errors);
    if (rc) {
        gw_snapshot_free(s);
        return rc;
    }
    warm_pools(g, s->root);
    free_retired(g);
    if (g->retired && rt_spawn("reap config", reap_fiber, g) != 0)
        B_LOG(B_WARN, "gateway", "the memory of the old config is freed with the next reload");
    return 0;
}

/* Waits for a reaper, but not for another reload. */
static bool take_turn(struct gateway *g) {
    while (atomic_exchange(&g->reload_busy, true))
        if (!atomic_load(&g->reapers_busy) || g->leaving || rt_sleep_until(rt_after(rt_now(), RT_MS)) != 0)
            return false;
    return true;
}

int gw_reload(struct gateway *g, struct cfg_errors *errors, struct b_text *changes, enum gw_format format) {
    if (!take_turn(g))
        return -EBUSY;
    rt_cancel_off(); /* a reload that has begun is finished: the client that asked for it may leave */
    int rc = reload(g, errors, changes, format);
    atomic_store(&g->reload_ok, rc == 0);
    if (rc == 0) {
        atomic_store(&g->reload_time, rt_wall_clock());
        B_LOG(B_INFO, "gateway", "config generation %llu is in force",
              (unsigned long long)atomic_load(&g->generation));
    }
    rt_cancel_on();
    atomic_store(&g->reload_busy, false);
    return rc;
}

/* --- leaving --- */

/* No reload begins any more, and one that runs is awaited: from here on the listeners are ours to stop. */
static void end_reloads(struct gateway *g) {
    rt_cancel_off(); /* a reload is over soon */
    while (!g->leaving && atomic_exchange(&g->reload_busy, true)) {
        int rc = rt_sleep_until(rt_after(rt_now(), 5 * RT_MS));
        (void)rc;
    }
    g->leaving = true;
    rt_cancel_on();
}

static void close_idle(void *arg) {
    (void)arg;
    gw_conns_close_idle(NULL);
}

static void close_parked(void *arg) {
    (void)arg;
    B_LIST_EACH(n, &gw_worker()->conns) {
        struct gw_conn *c = B_CONTAINER(n, struct gw_conn, link);
        if (!c->busy)
            gw_conn_close(c, RT_END_CLOSE);
    }
}

void gw_drain(struct gateway *g, rt_time deadline) {
    atomic_store(&g->draining, true); /* readyz says so from now on */
    end_reloads(g);
    gw_unregister(g);
    B_LIST_EACH(n, &g->listeners) {
        struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        if (!l->admin)
            gw_listener_stop(l);
    }
    for (;;) {
        int rc = rt_on_all_workers("close idle", close_idle, NULL);
        (void)rc; /* tried again below */
        bool idle = atomic_load(&g->connections) == 0 && atomic_load(&g->background) == 0;
        if (idle || rt_now() >= deadline)
            return;
        if (rt_sleep_until(rt_earlier(deadline, rt_after(rt_now(), 20 * RT_MS))) != 0)
            return;
    }
}

static void close_dns(void *arg) {
    (void)arg;
    net_dns_close_worker();
}

bool gw_quiet(struct gateway *g) {
    atomic_store(&g->draining, true);
    end_reloads(g);
    gw_unregister(g);
    B_LIST_EACH(n, &g->listeners)
        gw_listener_stop(B_CONTAINER(n, struct gw_listener, link));
    atomic_store(&g->cut, true);
    int rc = rt_on_all_workers("close connections", close_parked, NULL);
    rc = rt_on_all_workers("end tunnels", gw_tunnels_end, NULL);
    up_registry_close(g->upstreams);
    bool closed = st_registry_close(g->stores, rt_after(rt_now(), STORES_TIME));
    rc = rt_on_all_workers("close dns", close_dns, NULL);
    (void)rc; /* it only gives memory back */
    return closed;
}

void gw_stop(struct gateway *g) {
    struct gw_snapshot *s = atomic_load(&g->snapshot);
    for (struct gw_snapshot *old; (old = g->retired);) {
        g->retired = old->older;
        gw_snapshot_free(old);
    }
    if (s)
        gw_snapshot_free(s);
    atomic_store(&g->snapshot, NULL);
    gw_references_free(g);
    gw_recorder_clear();
    up_registry_free(g->upstreams);
    g->upstreams = NULL;
    st_registry_free(g->stores);
    g->stores = NULL;
    gw_workers_free();
}

const struct gw_route *gw_admin_route(struct gateway *g) {
    return &g->admin_route;
}
