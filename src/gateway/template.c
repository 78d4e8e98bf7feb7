#include "gateway/template.h"

#include <errno.h>

#include "base/number.h"
#include "config/nearest.h"
#include "gateway/gateway.h"
#include "gateway/jq.h"
#include "gateway/reference.h"
#include "runtime/offload.h"
#include "runtime/worker.h"
#include "json/unique.h"

#define JQ_INPUT_MAX ((size_t)64 << 20)

struct json_compiler gw_template_compiler(const struct gw_open *o) {
    return (struct json_compiler){.arena = o->arena, .find_table = gw_reference_find, .arg = o->snapshot};
}

/* ---- errors with their place ---- */

/* Where byte `at` of a part of a scalar's text stands; what YAML has folded or escaped is told by its begin alone. */
static size_t column_of(const struct cfg_node *node, struct b_slice part, size_t at) {
    if (node->raw.len != node->text.len)
        return node->column;
    bool inside = b_slice_within(part, node->text);
    return node->column + node->quoted + (inside ? (size_t)(part.ptr - node->text.ptr) : 0) + at;
}

static void *failed(struct json_compiler *c, struct cfg_errors *errors, const struct cfg_node *node,
                    struct b_slice part) {
    if (c->no_memory) {
        cfg_error_memory(errors);
        return NULL;
    }
    cfg_error_pos(errors, node->file, node->line, column_of(node, part, c->at), "%s", c->why);
    return NULL;
}

struct json_node *gw_template_text(struct json_compiler *c, struct cfg_errors *errors, struct b_slice text,
                                   const struct cfg_node *node) {
    c->line = node->line;
    struct json_node *n = json_interpolation(c, text);
    return n ? n : failed(c, errors, node, text);
}

struct json_node *gw_template_expression(struct json_compiler *c, struct cfg_errors *errors,
                                         struct b_slice text, const struct cfg_node *node) {
    c->line = node->line;
    struct json_node *n = json_expression(c, text);
    return n ? n : failed(c, errors, node, text);
}

int gw_template_name(struct json_compiler *c, struct cfg_errors *errors, struct b_slice name,
                     const char *what, const struct cfg_node *node) {
    int slot = json_slot_add(c, name);
    switch (slot) {
    case -EEXIST:
        return cfg_error_at(
            errors, node,
            "%s cannot be called \"%.*s\": the name stands for something else here (a parameter of the "
            "path, a call, a variable, or a word of the language)",
            what, B_FMT(name));
    case -EINVAL:
        return cfg_error_at(errors, node, "%s cannot be called \"%.*s\": a name is letters, digits, _ and -",
                            what, B_FMT(name));
    case -E2BIG: return cfg_error_at(errors, node, "there are more than %d names here", JSON_SLOTS_MAX);
    default: return slot;
    }
}

