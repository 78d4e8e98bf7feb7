#include "gateway/tunnel.h"

#include <errno.h>

#include "gateway/conn.h"
#include "upstream/attempt.h"

enum side { CLIENT, ORIGIN };

/* One direction, named for the side that its bytes come from. */
struct way {
    char *held; /* bytes that the other side has not taken yet; NULL mostly */
    uint32_t at, len;
    bool finished; /* no more will come */
    bool told;     /* and the other side knows */
    rt_time moved; /* when the last bytes were taken */
    uint64_t bytes;
};

struct gw_tunnel {
    struct b_list link; /* gw_worker()->tunnels */
    struct gw_conn *client;
    struct up_conn *origin;
    struct way ways[2];
    struct rt_parked client_parked, origin_parked;
    struct rt_timer retry; /* when there was no fiber to be had */
    bool busy;             /* it has a fiber, or will have it in a moment */
    struct rt_fiber *fiber;
    rt_time idle, stall;   /* spans */
    bool parking, stirred; /* a stream was ready while it was being parked */
    bool expired;
    struct gw_tunnel_end *ends;
};

static struct rt_stream *stream_of(struct gw_tunnel *t, enum side side) {
    return side == CLIENT ? &t->client->stream : &t->origin->stream;
}

/* --- the end --- */

static void unpark(struct gw_tunnel *t) {
    rt_timer_cancel(&t->retry);
    rt_park_stream(stream_of(t, CLIENT), NULL, RT_NEVER);
    rt_park_stream(stream_of(t, ORIGIN), NULL, RT_NEVER);
}

/* Where bytes have been lost, neither side may take what it has for all (U05). */
static void end(struct gw_tunnel *t, int why) {
    struct up_cluster *cluster = t->origin->endpoint->cluster;
    bool lost = t->ways[CLIENT].held || t->ways[ORIGIN].held;
    bool quiet = (why == 0 || why == -ETIMEDOUT || why == -ECANCELED) && !lost;
    b_list_remove(&t->link);
    b_counter_sub(&gw_worker()->tunnels_open, 1);
    unpark(t);
    b_free(t->ways[CLIENT].held);
    b_free(t->ways[ORIGIN].held);
    if (!quiet)
        rt_end(&t->origin->stream, RT_END_RESET);
    up_pool_close(t->origin);
    gw_conn_close(t->client, quiet ? RT_END_CLOSE : RT_END_RESET);
    for (struct gw_tunnel_end *e; (e = t->ends);) {
        t->ends = e->next;
        e->fn(e, t->ways[CLIENT].bytes, t->ways[ORIGIN].bytes);
    }
    b_free(t);
    up_cluster_put(cluster);
}

/* --- carrying --- */

static int hold(struct way *w, struct b_slice bytes) {
    w->held = b_alloc(B_TAG_REQUESTS, bytes.len);
    if (!w->held)
        return -ENOMEM;
    memcpy(w->held, bytes.ptr, bytes.len);
    w->at = 0;
    w->len = (uint32_t)bytes.len;
    w->moved = rt_now();
    return 0;
}

/* The end of what one side sends is the end of what the other gets, once that has all of it. */
static int tell_end(struct gw_tunnel *t, enum side from) {
    struct way *w = &t->ways[from];
    if (!w->finished || w->held || w->told)
        return 0;
    w->told = true;
    return rt_end(stream_of(t, !from), RT_END_WRITING);
}

static void count(struct gw_tunnel *t, enum side from, size_t n) {
    struct gw_worker *w = gw_worker();
    b_counter_add(from == CLIENT ? &w->tunnel_in : &w->tunnel_out, n);
    t->ways[from].moved = rt_now();
    t->ways[from].bytes += n;
}

/* Gives bytes to the other side as far as it takes them: how many, or negative errno. */
static ssize_t give(struct gw_tunnel *t, enum side from, char *p, size_t n) {
    struct iovec iov = {.iov_base = p, .iov_len = n};
    ssize_t sent = rt_send(stream_of(t, !from), &iov, 1, RT_NOWAIT);
    if (sent == -EAGAIN)
        return 0;
    if (sent > 0)
        count(t, from, (size_t)sent);
    return sent;
}

