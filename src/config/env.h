/* ${NAME} and ${NAME:-default} in the values of the config. Internal to config/. */
#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

#include "config/node.h"

#define CFG_ENV_TEXT_MAX ((size_t)1 << 20) /* bytes of a value after the replacement */

/* Replaces the variables in node->raw and sets node->text and node->from_env; a failure is reported and makes the node
 * CFG_BAD. Returns false on no memory only. */
bool cfg_env_expand(struct cfg_node *node, cfg_env_fn env, struct b_arena *arena, struct cfg_errors *errors);

#endif
