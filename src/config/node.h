/* YAML as a tree with positions. Strict: no anchors, aliases, merge keys, tags, duplicate keys or second document;
 * every breach is an error with its place. Pure: bytes in, tree or errors out. */
#ifndef CONFIG_NODE_H
#define CONFIG_NODE_H

#include "base/arena.h"
#include "config/error.h"

#define CFG_BYTES_MAX ((size_t)4 << 20) /* of one source */
#define CFG_NODES_MAX 200000            /* of all sources together */
#define CFG_DEPTH_MAX 32                /* maps and lists inside one another */

enum cfg_kind {
    CFG_NULL, /* nothing, ~ or null */
    CFG_SCALAR,
    CFG_LIST,
    CFG_MAP,
    CFG_BAD, /* was wrong and has been reported: skip it silently */
};

/* In the arena of the load, immutable after it. */
struct cfg_node {
    enum cfg_kind kind;
    bool quoted;           /* scalar in quotes or a block scalar: never a number, boolean or null */
    bool from_env;         /* text contains something from the environment: show `raw`, never `text` */
    unsigned line, column; /* of the value; 1-based, in characters */
    unsigned key_line, key_column; /* of the key, when the parent is a map; else 0 */
    const struct cfg_file *file;
    struct b_slice key;  /* in a map: the name; NUL-terminated */
    struct b_slice text; /* scalar: after ${ENV}; NUL-terminated, holds no NUL itself */
    struct b_slice raw;  /* scalar: as written, before ${ENV} */
    const struct cfg_node *parent;
    struct cfg_node *first, *last, *next; /* children in the order of the text; the next sibling */
    size_t count;                         /* children */
};

#define CFG_EACH_CHILD(it, node) for (const struct cfg_node *it = (node)->first; it; it = it->next)

/* One text of the config; both live as long as the load. */
struct cfg_source {
    const char *name; /* as messages name it */
    struct b_slice bytes;
};

/* Looks up a variable of the environment; `getenv` fits. NULL: it is not set. */
typedef char *(*cfg_env_fn)(const char *name);

/* Parses the sources in order and merges them at the top level: maps take each other's entries, lists are appended,
 * anything else that comes twice is an error naming both places (an equal `version` is not). Replaces ${NAME} and
 * ${NAME:-default} in values (not in keys); `$$` stays as it is and hides what follows, so `$${X}` is not replaced. env
 * may be NULL: nothing is set. Returns the root, kind CFG_MAP or CFG_NULL (all sources empty), or NULL after a syntax
 * error, a root that is no map, a limit passed, or no memory. Other errors leave a tree in which CFG_BAD marks the place. */
struct cfg_node *cfg_tree(const struct cfg_source *sources, size_t n, cfg_env_fn env, struct b_arena *arena,
                          struct cfg_errors *errors) __attribute__((warn_unused_result));

/* The entry of a map, or NULL. `node` may be NULL or of any kind. */
const struct cfg_node *cfg_node_get(const struct cfg_node *node, const char *name);
/* What it is, for messages: "a list", "a map", "empty", "a text". */
const char *cfg_node_kind(const struct cfg_node *node);
/* Texts for messages: in quotes, cut after 60 bytes; of a node, `${NAME}` stands in place of what the environment gave.
 * Return what to show, which may be buf. */
#define CFG_SHOWN_SIZE 96
const char *cfg_text_shown(struct b_slice text, char buf[CFG_SHOWN_SIZE]);
const char *cfg_node_shown(const struct cfg_node *node, char buf[CFG_SHOWN_SIZE]);

#endif
