/* The option tables as JSON Schema, for editors that complete and check. */
#include "config/config.h"
#include "config/describe.h"
#include "config/scalar.h"
#include "json/writer.h"

/* The texts of the types, as patterns; a value may always come from the environment. */
#define ENV "|.*\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}.*)$"
static const struct {
    enum cfg_type type;
    const char *name, *pattern;
} patterns[] = {
    {CFG_DURATION, "duration", "^(([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?" ENV},
    {CFG_SIZE, "size", "^([0-9]+(B|KB|KiB|MB|MiB|GB|GiB)" ENV},
    {CFG_RATE, "rate", "^([0-9]+/[smh]" ENV},
    {CFG_PERCENT, "percent", "^([0-9]{1,3}%?" ENV},
    {CFG_ADDR, "address", "^((\\[[0-9A-Fa-f:.]+\\]|[0-9.]*):[0-9]{1,5}|unix:/.+" ENV},
    {CFG_URL, "endpoint", "^(http://[^/?#@]+|(http\\+)?unix:/.+" ENV},
    {CFG_CIDRS, "network", "^([0-9A-Fa-f:.]+(/[0-9]{1,3})?" ENV},
    {0, "env", "^(" ENV},
};

struct schema {
    struct json_writer w;
    const struct cfg_registry *registry;
    unsigned depth;
};

static void key(struct schema *s, const char *name) {
    json_key(&s->w, b_slice_cstr(name));
}

static void string(struct schema *s, const char *name, const char *value) {
    key(s, name);
    json_string(&s->w, b_slice_cstr(value));
}

static void reference(struct schema *s, const char *name) {
    char ref[64];
    struct b_text t = b_text_fixed(ref, sizeof ref);
    b_text_printf(&t, "#/$defs/%s", name);
    key(s, "$ref");
    json_string(&s->w, b_text_slice(&t));
}

static const char *pattern_name(enum cfg_type type) {
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (patterns[i].type == type)
            return patterns[i].name;
    return NULL;
}

static void one_type(struct schema *s, const char *type) {
    json_object_begin(&s->w);
    string(s, "type", type);
    json_object_end(&s->w);
}

/* Any scalar: a text may be written without quotes, and then looks like a number to others. */
static void text_types(struct schema *s) {
    static const char *const names[] = {"string", "number", "boolean"};
    key(s, "type");
    json_array_begin(&s->w);
    for (size_t i = 0; i < 3; i++)
        json_string(&s->w, b_slice_cstr(names[i]));
    json_array_end(&s->w);
}

static void env_alternative(struct schema *s) {
    json_object_begin(&s->w);
    reference(s, "env");
    json_object_end(&s->w);
}

static void write_integer(struct schema *s, const struct cfg_option *o) {
    json_object_begin(&s->w);
    string(s, "type", "integer");
    key(s, "minimum");
    json_i64(&s->w, o->type == CFG_PERCENT ? 0 : o->min);
    if (o->max || o->type == CFG_PERCENT) {
        key(s, "maximum");
        json_i64(&s->w, o->max ? o->max : 100);
    }
    json_object_end(&s->w);
}

static void write_enum(struct schema *s, const char *const *choices) {
    json_object_begin(&s->w);
    key(s, "enum");
    json_array_begin(&s->w);
    for (; *choices; choices++)
        json_string(&s->w, b_slice_cstr(*choices));
    json_array_end(&s->w);
    json_object_end(&s->w);
}

static void one_reference(struct schema *s, const char *name) {
    json_object_begin(&s->w);
    reference(s, name);
    json_object_end(&s->w);
}

/* What is not a text to everybody: the value itself, or a ${NAME} in its place. */
static void write_alternatives(struct schema *s, const struct cfg_option *o) {
    const char *const word[] = {o->word, NULL};
    key(s, "anyOf");
    json_array_begin(&s->w);
    if (o->type == CFG_BOOL)
        one_type(s, "boolean");
    else if (o->type == CFG_ENUM)
        write_enum(s, o->choices);
    else if (o->type == CFG_SIZE || o->type == CFG_DURATION)
        one_reference(s, pattern_name(o->type));
    else
        write_integer(s, o);
    if (o->word)
        write_enum(s, word);
    if (o->type == CFG_PERCENT)
        one_reference(s, "percent");
    env_alternative(s);
    json_array_end(&s->w);
}

static void write_default(struct schema *s, const struct cfg_option *o) {
    int64_t number;
    if (!o->default_text)
        return;
    struct b_slice text = b_slice_cstr(o->default_text);
    key(s, "default");
    if (o->type == CFG_BOOL || (o->type == CFG_INT && !cfg_parse_int(text, &number)))
        json_raw(&s->w, text);
    else
        json_string(&s->w, text);
}

static void write_table(struct schema *s, const struct cfg_table *table);

static void bounds(struct schema *s, const struct cfg_option *o, const char *min, const char *max) {
    if (o->min > 0) {
        key(s, min);
        json_i64(&s->w, o->min);
    }
    if (o->max > 0) {
        key(s, max);
        json_i64(&s->w, o->max);
    }
}

static void write_collection(struct schema *s, const struct cfg_option *o) {
    bool map = o->type == CFG_STRING_MAP || o->type == CFG_OBJECT_MAP;
    key(s, "type");
    json_array_begin(&s->w);
    json_string(&s->w, map ? B_LIT("object") : B_LIT("array"));
    if (o->flags & CFG_ONE)
        json_string(&s->w, B_LIT("object"));
    if (o->min == 0)
        json_string(&s->w, B_LIT("null"));
    json_array_end(&s->w);
    bounds(s, o, map ? "minProperties" : "minItems", map ? "maxProperties" : "maxItems");
    key(s, map ? "additionalProperties" : "items");
    if (o->table) {
        write_table(s, o->table);
        return;
    }
    if (o->choices) {
        write_enum(s, o->choices);
        return;
    }
    json_object_begin(&s->w);
    if (o->type == CFG_CIDRS)
        reference(s, "network");
    else
        text_types(s);
    json_object_end(&s->w);
}

