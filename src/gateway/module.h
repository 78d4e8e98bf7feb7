/* Handlers and middleware: one file and one line in src/modules.def each. */
#ifndef GATEWAY_MODULE_H
#define GATEWAY_MODULE_H

#include "config/config.h"
#include "gateway/exchange.h"

struct gateway;

/* What open may use while a snapshot is built. */
struct gw_open {
    struct gateway *gateway;
    struct gw_snapshot *snapshot;
    struct b_arena *arena; /* of the snapshot */
    struct cfg_errors *errors;
};

/* Answers requests. The conf is what the option table decoded; the state is what open made of it. */
struct gw_handler {
    struct cfg_module module; /* name, one-sentence summary, option table, check */
    /* Makes the state of one route when a snapshot is built. 0, or negative (reported to open->errors). May be NULL:
     * the state is then the conf. */
    int (*open)(const struct gw_open *open, const struct cfg_route *route, const void *conf, void **state);
    /* Called when the snapshot goes. May be NULL. */
    void (*close)(void *state);
    /* Answers, or returns -(enum http_error) without having sent anything. May wait. */
    int (*run)(struct exchange *ex, void *state);
    /* The most bytes of a request's body, for routes that say nothing of it. May be NULL: `limits` says it. */
    uint64_t (*max_body)(const void *conf);
    /* How many requests one request makes to this upstream at the most, retries left aside; u NULL: to all of them. May be
     * NULL: none. For `weir plan` and `weir explain`. */
    unsigned (*calls)(const void *conf, const struct cfg_upstream *u);
    /* Lines about what the options amount to, each behind `indent`. May be NULL. For `weir explain`. */
    void (*explain)(const void *state, const char *indent, struct b_text *out);
};

/* Wraps the rest of the way: run calls gw_next(ex) once, or answers itself. */
struct gw_middleware {
    struct cfg_module module;
    int (*open)(const struct gw_open *open, const struct cfg_middleware *instance, const void *conf,
                void **state);
    void (*close)(void *state);
    int (*run)(struct exchange *ex, void *state);
};

/* The rest of the way. Whatever fails on it has been answered when it returns (ex->error tells), so that what stands
 * behind the call in a middleware sees the final status in ex->res.status. 0 always. */
int gw_next(struct exchange *ex);

/* All that are built in, from src/modules.def; end with NULL. */
extern const struct gw_handler *const gw_handlers[];
extern const struct gw_middleware *const gw_middlewares[];
/* The same for the config loader. */
const struct cfg_registry *gw_registry(void);

#endif
