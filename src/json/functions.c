/* The functions of templates. Of null most of them make null, so that a value that is missing stays missing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/escape.h"
#include "base/number.h"
#include "json/template_internal.h"

static const struct json_operand null_operand = {.kind = JSON_OPERAND_NULL};

static bool is_null(const struct json_operand *o) {
    return json_operand_kind(o) == JSON_NULL;
}

/* A text that was made, kept as long as the request. */
static struct json_operand made(struct json_env *env, const struct json_node *n, struct b_slice text,
                                bool number) {
    text = b_arena_copy(env->arena, text);
    if (!text.ptr)
        return json_wrong_use(env, n, json_memory_is_short);
    return number ? json_operand_raw(text) : json_operand_text(text);
}

static struct json_operand number_made(struct json_env *env, const struct json_node *n, double d) {
    char text[40];
    if (!isfinite(d))
        return json_wrong_use(env, n, "the number is too large");
    int len = snprintf(text, sizeof text, fabs(d) < 9e15 && d == (double)(int64_t)d ? "%.0f" : "%.17g", d);
    char shorter[40];
    int short_len = snprintf(shorter, sizeof shorter, "%.15g", d);
    if (strtod(shorter, NULL) == d && short_len < len)
        return made(env, n, b_slice(shorter, (size_t)short_len), true);
    return made(env, n, b_slice(text, (size_t)len), true);
}

static struct json_operand run_string(struct json_env *env, const struct json_node *n,
                                      const struct json_operand *a, unsigned count) {
    (void)count;
    return is_null(a) ? null_operand : json_operand_text(json_text_of(env, n, a));
}

static struct json_operand run_number(struct json_env *env, const struct json_node *n,
                                      const struct json_operand *a, unsigned count) {
    (void)count;
    enum json_kind kind = json_operand_kind(a);
    if (kind == JSON_NULL || kind == JSON_NUMBER)
        return *a;
    if (kind == JSON_TRUE || kind == JSON_FALSE)
        return json_operand_raw(kind == JSON_TRUE ? B_LIT("1") : B_LIT("0"));
    struct b_slice s = json_text_of(env, n, a);
    if (!env->why && !json_is_number(s))
        return json_wrong_use(env, n, "number() of a text that is none");
    return json_operand_raw(s);
}

static struct json_operand run_bool(struct json_env *env, const struct json_node *n,
                                    const struct json_operand *a, unsigned count) {
    (void)count;
    enum json_kind kind = json_operand_kind(a);
    struct json_operand yes = {.kind = JSON_OPERAND_BOOL, .truth = true}, no = {.kind = JSON_OPERAND_BOOL};
    if (kind == JSON_NULL || kind == JSON_TRUE || kind == JSON_FALSE)
        return *a;
    if (kind == JSON_NUMBER)
        return json_double_of(json_number_of(a)) != 0 ? yes : no;
    struct b_slice s = json_text_of(env, n, a);
    if (b_slice_eq(s, B_LIT("true")) || b_slice_eq(s, B_LIT("1")))
        return yes;
    if (b_slice_eq(s, B_LIT("false")) || b_slice_eq(s, B_LIT("0")) || env->why)
        return no;
    return json_wrong_use(env, n, "bool() of a text that is neither true nor false");
}

static bool is_list(const struct json_operand *a) {
    return a->kind == JSON_OPERAND_VALUE && json_kind(a->at) == JSON_ARRAY;
}

static struct json_operand run_length(struct json_env *env, const struct json_node *n,
                                      const struct json_operand *a, unsigned count) {
    uint64_t length = 0;
    char text[B_U64_TEXT];
    (void)count;
    enum json_kind kind = json_operand_kind(a);
    if (kind == JSON_STRING) {
        struct b_slice s = json_text_of(env, n, a);
        for (size_t i = 0; i < s.len; i++)
            length += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    } else if (a->kind == JSON_OPERAND_VALUE && (kind == JSON_ARRAY || kind == JSON_OBJECT)) {
        for (struct json_value v = json_first(a->at); v.index; v = json_next(v))
            length++;
    } else if (kind != JSON_NULL) {
        return json_wrong_use(env, n, "length() is of a text, an array or an object");
    }
    return made(env, n, b_slice(text, b_format_u64(text, length)), true);
}

static struct json_operand in_case(struct json_env *env, const struct json_node *n,
                                   const struct json_operand *a, bool upper) {
    if (is_null(a))
        return null_operand;
    struct json_operand text = made(env, n, json_text_of(env, n, a), false);
    char *p = (char *)(uintptr_t)text.text.ptr;
    for (size_t i = 0; p && i < text.text.len; i++)
        if (upper ? p[i] >= 'a' && p[i] <= 'z' : p[i] >= 'A' && p[i] <= 'Z')
            p[i] ^= 0x20;
    return text;
}

