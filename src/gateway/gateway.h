/* The gateway as a whole: what lives as long as the process, and the snapshot that is in force. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/module.h"
#include "runtime/worker.h"

struct cfg_files;
struct gw_router;
struct up_registry;
struct gw_jq;
struct st_registry;
struct st_store;

/* One element of a route's pipeline. */
struct gw_step {
    const struct gw_middleware *middleware;
    void *state;
};

/* A compiled route: immutable while its snapshot lives. */
struct gw_route {
    const struct cfg_route *conf; /* NULL for routes of weir's own (admin) */
    struct b_slice pattern;       /* as written; the http_route label */
    struct b_slice params[GW_PARAMS_MAX];
    unsigned param_count;
    rt_time deadline; /* span, ns */
    const struct gw_step *steps;
    unsigned step_count;
    const struct gw_handler *handler;
    void *state;
    uint64_t max_body; /* bytes */
    struct tel_route *metrics;
    uint64_t methods; /* bit set of enum http_method, all ones for every method; others by `others` */
    const struct cfg_list *method_names; /* struct cfg_text; NULL: all */
};

/* Everything a config amounts to. Built and checked whole, then published; lives until no request pins it. */
struct gw_snapshot {
    uint64_t generation;
    struct b_arena arena;
    struct cfg_files *files; /* sources, whose bytes the config points into */
    const struct cfg_root *root;
    const struct gw_router *router;
    struct http_limits limits;
    struct gateway *gateway;
    struct gw_route refusals; /* for requests that match none */
    struct gw_route **routes; /* all, in order */
    unsigned route_count;
    struct b_counter *pins; /* one cache line apart (8 counters), per worker: requests that hold it */
    struct gw_snapshot *older;
    struct gw_reference *references; /* reference.h */
    unsigned reference_count;
    struct gw_jq *programs;   /* jq.h */
    struct st_store **stores; /* in the order of root->stores */
    unsigned store_count;
    const struct cfg_middleware **middleware_instances; /* those in use, and their states */
    void **middleware_states;
    unsigned middleware_count;
};

struct gw_listener;

struct gw_options {
    const char *config_path;    /* file or directory; NULL: `config_text` */
    struct b_slice config_text; /* embedded default, with its name */
    const char *config_name;
    /* What serves the admin listener; run on a route of its own. */
    const struct gw_handler *admin;
};

struct gateway {
    const struct gw_options *options;
    _Atomic(struct gw_snapshot *) snapshot; /* published last */
    _Atomic(struct gw_snapshot *)
        current[RT_WORKERS_MAX]; /* what each worker serves; written by that worker */
    struct gw_snapshot *retired; /* older ones, still pinned */
    _Atomic uint64_t generation; /* of the snapshot in force */
    struct b_list listeners;     /* struct gw_listener */
    struct b_list tables;        /* struct gw_table */
    struct up_registry *upstreams;
    struct st_registry *stores;
    struct gw_registration {
        _Atomic bool running;    /* its fiber */
        _Atomic bool leaving;    /* it is to end, and not to come back */
        _Atomic bool registered; /* the node stands */
    } registration;
    struct gw_route admin_route;
    _Atomic uint64_t connections;
    _Atomic uint64_t requests;   /* in flight, of the process; for max_in_flight */
    _Atomic unsigned background; /* async calls that wait or run: a drain waits for them */
    struct { /* overload.h; `pressure` is asked where `requests` is counted: the same line */
        _Atomic unsigned char pressure; /* enum gw_pressure, and GW_LOOK */
        _Atomic bool looking;
        _Atomic uint64_t used, limit; /* for the metrics */
    } overload;
    _Atomic bool draining;
    _Atomic bool cut;         /* tunnels end */
    _Atomic bool reload_busy; /* held by a reload, or for a moment by a reaper; for good once `leaving` */
    _Atomic unsigned reapers_busy; /* reapers that hold it, or are about to try */
    _Atomic bool leaving;          /* reloads are over for good */
    _Atomic bool reload_ok;        /* the last reload */
    _Atomic int64_t reload_time;   /* wall clock, ns */
    rt_time started;
};

/* Loads the config, opens the listeners and starts serving on all workers. From the main fiber. 0, or -EINVAL with
 * errors. */
int gw_start(struct gateway *g, const struct gw_options *options, struct cfg_errors *errors);
/* Loads the config again and swaps the snapshot once all of it is good; every worker serves it when this returns. From
 * a fiber of any worker. 0; -EINVAL with errors (nothing changed); -EBUSY while another reload runs, or when the process
 * is leaving. `changes` (may be NULL) gets what differs: a JSON object, or lines for people. */
enum gw_format { GW_JSON, GW_TEXT };
int gw_reload(struct gateway *g, struct cfg_errors *errors, struct b_text *changes, enum gw_format format);
/* Stops taking new work: readyz turns 503 first, listeners close, idle connections close, requests in flight are
 * and async calls are finished until the deadline. */
void gw_drain(struct gateway *g, rt_time deadline);
/* The last things done by fibers: stops the remaining listeners (admin). Requests that still run are cancelled when the
 * main fiber returns. False: a store is not over (logged), so the process can only _exit. */
bool gw_quiet(struct gateway *g);
/* Frees everything: after rt_run has returned. */
void gw_stop(struct gateway *g);

/* The snapshot in force, pinned for the calling worker until gw_unpin. */
struct gw_snapshot *gw_pin(struct gateway *g);
/* Once more, for a fiber of this worker that outlives the exchange which has it pinned. */
void gw_pin_more(struct gw_snapshot *s);
void gw_unpin(struct gw_snapshot *s);

/* Builds a snapshot from sources without touching anything of the world but DNS-free checks: `weir check` and
 * `weir explain`. NULL with errors. */
struct gw_snapshot *gw_build(struct gateway *g, const struct gw_options *options, struct cfg_errors *errors);
void gw_snapshot_free(struct gw_snapshot *s);

/* Takes the pattern of a route apart: its next {parameter}, without braces. False at the end. */
bool gw_next_param(struct b_slice *rest, struct b_slice *name);
/* The methods that a route takes, as an Allow value in the arena; empty when memory is short. */
struct b_slice gw_route_allow(const struct gw_route *route, struct b_arena *arena);
/* The route of the admin listener. */
const struct gw_route *gw_admin_route(struct gateway *g);
/* Fails with ex->refusal: the handler of requests that match no route. */
extern const struct gw_handler gw_refuse;
/* register.c: weir's own node in ZooKeeper. Starts the fiber that looks after it, if the config in force asks for one and none
 * runs; it follows the config. From a fiber. */
void gw_register(struct gateway *g);
/* Takes the node away for good, so that nobody new comes; waits for that, but not for long. From a fiber. */
void gw_unregister(struct gateway *g);

/* changes.c: what differs between two snapshots, ending in a newline. */
void gw_write_changes(struct b_text *out, const struct gw_snapshot *old, const struct gw_snapshot *new,
                      enum gw_format format);

#endif
