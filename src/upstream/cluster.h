/* Clusters: the living side of upstreams, one for each name, over all changes of the config: endpoints, pools, permits,
 * figures. What the config says stands in up_upstream, of which a cluster has one for each config that is still in use,
 * and `current` is that of the config in force. */
#ifndef UPSTREAM_CLUSTER_H
#define UPSTREAM_CLUSTER_H

#include "runtime/sync.h"
#include "upstream/budget.h"
#include "upstream/deny.h"
#include "upstream/set.h"

struct up_upstream;
struct up_registry;

/* Figures of one upstream; the series live as long as the process. */
struct up_metrics {
    struct tel_series *duration, *retries, *hedges, *hedges_won, *exhausted, *reused, *moved, *pool_wait,
        *queue_wait, *rejected, *connections;
};

struct up_cluster {
    struct b_list link; /* of the registry */
    struct up_registry *registry;
    _Atomic uint32_t refs; /* upstreams, and who passes connections on */
    char *name;
    pthread_mutex_t lock; /* of endpoints, the pointer to the set and its marks; never held across a wait */
    struct b_list endpoints;
    _Atomic(struct up_set *) set;
    struct rt_sem changing;  /* one at a time gives it another set */
    struct b_list upstreams; /* under the registry's lock */
    struct up_upstream
        *current; /* NULL: the config in force has none of this name; under the registry's lock */
    /* Limits of the pool, of the config in force. */
    _Atomic int64_t max_connections, max_in_flight, max_idle, min_idle, max_idle_time, max_lifetime,
        slow_start;
    struct up_breaker_options {
        _Atomic int64_t on, named; /* named: by the config, so that it holds for one endpoint alone, too */
        _Atomic int64_t failure_percent, min_requests, window, open_for, max_open_for, consecutive_failures;
        _Atomic int64_t connect_timeout;
    } breaker;
    struct rt_sem permits;     /* max_in_flight, one for each request: the bulkhead */
    struct rt_sem connections; /* max_connections, one for each connection, idle or not */
    /* Connections waiting in pools, over all workers. Raised before it is asked who waits for a permit; who waits stands
     * in the queue before he looks at it: so no connection goes idle unseen by one who needs it. */
    _Atomic int64_t idle;
    struct up_asked {
        struct rt_msg msg; /* asks a worker to pass idle connections to those who wait */
        _Atomic bool posted;
        struct up_cluster *cluster;
    } * asked; /* of each worker */
    struct up_finding {
        bool running;       /* its fiber; under `lock` */
        _Atomic bool asked; /* there has been an answer, good or bad */
        _Atomic bool failing;
        _Atomic rt_time good_at; /* rt_now of the last good answer; 0: none */
    } discovery;
    struct up_deny deny; /* under `lock` */
    struct up_budget budget;
    struct up_metrics metrics;
};

/* The set at this moment: until the next wait. */
static inline struct up_set *up_cluster_set(struct up_cluster *c) {
    return atomic_load_explicit(&c->set, memory_order_acquire);
}

/* Requests that have a permit of the bulkhead. */
static inline int64_t up_cluster_in_flight(struct up_cluster *c) {
    return atomic_load_explicit(&c->max_in_flight, memory_order_relaxed) -
           atomic_load_explicit(&c->permits.available, memory_order_relaxed);
}

/* One endpoint as the config or a discovery names it. */
struct up_target {
    const struct cfg_url *url;
    int64_t weight; /* 1 or more */
};

/* Gives the cluster these endpoints (the same URL twice counts once, the first time). Those it had before live on, those
 * that are gone drain: attempts on their way end as they may, their connections are closed. From a fiber, waits until
 * every worker has taken them; not cancellable. `only_for`: unless the cluster has come to go by another upstream; NULL:
 * in any case. 0; 1 when nothing changes; -ENOMEM: nothing has changed. */
int up_cluster_apply(struct up_cluster *c, const struct up_upstream *only_for, int balance,
                     const struct up_target *targets, size_t count) __attribute__((warn_unused_result));

/* Sets bits of an endpoint's state and clears others, and marks the set anew. Any thread. */
void up_cluster_mark(struct up_endpoint *e, uint32_t set, uint32_t clear);

/* Counts one more reference, for one who has one already, or an upstream of it. */
static inline void up_cluster_hold(struct up_cluster *c) {
    atomic_fetch_add(&c->refs, 1);
}
/* One more reference for one who has none, but knows that it is not freed before he returns to the loop. False: it is on
 * its way out. */
bool up_cluster_try_hold(struct up_cluster *c);
/* Gives a reference back; the last one closes its idle connections and frees it. From a fiber, or with no worker
 * running. */
void up_cluster_put(struct up_cluster *c);

/* The endpoints that a config names itself, for b_free; NULL when memory is short. They point into it. */
struct up_target *up_targets(const struct cfg_upstream *conf);

/* For upstream.c. A new one, with the config's own endpoints and one reference; not on a list. NULL when memory is
 * short. */
struct up_cluster *up_cluster_new(struct up_registry *r, const struct cfg_upstream *conf);
/* Takes the limits of this config. */
void up_cluster_limits(struct up_cluster *c, const struct cfg_upstream *conf);
/* In upstream.c: takes a reference off; true when it was the last one, and it is off the registry's list. */
bool up_registry_drop(struct up_registry *r, struct up_cluster *c);
/* rt_on_all_workers, tried again for a while: memory or fibers may be short for a moment. */
int up_on_all_workers(const char *name, void (*fn)(void *), void *arg);

#endif
