/* Header names that a config may set: shared by the middleware and handlers that write fields. */
#ifndef MIDDLEWARE_NAMES_COMMON_H
#define MIDDLEWARE_NAMES_COMMON_H

#include "config/config.h"

/* Reports a header name that nobody may set or remove by config: one that is no name, that concerns a single connection
 * or the framing, or Host. 0 or -EINVAL. */
int mw_check_name(struct cfg_errors *errors, const struct cfg_node *node, struct b_slice name);
/* The same for the names of a map of strings. */
int mw_check_names(struct cfg_errors *errors, const struct cfg_list *map);

#endif
