/* Templates in the config, and what they see of a request: see json/template.h for the language. */
#ifndef GATEWAY_TEMPLATE_H
#define GATEWAY_TEMPLATE_H

#include "gateway/module.h"
#include "json/template.h"

/* A compiler for templates of a route: it knows the tables. */
struct json_compiler gw_template_compiler(const struct gw_open *o);
/* Compiles what stands at a node, as JSON: maps, lists and scalars as YAML has them, strings as templates, and maps with
 * `$each` or `$if`. What is wrong is reported at its line and column. NULL after that. */
struct json_node *gw_template(struct json_compiler *c, struct cfg_errors *errors,
                              const struct cfg_node *node);
/* A text with {expressions}: a path, a value of a header. */
struct json_node *gw_template_text(struct json_compiler *c, struct cfg_errors *errors, struct b_slice text,
                                   const struct cfg_node *node);
/* One expression: a reference to an array. */
struct json_node *gw_template_expression(struct json_compiler *c, struct cfg_errors *errors,
                                         struct b_slice text, const struct cfg_node *node);
/* A name of the config as a slot; negative after reporting. `what` tells what is named: "a call". */
int gw_template_name(struct json_compiler *c, struct cfg_errors *errors, struct b_slice name,
                     const char *what, const struct cfg_node *node);
/* The parameters of the route's path: the first slots. 0 or negative after reporting. */
int gw_template_params(struct json_compiler *c, struct cfg_errors *errors, const struct cfg_route *route);
/* Writes the JSON of a template that names nothing. False when it does, or makes none. */
bool gw_template_fixed(const struct json_compiler *c, const struct json_node *n, struct b_text *out);

/* What a request's templates are evaluated over. */
struct gw_view {
    struct exchange *ex;
    struct json_env env;
    struct json_index body; /* of the request, where a template reads it */
    struct b_text body_text;
    struct b_slice missing; /* JSON: the names of weak calls that failed */
};
/* `slots` and `specials` of the compiler; the slots of the path's parameters are set. 0, or -(enum http_error): the body that a
 * template reads is no JSON, empty, too long or does not come. gw_view_close is due either way. May wait for the body. */
int gw_view_open(struct gw_view *v, struct exchange *ex, unsigned slots, uint32_t specials)
    __attribute__((warn_unused_result));
void gw_view_close(struct gw_view *v);
/* Evaluates as JSON. 0; -HTTP_E_TEMPLATE_FAILED, with the detail; -HTTP_E_OUT_OF_MEMORY. */
int gw_view_write(struct gw_view *v, const struct json_node *n, struct b_text *out)
    __attribute__((warn_unused_result));
/* As text. The same. */
int gw_view_text(struct gw_view *v, const struct json_node *n, enum json_place place, struct b_text *out)
    __attribute__((warn_unused_result));
/* As a value; null after a failure. The same. */
int gw_view_value(struct gw_view *v, const struct json_node *n, struct json_operand *out)
    __attribute__((warn_unused_result));
/* The request's body is no JSON: gives -HTTP_E_BAD_JSON, with its place as the detail. */
int gw_bad_json(struct exchange *ex, const struct json_fault *f);
/* Indexes a JSON text of up to some megabytes, on a helper thread if it is long; `unique`: no object may have a key twice (R12). 0, -EINVAL and
 * *fault, -ENOMEM, -E2BIG. May wait. */
int gw_index_json(struct json_index *x, struct b_slice text, bool unique, struct json_fault *fault)
    __attribute__((warn_unused_result));

#endif
