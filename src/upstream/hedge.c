#include "upstream/hedge.h"

#include <errno.h>

#include "runtime/scope.h"
#include "runtime/worker.h"
#include "upstream/breaker.h"
#include "upstream/budget.h"
#include "upstream/exchange.h"
#include "upstream/latency.h"
#include "upstream/retry.h"

/* In the call's arena. */
struct hedge {
    struct up_exchange second; /* as far as it is sent and its first byte is waited for */
    struct rt_call *call;
    struct http_request *req;
    const struct up_client *client;
    struct rt_scope scope; /* of the second attempt's fiber */
    rt_time deadline, from;
    struct rt_fiber *waiter; /* woken when it is over */
    bool over;
    int rc; /* once it is over: 0, its answer has begun; or -(enum http_error) */
};

/* --- the second attempt --- */

static void run(void *arg) {
    struct hedge *h = arg;
    struct up_exchange *x = &h->second;
    int rc = up_begin_attempt(x, h->call, h->req, h->client, &h->deadline);
    if (rc == 0) {
        rc = rt_wait_readable(&x->conn->stream, h->deadline);
        rc = rc ? up_socket_error(x, h->call, rc) : 0;
    }
    h->rc = rc;
    h->over = true;
    if (h->waiter)
        rt_wake(h->waiter, -EINTR);
}

static void put_back(struct up_endpoint *e, bool trial) {
    if (trial)
        up_breaker_note(e, UP_GONE, true);
    up_endpoint_put(e, 1);
}

/* Another endpoint is asked, too; NULL when there is none, or it may not be, or memory or fibers are short. */
static struct hedge *begin(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                           const struct up_client *client, struct up_pick *pick) {
    struct up_cluster *c = x->upstream->cluster;
    const struct cfg_retry *conf = &x->upstream->conf.retry;
    if (pick->tried_count >= up_cluster_set(c)->count)
        return NULL;
    pick->now = rt_now();
    struct up_endpoint *e = up_set_pick(up_cluster_set(c), pick);
    if (!e)
        return NULL;
    struct hedge *h = b_arena_alloc(&call->arena, sizeof *h);
    if (!h || e == x->endpoint || !up_budget_hedge(c, &conf->budget, conf->hedge.percent)) {
        put_back(e, pick->trial);
        return NULL;
    }
    *h = (struct hedge){.second = {.upstream = x->upstream,
                                   .endpoint = e,
                                   .req = req,
                                   .client = client,
                                   .trial = pick->trial,
                                   .phase = "connect"},
                        .call = call,
                        .req = req,
                        .client = client,
                        .from = rt_now(),
                        .deadline = up_attempt_deadline(x, call, client)};
    rt_scope_init(&h->scope);
    if (rt_scope_spawn(&h->scope, "hedge", run, h) != 0) {
        put_back(e, pick->trial);
        return NULL;
    }
    x->attempts++;
    tel_add(c->metrics.hedges, rt_index(), 1);
    return h;
}

/* --- the two of them --- */

/* Ends an attempt that the other one is preferred to; `took` so far. */
static void drop(struct up_exchange *x, enum up_outcome outcome, rt_time took) {
    struct up_endpoint *e = x->endpoint;
    if (x->conn)
        up_pool_close(x->conn); /* an answer is still to come on it */
    up_endpoint_note(e, outcome, took, x->trial);
    if (outcome == UP_GONE)
        up_latency_at_least(e, took, rt_now());
    up_endpoint_put(e, 1);
    x->conn = NULL;
    x->endpoint = NULL;
    x->trial = false;
}

/* Cancels the second attempt. */
static void call_off(struct hedge *h) {
    rt_scope_leave(&h->scope);
    drop(&h->second, UP_GONE, rt_now() - h->from);
}

