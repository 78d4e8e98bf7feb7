/* Templates, evaluated. Nothing here waits; the depth of the calls is that of the template. */
#include <stdlib.h>

#include "base/escape.h"
#include "json/number.h"
#include "json/template_internal.h"
#include "json/writer.h"

static const struct json_operand null_operand = {.kind = JSON_OPERAND_NULL};

const char json_memory_is_short[] = "memory is short";

struct json_operand json_wrong_use(struct json_env *env, const struct json_node *n, const char *why) {
    if (!env->why) {
        env->why = why;
        env->line = n->line;
    }
    return null_operand;
}

void json_set_foreign(struct json_node *n, void *foreign) {
    n->foreign = foreign;
}

void *json_foreign_of(const struct json_node *n) {
    return n->foreign;
}

/* ---- what a value is ---- */

enum json_kind json_operand_kind(const struct json_operand *o) {
    switch (o->kind) {
    case JSON_OPERAND_BOOL: return o->truth ? JSON_TRUE : JSON_FALSE;
    case JSON_OPERAND_TEXT: return JSON_STRING;
    case JSON_OPERAND_RAW: return json_kind_of(o->text.ptr[0]);
    case JSON_OPERAND_VALUE: return json_kind(o->at);
    default: return JSON_NULL;
    }
}

bool json_truth(const struct json_operand *o) {
    enum json_kind kind = json_operand_kind(o);
    return kind != JSON_NULL && kind != JSON_FALSE;
}

static struct b_slice json_of(const struct json_operand *o) {
    return o->kind == JSON_OPERAND_VALUE ? json_slice(o->at) : o->text;
}

struct b_slice json_number_of(const struct json_operand *o) {
    return json_operand_kind(o) == JSON_NUMBER ? json_of(o) : b_slice(NULL, 0);
}

bool json_is_number(struct b_slice s) {
    const char *end = s.ptr + s.len;
    return s.len && json_end_of_number(s.ptr, end) == end;
}

double json_double_of(struct b_slice number) {
    char text[64];
    if (number.len >= sizeof text) {
        char *whole = b_strdup(B_TAG_REQUESTS, number.ptr, number.len);
        double d = whole ? strtod(whole, NULL) : 0;
        b_free(whole);
        return d;
    }
    memcpy(text, number.ptr, number.len);
    text[number.len] = 0;
    return strtod(text, NULL);
}

static struct b_slice decoded(struct json_env *env, struct json_value v) {
    struct b_slice text = json_text(v, env->arena);
    if (!text.ptr && !env->why)
        env->why = json_memory_is_short;
    return text;
}

struct b_slice json_text_of(struct json_env *env, const struct json_node *n, const struct json_operand *o) {
    switch (json_operand_kind(o)) {
    case JSON_STRING: return o->kind == JSON_OPERAND_VALUE ? decoded(env, o->at) : o->text;
    case JSON_NUMBER: return json_of(o);
    case JSON_TRUE: return B_LIT("true");
    case JSON_FALSE: return B_LIT("false");
    case JSON_OBJECT: json_wrong_use(env, n, "an object where a text is due"); break;
    case JSON_ARRAY: json_wrong_use(env, n, "an array where a text is due"); break;
    default: break;
    }
    return b_slice("", 0);
}

/* ---- references ---- */

/* What has been put together and is gone into: an array or object that is no indexed text. It is rare ($missing). */
static struct json_operand into_raw(struct json_env *env, const struct json_node *n) {
    return json_wrong_use(env, n, "this value can be used as a whole only");
}

static struct json_operand member(struct json_env *env, const struct json_node *n,
                                  const struct json_operand *o, struct b_slice key) {
    enum json_kind kind = json_operand_kind(o);
    if (kind == JSON_NULL)
        return null_operand;
    if (kind != JSON_OBJECT)
        return json_wrong_use(env, n,
                              kind == JSON_ARRAY ? "an array where an object is due"
                                                 : "no object, so it has no members");
    return o->kind == JSON_OPERAND_VALUE ? json_operand_value(json_member(o->at, key)) : into_raw(env, n);
}

static struct json_operand item(struct json_env *env, const struct json_node *n, const struct json_operand *o,
                                size_t number) {
    enum json_kind kind = json_operand_kind(o);
    if (kind == JSON_NULL)
        return null_operand;
    if (kind != JSON_ARRAY)
        return json_wrong_use(env, n,
                              kind == JSON_OBJECT ? "an object where an array is due"
                                                  : "no array, so it has no items");
    return o->kind == JSON_OPERAND_VALUE ? json_operand_value(json_item(o->at, number)) : into_raw(env, n);
}

