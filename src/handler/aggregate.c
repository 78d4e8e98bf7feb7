/* The aggregate handler: calls several services for one request, each as soon as what it needs is there, and makes one answer of
 * theirs. Each call runs in a fiber of the request's scope; the request's own fiber starts them, takes what they bring, and
 * watches the client. */
#include <errno.h>

#include "gateway/conn.h"
#include "gateway/overload.h"
#include "gateway/recorder.h"
#include "handler/aggregate_call.h"
#include "runtime/worker.h"
#include "json/writer.h"

#define TRACE_MAX 8192
#define ANSWER_MAX ((size_t)64 << 20)
#define CROWDED_PERCENT 90 /* of max_in_flight: weak calls are left out from there */

/* What has come of a call of one request. */
struct part {
    struct hd_item **items;               /* one, or those of `each`; made as they are started */
    unsigned count, made, running, taken; /* taken: of those that are over, in order */
    struct json_value next;               /* of `each`: the item to be asked for next */
    struct b_text all;                    /* of `each`: the array of the answers */
    struct json_index index;
    struct hd_item *failed;
    const char *reason; /* of a failure */
    rt_time stale;      /* an answer of that age stands in; -1: none does */
    bool begun;
};

struct job {
    struct exchange *ex;
    const struct hd_aggregate *a;
    struct gw_view view;
    struct rt_scope scope;
    struct part *parts;
    uint64_t over; /* bits of calls that have succeeded or failed */
    struct rt_fiber *self;
    bool waiting; /* in wait(), to be woken */
    bool deaf;    /* the client has sent something else: its end is not to be seen */
    unsigned running;
    struct part *fatal;         /* a strong call that failed */
    const struct hd_item *pass; /* its answer is the whole answer */
};

static const struct hd_call *call_of(const struct job *j, const struct part *p) {
    return &j->a->calls[p - j->parts];
}

static bool is_over(const struct job *j, const struct part *p) {
    return j->over >> (p - j->parts) & 1;
}

static void set_over(struct job *j, const struct part *p) {
    j->over |= (uint64_t)1 << (p - j->parts);
}

/* Whether no other call can change what the answer is. */
static bool is_decided(const struct job *j) {
    return j->fatal || j->pass;
}

/* ---- the fibers of the calls ---- */

struct start {
    struct job *job;
    struct part *part;
    struct hd_item *item;
};

static void ended(struct job *j, struct part *p) {
    p->running--;
    j->running--;
    if (j->waiting)
        rt_wake(j->self, -EINTR);
}

static void run_item(void *arg) {
    struct start *s = arg;
    hd_item_run(s->item);
    ended(s->job, s->part);
}

/* Without a fiber to be had the request's own does it: it never waits for one (and needs none more). */
static void start_item(struct job *j, struct part *p, struct hd_item *it) {
    struct start *s = b_arena_alloc(&j->ex->call.arena, sizeof *s);
    if (it->over)
        return;
    p->running++;
    j->running++;
    const struct hd_call *call = it->call;
    rt_time until = call->conf->timeout ? rt_after(rt_now(), call->conf->timeout) : RT_NEVER;
    it->rt.deadline = rt_earlier(until, j->ex->call.deadline);
    if (s) {
        *s = (struct start){.job = j, .part = p, .item = it};
        if (rt_scope_spawn(&j->scope, "call", run_item, s) == 0)
            return;
    }
    if (call->need == HD_WEAK) {
        it->over = true;
        it->reason = "overload";
    } else {
        hd_item_run(it);
    }
    ended(j, p);
}

/* ---- results ---- */

/* A text of the heap as one of the request's arena; freed. ptr NULL: memory is short. */
static struct b_slice kept(struct job *j, struct b_text *text) {
    struct b_slice copy = b_slice(NULL, 0);
    if (!text->failed)
        copy = b_arena_copy(&j->ex->call.arena, b_text_slice(text));
    b_text_free(text);
    return copy;
}

