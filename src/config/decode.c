#include "config/decode.h"

#include <errno.h>

#include "config/nearest.h"
#include "config/scalar.h"

void *cfg_decode_alloc(struct cfg_decoder *d, size_t size) {
    void *p = b_arena_zalloc(d->arena, size);
    if (!p)
        (void)cfg_error_memory(d->errors);
    return p;
}

/* ---- one value ---- */

bool cfg_refuse(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                const char *reason) {
    char shown[CFG_SHOWN_SIZE];
    const char *value = cfg_node_shown(node, shown);
    if ((option->flags & CFG_SECRET) && node->kind == CFG_SCALAR)
        value = "this value";
    cfg_error_at(d->errors, node, "\"%s\" cannot be %s: %s", option->name, value, reason);
    return false;
}

/* What to give instead of a value of the wrong kind. */
static bool refuse_kind(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node) {
    char reason[CFG_REASON_SIZE];
    struct b_text out = b_text_fixed(reason, sizeof reason - 1);
    const char *name = cfg_type_name(option->type);
    const char *example = option->example ? option->example : option->default_text;
    if (option->type == CFG_ENUM)
        return cfg_refuse(d, option, node, cfg_choice_reason(option, b_slice(NULL, 0), reason));
    const char *article = option->type == CFG_UPSTREAM_REF ? "the" : strchr("aeiou", name[0]) ? "an" : "a";
    b_text_printf(&out, "give %s %s", article, name);
    if (example)
        b_text_printf(&out, ", such as %s", example);
    if (node->kind == CFG_NULL && !(option->flags & CFG_REQUIRED))
        b_text_lit(&out, ", or leave the line out");
    reason[out.len] = 0;
    return cfg_refuse(d, option, node, reason);
}

/* A bare number where a unit is due is the most frequent mistake: show the value with units. */
static const char *missing_unit(const struct cfg_option *option, const struct cfg_node *node, char *buf) {
    struct b_text out = b_text_fixed(buf, CFG_REASON_SIZE - 1);
    int64_t number;
    if (node->from_env || cfg_parse_int(node->text, &number) || number < 0)
        return NULL;
    if (option->type == CFG_DURATION)
        b_text_printf(&out, "a duration needs its unit, such as %llds or %lldms", (long long)number,
                      (long long)number);
    else if (option->type == CFG_SIZE)
        b_text_printf(&out, "a size needs its unit, such as %lldB, %lldKiB or %lldMB", (long long)number,
                      (long long)number, (long long)number);
    else if (option->type == CFG_RATE)
        b_text_printf(&out, "a rate needs its time, such as %lld/s or %lld/m", (long long)number,
                      (long long)number);
    buf[out.len] = 0;
    return out.len ? buf : NULL;
}

static bool add_ref(struct cfg_decoder *d, const struct cfg_option *option, struct cfg_upstream_ref *ref) {
    struct cfg_ref *entry = cfg_decode_alloc(d, sizeof *entry);
    if (!entry)
        return false;
    *entry = (struct cfg_ref){d->refs, ref, option->name};
    d->refs = entry;
    return true;
}

static bool decode_scalar(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                          void *value) {
    char buf[CFG_REASON_SIZE];
    if (node->kind != CFG_SCALAR)
        return refuse_kind(d, option, node);
    const char *why = cfg_scalar_parse(option, node->text, value, buf);
    if (why && (option->type == CFG_DURATION || option->type == CFG_SIZE || option->type == CFG_RATE)) {
        char unit[CFG_REASON_SIZE];
        const char *better = missing_unit(option, node, unit);
        if (better)
            return cfg_refuse(d, option, node, better);
    }
    if (!why && node->quoted && !node->from_env && (option->type == CFG_BOOL || option->type == CFG_INT) &&
        !cfg_is_word(option, node->text))
        why = option->type == CFG_BOOL ? "write true or false without quotes"
                                       : "write the number without quotes";
    if (why)
        return cfg_refuse(d, option, node, why);
    if (option->type == CFG_UPSTREAM_REF) {
        ((struct cfg_upstream_ref *)value)->node = node;
        return add_ref(d, option, value);
    }
    return true;
}

