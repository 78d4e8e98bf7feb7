#include "upstream/pool.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "http/error.h"
#include "net/limits.h"
#include "upstream/dial.h"
#include "upstream/upstream.h"

static struct up_idle *idle_here(struct up_endpoint *e) {
    return &e->idle[rt_index()];
}

static void forget_idle(struct up_conn *c) {
    b_list_remove(&c->link);
    b_counter_sub(&idle_here(c->endpoint)->count, 1);
    atomic_fetch_sub_explicit(&c->endpoint->cluster->idle, 1, memory_order_relaxed);
}

/* Closes a connection, but keeps its permit. */
static void discard(struct up_conn *c) {
    if (rt_is_attached(&c->stream))
        rt_end(&c->stream, RT_END_CLOSE);
    tel_sub(c->endpoint->cluster->metrics.connections, rt_index(), 1);
    up_endpoint_put(c->endpoint, UP_USER);
    b_free(c->in);
    b_free(c);
}

void up_pool_close(struct up_conn *c) {
    struct up_cluster *cluster = c->endpoint->cluster;
    discard(c);
    rt_sem_release(&cluster->connections);
}

static int64_t read_limit(const _Atomic int64_t *limit) {
    return atomic_load_explicit((_Atomic int64_t *)(uintptr_t)limit, memory_order_relaxed);
}

static rt_time end_of_life(const struct up_conn *c) {
    return rt_after(c->born, read_limit(&c->endpoint->cluster->max_lifetime));
}

/* An idle connection became readable (the peer closed it, or sent what nobody asked for: S28) or its time is over. */
static void idle_over(struct rt_parked *p, int result) {
    struct up_conn *c = B_CONTAINER(p, struct up_conn, parked);
    struct up_cluster *cluster = c->endpoint->cluster;
    if (result == -ETIMEDOUT && rt_now() < end_of_life(c) &&
        atomic_load(&cluster->idle) <= read_limit(&cluster->min_idle)) {
        rt_park_stream(&c->stream, &c->parked,
                       rt_earlier(rt_after(rt_now(), read_limit(&cluster->max_idle_time)), end_of_life(c)));
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

static struct up_conn *take_any_idle(struct up_cluster *cluster) {
    const struct up_set *s = up_cluster_set(cluster);
    struct up_conn *c = NULL;
    for (uint32_t i = 0; s && !c && i < s->count; i++)
        c = take_idle(s->members[i].endpoint);
    return c;
}

static bool close_one_idle(struct up_cluster *cluster) {
    struct up_conn *c = take_any_idle(cluster);
    if (c)
        up_pool_close(c);
    return c != NULL;
}

void up_pool_clear_endpoint(struct up_endpoint *e) {
    for (struct up_conn *c; (c = take_idle(e));)
        up_pool_close(c);
}

void up_pool_clear(struct up_cluster *cluster) {
    while (close_one_idle(cluster))
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
    tel_add(c->endpoint->cluster->metrics.moved, rt_index(), 1);
    return c;
}

/* The same with an idle connection of this worker, of which there is one; best one that he wants. */
static void *wrap_idle(void *arg, const void *wants, const struct rt_worker *to) {
    struct up_cluster *cluster = arg;
    const struct up_set *s = up_cluster_set(cluster);
    struct up_conn *c = NULL;
    for (uint32_t i = 0; s && !c && i < s->count; i++)
        if (s->members[i].endpoint == wants)
            c = take_idle(s->members[i].endpoint);
    c = c ? c : take_any_idle(cluster);
    return wrap(c, wants, to);
}

static bool any_idle_here(const struct up_cluster *cluster) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)cluster);
    bool any = false;
    for (uint32_t i = 0; s && !any && i < s->count; i++)
        any = !b_list_empty(&idle_here(s->members[i].endpoint)->conns);
    return any;
}

static void ask(struct up_cluster *cluster, unsigned worker) {
    if (worker != rt_index() && !atomic_exchange(&cluster->asked[worker].posted, true))
        rt_post(rt_worker(worker), &cluster->asked[worker].msg);
}

static void ask_all(struct up_cluster *cluster) {
    for (unsigned i = 0; atomic_load(&cluster->idle) > 0 && i < rt_worker_count(); i++)
        ask(cluster, i);
}

/* In a fiber, since a back end may have to wait for what it holds before a stream can move. */
static void pass_idle(void *arg) {
    struct up_cluster *cluster = arg;
    bool passed = false;
    if (!up_cluster_try_hold(cluster)) /* it begins within the message that asks */
        return;
    while (any_idle_here(cluster) && rt_sem_pass(&cluster->connections, wrap_idle, cluster))
        passed = true;
    if (!passed && rt_sem_waiting(&cluster->connections)) /* what he saw here is gone: it may be elsewhere */
        ask_all(cluster);
    up_cluster_put(cluster);
}