static struct json_operand at(struct json_env *env, const struct json_node *n, const struct json_operand *o) {
    struct json_operand key = json_evaluate_operand(env, n->first);
    switch (json_operand_kind(&key)) {
    case JSON_NULL: return null_operand;
    case JSON_STRING: return member(env, n, o, json_text_of(env, n, &key));
    case JSON_NUMBER: break;
    default: return json_wrong_use(env, n, "in brackets stands a text or a number");
    }
    if (json_operand_kind(o) == JSON_OBJECT)
        return member(env, n, o, json_number_of(&key));
    double d = json_double_of(json_number_of(&key));
    if (!(d >= 0 && d <= 1e9))
        return null_operand;
    return item(env, n, o, (size_t)d);
}

static struct json_operand follow(struct json_env *env, const struct json_node *ref,
                                  const struct json_node *s, struct json_operand o) {
    for (; s && !env->why; s = s->next)
        o = s->kind == JSON_N_MEMBER ? member(env, ref, &o, s->text)
            : s->kind == JSON_N_ITEM ? item(env, ref, &o, s->number)
                                     : at(env, s, &o);
    return o;
}

static struct json_operand row(struct json_env *env, const struct json_node *n) {
    struct json_operand key = json_evaluate_operand(env, n->first);
    enum json_kind kind = json_operand_kind(&key);
    if (kind == JSON_NULL || !env->row)
        return null_operand;
    if (kind != JSON_STRING && kind != JSON_NUMBER)
        return json_wrong_use(env, n, "the key of a row is a text or a number");
    return json_operand_value(env->row(env->arg, n->number, json_text_of(env, n, &key)));
}

static struct json_operand fetch(struct json_env *env, const struct json_node *n) {
    if (n->kind == JSON_N_SLOT)
        return env->slots[n->number];
    return env->special ? env->special(env->arg, (enum json_special)n->number, n->text) : null_operand;
}

/* ---- operators ---- */

static struct json_operand boolean(bool b) {
    return (struct json_operand){.kind = JSON_OPERAND_BOOL, .truth = b};
}

static bool equal(struct json_env *env, const struct json_node *n, const struct json_operand *a,
                  const struct json_operand *b) {
    enum json_kind kind = json_operand_kind(a);
    if (kind != json_operand_kind(b))
        return false;
    switch (kind) {
    case JSON_STRING: return b_slice_eq(json_text_of(env, n, a), json_text_of(env, n, b));
    case JSON_NUMBER:
        return b_slice_eq(json_of(a), json_of(b)) || json_double_of(json_of(a)) == json_double_of(json_of(b));
    case JSON_ARRAY:
    case JSON_OBJECT: json_wrong_use(env, n, "arrays and objects cannot be compared"); return false;
    default: return true;
    }
}

/* <, <=, >, >=: numbers, or texts by their bytes; with null nothing is true. */
static bool ordered(struct json_env *env, const struct json_node *n, const struct json_operand *a,
                    const struct json_operand *b) {
    enum json_kind kind = json_operand_kind(a);
    if (kind == JSON_NULL || json_operand_kind(b) == JSON_NULL)
        return false;
    double order = 0;
    if (kind == JSON_NUMBER && json_operand_kind(b) == JSON_NUMBER) {
        double x = json_double_of(json_of(a)), y = json_double_of(json_of(b));
        order = x < y ? -1 : x > y;
    } else if (kind == JSON_STRING && json_operand_kind(b) == JSON_STRING) {
        order = b_slice_compare(json_text_of(env, n, a), json_text_of(env, n, b));
    } else {
        json_wrong_use(env, n, "only two numbers or two texts have an order");
    }
    return n->kind == JSON_N_LT   ? order < 0
           : n->kind == JSON_N_LE ? order <= 0
           : n->kind == JSON_N_GT ? order > 0
                                  : order >= 0;
}

