/* The options of an aggregate, and their compilation: templates, the graph of the calls, what can be known to go wrong. */
#include "handler/aggregate_plan.h"

#include <errno.h>

#include "gateway/gateway.h"

/* ---- options ---- */

static const struct cfg_option each_options[] = {
    {.name = "in",
     .type = CFG_STRING,
     CFG_AT(struct hd_each_conf, in),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 1024,
     .example = "$order.lines",
     .help = "the array: an expression"},
    {.name = "as",
     .type = CFG_STRING,
     CFG_AT(struct hd_each_conf, as),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 64,
     .example = "line",
     .help = "what an item is called in the templates of this call"},
    {.name = "max",
     .type = CFG_INT,
     CFG_AT(struct hd_each_conf, max),
     .default_text = "10",
     .min = 1,
     .max = 1000,
     .help = "the first so many items are asked for; the rest is left out and counted"},
    {.name = "parallel",
     .type = CFG_INT,
     CFG_AT(struct hd_each_conf, parallel),
     .default_text = "4",
     .min = 1,
     .max = 1000,
     .help = "so many of them at a time"},
    {0},
};

static const struct cfg_table each_table = {
    .name = "a call for each item",
    .summary = "Makes one request for each item of an array; the result is the "
               "array of the answers, in order",
    .options = each_options,
    .size = sizeof(struct hd_each_conf)};

static const char *const needs[] = {"strong", "weak", "async", NULL};

static const struct cfg_option call_options[] = {
    {.name = "upstream",
     .type = CFG_UPSTREAM_REF,
     CFG_AT(struct hd_call_conf, upstream),
     .flags = CFG_REQUIRED,
     .example = "orders",
     .help = "who is asked: a name under `upstreams`"},
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct hd_call_conf, path),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 4096,
     .example = "\"/orders/{id}\"",
     .help = "what for: a path, and a query perhaps, with {expressions}, whose values are escaped"},
    {.name = "method",
     .type = CFG_STRING,
     CFG_AT(struct hd_call_conf, method),
     .default_text = "GET",
     .min = 1,
     .max = 32,
     .help = "the method of the request"},
    {.name = "query",
     .type = CFG_STRING_MAP,
     CFG_AT(struct hd_call_conf, query),
     .max = 64,
     .example = "{page: \"{request.query.page}\"}",
     .help = "parameters of the query, with {expressions}; one whose only expression is null is left out"},
    {.name = "headers",
     .type = CFG_STRING_MAP,
     CFG_AT(struct hd_call_conf, headers),
     .flags = CFG_HEADER_NAMES,
     .max = 32,
     .example = "{X-Order: \"{id}\"}",
     .help = "fields of the request, with {expressions}; one whose only expression is null is left out"},
    {.name = "forward_headers",
     .type = CFG_STRINGS,
     CFG_AT(struct hd_call_conf, forward_headers),
     .max = 32,
     .example = "[authorization, accept-language]",
     .help =
         "fields of the client's request that are passed on; others are not, but for the id and the trace of the request"},
    {.name = "body",
     .type = CFG_NODE,
     CFG_AT(struct hd_call_conf, body),
     .example = "{order: $order.id}",
     .help = "the template of a JSON body"},
    {.name = "timeout",
     .type = CFG_DURATION,
     CFG_AT(struct hd_call_conf, timeout),
     .default_text = "0s",
     .max = CFG_H,
     .example = "50ms",
     .help =
         "the whole call, attempts and body; 0s: what is left of the route's deadline, whatever the upstream's timeout"},
    {.name = "need",
     .type = CFG_ENUM,
     CFG_AT(struct hd_call_conf, need),
     .choices = needs,
     .default_text = "strong",
     .help =
         "strong: without it the request fails; weak: `default` stands in, and Weir-Missing names it; async: made after the "
         "answer, which does not wait for it"},
    {.name = "default",
     .type = CFG_NODE,
     CFG_AT(struct hd_call_conf, otherwise),
     .example = "[]",
     .help = "what stands in for a weak call that failed; null when left out"},
    {.name = "stale",
     .type = CFG_DURATION,
     CFG_AT(struct hd_call_conf, stale),
     .default_text = "0s",
     .max = 24 * CFG_H,
     .example = "60s",
     .help =
         "how old the last good answer of a weak call may be to stand in for one that failed, before `default` does; "
         "some 256 answers of up to 64 KiB are kept, by path and query"},
    {.name = "accept",
     .type = CFG_STRINGS,
     CFG_AT(struct hd_call_conf, accept),
     .max = 32,
     .example = "[2xx, 404]",
     .help = "statuses with which the call has succeeded; 2xx when left out"},
    {.name = "pass",
     .type = CFG_STRINGS,
     CFG_AT(struct hd_call_conf, pass),
     .max = 32,
     .example = "[404]",
     .help = "statuses of a strong call with which its answer becomes the whole answer"},
    {.name = "each",
     .type = CFG_OBJECT,
     CFG_AT(struct hd_call_conf, each),
     .flags = CFG_OPTIONAL,
     .table = &each_table,
     .help = "one request for each item of an array"},
    {0},
};

