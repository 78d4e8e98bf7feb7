/* `transform` of a proxy route: templates make the body that goes to the upstream, and the answer of what came back. */
#ifndef HANDLER_PROXY_TRANSFORM_H
#define HANDLER_PROXY_TRANSFORM_H

#include "gateway/module.h"
#include "upstream/attempt.h"

struct hd_transform_conf {
    struct cfg_head head; /* head.node NULL: none */
    const struct cfg_node *request, *response, *error;
    int64_t max_response;
};
extern const struct cfg_table hd_transform_table;

struct hd_transform; /* compiled: in the snapshot's arena */
/* NULL in *out where the route has none. 0, or negative after reporting. */
int hd_transform_open(const struct gw_open *o, const struct cfg_route *route,
                      const struct hd_transform_conf *conf, struct hd_transform **out);

struct hd_transforming; /* one request's */
/* Reads what the templates need of the request, and makes its new body. *out is to be given to hd_transform_end in any case
 * unless it is NULL. 0 or -(enum http_error). */
int hd_transform_begin(struct exchange *ex, const struct hd_transform *t, struct hd_transforming **out)
    __attribute__((warn_unused_result));
/* Puts the new body, if there is one, into the request that goes out, and takes off what would bring an answer that cannot be
 * read. 0 or -HTTP_E_OUT_OF_MEMORY. */
int hd_transform_request(struct exchange *ex, struct hd_transforming *tr, struct http_request *out,
                         struct up_client *client) __attribute__((warn_unused_result));
/* Whether there is a template for this answer. */
bool hd_transform_wants(const struct hd_transforming *tr, const struct exchange *ex, unsigned status);
/* Takes the whole answer and sends what the template makes of it. 0 or -(enum http_error). */
int hd_transform_answer(struct exchange *ex, struct hd_transforming *tr, struct up_exchange *x)
    __attribute__((warn_unused_result));
void hd_transform_end(struct hd_transforming *tr);

#endif