bool cfg_decode_value(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                      void *value) {
    if (node->kind == CFG_BAD)
        return false;
    if (cfg_type_is_scalar(option->type))
        return decode_scalar(d, option, node, value);
    if (option->type == CFG_NODE) {
        *(const struct cfg_node **)value = node;
        return true;
    }
    bool list = option->type == CFG_CIDRS || option->type == CFG_STRINGS || option->type == CFG_OBJECTS;
    bool shorthand = option->type == CFG_OBJECT && option->table->shorthand && node->kind == CFG_SCALAR;
    if ((option->flags & CFG_ONE) && node->kind == CFG_MAP)
        return cfg_decode_one(d, option, node, value);
    if (node->kind != CFG_NULL && node->kind != (list ? CFG_LIST : CFG_MAP) && !shorthand)
        return refuse_kind(d, option, node);
    if (option->type == CFG_OBJECT)
        return cfg_decode_object(d, option->table, node, node, value);
    return cfg_decode_items(d, option, node, value);
}

/* ---- objects ---- */

static bool unknown_option(struct cfg_decoder *d, const struct cfg_table *table,
                           const struct cfg_node *child) {
    char shown[CFG_SHOWN_SIZE], buf[CFG_REASON_SIZE];
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    if (cfg_errors_full(d->errors)) {
        cfg_error_key(d->errors, child, "unknown option");
        return false;
    }
    const struct cfg_later *later = cfg_later_find(table->later, child->key);
    const struct cfg_module *const *modules = cfg_table_modules(table, d->registry);
    struct cfg_nearest nearest;
    if (later) {
        cfg_later_write(&out, later);
        buf[out.len] = 0;
        cfg_error_key(d->errors, child, "%s", buf);
        return false;
    }
    cfg_nearest_init(&nearest, child->key);
    for (const struct cfg_option *o = table->options; o->name; o++) {
        cfg_nearest_offer(&nearest, b_slice_cstr(o->name));
        b_text_printf(&out, "%s%s", out.len ? ", " : "", o->name);
    }
    for (; modules && *modules; modules++) {
        cfg_nearest_offer(&nearest, b_slice_cstr((*modules)->name));
        b_text_printf(&out, "%s%s", out.len ? ", " : "", (*modules)->name);
    }
    buf[out.len] = 0;
    (void)cfg_text_shown(child->key, shown);
    if (nearest.best.len)
        cfg_error_key(d->errors, child, "unknown option %s of %s; did you mean \"%s\"?", shown, table->name,
                      nearest.best.ptr);
    else
        cfg_error_key(d->errors, child, "unknown option %s of %s; it has: %s", shown, table->name, buf);
    return false;
}

const struct cfg_module *const *cfg_table_modules(const struct cfg_table *table,
                                                  const struct cfg_registry *registry) {
    return table->modules == CFG_HANDLERS     ? registry->handlers
           : table->modules == CFG_MIDDLEWARE ? registry->middleware
                                              : NULL;
}

static const char *module_word(const struct cfg_table *table) {
    return table->modules == CFG_HANDLERS ? "handler" : "kind";
}

static bool decode_child(struct cfg_decoder *d, const struct cfg_table *table, const struct cfg_node *child,
                         char *conf, uint64_t *given) {
    const struct cfg_option *option = cfg_table_find(table, child->key);
    if (option) {
        *given |= (uint64_t)1 << (option - table->options);
        return cfg_decode_value(d, option, child, conf + option->offset);
    }
    const struct cfg_module *module = cfg_module_find(cfg_table_modules(table, d->registry), child->key);
    if (!module)
        return unknown_option(d, table, child);
    struct cfg_module_use *use = (struct cfg_module_use *)(void *)(conf + table->module_offset);
    if (use->module) {
        cfg_error_key(d->errors, child, "%s has one %s, and \"%s\" is given in line %u", table->name,
                      module_word(table), use->module->name, use->node->key_line);
        return false;
    }
    return cfg_decode_module(d, module, child, child, use);
}

