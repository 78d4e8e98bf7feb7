#include "gateway/conn.h"

#include <errno.h>

#include "http/h1_parse.h"
#include "telemetry/http_metrics.h"

/* A connection that cannot get a fiber is told so and closed. */
static const char no_fiber[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
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

void gw_conn_close(struct gw_conn *c, enum rt_end how) {
    struct gateway *g = c->listener->gateway;
    if (rt_is_attached(&c->stream))
        rt_end(&c->stream, how);
    b_list_remove(&c->link);
    b_counter_sub(&gw_worker()->connections, 1);
    if (!c->listener->admin)
        atomic_fetch_sub(&g->connections, 1);
    gw_listener_put(c->listener);
    b_free(c->in);
    b_free(c);
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
        char *bigger = b_alloc(B_TAG_CONNECTIONS, cap);
        if (!bigger)
            return -ENOMEM;
        b_free(c->in);
        c->in = bigger;
        c->in_cap = cap;
    }
    memcpy(c->in, part.ptr, part.len);
    c->in_at = 0;
    c->in_len = (uint32_t)part.len;
    return 0;
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
    tel_refusal(rt_index(), HTTP_E_TOO_MANY_IN_FLIGHT);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)no_fiber, .iov_len = sizeof no_fiber - 1};
    ssize_t sent = rt_send(&c->stream, &iov, 1, RT_NOWAIT);
    (void)sent; /* best effort: the connection goes either way */
    gw_conn_close(c, RT_END_CLOSE);
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
    if (keep_part(c, all) == 0)
        park_until(c, c->head_deadline);
    else
        gw_conn_close(c, RT_END_CLOSE);
}

static void readable(struct rt_parked *p, int result) {
    struct gw_conn *c = B_CONTAINER(p, struct gw_conn, parked);
    if (result == -ETIMEDOUT) {
        /* nothing sent: closed silently; a part of a head gets its 408 (R01) */
        if (c->in_len > c->in_at)
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
    head_grew(c, seen, all);
}

void gw_conn_park(struct gw_conn *c) {
    struct gateway *g = c->listener->gateway;
    c->busy = false;
    rt_disown(&c->stream);
    c->parked.fn = readable;
    if ((atomic_load_explicit(&g->draining, memory_order_relaxed) && !c->listener->admin) ||
        !atomic_load_explicit(&c->listener->wanted, memory_order_relaxed)) {
        gw_conn_close(c, RT_END_CLOSE);
        return;
    }
    struct gw_snapshot *s = gw_pin(g);
    rt_time idle = s->root->limits.idle_timeout, header = s->root->limits.header_timeout;
    gw_unpin(s);
    if (c->in_len > c->in_at) {
        c->head_deadline = rt_after(rt_now(), header);
        c->head_begun = rt_now();
        park_until(c, c->head_deadline);
        return;
    }
    b_free(c->in);
    c->in = NULL;
    c->in_len = c->in_at = c->in_cap = 0;
    c->head_deadline = 0;
    park_until(c, rt_after(rt_now(), idle));
}

/* The header timeout of the first request runs from the accept. */
static void park_first(struct gw_conn *c) {
    if (!atomic_load(&c->listener->wanted)) { /* it was stopped while the connection was on its way here */
        gw_conn_close(c, RT_END_CLOSE);
        return;
    }
    struct gw_snapshot *s = gw_pin(c->listener->gateway);
    rt_time at = rt_after(rt_now(), s->root->limits.header_timeout);
    gw_unpin(s);
    c->parked.fn = readable;
    park_until(c, at);
}

void gw_conn_open(struct gw_listener *l, int fd, const struct net_peer *peer) {
    struct gw_conn *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c);
    int rc = c ? rt_attach(&c->stream, fd, false) : -ENOMEM;
    if (rc) {
        b_free(c);
        rt_close_handle(fd);
        if (!l->admin)
            atomic_fetch_sub(&l->gateway->connections, 1);
        gw_listener_put(l);
        return;
    }
    c->listener = l;
    c->peer = *peer;
    b_list_push_back(&gw_worker()->conns, &c->link);
    b_counter_add(&gw_worker()->connections, 1);
    park_first(c);
}

void gw_conns_close_idle(const struct gw_listener *of) {
    B_LIST_EACH(n, &gw_worker()->conns) {
        struct gw_conn *c = B_CONTAINER(n, struct gw_conn, link);
        if (!c->busy && (of ? c->listener == of : !c->listener->admin))
            gw_conn_close(c, RT_END_CLOSE);
    }
}