static int list_missing(struct job *j) {
    struct b_text out = b_text_heap(B_TAG_REQUESTS, 64 * HD_CALLS_MAX * 8);
    struct json_writer w = json_writer(&out);
    json_array_begin(&w);
    for (unsigned i = 0; i < j->a->count; i++)
        if (j->parts[i].reason && j->a->calls[i].need == HD_WEAK)
            json_string(&w, j->a->calls[i].name);
    json_array_end(&w);
    j->view.missing = kept(j, &out);
    return j->view.missing.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

/* The last good answer of the call, if there is one that may stand in. */
static bool take_stale(struct job *j, struct part *p) {
    const struct hd_call *call = call_of(j, p);
    struct json_fault fault;
    p->stale = -1;
    if (!call->stale || !p->made)
        return false;
    const struct http_request *r = &p->items[0]->fetch.req;
    p->all = b_text_heap(B_TAG_REQUESTS, HD_STALE_ANSWER_MAX);
    p->index.tag = B_TAG_REQUESTS;
    p->stale = hd_stale_find(call->stale, r->path, r->query, call->conf->stale, &p->all);
    if (p->stale >= 0 && json_index(&p->index, b_text_slice(&p->all), &fault) != 0)
        p->stale = -1;
    return p->stale >= 0;
}

static int part_fails(struct job *j, struct part *p, const char *reason) {
    const struct hd_call *call = call_of(j, p);
    p->reason = reason;
    set_over(j, p);
    if (call->need != HD_WEAK) {
        j->fatal = p;
        return 0;
    }
    j->view.env.slots[call->slot] =
        json_operand_value(json_root(take_stale(j, p) ? &p->index : &call->otherwise));
    j->ex->partial = true;
    tel_add(call->incomplete, rt_index(), 1);
    return list_missing(j);
}

/* The array of the answers of an `each`, which have been checked one by one. May wait. */
static int gather(struct job *j, struct part *p) {
    struct json_fault fault;
    size_t size = 2;
    for (unsigned i = 0; i < p->count; i++)
        size += p->items[i]->fetch.answer.len + 5;
    p->all = b_text_heap(B_TAG_REQUESTS, size);
    b_text_reserve(&p->all, size);
    b_text_char(&p->all, '[');
    for (unsigned i = 0; i < p->count; i++) {
        struct json_operand o = hd_item_result(p->items[i]);
        if (i)
            b_text_char(&p->all, ',');
        b_text_slice_add(&p->all, o.kind == JSON_OPERAND_NULL ? B_LIT("null") : json_slice(o.at));
    }
    b_text_char(&p->all, ']');
    p->index.tag = B_TAG_REQUESTS;
    if (p->all.failed || gw_index_json(&p->index, b_text_slice(&p->all), false, &fault) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    j->view.env.slots[call_of(j, p)->slot] = json_operand_value(json_root(&p->index));
    return 0;
}

static int part_succeeds(struct job *j, struct part *p) {
    const struct hd_call *call = call_of(j, p);
    set_over(j, p);
    if (call->each)
        return gather(j, p);
    struct hd_item *it = p->items[0];
    j->view.env.slots[call->slot] = hd_item_result(it);
    if (call->stale && it->index.count)
        hd_stale_keep(call->stale, it->fetch.req.path, it->fetch.req.query, b_text_slice(&it->fetch.answer),
                      call->conf->stale / 10);
    return 0;
}

/* Looks at the items that are over. */
static int settle(struct job *j, struct part *p) {
    for (; p->taken < p->made && p->items[p->taken]->over; p->taken++) {
        struct hd_item *it = p->items[p->taken];
        if (it->passed && !it->reason && !j->pass)
            j->pass = it;
        if (it->reason) {
            p->failed = it;
            return part_fails(j, p, it->reason);
        }
    }
    return p->taken == p->count ? part_succeeds(j, p) : 0;
}

/* ---- starting ---- */

/* Weak calls are what is given up first. */
static bool is_crowded(const struct job *j) {
    struct gateway *g = j->ex->snapshot->gateway;
    uint64_t most = (uint64_t)j->ex->snapshot->root->limits.max_in_flight;
    return gw_pressure(g) >= GW_RELEASE ||
           atomic_load_explicit(&g->requests, memory_order_relaxed) * 100 >= most * CROWDED_PERCENT;
}

static int count_items(struct job *j, struct part *p) {
    const struct hd_call *call = call_of(j, p);
    struct json_operand in;
    p->count = 1;
    if (!call->each)
        return 0;
    int rc = gw_view_value(&j->view, call->each, &in);
    if (rc)
        return rc;
    enum json_kind kind = json_operand_kind(&in);
    p->count = 0;
    if (kind == JSON_NULL)
        return 0;
    if (kind != JSON_ARRAY || in.kind != JSON_OPERAND_VALUE)
        return gw_error(j->ex, HTTP_E_TEMPLATE_FAILED, "each of call %.*s: `in` is no array",
                        B_FMT(call->name));
    struct json_value v = p->next = json_first(in.at);
    for (; v.index && p->count < (unsigned)call->conf->each.max; v = json_next(v))
        p->count++;
    uint64_t rest = 0;
    for (; v.index; v = json_next(v))
        rest++;
    tel_add(call->left_out, rt_index(), rest);
    return 0;
}

static int begin_part(struct job *j, struct part *p) {
    p->begun = true;
    if (call_of(j, p)->need == HD_WEAK && is_crowded(j))
        return part_fails(j, p, "overload");
    int rc = count_items(j, p);
    if (rc)
        return rc == -HTTP_E_TEMPLATE_FAILED ? part_fails(j, p, "template") : rc;
    p->items = b_arena_zalloc(&j->ex->call.arena, (p->count + 1) * sizeof *p->items);
    if (!p->items)
        return -HTTP_E_OUT_OF_MEMORY;
    return p->count ? 0 : part_succeeds(j, p); /* an empty array */
}

/* The call, or its next item. NULL: memory is short. */
static struct hd_item *make_item(struct job *j, struct part *p) {
    const struct hd_call *call = call_of(j, p);
    if (call->each) {
        j->view.env.slots[call->each_slot] = json_operand_value(p->next);
        p->next = json_next(p->next);
    }
    return hd_item_new(j->a, call, &j->view);
}

static int start_part(struct job *j, struct part *p) {
    const struct hd_call *call = call_of(j, p);
    int rc = p->begun ? 0 : begin_part(j, p);
    unsigned parallel = call->each ? (unsigned)call->conf->each.parallel : 1;
    while (rc == 0 && !is_over(j, p) && p->made < p->count && p->running < parallel &&
           j->running < (unsigned)j->a->conf->max_parallel) {
        struct hd_item *it = make_item(j, p);
        if (!it)
            return -HTTP_E_OUT_OF_MEMORY;
        p->items[p->made++] = it;
        start_item(j, p, it);
        rc = settle(j, p);
    }
    return rc;
}

static bool is_due(const struct job *j, unsigned i) {
    const struct hd_call *call = &j->a->calls[i];
    return !is_over(j, &j->parts[i]) && call->need != HD_ASYNC && !(call->waits_for & ~j->over);
}

/* One round: what has ended is taken, what can be started is. */
static int advance(struct job *j) {
    uint64_t before;
    int rc = 0;
    do {
        before = j->over;
        for (unsigned i = 0; rc == 0 && i < j->a->count && !is_decided(j); i++) {
            if (is_due(j, i) && j->parts[i].begun)
                rc = settle(j, &j->parts[i]);
            if (rc == 0 && is_due(j, i) && !is_decided(j))
                rc = start_part(j, &j->parts[i]);
        }
    } while (rc == 0 && before != j->over && !is_decided(j));
    return rc;
}

/* ---- waiting ---- */

static bool client_has_left(const struct job *j) {
    return j->ex->conn->stream.flags & (RT_STREAM_HUP | RT_STREAM_ERROR);
}

/* Until a call ends or the client leaves, for which its FIN is enough: who waits for so much work reads to its end. */
static int wait(struct job *j) {
    int rc;
    if (client_has_left(j))
        return -HTTP_E_CLIENT_CLOSED;
    j->ex->phase = "calls";
    j->waiting = true;
    rc = j->deaf ? rt_park(RT_NEVER) : rt_wait_readable(&j->ex->conn->stream, RT_NEVER);
    j->waiting = false;
    if (rc == -ECANCELED || client_has_left(j))
        return -HTTP_E_CLIENT_CLOSED;
    j->deaf |= rc == 0; /* the next request, or a body that nobody reads */
    return 0;
}

static int make_calls(struct job *j) {
    int rc = advance(j);
    while (rc == 0 && !is_decided(j) && (j->over | j->a->async) != j->a->all) {
        rc = wait(j);
        rc = rc ? rc : advance(j);
    }
    return rc;
}

/* ---- the answer ---- */

static int fatal_error(struct job *j) {
    const struct part *p = j->fatal;
    const struct hd_call *call = call_of(j, p);
    const struct hd_item *it = p->failed;
    struct b_slice up = call->conf->upstream.name;
    if (!it) /* before it was made: the detail is there */
        return -HTTP_E_TEMPLATE_FAILED;
    if (strcmp(p->reason, "timeout") == 0)
        return gw_error(j->ex, HTTP_E_CALL_TIMEOUT, "call %.*s, upstream %.*s: no answer in time",
                        B_FMT(call->name), B_FMT(up));
    if (strcmp(p->reason, "template") == 0)
        return gw_error(j->ex, HTTP_E_TEMPLATE_FAILED, "call %.*s: %s", B_FMT(call->name), it->why);
    if (strcmp(p->reason, "status") == 0)
        return gw_error(j->ex, HTTP_E_CALL_FAILED, "call %.*s, upstream %.*s: its answer has status %u",
                        B_FMT(call->name), B_FMT(up), it->fetch.status);
    if (strcmp(p->reason, "bad_json") == 0)
        return gw_error(j->ex, HTTP_E_CALL_FAILED,
                        "call %.*s, upstream %.*s: its answer is no JSON: %s, at byte %zu", B_FMT(call->name),
                        B_FMT(up), it->fault.why, it->fault.at);
    return gw_error(j->ex, HTTP_E_CALL_FAILED, "call %.*s, upstream %.*s: %s", B_FMT(call->name), B_FMT(up),
                    it->why ? it->why : p->reason);
}

static struct b_slice missing_field(struct job *j) {
    struct b_text out = b_text_heap(B_TAG_REQUESTS, 8192);
    for (unsigned i = 0; i < j->a->count; i++) {
        const struct part *p = &j->parts[i];
        if (!p->reason)
            continue;
        if (out.len)
            b_text_lit(&out, ", ");
        b_text_slice_add(&out, j->a->calls[i].name);
        b_text_lit(&out, ";reason=");
        b_text_cstr(&out, p->reason);
        if (strcmp(p->reason, "status") == 0) {
            b_text_lit(&out, ";status=");
            b_text_u64(&out, p->failed->fetch.status);
        }
        if (p->stale >= 0) {
            b_text_lit(&out, ";stale=");
            b_text_u64(&out, (uint64_t)(p->stale / RT_S));
        }
    }
    return kept(j, &out);
}

/* Without a template: every result by its name. */
static void write_all(struct job *j, struct b_text *out) {
    struct json_writer w = json_writer(out);
    json_object_begin(&w);
    for (unsigned i = 0; i < j->a->count; i++) {
        const struct hd_call *call = &j->a->calls[i];
        if (call->need == HD_ASYNC)
            continue;
        const struct json_operand *o = &j->view.env.slots[call->slot];
        json_key(&w, call->name);
        if (o->kind == JSON_OPERAND_VALUE)
            json_raw(&w, json_slice(o->at));
        else
            json_null(&w);
    }
    json_object_end(&w);
}

static void add_report(struct job *j, struct b_text *out) {
    bool empty = out->len == 2;
    if (out->failed || !out->len)
        return;
    out->len--; /* the brace, written again behind the report */
    if (!empty)
        b_text_char(out, ',');
    json_write_string(out, j->a->conf->report);
    b_text_char(out, ':');
    b_text_slice_add(out, j->view.missing);
    b_text_char(out, '}');
}

static size_t answers_size(const struct job *j) {
    size_t size = 512;
    for (unsigned i = 0; i < j->a->count; i++)
        for (unsigned k = 0; k < j->parts[i].made; k++)
            size += j->parts[i].items[k]->fetch.answer.len;
    return size;
}

static int write_answer(struct job *j, struct b_text *out) {
    int rc = 0;
    *out = b_text_heap(B_TAG_REQUESTS, ANSWER_MAX);
    b_text_reserve(out, answers_size(j));
    if (j->a->response)
        rc = gw_view_write(&j->view, j->a->response, out);
    else
        write_all(j, out);
    if (rc == 0 && j->ex->partial && j->a->conf->report.ptr)
        add_report(j, out);
    b_text_char(out, '\n');
    return rc ? rc : out->failed ? -HTTP_E_OUT_OF_MEMORY : 0;
}

static int answer(struct job *j) {
    struct exchange *ex = j->ex;
    struct b_text out;
    int rc = write_answer(j, &out);
    rc = rc ? rc : gw_response(ex, 200, 2);
    struct b_slice missing = rc == 0 && ex->partial ? missing_field(j) : b_slice("", 0);
    if (rc == 0 && (!missing.ptr ||
                    http_fields_add_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_CONTENT_TYPE,
                                       B_LIT("application/json")) != 0 ||
                    (ex->partial && http_fields_add_id(&ex->call.arena, &ex->res.fields,
                                                       HTTP_FIELD_WEIR_MISSING, missing) != 0)))
        rc = -HTTP_E_OUT_OF_MEMORY;
    rc = rc ? rc : gw_answer(ex, b_text_slice(&out));
    b_text_free(&out);
    return rc;
}

static int pass_on(struct job *j) {
    struct exchange *ex = j->ex;
    const struct hd_item *it = j->pass;
    int rc = gw_response(ex, it->fetch.status, 1);
    ex->partial = false;
    if (rc == 0 && it->fetch.content_type.len &&
        http_fields_add_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_CONTENT_TYPE,
                           it->fetch.content_type) != 0)
        rc = -HTTP_E_OUT_OF_MEMORY;
    return rc ? rc : gw_answer(ex, b_text_slice(&it->fetch.answer));
}

