/* The life of a request, top to bottom. The file to read first. */
#include <errno.h>

#include "base/log.h"
#include "base/sanitize.h"
#include "gateway/balance.h"
#include "gateway/overload.h"
#include "gateway/recorder.h"
#include "gateway/router.h"
#include "gateway/tunnel.h"
#include "http/h1_parse.h"
#include "telemetry/http_metrics.h"

static void begin(struct exchange *ex, struct gw_conn *c);
/* not inlined: their locals would lie on the fiber's stack for all of the request */
static __attribute__((noinline)) int read_head(struct exchange *ex, struct b_slice head);
static __attribute__((noinline)) int find_route(struct exchange *ex);
static void refuse(struct exchange *ex, enum http_error why);
static __attribute__((noinline)) void finish_body(struct exchange *ex);
static __attribute__((noinline)) void record(struct exchange *ex);
static void end(struct exchange *ex);
static __attribute__((noinline)) bool next_head(struct gw_conn *c, struct b_slice *head);

/* One request: read its head, find its route, run the pipeline, record. False when the connection is over, or has become
 * a tunnel. */
static bool serve_one(struct gw_conn *c, struct b_slice head, struct gw_tunnel **tunnel) {
    struct exchange ex;
    begin(&ex, c);
    int rc = read_head(&ex, head);
    if (rc == 0)
        rc = find_route(&ex);
    if (rc)
        refuse(&ex, (enum http_error) - rc);
    gw_next(&ex);
    finish_body(&ex);
    record(&ex);
    end(&ex);
    *tunnel = ex.tunnel;
    return !ex.close;
}

void gw_serve(struct gw_conn *c, struct b_slice head) {
    struct gw_tunnel *tunnel;
    do {
        if (!serve_one(c, head, &tunnel)) {
            if (tunnel)
                gw_tunnel_run(tunnel);
            else
                gw_linger(c);
            return;
        }
        /* of many that lie ready here; when it is cancelled, the next request's waits find out */
        (void)rt_yield_due();
    } while (next_head(c, &head));
}

/* --- begin and end --- */

static void begin(struct exchange *ex, struct gw_conn *c) {
    /* not zeroed whole: the arena's first chunk is most of it */
    memset(ex, 0, offsetof(struct exchange, first_chunk));
    b_arena_init(&ex->call.arena, B_TAG_REQUESTS, rt_chunks(), ex->first_chunk, sizeof ex->first_chunk,
                 GW_ARENA_MAX);
    ex->conn = c;
    c->requests++;
    ex->snapshot = gw_pin(c->listener->gateway);
    ex->started = c->head_begun ? c->head_begun : rt_clock(); /* the first byte counts */
    c->head_begun = 0;
    ex->call.deadline = rt_after(rt_now(), 30 * RT_S); /* until a route says otherwise */
    ex->body_done = true;
    ex->res.status = 0;
    if (!c->listener->admin)
        tel_active_add(rt_index(), 1);
}

static void end(struct exchange *ex) {
    if (!ex->conn->listener->admin)
        tel_active_add(rt_index(), -1);
    if (ex->counted)
        atomic_fetch_sub_explicit(&ex->conn->listener->gateway->requests, 1, memory_order_relaxed);
    gw_unpin((struct gw_snapshot *)(uintptr_t)ex->snapshot);
    b_arena_release(&ex->call.arena);
    B_UNPOISON(ex->first_chunk, sizeof ex->first_chunk);
}

/* --- the head --- */

static const char *moved(const char *p, struct b_slice from, const char *to) {
    return p >= from.ptr && p <= from.ptr + from.len ? to + (p - from.ptr) : p;
}

/* The head was parsed where it arrived; now it moves into the arena, with the fields, so that it outlives a wait. */
static int keep_head(struct exchange *ex, struct b_slice head) {
    struct http_request *r = &ex->req;
    struct b_slice copy = b_arena_copy(&ex->call.arena, head);
    uint16_t cap = (uint16_t)(r->fields.count + 6);
    struct http_field *at = b_arena_alloc(&ex->call.arena, cap * sizeof *at);
    if (!copy.ptr || !at)
        return -HTTP_E_OUT_OF_MEMORY;
    for (unsigned i = 0; i < r->fields.count; i++) {
        at[i] = r->fields.at[i];
        at[i].name = moved(at[i].name, head, copy.ptr);
        at[i].value = moved(at[i].value, head, copy.ptr);
    }
    r->fields.at = at;
    r->fields.cap = cap;
    struct b_slice *slices[] = {&r->method_text, &r->target, &r->authority, &r->path, &r->query};
    for (unsigned i = 0; i < sizeof slices / sizeof slices[0]; i++)
        slices[i]->ptr = moved(slices[i]->ptr, head, copy.ptr);
    return 0;
}

