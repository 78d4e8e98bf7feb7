/* What is known about a request besides its message: id, peer, trust, deadline; and the walk along the pipeline. */
#include "base/number.h"
#include "gateway/conn.h"

/* A fiber is cancelled when its client has gone (U04), or when the process ends before the answer is ready. */
static int why_cancelled(const struct exchange *ex) {
    return ex->conn->stream.flags & RT_STREAM_ERROR ? -HTTP_E_CLIENT_CLOSED : -HTTP_E_DRAINING;
}

int gw_next(struct exchange *ex) {
    const struct gw_route *r = ex->route;
    unsigned step = ex->step++;
    int rc;
    if (step < r->step_count)
        rc = r->steps[step].middleware->run(ex, r->steps[step].state);
    else
        rc = r->handler->run(ex, r->state);
    if (rc == -HTTP_E_CLIENT_CLOSED && rt_cancelled())
        rc = why_cancelled(ex);
    if (rc < 0 && ex->sent != GW_SENT_ALL && ex->sent != GW_SENT_BROKEN)
        gw_fail(ex, (enum http_error) - rc);
    return 0;
}

static int refuse(struct exchange *ex, void *state) {
    (void)state;
    return -(int)ex->refusal;
}

const struct gw_handler gw_refuse = {.module = {.name = "refuse",
                                                .summary = "Answers with the reason of a refusal"},
                                     .run = refuse};

struct b_slice gw_request_id(struct exchange *ex) {
    if (ex->request_id.len)
        return ex->request_id;
    char *text = b_arena_alloc(&ex->call.arena, 33);
    if (!text)
        return b_slice(NULL, 0);
    b_format_hex(text, b_rng_next(&rt_self()->rng));
    b_format_hex(text + 16, b_rng_next(&rt_self()->rng));
    text[32] = 0;
    ex->request_id = b_slice(text, 32);
    return ex->request_id;
}

/* `TimeoutValue TimeoutUnit` of gRPC over HTTP/2: at most 8 digits and one of H M S m u n. RT_NEVER when malformed. */
static rt_time grpc_timeout(struct b_slice text) {
    static const char units[] = "HMSmun";
    static const rt_time sizes[] = {3600 * RT_S, 60 * RT_S, RT_S, RT_MS, RT_US, 1};
    uint64_t n;
    const char *unit = text.len > 1 && text.len < 10 ? strchr(units, text.ptr[text.len - 1]) : NULL;
    if (!unit || !*unit || !b_parse_u64(b_slice(text.ptr, text.len - 1), &n))
        return RT_NEVER;
    rt_time left;
    return __builtin_mul_overflow((rt_time)n, sizes[unit - units], &left) ? RT_NEVER : left; /* 99999999H */
}

int gw_shorten_deadline(struct exchange *ex) {
    struct b_slice ours = http_fields_value(&ex->req.fields, HTTP_FIELD_X_REQUEST_DEADLINE);
    struct b_slice grpc = http_fields_value(&ex->req.fields, HTTP_FIELD_GRPC_TIMEOUT);
    if ((!ours.ptr && !grpc.ptr) || !gw_peer_trusted(ex))
        return 0;
    rt_time left = grpc.ptr ? grpc_timeout(grpc) : RT_NEVER;
    uint64_t ms;
    if (ours.ptr && b_parse_u64(ours, &ms) && ms < (uint64_t)(RT_NEVER / RT_MS))
        left = rt_earlier(left, (rt_time)ms * RT_MS);
    if (left != RT_NEVER) {
        ex->call.deadline = rt_earlier(ex->call.deadline, rt_after(rt_now(), left));
        ex->deadline_told = true;
    }
    ex->phase = "queue";
    return ex->call.deadline <= rt_now() ? -HTTP_E_DEADLINE_EXCEEDED : 0;
}
