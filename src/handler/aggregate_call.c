#include "handler/aggregate_call.h"

#include <errno.h>

#include "base/escape.h"
#include "base/log.h"
#include "gateway/conn.h"
#include "runtime/scope.h"
#include "runtime/worker.h"

/* ---- the request ---- */

static void no_template(struct hd_item *it, const struct gw_view *v) {
    it->over = true;
    it->reason = "template";
    it->why = v->env.why ? v->env.why : "the request is too long";
}

/* A parameter or field whose only expression is null is left out: true. */
static bool is_left_out(struct gw_view *v, const struct json_node *n) {
    struct json_operand o;
    const struct json_node *sole = json_sole_expression(n);
    return sole && gw_view_value(v, sole, &o) == 0 && json_operand_kind(&o) == JSON_NULL;
}

static int write_query(struct hd_item *it, struct gw_view *v, struct b_text *out) {
    const struct hd_call *call = it->call;
    int rc = call->query ? gw_view_text(v, call->query, JSON_IN_QUERY, out) : 0;
    for (unsigned i = 0; rc == 0 && i < call->pair_count; i++) {
        const struct hd_pair *p = &call->pairs[i];
        if (is_left_out(v, p->value))
            continue;
        if (out->len)
            b_text_char(out, '&');
        b_text_query(out, p->name);
        b_text_char(out, '=');
        rc = gw_view_text(v, p->value, JSON_IN_QUERY, out);
    }
    return rc;
}

static int write_target(struct hd_item *it, struct gw_view *v) {
    struct b_text out = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES); /* nothing waits here */
    int rc = gw_view_text(v, it->call->path, JSON_IN_PATH, &out);
    if (rc)
        return rc;
    it->req.path = b_arena_copy(&it->rt.arena, b_text_slice(&out));
    out.len = 0;
    rc = write_query(it, v, &out);
    if (rc || !it->req.path.ptr)
        return rc ? rc : -HTTP_E_OUT_OF_MEMORY;
    it->req.query = b_arena_copy(&it->rt.arena, b_text_slice(&out));
    it->req.has_query = out.len > 0;
    return it->req.query.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

