/* The world around the gateway in sim_proxy: its weather, which follows from the seed, and the ledger of all requests.
 *
 * Even seeds have fair weather: network, origins and clients are good, and then every request must be answered by its
 * origin's answer. Odd seeds draw what is bad from the list below. */
#ifndef SIM_SUPPORT_WORLD_H
#define SIM_SUPPORT_WORLD_H

#include "gateway/gateway.h"
#include "support/run.h"
#include "support/servers.h"

#define WORLD_ASKS 4096
#define WORLD_ORIGINS 2 /* ports 9001 on; nobody listens on 9009 */
#define WORLD_BODY_MAX 100000

struct weather {
    bool fair;
    bool resets;        /* connections break at any point */
    bool refusals;      /* connects fail, or hang */
    bool accept_errors; /* accept fails now and then */
    bool
        bad_origins; /* they close early, stop half-way, send nonsense, too much, too many interim responses */
    bool slow_origins;  /* they hang, or stall half-way */
    bool bad_clients;   /* they send nonsense, disappear, pipeline behind a bad request */
    bool slow_clients;  /* they stall half-way, and are slow to read */
    bool short_memory;  /* allocations fail */
    bool crowded;       /* max_connections and max_in_flight are small */
    bool early_drain;   /* it drains in the middle of the work; in fair weather too */
    bool hurried_drain; /* and does not wait for all of it */
    bool clock_jumps;   /* of the wall clock; in fair weather too */
    unsigned workers, clients, pool;
    rt_time deadline, timeout, stall, header_timeout, idle_timeout, delay_max;
};

/* What is known of a request. `id` is its index. */
struct ask {
    enum http_method method;
    bool bad;           /* the client does something that weir may refuse with 4xx */
    bool unfit;         /* it must never reach an origin */
    bool vanishes;      /* the client leaves in the middle of it, so that no origin may see it whole */
    bool invited;       /* 100 Continue has come */
    bool early;         /* an answer has begun before the body was there */
    bool one_zero;      /* HTTP/1.0 */
    bool upgrade;       /* it asks for a tunnel */
    bool switched;      /* and 101 has come */
    bool sent;          /* all of it has gone out */
    bool answered;      /* the head of an answer has come */
    uint8_t seen;       /* how often origins have had its head */
    uint16_t status[2]; /* of its origins' last two answers */
    rt_time began;      /* when its first byte went out; 0: not yet */
    rt_time progress;   /* when an origin got bytes of its body: each piece begins the deadline anew */
    rt_time paused;     /* since when its client sends nothing of its body; 0: it does */
};

struct world {
    struct weather weather;
    struct gateway gateway;
    struct gw_options options;
    struct sim_servers origins;
    struct ask asks[WORLD_ASKS];
    unsigned count; /* asks that are given out */
    unsigned parts; /* parts of heads that were sent and are no asks */
    bool draining;  /* told to the gateway */
    bool drained;   /* and done */
    char config[2][2048];
};

/* What all seeds have done together. */
struct totals {
    uint64_t whole, refused, broken_off, retried, pipelined, loitered, early, tunnels, given, moved;
};

extern struct world world;
extern struct totals totals;

void world_create(uint64_t seed);
/* In bad weather of that kind, once in n times. */
bool world_mishap(bool kind, uint64_t n);

/* A new request. NULL when all numbers are used up. */
struct ask *world_ask(enum http_method method, unsigned *id);
/* The one that these fields name, or NULL: told as broken. */
struct ask *world_find(const struct http_fields *f, unsigned *id);

/* How much later than its limit something may be seen: the time that it travels, and turns of workers that are held. */
rt_time world_slack(void);

#endif