static int check_statuses(struct cfg_errors *errors, const struct cfg_list *list) {
    int rc = 0;
    CFG_EACH(const struct cfg_text, t, list) {
        unsigned first, last;
        const char *why = cfg_parse_statuses(t->text, &first, &last);
        if (why)
            rc = cfg_error_at(errors, t->node, "a status cannot be \"%.*s\": %s", B_FMT(t->text), why);
    }
    return rc;
}

static int check_call(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct hd_call_conf *c = conf;
    const struct cfg_node *path = cfg_node_get(node, "path");
    int rc = check_statuses(errors, &c->accept);
    rc = check_statuses(errors, &c->pass) ? -EINVAL : rc;
    if (c->path.ptr[0] != '/')
        rc = cfg_error_at(errors, path, "a path begins with /");
    for (size_t i = 0; i < c->path.len; i++)
        if ((unsigned char)c->path.ptr[i] < 0x20 || c->path.ptr[i] == '#' || c->path.ptr[i] == 0x7f)
            return cfg_error_at(errors, path, "a path holds no # and no control character");
    if (http_method_of(c->method) == HTTP_METHOD_OTHER || http_method_of(c->method) == HTTP_METHOD_CONNECT ||
        http_method_of(c->method) == HTTP_METHOD_TRACE || http_method_of(c->method) == HTTP_METHOD_HEAD)
        rc = cfg_error_at(errors, cfg_node_get(node, "method"),
                          "a call has the method GET, POST, PUT, PATCH, DELETE or OPTIONS");
    if (c->pass.count && c->need != HD_STRONG)
        rc = cfg_error_at(errors, c->pass.node,
                          "only the answer of a strong call can become the whole answer");
    if (c->stale && (c->need != HD_WEAK || c->each.head.node || http_method_of(c->method) != HTTP_METHOD_GET))
        rc = cfg_error_at(errors, cfg_node_get(node, "stale"),
                          "only a weak call of GET without `each` has stale answers");
    if (c->otherwise && c->need != HD_WEAK)
        rc = cfg_error_key(errors, c->otherwise, "only a weak call has a default: a %s one %s",
                           needs[c->need], c->need == HD_STRONG ? "must succeed" : "has no result");
    return rc;
}

static const struct cfg_table call_table = {.name = "a call",
                                            .summary = "A request to an upstream, as a part of another",
                                            .options = call_options,
                                            .size = sizeof(struct hd_call_conf),
                                            .check = check_call};