/* Fields of the client's request that go on. */
static int forward(struct hd_item *it, const struct exchange *ex) {
    struct http_fields *to = &it->req.fields;
    CFG_EACH(const struct cfg_text, t, &it->call->conf->forward_headers) {
        struct http_field *f = http_fields_find_name(&ex->req.fields, t->text);
        if (f && !(f->flags & (HTTP_F_HOP | HTTP_F_FRAMING)) &&
            http_fields_add(&it->rt.arena, to, t->text, b_arena_copy(&it->rt.arena, http_field_value(f))) !=
                0)
            return -HTTP_E_OUT_OF_MEMORY;
    }
    struct b_slice trace = http_fields_value(&ex->req.fields, HTTP_FIELD_TRACEPARENT);
    if (trace.ptr && !http_fields_find(to, HTTP_FIELD_TRACEPARENT) &&
        http_fields_add_id(&it->rt.arena, to, HTTP_FIELD_TRACEPARENT, b_arena_copy(&it->rt.arena, trace)) !=
            0)
        return -HTTP_E_OUT_OF_MEMORY;
    if (ex->request_id.len && !http_fields_find(to, HTTP_FIELD_X_REQUEST_ID) &&
        http_fields_add_id(&it->rt.arena, to, HTTP_FIELD_X_REQUEST_ID,
                           b_arena_copy(&it->rt.arena, ex->request_id)) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    return 0;
}

static int write_fields(struct hd_item *it, struct gw_view *v) {
    const struct hd_call *call = it->call;
    struct b_arena *a = &it->rt.arena;
    struct http_fields *f = &it->req.fields;
    unsigned room = call->header_count + (unsigned)call->conf->forward_headers.count + 6;
    f->at = b_arena_alloc(a, room * sizeof *f->at);
    f->cap = (uint16_t)room;
    int rc = f->at ? http_fields_add_id(a, f, HTTP_FIELD_ACCEPT, B_LIT("application/json")) : -ENOMEM;
    if (rc == 0 && call->body)
        rc = http_fields_add_id(a, f, HTTP_FIELD_CONTENT_TYPE, B_LIT("application/json"));
    for (unsigned i = 0; rc == 0 && i < call->header_count; i++) {
        struct b_text out = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
        if (is_left_out(v, call->headers[i].value))
            continue;
        rc = gw_view_text(v, call->headers[i].value, JSON_IN_TEXT, &out);
        if (rc)
            return rc;
        struct b_slice value = b_arena_copy(a, b_text_slice(&out));
        rc = value.ptr ? http_fields_set(a, f, call->headers[i].name, value) : -ENOMEM;
        if (rc == -EINVAL) { /* S29 */
            v->env.why = "a value of a header has a control character";
            return -HTTP_E_TEMPLATE_FAILED;
        }
    }
    return rc ? -HTTP_E_OUT_OF_MEMORY : forward(it, v->ex);
}

static int write_body(struct hd_item *it, struct gw_view *v) {
    it->body = b_text_heap(B_TAG_REQUESTS, it->limit);
    int rc = gw_view_write(v, it->call->body, &it->body);
    it->req.body = HTTP_BODY_LENGTH;
    it->req.content_length = it->body.len;
    return rc;
}

struct hd_item *hd_item_new(const struct hd_aggregate *a, const struct hd_call *call, struct gw_view *view) {
    struct hd_item *it = b_alloc(B_TAG_REQUESTS, sizeof *it);
    if (!it)
        return NULL;
    memset(it, 0, offsetof(struct hd_item, first));
    it->call = call;
    it->limit = (size_t)a->conf->max_response;
    it->index.tag = B_TAG_REQUESTS;
    b_arena_init(&it->rt.arena, B_TAG_REQUESTS, rt_chunks(), it->first, sizeof it->first, GW_ARENA_MAX);
    it->req = (struct http_request){.method = call->method,
                                    .method_text = http_method_name(call->method),
                                    .minor = 1,
                                    .keep_alive = true,
                                    .content_length = HTTP_LENGTH_UNKNOWN};
    view->env.why = NULL;
    int rc = write_target(it, view);
    rc = rc ? rc : write_fields(it, view);
    if (rc == 0 && call->body)
        rc = write_body(it, view);
    if (rc == -HTTP_E_TEMPLATE_FAILED) {
        no_template(it, view);
    } else if (rc) {
        it->over = true;
        it->reason = "overload";
        it->why = "memory is short, or the request too long";
    }
    return it;
}

void hd_item_free(struct hd_item *it) {
    b_text_free(&it->body);
    b_text_free(&it->answer);
    json_index_free(&it->index);
    b_arena_release(&it->rt.arena);
    b_free(it);
}

static int give_body(void *arg, struct b_slice *piece) {
    struct hd_item *it = arg;
    *piece = b_text_slice(&it->body);
    it->body.len = 0; /* given; a second attempt keeps what it got */
    return piece->len ? 1 : 0;
}

static int body_is_there(void *arg, struct rt_stream *other) {
    (void)arg, (void)other;
    return 0;
}

/* ---- the answer ---- */

static void fail(struct hd_item *it, const char *reason, const char *why) {
    it->reason = reason;
    it->why = why;
}

static void explain(struct hd_item *it, int rc, const struct up_exchange *x) {
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
        {HTTP_E_BULKHEAD_FULL, "overload"},
        {HTTP_E_POOL_EXHAUSTED, "overload"},
        {HTTP_E_CLIENT_CLOSED, "cancelled"},
        {HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE, "too_large"},
    };
    fail(it, "overload", x->why ? x->why : http_error_info((enum http_error) - rc)->title);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].error == (enum http_error) - rc)
            it->reason = reasons[i].reason;
}

static int take_pieces(struct hd_item *it, const struct b_slice *pieces, int n) {
    for (int i = 0; i < n; i++) {
        if (pieces[i].len > it->limit - it->answer.len)
            return -HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE;
        b_text_slice_add(&it->answer, pieces[i]);
    }
    return it->answer.failed ? -HTTP_E_OUT_OF_MEMORY : 0;
}