static struct json_operand binary(struct json_env *env, const struct json_node *n) {
    struct json_operand a = json_evaluate_operand(env, n->first);
    switch (n->kind) {
    case JSON_N_COALESCE: return json_operand_kind(&a) == JSON_NULL ? json_evaluate_operand(env, n->last) : a;
    case JSON_N_AND:
        if (!json_truth(&a))
            return boolean(false);
        break;
    case JSON_N_OR:
        if (json_truth(&a))
            return boolean(true);
        break;
    default: break;
    }
    struct json_operand b = json_evaluate_operand(env, n->last);
    switch (n->kind) {
    case JSON_N_AND:
    case JSON_N_OR: return boolean(json_truth(&b));
    case JSON_N_EQ: return boolean(equal(env, n, &a, &b));
    case JSON_N_NE: return boolean(!equal(env, n, &a, &b));
    default: return boolean(ordered(env, n, &a, &b));
    }
}

static struct json_operand call(struct json_env *env, const struct json_node *n) {
    struct json_operand arguments[JSON_ARGUMENTS_MAX];
    unsigned count = 0;
    for (const struct json_node *a = n->first; a; a = a->next)
        arguments[count++] = json_evaluate_operand(env, a);
    return env->why ? null_operand : n->function->run(env, n, arguments, count);
}

static struct json_operand interpolated(struct json_env *env, const struct json_node *n) {
    struct b_text text = b_text_heap(B_TAG_REQUESTS, 1 << 20);
    json_evaluate_text(env, n, JSON_IN_TEXT, &text);
    struct b_slice copy = b_arena_copy(env->arena, b_text_slice(&text));
    if (text.failed || !copy.ptr)
        json_wrong_use(env, n, text.no_memory || !copy.ptr ? json_memory_is_short : "the text is too long");
    b_text_free(&text);
    return env->why ? null_operand : json_operand_text(copy);
}

static const struct json_node *chosen(struct json_env *env, const struct json_node *n) {
    struct json_operand condition = json_evaluate_operand(env, n->first);
    const struct json_node *then = n->first->next;
    return json_truth(&condition) ? then : then->next;
}

struct json_operand json_evaluate_operand(struct json_env *env, const struct json_node *n) {
    if (env->why)
        return null_operand;
    switch (n->kind) {
    case JSON_N_CONSTANT: return n->operand;
    case JSON_N_SLOT:
    case JSON_N_SPECIAL: return follow(env, n, n->first, fetch(env, n));
    case JSON_N_ROW: return follow(env, n, n->first->next, row(env, n));
    case JSON_N_TEXT: return interpolated(env, n);
    case JSON_N_NOT: {
        struct json_operand o = json_evaluate_operand(env, n->first);
        return boolean(!json_truth(&o));
    }
    case JSON_N_IF: {
        const struct json_node *c = chosen(env, n);
        return c ? json_evaluate_operand(env, c) : null_operand;
    }
    case JSON_N_FUNCTION: return call(env, n);
    case JSON_N_ARRAY:
    case JSON_N_OBJECT:
    case JSON_N_EACH:
    case JSON_N_MEMBER:
    case JSON_N_ITEM:
    case JSON_N_AT: return json_wrong_use(env, n, "a list or map cannot stand here");
    default: return binary(env, n);
    }
}

/* ---- writing ---- */

static void write_operand(const struct json_operand *o, struct b_text *out) {
    switch (o->kind) {
    case JSON_OPERAND_NULL: b_text_lit(out, "null"); break;
    case JSON_OPERAND_BOOL: b_text_cstr(out, o->truth ? "true" : "false"); break;
    case JSON_OPERAND_TEXT: json_write_string(out, o->text); break;
    default: b_text_slice_add(out, json_of(o)); break;
    }
}

static void write_text(struct json_env *env, const struct json_node *n, struct b_text *out) {
    b_text_char(out, '"');
    for (const struct json_node *part = n->first; part && !env->why; part = part->next) {
        struct json_operand o = json_evaluate_operand(env, part);
        json_write_escaped(out, json_text_of(env, part, &o));
    }
    b_text_char(out, '"');
}

static void write_members(struct json_env *env, const struct json_node *n, struct b_text *out) {
    for (const struct json_node *child = n->first; child && !env->why; child = child->next) {
        if (child != n->first)
            b_text_char(out, ',');
        b_text_slice_add(out, child->key);
        json_evaluate(env, child, out);
    }
}

/* How many items a `$limit` lets through. */
static uint64_t limit_of(struct json_env *env, const struct json_node *n) {
    struct json_operand o = json_evaluate_operand(env, n);
    if (json_operand_kind(&o) == JSON_NULL)
        return UINT64_MAX;
    struct b_slice number = json_number_of(&o);
    double d = number.ptr ? json_double_of(number) : -1;
    if (!(d >= 0))
        json_wrong_use(env, n, "$limit is a number from 0 on");
    return d >= 1e15 ? UINT64_MAX : d >= 0 ? (uint64_t)d : 0;
}

