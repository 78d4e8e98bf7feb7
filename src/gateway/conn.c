#include "gateway/conn.h"

#include <errno.h>

#include "base/log.h"
#include "gateway/overload.h"
#include "http/h1_parse.h"
#include "net/proxy_protocol.h"
#include "telemetry/http_metrics.h"

/* A connection that cannot be served is told so and closed. */
static const char no_room[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                              "Connection: close\r\n\r\n";

static struct gw_worker *workers[RT_WORKERS_MAX];

struct gw_worker *gw_worker(void) {
    return workers[rt_index()];
}

const struct gw_worker *gw_worker_of(unsigned index) {
    return workers[index];
}

int gw_workers_init(void) {
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        workers[i] = b_zalloc(B_TAG_GATEWAY, sizeof *workers[i]);
        if (!workers[i])
            return -ENOMEM;
        b_list_init(&workers[i]->conns);
        b_list_init(&workers[i]->tunnels);
        workers[i]->date_until = RT_NOWAIT;
    }
    return 0;
}

void gw_workers_free(void) {
    for (unsigned i = 0; i < RT_WORKERS_MAX; i++) {
        b_free(workers[i]);
        workers[i] = NULL;
    }
}

uint64_t gw_worker_connections(unsigned worker) {
    return workers[worker] ? b_counter_get(&workers[worker]->connections) : 0;
}

uint64_t gw_given(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < rt_worker_count() && workers[i]; i++)
        sum += b_counter_get(&workers[i]->given);
    return sum;
}

/* What the process counts goes back, and the memory. */
static void release(struct gw_listener *l, struct gw_conn *c) {
    if (!l->admin)
        atomic_fetch_sub(&l->gateway->connections, 1);
    gw_listener_put(l);
    if (c)
        b_free(c->in);
    b_free(c);
}

static void leave_worker(struct gw_conn *c) {
    b_list_remove(&c->link);
    b_counter_sub(&gw_worker()->connections, 1);
}

void gw_conn_close(struct gw_conn *c, enum rt_end how) {
    if (rt_is_attached(&c->stream))
        rt_end(&c->stream, how);
    leave_worker(c);
    release(c->listener, c);
}

/* --- a head that comes in --- */

static void serve_fiber(void *arg) {
    struct gw_conn *c = arg;
    struct b_slice head = c->head;
    c->head = b_slice(NULL, 0);
    rt_own(&c->stream); /* a client that has gone needs no answer (U04) */
    gw_serve(c, head);
}

/* Keeps the part of a head that has come. The block grows by doubling, so that a slow head costs what it has sent. */
static int keep_part(struct gw_conn *c, struct b_slice part) {
    if (part.len > c->in_cap) {
        uint32_t cap = 256;
        while (cap < part.len)
            cap *= 2;
        char *bigger = b_alloc(B_TAG_REQUESTS, cap);
        if (!bigger)
            return -ENOMEM;
        b_free(c->in);
        c->in = bigger;
        c->in_cap = cap;
    }
    memmove(c->in, part.ptr, part.len); /* it may lie there already */
    c->in_at = 0;
    c->in_len = (uint32_t)part.len;
    return 0;
}

/* Without a fiber, which is what there is no memory for. */
static void turn_away(struct gw_conn *c, enum http_error why) {
    tel_refusal(rt_index(), why);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)no_room, .iov_len = sizeof no_room - 1};
    ssize_t sent = rt_send(&c->stream, &iov, 1, RT_NOWAIT);
    (void)sent; /* best effort: the connection goes either way */
    gw_conn_close(c, RT_END_CLOSE);
}

/* From the loop the new fiber runs at once, on the bytes where they lie. From a fiber (which opens or parks a connection
 * that is readable already) it runs in its turn, when the scratch buffer is another's. */
static void start_serving(struct gw_conn *c, struct b_slice head) {
    c->busy = true;
    c->head = head;
    if (head.len && rt_fiber_self()) {
        if (keep_part(c, head) != 0) {
            gw_conn_close(c, RT_END_CLOSE);
            return;
        }
        c->head = b_slice(c->in, c->in_len);
    }
    if (rt_spawn_now("request", serve_fiber, c) == 0)
        return;
    turn_away(c, HTTP_E_TOO_MANY_IN_FLIGHT);
}

static void park_until(struct gw_conn *c, rt_time at) {
    c->park_until = at;
    rt_park_stream(&c->stream, &c->parked, at);
}