static int carry_held(struct gw_tunnel *t, enum side from) {
    struct way *w = &t->ways[from];
    ssize_t n = give(t, from, w->held + w->at, w->len - w->at);
    if (n < 0)
        return (int)n;
    w->at += (uint32_t)n;
    if (w->at < w->len)
        return 0;
    b_free(w->held);
    w->held = NULL;
    return tell_end(t, from);
}

static int carry(struct gw_tunnel *t, enum side from) {
    struct way *w = &t->ways[from];
    struct b_slice bytes;
    ssize_t n = rt_receive_lent(stream_of(t, from), b_slice(NULL, 0), RT_SCRATCH_BYTES, &bytes, RT_NOWAIT);
    if (n == -EAGAIN)
        return 0;
    if (n == 0) {
        w->finished = true;
        return tell_end(t, from);
    }
    if (n > 0)
        n = give(t, from, (char *)(uintptr_t)bytes.ptr, bytes.len);
    if (n < 0)
        return (int)n;
    bytes = b_slice_from(bytes, (size_t)n);
    return bytes.len ? hold(w, bytes) : 0;
}

/* Until when held bytes must move on; RT_NOWAIT when there are none. */
static rt_time patience(const struct gw_tunnel *t) {
    rt_time until = RT_NEVER;
    for (int side = CLIENT; side <= ORIGIN; side++)
        if (t->ways[side].held)
            until = rt_earlier(until, rt_after(t->ways[side].moved, t->stall));
    return until == RT_NEVER ? RT_NOWAIT : until;
}

/* Once: whatever is ready, both ways. -EAGAIN when nothing is, and nothing is held either. */
static int turn(struct gw_tunnel *t) {
    struct rt_wait waits[2];
    rt_time until = patience(t);
    int n = 0, rc = until != RT_NOWAIT && rt_now() >= until ? -ETIMEDOUT : rt_yield_due();
    for (int side = CLIENT; side <= ORIGIN; side++) {
        const struct way *w = &t->ways[side];
        int want = (!w->finished && !w->held ? RT_READ : 0) | (t->ways[!side].held ? RT_WRITE : 0);
        if (want)
            waits[n++] = (struct rt_wait){.stream = stream_of(t, side), .want = (uint8_t)want};
    }
    if (rc == 0)
        rc = rt_wait_any(waits, n, until);
    for (int i = 0; i < n && rc >= 0; i++) {
        enum side side = waits[i].stream == stream_of(t, CLIENT) ? CLIENT : ORIGIN;
        if (waits[i].got & RT_WRITE)
            rc = carry_held(t, !side);
        if (rc >= 0 && (waits[i].got & RT_READ))
            rc = carry(t, side);
    }
    return rc < 0 ? rc : 0;
}

/* --- idle --- */

static void carry_fiber(void *arg) {
    gw_tunnel_run(arg);
}

static void start(struct gw_tunnel *t) {
    t->busy = true;
    if (rt_spawn_now("tunnel", carry_fiber, t) == 0)
        return; /* it may be over */
    t->busy = false;
    rt_timer_set(&t->retry, rt_after(rt_now(), 10 * RT_MS));
}

static void retry(struct rt_timer *timer) {
    start(B_CONTAINER(timer, struct gw_tunnel, retry));
}

static void stir(struct gw_tunnel *t, int result) {
    t->stirred = true;
    t->expired |= result == -ETIMEDOUT;
    if (t->parking)
        return; /* its fiber is still there */
    unpark(t);
    start(t);
}

static void client_stirs(struct rt_parked *p, int result) {
    stir(B_CONTAINER(p, struct gw_tunnel, client_parked), result);
}

static void origin_stirs(struct rt_parked *p, int result) {
    stir(B_CONTAINER(p, struct gw_tunnel, origin_parked), result);
}

/* True when the tunnel waits by itself now. */
static bool park(struct gw_tunnel *t) {
    rt_time a = t->ways[CLIENT].moved, b = t->ways[ORIGIN].moved, until = rt_after(a > b ? a : b, t->idle);
    t->stirred = false;
    t->parking = true;
    if (!t->ways[CLIENT].finished)
        rt_park_stream(&t->client->stream, &t->client_parked, until);
    if (!t->ways[ORIGIN].finished && !t->stirred)
        rt_park_stream(&t->origin->stream, &t->origin_parked, until);
    t->parking = false;
    if (t->stirred)
        unpark(t);
    else
        t->fiber = NULL;
    t->busy = t->stirred;
    return !t->stirred;
}

