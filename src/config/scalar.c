#include "config/scalar.h"

#include "config/nearest.h"

static const struct {
    const char *name;
    size_t size;
    bool scalar;
} types[] = {
    [CFG_BOOL] = {"boolean", sizeof(bool), true},
    [CFG_INT] = {"number", sizeof(int64_t), true},
    [CFG_SIZE] = {"size", sizeof(int64_t), true},
    [CFG_DURATION] = {"duration", sizeof(int64_t), true},
    [CFG_PERCENT] = {"percentage", sizeof(int64_t), true},
    [CFG_RATE] = {"rate", sizeof(struct cfg_rate), true},
    [CFG_STRING] = {"text", sizeof(struct b_slice), true},
    [CFG_ENUM] = {"word", sizeof(int), true},
    [CFG_ADDR] = {"address", sizeof(struct cfg_addr), true},
    [CFG_URL] = {"URL", sizeof(struct cfg_url), true},
    [CFG_CIDRS] = {"list of networks", sizeof(struct cfg_list), false},
    [CFG_STRINGS] = {"list of texts", sizeof(struct cfg_list), false},
    [CFG_STRING_MAP] = {"map of texts", sizeof(struct cfg_list), false},
    [CFG_OBJECT] = {"map", 0, false},
    [CFG_OBJECTS] = {"list", sizeof(struct cfg_list), false},
    [CFG_OBJECT_MAP] = {"map", sizeof(struct cfg_list), false},
    [CFG_NODE] = {"any value", sizeof(const struct cfg_node *), false},
    [CFG_UPSTREAM_REF] = {"name of an upstream", sizeof(struct cfg_upstream_ref), true},
};

size_t cfg_type_size(enum cfg_type type) {
    return types[type].size;
}

bool cfg_type_is_scalar(enum cfg_type type) {
    return types[type].scalar;
}

const char *cfg_type_name(enum cfg_type type) {
    return types[type].name;
}

/* ---- choices ---- */

const struct cfg_later *cfg_later_find(const struct cfg_later *later, struct b_slice name) {
    for (; later && later->name; later++)
        if (b_slice_eq(b_slice_cstr(later->name), name))
            return later;
    return NULL;
}

void cfg_later_write(struct b_text *out, const struct cfg_later *later) {
    if (later->what)
        b_text_cstr(out, later->what);
    else
        b_text_printf(out, "\"%s\"", later->name);
    b_text_lit(out, " is not built yet");
    if (later->instead)
        b_text_printf(out, ": %s", later->instead);
}

/* Ends the text in buf, which b_text does not do. */
static const char *finish(struct b_text *t) {
    size_t end = t->len < t->cap ? t->len : t->cap - 1;
    t->ptr[end] = 0;
    return t->ptr;
}

const char *cfg_choice_reason(const struct cfg_option *option, struct b_slice text,
                              char buf[CFG_REASON_SIZE]) {
    struct b_text out = b_text_fixed(buf, CFG_REASON_SIZE - 1);
    const struct cfg_later *later = cfg_later_find(option->later, text);
    struct cfg_nearest nearest;
    cfg_nearest_init(&nearest, text);
    for (size_t i = 0; option->choices[i]; i++)
        cfg_nearest_offer(&nearest, b_slice_cstr(option->choices[i]));
    if (later) {
        cfg_later_write(&out, later);
    } else if (nearest.best.len) {
        b_text_printf(&out, "did you mean \"%s\"?", nearest.best.ptr);
    } else {
        b_text_cstr(&out, option->choices[1] ? "it is one of " : "it can only be ");
        for (size_t i = 0; option->choices[i]; i++)
            b_text_printf(&out, "%s%s", i ? ", " : "", option->choices[i]);
    }
    return finish(&out);
}

static const char *parse_enum(const struct cfg_option *option, struct b_slice text, int *value, char *buf) {
    for (int i = 0; option->choices[i]; i++) {
        if (b_slice_eq(b_slice_cstr(option->choices[i]), text)) {
            *value = i;
            return NULL;
        }
    }
    return cfg_choice_reason(option, text, buf);
}

/* ---- numbers ---- */

void cfg_bound_write(struct b_text *out, const struct cfg_option *option, int64_t bound) {
    switch (option->type) {
    case CFG_DURATION: cfg_write_duration(out, bound); break;
    case CFG_SIZE: cfg_write_size(out, bound); break;
    case CFG_PERCENT:
        cfg_write_int(out, bound);
        b_text_char(out, '%');
        break;
    default: cfg_write_int(out, bound);
    }
}