/* Of a head that could not be read, what a log line can use. */
static void keep_wreck(struct exchange *ex) {
    struct http_request *r = &ex->req;
    uint8_t minor = r->minor;
    struct b_slice method = b_arena_copy(&ex->call.arena, r->method_text);
    struct b_slice target = b_arena_copy(&ex->call.arena, r->target);
    *r = (struct http_request){
        .method = HTTP_METHOD_OTHER, .minor = minor, .method_text = method, .target = target, .path = target};
    r->content_length = HTTP_LENGTH_UNKNOWN;
}

/* What came behind the head: the beginning of a body, or the next request. */
static int keep_rest(struct gw_conn *c, struct b_slice rest) {
    if (rest.len > c->in_cap) {
        b_free(c->in);
        c->in = b_alloc(B_TAG_REQUESTS, rest.len);
        c->in_cap = c->in ? (uint32_t)rest.len : 0;
    }
    c->in_at = c->in_len = 0;
    if (rest.len && !c->in)
        return -HTTP_E_OUT_OF_MEMORY;
    if (rest.len)
        memmove(c->in, rest.ptr, rest.len);
    c->in_len = (uint32_t)rest.len;
    return 0;
}

static void expect_body(struct exchange *ex) {
    ex->body_done = !http_body_expected(ex->req.body, ex->req.content_length);
    ex->body_left = ex->req.content_length;
    if (ex->req.body == HTTP_BODY_CHUNKED)
        h1_chunked_init(&ex->chunked, NULL, ex->snapshot->limits.max_header_bytes);
}

static int read_head(struct exchange *ex, struct b_slice head) {
    struct gw_conn *c = ex->conn;
    struct http_limits limits = gw_head_limits(c, ex->snapshot);
    c->head_deadline = 0;
    if (!head.len) {
        ex->close = true;
        c->in_len = c->in_at = 0;
        keep_wreck(ex);
        return -HTTP_E_HEADER_TIMEOUT;
    }
    ssize_t n =
        h1_parse_request(head, &limits, gw_worker()->req_fields, GW_FIELDS_MAX, &ex->call.arena, &ex->req);
    if (n <= 0) {
        ex->close = true;
        c->in_len = c->in_at = 0;
        keep_wreck(ex);
        return n < 0 ? (int)n : -HTTP_E_HEADER_TOO_LARGE;
    }
    int rc = keep_head(ex, b_slice(head.ptr, (size_t)n));
    if (rc == 0)
        rc = keep_rest(c, b_slice_from(head, (size_t)n));
    if (rc)
        ex->close = true;
    expect_body(ex);
    return rc;
}

/* --- the route --- */

static int admit(struct exchange *ex) {
    struct gateway *g = ex->conn->listener->gateway;
    int64_t most = ex->snapshot->root->limits.max_in_flight;
    if (gw_pressure(g) >= GW_SHED)
        return -HTTP_E_OVERLOADED;
    ex->counted = true;
    if (atomic_fetch_add_explicit(&g->requests, 1, memory_order_relaxed) < (uint64_t)most)
        return 0;
    return -HTTP_E_TOO_MANY_IN_FLIGHT;
}

