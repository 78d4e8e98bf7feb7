/* Upstreams: named groups of endpoints with their limits, shared by all workers and by all snapshots that describe them
 * the same way. */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "config/config.h"
#include "http/h1_chunked.h"
#include "http/message.h"
#include "runtime/call.h"
#include "runtime/io.h"
#include "runtime/sync.h"
#include "telemetry/metrics.h"

struct up_upstream;
struct up_registry;

/* Idle connections of one endpoint on one worker, the one used last first. Only that worker touches it, each request
 * does, so that they lie a cache line apart; others may look at the count. */
struct up_idle {
    struct b_list conns;
    struct b_counter count;
    char apart[64 - sizeof(struct b_list) - sizeof(struct b_counter)];
};

struct up_endpoint {
    struct up_upstream *upstream;
    char *text;               /* as the config wrote it: the `endpoint` label */
    struct b_slice authority; /* Host for clients that sent none; "localhost" for unix */
    struct b_slice name;      /* to be resolved; empty when `address` is good */
    uint16_t port;
    struct rt_sockaddr address;
    struct tel_series *requests;
    struct up_idle idle[]; /* of each worker; upstream->endpoint_size apart */
};

/* Figures of one upstream; the series live as long as the process. */
struct up_metrics {
    struct tel_series *duration, *retries, *reused, *moved, *pool_wait, *rejected, *connections;
};

struct up_upstream {
    struct b_list link;
    struct up_registry *registry;
    _Atomic uint32_t refs; /* states of handlers that use it */
    char *name;
    struct cfg_pool pool;
    int64_t max_in_flight;
    rt_time connect_timeout, timeout; /* spans */
    struct http_limits limits;        /* of responses */
    uint32_t attempts;
    uint32_t endpoint_count;
    struct up_endpoint **endpoints;
    int64_t *weights;
    uint16_t *schedule; /* endpoint numbers in the order of their turn, each as often as its weight says */
    uint32_t schedule_len;
    _Atomic uint32_t turn;
    _Atomic int64_t in_flight;
    /* Connections waiting in pools, over all workers. Raised before it is asked who waits for a permit; who waits stands
     * in the queue before he looks at it: so no connection goes idle unseen by one who needs it. */
    _Atomic int64_t idle;
    struct rt_sem connections; /* permits: pool.max_connections, one for each connection, idle or not */
    struct up_asked {
        struct rt_msg msg; /* asks a worker to pass idle connections to those who wait */
        _Atomic bool posted;
        struct up_upstream *upstream;
    } * asked; /* of each worker */
    struct up_metrics metrics;
};

/* One for the process. NULL when memory is short. */
struct up_registry *up_registry_new(void);
/* From now on no connection is kept idle; closes those that are. From a fiber, as the process ends. */
void up_registry_close(struct up_registry *r);
/* Closes the idle connections of this worker, to all upstreams. */
void up_registry_clear_here(struct up_registry *r);
bool up_registry_closing(const struct up_registry *r);
/* Only once every upstream has been put back. */
void up_registry_free(struct up_registry *r);

/* The upstream that this config describes: the one in use when nothing about it has changed (its pool and state live
 * on), else a new one. Counts a reference. NULL when memory is short. */
struct up_upstream *up_get(struct up_registry *r, const struct cfg_upstream *conf);
/* Counts one more reference, for one who has one already. */
struct up_upstream *up_hold(struct up_upstream *u);
/* The same for one who has none, but knows that it is not freed before he returns to the loop. False: it is on its way out. */
bool up_try_hold(struct up_upstream *u);
/* Gives a reference back; the last one closes its idle connections. From a fiber, or with no worker running. */
void up_put(struct up_upstream *u);
/* Opens connections until pool.min_idle are there; from a fiber, may wait. */
void up_warm(struct up_upstream *u);

/* --- for the folder --- */

/* The next endpoint in turn that is not in `tried` (a bit for each of the first 64); any when all have been tried. */
struct up_endpoint *up_balance(struct up_upstream *u, uint64_t *tried);
/* Fills u->schedule with a smooth weighted order (each step takes the endpoint that lags most behind its share).
 * 0 or -ENOMEM. */
int up_schedule(struct up_upstream *u);

#endif