static void write_each(struct json_env *env, const struct json_node *n, struct b_text *out) {
    const struct json_node *body = n->first->next, *more = body->next;
    const struct json_node *where = n->has_where ? more : NULL, *limit = n->has_limit ? n->last : NULL;
    struct json_operand in = json_evaluate_operand(env, n->first), *slot = &env->slots[n->number];
    uint64_t left = limit ? limit_of(env, limit) : UINT64_MAX;
    enum json_kind kind = json_operand_kind(&in);
    bool first = true;
    b_text_char(out, '[');
    if (kind != JSON_NULL && (kind != JSON_ARRAY || in.kind != JSON_OPERAND_VALUE))
        json_wrong_use(env, n, "$each goes through an array, and this is none");
    struct json_value v = kind == JSON_NULL ? in.at : json_first(in.at);
    for (; kind == JSON_ARRAY && v.index && left && !env->why && !out->failed; v = json_next(v)) {
        *slot = json_operand_value(v);
        struct json_operand wanted = where ? json_evaluate_operand(env, where) : boolean(true);
        if (!json_truth(&wanted))
            continue;
        if (!first)
            b_text_char(out, ',');
        first = false;
        left--;
        json_evaluate(env, body, out);
    }
    b_text_char(out, ']');
}

/* The value that a reference of slots and members alone leads to, which are most; missing: it takes a closer look. */
static struct json_value plain_reference(const struct json_env *env, const struct json_node *n) {
    const struct json_operand *slot = &env->slots[n->number];
    struct json_value v = {0};
    if (slot->kind != JSON_OPERAND_VALUE)
        return v;
    v = slot->at;
    for (const struct json_node *s = n->first; s && v.index; s = s->next)
        v = s->kind == JSON_N_MEMBER ? json_member(v, s->text) : (struct json_value){0};
    return v;
}

void json_evaluate(struct json_env *env, const struct json_node *n, struct b_text *out) {
    if (n->kind == JSON_N_SLOT && !env->why) {
        struct json_value v = plain_reference(env, n);
        if (v.index) {
            b_text_slice_add(out, json_slice(v));
            return;
        }
    }
    switch (n->kind) {
    case JSON_N_CONSTANT: b_text_slice_add(out, n->text); break;
    case JSON_N_TEXT: write_text(env, n, out); break;
    case JSON_N_ARRAY:
    case JSON_N_OBJECT:
        b_text_char(out, n->kind == JSON_N_ARRAY ? '[' : '{');
        write_members(env, n, out);
        b_text_char(out, n->kind == JSON_N_ARRAY ? ']' : '}');
        break;
    case JSON_N_EACH: write_each(env, n, out); break;
    case JSON_N_IF: {
        const struct json_node *c = chosen(env, n);
        if (c)
            json_evaluate(env, c, out);
        else
            b_text_lit(out, "null");
        break;
    }
    default: {
        struct json_operand o = json_evaluate_operand(env, n);
        write_operand(&o, out);
        break;
    }
    }
}

/* ---- texts ---- */

static bool is_no_segment(struct b_slice s) {
    return !s.len || b_slice_eq(s, B_LIT(".")) || b_slice_eq(s, B_LIT(".."));
}

static void write_part(struct json_env *env, const struct json_node *part, enum json_place place,
                       struct b_text *out) {
    struct json_operand o = json_evaluate_operand(env, part);
    struct b_slice s = json_text_of(env, part, &o);
    if (place == JSON_IN_TEXT || part->kind == JSON_N_CONSTANT) {
        b_text_slice_add(out, s);
        return;
    }
    if (place == JSON_IN_PATH && json_operand_kind(&o) == JSON_NULL)
        json_wrong_use(env, part, "a value of the path is null");
    else if (place == JSON_IN_PATH && is_no_segment(s))
        json_wrong_use(env, part, "a value of the path is empty, or a dot segment");
    b_text_query(out, s);
}

void json_evaluate_text(struct json_env *env, const struct json_node *n, enum json_place place,
                        struct b_text *out) {
    const struct json_node *part = n->kind == JSON_N_TEXT ? n->first : n;
    for (; part && !env->why; part = n->kind == JSON_N_TEXT ? part->next : NULL)
        write_part(env, part, place, out);
}
