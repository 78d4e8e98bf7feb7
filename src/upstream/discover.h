/* Discovery: one fiber for each cluster whose config asks for it looks where its endpoints are to be found, and gives the
 * cluster what it finds. What was found last stays in force while nothing, or nothing good, is found (U07, A10). */
#ifndef UPSTREAM_DISCOVER_H
#define UPSTREAM_DISCOVER_H

#include "base/arena.h"
#include "upstream/upstream.h"

/* Starts the cluster's discovery if the config in force asks for one and none runs; it follows the config, and ends when
 * there is none any more. From a fiber. */
void up_discover_start(struct up_cluster *c);
/* Whether endpoints are still awaited for the first time. */
bool up_discover_awaited(struct up_cluster *c);

/* --- for the sources --- */

#define UP_FOUND_MAX 10000

/* A whole list of endpoints, that lives in its arena. */
struct up_found {
    struct b_arena arena;
    struct up_target *targets;
    size_t count, cap;
    unsigned bad; /* entries that could not be used */
};
/* Adds http://host:port; an IPv6 address has no brackets. False: it is no address, or memory is short. */
bool up_found_add(struct up_found *f, struct b_slice host, unsigned port, int64_t weight);
bool up_found_url(struct up_found *f, const struct cfg_url *url, int64_t weight);

enum up_look { UP_LOOK_SAME, UP_LOOK_FOUND, UP_LOOK_FAILED };

struct up_discovery {
    struct up_cluster *cluster;
    const struct cfg_discover *conf;
    void *state;    /* the source's */
    rt_time next;   /* when to look again; the source sets it */
    int fd, events; /* or when this is ready; fd -1: none */
    char why[200];  /* of a failure */
};

struct up_source {
    /* Makes d->state. 0 or -ENOMEM. */
    int (*open)(struct up_discovery *d);
    /* Looks; may wait. `ready`: the events that the descriptor is ready for, 0 when it is just time. */
    enum up_look (*look)(struct up_discovery *d, int ready, struct up_found *found);
    void (*close)(struct up_discovery *d);
};
extern const struct up_source up_source_file, up_source_dns, up_source_zookeeper;

void up_discovery_failed(struct up_discovery *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* discover_node.c: the data of a node: HOST:PORT, or a map with address (or host, ip), port and weight. Adds it; false: it
 * is neither. */
bool up_found_node(struct up_found *f, struct b_slice data);

#endif
