#include "upstream/pool.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "http/error.h"
#include "net/dns.h"
#include "net/limits.h"

static struct up_idle *idle_here(struct up_endpoint *e) {
    return &e->idle[rt_index()];
}

static void forget_idle(struct up_conn *c) {
    b_list_remove(&c->link);
    b_counter_sub(&idle_here(c->endpoint)->count, 1);
    atomic_fetch_sub_explicit(&c->endpoint->upstream->idle, 1, memory_order_relaxed);
}

/* Closes a connection, but keeps its permit. */
static void discard(struct up_conn *c) {
    if (rt_is_attached(&c->stream))
        rt_end(&c->stream, RT_END_CLOSE);
    tel_sub(c->endpoint->upstream->metrics.connections, rt_index(), 1);
    b_free(c->in);
    b_free(c);
}

void up_pool_close(struct up_conn *c) {
    struct up_upstream *u = c->endpoint->upstream;
    discard(c);
    rt_sem_release(&u->connections);
}

static rt_time end_of_life(const struct up_conn *c) {
    return rt_after(c->born, c->endpoint->upstream->pool.max_lifetime);
}

/* An idle connection became readable (the peer closed it, or sent what nobody asked for: S28) or its time is over. */
static void idle_over(struct rt_parked *p, int result) {
    struct up_conn *c = B_CONTAINER(p, struct up_conn, parked);
    struct up_upstream *u = c->endpoint->upstream;
    if (result == -ETIMEDOUT && rt_now() < end_of_life(c) && atomic_load(&u->idle) <= u->pool.min_idle) {
        rt_park_stream(&c->stream, &c->parked,
                       rt_earlier(rt_after(rt_now(), u->pool.max_idle_time), end_of_life(c)));
        return;
    }
    forget_idle(c);
    up_pool_close(c);
}

/* An idle connection of the endpoint on this worker, or NULL. */
static struct up_conn *take_idle(struct up_endpoint *e) {
    struct up_idle *idle = idle_here(e);
    if (b_list_empty(&idle->conns))
        return NULL;
    struct up_conn *c = B_CONTAINER(idle->conns.next, struct up_conn, link);
    rt_park_stream(&c->stream, NULL, RT_NEVER);
    forget_idle(c);
    c->reused = true;
    return c;
}

/* A connection that is readable now has been closed by the peer, or carries bytes that belong to no request. Only a try tells
 * after the last bytes of a body were taken without a look at what comes behind them. */
static bool is_quiet(struct up_conn *c) {
    struct b_slice more;
    if (c->in_len)
        return false;
    if (c->stream.flags & RT_STREAM_READABLE &&
        rt_receive_lent(&c->stream, b_slice(NULL, 0), 1, &more, RT_NOWAIT) != -EAGAIN)
        return false;
    return !(c->stream.flags & RT_STREAM_HUP);
}

static struct up_conn *take_any_idle(struct up_upstream *u) {
    struct up_conn *c = NULL;
    for (uint32_t i = 0; !c && i < u->endpoint_count; i++)
        c = take_idle(u->endpoints[i]);
    return c;
}

static bool close_one_idle(struct up_upstream *u) {
    struct up_conn *c = take_any_idle(u);
    if (c)
        up_pool_close(c);
    return c != NULL;
}

void up_pool_clear(struct up_upstream *u) {
    while (close_one_idle(u))
        continue;
}

/* --- passing connections on --- */

/* For rt_sem_pass: the connection goes with its permit to one who wants its endpoint; for another it makes room. */
static void *wrap(void *arg, const void *wants, const struct rt_worker *to) {
    struct up_conn *c = arg;
    if (wants == c->endpoint && to == rt_self())
        return c;
    c->moving = wants == c->endpoint ? rt_end(&c->stream, RT_END_DETACH) : -1;
    if (c->moving < 0) {
        discard(c);
        return NULL;
    }
    tel_add(c->endpoint->upstream->metrics.moved, rt_index(), 1);
    return c;
}