/* The slow part of a head: what is there, with what was kept before, looked at again. */
static void head_grew(struct gw_conn *c, size_t seen, struct b_slice all) {
    struct gw_snapshot *s = gw_pin(c->listener->gateway);
    struct http_limits limits = gw_head_limits(c, s);
    enum h1_head_state state = h1_head_state(all, seen, &limits);
    if (!c->head_begun)
        c->head_begun = rt_now();
    if (!c->head_deadline)
        c->head_deadline = rt_after(rt_now(), s->root->limits.header_timeout);
    gw_unpin(s);
    if (state == H1_HEAD_READY || all.len == RT_SCRATCH_BYTES) {
        start_serving(c, all);
        return;
    }
    if (!c->listener->admin && gw_pressure(c->listener->gateway) >= GW_SHED)
        turn_away(c, HTTP_E_OVERLOADED); /* a part is not kept for a request that will be refused */
    else if (keep_part(c, all) == 0)
        park_until(c, c->head_deadline);
    else
        gw_conn_close(c, RT_END_CLOSE);
}

/* --- the PROXY protocol --- */

/* A balancer that is not set up for it would fill the log: a warning every ten seconds tells enough. */
static void count_refused_proxy(const struct gw_conn *c, const char *why) {
    static _Atomic rt_time quiet_until;
    rt_time now = rt_now(), until = atomic_load(&quiet_until);
    char text[NET_PEER_TEXT];
    tel_refusal(rt_index(), HTTP_E_BAD_PROXY_HEADER);
    if (now < until || !atomic_compare_exchange_strong(&quiet_until, &until, rt_after(now, 10 * RT_S)))
        return;
    net_peer_format(&c->peer, text);
    B_LOG(B_WARN, "gateway", "a connection from %s to %s is closed: %s", text, c->listener->text, why);
}

static void refuse_proxy(struct gw_conn *c, const char *why) {
    count_refused_proxy(c, why);
    gw_conn_close(c, RT_END_RESET);
}

/* The header before the first request (P07), of which it takes what has come off `*all`. False: there is nothing more to be
 * done, since it is not whole, the connection has been closed, or no request has come behind it. */
static bool take_proxy(struct gw_conn *c, struct b_slice *all) {
    const char *why = NULL;
    ssize_t n = net_proxy_header(*all, &c->peer, &why);
    if (n < 0) {
        refuse_proxy(c, why);
        return false;
    }
    c->awaits_proxy = n == 0;
    c->in_len = c->in_at = 0;
    *all = b_slice_from(*all, (size_t)n);
    if (n && all->len)
        return true;
    if (all->len && keep_part(c, *all) != 0)
        gw_conn_close(c, RT_END_CLOSE);
    else
        park_until(c, c->head_deadline);
    return false;
}

static void readable(struct rt_parked *p, int result) {
    struct gw_conn *c = B_CONTAINER(p, struct gw_conn, parked);
    if (result == -ETIMEDOUT) {
        /* nothing sent: closed silently; a part of a head gets its 408 (R01) */
        if (c->awaits_proxy)
            refuse_proxy(c, "no header of the PROXY protocol in time");
        else if (c->in_len > c->in_at)
            start_serving(c, b_slice(NULL, 0));
        else
            gw_conn_close(c, RT_END_CLOSE);
        return;
    }
    size_t seen = c->in_len - c->in_at;
    struct b_slice kept = b_slice(seen ? c->in + c->in_at : NULL, seen), all;
    ssize_t n = rt_receive_lent(&c->stream, kept, RT_SCRATCH_BYTES, &all, RT_NOWAIT);
    if (n == -EAGAIN) {
        rt_park_stream(&c->stream, p, c->park_until);
        return;
    }
    if (n <= 0) {
        gw_conn_close(c, RT_END_CLOSE);
        return;
    }
    if (c->awaits_proxy) {
        if (!take_proxy(c, &all))
            return;
        seen = 0;
    }
    head_grew(c, seen, all);
}

/* Whether connections like this one are to go, since the process or their listener does. */
static bool leaving(const struct gw_conn *c) {
    const struct gw_listener *l = c->listener;
    return (!l->admin && atomic_load_explicit(&l->gateway->draining, memory_order_relaxed)) ||
           !atomic_load_explicit(&l->wanted, memory_order_relaxed);
}

void gw_conn_drop_in(struct gw_conn *c) {
    b_free(c->in);
    c->in = NULL;
    c->in_len = c->in_at = c->in_cap = 0;
}

/* The state between two requests: until when the next one, or the rest of its head, must come. */
static void settle(struct gw_conn *c) {
    struct gw_snapshot *s = gw_pin(c->listener->gateway);
    rt_time idle = s->root->limits.idle_timeout, header = s->root->limits.header_timeout;
    gw_unpin(s);
    rt_disown(&c->stream);
    if (c->in_len > c->in_at) {
        c->head_begun = rt_now();
        c->park_until = c->head_deadline = rt_after(rt_now(), header);
        return;
    }
    gw_conn_drop_in(c);
    c->head_deadline = 0;
    c->park_until = rt_after(rt_now(), idle);
}