/* ---- what is told of it ---- */

/* What the calls took, for the recorder and for who asks for it. Memory that is short costs only that. */
static void tell_spans(struct job *j) {
    unsigned count = 0, n = 0;
    for (unsigned i = 0; i < j->a->count; i++)
        count += j->parts[i].made;
    struct gw_span *spans = b_arena_alloc(&j->ex->call.arena, count * sizeof *spans);
    for (unsigned i = 0; spans && i < j->a->count; i++)
        for (unsigned k = 0; k < j->parts[i].made; k++) {
            const struct hd_item *it = j->parts[i].items[k];
            spans[n++] = (struct gw_span){.name = it->call->name,
                                          .upstream = it->call->conf->upstream.name,
                                          .reason = it->reason,
                                          .begun = it->began ? it->began : j->ex->started,
                                          .took = it->took,
                                          .status = it->fetch.status};
        }
    j->ex->spans = spans;
    j->ex->span_count = n;
}

/* `X-Weir-Trace: 1` of a trusted client: the calls as a field of the answer, whatever that is. */
static void add_trace(struct exchange *ex, struct gw_head_hook *self) {
    struct b_text out = b_text_heap(B_TAG_REQUESTS, TRACE_MAX);
    struct json_writer w = json_writer(&out);
    (void)self;
    gw_write_spans(&w, ex);
    struct b_slice value = out.failed ? B_LIT("[]") : b_arena_copy(&ex->call.arena, b_text_slice(&out));
    if (!value.ptr || http_fields_add(&ex->call.arena, &ex->res.fields, B_LIT("weir-trace"), value) != 0)
        ex->close = true; /* memory is short */
    b_text_free(&out);
}

