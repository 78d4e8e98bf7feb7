#include "config/schema.h"

#include "config/scalar.h"

const struct cfg_option *cfg_table_find(const struct cfg_table *table, struct b_slice name) {
    for (const struct cfg_option *o = table->options; o->name; o++)
        if (b_slice_eq(b_slice_cstr(o->name), name))
            return o;
    return NULL;
}

const struct cfg_module *cfg_module_find(const struct cfg_module *const *modules, struct b_slice name) {
    for (; modules && *modules; modules++)
        if (b_slice_eq(b_slice_cstr((*modules)->name), name))
            return *modules;
    return NULL;
}

/* ---- is a table well formed? ---- */

static const char *complain(struct b_text *why, const struct cfg_table *table,
                            const struct cfg_option *option, const char *what) {
    b_text_printf(why, "%s, option \"%s\": %s", table->name, option->name, what);
    return what;
}

/* Room for any scalar. */
union any {
    bool yes;
    int index;
    int64_t number;
    struct cfg_rate rate;
    struct b_slice text;
    struct cfg_addr addr;
    struct cfg_url url;
    struct cfg_upstream_ref ref;
};

static const char *verify_default(const struct cfg_option *o, char *buf) {
    union any value;
    if (!o->default_text)
        return NULL;
    if (o->flags & CFG_REQUIRED)
        return "what is required has no default";
    if (!cfg_type_is_scalar(o->type) || o->type == CFG_UPSTREAM_REF)
        return "only a scalar has a default";
    return cfg_scalar_parse(o, b_slice_cstr(o->default_text), &value, buf);
}

static bool is_snake_case(const char *name) {
    for (; *name; name++)
        if (*name != '_' && !b_is_digit(*name) && !(*name >= 'a' && *name <= 'z'))
            return false;
    return true;
}

static const char *verify_option(const struct cfg_table *table, const struct cfg_option *o, char *buf) {
    bool object = o->type == CFG_OBJECT || o->type == CFG_OBJECTS || o->type == CFG_OBJECT_MAP;
    if (o->type < CFG_BOOL || o->type > CFG_UPSTREAM_REF)
        return "its type is unknown";
    if (!is_snake_case(o->name))
        return "its name is not in snake_case";
    if (!o->help || !*o->help)
        return "it has no help";
    if (object != (o->table != NULL))
        return "objects have a table, and nothing else has";
    size_t size = o->type == CFG_OBJECT ? o->table->size : cfg_type_size(o->type);
    if (o->offset < sizeof(struct cfg_head) || o->offset > table->size || size > table->size - o->offset)
        return "it lies outside of the struct, or over its head";
    if (o->type == CFG_ENUM && !o->choices)
        return "a word has choices";
    if (o->max && o->max < o->min)
        return "max is below min";
    if (cfg_table_find(table, b_slice_cstr(o->name)) != o)
        return "its name is there twice";
    return verify_default(o, buf);
}

static const char *verify_table(const struct cfg_table *table, struct b_text *why, unsigned depth) {
    char buf[CFG_REASON_SIZE];
    if (depth > 8 || !table->name || table->size < sizeof(struct cfg_head)) {
        b_text_printf(why, "%s: no name, no struct, or a table inside itself",
                      table->name ? table->name : "(table)");
        return "bad table";
    }
    for (const struct cfg_option *o = table->options; o->name; o++) {
        const char *what = verify_option(table, o, buf);
        if (what)
            return complain(why, table, o, what);
        if (o - table->options >= 64)
            return complain(why, table, o, "a table has at most 64 options");
        if (o->table && verify_table(o->table, why, depth + 1))
            return "bad table below";
    }
    if (table->shorthand && !cfg_table_find(table, b_slice_cstr(table->shorthand))) {
        b_text_printf(why, "%s: the shorthand \"%s\" is no option", table->name, table->shorthand);
        return "bad shorthand";
    }
    return NULL;
}

const char *cfg_table_verify(const struct cfg_table *table, struct b_text *why) {
    return verify_table(table, why, 0);
}
