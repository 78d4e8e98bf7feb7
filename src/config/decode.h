/* From nodes to structs by the option tables. Internal to config/; config.h is the interface. */
#ifndef CONFIG_DECODE_H
#define CONFIG_DECODE_H

#include "config/schema.h"

/* A reference to an upstream, to be resolved at the end. */
struct cfg_ref {
    struct cfg_ref *next;
    struct cfg_upstream_ref *ref;
    const char *option; /* its name */
};

/* A module whose own check is still to come. */
struct cfg_module_check {
    struct cfg_module_check *next;
    const struct cfg_module_use *use;
};

struct cfg_decoder {
    struct b_arena *arena;
    struct cfg_errors *errors;
    const struct cfg_registry *registry;
    struct cfg_ref *refs;
    struct cfg_module_check *checks;
};

/* Fills conf, a zeroed struct of the table. `node` is NULL for one that consists of defaults, `at` gives the position
 * then and is never NULL. False when something was reported. */
bool cfg_decode_object(struct cfg_decoder *d, const struct cfg_table *table, const struct cfg_node *node,
                       const struct cfg_node *at, void *conf);
/* The options of a module; `node` and `at` as above. */
bool cfg_decode_module(struct cfg_decoder *d, const struct cfg_module *module, const struct cfg_node *node,
                       const struct cfg_node *at, struct cfg_module_use *use);
/* Any value by its option; `value` is where the offset points. */
bool cfg_decode_value(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                      void *value);

/* decode_list.c: the types that hold several values. The node is a list, a map or empty as the type asks. */
bool cfg_decode_items(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                      struct cfg_list *list);
/* A map that is a list of one (CFG_ONE). */
bool cfg_decode_one(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                    struct cfg_list *list);
/* `"name" cannot be VALUE: reason`, with the value left out where it is a secret. Returns false. */
bool cfg_refuse(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                const char *reason);
/* Zeroed memory of the load; NULL after reporting. */
void *cfg_decode_alloc(struct cfg_decoder *d, size_t size);
/* The modules that a table's key may name; NULL for none. */
const struct cfg_module *const *cfg_table_modules(const struct cfg_table *table,
                                                  const struct cfg_registry *registry);

#endif