/* The same with an idle connection of this worker, of which there is one; best one that he wants. */
static void *wrap_idle(void *arg, const void *wants, const struct rt_worker *to) {
    struct up_upstream *u = arg;
    struct up_conn *c = NULL;
    for (uint32_t i = 0; !c && i < u->endpoint_count; i++)
        if (u->endpoints[i] == wants)
            c = take_idle(u->endpoints[i]);
    c = c ? c : take_any_idle(u);
    return wrap(c, wants, to);
}

static bool any_idle_here(const struct up_upstream *u) {
    bool any = false;
    for (uint32_t i = 0; !any && i < u->endpoint_count; i++)
        any = !b_list_empty(&idle_here(u->endpoints[i])->conns);
    return any;
}

static void ask(struct up_upstream *u, unsigned worker) {
    if (worker != rt_index() && !atomic_exchange(&u->asked[worker].posted, true))
        rt_post(rt_worker(worker), &u->asked[worker].msg);
}

static void ask_all(struct up_upstream *u) {
    for (unsigned i = 0; atomic_load(&u->idle) > 0 && i < rt_worker_count(); i++)
        ask(u, i);
}

/* In a fiber, since a back end may have to wait for what it holds before a stream can move. */
static void pass_idle(void *arg) {
    struct up_upstream *u = arg;
    bool passed = false;
    if (!up_try_hold(u)) /* it begins within the message that asks */
        return;
    while (any_idle_here(u) && rt_sem_pass(&u->connections, wrap_idle, u))
        passed = true;
    if (!passed && rt_sem_waiting(&u->connections)) /* what he saw here is gone: it may be elsewhere */
        ask_all(u);
    up_put(u);
}

void up_pool_asked(struct rt_msg *m) {
    struct up_asked *a = B_CONTAINER(m, struct up_asked, msg);
    struct up_upstream *u = a->upstream;
    atomic_store(&a->posted, false);
    if (rt_sem_waiting(&u->connections) && rt_spawn_now("pass connections", pass_idle, u) != 0)
        (void)close_one_idle(u); /* no fiber to be had: its permit at least */
}

void up_pool_give(struct up_conn *c) {
    struct up_endpoint *e = c->endpoint;
    struct up_upstream *u = e->upstream;
    if (rt_now() >= end_of_life(c) || !is_quiet(c) || up_registry_closing(u->registry)) {
        up_pool_close(c);
        return;
    }
    b_free(c->in);
    c->in = NULL;
    c->reused = true;
    for (;;) {
        if (rt_sem_waiting(&u->connections) && rt_sem_pass(&u->connections, wrap, c))
            return;
        if (atomic_fetch_add(&u->idle, 1) >= u->pool.max_idle) {
            atomic_fetch_sub(&u->idle, 1);
            up_pool_close(c);
            return;
        }
        if (!rt_sem_waiting(&u->connections))
            break;
        atomic_fetch_sub(&u->idle, 1); /* he may have seen it, and will see it again */
    }
    b_list_push_front(&idle_here(e)->conns, &c->link);
    b_counter_add(&idle_here(e)->count, 1);
    c->parked.fn = idle_over;
    rt_park_stream(&c->stream, &c->parked,
                   rt_earlier(rt_after(rt_now(), u->pool.max_idle_time), end_of_life(c)));
}

/* --- getting one --- */

/* Where an idle connection may be had: of another worker to this endpoint, so that it moves; or any, of which the permit
 * is wanted. */
static void look_for_idle(struct up_upstream *u, const struct up_endpoint *e) {
    bool asked = false;
    for (unsigned i = 0; e && i < rt_worker_count(); i++)
        if (i != rt_index() && b_counter_get(&e->idle[i].count)) {
            ask(u, i);
            asked = true;
        }
    if (!asked && !close_one_idle(u))
        ask_all(u);
}

/* A connection that came with the permit: from another worker it comes unattached. NULL when it is of no use. */
static struct up_conn *unwrap(struct up_conn *c) {
    if (!rt_is_attached(&c->stream)) {
        if (rt_attach(&c->stream, c->moving, false) != 0) {
            rt_close_handle(c->moving);
            discard(c);
            return NULL;
        }
        (void)rt_yield(); /* a turn of the loop tells whether the peer has closed it meanwhile */
    }
    if (is_quiet(c))
        return c;
    discard(c);
    return NULL;
}