int gw_template_params(struct json_compiler *c, struct cfg_errors *errors, const struct cfg_route *route) {
    struct b_slice rest = route->match.path, name;
    while (gw_next_param(&rest, &name)) {
        int rc = gw_template_name(c, errors, name, "a parameter of the path", route->match.head.node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- nodes of the config ---- */

static bool is_literal(const struct cfg_node *n) {
    if (n->quoted)
        return false;
    if (b_slice_eq(n->text, B_LIT("true")) || b_slice_eq(n->text, B_LIT("false")))
        return true;
    return json_is_number(n->text);
}

static struct json_node *scalar(struct json_compiler *c, struct cfg_errors *errors,
                                const struct cfg_node *node) {
    struct json_node *n =
        is_literal(node) ? json_constant(c, node->text) : json_string_template(c, node->text);
    return n ? n : failed(c, errors, node, node->text);
}

/* The expression of a condition and the like: with or without its dollar. */
static struct json_node *expression_at(struct json_compiler *c, struct cfg_errors *errors,
                                       const struct cfg_node *node) {
    if (node->kind != CFG_SCALAR) {
        cfg_error_at(errors, node, "an expression is due here, as in `$order.total > 0`");
        return NULL;
    }
    return gw_template_expression(c, errors, node->text, node);
}

static bool only_keys(struct cfg_errors *errors, const struct cfg_node *node, const char *const *keys) {
    bool good = true;
    CFG_EACH_CHILD(child, node) {
        struct cfg_nearest nearest;
        bool known = false;
        cfg_nearest_init(&nearest, child->key);
        for (const char *const *k = keys; *k; k++) {
            known |= b_slice_eq(child->key, b_slice_cstr(*k));
            cfg_nearest_offer(&nearest, b_slice_cstr(*k));
        }
        if (known)
            continue;
        good = false;
        if (nearest.best.len)
            cfg_error_key(errors, child, "\"%.*s\" has no place beside \"%s\"; is it \"%.*s\"?",
                          B_FMT(child->key), keys[0], B_FMT(nearest.best));
        else
            cfg_error_key(errors, child, "\"%.*s\" has no place beside \"%s\"", B_FMT(child->key), keys[0]);
    }
    return good;
}

static struct json_node *template_at(struct json_compiler *c, struct cfg_errors *errors,
                                     const struct cfg_node *node, unsigned depth);

static struct json_node *each(struct json_compiler *c, struct cfg_errors *errors, const struct cfg_node *node,
                              unsigned depth) {
    static const char *const keys[] = {"$each", "$as", "$where", "$limit", "$do", NULL};
    const struct cfg_node *in = cfg_node_get(node, "$each"), *as = cfg_node_get(node, "$as");
    const struct cfg_node *where = cfg_node_get(node, "$where"), *limit = cfg_node_get(node, "$limit");
    const struct cfg_node *body = cfg_node_get(node, "$do");
    if (!only_keys(errors, node, keys))
        return NULL;
    if (!as || as->kind != CFG_SCALAR || !body) {
        cfg_error_at(errors, node, "\"$each\" needs \"%s\": {$each: $array, $as: name, $do: ...}",
                     !as || as->kind != CFG_SCALAR ? "$as" : "$do");
        return NULL;
    }
    struct json_node *over = expression_at(c, errors, in);
    int slot = gw_template_name(c, errors, as->text, "a variable", as);
    if (slot < 0)
        return NULL;
    struct json_node *w = where ? expression_at(c, errors, where) : NULL;
    struct json_node *l = limit ? expression_at(c, errors, limit) : NULL;
    struct json_node *b = template_at(c, errors, body, depth);
    json_slot_drop(c, (unsigned)slot);
    c->uses &= ~((uint64_t)1 << slot);
    if (!over || !b || (where && !w) || (limit && !l))
        return NULL;
    return json_each(c, (unsigned)slot, over, w, l, b);
}

static struct json_node *condition(struct json_compiler *c, struct cfg_errors *errors,
                                   const struct cfg_node *node, unsigned depth) {
    static const char *const keys[] = {"$if", "$then", "$else", NULL};
    const struct cfg_node *then = cfg_node_get(node, "$then"), *otherwise = cfg_node_get(node, "$else");
    if (!only_keys(errors, node, keys))
        return NULL;
    if (!then) {
        cfg_error_at(errors, node, "\"$if\" needs \"$then\": {$if: $order.paid, $then: ..., $else: ...}");
        return NULL;
    }
    struct json_node *i = expression_at(c, errors, cfg_node_get(node, "$if"));
    struct json_node *t = template_at(c, errors, then, depth);
    struct json_node *e = otherwise ? template_at(c, errors, otherwise, depth) : NULL;
    return i && t && (e || !otherwise) ? json_if(c, i, t, e) : NULL;
}

static bool add(struct json_compiler *c, struct cfg_errors *errors, struct json_node *to,
                const struct b_slice *key, struct json_node *value) {
    if (!key) {
        json_array_add(to, value);
    } else if (!json_object_add(c, to, *key, value)) {
        cfg_error_memory(errors);
        return false;
    }
    return true;
}

static struct json_node *container(struct json_compiler *c, struct cfg_errors *errors,
                                   const struct cfg_node *node, unsigned depth) {
    bool map = node->kind == CFG_MAP;
    struct json_node *n = map ? json_object_template(c) : json_array_template(c);
    bool good = n != NULL;
    if (!n)
        cfg_error_memory(errors);
    CFG_EACH_CHILD(child, node) { /* all that is wrong is told */
        if (map && child->key.len && child->key.ptr[0] == '$') {
            cfg_error_key(errors, child, "\"%.*s\" is no word of templates; there are $each and $if",
                          B_FMT(child->key));
            good = false;
            continue;
        }
        struct json_node *value = n ? template_at(c, errors, child, depth) : NULL;
        good &= value != NULL;
        if (value && !add(c, errors, n, map ? &child->key : NULL, value))
            return NULL;
    }
    return good ? n : NULL;
}

static struct json_node *template_at(struct json_compiler *c, struct cfg_errors *errors,
                                     const struct cfg_node *node, unsigned depth) {
    c->line = node->line;
    c->why[0] = 0;
    if (depth == JSON_TEMPLATE_DEPTH_MAX) {
        cfg_error_at(errors, node, "a template is at most %d deep", JSON_TEMPLATE_DEPTH_MAX);
        return NULL;
    }
    switch (node->kind) {
    case CFG_MAP:
        if (cfg_node_get(node, "$each"))
            return each(c, errors, node, depth + 1);
        return cfg_node_get(node, "$if") ? condition(c, errors, node, depth + 1)
                                         : container(c, errors, node, depth + 1);
    case CFG_LIST: return container(c, errors, node, depth + 1);
    case CFG_SCALAR: return scalar(c, errors, node);
    case CFG_NULL: return json_constant(c, B_LIT("null"));
    default: return NULL; /* reported */
    }
}

struct json_node *gw_template(struct json_compiler *c, struct cfg_errors *errors,
                              const struct cfg_node *node) {
    return gw_jq_is(node) ? gw_jq_compile(c, errors, node) : template_at(c, errors, node, 0);
}

bool gw_template_fixed(const struct json_compiler *c, const struct json_node *n, struct b_text *out) {
    struct json_env env = {.slots = b_arena_zalloc(c->arena, JSON_SLOTS_MAX * sizeof *env.slots),
                           .arena = c->arena};
    if (c->uses || c->specials || c->uses_tables || json_foreign_of(n) || !env.slots)
        return false;
    json_evaluate(&env, n, out);
    return !env.why && !out->failed;
}

/* ---- what templates see of a request ---- */

/* A value between its escapes, and `+` for a blank in a query. ptr NULL: memory is short. */
static struct b_slice unescaped(struct b_arena *arena, struct b_slice s, bool query) {
    if (b_slice_find(s, '%') == s.len && (!query || b_slice_find(s, '+') == s.len))
        return s;
    char *out = b_arena_alloc(arena, s.len);
    size_t n = 0;
    for (size_t i = 0; out && i < s.len; i++) {
        uint64_t code;
        bool escape = s.ptr[i] == '%' && i + 2 < s.len && b_parse_hex(b_slice(s.ptr + i + 1, 2), &code);
        out[n++] = escape ? (char)code : query && s.ptr[i] == '+' ? ' ' : s.ptr[i];
        i += escape ? 2 : 0;
    }
    return b_slice(out, out ? n : 0);
}

/* What has been made for a template; its ptr NULL: memory is short. */
static struct json_operand made(struct gw_view *v, struct b_slice s, bool raw) {
    if (s.ptr)
        return raw ? json_operand_raw(s) : json_operand_text(s);
    v->env.why = v->env.why ? v->env.why : json_memory_is_short;
    return (struct json_operand){0};
}

/* The first parameter of that name. */
static struct json_operand parameter(struct gw_view *v, struct b_slice name) {
    struct b_slice rest = v->ex->req.query, pair;
    while (b_slice_next(&rest, '&', &pair)) {
        size_t at = b_slice_find(pair, '=');
        struct b_slice key = unescaped(v->env.arena, b_slice(pair.ptr, at), true);
        if (!key.ptr)
            return made(v, key, false);
        if (!b_slice_eq(key, name))
            continue;
        struct b_slice value = at < pair.len ? b_slice_from(pair, at + 1) : b_slice("", 0);
        return made(v, unescaped(v->env.arena, value, true), false);
    }
    return (struct json_operand){0};
}

static struct json_operand header(const struct gw_view *v, struct b_slice name) {
    const struct http_field *f = http_fields_find_name(&v->ex->req.fields, name);
    return f ? json_operand_text(http_field_value(f)) : (struct json_operand){0};
}

static struct json_operand clock_now(struct gw_view *v) {
    char text[B_U64_TEXT];
    size_t n = b_format_u64(text, (uint64_t)(rt_wall_clock() / RT_MS));
    return made(v, b_arena_copy(v->env.arena, b_slice(text, n)), true);
}

static struct json_operand special(void *arg, enum json_special what, struct b_slice name) {
    struct gw_view *v = arg;
    const struct http_request *r = &v->ex->req;
    switch (what) {
    case JSON_REQUEST_ID: return made(v, gw_request_id(v->ex), false);
    case JSON_REQUEST_METHOD: return json_operand_text(r->method_text);
    case JSON_REQUEST_PATH: return json_operand_text(r->path);
    case JSON_REQUEST_QUERY: return name.len ? parameter(v, name) : json_operand_text(r->query);
    case JSON_REQUEST_HEADER: return header(v, name);
    case JSON_REQUEST_BODY: return json_operand_value(json_root(&v->body));
    case JSON_NOW: return clock_now(v);
    case JSON_MISSING_NAMES: return json_operand_raw(v->missing.len ? v->missing : B_LIT("[]"));
    default: return (struct json_operand){0};
    }
}

static struct json_value row(void *arg, unsigned table, struct b_slice key) {
    const struct gw_view *v = arg;
    return gw_rows_find(atomic_load_explicit(&v->ex->snapshot->references[table].table->rows,
                                             memory_order_acquire),
                        key);
}

/* ---- long texts ---- */

#define INDEX_HERE_MAX ((size_t)256 << 10) /* some 0.2 ms */

struct indexing {
    struct json_index *x;
    struct b_slice text;
    struct json_fault *fault;
    struct b_hash_key key;
    bool unique;
    int rc;
};

static void index_text(void *arg) {
    struct indexing *i = arg;
    i->rc = json_index(i->x, i->text, i->fault);
    if (i->rc == 0 && i->unique)
        i->rc = json_unique_keys(i->x, i->key, i->fault);
}

int gw_index_json(struct json_index *x, struct b_slice text, bool unique, struct json_fault *fault) {
    struct indexing i = {.x = x, .text = text, .fault = fault, .unique = unique};
    i.key = (struct b_hash_key){b_rng_next(&rt_self()->rng), b_rng_next(&rt_self()->rng)};
    if (text.len <= INDEX_HERE_MAX || rt_offload(index_text, &i) != 0)
        rt_on_big_stack(index_text, &i);
    rt_charge((int64_t)text.len * 2); /* about what copying that much costs */
    return i.rc;
}

/* ---- views ---- */

int gw_bad_json(struct exchange *ex, const struct json_fault *f) {
    return gw_error(ex, HTTP_E_BAD_JSON, "%s, at byte %zu of the body (line %zu, column %zu)", f->why, f->at,
                    f->line, f->column);
}

static int read_json(struct gw_view *v) {
    struct json_fault fault = {0};
    v->body_text = b_text_heap(B_TAG_REQUESTS, (size_t)1 << 31);
    int rc = gw_read_whole_body(v->ex, &v->body_text);
    if (rc)
        return rc;
    rc = gw_index_json(&v->body, b_text_slice(&v->body_text), true, &fault);
    if (rc == -EINVAL)
        return gw_bad_json(v->ex, &fault);
    return rc == -E2BIG ? -HTTP_E_BODY_TOO_LARGE : rc ? -HTTP_E_OUT_OF_MEMORY : 0;
}

int gw_view_open(struct gw_view *v, struct exchange *ex, unsigned count, uint32_t specials) {
    struct json_operand *slots = b_arena_zalloc(&ex->call.arena, count * sizeof *slots);
    *v = (struct gw_view){
        .ex = ex,
        .env = {.slots = slots, .special = special, .row = row, .arg = v, .arena = &ex->call.arena},
        .body = {.tag = B_TAG_REQUESTS}};
    if (!slots)
        return -HTTP_E_OUT_OF_MEMORY;
    for (unsigned i = 0; i < ex->route->param_count; i++)
        slots[i] = made(v, unescaped(&ex->call.arena, ex->params[i], false), false);
    if (v->env.why)
        return -HTTP_E_OUT_OF_MEMORY;
    return specials & 1u << JSON_REQUEST_BODY ? read_json(v) : 0;
}

void gw_view_close(struct gw_view *v) {
    json_index_free(&v->body);
    b_text_free(&v->body_text);
}

struct evaluation {
    struct gw_view *view;
    const struct json_node *node;
    int place; /* or: */
    struct b_text *out;
    struct json_operand value;
};
enum { AS_JSON = -1, AS_VALUE = -2 };

static void evaluate(void *arg) {
    struct evaluation *e = arg;
    if (e->place == AS_VALUE)
        e->value = json_evaluate_operand(&e->view->env, e->node);
    else if (e->place == AS_JSON)
        json_evaluate(&e->view->env, e->node, e->out);
    else
        json_evaluate_text(&e->view->env, e->node, (enum json_place)e->place, e->out);
}

/* On the big stack: it goes as deep as the template does, and formats numbers. */
static int run(struct evaluation *e) {
    struct gw_view *v = e->view;
    v->env.why = NULL;
    rt_on_big_stack(evaluate, e);
    if (v->env.why == json_memory_is_short)
        return -HTTP_E_OUT_OF_MEMORY;
    if (v->env.why)
        return gw_error(v->ex, HTTP_E_TEMPLATE_FAILED, "template at line %u: %s", v->env.line, v->env.why);
    return e->out && e->out->failed ? -HTTP_E_OUT_OF_MEMORY : 0;
}

static int write_by_jq(struct gw_view *v, const struct json_node *n, struct b_text *out) {
    struct b_text input = b_text_heap(B_TAG_REQUESTS, JQ_INPUT_MAX);
    struct evaluation e = {.view = v, .node = n, .place = AS_JSON, .out = &input};
    int rc = run(&e);
    rc = rc ? rc : gw_jq_run(v->ex, json_foreign_of(n), b_text_slice(&input), out);
    b_text_free(&input);
    return rc;
}

int gw_view_write(struct gw_view *v, const struct json_node *n, struct b_text *out) {
    if (json_foreign_of(n))
        return write_by_jq(v, n, out);
    struct evaluation e = {.view = v, .node = n, .place = AS_JSON, .out = out};
    return run(&e);
}

int gw_view_text(struct gw_view *v, const struct json_node *n, enum json_place place, struct b_text *out) {
    struct evaluation e = {.view = v, .node = n, .place = (int)place, .out = out};
    return run(&e);
}

int gw_view_value(struct gw_view *v, const struct json_node *n, struct json_operand *out) {
    struct evaluation e = {.view = v, .node = n, .place = AS_VALUE};
    int rc = run(&e);
    *out = rc ? (struct json_operand){0} : e.value;
    return rc;
}
