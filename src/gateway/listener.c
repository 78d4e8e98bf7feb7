#include <errno.h>

#include "base/log.h"
#include "gateway/balance.h"
#include "gateway/overload.h"
#include "net/limits.h"
#include "net/listener.h"

int gw_sockaddr(const struct cfg_addr *conf, struct rt_sockaddr *out) {
    switch (conf->kind) {
    case CFG_HOST_ANY: net_any(out, conf->port); return 0;
    case CFG_HOST_IPV4: net_ipv4(out, conf->ip, conf->port); return 0;
    case CFG_HOST_IPV6: net_ipv6(out, conf->ip, conf->port); return 0;
    case CFG_HOST_UNIX: return net_unix(out, conf->path);
    default: return -EINVAL;
    }
}

struct gw_listener *gw_listener_new(struct gateway *g, const struct cfg_addr *conf, int backlog, bool admin,
                                    int *rc) {
    struct gw_listener *l = b_zalloc(B_TAG_GATEWAY, sizeof *l + rt_worker_count() * sizeof l->accepting[0]);
    *rc = -ENOMEM;
    if (!l)
        return NULL;
    b_list_init(&l->link);
    l->gateway = g;
    l->backlog = backlog;
    l->admin = admin;
    l->text = b_strdup(B_TAG_GATEWAY, conf->text.ptr, conf->text.len);
    *rc = l->text ? gw_sockaddr(conf, &l->address) : -ENOMEM;
    if (*rc == 0)
        *rc = net_listen(&l->address, backlog, &l->fd, NULL);
    if (*rc) {
        b_free(l->text);
        b_free(l);
        return NULL;
    }
    l->conf = *conf;
    l->conf.text = b_slice_cstr(l->text);
    if (conf->kind == CFG_HOST_UNIX) /* the path is the end of the text */
        l->conf.path = b_slice_from(l->conf.text, l->conf.text.len - conf->path.len);
    atomic_store(&l->refs, 1);
    atomic_store(&l->wanted, true);
    return l;
}

void gw_listener_put(struct gw_listener *l) {
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    b_free(l->text);
    b_free(l);
}

/* --- accepting --- */

static uint64_t most_connections(struct gateway *g) {
    struct gw_snapshot *s = gw_pin(g);
    uint64_t most = gw_most_connections(&s->root->limits);
    gw_unpin(s);
    return most;
}

#define AUTO_CONNECTIONS 10000

/* A proxied request takes two descriptors, so that the default leaves one for each client's upstream (R15). */
uint64_t gw_most_connections(const struct cfg_limits *limits) {
    uint64_t all = net_descriptor_limit(), most = all > 2 * NET_RESERVED ? all - NET_RESERVED : all / 2;
    uint64_t asked = limits->max_connections ? (uint64_t)limits->max_connections : AUTO_CONNECTIONS;
    if (!limits->max_connections)
        most /= 2;
    return asked < most ? asked : most;
}

/* How many more connections may come in; for the admin there is always a place. */
static uint64_t room(struct gw_listener *l) {
    struct gateway *g = l->gateway;
    if (l->admin)
        return 1;
    if (gw_pressure(g) >= GW_STOP)
        return 0;
    uint64_t most = most_connections(g), open = atomic_load(&g->connections);
    return open < most ? most - open : 0;
}

/* Counts one more connection if there is room. */
static bool admit(struct gw_listener *l) {
    struct gateway *g = l->gateway;
    if (!l->admin && gw_pressure(g) >= GW_STOP)
        return false;
    if (l->admin || atomic_fetch_add(&g->connections, 1) < most_connections(g))
        return true;
    atomic_fetch_sub(&g->connections, 1);
    return false;
}

/* At the limit of connections (or of descriptors) nothing is accepted; who comes waits in the backlog. */
static int wait_for_room(void) {
    return rt_sleep_until(rt_after(rt_now(), 20 * RT_MS));
}

/* A connection that has been accepted and counted. */
static void take(struct gw_listener *l, int fd, const struct rt_sockaddr *from) {
    struct net_peer peer;
    net_peer_from(&peer, from);
    atomic_fetch_add(&l->refs, 1);
    gw_conn_open(l, fd, &peer, gw_place(l));
}

/* Who has come this far is served, even as the listener closes: to a client that has sent its request a reset is a failure
 * (U11). */
