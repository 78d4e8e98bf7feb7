/* Reference tables: data that is kept in memory and looked up by key. */
#include <errno.h>

#include "config/tables.h"

static const struct cfg_option source_options[] = {
    {.name = "upstream",
     .type = CFG_UPSTREAM_REF,
     CFG_AT(struct cfg_reference_source, upstream),
     .flags = CFG_REQUIRED,
     .example = "orders",
     .help = "who is asked"},
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct cfg_reference_source, path),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 4096,
     .example = "/stations",
     .help = "what for, with a query perhaps; the answer is JSON"},
    {0},
};

static int check_source(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_reference_source *c = conf;
    for (size_t i = 0; i < c->path.len; i++)
        if ((unsigned char)c->path.ptr[i] <= ' ' || (unsigned char)c->path.ptr[i] > '~' ||
            c->path.ptr[i] == '#')
            return cfg_error_at(errors, cfg_node_get(node, "path"),
                                "a path is visible ASCII without #: write other characters as %%XX");
    return c->path.ptr[0] == '/' ? 0
                                 : cfg_error_at(errors, cfg_node_get(node, "path"), "a path begins with /");
}

static const struct cfg_table source_table = {.name = "a table's source",
                                              .summary = "Where the rows of a table come from",
                                              .options = source_options,
                                              .size = sizeof(struct cfg_reference_source),
                                              .check = check_source};

static const struct cfg_option options[] = {
    {.name = "from",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_reference, from),
     .flags = CFG_REQUIRED,
     .table = &source_table,
     .help = "where its rows come from"},
    {.name = "rows",
     .type = CFG_STRING,
     CFG_AT(struct cfg_reference, rows),
     .default_text = "$",
     .min = 1,
     .max = 1024,
     .example = "$.stations",
     .help = "the array of the rows inside the answer, which is called $"},
    {.name = "key",
     .type = CFG_STRING,
     CFG_AT(struct cfg_reference, key),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 1024,
     .example = "id",
     .help = "the member of a row by which it is looked up: a text or a number, each once"},
    {.name = "refresh",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_reference, refresh),
     .default_text = "10m",
     .min = 100 * CFG_MS,
     .max = 24 * CFG_H,
     .help = "how often it is asked for again, give or take a tenth; sooner after a failure"},
    {.name = "timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_reference, timeout),
     .default_text = "30s",
     .min = CFG_MS,
     .max = CFG_H,
     .help = "the whole of it, attempts and body"},
    {.name = "max_response",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_reference, max_response),
     .default_text = "64MiB",
     .min = 1,
     .max = (int64_t)1 << 30,
     .help = "the answer; a larger one is refused"},
    {.name = "allow_empty",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_reference, allow_empty),
     .default_text = "false",
     .help = "whether an answer without rows is taken; else the last good one stays"},
    {.name = "required",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_reference, required),
     .default_text = "false",
     .help = "whether /readyz is 503 until it has been loaded"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_reference *c = conf;
    if (c->rows.ptr[0] != '$')
        return cfg_error_at(errors, cfg_node_get(node, "rows"),
                            "\"rows\" begins with $, the answer: $.stations");
    return 0;
}

const struct cfg_table cfg_reference_table = {.name = "a reference table",
                                              .summary = "Rows that are kept in memory, for templates: "
                                                         "`$tables.NAME[key].member`",
                                              .options = options,
                                              .size = sizeof(struct cfg_reference),
                                              .check = check};