static const struct cfg_option options[] = {
    {.name = "calls",
     .type = CFG_OBJECT_MAP,
     CFG_AT(struct hd_aggregate_conf, calls),
     .flags = CFG_REQUIRED,
     .table = &call_table,
     .min = 1,
     .max = HD_CALLS_MAX,
     .help =
         "the calls by their names. One that refers to another ($order.user_id) waits for it; all others run at once"},
    {.name = "response",
     .type = CFG_NODE,
     CFG_AT(struct hd_aggregate_conf, response),
     .example = "{id: $order.id, name: $user.name}",
     .help =
         "the template of the answer; when left out it is an object of all results by the names of their calls"},
    {.name = "max_parallel",
     .type = CFG_INT,
     CFG_AT(struct hd_aggregate_conf, max_parallel),
     .default_text = "4",
     .min = 1,
     .max = 64,
     .help = "calls of one request that run at the same time"},
    {.name = "max_calls",
     .type = CFG_INT,
     CFG_AT(struct hd_aggregate_conf, max_calls),
     .default_text = "16",
     .min = 1,
     .max = 1000,
     .help =
         "calls that one request may need at the worst, each item of an `each` counted; more is an error of the config"},
    {.name = "max_response",
     .type = CFG_SIZE,
     CFG_AT(struct hd_aggregate_conf, max_response),
     .default_text = "4MiB",
     .min = 1,
     .max = 1 << 30,
     .help = "the answer of one call"},
    {.name = "report",
     .type = CFG_STRING,
     CFG_AT(struct hd_aggregate_conf, report),
     .min = 1,
     .max = 64,
     .example = "degraded",
     .help = "a member that an incomplete answer gets: the names of the weak calls that failed"},
    {0},
};

unsigned hd_aggregate_calls(const void *conf, const struct cfg_upstream *u) {
    const struct hd_aggregate_conf *c = conf;
    int64_t calls = 0;
    CFG_EACH(const struct hd_call_conf, call, &c->calls)
        if (!u || call->upstream.upstream == u)
            calls += call->each.head.node ? call->each.max : 1;
    return (unsigned)calls;
}

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct hd_aggregate_conf *c = conf;
    unsigned worst = hd_aggregate_calls(c, NULL);
    if (c->report.ptr && c->response && c->response->kind != CFG_MAP)
        return cfg_error_at(errors, cfg_node_get(node, "report"),
                            "\"report\" adds a member, so \"response\" has to be a map");
    if (worst > c->max_calls)
        return cfg_error_at(
            errors, node,
            "a request may need %u calls, and max_calls is %lld: lower `max` of an `each`, or raise it",
            worst, (long long)c->max_calls);
    return 0;
}

const struct cfg_table hd_aggregate_table = {
    .name = "an aggregate",
    .summary = "Calls several services for one request and makes one answer of theirs",
    .options = options,
    .size = sizeof(struct hd_aggregate_conf),
    .check = check};

/* ---- compiling ---- */

struct building {
    const struct gw_open *o;
    const struct cfg_route *route;
    struct json_compiler c;
    struct hd_aggregate *a;
};

/* Where the query begins: the first ? outside of braces. */
static size_t find_query(struct b_slice path) {
    bool inside = false;
    for (size_t i = 0; i < path.len; i++) {
        if (!inside && path.ptr[i] == '?')
            return i;
        if (!inside && path.ptr[i] == '{' && i + 1 < path.len && path.ptr[i + 1] == '{')
            i++;
        else if (path.ptr[i] == '{' || path.ptr[i] == '}')
            inside = path.ptr[i] == '{';
    }
    return path.len;
}

static int compile_path(struct building *b, struct hd_call *call) {
    const struct cfg_node *node = cfg_node_get(call->conf->head.node, "path");
    size_t end = find_query(node->text);
    call->path = gw_template_text(&b->c, b->o->errors, b_slice(node->text.ptr, end), node);
    if (call->path && end + 1 < node->text.len)
        call->query = gw_template_text(&b->c, b->o->errors, b_slice_from(node->text, end + 1), node);
    return call->path && (call->query || end + 1 >= node->text.len) ? 0 : -EINVAL;
}