void gw_tunnel_run(struct gw_tunnel *t) {
    int rc;
    t->fiber = rt_fiber_self();
    rt_disown(&t->client->stream); /* its ends are the tunnel's to see */
    do {
        rc = t->expired ? -ETIMEDOUT : turn(t);
        if (rc == -ECANCELED && (t->client->stream.flags & RT_STREAM_ERROR))
            rc = -ECONNRESET; /* the client went while the protocol was being switched (U04) */
        if (rc == -EAGAIN) {
            rc = atomic_load(&t->client->listener->gateway->cut) ? -ECANCELED : 0;
            if (rc == 0 && park(t))
                return;
        }
    } while (rc == 0 && !(t->ways[CLIENT].told && t->ways[ORIGIN].told));
    end(t, rc);
}

/* --- opening --- */

/* What came behind the request's head are bytes of the tunnel, as is what came behind the response's. */
static int take_over(struct gw_tunnel *t, struct exchange *ex, struct b_slice early) {
    struct gw_conn *c = ex->conn;
    struct way *w = &t->ways[CLIENT];
    if (early.len && hold(&t->ways[ORIGIN], early) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    if (c->in_len > c->in_at) {
        w->held = c->in;
        w->at = c->in_at;
        w->len = c->in_len;
        c->in = NULL;
        c->in_at = c->in_len = c->in_cap = 0;
    }
    w->moved = t->ways[ORIGIN].moved = rt_now();
    return 0;
}

int gw_tunnel_open(struct exchange *ex, struct up_exchange *x, struct b_slice protocol) {
    const struct cfg_limits *limits = &ex->snapshot->root->limits;
    struct gw_tunnel *t = b_zalloc(B_TAG_CONNECTIONS, sizeof *t);
    int rc = t ? take_over(t, ex, x->input) : -HTTP_E_OUT_OF_MEMORY;
    if (rc == 0)
        rc = gw_switch(ex, &x->res, protocol);
    if (rc) {
        if (t) {
            b_free(t->ways[CLIENT].held);
            b_free(t->ways[ORIGIN].held);
        }
        b_free(t);
        return rc;
    }
    t->client = ex->conn;
    t->origin = up_detach(x);
    t->busy = true;
    t->idle = limits->tunnel_idle_timeout;
    t->stall = limits->body_timeout;
    t->client_parked.fn = client_stirs;
    t->origin_parked.fn = origin_stirs;
    rt_timer_init(&t->retry, retry);
    b_list_push_back(&gw_worker()->tunnels, &t->link);
    b_counter_add(&gw_worker()->tunnels_open, 1);
    ex->tunnel = t;
    ex->close = true;
    return 0;
}

void gw_tunnel_at_end(struct gw_tunnel *t, struct gw_tunnel_end *e) {
    e->next = t->ends;
    t->ends = e;
}

/* --- all of them --- */

void gw_tunnels_end(void *unused) {
    struct b_list *all = &gw_worker()->tunnels;
    (void)unused;
    rt_cancel_off();
    while (!b_list_empty(all)) {
        struct gw_tunnel *t = B_CONTAINER(all->next, struct gw_tunnel, link);
        if (!t->busy) {
            end(t, -ECANCELED);
            continue;
        }
        if (t->fiber)
            rt_cancel(t->fiber); /* and it ends the tunnel */
        if (rt_sleep_until(rt_after(rt_now(), RT_MS)) != 0)
            break;
    }
    rt_cancel_on();
}

void gw_tunnel_figures(unsigned worker, struct gw_tunnel_figures *out) {
    const struct gw_worker *w = gw_worker_of(worker);
    *out = (struct gw_tunnel_figures){0};
    if (w)
        *out = (struct gw_tunnel_figures){.open = b_counter_get(&w->tunnels_open),
                                          .in = b_counter_get(&w->tunnel_in),
                                          .out = b_counter_get(&w->tunnel_out)};
}
