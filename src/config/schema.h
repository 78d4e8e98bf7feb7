/* Option tables: the single source for parsing, checking, defaults, JSON Schema and docs. A module (handler or
 * middleware) describes its options in a `const struct cfg_table` and reads them from the struct that the table fills.
 *
 *     struct limit_conf {
 *         struct cfg_head head;
 *         struct cfg_rate rate;
 *         int64_t burst;
 *     };
 *     static const struct cfg_option limit_options[] = {
 *         {.name = "rate", .type = CFG_RATE, CFG_AT(struct limit_conf, rate), .flags = CFG_REQUIRED, .example = "100/s",
 *          .help = "requests that pass, on average"},
 *         {.name = "burst", .type = CFG_INT, CFG_AT(struct limit_conf, burst), .default_text = "1", .min = 1,
 *          .help = "requests that may come at once"},
 *         {0},
 *     };
 *     static const struct cfg_table limit_table = {
 *         .name = "a rate limit", .options = limit_options, .size = sizeof(struct limit_conf)};
 *
 * Everything decoded lives in the arena of the load and is immutable after it. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/address.h"
#include "config/node.h"
#include "config/value.h"

/* How an option is written, and what stands at its offset. Numbers are int64_t throughout. */
enum cfg_type {
    CFG_BOOL = 1, /* bool */
    CFG_INT,      /* int64_t */
    CFG_SIZE,     /* int64_t, bytes */
    CFG_DURATION, /* int64_t, ns */
    CFG_PERCENT,  /* int64_t, 0 to 100 */
    CFG_RATE,     /* struct cfg_rate */
    CFG_STRING,   /* struct b_slice, NUL-terminated; ptr NULL when not given; min and max bound the length */
    CFG_ENUM,     /* int, index into choices */
    CFG_ADDR,     /* struct cfg_addr */
    CFG_URL,      /* struct cfg_url */
    CFG_CIDRS,    /* struct cfg_list of struct cfg_cidr */
    CFG_STRINGS,  /* struct cfg_list of struct cfg_text; with choices, each must be one of them */
    CFG_STRING_MAP,   /* struct cfg_list of struct cfg_text with names */
    CFG_OBJECT,       /* the struct of `table`, embedded */
    CFG_OBJECTS,      /* struct cfg_list of the structs of `table` */
    CFG_OBJECT_MAP,   /* the same; head.name is the key */
    CFG_NODE,         /* const struct cfg_node *, any YAML; NULL when not given */
    CFG_UPSTREAM_REF, /* struct cfg_upstream_ref, resolved when all is decoded */
};

enum cfg_flags {
    CFG_REQUIRED = 1, /* must be given */
    CFG_OPTIONAL =
        4,       /* CFG_OBJECT: when it is absent its struct stays zero (head.node NULL), not its defaults */
    CFG_ONE = 2, /* CFG_OBJECTS: a map that stands alone is a list of one */
    CFG_SECRET = 8, /* messages and dumps never show the value */
    CFG_HEADER_NAMES =
        16, /* CFG_STRING_MAP: names are HTTP header names, values hold no control characters */
};

/* First member of every struct that a table describes. */
struct cfg_head {
    struct b_slice name;         /* the key in a map of objects; else empty */
    const struct cfg_node *node; /* for later errors */
    bool given;                  /* false: it consists of defaults, and node is that of its surroundings */
};

struct cfg_list {
    void *items; /* NULL when count is 0 */
    size_t count, item_size;
    const struct cfg_node *node; /* NULL when not given */
};

