/* The option tables as docs/configuration.md. */
#include "config/config.h"
#include "config/describe.h"
#include "config/scalar.h"

#define PATH_MAX_BYTES 256
#define DEPTH_MAX 8

const char cfg_example[] = "version: 1\n"
                           "listen:\n"
                           "  - addr: \":8080\"\n"
                           "use: [request_id, access_log]            # for every route, outermost first\n"
                           "\n"
                           "upstreams:\n"
                           "  orders:\n"
                           "    endpoints:\n"
                           "      - http://127.0.0.1:9001\n"
                           "      - {url: \"http://127.0.0.1:9002\", weight: 3}\n"
                           "    timeout: 5s\n"
                           "\n"
                           "routes:\n"
                           "  - match: {path: \"/api/*\", methods: [GET, POST]}\n"
                           "    deadline: 10s\n"
                           "    proxy: {upstream: orders}\n"
                           "  - match: {path: /hello}\n"
                           "    respond: {status: 200, json: {hello: world}}\n";

static const char intro[] =
    "# Configuration\n\n"
    "<!-- Generated from the option tables in the code: change those. -->\n\n"
    "One YAML file, or a directory whose `*.yaml` and `*.yml` files are read in the order of their names: their maps are\n"
    "merged, their lists appended, and anything given twice is an error. Give it with `-c`; the default is `weir.yaml`.\n"
    "`weir check` tests it without starting, and names every mistake with file, line and column.\n\n";

static const char rules[] =
    "\n- Unknown and duplicate keys are errors, never ignored.\n"
    "- Durations carry a unit: `250ms`, `30s`, `1m30s` (us, ms, s, m, h, d). A bare number is an error.\n"
    "- Sizes carry a unit: `10MB` is 10,000,000 bytes, `10MiB` is 10,485,760 (B, KB, KiB, MB, MiB, GB, GiB).\n"
    "- Rates are `100/s`, `5000/m` or `7/h`; percentages `20%`.\n"
    "- Booleans are `true` and `false`; `yes`, `no`, `on` and `off` are plain text.\n"
    "- `${NAME}` in a value is that environment variable, `${NAME:-default}` has a default; one that is not set and has\n"
    "  none is an error. Inside of `{}` or `[]` the value needs quotes. `$$` stays as it is, and what follows it too.\n"
    "- YAML anchors, aliases, merge keys, tags and second documents are refused.\n";

/* One cell: what would end it is escaped. */
static void cell(struct b_text *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|')
            b_text_char(out, '\\');
        b_text_char(out, *text);
    }
}

static void write_range(struct b_text *out, const struct cfg_option *o) {
    if (o->choices) {
        for (size_t i = 0; o->choices[i]; i++)
            b_text_printf(out, "%s`%s`", i ? ", " : "", o->choices[i]);
        return;
    }
    if (!o->max && !o->min)
        return;
    bool both = o->max && o->min && o->max != o->min;
    if (o->min != o->max)
        b_text_cstr(out, both ? "" : o->max ? "at most " : "at least ");
    if (o->min && o->min != o->max)
        cfg_bound_write(out, o, o->min);
    if (both)
        b_text_lit(out, " to ");
    if (o->max)
        cfg_bound_write(out, o, o->max);
    if (o->type == CFG_STRING)
        b_text_lit(out, " bytes");
    else if (!cfg_type_is_scalar(o->type))
        b_text_cstr(out, o->min == 1 && !o->max ? " entry" : " entries");
    if (o->word)
        b_text_printf(out, ", or `%s`", o->word);
}

static void write_row(struct b_text *out, const struct cfg_option *o) {
    b_text_printf(out, "| `%s` | %s | ", o->name, cfg_type_name(o->type));
    if (o->flags & CFG_REQUIRED)
        b_text_lit(out, "required");
    else if (o->default_text)
        b_text_printf(out, "`%s`", o->default_text);
    b_text_lit(out, " | ");
    write_range(out, o);
    b_text_lit(out, " | ");
    cell(out, o->help);
    if (o->example) {
        b_text_lit(out, ", such as `");
        cell(out, o->example);
        b_text_char(out, '`');
    }
    b_text_lit(out, " |\n");
}

static void write_rows(struct b_text *out, const struct cfg_table *table) {
    if (!table->options[0].name)
        return;
    b_text_lit(out, "\n| option | type | default | range | meaning |\n|---|---|---|---|---|\n");
    for (const struct cfg_option *o = table->options; o->name; o++)
        write_row(out, o);
}

static void write_table(struct b_text *out, const struct cfg_table *table, struct b_slice path,
                        unsigned depth);

/* The sections of the objects inside a table; `path` is the table's own, empty for the root. */
static void write_inner(struct b_text *out, const struct cfg_table *table, struct b_slice path,
                        unsigned depth) {
    for (const struct cfg_option *o = table->options; o->name; o++) {
        char name[PATH_MAX_BYTES];
        struct b_text full = b_text_fixed(name, sizeof name);
        if (!o->table || depth >= DEPTH_MAX)
            continue;
        b_text_printf(&full, "%.*s%s%s%s", B_FMT(path), path.len ? "." : "", o->name,
                      o->type == CFG_OBJECTS      ? "[]"
                      : o->type == CFG_OBJECT_MAP ? ".NAME"
                                                  : "");
        write_table(out, o->table, b_text_slice(&full), depth + 1);
    }
}

static void write_table(struct b_text *out, const struct cfg_table *table, struct b_slice path,
                        unsigned depth) {
    b_text_printf(out, "\n## `%.*s`\n\n%s.\n", B_FMT(path), table->summary);
    if (table->modules == CFG_HANDLERS)
        b_text_lit(out, "Beside these options it has the key of one [handler](#handlers).\n");
    if (table->modules == CFG_MIDDLEWARE)
        b_text_lit(out, "Its one key is a [kind of middleware](#middleware).\n");
    write_rows(out, table);
    write_inner(out, table, path, depth);
}

static void write_module(struct b_text *out, const struct cfg_module *module) {
    b_text_printf(out, "\n### `%s`\n\n%s.\n", module->name, module->summary);
    if (!module->options) {
        b_text_lit(out, "It has no options.\n");
        return;
    }
    write_rows(out, module->options);
    write_inner(out, module->options, b_slice_cstr(module->name), 1);
}

void cfg_write_docs(struct b_text *out, const struct cfg_registry *registry) {
    b_text_cstr(out, intro);
    b_text_printf(out, "```yaml\n%s```\n", cfg_example);
    b_text_cstr(out, rules);
    b_text_lit(out, "\n## Top level\n");
    write_rows(out, &cfg_root_table);
    write_inner(out, &cfg_root_table, b_slice(NULL, 0), 0);
    b_text_lit(out, "\n## Handlers\n\nA route has exactly one.\n");
    for (const struct cfg_module *const *m = registry->handlers; m && *m; m++)
        write_module(out, *m);
    b_text_lit(out, "\n## Middleware\n\n`use` lists name them, for every route or for one.\n");
    for (const struct cfg_module *const *m = registry->middleware; m && *m; m++)
        write_module(out, *m);
}
