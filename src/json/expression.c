/* Templates, compiled: the text of expressions into nodes. Recursive descent, with a limit on the depth. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "json/template_internal.h"
#include "json/writer.h"

/* ---- nodes ---- */

struct json_node *json_node_new(struct json_compiler *c, enum json_node_kind kind) {
    struct json_node *n = b_arena_zalloc(c->arena, sizeof *n);
    if (!n) {
        c->no_memory = true;
        return NULL;
    }
    n->kind = kind;
    n->line = c->line;
    return n;
}

void json_node_add(struct json_node *parent, struct json_node *child) {
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static struct json_node *with_children(struct json_compiler *c, enum json_node_kind kind, struct json_node *a,
                                       struct json_node *b) {
    struct json_node *n = a && b ? json_node_new(c, kind) : NULL;
    if (!n)
        return NULL;
    json_node_add(n, a);
    json_node_add(n, b);
    return n;
}

/* ---- names ---- */

static bool is_name_char(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && (b_is_digit(c) || c == '-'));
}

static size_t name_length(struct b_slice s) {
    size_t n = 0;
    while (n < s.len && is_name_char(s.ptr[n], n == 0))
        n++;
    return n;
}

static bool is_reserved(struct b_slice name) {
    static const char *const words[] = {"request", "now", "missing", "tables", "true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (b_slice_eq(name, b_slice_cstr(words[i])))
            return true;
    return false;
}

static int find_slot(const struct json_compiler *c, struct b_slice name) {
    for (unsigned i = 0; i < c->slots; i++)
        if (c->names[i].len && b_slice_eq(c->names[i], name))
            return (int)i;
    return -ENOENT;
}

int json_slot_add(struct json_compiler *c, struct b_slice name) {
    if (!name.len || name_length(name) != name.len)
        return -EINVAL;
    if (is_reserved(name) || find_slot(c, name) >= 0)
        return -EEXIST;
    if (c->slots == JSON_SLOTS_MAX)
        return -E2BIG;
    c->names[c->slots] = name;
    return (int)c->slots++;
}

void json_slot_drop(struct json_compiler *c, unsigned slot) {
    c->names[slot] = b_slice(NULL, 0);
}

/* ---- the parser ---- */

struct parser {
    struct json_compiler *c;
    struct b_slice text;
    size_t at;
    unsigned depth;
};

static struct json_node *fail(struct parser *p, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static struct json_node *fail(struct parser *p, size_t at, const char *fmt, ...) {
    va_list ap;
    if (p->c->why[0] || p->c->no_memory)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p->c->why, sizeof p->c->why, fmt, ap);
    va_end(ap);
    p->c->at = at;
    return NULL;
}

static char peek(const struct parser *p) {
    return p->at < p->text.len ? p->text.ptr[p->at] : 0;
}

static void skip_space(struct parser *p) {
    while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\n')
        p->at++;
}

static bool take(struct parser *p, const char *token) {
    skip_space(p);
    if (!b_slice_starts(b_slice_from(p->text, p->at), b_slice_cstr(token)))
        return false;
    p->at += strlen(token);
    return true;
}

static struct b_slice take_name(struct parser *p) {
    struct b_slice rest = b_slice_from(p->text, p->at);
    rest.len = name_length(rest);
    p->at += rest.len;
    return rest;
}

static struct json_node *parse_or(struct parser *p);

static struct json_node *text_constant(struct parser *p, struct b_slice text) {
    struct json_node *n = json_node_new(p->c, JSON_N_CONSTANT);
    struct b_text json = b_text_heap(B_TAG_CONFIG, 6 * text.len + 2);
    json_write_string(&json, text);
    if (n) {
        n->operand = json_operand_text(text);
        n->text = b_arena_copy(p->c->arena, b_text_slice(&json));
        p->c->no_memory |= json.failed || !n->text.ptr;
    }
    b_text_free(&json);
    return p->c->no_memory ? NULL : n;
}

static struct json_node *parse_quoted(struct parser *p) {
    size_t from = p->at;
    char quote = p->text.ptr[p->at++];
    size_t begin = p->at;
    while (p->at < p->text.len && p->text.ptr[p->at] != quote)
        p->at++;
    if (p->at == p->text.len)
        return fail(p, from, "the text that begins here has no end: %c is missing", quote);
    return text_constant(p, b_slice(p->text.ptr + begin, p->at++ - begin));
}

static struct json_node *raw_constant(struct parser *p, struct b_slice json) {
    struct json_node *n = json_node_new(p->c, JSON_N_CONSTANT);
    if (n) {
        n->text = json;
        n->operand = json.ptr[0] == 't' || json.ptr[0] == 'f'
                         ? (struct json_operand){.kind = JSON_OPERAND_BOOL, .truth = json.ptr[0] == 't'}
                     : json.ptr[0] == 'n' ? (struct json_operand){.kind = JSON_OPERAND_NULL}
                                          : json_operand_raw(json);
    }
    return n;
}

static struct json_node *parse_number(struct parser *p) {
    size_t from = p->at;
    while (p->at < p->text.len && (b_is_digit(peek(p)) || strchr("+-.eE", peek(p))))
        p->at++;
    struct b_slice s = b_slice(p->text.ptr + from, p->at - from);
    return json_is_number(s) ? raw_constant(p, s) : fail(p, from, "\"%.*s\" is no number", B_FMT(s));
}

/* ---- references ---- */

/* `.name`, `[3]`, `["name"]`, `[expression]`; NULL without failure at the end of the reference. */
static struct json_node *parse_step(struct parser *p) {
    size_t from = p->at;
    struct json_node *n;
    if (peek(p) == '.') {
        p->at++;
        struct b_slice name = take_name(p);
        if (!name.len)
            return fail(p, from, "a name is missing after the dot");
        if ((n = json_node_new(p->c, JSON_N_MEMBER)))
            n->text = name;
        return n;
    }
    if (peek(p) != '[')
        return NULL;
    p->at++;
    struct json_node *inner = parse_or(p);
    if (inner && !take(p, "]"))
        return fail(p, from, "the bracket that begins here has no end: ] is missing");
    if (!inner)
        return NULL;
    if (inner->kind == JSON_N_CONSTANT && inner->operand.kind == JSON_OPERAND_TEXT) {
        inner->kind = JSON_N_MEMBER;
        inner->text = inner->operand.text;
        return inner;
    }
    if (inner->kind == JSON_N_CONSTANT) {
        double d = inner->operand.kind == JSON_OPERAND_RAW ? json_double_of(inner->text) : -1;
        if (!(d >= 0 && d <= 1e9) || d != (double)(uint32_t)d)
            return fail(p, from, "a place in an array is a whole number from 0 on");
        inner->kind = JSON_N_ITEM;
        inner->number = (uint32_t)d;
        return inner;
    }
    if ((n = json_node_new(p->c, JSON_N_AT)))
        json_node_add(n, inner);
    return n;
}

static bool parse_steps(struct parser *p, struct json_node *ref) {
    struct json_node *step;
    while ((step = parse_step(p)))
        json_node_add(ref, step);
    return !p->c->why[0] && !p->c->no_memory;
}

static const struct {
    const char *name;
    enum json_special special;
    bool named, may_be_named;
} request_words[] = {
    {"id", JSON_REQUEST_ID, false, false},       {"method", JSON_REQUEST_METHOD, false, false},
    {"path", JSON_REQUEST_PATH, false, false},   {"query", JSON_REQUEST_QUERY, false, true},
    {"header", JSON_REQUEST_HEADER, true, true}, {"body", JSON_REQUEST_BODY, false, false},
};

/* `.NAME` or `["NAME"]`; an empty slice when there is none. */
static struct b_slice special_name(struct parser *p) {
    struct json_node *step = parse_step(p);
    return step && step->kind == JSON_N_MEMBER ? step->text : b_slice(NULL, 0);
}

static struct json_node *special(struct parser *p, enum json_special what, struct b_slice name, bool steps) {
    struct json_node *n = json_node_new(p->c, JSON_N_SPECIAL);
    if (!n)
        return NULL;
    n->number = what;
    n->text = name;
    p->c->specials |= 1u << what;
    return !steps || parse_steps(p, n) ? n : NULL;
}

static struct json_node *parse_request(struct parser *p, size_t from) {
    struct b_slice word = special_name(p);
    for (size_t i = 0; i < sizeof request_words / sizeof *request_words; i++) {
        if (!b_slice_eq(word, b_slice_cstr(request_words[i].name)))
            continue;
        struct b_slice name = b_slice(NULL, 0);
        if (request_words[i].may_be_named)
            name = special_name(p);
        if (request_words[i].named && !name.len)
            return fail(p, from, "say which header: $request.header.NAME");
        return special(p, request_words[i].special, name, request_words[i].special == JSON_REQUEST_BODY);
    }
    return fail(p, from, "of a request there are id, method, path, query, header.NAME and body");
}

static struct json_node *parse_now(struct parser *p, size_t from) {
    struct b_slice word = special_name(p);
    struct json_node *now = special(p, JSON_NOW, b_slice(NULL, 0), false);
    if (!now || !word.len || b_slice_eq(word, B_LIT("unix_ms")))
        return now;
    if (!b_slice_eq(word, B_LIT("rfc3339")))
        return fail(p, from, "the time comes as $now (unix milliseconds) or $now.rfc3339");
    struct json_node *n = json_node_new(p->c, JSON_N_FUNCTION);
    if (n) {
        n->function = json_function_find(B_LIT("time"));
        json_node_add(n, now);
    }
    return n;
}

/* tables.NAME[key], and steps into the row. */
static struct json_node *parse_row(struct parser *p, size_t from) {
    struct b_slice name = special_name(p);
    if (!name.len)
        return fail(p, from, "say which table, and which row: $tables.NAME[key]");
    int table = p->c->find_table ? p->c->find_table(p->c->arg, name) : -ENOENT;
    if (table < 0)
        return fail(p, from, "there is no table \"%.*s\"", B_FMT(name));
    if (peek(p) != '[')
        return fail(p, p->at, "say which row: $tables.%.*s[key]", B_FMT(name));
    p->at++;
    struct json_node *key = parse_or(p), *n = key ? json_node_new(p->c, JSON_N_ROW) : NULL;
    if (key && !take(p, "]"))
        return fail(p, p->at, "the key of a row ends in ]");
    if (!n)
        return NULL;
    n->number = (uint32_t)table;
    p->c->uses_tables = true;
    json_node_add(n, key);
    return parse_steps(p, n) ? n : NULL;
}

static struct json_node *unknown_name(struct parser *p, size_t from, struct b_slice name) {
    char list[96];
    struct b_text known = b_text_fixed(list, sizeof list - 1);
    for (unsigned i = 0; i < p->c->slots; i++) {
        if (!p->c->names[i].len || known.cap - known.len < p->c->names[i].len + 2)
            continue;
        if (known.len)
            b_text_lit(&known, ", ");
        b_text_slice_add(&known, p->c->names[i]);
    }
    if (!known.len)
        return fail(p, from, "nothing here is called \"%.*s\"", B_FMT(name));
    return fail(p, from, "nothing here is called \"%.*s\"; there are %.*s", B_FMT(name), (int)known.len,
                list);
}

/* What stands between constants alone is tried now, so that a wrong use is found with its place, and before any request. */
static struct json_node *tried(struct parser *p, struct json_node *n, size_t from) {
    struct json_env env = {.arena = p->c->arena};
    if (!n)
        return NULL;
    for (const struct json_node *a = n->first; a; a = a->next)
        if (a->kind != JSON_N_CONSTANT)
            return n;
    if (n->first)
        (void)json_evaluate_operand(&env, n);
    return env.why && env.why != json_memory_is_short ? fail(p, from, "%s", env.why) : n;
}

static struct json_node *parse_call(struct parser *p, struct b_slice name, size_t from) {
    const struct json_function *f = json_function_find(name);
    if (!f)
        return fail(p, from, "there is no function \"%.*s\"", B_FMT(name));
    struct json_node *n = json_node_new(p->c, JSON_N_FUNCTION);
    unsigned count = 0;
    if (!n)
        return NULL;
    n->function = f;
    while (!take(p, ")")) {
        if (count && !take(p, ","))
            return fail(p, p->at, "a comma or ) is missing after an argument of %s", f->name);
        struct json_node *argument = parse_or(p);
        if (!argument)
            return NULL;
        if (++count > f->most)
            return fail(p, from, "%s takes at most %u argument%s", f->name, f->most, f->most == 1 ? "" : "s");
        json_node_add(n, argument);
    }
    return count >= f->least
               ? tried(p, n, from)
               : fail(p, from, "%s takes %u argument%s or more", f->name, f->least, f->least == 1 ? "" : "s");
}

/* A reference, a function or a word. */
static struct json_node *parse_named(struct parser *p) {
    size_t from = p->at;
    bool dollar = peek(p) == '$';
    p->at += dollar;
    struct b_slice name = take_name(p);
    if (!name.len)
        return fail(p, from, dollar ? "a name is missing after the dollar" : "a value is missing here");
    if (peek(p) == '(') {
        p->at++;
        return parse_call(p, name, from);
    }
    int slot = find_slot(p->c, name);
    if (slot >= 0) {
        struct json_node *n = json_node_new(p->c, JSON_N_SLOT);
        if (!n)
            return NULL;
        n->number = (uint32_t)slot;
        p->c->uses |= (uint64_t)1 << slot;
        return parse_steps(p, n) ? n : NULL;
    }
    if (b_slice_eq(name, B_LIT("request")))
        return parse_request(p, from);
    if (b_slice_eq(name, B_LIT("now")))
        return parse_now(p, from);
    if (b_slice_eq(name, B_LIT("missing")))
        return special(p, JSON_MISSING_NAMES, b_slice(NULL, 0), true);
    if (b_slice_eq(name, B_LIT("tables")))
        return parse_row(p, from);
    if (!dollar && is_reserved(name))
        return raw_constant(p, name);
    return unknown_name(p, from, name);
}

/* ---- operators ---- */

static struct json_node *parse_primary(struct parser *p) {
    skip_space(p);
    char c = peek(p);
    if (c == '(') {
        size_t from = p->at++;
        struct json_node *n = parse_or(p);
        return !n || take(p, ")")
                   ? n
                   : fail(p, from, "the parenthesis that begins here has no end: ) is missing");
    }
    if (c == '\'' || c == '"')
        return parse_quoted(p);
    if (b_is_digit(c) || c == '-')
        return parse_number(p);
    return parse_named(p);
}

static struct json_node *parse_unary(struct parser *p) {
    skip_space(p);
    if (peek(p) != '!' || (p->at + 1 < p->text.len && p->text.ptr[p->at + 1] == '='))
        return parse_primary(p);
    p->at++;
    if (++p->depth > JSON_TEMPLATE_DEPTH_MAX)
        return fail(p, p->at, "this is nested deeper than %d", JSON_TEMPLATE_DEPTH_MAX);
    struct json_node *inner = parse_unary(p), *n = inner ? json_node_new(p->c, JSON_N_NOT) : NULL;
    p->depth--;
    if (n)
        json_node_add(n, inner);
    return n;
}

static struct json_node *parse_coalesce(struct parser *p) {
    struct json_node *n = parse_unary(p);
    while (n && take(p, "??"))
        n = with_children(p->c, JSON_N_COALESCE, n, parse_unary(p));
    return n;
}

static struct json_node *parse_comparison(struct parser *p) {
    static const struct {
        const char *token;
        enum json_node_kind kind;
    } ops[] = {{"==", JSON_N_EQ}, {"!=", JSON_N_NE}, {"<=", JSON_N_LE},
               {">=", JSON_N_GE}, {"<", JSON_N_LT},  {">", JSON_N_GT}};
    size_t from = p->at;
    struct json_node *n = parse_coalesce(p);
    for (size_t i = 0; n && i < sizeof ops / sizeof *ops; i++)
        if (take(p, ops[i].token))
            return tried(p, with_children(p->c, ops[i].kind, n, parse_coalesce(p)), from);
    return n;
}

static struct json_node *parse_and(struct parser *p) {
    struct json_node *n = parse_comparison(p);
    while (n && take(p, "&&"))
        n = with_children(p->c, JSON_N_AND, n, parse_comparison(p));
    return n;
}

static struct json_node *parse_or(struct parser *p) {
    if (++p->depth > JSON_TEMPLATE_DEPTH_MAX)
        return fail(p, p->at, "this is nested deeper than %d", JSON_TEMPLATE_DEPTH_MAX);
    struct json_node *n = parse_and(p);
    while (n && take(p, "||"))
        n = with_children(p->c, JSON_N_OR, n, parse_and(p));
    p->depth--;
    return n;
}

static void begin(struct json_compiler *c) {
    c->why[0] = 0;
    c->at = 0;
}

struct json_node *json_expression(struct json_compiler *c, struct b_slice text) {
    struct parser p = {.c = c, .text = text};
    begin(c);
    struct json_node *n = parse_or(&p);
    skip_space(&p);
    if (n && p.at < text.len)
        return fail(&p, p.at, "the expression ends before \"%.*s\"",
                    (int)(text.len - p.at < 20 ? text.len - p.at : 20), text.ptr + p.at);
    return n;
}

/* ---- texts ---- */

/* Text up to the next expression, `{{` made one. */
static bool add_literal(struct parser *p, struct json_node *out) {
    size_t from = p->at, n = 0;
    char *copy = b_arena_alloc(p->c->arena, p->text.len - from + 1);
    if (!copy) {
        p->c->no_memory = true;
        return false;
    }
    while (p->at < p->text.len) {
        char c = p->text.ptr[p->at];
        if (c == '{' && p->at + 1 < p->text.len && p->text.ptr[p->at + 1] == '{')
            p->at++;
        else if (c == '{')
            break;
        copy[n++] = c;
        p->at++;
    }
    struct json_node *literal = n ? text_constant(p, b_slice(copy, n)) : NULL;
    if (literal)
        json_node_add(out, literal);
    return !p->c->no_memory;
}

struct json_node *json_interpolation(struct json_compiler *c, struct b_slice text) {
    struct parser p = {.c = c, .text = text};
    struct json_node *out = json_node_new(c, JSON_N_TEXT);
    begin(c);
    while (out && p.at < text.len) {
        if (!add_literal(&p, out))
            return NULL;
        if (p.at == text.len)
            break;
        size_t from = p.at++;
        struct json_node *n = parse_or(&p);
        if (n && !take(&p, "}"))
            return fail(&p, from,
                        "the brace that begins here has no end: } is missing; a brace is written {{");
        if (!n)
            return NULL;
        json_node_add(out, n);
    }
    if (out && !out->first)
        return text_constant(&p, b_slice("", 0));
    if (out && out->first == out->last && out->first->kind == JSON_N_CONSTANT &&
        out->first->operand.kind == JSON_OPERAND_TEXT)
        return out->first;
    return out;
}

struct json_node *json_string_template(struct json_compiler *c, struct b_slice text) {
    if (text.len && text.ptr[0] == '$') {
        bool parenthesis = text.len > 1 && text.ptr[1] == '('; /* $(a == b): the dollar is of the whole */
        if (text.len == 1 || text.ptr[1] != '$')
            return json_expression(c, b_slice_from(text, parenthesis));
        text = b_slice_from(text, 1);
    }
    return json_interpolation(c, text);
}

/* ---- containers ---- */

struct json_node *json_constant(struct json_compiler *c, struct b_slice json) {
    struct parser p = {.c = c};
    json = b_arena_copy(c->arena, json);
    c->no_memory |= !json.ptr;
    return json.ptr ? raw_constant(&p, json) : NULL;
}

struct json_node *json_array_template(struct json_compiler *c) {
    return json_node_new(c, JSON_N_ARRAY);
}

struct json_node *json_object_template(struct json_compiler *c) {
    return json_node_new(c, JSON_N_OBJECT);
}

void json_array_add(struct json_node *array, struct json_node *item) {
    json_node_add(array, item);
}

bool json_object_add(struct json_compiler *c, struct json_node *object, struct b_slice key,
                     struct json_node *value) {
    struct b_text text = b_text_heap(B_TAG_CONFIG, 6 * key.len + 3);
    json_write_string(&text, key);
    b_text_char(&text, ':');
    value->key = b_arena_copy(c->arena, b_text_slice(&text));
    c->no_memory |= text.failed || !value->key.ptr;
    b_text_free(&text);
    json_node_add(object, value);
    return !c->no_memory;
}

struct json_node *json_if(struct json_compiler *c, struct json_node *condition, struct json_node *then,
                          struct json_node *otherwise) {
    struct json_node *n = with_children(c, JSON_N_IF, condition, then);
    if (n && otherwise)
        json_node_add(n, otherwise);
    return n;
}

struct json_node *json_each(struct json_compiler *c, unsigned slot, struct json_node *in,
                            struct json_node *where, struct json_node *limit, struct json_node *body) {
    struct json_node *n = with_children(c, JSON_N_EACH, in, body);
    if (!n)
        return NULL;
    n->number = slot;
    if (where)
        json_node_add(n, where);
    if (limit)
        json_node_add(n, limit);
    n->has_where = where != NULL;
    n->has_limit = limit != NULL;
    return n;
}

const struct json_node *json_sole_expression(const struct json_node *n) {
    bool sole = n->kind == JSON_N_TEXT && n->first == n->last && n->first->kind != JSON_N_CONSTANT;
    return sole ? n->first : NULL;
}