/* `for (struct cfg_upstream *u in list)`: CFG_EACH(struct cfg_upstream, u, &root->upstreams) { ... } */
#define CFG_EACH(type, it, list) \
    for (type *it = (list)->items, *it##_end = it ? it + (list)->count : NULL; it != it##_end; it++)

/* An item of a list of strings, or of a map of strings. */
struct cfg_text {
    struct b_slice name; /* in a map: the key; else empty */
    struct b_slice text; /* both NUL-terminated */
    const struct cfg_node *node;
};

struct cfg_upstream;
struct cfg_upstream_ref {
    struct b_slice name;                 /* ptr NULL when not given */
    const struct cfg_upstream *upstream; /* NULL when not given (or the load fails) */
    const struct cfg_node *node;
};

struct cfg_table;

/* An option or value that is known and still to come; the list ends with {0}. Reads `WHAT is not built yet: INSTEAD`. */
struct cfg_later {
    const char *name;
    const char *what;    /* NULL: the name in quotes */
    const char *instead; /* the way out; NULL: none is named */
};

#define CFG_AT(type, member) .offset = offsetof(type, member)

struct cfg_option {
    const char *name; /* snake_case; NULL ends a table */
    enum cfg_type type;
    size_t offset;
    unsigned flags;           /* enum cfg_flags */
    const char *help;         /* half a sentence, no full stop */
    const char *default_text; /* as it would be written; NULL: none (zero, or empty) */
    int64_t min, max;   /* in the unit of the type; length of a string, items of a list or map; max 0: none */
    const char *word;   /* of a number: a word that is taken too; NULL: none */
    int64_t word_value; /* what it is stored as */
    const char *const *choices;    /* ends with NULL */
    const struct cfg_later *later; /* choices that are known and not built yet; may be NULL */
    const struct cfg_table *table; /* of the objects */
    const char *example;           /* for the docs; NULL: the default */
};

enum cfg_modules { CFG_NO_MODULES, CFG_HANDLERS, CFG_MIDDLEWARE };

/* At most 64 options. */
struct cfg_table {
    const char *name;                 /* for messages, with its article: "an upstream" */
    const char *summary;              /* a sentence for the docs, no full stop */
    const struct cfg_option *options; /* ends with {0} */
    size_t size;                      /* of the struct */
    /* Called when the object decoded without error; what it says goes to the errors. Upstream references are not resolved
     * yet. 0, or negative: -ENOMEM counts as memory that was short, anything else must have been reported. May be NULL. */
    int (*check)(struct cfg_errors *errors, const struct cfg_node *node, void *conf);
    const char *shorthand;         /* name of the option that a bare scalar stands for; NULL: none */
    const struct cfg_later *later; /* may be NULL */
    enum cfg_modules modules;      /* exactly one key more names a module and holds its options ... */
    size_t module_offset;          /* ... decoded to the struct cfg_module_use here */
};

/* A kind of handler or middleware. Embed it in the descriptor of the gateway, whose address is then this one's. */
struct cfg_module {
    const char *name;                /* the key in the config */
    const char *summary;             /* one sentence, no full stop */
    const struct cfg_table *options; /* NULL: it has none, and conf is NULL */
    /* Called after the load resolved all references, when conf has no error; contract of cfg_table.check. May be NULL. */
    int (*check)(struct cfg_errors *errors, const struct cfg_node *node, void *conf);
};

struct cfg_module_use {
    const struct cfg_module *module; /* NULL only in a load that fails */
    void *conf;                      /* the struct of module->options; NULL when it has none */
    const struct cfg_node *node;     /* of the options; its key is the module's name */
};

/* What is built in; both arrays end with NULL. */
struct cfg_registry {
    const struct cfg_module *const *handlers;
    const struct cfg_module *const *middleware;
};

/* The option of that name, or NULL. */
const struct cfg_option *cfg_table_find(const struct cfg_table *table, struct b_slice name);
/* The module of that name, or NULL; `modules` may be NULL. */
const struct cfg_module *cfg_module_find(const struct cfg_module *const *modules, struct b_slice name);
/* For tests: is the table well formed (sizes, defaults that parse, help, no recursion)? NULL, or what is wrong, written
 * to `why`. */
const char *cfg_table_verify(const struct cfg_table *table, struct b_text *why);

#endif
