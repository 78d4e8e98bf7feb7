/* The option tables as text for others: JSON Schema for editors, Markdown for people. Check out->failed at the end. */
#ifndef CONFIG_DESCRIBE_H
#define CONFIG_DESCRIBE_H

#include "config/schema.h"

struct cfg_root;

/* JSON Schema, draft 2020-12. */
void cfg_write_json_schema(struct b_text *out, const struct cfg_registry *registry);
/* docs/configuration.md. */
void cfg_write_docs(struct b_text *out, const struct cfg_registry *registry);
/* The config that the docs begin with; it loads with the modules proxy, respond, request_id and access_log. */
extern const char cfg_example[];
/* The loaded config as YAML with every default written out; secrets as "(secret)",
 * what came from the environment as its ${NAME}. What it writes loads again (but for the secrets). */
void cfg_write_effective(struct b_text *out, const struct cfg_root *root);
/* One scalar or CFG_NODE on one line, for people; "(secret)" for a secret. False: there is none, and nothing was written. */
bool cfg_write_value(struct b_text *out, const struct cfg_option *o, const void *value);

#endif