static int compile_pairs(struct building *b, const struct cfg_list *list, struct hd_pair **out,
                         unsigned *count) {
    *out = b_arena_zalloc(b->o->arena, (list->count + 1) * sizeof **out);
    if (!*out)
        return cfg_error_memory(b->o->errors);
    int rc = 0;
    CFG_EACH(const struct cfg_text, t, list) {
        struct hd_pair *p = &(*out)[(*count)++];
        p->name = t->name;
        p->value = gw_template_text(&b->c, b->o->errors, t->text, t->node);
        rc = p->value ? rc : -EINVAL;
    }
    return rc;
}

static void take_statuses(struct hd_statuses *out, const struct cfg_list *list, const char *otherwise) {
    unsigned first, last;
    struct cfg_text usual = {.text = b_slice_cstr(otherwise)};
    const struct cfg_text *t = list->count ? list->items : &usual;
    for (size_t i = 0; i < (list->count ? list->count : otherwise != NULL); i++)
        if (!cfg_parse_statuses(t[i].text, &first, &last))
            for (unsigned s = first; s <= last && s < 1024; s++)
                out->bits[s / 64] |= (uint64_t)1 << s % 64;
}

/* What a weak call leaves behind when it fails, ready to be gone through. */
static int compile_default(struct building *b, struct hd_call *call) {
    const struct cfg_node *node = call->conf->otherwise;
    struct b_text text = b_text_heap(B_TAG_CONFIG, 1 << 20);
    struct json_fault fault;
    call->otherwise.tag = B_TAG_CONFIG;
    if (!node)
        return 0;
    uint64_t uses = b->c.uses;
    uint32_t specials = b->c.specials;
    b->c.uses = b->c.specials = 0;
    b->c.uses_tables = false;
    const struct json_node *n = gw_template(&b->c, b->o->errors, node);
    if (!n)
        return -EINVAL;
    int rc = 0;
    if (!gw_template_fixed(&b->c, n, &text))
        rc = cfg_error_at(b->o->errors, node, "a default is a constant: it refers to nothing");
    struct b_slice copy = b_arena_copy(b->o->arena, b_text_slice(&text));
    if (rc == 0 && (!copy.ptr || json_index(&call->otherwise, copy, &fault) != 0))
        rc = cfg_error_memory(b->o->errors);
    b_text_free(&text);
    b->c.uses = uses;
    b->c.specials = specials;
    return rc;
}

static int compile_each(struct building *b, struct hd_call *call) {
    const struct hd_each_conf *each = &call->conf->each;
    if (!each->head.node)
        return 0;
    call->each = gw_template_expression(&b->c, b->o->errors, each->in, cfg_node_get(each->head.node, "in"));
    if (!call->each)
        return -EINVAL;
    if (b->c.uses_tables)
        return cfg_error_at(b->o->errors, cfg_node_get(each->head.node, "in"),
                            "`in` does not go through a row of a table: it may be refreshed meanwhile");
    int slot =
        gw_template_name(&b->c, b->o->errors, each->as, "a variable", cfg_node_get(each->head.node, "as"));
    call->each_slot = slot < 0 ? 0 : (unsigned)slot;
    return slot < 0 ? slot : 0;
}

static struct tel_family incomplete = {.name = "weir_aggregate_incomplete_total",
                                       .help =
                                           "Answers in which a default stands for a weak call that failed.",
                                       .type = TEL_COUNTER,
                                       .labels = {"route", "call"}};
static struct tel_family left_out = {.name = "weir_aggregate_left_out_total",
                                     .help =
                                         "Items beyond the `max` of an `each`, for which no call was made.",
                                     .type = TEL_COUNTER,
                                     .labels = {"route", "call"}};
