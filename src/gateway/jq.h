/* Programs of jq, where a template is not enough: {jq: "..."} in place of a whole template. Its input is an object of all names
 * that the template could use, its first output is the answer. libjq is loaded when a config has one; programs run on helper threads. */
#ifndef GATEWAY_JQ_H
#define GATEWAY_JQ_H

#include "gateway/template.h"

struct gw_jq;

/* Whether the node is {jq: "..."}. */
bool gw_jq_is(const struct cfg_node *node);
/* The template that makes the program's input, with the program behind it (json_foreign). NULL after reporting. */
struct json_node *gw_jq_compile(struct json_compiler *c, struct cfg_errors *errors,
                                const struct cfg_node *node);
/* Runs it over its input and appends what it makes; may wait. 0 or -(enum http_error), with the detail. */
int gw_jq_run(struct exchange *ex, struct gw_jq *jq, struct b_slice input, struct b_text *out)
    __attribute__((warn_unused_result));
/* Frees the programs of a snapshot. */
void gw_jq_close(struct gw_snapshot *s);

#endif