/* x goes on with the second attempt. */
static void take_over(struct up_exchange *x, struct hedge *h) {
    struct up_exchange *s = &h->second;
    x->conn = s->conn;
    x->endpoint = s->endpoint;
    x->trial = s->trial;
    x->phase = s->phase;
    x->why = s->why;
    x->request_whole = s->request_whole;
    x->took = h->from;
    x->interim = 0;
    x->input.len = 0;
    x->done = false;
}

static int read_head(struct up_exchange *x, const struct hedge *h, rt_time deadline) {
    return up_read_head(x, h->call, h->req, h->client, deadline);
}

/* Whether that is no answer to stay with while there is another to be had. */
static bool is_poor(const struct up_exchange *x, int rc) {
    return !x->interim_passed && up_retry_asked(x, rc);
}

static enum up_outcome outcome_of(const struct up_exchange *x, int rc) {
    return up_is_stale(x, rc) ? UP_GONE : up_outcome_of(x, rc);
}

/* The second has begun to answer first. */
static int second_answers(struct up_exchange *x, struct hedge *h, rt_time deadline) {
    struct up_exchange first = {.conn = x->conn,
                                .endpoint = x->endpoint,
                                .trial = x->trial,
                                .took = x->took,
                                .request_whole = x->request_whole};
    take_over(x, h);
    int rc = read_head(x, h, h->deadline);
    if (!is_poor(x, rc)) {
        drop(&first, UP_GONE, rt_now() - first.took);
        tel_add(x->upstream->cluster->metrics.hedges_won, rt_index(), 1);
        return rc;
    }
    drop(x, outcome_of(x, rc), rt_now() - h->from);
    h->second = first;
    h->from = first.took;
    take_over(x, h);
    return read_head(x, h, deadline);
}

/* The first has answered, or its time is over. When that is poor it is the second's turn, whatever becomes of it. */
static int first_answers(struct up_exchange *x, struct hedge *h, int rc) {
    if (!is_poor(x, rc)) {
        call_off(h);
        return rc;
    }
    drop(x, outcome_of(x, rc), rt_now() - x->took);
    int waited = rt_scope_wait(&h->scope, h->call->deadline);
    if (waited)
        rt_scope_leave(&h->scope);
    take_over(x, h);
    if (h->rc == 0)
        tel_add(x->upstream->cluster->metrics.hedges_won, rt_index(), 1);
    return h->rc ? h->rc : read_head(x, h, h->deadline);
}

static int race(struct up_exchange *x, struct hedge *h, rt_time deadline) {
    int rc = 0;
    h->waiter = rt_fiber_self();
    while (!h->over && (rc = rt_wait_readable(&x->conn->stream, deadline)) == -EINTR)
        continue;
    h->waiter = NULL;
    if (h->over && h->rc == 0)
        return second_answers(x, h, deadline);
    if (h->over) {
        drop(&h->second, outcome_of(&h->second, h->rc), rt_now() - h->from);
        return read_head(x, h, deadline);
    }
    rc = rc ? up_socket_error(x, h->call, rc) : read_head(x, h, deadline);
    return first_answers(x, h, rc);
}

/* Not inlined: who is not hedged pays no stack for it. */
__attribute__((noinline)) int up_hedged_head(struct up_exchange *x, struct rt_call *call,
                                             struct http_request *req, const struct up_client *client,
                                             struct up_pick *pick, rt_time deadline) {
    const struct cfg_retry *conf = &x->upstream->conf.retry;
    if (!client->has_body && !client->upgrade.len && http_method_idempotent(req->method) &&
        x->attempts < conf->attempts) {
        rt_time until = rt_after(rt_now(), conf->hedge.after);
        x->phase = "first byte";
        int rc = until < deadline ? rt_wait_readable(&x->conn->stream, until) : 0;
        struct hedge *h = rc == -ETIMEDOUT ? begin(x, call, req, client, pick) : NULL;
        if (h)
            return race(x, h, deadline);
        if (rc && rc != -ETIMEDOUT)
            return up_socket_error(x, call, rc);
    }
    return up_read_head(x, call, req, client, deadline);
}