static struct json_operand run_lower(struct json_env *env, const struct json_node *n,
                                     const struct json_operand *a, unsigned count) {
    (void)count;
    return in_case(env, n, a, false);
}

static struct json_operand run_upper(struct json_env *env, const struct json_node *n,
                                     const struct json_operand *a, unsigned count) {
    (void)count;
    return in_case(env, n, a, true);
}

static struct json_operand run_join(struct json_env *env, const struct json_node *n,
                                    const struct json_operand *a, unsigned count) {
    if (is_null(a))
        return null_operand;
    if (!is_list(a))
        return json_wrong_use(env, n, "join() is of an array");
    struct b_slice between = count > 1 ? json_text_of(env, n, &a[1]) : b_slice("", 0);
    struct b_text out = b_text_heap(B_TAG_REQUESTS, 1 << 20);
    for (struct json_value first = json_first(a->at), v = first; v.index && !env->why; v = json_next(v)) {
        struct json_operand o = json_operand_value(v);
        if (v.token != first.token)
            b_text_slice_add(&out, between);
        b_text_slice_add(&out, json_text_of(env, n, &o));
    }
    struct json_operand joined =
        out.failed
            ? json_wrong_use(env, n, out.no_memory ? json_memory_is_short : "the joined text is too long")
            : made(env, n, b_text_slice(&out), false);
    b_text_free(&out);
    return joined;
}

static struct json_operand run_first(struct json_env *env, const struct json_node *n,
                                     const struct json_operand *a, unsigned count) {
    (void)count;
    if (is_null(a))
        return null_operand;
    return is_list(a) ? json_operand_value(json_first(a->at))
                      : json_wrong_use(env, n, "first() is of an array");
}

static struct json_operand run_sum(struct json_env *env, const struct json_node *n,
                                   const struct json_operand *a, unsigned count) {
    double sum = 0;
    (void)count;
    if (is_null(a))
        return null_operand;
    if (!is_list(a))
        return json_wrong_use(env, n, "sum() is of an array");
    for (struct json_value v = json_first(a->at); v.index; v = json_next(v)) {
        struct json_operand o = json_operand_value(v);
        if (is_null(&o))
            continue;
        if (json_operand_kind(&o) != JSON_NUMBER)
            return json_wrong_use(env, n, "sum() is of numbers");
        sum += json_double_of(json_number_of(&o));
    }
    return number_made(env, n, sum);
}

/* time(unix milliseconds, a format of strftime), in UTC. */
static struct json_operand run_time(struct json_env *env, const struct json_node *n,
                                    const struct json_operand *a, unsigned count) {
    char text[128], format[64] = "%Y-%m-%dT%H:%M:%SZ";
    if (is_null(a))
        return null_operand;
    struct b_slice number = json_number_of(a);
    double ms = number.ptr ? json_double_of(number) : NAN;
    if (!(fabs(ms) < 2.5e14))
        return json_wrong_use(env, n, "time() is of unix milliseconds");
    if (count > 1) {
        struct b_slice f = json_text_of(env, n, &a[1]);
        if (!f.len || f.len >= sizeof format)
            return json_wrong_use(env, n, "the format of time() is a text of 1 to 63 characters");
        memcpy(format, f.ptr, f.len);
        format[f.len] = 0;
    }
    time_t seconds = (time_t)floor(ms / 1000);
    struct tm tm;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* unlike printf's, this format cannot do harm */
    size_t len = gmtime_r(&seconds, &tm) ? strftime(text, sizeof text, format, &tm) : 0;
#pragma GCC diagnostic pop
    return len ? made(env, n, b_slice(text, len), false) : json_wrong_use(env, n, "time() made no text");
}

static struct json_operand run_urlescape(struct json_env *env, const struct json_node *n,
                                         const struct json_operand *a, unsigned count) {
    (void)count;
    if (is_null(a))
        return null_operand;
    struct b_text out = b_text_heap(B_TAG_REQUESTS, 1 << 20);
    b_text_query(&out, json_text_of(env, n, a));
    struct json_operand o =
        out.failed ? json_wrong_use(env, n, out.no_memory ? json_memory_is_short : "the text is too long")
                   : made(env, n, b_text_slice(&out), false);
    b_text_free(&out);
    return o;
}

static const struct json_function functions[] = {
    {"string", 1, 1, run_string}, {"number", 1, 1, run_number},       {"bool", 1, 1, run_bool},
    {"length", 1, 1, run_length}, {"lower", 1, 1, run_lower},         {"upper", 1, 1, run_upper},
    {"join", 1, 2, run_join},     {"first", 1, 1, run_first},         {"sum", 1, 1, run_sum},
    {"time", 1, 2, run_time},     {"urlescape", 1, 1, run_urlescape},
};

const struct json_function *json_function_find(struct b_slice name) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (b_slice_eq(name, b_slice_cstr(functions[i].name)))
            return &functions[i];
    return NULL;
}
