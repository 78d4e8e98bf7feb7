/* Decoded options by their table: copies that outlive the load, and comparisons. */
#ifndef CONFIG_COPY_H
#define CONFIG_COPY_H

#include "base/arena.h"
#include "config/schema.h"

/* A deep copy of the struct `from` of the table into `to`, with all that it points to in the arena. Nodes become one
 * empty node (NULL stays NULL, so that what is absent stays so), a CFG_NODE and a resolved upstream become NULL. The table
 * names no modules. 0 or -ENOMEM. */
int cfg_copy(const struct cfg_table *table, const void *from, void *to, struct b_arena *arena)
    __attribute__((warn_unused_result));

/* Whether two structs of the table say the same, defaults put in; where something stands in the text does not count. A
 * CFG_NODE equals itself only. Modules are not looked at. */
bool cfg_equal(const struct cfg_table *table, const void *a, const void *b);
/* The same for the value of one option; both point to where its offset does. */
bool cfg_option_equal(const struct cfg_option *o, const void *a, const void *b);

#endif