void up_pool_asked(struct rt_msg *m) {
    struct up_asked *a = B_CONTAINER(m, struct up_asked, msg);
    struct up_cluster *cluster = a->cluster;
    atomic_store(&a->posted, false);
    if (rt_sem_waiting(&cluster->connections) && rt_spawn_now("pass connections", pass_idle, cluster) != 0)
        (void)close_one_idle(cluster); /* no fiber to be had: its permit at least */
}

void up_pool_give(struct up_conn *c) {
    struct up_endpoint *e = c->endpoint;
    struct up_cluster *cluster = e->cluster;
    if (rt_now() >= end_of_life(c) || !is_quiet(c) || up_registry_closing(cluster->registry)) {
        up_pool_close(c);
        return;
    }
    b_free(c->in);
    c->in = NULL;
    c->reused = true;
    for (;;) {
        if (rt_sem_waiting(&cluster->connections) && rt_sem_pass(&cluster->connections, wrap, c))
            return;
        bool unwanted =
            up_state(e) & UP_DRAINING; /* looked at behind the last wait: leave_old comes after it */
        if (atomic_fetch_add(&cluster->idle, 1) >= read_limit(&cluster->max_idle) || unwanted) {
            atomic_fetch_sub(&cluster->idle, 1);
            up_pool_close(c);
            return;
        }
        if (!rt_sem_waiting(&cluster->connections))
            break;
        atomic_fetch_sub(&cluster->idle, 1); /* he may have seen it, and will see it again */
    }
    b_list_push_front(&idle_here(e)->conns, &c->link);
    b_counter_add(&idle_here(e)->count, 1);
    c->parked.fn = idle_over;
    rt_park_stream(&c->stream, &c->parked,
                   rt_earlier(rt_after(rt_now(), read_limit(&cluster->max_idle_time)), end_of_life(c)));
}

/* --- getting one --- */

/* Where an idle connection may be had: of another worker to this endpoint, so that it moves; or any, of which the permit
 * is wanted. */
static void look_for_idle(struct up_cluster *cluster, const struct up_endpoint *e) {
    bool asked = false;
    for (unsigned i = 0; e && i < rt_worker_count(); i++)
        if (i != rt_index() && b_counter_get(&e->idle[i].count)) {
            ask(cluster, i);
            asked = true;
        }
    if (!asked && !close_one_idle(cluster))
        ask_all(cluster);
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
static int wait_for_permit(struct up_cluster *cluster, const struct up_endpoint *e, rt_time deadline,
                           struct up_conn **conn) {
    struct rt_sem_waiter w;
    rt_time from = rt_clock();
    int rc = 0;
    if (!rt_sem_enter(&cluster->connections, &w, e)) {
        look_for_idle(cluster, e);
        rc = rt_sem_wait(&cluster->connections, &w, deadline);
    }
    tel_observe(cluster->metrics.pool_wait, rt_index(), (uint64_t)(rt_clock() - from));
    *conn = rc == 0 && w.gift ? unwrap(w.gift) : NULL;
    return rc;
}

/* A new connection, for which the caller has a permit. */
static int open_new(struct up_endpoint *e, struct rt_call *call, rt_time deadline, struct up_conn **out) {
    struct up_cluster *cluster = e->cluster;
    struct up_conn *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c);
    if (!c) {
        rt_sem_release(&cluster->connections);
        return -HTTP_E_OUT_OF_MEMORY;
    }
    b_list_init(&c->link);
    c->endpoint = e;
    up_endpoint_hold(e, UP_USER);
    tel_add(cluster->metrics.connections, rt_index(), 1);
    int rc = up_dial(e, &c->stream, &call->arena, deadline);
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

int up_pool_get(struct up_endpoint *e, struct rt_call *call, rt_time connect_timeout, rt_time *deadline,
                bool fresh, struct up_conn **out) {
    struct up_cluster *cluster = e->cluster;
    *out = fresh ? NULL : take_idle(e);
    if (*out)
        return 0;
    if (!rt_sem_try(&cluster->connections)) {
        rt_time from = rt_now();
        int rc = wait_for_permit(cluster, fresh ? NULL : e, call->deadline, out);
        if (rc)
            return rc == -ECANCELED ? -HTTP_E_CLIENT_CLOSED : -HTTP_E_POOL_EXHAUSTED;
        *deadline = rt_earlier(call->deadline, rt_after(*deadline, rt_now() - from));
    }
    return *out ? 0 : open_new(e, call, rt_earlier(*deadline, rt_after(rt_now(), connect_timeout)), out);
}
