/* Answers by itself: fixed pages, health checks of others, mocks, and the demo's origins; or what a template makes of the
 * request. */
#include <errno.h>

#include "gateway/gateway.h"
#include "gateway/template.h"
#include "middleware/names_common.h"

#define JSON_MAX ((size_t)4 << 20)

struct respond_conf {
    struct cfg_head head;
    int64_t status;
    struct cfg_list headers; /* struct cfg_text, with names */
    struct b_slice body;
    const struct cfg_node *json;
    int64_t delay;
};

static const struct cfg_option options[] = {
    {.name = "status",
     .type = CFG_INT,
     CFG_AT(struct respond_conf, status),
     .default_text = "200",
     .min = 200,
     .max = 599,
     .help = "the status of the answer"},
    {.name = "headers",
     .type = CFG_STRING_MAP,
     CFG_AT(struct respond_conf, headers),
     .flags = CFG_HEADER_NAMES,
     .max = 64,
     .example = "{Cache-Control: no-store}",
     .help = "headers of the answer"},
    {.name = "body",
     .type = CFG_STRING,
     CFG_AT(struct respond_conf, body),
     .example = "\"all is well\\n\"",
     .help = "text of the answer, as text/plain unless `headers` has a Content-Type"},
    {.name = "json",
     .type = CFG_NODE,
     CFG_AT(struct respond_conf, json),
     .example = "{hello: world}",
     .help =
         "the answer as YAML, sent as JSON; what stands in quotes is a string. A template: `$request.query.page`, "
         "`\"hello {name}\"` ($$ is a dollar, {{ a brace)"},
    {.name = "delay",
     .type = CFG_DURATION,
     CFG_AT(struct respond_conf, delay),
     .default_text = "0s",
     .max = CFG_H,
     .example = "250ms",
     .help = "time to wait before the answer, to play a slow service"},
    {0},
};

static bool forbids_body(int64_t status) {
    return status == 204 || status == 205 || status == 304;
}

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct respond_conf *c = conf;
    int rc = mw_check_names(errors, &c->headers);
    if (c->body.ptr && c->json)
        rc = cfg_error_key(errors, c->json, "an answer has `body` or `json`, not both");
    if ((c->body.len || c->json) && forbids_body(c->status))
        rc = cfg_error_at(errors, node, "an answer with status %d has no body: take `%s` out", (int)c->status,
                          c->json ? "json" : "body");
    return rc;
}

static const struct cfg_table table = {
    .name = "an answer",
    .summary = "An answer of weir's own to every request of the route",
    .options = options,
    .size = sizeof(struct respond_conf),
    .check = check,
};

/* All of the answer, ready to go out. */
struct respond {
    uint16_t status;
    struct http_fields fields;
    struct b_slice body;
    const struct json_node *json; /* of an answer that depends on the request; NULL: it is `body` */
    unsigned slots;
    uint32_t specials;
    rt_time delay;
};

static int make_body(struct respond *r, const struct respond_conf *c, const struct gw_open *o,
                     const struct cfg_route *route) {
    struct json_compiler compiler = gw_template_compiler(o);
    struct b_text text = b_text_heap(B_TAG_GATEWAY, JSON_MAX);
    r->body = c->body;
    if (!c->json)
        return 0;
    int rc = gw_template_params(&compiler, o->errors, route);
    if (rc)
        return rc;
    r->json = gw_template(&compiler, o->errors, c->json);
    r->slots = compiler.slots;
    r->specials = compiler.specials;
    if (!r->json)
        return -EINVAL;
    if (gw_template_fixed(&compiler, r->json, &text)) {
        b_text_char(&text, '\n');
        r->json = NULL;
        r->body = b_arena_copy(o->arena, b_text_slice(&text));
        rc = text.failed || !r->body.ptr ? cfg_error_memory(o->errors) : 0;
    }
    b_text_free(&text);
    return rc;
}

static int make_fields(struct respond *r, const struct respond_conf *c, struct b_arena *arena) {
    CFG_EACH(struct cfg_text, it, &c->headers)
        if (http_fields_add(arena, &r->fields, it->name, it->text) < 0)
            return -1;
    if ((r->body.len == 0 && !r->json) || http_fields_find(&r->fields, HTTP_FIELD_CONTENT_TYPE))
        return 0;
    return http_fields_add_id(arena, &r->fields, HTTP_FIELD_CONTENT_TYPE,
                              c->json ? B_LIT("application/json") : B_LIT("text/plain; charset=utf-8"));
}

static int open_answer(const struct gw_open *open, const struct cfg_route *route, const void *conf,
                       void **state) {
    const struct respond_conf *c = conf;
    struct respond *r = b_arena_zalloc(open->arena, sizeof *r);
    if (!r)
        return cfg_error_memory(open->errors);
    r->status = (uint16_t)c->status;
    r->delay = c->delay;
    int rc = make_body(r, c, open, route);
    if (rc)
        return rc;
    if (make_fields(r, c, open->arena) < 0)
        return cfg_error_memory(open->errors);
    *state = r;
    return 0;
}

static int wait_for(struct exchange *ex, rt_time delay) {
    rt_time until = rt_after(rt_now(), delay);
    ex->phase = "delay";
    if (rt_sleep_until(rt_earlier(until, ex->call.deadline)) < 0)
        return -HTTP_E_CLIENT_CLOSED; /* or the process ends; the gateway tells which */
    return until <= ex->call.deadline ? 0 : -HTTP_E_DEADLINE_EXCEEDED;
}

static int answer(struct exchange *ex, const struct respond *r, struct b_slice body) {
    int rc = gw_response(ex, r->status, r->fields.count);
    if (rc < 0)
        return rc;
    if (r->fields.count)
        memcpy(ex->res.fields.at, r->fields.at, r->fields.count * sizeof *r->fields.at);
    ex->res.fields.count = r->fields.count;
    return gw_answer(ex, body);
}

/* Not inlined: a fixed answer pays no stack for it. */
static __attribute__((noinline)) int answer_by_template(struct exchange *ex, const struct respond *r) {
    struct b_text out = b_text_heap(B_TAG_REQUESTS, JSON_MAX);
    struct gw_view view;
    int rc = gw_view_open(&view, ex, r->slots, r->specials);
    rc = rc ? rc : gw_view_write(&view, r->json, &out);
    b_text_char(&out, '\n');
    if (rc == 0)
        rc = out.failed ? -HTTP_E_OUT_OF_MEMORY : answer(ex, r, b_text_slice(&out));
    b_text_free(&out);
    gw_view_close(&view);
    return rc;
}

/* A body that the client sends, and no template reads, is left to the connection's end of the request. */
static int run(struct exchange *ex, void *state) {
    const struct respond *r = state;
    int rc = r->delay ? wait_for(ex, r->delay) : 0;
    if (rc < 0)
        return rc;
    return r->json ? answer_by_template(ex, r) : answer(ex, r, r->body);
}

const struct gw_handler hd_respond = {
    .module = {.name = "respond",
               .summary =
                   "Answers by itself: status, headers, and a body that is fixed or made by a template",
               .options = &table},
    .open = open_answer,
    .run = run,
};