/* The members of an option's schema, without braces. */
static void write_constraints(struct schema *s, const struct cfg_option *o) {
    switch (o->type) {
    case CFG_BOOL:
    case CFG_INT:
    case CFG_PERCENT:
    case CFG_ENUM: write_alternatives(s, o); break;
    case CFG_DURATION:
    case CFG_SIZE:
        if (o->word)
            write_alternatives(s, o);
        else
            reference(s, pattern_name(o->type));
        break;
    case CFG_RATE:
    case CFG_ADDR:
    case CFG_URL: reference(s, pattern_name(o->type)); break;
    case CFG_STRING:
        text_types(s);
        bounds(s, o, "minLength", "maxLength");
        break;
    case CFG_UPSTREAM_REF: text_types(s); break;
    case CFG_OBJECT:
        key(s, "allOf");
        json_array_begin(&s->w);
        write_table(s, o->table);
        json_array_end(&s->w);
        break;
    case CFG_NODE: break;
    default: write_collection(s, o);
    }
}

static void write_option(struct schema *s, const struct cfg_option *o) {
    json_object_begin(&s->w);
    string(s, "description", o->help);
    write_default(s, o);
    write_constraints(s, o);
    json_object_end(&s->w);
}

static void write_module(struct schema *s, const struct cfg_module *module) {
    key(s, module->name);
    json_object_begin(&s->w);
    string(s, "description", module->summary);
    if (module->options) {
        key(s, "allOf");
        json_array_begin(&s->w);
        write_table(s, module->options);
        json_array_end(&s->w);
    } else {
        key(s, "type");
        json_raw(&s->w, B_LIT("[\"object\",\"null\"]"));
        key(s, "maxProperties");
        json_u64(&s->w, 0);
    }
    json_object_end(&s->w);
}

static const struct cfg_module *const *modules_of(const struct schema *s, const struct cfg_table *table) {
    return table->modules == CFG_HANDLERS     ? s->registry->handlers
           : table->modules == CFG_MIDDLEWARE ? s->registry->middleware
                                              : NULL;
}

static void write_required(struct schema *s, const struct cfg_table *table) {
    key(s, "required");
    json_array_begin(&s->w);
    for (const struct cfg_option *o = table->options; o->name; o++)
        if (o->flags & CFG_REQUIRED)
            json_string(&s->w, b_slice_cstr(o->name));
    json_array_end(&s->w);
}

/* Exactly one key names a module. */
static void write_one_of(struct schema *s, const struct cfg_module *const *modules) {
    key(s, "oneOf");
    json_array_begin(&s->w);
    for (; *modules; modules++) {
        json_object_begin(&s->w);
        key(s, "required");
        json_array_begin(&s->w);
        json_string(&s->w, b_slice_cstr((*modules)->name));
        json_array_end(&s->w);
        json_object_end(&s->w);
    }
    json_array_end(&s->w);
}

static bool has_required(const struct cfg_table *table) {
    for (const struct cfg_option *o = table->options; o->name; o++)
        if (o->flags & CFG_REQUIRED)
            return true;
    return false;
}

static void write_object(struct schema *s, const struct cfg_table *table) {
    const struct cfg_module *const *modules = modules_of(s, table);
    json_object_begin(&s->w);
    if (table->summary)
        string(s, "description", table->summary);
    key(s, "type");
    json_raw(&s->w, has_required(table) || modules ? B_LIT("\"object\"") : B_LIT("[\"object\",\"null\"]"));
    key(s, "properties");
    json_object_begin(&s->w);
    for (const struct cfg_option *o = table->options; o->name; o++) {
        key(s, o->name);
        write_option(s, o);
    }
    for (const struct cfg_module *const *m = modules; m && *m; m++)
        write_module(s, *m);
    json_object_end(&s->w);
    if (has_required(table))
        write_required(s, table);
    if (modules && *modules)
        write_one_of(s, modules);
    key(s, "additionalProperties");
    json_bool(&s->w, false);
    json_object_end(&s->w);
}

/* Tables are trees (cfg_table_verify), a few levels deep. */
static void write_table(struct schema *s, const struct cfg_table *table) {
    if (!table->shorthand) {
        write_object(s, table);
        return;
    }
    json_object_begin(&s->w);
    key(s, "anyOf");
    json_array_begin(&s->w);
    write_object(s, table);
    write_option(s, cfg_table_find(table, b_slice_cstr(table->shorthand)));
    json_array_end(&s->w);
    json_object_end(&s->w);
}

static void write_defs(struct schema *s) {
    key(s, "$defs");
    json_object_begin(&s->w);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        key(s, patterns[i].name);
        json_object_begin(&s->w);
        string(s, "type", "string");
        string(s, "pattern", patterns[i].pattern);
        json_object_end(&s->w);
    }
    json_object_end(&s->w);
}

void cfg_write_json_schema(struct b_text *out, const struct cfg_registry *registry) {
    struct schema s = {.w = json_writer(out), .registry = registry};
    json_object_begin(&s.w);
    string(&s, "$schema", "https://json-schema.org/draft/2020-12/schema");
    string(&s, "title", "weir configuration, version 1");
    write_defs(&s);
    key(&s, "allOf");
    json_array_begin(&s.w);
    write_object(&s, &cfg_root_table);
    json_array_end(&s.w);
    json_object_end(&s.w);
    b_text_char(out, '\n');
}