static struct tel_family dropped = {.name = "weir_aggregate_async_dropped_total",
                                    .help = "Async calls that were not made, because too many were waiting.",
                                    .type = TEL_COUNTER,
                                    .labels = {"route", "call"}};
static struct tel_family async_failed = {.name = "weir_aggregate_async_failed_total",
                                         .help = "Async calls that were made and failed.",
                                         .type = TEL_COUNTER,
                                         .labels = {"route", "call"}};

static void take_series(struct building *b, struct hd_call *call) {
    struct b_slice labels[] = {b->route->match.path, call->name};
    if (call->need == HD_WEAK)
        call->incomplete = tel_series_get(&incomplete, labels);
    if (call->each)
        call->left_out = tel_series_get(&left_out, labels);
    if (call->need == HD_ASYNC) {
        call->dropped = tel_series_get(&dropped, labels);
        call->failed = tel_series_get(&async_failed, labels);
    }
}

/* Those that the templates compiled last refer to. */
static uint64_t calls_used(const struct building *b) {
    uint64_t calls = 0;
    for (unsigned i = 0; i < b->a->count; i++)
        calls |= (b->c.uses >> b->a->calls[i].slot & 1) << i;
    return calls;
}

static int compile_call(struct building *b, struct hd_call *call) {
    const struct hd_call_conf *conf = call->conf;
    b->c.uses = 0;
    b->c.uses_tables = false;
    if (compile_each(b, call) != 0) /* what follows may use its variable */
        return -EINVAL;
    int rc = compile_path(b, call);
    rc = compile_pairs(b, &conf->query, &call->pairs, &call->pair_count) ? -EINVAL : rc;
    rc = compile_pairs(b, &conf->headers, &call->headers, &call->header_count) ? -EINVAL : rc;
    if (conf->body && !(call->body = gw_template(&b->c, b->o->errors, conf->body)))
        rc = -EINVAL;
    if (call->each)
        json_slot_drop(&b->c, call->each_slot);
    rc = compile_default(b, call) ? -EINVAL : rc;
    call->waits_for = calls_used(b);
    take_statuses(&call->accept, &conf->accept, "2xx");
    take_statuses(&call->pass, &conf->pass, NULL);
    take_series(b, call);
    if (rc == 0 && conf->stale && !(call->stale = hd_stale_get(b->route->match.path, call->name)))
        rc = cfg_error_memory(b->o->errors);
    return rc;
}

/* ---- the graph ---- */

static int no_results_of_async(struct building *b, uint64_t waits_for, const struct cfg_node *node) {
    for (unsigned i = 0; i < b->a->count; i++)
        if (waits_for & b->a->async & (uint64_t)1 << i)
            return cfg_error_at(b->o->errors, node,
                                "%.*s is async: it runs after the answer, so nothing can refer to it",
                                B_FMT(b->a->calls[i].name));
    return 0;
}

static void name_the_cycle(const struct hd_aggregate *a, uint64_t left, struct b_text *out) {
    uint64_t seen = 0;
    unsigned i = (unsigned)__builtin_ctzll(left);
    for (; !(seen >> i & 1); i = (unsigned)__builtin_ctzll(a->calls[i].waits_for & left))
        seen |= (uint64_t)1 << i; /* after as many steps as there are calls one is on the cycle */
    unsigned first = i;
    do {
        b_text_slice_add(out, a->calls[i].name);
        b_text_lit(out, " waits for ");
        i = (unsigned)__builtin_ctzll(a->calls[i].waits_for & left);
    } while (i != first);
    b_text_slice_add(out, a->calls[first].name);
}

/* Kahn 1962: what waits for nothing is taken off, again and again. */
static int check_graph(struct building *b) {
    const struct hd_aggregate *a = b->a;
    uint64_t left = a->all, before = 0;
    while (left != before) {
        before = left;
        for (unsigned i = 0; i < a->count; i++)
            if (!(a->calls[i].waits_for & left))
                left &= ~((uint64_t)1 << i);
    }
    if (!left)
        return 0;
    char text[200];
    struct b_text out = b_text_fixed(text, sizeof text - 1);
    name_the_cycle(a, left, &out);
    text[out.len] = 0;
    return cfg_error_at(b->o->errors, a->conf->calls.node, "these calls wait for one another: %s", text);
}

