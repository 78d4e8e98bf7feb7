#include "upstream/exchange.h"

#include <errno.h>

#include "runtime/worker.h"
#include "telemetry/http_metrics.h"
#include "upstream/breaker.h"

int up_fail(struct up_exchange *x, enum http_error error, const char *why) {
    x->why = why;
    return -(int)error;
}

int up_socket_error(struct up_exchange *x, const struct rt_call *call, int rc) {
    x->outcome = rc == -ETIMEDOUT ? UP_TIMEOUT : rc == -ECANCELED || rc == -ENOMEM ? UP_GONE : UP_RESET;
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
    int rc = up_pool_get(x->endpoint, call, x->upstream->conf.connect_timeout, deadline, fresh, &x->conn);
    if (rc == 0 && x->conn->reused) {
        tel_add(x->upstream->cluster->metrics.reused, rt_index(), 1);
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
    rt_time deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->conf.timeout));
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

/* A permit of the bulkhead; when there is none, the request waits for one, if there is room to. */
static int admit(struct up_exchange *x, const struct rt_call *call) {
    struct up_cluster *c = x->upstream->cluster;
    int rc = rt_sem_try(&c->permits) ? 0
                                     : rt_sem_acquire_within(&c->permits, call->deadline,
                                                             (uint32_t)x->upstream->conf.max_pending);
    x->admitted = rc == 0;
    if (rc == -EAGAIN) {
        tel_add(c->metrics.rejected, rt_index(), 1);
        return -HTTP_E_BULKHEAD_FULL;
    }
    return rc ? up_socket_error(x, call, rc) : 0;
}

/* What a failed attempt says of its endpoint. */
static enum up_outcome outcome_of(int rc) {
    switch (-rc) {
    case HTTP_E_UPSTREAM_CONNECT_FAILED:
    case HTTP_E_UPSTREAM_CONNECT_TIMEOUT:
    case HTTP_E_DNS_FAILED: return UP_CONNECT_FAILED;
    case HTTP_E_UPSTREAM_RESET:
    case HTTP_E_UPSTREAM_CLOSED:
    case HTTP_E_RESPONSE_TRUNCATED: return UP_RESET;
    case HTTP_E_UPSTREAM_TIMEOUT:
    case HTTP_E_DEADLINE_EXCEEDED: return UP_TIMEOUT;
    case HTTP_E_UPSTREAM_BAD_RESPONSE: return UP_BAD_RESPONSE;
    default: return UP_GONE;
    }
}

static void leave_endpoint(struct up_exchange *x, enum up_outcome outcome, rt_time took) {
    struct up_endpoint *e = x->endpoint;
    x->endpoint = NULL;
    if (!e)
        return;
    up_endpoint_note(e, outcome, took, x->trial);
    x->trial = false;
    up_endpoint_put(e, 1);
}

/* Not inlined: its locals would lie under the relaying of the response. */
__attribute__((noinline)) int up_start(struct up_exchange *x, struct rt_call *call, struct up_upstream *u,
                                       struct http_request *req, const struct up_client *client,
                                       struct http_field *fields, unsigned cap) {
    struct up_pick pick;
    uint64_t sent;
    bool fresh = false;
    *x = (struct up_exchange){
        .upstream = u, .fields = fields, .cap = cap, .req = req, .client = client, .phase = "queue"};
    int rc = admit(x, call);
    if (rc)
        return rc;
    x->began = rt_clock();
    rc = client->has_body && !client->on_demand ? take_first(x, call, client) : 0;
    pick.tried_count = 0; /* the rest of it is not cleared: it is some hundred bytes */
    pick.hash = client->hash;
    pick.rng = &rt_self()->rng;
    pick.no_warming = false;
    pick.may_try = !client->has_body && u->conf.retry.attempts > 1 && http_method_idempotent(req->method);
    while (rc == 0) {
        pick.now = rt_now();
        if (!x->endpoint && !(x->endpoint = up_set_pick(up_cluster_set(u->cluster), &pick)))
            return up_set_ejected(up_cluster_set(u->cluster)) ? -HTTP_E_BREAKER_OPEN : -HTTP_E_NO_ENDPOINT;
        x->trial = pick.trial;
        rt_time from = rt_now();
        rc = attempt(x, call, req, client, fresh, &sent);
        x->head_took = rt_now() - from;
        if (rc == 0) {
            x->outcome = x->res.status >= 500 ? UP_STATUS_5XX : UP_OK;
            if (x->trial) /* the body may take its time */
                up_breaker_note(x->endpoint, x->outcome, true);
            x->trial = false;
            return 0;
        }
        bool again =
            x->attempts < u->conf.retry.attempts && rt_now() < call->deadline && may_retry(x, rc, req, sent);
        fresh = again && x->conn; /* a kept connection that was closed: the endpoint itself may be well */
        drop_conn(x);
        up_forget_unsent(x);
        if (!again) {
            x->outcome = outcome_of(rc);
            return rc;
        }
        if (!fresh)
            leave_endpoint(x, outcome_of(rc), x->head_took);
        tel_add(u->cluster->metrics.retries, rt_index(), 1);
        rc = 0;
    }
    return rc;
}

struct up_conn *up_detach(struct up_exchange *x) {
    struct up_conn *c = x->conn;
    up_cluster_hold(x->upstream->cluster);
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
        rt_sem_release(&x->upstream->cluster->permits);
        x->took = rt_clock() - x->began;
        tel_observe(x->upstream->cluster->metrics.duration, rt_index(), (uint64_t)x->took);
    }
    leave_endpoint(x, x->outcome, x->head_took);
    x->admitted = false;
    if (x->bad)
        tel_bad_response(rt_index(), b_slice_cstr(x->upstream->cluster->name), x->bad);
}