static int find_route(struct exchange *ex) {
    struct gw_match m;
    if (ex->conn->listener->admin) {
        ex->route = gw_admin_route(ex->conn->listener->gateway);
        return 0;
    }
    if (ex->req.method == HTTP_METHOD_CONNECT)
        ex->close = true; /* what follows is meant for a tunnel (S25) */
    int rc = admit(ex);
    if (rc)
        return rc;
    if (ex->req.method == HTTP_METHOD_CONNECT) {
        ex->allow = B_LIT("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        return -HTTP_E_CONNECT_REFUSED;
    }
    if (ex->req.https && !gw_peer_trusted(ex)) {
        ex->close =
            true; /* the client takes this connection for one that is secured (RFC 9110 section 7.4) */
        return -HTTP_E_MISDIRECTED;
    }
    gw_router_find(ex->snapshot->router, ex->req.authority, &ex->conn->listener->conf, ex->req.method,
                   ex->req.method_text, ex->req.path, &ex->call.arena, &m);
    ex->allow = m.allow;
    if (!m.route)
        return m.path_known    ? -HTTP_E_METHOD_NOT_ALLOWED
               : m.misdirected ? -HTTP_E_MISDIRECTED
                               : -HTTP_E_NO_ROUTE;
    ex->route = m.route;
    for (unsigned i = 0; i < m.route->param_count; i++)
        ex->params[i] = m.params[i];
    if (ex->req.body == HTTP_BODY_LENGTH && ex->req.content_length > m.route->max_body)
        return -HTTP_E_BODY_TOO_LARGE;
    ex->call.deadline = rt_after(ex->started, m.route->deadline);
    return gw_shorten_deadline(ex);
}

/* The request is answered by the snapshot's refusal route, so that the global middleware sees it. */
static void refuse(struct exchange *ex, enum http_error why) {
    if (ex->req.upgrade)
        ex->close = true; /* what follows may be meant for a tunnel (S24) */
    ex->refusal = why;
    ex->route = &ex->snapshot->refusals;
}

/* --- after the answer --- */

#define DRAIN_TIME RT_S

/* The rest of a body that nobody read is read here, if it is small and comes soon (S22); the next request begins behind
 * it. */
static void finish_body(struct exchange *ex) {
    struct b_slice piece;
    uint64_t drained = 0;
    if (ex->sent == GW_SENT_NOTHING || ex->sent == GW_SENT_HEAD) {
        if (ex->error != HTTP_E_CLIENT_CLOSED)
            B_LOG(B_ERROR, "gateway", "a handler of %.*s left its answer unfinished", B_FMT(ex->req.target));
        ex->close = true;
        ex->conn->reset = ex->sent == GW_SENT_HEAD;
    }
    if (ex->sent == GW_SENT_BROKEN)
        ex->close = true;
    ex->continue_sent = true; /* too late to invite one */
    ex->call.deadline = rt_after(rt_now(), DRAIN_TIME);
    while (!ex->close && !ex->body_done) {
        if (gw_read_body(ex, &piece) < 0 || (drained += piece.len) > GW_DRAIN_MAX)
            ex->close = true;
    }
}

static void record(struct exchange *ex) {
    uint64_t ns = (uint64_t)(rt_clock() - ex->started);
    if (ex->conn->listener->admin)
        return;
    tel_route_observe(ex->route->metrics, rt_index(), ex->req.method, ex->res.status, ns);
    gw_record(ex, ns);
}

/* --- the next one --- */

/* Whole heads that have come already are served at once (pipelining); else the connection waits without a fiber. An idle
 * worker may get it instead. */
static bool next_head(struct gw_conn *c, struct b_slice *head) {
    if (gw_give(c))
        return false;
    size_t seen = c->in_len - c->in_at;
    *head = b_slice(seen ? c->in + c->in_at : NULL, seen);
    struct gw_snapshot *s = gw_pin(c->listener->gateway);
    struct http_limits limits = gw_head_limits(c, s);
    gw_unpin(s);
    if (seen && h1_head_state(*head, 0, &limits) == H1_HEAD_READY)
        return true;
    /* parking must not find the stream readable: it would start a fiber inside this one */
    while (c->stream.flags & RT_STREAM_READABLE) {
        seen = head->len;
        ssize_t n = rt_receive_lent(&c->stream, *head, RT_SCRATCH_BYTES, head, RT_NOWAIT);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            gw_conn_close(c, RT_END_CLOSE);
            return false;
        }
        if (h1_head_state(*head, seen, &limits) == H1_HEAD_READY || head->len == RT_SCRATCH_BYTES)
            return true;
    }
    if (head->len && keep_rest(c, *head) != 0) {
        gw_conn_close(c, RT_END_CLOSE);
        return false;
    }
    gw_conn_park(c);
    return false;
}
