/* YAML of the config as JSON text. */
#ifndef HANDLER_RESPOND_JSON_H
#define HANDLER_RESPOND_JSON_H

#include "config/node.h"

/* Appends the value. A scalar in quotes is a string; without quotes `true`, `false`, `null` and what JSON takes for a
 * number are those, anything else is a string. Pure. */
void hd_respond_json(struct b_text *out, const struct cfg_node *value);

#endif