/* All permits are taken: stands in line for the next, with which a connection to the endpoint may come. */
static int wait_for_permit(struct up_upstream *u, const struct up_endpoint *e, rt_time deadline,
                           struct up_conn **conn) {
    struct rt_sem_waiter w;
    rt_time from = rt_clock();
    int rc = 0;
    if (!rt_sem_enter(&u->connections, &w, e)) {
        look_for_idle(u, e);
        rc = rt_sem_wait(&u->connections, &w, deadline);
    }
    tel_observe(u->metrics.pool_wait, rt_index(), (uint64_t)(rt_clock() - from));
    *conn = rc == 0 && w.gift ? unwrap(w.gift) : NULL;
    return rc;
}

static int connect_error(int rc) {
    switch (rc) {
    case 0: return 0;
    case -ETIMEDOUT: return -HTTP_E_UPSTREAM_CONNECT_TIMEOUT;
    case -EADDRNOTAVAIL: return -HTTP_E_OUT_OF_PORTS;
    case -EMFILE:
    case -ENFILE: return -HTTP_E_OUT_OF_FILES;
    case -ENOMEM:
    case -ENOBUFS: return -HTTP_E_OUT_OF_MEMORY;
    case -ECANCELED: return -HTTP_E_CLIENT_CLOSED;
    default: return -HTTP_E_UPSTREAM_CONNECT_FAILED;
    }
}

static int dial_name(struct up_endpoint *e, struct up_conn *c, struct b_arena *arena, rt_time deadline) {
    struct net_addresses *found = b_arena_alloc(arena, sizeof *found); /* too large for a fiber's stack */
    if (!found)
        return -HTTP_E_OUT_OF_MEMORY;
    int rc = net_resolve(e->name, e->port, deadline, found);
    if (rc)
        return rc == -ETIMEDOUT ? -HTTP_E_UPSTREAM_CONNECT_TIMEOUT : -HTTP_E_DNS_FAILED;
    rc = -ECONNREFUSED;
    for (unsigned i = 0; i < found->count && rc && rc != -ETIMEDOUT && rc != -ECANCELED; i++)
        rc = rt_connect(&c->stream, &found->list[i], deadline);
    return connect_error(rc);
}

static int dial(struct up_endpoint *e, struct up_conn *c, struct b_arena *arena, rt_time deadline) {
    if (e->name.len)
        return dial_name(e, c, arena, deadline);
    return connect_error(rt_connect(&c->stream, &e->address, deadline));
}

/* A new connection, for which the caller has a permit. */
static int open_new(struct up_endpoint *e, struct rt_call *call, rt_time deadline, struct up_conn **out) {
    struct up_upstream *u = e->upstream;
    struct up_conn *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c);
    if (!c) {
        rt_sem_release(&u->connections);
        return -HTTP_E_OUT_OF_MEMORY;
    }
    b_list_init(&c->link);
    c->endpoint = e;
    tel_add(u->metrics.connections, rt_index(), 1);
    int rc = dial(e, c, &call->arena, rt_earlier(deadline, rt_after(rt_now(), u->connect_timeout)));
    if (rt_is_attached(&c->stream) && net_descriptor_is_admins(c->stream.fd)) {
        rt_end(&c->stream, RT_END_CLOSE);
        rc = -HTTP_E_OUT_OF_FILES;
    }
    if (!rt_is_attached(&c->stream)) {
        up_pool_close(c);
        return rc;
    }
    c->born = rt_now();
    *out = c;
    return 0;
}

int up_pool_get(struct up_endpoint *e, struct rt_call *call, rt_time *deadline, bool fresh,
                struct up_conn **out) {
    struct up_upstream *u = e->upstream;
    *out = fresh ? NULL : take_idle(e);
    if (*out)
        return 0;
    if (!rt_sem_try(&u->connections)) {
        rt_time from = rt_now();
        int rc = wait_for_permit(u, fresh ? NULL : e, call->deadline, out);
        if (rc)
            return rc == -ECANCELED ? -HTTP_E_CLIENT_CLOSED : -HTTP_E_POOL_EXHAUSTED;
        *deadline = rt_earlier(call->deadline, rt_after(*deadline, rt_now() - from));
    }
    return *out ? 0 : open_new(e, call, *deadline, out);
}
