#include "upstream/exchange.h"

#include <errno.h>

#include "runtime/worker.h"
#include "telemetry/http_metrics.h"

int up_fail(struct up_exchange *x, enum http_error error, const char *why) {
    x->why = why;
    return -(int)error;
}

int up_socket_error(struct up_exchange *x, const struct rt_call *call, int rc) {
    switch (rc) {
    case -ETIMEDOUT:
        return up_fail(x, rt_now() >= call->deadline ? HTTP_E_DEADLINE_EXCEEDED : HTTP_E_UPSTREAM_TIMEOUT,
                       NULL);
    case -ECANCELED: return up_fail(x, HTTP_E_CLIENT_CLOSED, NULL);
    case -ENOMEM: return up_fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    default: return up_fail(x, HTTP_E_UPSTREAM_RESET, NULL);
    }
}

static void drop_conn(struct up_exchange *x) {
    if (x->conn)
        up_pool_close(x->conn);
    x->conn = NULL;
}

static int get_conn(struct up_exchange *x, struct rt_call *call, rt_time *deadline, bool fresh) {
    x->phase = "connect";
    int rc = up_pool_get(x->endpoint, call, deadline, fresh, &x->conn);
    if (rc == 0 && x->conn->reused) {
        tel_add(x->upstream->metrics.reused, rt_index(), 1);
        x->conn->uses++;
    }
    if (rc == -HTTP_E_UPSTREAM_CONNECT_TIMEOUT && rt_now() >= call->deadline)
        return up_fail(x, HTTP_E_DEADLINE_EXCEEDED, NULL);
    return rc;
}

/* Whether this failure may be tried again: nothing of a body was used up, and either the request never went out, or
 * it went on a pooled connection that the peer was closing, brought no byte back, and is harmless twice (U01). */
static bool may_retry(const struct up_exchange *x, int rc, const struct http_request *req, uint64_t sent) {
    if (x->body_taken)
        return false;
    switch (-rc) {
    case HTTP_E_UPSTREAM_CONNECT_FAILED:
    case HTTP_E_UPSTREAM_CONNECT_TIMEOUT:
    case HTTP_E_DNS_FAILED: return true;
    case HTTP_E_UPSTREAM_RESET:
    case HTTP_E_UPSTREAM_CLOSED:
        return x->conn && x->conn->reused && !x->conn->in_len &&
               (sent == 0 || http_method_idempotent(req->method));
    default: return false;
    }
}

static int attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                   const struct up_client *client, bool fresh, uint64_t *sent) {
    rt_time deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->timeout));
    *sent = 0;
    x->attempts++;
    x->interim = 0;
    x->request_read = x->request_whole = x->deaf = false;
    int rc = get_conn(x, call, &deadline, fresh);
    if (rc)
        return rc;
    tel_add(x->endpoint->requests, rt_index(), 1);
    uint64_t before = x->conn->stream.bytes_out, in_before = x->conn->stream.bytes_in;
    rc = up_send_request(x, call, req, client, &deadline);
    if (rc == 0)
        rc = up_read_head(x, call, req, client, deadline);
    *sent = x->conn->stream.bytes_out - before;
    if (rc && x->conn->stream.bytes_in != in_before)
        x->conn->reused = false; /* a byte came back: this was not the keep-alive race */
    return rc;
}

/* Takes the first piece of the body before a connection is taken, so that no connection waits for a slow client, and
 * keeps it, so that a connect that fails can be tried again. */
static int take_first(struct up_exchange *x, struct rt_call *call, const struct up_client *client) {
    struct b_slice piece = {0};
    x->phase = "body";
    int rc = client->read(client->arg, &piece);
    if (rc <= 0)
        return rc;
    x->first = b_arena_copy(&call->arena, piece);
    return x->first.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

/* Not inlined: its locals would lie under the relaying of the response. */
__attribute__((noinline)) int up_start(struct up_exchange *x, struct rt_call *call, struct up_upstream *u,
                                       struct http_request *req, const struct up_client *client,
                                       struct http_field *fields, unsigned cap) {
    uint64_t tried = 0, sent;
    bool fresh = false;
    *x = (struct up_exchange){
        .upstream = u, .fields = fields, .cap = cap, .req = req, .client = client, .phase = "queue"};
    if (atomic_fetch_add_explicit(&u->in_flight, 1, memory_order_relaxed) >= u->max_in_flight) {
        atomic_fetch_sub_explicit(&u->in_flight, 1, memory_order_relaxed);
        tel_add(u->metrics.rejected, rt_index(), 1);
        return -HTTP_E_BULKHEAD_FULL;
    }
    x->admitted = true;
    x->began = rt_clock();
    int first = client->has_body && !client->on_demand ? take_first(x, call, client) : 0;
    if (first)
        return first;
    x->endpoint = up_balance(u, &tried);
    for (;;) {
        int rc = attempt(x, call, req, client, fresh, &sent);
        if (rc == 0)
            return 0;
        bool again = x->attempts < u->attempts && rt_now() < call->deadline && may_retry(x, rc, req, sent);
        bool stale =
            again && x->conn; /* a pooled connection that was closed: the endpoint itself may be well */
        drop_conn(x);
        up_forget_unsent(x);
        if (!again)
            return rc;
        tel_add(u->metrics.retries, rt_index(), 1);
        if (!stale)
            x->endpoint = up_balance(u, &tried);
        fresh = stale;
    }
}

struct up_conn *up_detach(struct up_exchange *x) {
    struct up_conn *c = x->conn;
    up_hold(x->upstream);
    x->conn = NULL;
    b_free(c->in);
    c->in = NULL;
    c->in_len = 0;
    return c;
}

void up_finish(struct up_exchange *x) {
    struct up_conn *c = x->conn;
    up_forget_unsent(x);
    if (c) {
        x->conn = NULL;
        if (x->done && x->request_whole && x->res.keep_alive && !x->input.len)
            up_pool_give(c);
        else
            up_pool_close(c);
    }
    if (x->admitted) {
        atomic_fetch_sub_explicit(&x->upstream->in_flight, 1, memory_order_relaxed);
        x->took = rt_clock() - x->began;
        tel_observe(x->upstream->metrics.duration, rt_index(), (uint64_t)x->took);
    }
    x->admitted = false;
    if (x->bad)
        tel_bad_response(rt_index(), b_slice_cstr(x->upstream->name), x->bad);
}
