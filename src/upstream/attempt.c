#include "upstream/exchange.h"

#include <errno.h>

#include "runtime/worker.h"
#include "telemetry/http_metrics.h"
#include "upstream/breaker.h"
#include "upstream/hedge.h"
#include "upstream/retry.h"

int up_fail(struct up_exchange *x, enum http_error error, const char *why) {
    x->why = why;
    return -(int)error;
}

int up_socket_error(struct up_exchange *x, const struct rt_call *call, int rc) {
    x->outcome = (uint8_t)(rc == -ETIMEDOUT                    ? UP_TIMEOUT
                           : rc == -ECANCELED || rc == -ENOMEM ? UP_GONE
                                                               : UP_RESET);
    switch (rc) {
    case -ETIMEDOUT:
        return up_fail(x, rt_now() >= call->deadline ? HTTP_E_DEADLINE_EXCEEDED : HTTP_E_UPSTREAM_TIMEOUT,
                       NULL);
    case -ECANCELED: return up_fail(x, HTTP_E_CLIENT_CLOSED, NULL);
    case -ENOMEM: return up_fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    default: return up_fail(x, HTTP_E_UPSTREAM_RESET, NULL);
    }
}

/* Puts the connection back, or closes it when it is in doubt. One that has switched (a 101 that nobody took over) speaks no HTTP: the
 * next request would go into somebody's tunnel. */
static void leave_conn(struct up_exchange *x) {
    struct up_conn *c = x->conn;
    up_forget_unsent(x);
    x->conn = NULL;
    if (c && x->done && x->request_whole && x->res.keep_alive && x->res.status != 101 && !x->input.len)
        up_pool_give(c);
    else if (c)
        up_pool_close(c);
    x->done = false;
    x->input.len = 0;
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

/* Inlined where every request passes: a frame of its own would cost each request in flight a page of stack. */
__attribute__((always_inline)) static inline int begin(struct up_exchange *x, struct rt_call *call,
                                                       struct http_request *req,
                                                       const struct up_client *client, bool fresh,
                                                       rt_time *deadline, uint64_t *sent) {
    *sent = 0;
    int rc = get_conn(x, call, deadline, fresh);
    if (rc)
        return rc;
    tel_add(x->endpoint->requests, rt_index(), 1);
    uint64_t before = x->conn->stream.bytes_out;
    rc = up_send_request(x, call, req, client, deadline);
    *sent = x->conn->stream.bytes_out - before;
    return rc;
}

int up_begin_attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                     const struct up_client *client, rt_time *deadline) {
    uint64_t sent;
    return begin(x, call, req, client, false, deadline, &sent);
}

static int attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                   const struct up_client *client, bool fresh, struct up_pick *pick, uint64_t *sent) {
    x->took = rt_now(); /* its begin, until it is over */
    rt_time deadline = up_attempt_deadline(x, call, client);
    x->attempts++;
    x->interim = 0;
    x->request_read = x->request_whole = x->deaf = false;
    int rc = begin(x, call, req, client, fresh, &deadline, sent);
    if (rc == 0)
        rc = x->upstream->conf.retry.hedge.after ? up_hedged_head(x, call, req, client, pick, deadline)
                                                 : up_read_head(x, call, req, client, deadline);
    x->took = rt_now() - x->took;
    return rc;
}

#define KEPT_MAX 65536 /* of a body, so that an attempt that took it can be followed by another */

/* A body that may be sent twice is taken whole, if it is small. */
static int take_rest(struct up_exchange *x, struct rt_call *call, const struct http_request *req,
                     const struct up_client *client) {
    size_t len = (size_t)req->content_length, have = x->first.len;
    char *all = b_arena_alloc(&call->arena, len);
    if (!all)
        return 0; /* it is sent as it comes, and only once */
    memcpy(all, x->first.ptr, have);
    x->first = b_slice(all, have);
    while (have < len) {
        struct b_slice piece;
        int rc = client->read(client->arg, &piece);
        if (rc <= 0)
            return rc < 0 ? rc : -HTTP_E_CLIENT_CLOSED; /* a short body is an error of its own */
        size_t n = piece.len < len - have ? piece.len : len - have;
        memcpy(all + have, piece.ptr, n);
        x->first.len = have += n;
    }
    return 0;
}

/* Takes the first piece of the body before a connection is taken, so that no connection waits for a slow client, and
 * keeps it, so that an attempt that fails can be followed by another. */
