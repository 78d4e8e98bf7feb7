/* The tables of the root's parts, and the checks over the whole. Internal to config/. */
#ifndef CONFIG_TABLES_H
#define CONFIG_TABLES_H

#include "config/config.h"
#include "config/decode.h"

#define CFG_LISTENERS_MAX 256
#define CFG_USE_MAX 32 /* names in one `use` list */

extern const struct cfg_table cfg_log_table;      /* config.c */
extern const struct cfg_table cfg_listener_table; /* listen.c */
extern const struct cfg_table cfg_admin_table;    /* listen.c */
extern const struct cfg_table cfg_limits_table;   /* limits.c */
extern const struct cfg_table cfg_endpoint_table; /* upstream.c */
extern const struct cfg_table cfg_discover_table; /* discover.c */
extern const struct cfg_table cfg_retry_table;    /* retry.c */
void cfg_check_register(struct cfg_errors *errors, const struct cfg_root *root);
extern const struct cfg_table cfg_breaker_table;    /* health.c */
extern const struct cfg_table cfg_health_table;     /* health.c */
extern const struct cfg_table cfg_middleware_table; /* middleware.c */
extern const struct cfg_table cfg_route_table;      /* route.c */
extern const struct cfg_table cfg_reference_table;  /* reference.c */
extern const struct cfg_table cfg_store_table;      /* store.c */

/* Run when everything is decoded, errors or not; what they miss was reported. */
void cfg_link_listeners(struct cfg_decoder *d, struct cfg_root *root);
void cfg_link_routes(struct cfg_decoder *d, struct cfg_root *root);
/* False when a reference stays unresolved, so that modules must not look at theirs. */
bool cfg_link_upstreams(struct cfg_decoder *d, struct cfg_root *root);
void cfg_link_middleware(struct cfg_decoder *d, struct cfg_root *root);
void cfg_check_ties(struct cfg_decoder *d, const struct cfg_root *root); /* ties.c */

#endif