/* A connection that goes without having asked: its first request, or the rest of one, may be on its way (U11). Of the first
 * one nothing has come yet: it gets a moment. */
#define LAST_CALL RT_S

/* True when it has been closed. */
static bool close_unless_it_asks(struct gw_conn *c) {
    if (!c->head_deadline) {
        gw_conn_close(c, RT_END_CLOSE);
        return true;
    }
    if (c->in_len > c->in_at || c->last_call)
        return false;
    c->last_call = true;
    park_until(c, rt_earlier(c->park_until, rt_after(rt_now(), LAST_CALL)));
    return false;
}

void gw_conn_park(struct gw_conn *c) {
    settle(c);
    c->busy = false;
    if (leaving(c))
        gw_conn_close(c, RT_END_CLOSE);
    else
        park_until(c, c->park_until);
}

/* --- coming to a worker --- */

static void arrive(struct gw_conn *c, int fd) {
    if (rt_attach(&c->stream, fd, false) != 0) {
        rt_close_handle(fd);
        release(c->listener, c);
        return;
    }
    b_list_push_back(&gw_worker()->conns, &c->link);
    b_counter_add(&gw_worker()->connections, 1);
    c->parked = (struct rt_parked){.fn = readable};
    if (atomic_load(&c->listener->gateway->cut))
        gw_conn_close(c, RT_END_CLOSE);
    else if (c->in_len > c->in_at) /* perhaps a whole head */
        head_grew(c, 0, b_slice(c->in + c->in_at, c->in_len - c->in_at));
    else if (leaving(c))
        (void)close_unless_it_asks(c);
    else
        park_until(c, c->park_until);
}

static void arrived(struct rt_msg *m) {
    struct gw_conn *c = B_CONTAINER(m, struct gw_conn, way.msg);
    arrive(c, c->way.fd);
}

static void send_on_its_way(struct gw_conn *c, int fd, unsigned worker) {
    c->way.msg.fn = arrived;
    c->way.fd = fd;
    b_counter_add(&gw_worker()->given, 1);
    rt_post(rt_worker(worker), &c->way.msg);
}

/* Who may not say who the client is may not connect here (P07). */
static void turn_stranger_away(struct gw_conn *c, int fd) {
    count_refused_proxy(c, "it is not in trusted_proxies, and may not send a header of the PROXY protocol");
    rt_close_handle(fd);
    release(c->listener, c);
}

/* The header timeout of the first request runs from the accept. */
void gw_conn_open(struct gw_listener *l, int fd, const struct net_peer *peer, unsigned worker) {
    struct gw_conn *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c);
    if (!c) {
        rt_close_handle(fd);
        release(l, NULL);
        return;
    }
    struct gw_snapshot *s = gw_pin(l->gateway);
    c->park_until = c->head_deadline = rt_after(rt_now(), s->root->limits.header_timeout);
    c->awaits_proxy = atomic_load_explicit(&l->proxy_protocol, memory_order_relaxed);
    bool stranger = c->awaits_proxy && peer->family != AF_UNIX && !gw_is_trusted(s, peer);
    gw_unpin(s);
    c->listener = l;
    c->peer = *peer;
    if (stranger) {
        turn_stranger_away(c, fd);
        return;
    }
    if (worker == rt_index())
        arrive(c, fd);
    else
        send_on_its_way(c, fd, worker);
}

bool gw_conn_send_to(struct gw_conn *c, unsigned worker) {
    /* nothing must be under way: what the back end holds cannot move */
    if (leaving(c) || c->stream.flags & (RT_STREAM_READABLE | RT_STREAM_HUP | RT_STREAM_ERROR))
        return false;
    settle(c);
    int fd = rt_end(&c->stream, RT_END_DETACH);
    leave_worker(c);
    c->busy = false;
    if (fd < 0)
        release(c->listener, c);
    else
        send_on_its_way(c, fd, worker);
    return true;
}

/* Closes idle ones until this fiber has had its share; true when there may be more. */
static bool close_some(const struct gw_listener *of) {
    B_LIST_EACH(n, &gw_worker()->conns) {
        struct gw_conn *c = B_CONTAINER(n, struct gw_conn, link);
        if (c->busy || (of ? c->listener != of : c->listener->admin))
            continue;
        if (close_unless_it_asks(c) && rt_share_used())
            return true;
    }
    return false;
}

void gw_conns_close_idle(const struct gw_listener *of) {
    rt_cancel_off(); /* a yield that is refused would begin no new share */
    while (close_some(of))
        (void)rt_yield_due();
    rt_cancel_on();
}