static void trace(struct exchange *ex) {
    const struct http_field *f = http_fields_find_name(&ex->req.fields, B_LIT("x-weir-trace"));
    struct gw_head_hook *hook;
    if (!f || !b_slice_eq(http_field_value(f), B_LIT("1")) || !gw_peer_trusted(ex) ||
        !(hook = b_arena_alloc(&ex->call.arena, sizeof *hook)))
        return;
    *hook = (struct gw_head_hook){.fn = add_trace, .next = ex->hooks};
    ex->hooks = hook;
}

/* ---- after it ---- */

/* Those whose calls have all succeeded, or whose defaults are in place. */
static void start_async(struct job *j) {
    for (unsigned i = 0; i < j->a->count; i++) {
        const struct hd_call *call = &j->a->calls[i];
        struct part *p = &j->parts[i];
        if (call->need != HD_ASYNC || call->waits_for & ~j->over || count_items(j, p) != 0)
            continue;
        for (unsigned k = 0; k < p->count; k++) {
            struct hd_item *it = make_item(j, p);
            if (it)
                hd_item_run_async(it, j->ex,
                                  call->conf->timeout ? call->conf->timeout : j->ex->route->deadline);
            else
                tel_add(call->dropped, rt_index(), 1);
        }
    }
}

static void clean_up(struct job *j) {
    for (unsigned i = 0; i < j->a->count; i++) {
        struct part *p = &j->parts[i];
        for (unsigned k = 0; k < p->made; k++)
            hd_item_free(p->items[k]);
        b_text_free(&p->all);
        json_index_free(&p->index);
    }
    gw_view_close(&j->view);
}

