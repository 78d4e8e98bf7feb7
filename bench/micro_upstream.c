/* Nanoseconds for picking one of 100 endpoints, by each balancer: the pick alone, and with what an attempt does around it
 * (counting itself in and out). The best of several rounds, since whatever else runs on the machine only ever adds. Where all
 * endpoints have something to do, least_request looks at each of them; one is ejected in the second column. */
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "upstream/upstream.h"

#define ENDPOINTS 100
#define ROUNDS 15
#define RUNS 200000

static struct up_set *set;
static struct up_pick pick_;
static volatile uint32_t sink;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pick_only(void) {
    pick_.hash = b_rng_next(pick_.rng);
    sink = set->balancer->pick(set, &pick_);
}

static void pick_and_put(void) {
    pick_.hash = b_rng_next(pick_.rng);
    pick_.tried_count = 0;
    up_endpoint_put(up_set_pick(set, &pick_), 1);
}

static double measure(void (*run)(void)) {
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < RUNS; i++)
            run();
        double ns = (now_ns() - start) / RUNS;
        best = ns < best ? ns : best;
    }
    return best;
}

static struct up_upstream *open_upstream(struct up_registry *r, int balance, bool weights) {
    static struct cfg_endpoint endpoints[ENDPOINTS];
    static char texts[ENDPOINTS][32];
    for (int i = 0; i < ENDPOINTS; i++) {
        int n = snprintf(texts[i], sizeof texts[i], "http://10.0.0.%d:80", i + 1);
        if (cfg_parse_url(b_slice(texts[i], (size_t)n), &endpoints[i].url))
            return NULL;
        endpoints[i].weight = weights ? 1 + i % 7 : 1;
    }
    struct cfg_upstream conf = {.head = {.name = B_LIT("u")},
                                .endpoints = {.items = endpoints,
                                              .count = ENDPOINTS,
                                              .item_size = sizeof endpoints[0]},
                                .balance = balance,
                                .max_in_flight = 1000,
                                .pool = {.max_connections = 1000}};
    return up_get(r, &conf);
}

static void one(const char *name, int balance, bool weights, unsigned busy) {
    static struct b_rng rng = {1};
    struct up_registry *r = up_registry_new();
    struct up_upstream *u = r ? open_upstream(r, balance, weights) : NULL;
    if (!u) {
        printf("%s: no memory\n", name);
        return;
    }
    set = up_cluster_set(u->cluster);
    pick_ = (struct up_pick){.rng = &rng, .now = RT_S};
    for (uint32_t i = 0; i < set->count; i++) {
        struct up_endpoint *e = set->members[i].endpoint;
        up_endpoint_hold(e, busy ? busy + i % 3 : 0);
        atomic_store(&e->latency.average, 1000000 + i);
        atomic_store(&e->latency.at, RT_S - 1);
        atomic_store(&e->latency.since, RT_S - 1);
    }
    atomic_fetch_sub(&u->cluster->permits.available, busy ? ENDPOINTS * (busy + 1) : 0);
    uint64_t before = b_alloc_calls();
    double alone = measure(pick_only), whole = measure(pick_and_put);
    up_cluster_mark(set->members[7].endpoint, UP_EJECTED, 0);
    double ejected = measure(pick_only);
    printf("%-32s %10.1f %22.1f %16.1f %12llu\n", name, alone, ejected, whole,
           (unsigned long long)(b_alloc_calls() - before));
    for (uint32_t i = 0; i < set->count; i++)
        up_endpoint_put(set->members[i].endpoint, busy ? busy + i % 3 : 0);
    up_put(u);
    up_registry_free(r);
}

int main(void) {
    tel_metrics_init(1);
    printf("%-32s %10s %22s %16s %12s\n", "100 endpoints, ns", "pick", "pick, one is ejected",
           "with in and out", "allocations");
    one("round_robin", CFG_ROUND_ROBIN, false, 1);
    one("weighted_round_robin", CFG_WEIGHTED_ROUND_ROBIN, true, 1);
    one("random", CFG_RANDOM, false, 1);
    one("random, weights", CFG_RANDOM, true, 1);
    one("least_request", CFG_LEAST_REQUEST, false, 0);
    one("least_request, all busy", CFG_LEAST_REQUEST, false, 1);
    one("least_request, weights, busy", CFG_LEAST_REQUEST, true, 1);
    one("p2c", CFG_P2C, false, 1);
    one("p2c, weights", CFG_P2C, true, 1);
    one("consistent_hash", CFG_CONSISTENT_HASH, false, 1);
    return 0;
}