static int take_answer(struct hd_item *it, struct up_exchange *x) {
    struct b_slice *pieces = gw_worker()->pieces;
    it->status = x->res.status;
    it->passed = hd_status_in(&it->call->pass, it->status);
    struct b_slice type = http_fields_value(&x->res.fields, HTTP_FIELD_CONTENT_TYPE);
    if (it->passed && type.len)
        it->content_type = b_arena_copy(&it->rt.arena, type);
    it->answer = b_text_heap(B_TAG_REQUESTS, it->limit);
    if (x->res.body == HTTP_BODY_LENGTH && x->res.content_length > it->limit)
        return -HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE;
    if (x->res.body == HTTP_BODY_LENGTH)
        b_text_reserve(&it->answer, (size_t)x->res.content_length);
    for (int n = up_read_ready(x, pieces);; n = up_read(x, pieces, it->rt.deadline)) {
        if (n < 0 && n != -EAGAIN)
            return n == -HTTP_E_UPSTREAM_TIMEOUT ? -HTTP_E_DEADLINE_EXCEEDED : n;
        int rc = n > 0 ? take_pieces(it, pieces, n) : 0;
        if (rc || x->done)
            return rc;
    }
}

/* Checks what came, once the connection is given back. */
static void judge(struct hd_item *it) {
    bool bodiless = it->status == 204 || it->status == 205 || it->status == 304;
    if (it->passed)
        return;
    if (!hd_status_in(&it->call->accept, it->status)) {
        fail(it, "status", NULL);
        return;
    }
    if (it->call->need == HD_ASYNC || bodiless)
        return;
    int rc = gw_index_json(&it->index, b_text_slice(&it->answer), &it->fault);
    if (rc == -EINVAL)
        fail(it, "bad_json", it->fault.why);
    else if (rc)
        fail(it, "overload", "memory is short");
}

/* Not inlined: its frame is large, and gone while the answer is looked at. */
static __attribute__((noinline)) int send_and_take(struct hd_item *it) {
    const struct hd_call *call = it->call;
    struct up_client client = {.has_body = call->body != NULL,
                               .whole_time = call->conf->timeout == 0,
                               .no_queue = call->need == HD_WEAK,
                               .read = give_body,
                               .wait = body_is_there,
                               .arg = it};
    struct up_exchange x;
    int rc = up_start(&x, &it->rt, call->upstream, &it->req, &client, gw_worker()->res_fields, GW_FIELDS_MAX);
    rc = rc ? rc : take_answer(it, &x);
    if (rc)
        explain(it, rc, &x);
    up_finish(&x);
    return rc;
}

void hd_item_run(struct hd_item *it) {
    it->began = rt_clock();
    if (send_and_take(it) == 0)
        judge(it);
    it->took = rt_clock() - it->began;
    it->over = true;
}

struct json_operand hd_item_result(const struct hd_item *it) {
    return json_operand_value(json_root(&it->index));
}

/* ---- after the answer ---- */

static void run_async(void *arg) {
    struct hd_item *it = arg;
    const struct hd_call *call = it->call;
    struct gw_snapshot *s = it->snapshot;
    struct gateway *g = it->gateway;
    hd_item_run(it);
    if (it->reason) {
        tel_add(call->failed, rt_index(), 1);
        B_LOG(B_WARN, "aggregate", "async call %.*s failed: %s%s%s", B_FMT(call->name), it->reason,
              it->why ? ", " : "", it->why ? it->why : "");
    }
    hd_item_free(it);
    gw_unpin(s);
    atomic_fetch_sub(&g->background, 1);
}

void hd_item_run_async(struct hd_item *it, struct exchange *ex, rt_time within) {
    struct gateway *g = ex->snapshot->gateway;
    it->snapshot = (struct gw_snapshot *)(uintptr_t)ex->snapshot;
    it->gateway = g;
    it->rt.deadline = rt_after(rt_now(), within);
    if (it->reason) {
        tel_add(it->call->failed, rt_index(), 1);
        hd_item_free(it);
        return;
    }
    bool room = atomic_fetch_add(&g->background, 1) < HD_ASYNC_MAX;
    gw_pin_more(it->snapshot);
    if (room && rt_spawn("async call", run_async, it) == 0)
        return;
    tel_add(it->call->dropped, rt_index(), 1);
    gw_unpin(it->snapshot);
    atomic_fetch_sub(&g->background, 1);
    hd_item_free(it);
}
