/* Upstreams: what the config says about a service, and the registry of those in use. Shared by all workers and by all
 * snapshots that describe them the same way; the living side of all that have one name is their cluster. */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "config/config.h"
#include "http/h1_chunked.h"
#include "http/message.h"
#include "runtime/call.h"
#include "upstream/cluster.h"

/* Immutable. */
struct up_upstream {
    struct b_list link; /* of cluster->upstreams */
    struct up_cluster *cluster;
    _Atomic uint32_t refs;     /* states of handlers that use it, and 1 while it is its cluster's `current` */
    struct cfg_upstream conf;  /* a copy */
    struct http_limits limits; /* of responses */
    struct cfg_retry_on retry_on;
    struct b_arena arena;
};

/* One for the process. NULL when memory is short. */
struct up_registry *up_registry_new(void);
/* The config is in force: every upstream that it shares with a snapshot becomes the one that its cluster goes by, with its
 * limits, endpoints and balancer; clusters that it does not name are left to those who still use them. NULL: it names none.
 * From a fiber, may wait, not cancellable. What memory is too short for stays as it was; the log says so. */
void up_registry_publish(struct up_registry *r, const struct cfg_root *root);
/* From now on no connection is kept idle; closes those that are. From a fiber, as the process ends. */
void up_registry_close(struct up_registry *r);
/* Closes the idle connections of this worker, to all upstreams. */
void up_registry_clear_here(struct up_registry *r);
bool up_registry_closing(const struct up_registry *r);
/* Calls fn for each cluster of the config in force, under the registry's lock: fn does not wait. Any thread. */
void up_registry_each(struct up_registry *r, void (*fn)(struct up_cluster *c, void *arg), void *arg);
/* Only once every upstream has been put back. */
void up_registry_free(struct up_registry *r);

/* The upstream that this config describes: the one in use when nothing about it has changed, else a new one, of the same
 * cluster as others of its name. Counts a reference. NULL when memory is short. */
struct up_upstream *up_get(struct up_registry *r, const struct cfg_upstream *conf);
/* The current upstream of that name, with a reference; NULL: there is none. */
struct up_upstream *up_find(struct up_registry *r, struct b_slice name);
/* What the cluster goes by, with a reference; NULL: the config in force has none of its name. */
struct up_upstream *up_current(struct up_cluster *c);
/* Counts one more reference, for one who has one already. */
struct up_upstream *up_hold(struct up_upstream *u);
/* Gives a reference back; the last one of a cluster closes its idle connections. From a fiber, or with no worker running. */
void up_put(struct up_upstream *u);
/* Opens connections until pool.min_idle are there; from a fiber, may wait. */
void up_warm(struct up_upstream *u);

#endif
