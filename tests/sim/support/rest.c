#include "support/rest.h"

#include "net/address.h"

struct rt_sockaddr sim_address(uint16_t port) {
    static const uint8_t loopback[16] = {127, 0, 0, 1};
    struct rt_sockaddr a;
    net_ipv4(&a, loopback, port);
    return a;
}

struct up_upstream *sim_upstream_rests(struct gateway *g, struct b_slice name) {
    const struct gw_snapshot *s = atomic_load(&g->snapshot);
    struct up_upstream *u = up_get(g->upstreams, cfg_upstream_find(s->root, name));
    HOLDS(u != NULL);
    if (!u)
        return NULL;
    struct up_cluster *c = u->cluster;
    HOLDS(atomic_load(&c->permits.available) == u->conf.max_in_flight);
    HOLDS(rt_sem_waiting(&c->permits) == 0 && rt_sem_waiting(&c->connections) == 0);
    HOLDS(atomic_load(&c->connections.available) + atomic_load(&c->idle) == u->conf.pool.max_connections);
    return u;
}

static void check_pins(struct gateway *g) {
    for (const struct gw_snapshot *s = atomic_load(&g->snapshot); s; s = s->older) {
        uint64_t pins = 0;
        for (unsigned i = 0; i < rt_worker_count(); i++)
            pins += b_counter_get(&s->pins[i * 8]);
        HOLDS(pins == 0);
    }
}

void sim_gateway_rests(struct gateway *g) {
    HOLDS(atomic_load(&g->requests) == 0);
    HOLDS(atomic_load(&g->connections) == 0);
    check_pins(g);
}

void sim_all_freed(const struct rt_sim_result *r) {
    HOLDS(rt_fiber_count() == 0);
    HOLDS(r->handles == 0);
    for (int tag = 0; tag < B_TAG_COUNT; tag++)
        if (b_alloc_stat((enum b_tag)tag).bytes)
            sim_broken("%llu bytes of %s are left", (unsigned long long)b_alloc_stat((enum b_tag)tag).bytes,
                       b_alloc_stat((enum b_tag)tag).name);
}
