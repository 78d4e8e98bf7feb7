#include "handler/aggregate_call.h"

#include <errno.h>

#include "base/escape.h"
#include "base/log.h"
#include "gateway/conn.h"
#include "runtime/scope.h"
#include "runtime/worker.h"

static void fail(struct hd_item *it, const char *reason, const char *why) {
    it->reason = reason;
    it->why = why;
}

/* ---- the request ---- */

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
    it->fetch.req.path = b_arena_copy(&it->rt.arena, b_text_slice(&out));
    out.len = 0;
    rc = write_query(it, v, &out);
    if (rc || !it->fetch.req.path.ptr)
        return rc ? rc : -HTTP_E_OUT_OF_MEMORY;
    it->fetch.req.query = b_arena_copy(&it->rt.arena, b_text_slice(&out));
    it->fetch.req.has_query = out.len > 0;
    return it->fetch.req.query.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

static int add_copy(struct hd_item *it, struct b_slice name, struct b_slice value) {
    struct b_slice copy = b_arena_copy(&it->rt.arena, value);
    return copy.ptr && http_fields_add(&it->rt.arena, &it->fetch.req.fields, name, copy) == 0
               ? 0
               : -HTTP_E_OUT_OF_MEMORY;
}

/* Fields of the client's request that go on. */
static int forward(struct hd_item *it, const struct exchange *ex) {
    const struct http_fields *to = &it->fetch.req.fields;
    int rc = 0;
    CFG_EACH(const struct cfg_text, t, &it->call->conf->forward_headers) {
        struct http_field *f = http_fields_find_name(&ex->req.fields, t->text);
        if (rc == 0 && f && !(f->flags & (HTTP_F_HOP | HTTP_F_FRAMING)))
            rc = add_copy(it, t->text, http_field_value(f));
    }
    struct b_slice trace = http_fields_value(&ex->req.fields, HTTP_FIELD_TRACEPARENT);
    if (rc == 0 && trace.ptr && !http_fields_find(to, HTTP_FIELD_TRACEPARENT))
        rc = add_copy(it, B_LIT("traceparent"), trace);
    if (rc == 0 && ex->request_id.len && !http_fields_find(to, HTTP_FIELD_X_REQUEST_ID))
        rc = add_copy(it, B_LIT("x-request-id"), ex->request_id);
    return rc;
}

static int write_fields(struct hd_item *it, struct gw_view *v) {
    const struct hd_call *call = it->call;
    struct b_arena *a = &it->rt.arena;
    struct http_fields *f = &it->fetch.req.fields;
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
    it->body = b_text_heap(B_TAG_REQUESTS, it->fetch.limit);
    int rc = gw_view_write(v, it->call->body, &it->body);
    it->fetch.body = b_text_slice(&it->body);
    return rc;
}

struct hd_item *hd_item_new(const struct hd_aggregate *a, const struct hd_call *call, struct gw_view *view) {
    struct hd_item *it = b_alloc(B_TAG_REQUESTS, sizeof *it);
    if (!it)
        return NULL;
    memset(it, 0, offsetof(struct hd_item, first));
    it->call = call;
    it->index.tag = B_TAG_REQUESTS;
    b_arena_init(&it->rt.arena, B_TAG_REQUESTS, rt_chunks(), it->first, sizeof it->first, GW_ARENA_MAX);
    it->fetch.limit = (size_t)a->conf->max_response;
    it->fetch.whole_time = call->conf->timeout == 0;
    it->fetch.no_queue = call->need == HD_WEAK;
    it->fetch.req.method = call->method;
    it->fetch.req.method_text = http_method_name(call->method);
    view->env.why = NULL;
    int rc = write_target(it, view);
    rc = rc ? rc : write_fields(it, view);
    if (rc == 0 && call->body)
        rc = write_body(it, view);
    it->over = rc != 0;
    if (rc == -HTTP_E_TEMPLATE_FAILED)
        fail(it, "template", view->env.why);
    else if (rc)
        fail(it, "overload", "memory is short, or the request too long");
    return it;
}

void hd_item_free(struct hd_item *it) {
    b_text_free(&it->body);
    b_text_free(&it->fetch.answer);
    json_index_free(&it->index);
    b_arena_release(&it->rt.arena);
    b_free(it);
}

/* ---- the answer ---- */

/* Checks what came, once the connection is given back. */
static void judge(struct hd_item *it) {
    bool bodiless = it->fetch.status == 204 || it->fetch.status == 205 || it->fetch.status == 304;
    if (it->passed)
        return;
    if (!hd_status_in(&it->call->accept, it->fetch.status)) {
        fail(it, "status", NULL);
        return;
    }
    if (it->call->need == HD_ASYNC || bodiless)
        return;
    int rc = gw_index_json(&it->index, b_text_slice(&it->fetch.answer), true, &it->fault);
    if (rc == -EINVAL)
        fail(it, "bad_json", it->fault.why);
    else if (rc)
        fail(it, "overload", "memory is short");
}

void hd_item_run(struct hd_item *it) {
    it->began = rt_clock();
    int rc = gw_fetch(&it->fetch, &it->rt, it->call->upstream);
    it->passed = rc == 0 && hd_status_in(&it->call->pass, it->fetch.status);
    if (rc)
        fail(it, it->fetch.reason, it->fetch.why);
    else
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
    hd_item_run(it);
    if (it->reason) {
        tel_add(call->failed, rt_index(), 1);
        B_LOG(B_WARN, "aggregate", "async call %.*s failed: %s%s%s", B_FMT(call->name), it->reason,
              it->why ? ", " : "", it->why ? it->why : "");
    }
    hd_item_free(it);
    struct gateway *g = s->gateway;
    gw_unpin(s);
    atomic_fetch_sub(&g->background, 1);
}

void hd_item_run_async(struct hd_item *it, struct exchange *ex, rt_time within) {
    struct gateway *g = ex->snapshot->gateway;
    it->snapshot = (struct gw_snapshot *)(uintptr_t)ex->snapshot;
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
