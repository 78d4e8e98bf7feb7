#include "upstream/retry.h"

#include "runtime/worker.h"
#include "upstream/budget.h"

unsigned up_retry_word(int rc) {
    switch (-rc) {
    case HTTP_E_UPSTREAM_CONNECT_FAILED:
    case HTTP_E_UPSTREAM_CONNECT_TIMEOUT:
    case HTTP_E_ADDRESS_DENIED:
    case HTTP_E_DNS_FAILED: return CFG_RETRY_CONNECT_FAILURE;
    case HTTP_E_UPSTREAM_RESET:
    case HTTP_E_UPSTREAM_CLOSED: return CFG_RETRY_RESET;
    case HTTP_E_UPSTREAM_TIMEOUT: return CFG_RETRY_TIMEOUT;
    case HTTP_E_UPSTREAM_BAD_RESPONSE: return CFG_RETRY_BAD_RESPONSE;
    default: return 0;
    }
}

/* Whether an answer of this status is to be tried again. One that says when to come back means it (U02). */
static bool status_is_on(const struct cfg_retry_on *on, const struct http_response *res) {
    bool listed = res->status == 429
                      ? on->too_many
                      : res->status >= 500 && res->status <= 599 &&
                            on->statuses[(res->status - 500) / 64] >> (res->status - 500) % 64 & 1;
    return listed && !http_fields_find(&res->fields, HTTP_FIELD_RETRY_AFTER);
}

bool up_is_stale(const struct up_exchange *x, int rc) {
    return (rc == -HTTP_E_UPSTREAM_RESET || rc == -HTTP_E_UPSTREAM_CLOSED) && x->conn && x->conn->reused &&
           !x->conn->in_len;
}

bool up_retry_asked(const struct up_exchange *x, int rc) {
    const struct cfg_retry_on *on = &x->upstream->retry_on;
    return rc < 0 ? (on->words & up_retry_word(rc)) != 0 : status_is_on(on, &x->res);
}

static bool in_time(const struct up_exchange *x, const struct rt_call *call) {
    rt_time left = call->deadline == RT_NEVER ? RT_NEVER : call->deadline - rt_now();
    return left > 0 && up_can_finish(x->upstream->cluster, left);
}

enum up_again up_retry(struct up_exchange *x, int rc, const struct http_request *req, uint64_t sent,
                       const struct rt_call *call) {
    const struct cfg_retry *conf = &x->upstream->conf.retry;
    bool repeatable = sent == 0 || http_method_idempotent(req->method);
    if (x->attempts >= conf->attempts || x->body_taken || x->interim_passed || !repeatable ||
        rt_now() >= call->deadline)
        return UP_GIVE_UP;
    if (rc < 0 && up_is_stale(x, rc)) /* not the endpoint's fault: off the budget, and not a thing of `on` */
        return in_time(x, call) ? UP_AGAIN_FRESH : UP_GIVE_UP;
    if (!up_retry_asked(x, rc))
        return UP_GIVE_UP;
    if (!in_time(x, call) || !up_budget_take(x->upstream->cluster, &conf->budget))
        return UP_GIVE_UP;
    return UP_AGAIN;
}

int up_back_off(const struct up_exchange *x) {
    const struct cfg_backoff *conf = &x->upstream->conf.retry.backoff;
    unsigned doublings = x->attempts - 1 < 20 ? x->attempts - 1 : 20;
    rt_time most = conf->base << doublings;
    most = most > conf->max ? conf->max : most;
    if (most <= 0)
        return 0;
    return rt_sleep_until(rt_after(rt_now(), (rt_time)b_rng_below(&rt_self()->rng, (uint64_t)most + 1)));
}