static void take_uncounted(struct gw_listener *l, int fd, const struct rt_sockaddr *from) {
    if (!l->admin)
        atomic_fetch_add(&l->gateway->connections, 1);
    take(l, fd, from);
}

/* Whether this client has to wait for a place. The last descriptors are for the admin and for upstreams. */
static bool must_wait(struct gw_listener *l, int fd) {
    if (!l->admin && net_descriptor_is_reserved(fd) && net_descriptors_short())
        return true;
    return !admit(l); /* another worker took the last place meanwhile */
}

static void accept_all(struct gw_listener *l, struct rt_stream *stream) {
    bool told = false;
    for (;;) {
        struct rt_sockaddr from;
        uint64_t places;
        while ((places = room(l)) == 0)
            if (wait_for_room() != 0)
                return;
        /* whether all that may stand in the backlog may come in at once */
        rt_accept_ahead(stream, places > NET_LISTEN_BACKLOG);
        int fd = rt_accept(stream, &from, RT_NEVER);
        if (fd == -ECANCELED || (fd < 0 && rt_cancelled()))
            return;
        if (fd < 0) {
            if (!told)
                B_LOG(B_WARN, "gateway", "cannot accept on %s: %s; trying again", l->text, strerror(-fd));
            told = true;
            if (rt_sleep_until(rt_after(rt_now(), 100 * RT_MS)) != 0)
                return;
            continue;
        }
        told = false;
        while (must_wait(l, fd))
            if (wait_for_room() != 0) {
                take_uncounted(l, fd, &from);
                return;
            }
        take(l, fd, &from);
    }
}

static void accept_fiber(void *arg) {
    struct gw_listener *l = arg;
    accept_all(l, &l->accepting[rt_index()].stream);
}

static void start_here(void *arg) {
    struct gw_listener *l = arg;
    struct gw_accepting *a = &l->accepting[rt_index()];
    if (a->running)
        return; /* a second try, for the sake of another worker */
    rt_scope_init(&a->scope);
    if (rt_attach(&a->stream, l->fd, true) != 0)
        return;
    if (rt_scope_spawn(&a->scope, "accept", accept_fiber, l) == 0)
        a->running = true;
    else
        rt_end(&a->stream, RT_END_DETACH);
}

static void stop_here(void *arg) {
    struct gw_listener *l = arg;
    struct gw_accepting *a = &l->accepting[rt_index()];
    if (a->running) {
        struct rt_sockaddr from;
        rt_scope_leave(&a->scope);
        for (int fd; (fd = rt_accept(&a->stream, &from, RT_NOWAIT)) >= 0;) /* what a back end has taken */
            take_uncounted(l, fd, &from);
        rt_end(&a->stream, RT_END_DETACH);
    }
    a->running = false;
    gw_conns_close_idle(l);
}

#define TRIES 100

/* Runs fn on every worker until all of them accept, or none. Memory or fibers may be short for a moment: a worker that is
 * left out would be deaf for good, or accept on a listener that is gone. */
static int on_all_workers(struct gw_listener *l, const char *name, void (*fn)(void *), bool accepting) {
    int rc = -EAGAIN;
    rt_cancel_off();
    for (unsigned try = 0; rc && try < TRIES; try++) {
        if (try && rt_sleep_until(rt_after(rt_now(), 10 * RT_MS)) != 0)
            break;
        rc = rt_on_all_workers(name, fn, l);
        for (unsigned i = 0; i < rt_worker_count() && rc == 0; i++)
            if (l->accepting[i].running != accepting)
                rc = -EMFILE;
    }
    rt_cancel_on();
    return rc;
}

int gw_listener_start(struct gw_listener *l) {
    return on_all_workers(l, "listen", start_here, true);
}

void gw_listener_stop(struct gw_listener *l) {
    atomic_store(&l->wanted, false);
    b_list_remove(&l->link);
    int rc = on_all_workers(l, "close listener", stop_here, false);
    if (rc) { /* it is still in use, so it stays; what it accepts is closed at once */
        B_LOG(B_ERROR, "gateway", "listener %s is still accepting on some worker: %s", l->text,
              strerror(-rc));
        return;
    }
    struct rt_sockaddr from;
    for (int fd; (fd = rt_accept_handle(l->fd, &from)) >= 0;) /* the backlog, right before it is closed */
        take_uncounted(l, fd, &from);
    net_unlisten(l->fd, &l->address);
    gw_listener_put(l);
}