static int serve(struct job *j) {
    int rc = make_calls(j);
    rt_scope_leave(&j->scope); /* what is not needed any more is cancelled */
    tell_spans(j);
    trace(j->ex);
    if (rc == 0 && j->fatal)
        rc = fatal_error(j);
    else if (rc == 0)
        rc = j->pass ? pass_on(j) : answer(j);
    if (rc && j->ex->sent == GW_SENT_NOTHING)
        j->ex->partial = false;
    if (!is_decided(j) && (rc == 0 || rc == -HTTP_E_CLIENT_CLOSED) && j->a->async)
        start_async(j);
    return rc;
}

static int run(struct exchange *ex, void *state) {
    const struct hd_aggregate *a = state;
    struct job *j = b_arena_zalloc(&ex->call.arena, sizeof *j);
    struct part *parts = b_arena_zalloc(&ex->call.arena, a->count * sizeof *parts);
    if (!j || !parts)
        return -HTTP_E_OUT_OF_MEMORY;
    j->ex = ex;
    j->a = a;
    j->parts = parts;
    j->self = rt_fiber_self();
    rt_scope_init(&j->scope);
    int rc = gw_view_open(&j->view, ex, a->slots, a->specials);
    rc = rc ? rc : serve(j);
    clean_up(j);
    return rc;
}

const struct gw_handler hd_aggregate = {
    .module = {.name = "aggregate",
               .summary = "Calls several services for one request and makes one answer of theirs",
               .options = &hd_aggregate_table},
    .open = hd_aggregate_open,
    .close = hd_aggregate_close,
    .run = run,
    .calls = hd_aggregate_calls,
    .explain = hd_aggregate_explain,
};