static const char *check_range(const struct cfg_option *option, int64_t v, char *buf) {
    if (v >= option->min && (!option->max || v <= option->max))
        return NULL;
    struct b_text out = b_text_fixed(buf, CFG_REASON_SIZE - 1);
    if (option->max && option->min == option->max)
        b_text_lit(&out, "it must be ");
    else
        b_text_cstr(&out, option->max ? "it lies between " : "it is at least ");
    cfg_bound_write(&out, option, option->min);
    if (option->max && option->min != option->max) {
        b_text_lit(&out, " and ");
        cfg_bound_write(&out, option, option->max);
    }
    if (option->word)
        b_text_printf(&out, ", or is %s", option->word);
    return finish(&out);
}

bool cfg_is_word(const struct cfg_option *option, struct b_slice text) {
    return option->word && b_slice_eq(text, b_slice_cstr(option->word));
}

static const char *or_word(const struct cfg_option *option, char *buf) {
    struct b_text out = b_text_fixed(buf, CFG_REASON_SIZE - 1);
    b_text_printf(&out, "give a %s, or %s",
                  option->type == CFG_INT ? "whole number" : cfg_type_name(option->type), option->word);
    return finish(&out);
}

static const char *parse_number(const struct cfg_option *option, struct b_slice text, int64_t *value,
                                char *buf) {
    int64_t v = 0;
    const char *why = NULL;
    if (cfg_is_word(option, text)) {
        *value = option->word_value;
        return NULL;
    }
    if (option->type == CFG_INT)
        why = cfg_parse_int(text, &v);
    else if (option->type == CFG_SIZE)
        why = cfg_parse_size(text, &v);
    else if (option->type == CFG_DURATION)
        why = cfg_parse_duration(text, &v);
    else
        why = cfg_parse_percent(text, &v);
    if (why && option->word)
        why = or_word(option, buf);
    if (!why)
        why = check_range(option, v, buf);
    if (!why)
        *value = v;
    return why;
}

static const char *check_length(const struct cfg_option *option, struct b_slice text, char *buf) {
    if (text.len == 0 && option->min > 0)
        return "give a text, or leave it out";
    if ((int64_t)text.len >= option->min && (!option->max || (int64_t)text.len <= option->max))
        return NULL;
    struct b_text out = b_text_fixed(buf, CFG_REASON_SIZE - 1);
    if ((int64_t)text.len < option->min)
        b_text_printf(&out, "it has at least %lld bytes", (long long)option->min);
    else
        b_text_printf(&out, "it has at most %lld bytes", (long long)option->max);
    return finish(&out);
}

/* ---- both ways ---- */

const char *cfg_scalar_parse(const struct cfg_option *option, struct b_slice text, void *value,
                             char buf[CFG_REASON_SIZE]) {
    const char *why;
    switch (option->type) {
    case CFG_BOOL: return cfg_parse_bool(text, value);
    case CFG_INT:
    case CFG_SIZE:
    case CFG_DURATION:
    case CFG_PERCENT: return parse_number(option, text, value, buf);
    case CFG_RATE: return cfg_parse_rate(text, value);
    case CFG_ENUM: return parse_enum(option, text, value, buf);
    case CFG_ADDR: return cfg_parse_addr(text, value);
    case CFG_URL: return cfg_parse_url(text, value);
    case CFG_STRING:
        why = check_length(option, text, buf);
        if (!why)
            *(struct b_slice *)value = text;
        return why;
    case CFG_UPSTREAM_REF: ((struct cfg_upstream_ref *)value)->name = text; return NULL;
    default: return "this type is not a scalar";
    }
}

void cfg_scalar_write(struct b_text *out, const struct cfg_option *option, const void *value) {
    switch (option->type) {
    case CFG_BOOL: b_text_cstr(out, *(const bool *)value ? "true" : "false"); break;
    case CFG_INT:
    case CFG_SIZE:
    case CFG_DURATION:
    case CFG_PERCENT:
        if (option->word && *(const int64_t *)value == option->word_value)
            b_text_cstr(out, option->word);
        else
            cfg_bound_write(out, option, *(const int64_t *)value);
        break;
    case CFG_RATE: cfg_write_rate(out, *(const struct cfg_rate *)value); break;
    case CFG_ENUM: b_text_cstr(out, option->choices[*(const int *)value]); break;
    case CFG_ADDR: b_text_slice_add(out, ((const struct cfg_addr *)value)->text); break;
    case CFG_URL: b_text_slice_add(out, ((const struct cfg_url *)value)->text); break;
    case CFG_STRING: b_text_slice_add(out, *(const struct b_slice *)value); break;
    case CFG_UPSTREAM_REF: b_text_slice_add(out, ((const struct cfg_upstream_ref *)value)->name); break;
    default: break;
    }
}