static int check_timeout(struct building *b, const struct hd_call *call) {
    if (call->conf->timeout <= b->route->deadline || call->need == HD_ASYNC)
        return 0;
    return cfg_error_at(b->o->errors, cfg_node_get(call->conf->head.node, "timeout"),
                        "this is longer than the deadline of the route: lower it, or raise `deadline`");
}

/* ---- naming, and all together ---- */

static int name_calls(struct building *b) {
    struct hd_aggregate *a = b->a;
    CFG_EACH(const struct hd_call_conf, conf, &a->conf->calls) {
        struct hd_call *call = &a->calls[a->count];
        int slot = gw_template_name(&b->c, b->o->errors, conf->head.name, "a call", conf->head.node);
        if (slot < 0)
            return slot;
        *call = (struct hd_call){.name = conf->head.name,
                                 .conf = conf,
                                 .slot = (unsigned)slot,
                                 .need = (enum hd_need)conf->need,
                                 .method = http_method_of(conf->method),
                                 .upstream = up_get(b->o->gateway->upstreams, conf->upstream.upstream)};
        if (!call->upstream)
            return cfg_error_memory(b->o->errors);
        a->async |= call->need == HD_ASYNC ? (uint64_t)1 << a->count : 0;
        a->count++;
    }
    return 0;
}

static int compile_response(struct building *b) {
    b->c.uses = 0;
    if (!b->a->conf->response)
        return 0;
    b->a->response = gw_template(&b->c, b->o->errors, b->a->conf->response);
    if (!b->a->response)
        return -EINVAL;
    return no_results_of_async(b, calls_used(b), b->a->conf->response);
}

static int compile(struct building *b) {
    int rc = gw_template_params(&b->c, b->o->errors, b->route);
    rc = rc ? rc : name_calls(b);
    if (rc)
        return rc;
    for (unsigned i = 0; i < b->a->count; i++) { /* all that is wrong is told */
        struct hd_call *call = &b->a->calls[i];
        int wrong = compile_call(b, call);
        wrong = wrong ? wrong : no_results_of_async(b, call->waits_for, call->conf->head.node);
        rc = wrong || check_timeout(b, call) ? -EINVAL : rc;
    }
    rc = rc ? rc : check_graph(b);
    rc = compile_response(b) ? -EINVAL : rc;
    b->a->slots = b->c.slots;
    b->a->specials = b->c.specials;
    return rc;
}

int hd_aggregate_open(const struct gw_open *o, const struct cfg_route *route, const void *conf,
                      void **state) {
    const struct hd_aggregate_conf *c = conf;
    struct hd_aggregate *a = b_arena_zalloc(o->arena, sizeof *a);
    if (!a)
        return cfg_error_memory(o->errors);
    *a = (struct hd_aggregate){.conf = c, .route = route, .all = ((uint64_t)1 << c->calls.count) - 1};
    a->calls = b_arena_zalloc(o->arena, c->calls.count * sizeof *a->calls);
    if (!a->calls)
        return cfg_error_memory(o->errors);
    struct building b = {.o = o, .route = route, .c = gw_template_compiler(o), .a = a};
    int rc = compile(&b);
    if (rc) {
        hd_aggregate_close(a);
        return rc;
    }
    *state = a;
    return 0;
}

void hd_aggregate_close(void *state) {
    struct hd_aggregate *a = state;
    for (unsigned i = 0; i < a->count; i++) {
        up_put(a->calls[i].upstream);
        json_index_free(&a->calls[i].otherwise);
        hd_stale_put(a->calls[i].stale);
    }
}
