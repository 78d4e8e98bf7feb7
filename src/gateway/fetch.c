#include "gateway/fetch.h"

#include <errno.h>

#include "gateway/conn.h"

static void explain(struct gw_fetch *f, int rc, const char *why) {
    static const struct {
        enum http_error error;
        const char *reason;
    } reasons[] = {
        {HTTP_E_DEADLINE_EXCEEDED, "timeout"},
        {HTTP_E_UPSTREAM_TIMEOUT, "timeout"},
        {HTTP_E_UPSTREAM_CONNECT_TIMEOUT, "timeout"},
        {HTTP_E_UPSTREAM_CONNECT_FAILED, "connect"},
        {HTTP_E_DNS_FAILED, "connect"},
        {HTTP_E_ADDRESS_DENIED, "connect"},
        {HTTP_E_UPSTREAM_RESET, "reset"},
        {HTTP_E_UPSTREAM_CLOSED, "reset"},
        {HTTP_E_RESPONSE_TRUNCATED, "reset"},
        {HTTP_E_UPSTREAM_BAD_RESPONSE, "bad_response"},
        {HTTP_E_NO_ENDPOINT, "no_endpoint"},
        {HTTP_E_BREAKER_OPEN, "no_endpoint"},
        {HTTP_E_CLIENT_CLOSED, "cancelled"},
        {HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE, "too_large"},
    };
    f->reason = "overload"; /* all others are some kind of no room */
    f->why = why ? why : http_error_info((enum http_error) - rc)->title;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].error == (enum http_error) - rc)
            f->reason = reasons[i].reason;
}

static int give_body(void *arg, struct b_slice *piece) {
    struct b_slice *body = arg;
    *piece = *body;
    body->len = 0; /* given; a second attempt keeps what the first one got */
    return piece->len ? 1 : 0;
}

static int body_is_there(void *arg, struct rt_stream *other) {
    (void)arg, (void)other;
    return 0;
}

void gw_send_whole(struct up_client *client, struct b_slice *body) {
    client->has_body = true;
    client->on_demand = client->deadline_moves = false;
    client->read = give_body;
    client->wait = body_is_there;
    client->interim = NULL;
    client->arg = body;
}

static int take_pieces(struct b_text *out, const struct b_slice *pieces, int n) {
    for (int i = 0; i < n; i++) {
        if (pieces[i].len > out->max - out->len)
            return -HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE;
        b_text_slice_add(out, pieces[i]);
    }
    return out->failed ? -HTTP_E_OUT_OF_MEMORY : 0;
}

/* Straight into the text where it has room for all of it. */
static int read_more(struct up_exchange *x, struct b_text *out, rt_time deadline) {
    struct b_slice *pieces = gw_worker()->pieces;
    if (up_body_is_next(x) && out->cap - out->len >= x->left) {
        ssize_t n = up_read_into(x, out->ptr + out->len, out->cap - out->len, deadline);
        out->len += n > 0 ? (size_t)n : 0;
        return n < 0 ? (int)n : 0;
    }
    int n = up_read(x, pieces, deadline);
    return n > 0 ? take_pieces(out, pieces, n) : n;
}

int gw_take_answer(struct up_exchange *x, const struct rt_call *call, size_t limit, struct b_text *out) {
    struct b_slice *pieces = gw_worker()->pieces;
    *out = b_text_heap(B_TAG_REQUESTS, limit);
    if (x->res.body == HTTP_BODY_LENGTH && x->res.content_length > limit)
        return -HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE;
    if (x->res.body == HTTP_BODY_LENGTH)
        b_text_reserve(out, (size_t)x->res.content_length);
    int rc = up_read_ready(x, pieces);
    rc = rc > 0 ? take_pieces(out, pieces, rc) : rc == -EAGAIN ? 0 : rc;
    while (rc == 0 && !x->done)
        rc = read_more(x, out, call->deadline);
    return rc == -HTTP_E_UPSTREAM_TIMEOUT ? -HTTP_E_DEADLINE_EXCEEDED : rc; /* it had all that was left */
}

static int take(struct gw_fetch *f, struct rt_call *call, struct up_exchange *x) {
    f->status = x->res.status;
    f->content_type = b_arena_copy(&call->arena, http_fields_value(&x->res.fields, HTTP_FIELD_CONTENT_TYPE));
    return gw_take_answer(x, call, f->limit, &f->answer);
}

/* Not inlined: its frame is large, and gone while the answer is looked at. */
__attribute__((noinline)) int gw_fetch(struct gw_fetch *f, struct rt_call *call, struct up_upstream *u) {
    struct up_client client = {.whole_time = f->whole_time, .no_queue = f->no_queue};
    struct up_exchange x;
    if (f->body.len)
        gw_send_whole(&client, &f->body);
    f->req.minor = 1;
    f->req.keep_alive = true;
    f->req.body = f->body.len ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    f->req.content_length = f->body.len ? f->body.len : HTTP_LENGTH_UNKNOWN;
    int rc = up_start(&x, call, u, &f->req, &client, gw_worker()->res_fields, GW_FIELDS_MAX);
    rc = rc ? rc : take(f, call, &x);
    if (rc)
        explain(f, rc, x.why);
    up_finish(&x);
    return rc;
}
