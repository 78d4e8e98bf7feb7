/* Endpoints: the instances of a service, by their URL. One lives as long as a set names it, a connection is open to it or
 * an attempt is on its way, over all changes of the config: its pools, latency and health with it. */
#ifndef UPSTREAM_ENDPOINT_H
#define UPSTREAM_ENDPOINT_H

#include <stdatomic.h>

#include "base/counter.h"
#include "base/list.h"
#include "config/address.h"
#include "runtime/io.h"
#include "telemetry/metrics.h"

struct up_cluster;

/* Bits of up_endpoint.state: what keeps it from being picked, for now. */
enum up_state {
    UP_EJECTED = 1,  /* the breaker is open: too many attempts failed */
    UP_PROBING = 2,  /* the breaker is half-open, and its one probe on its way */
    UP_FAILING = 4,  /* active checks fail */
    UP_DRAINING = 8, /* no set names it any more */
    UP_TRIAL = 32,   /* the breaker is half-open, and waits for its one probe */
    UP_WARMING = 16, /* slow start: it is given a growing part of its share */
};
#define UP_AVOIDED (UP_EJECTED | UP_PROBING | UP_FAILING | UP_DRAINING)

/* What became of an attempt. */
enum up_outcome {
    UP_OK,             /* a response, and no 5xx */
    UP_CONNECT_FAILED, /* refused, unreachable, its name unknown, or too slow to accept */
    UP_RESET,          /* the connection ended before the response was whole */
    UP_TIMEOUT,        /* no head of a response within the upstream's timeout */
    UP_BAD_RESPONSE,   /* it breaks the rules of HTTP */
    UP_STATUS_5XX,     /* a response of 500 or more */
    UP_GONE,           /* the client left, or weir itself failed: says nothing of the endpoint */
    UP_OUTCOMES
};

/* Idle connections of one endpoint on one worker, the one used last first. Only that worker touches it, each request
 * does, so that they lie a cache line apart; others may look at the count. */
struct up_idle {
    struct b_list conns;
    struct b_counter count;
    char apart[64 - sizeof(struct b_list) - sizeof(struct b_counter)];
};

/* See latency.h. */
struct up_latency {
    _Atomic uint64_t average; /* ns; 0: nothing is known */
    _Atomic rt_time at;       /* when that was reckoned */
    _Atomic rt_time since;    /* when it last answered, or got something to do: rt_now */
};

/* See breaker.h. */
struct up_breaker {
    _Atomic uint32_t row;          /* failures in a row */
    _Atomic uint32_t counts[2][2]; /* this half of the window and the one before: attempts, failures */
    _Atomic rt_time half_began;
    _Atomic uint32_t last; /* enum up_outcome of the last failure; 0: there was none */
    _Atomic rt_time open_for, open_until, closed_at;
    _Atomic rt_time trial_since; /* it waits for its one request */
};

/* See health.h. */
struct up_health {
    bool checking;             /* a fiber does; under the cluster's lock */
    _Atomic uint32_t row;      /* results like the last one, in a row */
    _Atomic bool known;        /* there has been a result */
    _Atomic rt_time at;        /* of the last one; rt_now */
    _Atomic(const char *) why; /* it failed, static text; NULL: it passed */
};

struct up_endpoint {
    /* The low half counts the attempts on their way, which is its load; the high half connections and sets. It is freed when
     * both are 0. */
    _Atomic uint64_t users;
    _Atomic uint32_t state; /* enum up_state */
    struct up_latency latency;
    struct up_breaker breaker;
    struct up_health health;
    _Atomic bool denied_told; /* the log has said that its address is denied */
    _Atomic rt_time back_at;  /* when it joined, or was well again */
    struct up_cluster *cluster;
    struct b_list link;       /* of cluster->endpoints, under cluster->lock */
    char *text;               /* as the config or the discovery wrote it: the `endpoint` label */
    struct b_slice authority; /* Host for clients that sent none; "localhost" for unix */
    struct b_slice name;      /* to be resolved; empty when `address` is good */
    uint16_t port;
    struct rt_sockaddr address;
    struct tel_series *requests;
    _Atomic(struct tel_series *) failures[UP_OUTCOMES]; /* NULL until the first */
    struct up_idle idle[];                              /* of each worker */
};

#define UP_USER ((uint64_t)1 << 32) /* a connection or a set, in up_endpoint.users */

static inline uint32_t up_load(const struct up_endpoint *e) {
    return (uint32_t)atomic_load_explicit(&((struct up_endpoint *)(uintptr_t)e)->users, memory_order_relaxed);
}

static inline uint32_t up_state(const struct up_endpoint *e) {
    return atomic_load_explicit(&((struct up_endpoint *)(uintptr_t)e)->state, memory_order_relaxed);
}

/* Counts one more user, which is `UP_USER`, or 1 for an attempt; for one who knows that it lives. */
static inline void up_endpoint_hold(struct up_endpoint *e, uint64_t user) {
    atomic_fetch_add_explicit(&e->users, user, memory_order_relaxed);
}
/* Takes the user off again; the last one frees it. From any thread. */
void up_endpoint_put(struct up_endpoint *e, uint64_t user);

/* A new one, with one set as its user, not on any list yet. NULL when memory is short. */
struct up_endpoint *up_endpoint_new(struct up_cluster *c, const struct cfg_url *url);
/* One more set, for one who finds it on the cluster's list, under its lock. False: it is on its way out. */
bool up_endpoint_try_hold(struct up_endpoint *e);

/* Counts what became of an attempt; `trial`: it was the one that a half-open breaker lets through. `took` is the time from the attempt's begin to the head of the response, or to its failure. */
void up_endpoint_note(struct up_endpoint *e, enum up_outcome outcome, rt_time took, bool trial);

#endif