/* What the text does not give: the default, or an error. */
static bool decode_absent(struct cfg_decoder *d, const struct cfg_table *table,
                          const struct cfg_option *option, const struct cfg_node *at, void *value) {
    char buf[CFG_REASON_SIZE];
    if (option->flags & CFG_REQUIRED) {
        if (option->example)
            cfg_error_key(d->errors, at, "%s needs \"%s\", such as %s: %s", table->name, option->name,
                          option->name, option->example);
        else
            cfg_error_key(d->errors, at, "%s needs \"%s\"", table->name, option->name);
        return false;
    }
    if (option->type == CFG_OBJECT)
        return (option->flags & CFG_OPTIONAL) || cfg_decode_object(d, option->table, NULL, at, value);
    if (!option->default_text)
        return true;
    const char *why = cfg_scalar_parse(option, b_slice_cstr(option->default_text), value, buf);
    if (why)
        cfg_error_at(d->errors, at, "the default of \"%s\" is wrong: %s", option->name, why);
    return why == NULL;
}

static bool finish_object(struct cfg_decoder *d, const struct cfg_table *table, const struct cfg_node *at,
                          void *conf) {
    int rc = table->check ? table->check(d->errors, at, conf) : 0;
    if (rc == -ENOMEM)
        (void)cfg_error_memory(d->errors);
    return rc == 0;
}

/* Exactly one key names the module; a wrong key is most likely the misspelt one, and was reported. */
static bool check_module(struct cfg_decoder *d, const struct cfg_table *table, const struct cfg_node *at,
                         const char *conf) {
    const struct cfg_module *const *m = cfg_table_modules(table, d->registry);
    char buf[CFG_REASON_SIZE];
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    if (!m || ((const struct cfg_module_use *)(const void *)(conf + table->module_offset))->module)
        return true;
    for (size_t i = 0; m[i]; i++)
        b_text_printf(&out, "%s%s", i ? ", " : "", m[i]->name);
    buf[out.len] = 0;
    cfg_error_key(d->errors, at, "%s needs a %s: one of %s", table->name, module_word(table), buf);
    return false;
}

bool cfg_decode_object(struct cfg_decoder *d, const struct cfg_table *table, const struct cfg_node *node,
                       const struct cfg_node *at, void *conf) {
    struct cfg_head *head = conf;
    uint64_t given = 0;
    bool ok = true, unknown = false;
    head->node = at;
    head->given = node != NULL;
    if (node && node->kind == CFG_SCALAR) {
        const struct cfg_option *option = cfg_table_find(table, b_slice_cstr(table->shorthand));
        given |= (uint64_t)1 << (option - table->options);
        ok = cfg_decode_value(d, option, node, (char *)conf + option->offset);
    } else if (node && node->kind == CFG_MAP) {
        CFG_EACH_CHILD(child, node) {
            if (!decode_child(d, table, child, conf, &given))
                ok = false;
            unknown |= !cfg_table_find(table, child->key);
        }
    }
    for (size_t i = 0; table->options[i].name; i++)
        if (!(given & (uint64_t)1 << i))
            ok &= decode_absent(d, table, &table->options[i], at, (char *)conf + table->options[i].offset);
    if (ok || !unknown)
        ok &= check_module(d, table, at, conf);
    return ok && finish_object(d, table, at, conf);
}

bool cfg_decode_module(struct cfg_decoder *d, const struct cfg_module *module, const struct cfg_node *node,
                       const struct cfg_node *at, struct cfg_module_use *use) {
    use->module = module;
    use->node = at;
    if (node && node->kind == CFG_BAD)
        return false;
    const struct cfg_table *table = module->options;
    bool shorthand = table && table->shorthand && node && node->kind == CFG_SCALAR;
    if (node && node->kind != CFG_MAP && node->kind != CFG_NULL && !shorthand) {
        char shown[CFG_SHOWN_SIZE];
        cfg_error_at(d->errors, node, "\"%s\" cannot be %s: give a map of its options", module->name,
                     cfg_node_shown(node, shown));
        return false;
    }
    if (!table && node && node->count) {
        cfg_error_at(d->errors, node, "\"%s\" has no options: write %s: {}", module->name, module->name);
        return false;
    }
    if (table && !(use->conf = cfg_decode_alloc(d, table->size)))
        return false;
    if (table && !cfg_decode_object(d, table, node, at, use->conf))
        return false;
    struct cfg_module_check *check = module->check ? cfg_decode_alloc(d, sizeof *check) : NULL;
    if (module->check && !check)
        return false;
    if (check) {
        *check = (struct cfg_module_check){d->checks, use};
        d->checks = check;
    }
    return true;
}
