#include "upstream/pool.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "http/error.h"
#include "net/dns.h"

static struct up_idle *idle_here(struct up_endpoint *e) {
    return &e->idle[rt_index()];
}

static void forget_idle(struct up_conn *c) {
    b_list_remove(&c->link);
    idle_here(c->endpoint)->count--;
    atomic_fetch_sub_explicit(&c->endpoint->upstream->idle, 1, memory_order_relaxed);
}

void up_pool_close(struct up_conn *c) {
    struct up_upstream *u = c->endpoint->upstream;
    if (rt_is_attached(&c->stream))
        rt_end(&c->stream, RT_END_CLOSE);
    tel_sub(u->metrics.connections, rt_index(), 1);
    b_free(c->in);
    b_free(c);
    rt_sem_release(&u->connections);
}

/* An idle connection became readable (the peer closed it, or sent what nobody asked for: S28) or its time is over. */
static void idle_over(struct rt_parked *p, int result) {
    struct up_conn *c = B_CONTAINER(p, struct up_conn, parked);
    struct up_upstream *u = c->endpoint->upstream;
    bool expired = rt_now() >= rt_after(c->born, u->pool.max_lifetime);
    if (result == -ETIMEDOUT && !expired && atomic_load(&u->idle) <= u->pool.min_idle) {
        rt_time next =
            rt_earlier(rt_after(rt_now(), u->pool.max_idle_time), rt_after(c->born, u->pool.max_lifetime));
        rt_park_stream(&c->stream, &c->parked, next);
        return;
    }
    forget_idle(c);
    up_pool_close(c);
}

struct up_conn *up_pool_take(struct up_endpoint *e) {
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

void up_pool_give(struct up_conn *c) {
    struct up_endpoint *e = c->endpoint;
    struct up_upstream *u = e->upstream;
    rt_time end_of_life = rt_after(c->born, u->pool.max_lifetime);
    bool usable = rt_now() < end_of_life && is_quiet(c);
    /* counted before it is asked who wants a permit: see up_upstream.wanting */
    if (atomic_fetch_add(&u->idle, 1) >= u->pool.max_idle || !usable || atomic_load(&u->wanting) > 0 ||
        up_registry_closing(u->registry)) {
        atomic_fetch_sub(&u->idle, 1);
        up_pool_close(c);
        return;
    }
    b_free(c->in);
    c->in = NULL;
    b_list_push_front(&idle_here(e)->conns, &c->link);
    idle_here(e)->count++;
    c->parked.fn = idle_over;
    rt_park_stream(&c->stream, &c->parked,
                   rt_earlier(rt_after(rt_now(), u->pool.max_idle_time), end_of_life));
}

static bool close_one_idle(struct up_upstream *u) {
    for (uint32_t i = 0; i < u->endpoint_count; i++) {
        struct up_conn *c = up_pool_take(u->endpoints[i]);
        if (c) {
            up_pool_close(c);
            return true;
        }
    }
    return false;
}

void up_pool_shrink(struct rt_msg *m) {
    struct up_shrink *s = B_CONTAINER(m, struct up_shrink, msg);
    atomic_store(&s->posted, false);
    /* one message may speak for several; some of them may not even stand in the queue yet */
    for (int64_t n = atomic_load(&s->upstream->wanting); n > 0 && close_one_idle(s->upstream); n--)
        continue;
}

void up_pool_clear(struct up_upstream *u) {
    while (close_one_idle(u))
        continue;
}

/* All permits are taken. An idle connection of this worker (to another endpoint) gives its permit up at once; other
 * workers are asked for theirs; then we stand in line. */
static int wait_for_permit(struct up_upstream *u, rt_time deadline) {
    rt_time from = rt_clock();
    atomic_fetch_add(&u->wanting, 1);
    close_one_idle(u);
    for (unsigned i = 0; atomic_load(&u->idle) > 0 && i < rt_worker_count(); i++)
        if (i != rt_index() && !atomic_exchange(&u->shrink[i].posted, true))
            rt_post(rt_worker(i), &u->shrink[i].msg);
    int rc = rt_sem_acquire(&u->connections, deadline);
    atomic_fetch_sub(&u->wanting, 1);
    tel_observe(u->metrics.pool_wait, rt_index(), (uint64_t)(rt_clock() - from));
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

int up_pool_connect(struct up_endpoint *e, struct rt_call *call, rt_time *deadline, struct up_conn **out) {
    struct up_upstream *u = e->upstream;
    if (!rt_sem_try(&u->connections)) {
        rt_time from = rt_now();
        int rc = wait_for_permit(u, call->deadline);
        if (rc)
            return rc == -ECANCELED ? -HTTP_E_CLIENT_CLOSED : -HTTP_E_POOL_EXHAUSTED;
        *deadline = rt_earlier(call->deadline, rt_after(*deadline, rt_now() - from));
    }
    struct up_conn *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c);
    if (!c) {
        rt_sem_release(&u->connections);
        return -HTTP_E_OUT_OF_MEMORY;
    }
    b_list_init(&c->link);
    c->endpoint = e;
    tel_add(u->metrics.connections, rt_index(), 1);
    int rc = dial(e, c, &call->arena, rt_earlier(*deadline, rt_after(rt_now(), u->connect_timeout)));
    if (!rt_is_attached(&c->stream)) {
        up_pool_close(c);
        return rc;
    }
    c->born = rt_now();
    *out = c;
    return 0;
}
