#include "handler/proxy_transform.h"

#include <errno.h>

#include "base/number.h"
#include "gateway/fetch.h"
#include "gateway/gateway.h"
#include "gateway/template.h"

#define BODY_MAX ((size_t)64 << 20) /* that a template makes */

static const struct cfg_option options[] = {
    {.name = "request",
     .type = CFG_NODE,
     CFG_AT(struct hd_transform_conf, request),
     .example = "{order: $request.body.id}",
     .help = "the template of the body that the upstream gets, as JSON; when left out it gets the client's"},
    {.name = "response",
     .type = CFG_NODE,
     CFG_AT(struct hd_transform_conf, response),
     .example = "{id: $response.order.id}",
     .help =
         "the template of the answer to the client, for answers of 2xx: $response is their JSON, $status their status"},
    {.name = "error",
     .type = CFG_NODE,
     CFG_AT(struct hd_transform_conf, error),
     .example = "{code: $status, message: $response.error.text}",
     .help =
         "the same for all other answers but 304, whose $response is null when it is no JSON; when left out they pass as they are"},
    {.name = "max_response",
     .type = CFG_SIZE,
     CFG_AT(struct hd_transform_conf, max_response),
     .default_text = "4MiB",
     .min = 1,
     .max = 1 << 30,
     .help = "an answer that a template reads; a larger one is 502"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct hd_transform_conf *c = conf;
    if (c->request || c->response || c->error)
        return 0;
    return cfg_error_at(errors, node, "\"transform\" names one of request, response and error at least");
}

const struct cfg_table hd_transform_table = {.name = "a transformation",
                                             .summary =
                                                 "Templates between the client's JSON and the upstream's",
                                             .options = options,
                                             .size = sizeof(struct hd_transform_conf),
                                             .check = check};

struct hd_transform {
    const struct hd_transform_conf *conf;
    const struct json_node *request, *response, *error;
    unsigned slots, response_slot, status_slot;
    uint32_t specials;
};

static int compile(const struct gw_open *o, struct json_compiler *c, const struct cfg_node *node,
                   const struct json_node **out) {
    *out = node ? gw_template(c, o->errors, node) : NULL;
    return node && !*out ? -EINVAL : 0;
}

int hd_transform_open(const struct gw_open *o, const struct cfg_route *route,
                      const struct hd_transform_conf *conf, struct hd_transform **out) {
    struct json_compiler c = gw_template_compiler(o);
    struct hd_transform *t = conf->head.node ? b_arena_zalloc(o->arena, sizeof *t) : NULL;
    *out = t;
    if (!conf->head.node)
        return 0;
    if (!t)
        return cfg_error_memory(o->errors);
    t->conf = conf;
    int rc = gw_template_params(&c, o->errors, route);
    if (rc)
        return rc;
    rc = compile(o, &c, conf->request, &t->request);
    int response = gw_template_name(&c, o->errors, B_LIT("response"), "the answer", route->match.head.node);
    int status = response < 0
                     ? response
                     : gw_template_name(&c, o->errors, B_LIT("status"), "the status", route->match.head.node);
    if (status < 0)
        return status;
    t->response_slot = (unsigned)response;
    t->status_slot = (unsigned)status;
    rc = compile(o, &c, conf->response, &t->response) ? -EINVAL : rc;
    rc = compile(o, &c, conf->error, &t->error) ? -EINVAL : rc;
    t->slots = c.slots;
    t->specials = c.specials;
    return rc;
}

/* ---- a request ---- */

struct hd_transforming {
    const struct hd_transform *t;
    struct gw_view view;
    struct b_text request, answer, made;
    struct b_slice body; /* of the request, not given yet */
    struct json_index index;
};

/* Not inlined, those that the proxy calls: requests that transform nothing pay no stack for them. */
__attribute__((noinline)) int hd_transform_begin(struct exchange *ex, const struct hd_transform *t,
                                                 struct hd_transforming **out) {
    struct hd_transforming *tr = b_arena_zalloc(&ex->call.arena, sizeof *tr);
    *out = NULL;
    if (!tr)
        return -HTTP_E_OUT_OF_MEMORY;
    *out = tr;
    tr->t = t;
    tr->index.tag = B_TAG_REQUESTS;
    tr->request = b_text_heap(B_TAG_REQUESTS, BODY_MAX);
    int rc = gw_view_open(&tr->view, ex, t->slots, t->specials);
    if (rc == 0 && t->request)
        rc = gw_view_write(&tr->view, t->request, &tr->request);
    tr->body = b_text_slice(&tr->request);
    if (rc == 0 && !t->request && (t->specials & 1u << JSON_REQUEST_BODY))
        tr->body = b_text_slice(&tr->view.body_text); /* read already, and to be sent as it came */
    return rc;
}

void hd_transform_end(struct hd_transforming *tr) {
    if (!tr)
        return;
    gw_view_close(&tr->view);
    json_index_free(&tr->index);
    b_text_free(&tr->request);
    b_text_free(&tr->answer);
    b_text_free(&tr->made);
}

__attribute__((noinline)) int hd_transform_request(struct exchange *ex, struct hd_transforming *tr,
                                                   struct http_request *out, struct up_client *client) {
    const struct hd_transform *t = tr->t;
    struct http_fields *f = &out->fields;
    if (t->response || t->error)
        http_fields_remove_set(f, HTTP_ID_BIT(HTTP_FIELD_ACCEPT_ENCODING) | HTTP_ID_BIT(HTTP_FIELD_RANGE));
    if (!tr->body.len)
        return 0;
    out->body = HTTP_BODY_LENGTH;
    out->content_length = tr->body.len;
    gw_send_whole(client, &tr->body);
    if (!t->request)
        return 0;
    http_fields_remove(f, HTTP_FIELD_CONTENT_ENCODING);
    return http_fields_set_id(&ex->call.arena, f, HTTP_FIELD_CONTENT_TYPE, B_LIT("application/json"))
               ? -HTTP_E_OUT_OF_MEMORY
               : 0;
}

bool hd_transform_wants(const struct hd_transforming *tr, const struct exchange *ex, unsigned status) {
    if (ex->req.method == HTTP_METHOD_HEAD || status == 304)
        return false;
    return status >= 200 && status < 300 ? tr->t->response != NULL : tr->t->error != NULL;
}

/* ---- its answer ---- */

/* Fields that tell of the body as it was. */
static const uint64_t of_the_body = HTTP_ID_BIT(HTTP_FIELD_CONTENT_TYPE) |
                                    HTTP_ID_BIT(HTTP_FIELD_CONTENT_ENCODING) |
                                    HTTP_ID_BIT(HTTP_FIELD_CONTENT_LENGTH) |
                                    HTTP_ID_BIT(HTTP_FIELD_CONTENT_RANGE) | HTTP_ID_BIT(HTTP_FIELD_ETAG);

/* The fields are lent until the body is read. */
static int keep_fields(struct exchange *ex, const struct up_exchange *x, struct http_fields *kept) {
    struct b_arena *a = &ex->call.arena;
    struct http_fields from = x->res.fields;
    http_fields_strip_hop(&from);
    http_fields_remove_set(&from, of_the_body);
    kept->cap = (uint16_t)(from.count + 2);
    kept->at = b_arena_alloc(a, kept->cap * sizeof *kept->at);
    for (unsigned i = 0; kept->at && i < from.count; i++) {
        struct b_slice name = b_arena_copy(a, http_field_name(&from.at[i])),
                       value = b_arena_copy(a, http_field_value(&from.at[i]));
        if (!name.ptr || !value.ptr || http_fields_add(a, kept, name, value) != 0)
            return -HTTP_E_OUT_OF_MEMORY;
    }
    return kept->at && http_fields_add_id(a, kept, HTTP_FIELD_CONTENT_TYPE, B_LIT("application/json")) == 0
               ? 0
               : -HTTP_E_OUT_OF_MEMORY;
}

static int read_answer(struct exchange *ex, struct hd_transforming *tr, struct up_exchange *x, bool good) {
    struct json_fault fault;
    int rc = gw_take_answer(x, &ex->call, (size_t)tr->t->conf->max_response, &tr->answer);
    if (rc)
        return rc;
    rc = gw_index_json(&tr->index, b_text_slice(&tr->answer), true, &fault);
    if (rc == -EINVAL && good)
        return gw_error(ex, HTTP_E_UPSTREAM_BAD_JSON, "upstream %s: its answer is no JSON: %s, at byte %zu",
                        x->upstream->cluster->name, fault.why, fault.at);
    if (rc == -EINVAL)
        tr->index.count = 0; /* a page for people: null */
    return rc && rc != -EINVAL ? -HTTP_E_OUT_OF_MEMORY : 0;
}

__attribute__((noinline)) int hd_transform_answer(struct exchange *ex, struct hd_transforming *tr,
                                                  struct up_exchange *x) {
    const struct hd_transform *t = tr->t;
    struct json_operand *slots = tr->view.env.slots;
    unsigned status = x->res.status;
    bool good = status >= 200 && status < 300;
    struct http_fields fields = {0};
    char *number = b_arena_alloc(&ex->call.arena, B_U64_TEXT);
    int rc = number ? keep_fields(ex, x, &fields) : -HTTP_E_OUT_OF_MEMORY;
    rc = rc ? rc : read_answer(ex, tr, x, good && status != 204 && status != 205);
    if (rc)
        return rc;
    slots[t->status_slot] = json_operand_raw(b_slice(number, b_format_u64(number, status)));
    slots[t->response_slot] = json_operand_value(json_root(&tr->index));
    tr->made = b_text_heap(B_TAG_REQUESTS, BODY_MAX);
    b_text_reserve(&tr->made, tr->answer.len + 256);
    rc = gw_view_write(&tr->view, good ? t->response : t->error, &tr->made);
    b_text_char(&tr->made, '\n');
    rc = rc ? rc : tr->made.failed ? -HTTP_E_OUT_OF_MEMORY : gw_response(ex, (uint16_t)status, 0);
    if (rc)
        return rc;
    ex->res.status = status == 204 || status == 205 ? 200 : (uint16_t)status; /* there is a body now */
    ex->res.fields = fields;
    return gw_answer(ex, b_text_slice(&tr->made));
}