static __attribute__((noinline)) int take_first(struct up_exchange *x, struct rt_call *call,
                                                const struct http_request *req,
                                                const struct up_client *client) {
    struct b_slice piece = {0};
    x->phase = "body";
    int rc = client->read(client->arg, &piece);
    if (rc <= 0)
        return rc;
    x->first = b_arena_copy(&call->arena, piece);
    if (!x->first.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    bool keep = req->body == HTTP_BODY_LENGTH && req->content_length <= KEPT_MAX &&
                x->first.len < req->content_length && http_method_idempotent(req->method) &&
                x->upstream->conf.retry.attempts > 1;
    return keep ? take_rest(x, call, req, client) : 0;
}

/* Nobody to send to. */
static __attribute__((noinline)) int no_endpoint(struct up_exchange *x) {
    const struct up_set *s = up_cluster_set(x->upstream->cluster);
    rt_time soonest = RT_NEVER, now = rt_now();
    for (uint32_t i = 0; i < s->count; i++) {
        const struct up_endpoint *e = s->members[i].endpoint;
        if (up_state(e) & UP_EJECTED)
            soonest =
                rt_earlier(soonest, atomic_load(&((struct up_endpoint *)(uintptr_t)e)->breaker.open_until));
    }
    if (soonest == RT_NEVER)
        return -HTTP_E_NO_ENDPOINT;
    rt_time left = soonest - now;
    x->retry_after = (uint8_t)(left <= RT_S ? 1 : left >= 60 * RT_S ? 60 : left / RT_S + 1);
    return -HTTP_E_BREAKER_OPEN;
}

/* There is none free: the request waits for one, if there is room to. */
static __attribute__((noinline)) int wait_for_permit(struct up_exchange *x, const struct rt_call *call) {
    struct up_cluster *c = x->upstream->cluster;
    rt_time from = rt_clock();
    if (up_set_is_out(up_cluster_set(c))) /* those who have the permits wait for a dead upstream */
        return no_endpoint(x);
    uint32_t most = x->client->no_queue ? 0 : (uint32_t)x->upstream->conf.max_pending;
    int rc = rt_sem_acquire_within(&c->permits, call->deadline, most);
    x->admitted = rc == 0;
    if (rc == -EAGAIN) {
        tel_add(c->metrics.rejected, rt_index(), 1);
        x->retry_after = (uint8_t)up_retry_after(c);
        return -HTTP_E_BULKHEAD_FULL;
    }
    tel_observe(c->metrics.queue_wait, rt_index(), (uint64_t)(rt_clock() - from));
    return rc ? up_socket_error(x, call, rc) : 0;
}

/* A permit of the bulkhead. */
static int admit(struct up_exchange *x, const struct rt_call *call) {
    x->admitted = rt_sem_try(&x->upstream->cluster->permits);
    return x->admitted ? 0 : wait_for_permit(x, call);
}

enum up_outcome up_outcome_of(const struct up_exchange *x, int rc) {
    switch (-rc) {
    case 0: return x->res.status >= 500 ? UP_STATUS_5XX : UP_OK;
    case HTTP_E_UPSTREAM_CONNECT_FAILED:
    case HTTP_E_UPSTREAM_CONNECT_TIMEOUT:
    case HTTP_E_ADDRESS_DENIED:
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

/* Ends an attempt that another follows, and waits as long as it should before that one. 0 or -(enum http_error). */
static __attribute__((noinline)) int next_attempt(struct up_exchange *x, int rc, bool fresh,
                                                  const struct up_pick *pick) {
    struct b_slice pieces[UP_PIECES];
    while (rc == 0 && !x->done && up_read_ready(x, pieces) > 0)
        continue; /* an answer that came whole leaves its connection good */
    leave_conn(x);
    tel_add(x->upstream->cluster->metrics.retries, rt_index(), 1);
    if (fresh)
        return 0;
    leave_endpoint(x, x->outcome, x->took);
    if (up_retry_word(rc) == CFG_RETRY_CONNECT_FAILURE &&
        pick->tried_count < up_cluster_set(x->upstream->cluster)->count)
        return 0; /* there is another one, which has nothing to do with it */
    x->phase = "backoff";
    return up_back_off(x) ? -HTTP_E_CLIENT_CLOSED : 0;
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
    rc = client->has_body && !client->on_demand ? take_first(x, call, req, client) : 0;
    pick.tried_count = 0; /* the rest of it is not cleared: it is some hundred bytes */
    pick.hash = client->hash;
    pick.rng = &rt_self()->rng;
    pick.no_warming = false;
    pick.may_try = !client->has_body && u->conf.retry.attempts > 1 && http_method_idempotent(req->method);
    while (rc == 0) {
        pick.now = rt_now();
        if (!x->endpoint && !(x->endpoint = up_set_pick(up_cluster_set(u->cluster), &pick)))
            return no_endpoint(x);
        x->trial = pick.trial;
        rc = attempt(x, call, req, client, fresh, &pick, &sent);
        x->outcome = (uint8_t)up_outcome_of(x, rc);
        if (rc == 0 && x->trial) { /* the body may take its time */
            up_breaker_note(x->endpoint, x->outcome, true);
            x->trial = false;
        }
        if (rc == 0 && x->res.status < 500 && x->res.status != 429)
            return 0;
        enum up_again again = up_retry(x, rc, req, sent, call);
        if (again == UP_GIVE_UP)
            return rc;
        fresh = again == UP_AGAIN_FRESH;
        rc = next_attempt(x, rc, fresh, &pick);
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
    leave_conn(x);
    leave_endpoint(x, x->outcome, x->took);
    if (x->admitted) {
        rt_sem_release(&x->upstream->cluster->permits);
        x->took = rt_clock() - x->began;
        tel_observe(x->upstream->cluster->metrics.duration, rt_index(), (uint64_t)x->took);
    }
    x->admitted = false;
    if (x->bad)
        tel_bad_response(rt_index(), b_slice_cstr(x->upstream->cluster->name), x->bad);
}
