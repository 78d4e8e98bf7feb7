/* What a proxy route changes about the target of a request: path, query and Host. */
#ifndef HANDLER_PROXY_PATH_H
#define HANDLER_PROXY_PATH_H

#include "gateway/module.h"

struct hd_rewrite_conf {
    struct cfg_head head; /* head.node NULL: none */
    struct b_slice regex, to;
};

struct hd_query_conf {
    struct cfg_head head;
    struct cfg_list set, add; /* struct cfg_text with names */
    struct cfg_list remove;   /* struct cfg_text */
};

struct hd_path_conf {
    struct b_slice strip_prefix, add_prefix;
    struct cfg_list rewrite; /* struct hd_rewrite_conf: the first one that matches */
    struct hd_query_conf query;
    struct b_slice host;
};

extern const struct cfg_table hd_rewrite_table, hd_query_table;

/* Checks the whole. 0 or negative, reported. */
int hd_path_check(struct cfg_errors *errors, const struct cfg_node *node, struct hd_path_conf *conf);

struct hd_path;
/* Compiles it; NULL in *out when there is nothing to change. 0 or negative, reported. hd_path_free is due. */
int hd_path_open(const struct gw_open *o, const struct hd_path_conf *conf, struct hd_path **out);
void hd_path_free(struct hd_path *p);
/* Changes path, query and authority of the request on its way out; what they point to lies in the exchange's arena or the
 * config. 0, or -(enum http_error). */
int hd_path_apply(struct exchange *ex, const struct hd_path *p, struct http_request *out)
    __attribute__((warn_unused_result));

#endif
