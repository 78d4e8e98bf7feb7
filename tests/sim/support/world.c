#include "support/world.h"

#include <string.h>

#include "base/number.h"

struct world world;
struct totals totals;

static bool flip(struct b_rng *rng) {
    return b_rng_below(rng, 2) != 0;
}

static rt_time between(struct b_rng *rng, rt_time from, rt_time to) {
    return from + (rt_time)b_rng_below(rng, (uint64_t)(to - from));
}

static void draw_weather(struct weather *w, uint64_t seed) {
    struct b_rng rng = {.state = seed ^ 0x77656174686572};
    *w = (struct weather){.fair = seed % 2 == 0};
    w->workers = 1 + (unsigned)b_rng_below(&rng, RT_SIM_WORKERS_MAX);
    w->clients = 12 / w->workers;
    w->pool = b_rng_below(&rng, 3) ? 1 + (unsigned)b_rng_below(&rng, 6) : 1;
    w->delay_max = between(&rng, 50 * RT_US, 4 * RT_MS);
    w->early_drain = b_rng_below(&rng, 4) == 0;
    w->clock_jumps = b_rng_below(&rng, 4) == 0;
    w->deadline = 60 * RT_S, w->timeout = 50 * RT_S, w->stall = 30 * RT_S;
    w->header_timeout = 10 * RT_S, w->idle_timeout = 40 * RT_S;
    if (w->fair)
        return;
    bool *kinds[] = {&w->resets,      &w->refusals,     &w->accept_errors, &w->bad_origins, &w->slow_origins,
                     &w->bad_clients, &w->slow_clients, &w->short_memory,  &w->crowded};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        *kinds[i] = b_rng_below(&rng, 3) == 0;
    *kinds[b_rng_below(&rng, sizeof kinds / sizeof kinds[0])] = true;
    w->hurried_drain = w->early_drain && flip(&rng);
    if (flip(&rng)) {
        w->deadline = between(&rng, 400 * RT_MS, 3 * RT_S);
        w->timeout = between(&rng, 200 * RT_MS, 3 * RT_S);
        w->stall = between(&rng, 300 * RT_MS, 3 * RT_S);
        w->header_timeout = between(&rng, 200 * RT_MS, RT_S);
        w->idle_timeout = between(&rng, 400 * RT_MS, 3 * RT_S);
    }
}

static void write_configs(void) {
    const struct weather *w = &world.weather;
    char limits[512];
    (void)snprintf(
        limits, sizeof limits,
        "limits: {max_body: %uB, header_timeout: %lldus, body_timeout: %lldus, idle_timeout: %lldus, "
        "tunnel_idle_timeout: %lldus, "
        "max_connections: %u, max_in_flight: %u}\n",
        WORLD_BODY_MAX, (long long)(w->header_timeout / RT_US), (long long)(w->stall / RT_US),
        (long long)(w->idle_timeout / RT_US), (long long)(w->idle_timeout / RT_US), w->crowded ? 5 : 1000,
        w->crowded ? 4 : 1000);
    (void)snprintf(
        world.config[0], sizeof world.config[0],
        "version: 1\nlisten: [\"127.0.0.1:80\"]\nuse: [request_id]\n%s"
        "upstreams: {u: {timeout: %lldus, pool: {max_connections: %u, max_idle: %u}, endpoints: "
        "[\"http://127.0.0.1:9001\", \"http://127.0.0.1:9002\"%s]}}\n"
        "routes: [{match: /*, deadline: %lldus, proxy: {upstream: u, upgrade: [echo], trailers: [x-trailer]}}]\n",
        limits, (long long)(w->timeout / RT_US), w->pool, w->pool,
        w->fair ? "" : ", \"http://127.0.0.1:9009\"", (long long)(w->deadline / RT_US));
    (void)snprintf(
        world.config[1], sizeof world.config[1],
        "version: 1\nlisten: [\"127.0.0.1:80\", \"127.0.0.1:81\"]\n%s"
        "upstreams: {u: {timeout: %lldus, pool: {min_idle: 1}, endpoints: [\"http://127.0.0.1:9002\"]}}\n"
        "routes: [{match: /*, deadline: %lldus, proxy: {upstream: u, upgrade: [echo], trailers: [x-trailer]}}]\n",
        limits, (long long)(w->timeout / RT_US), (long long)(w->deadline / RT_US));
}

void world_create(uint64_t seed) {
    memset(&world, 0, sizeof world);
    draw_weather(&world.weather, seed);
    write_configs();
}

bool world_mishap(bool kind, uint64_t n) {
    return kind && sim_draw(n) == 0;
}

struct ask *world_ask(enum http_method method, unsigned *id) {
    if (world.count + 1 >= WORLD_ASKS)
        return NULL;
    *id = ++world.count;
    world.asks[*id].method = method;
    return &world.asks[*id];
}

struct ask *world_find(const struct http_fields *f, unsigned *id) {
    uint64_t n = 0;
    struct http_field *x = http_fields_find_name(f, B_LIT("x-id"));
    if (!x)
        return NULL;
    if (!b_parse_u64(http_field_value(x), &n) || n == 0 || n > world.count) {
        sim_broken("there is no request %.*s", B_FMT(http_field_value(x)));
        return NULL;
    }
    *id = (unsigned)n;
    return &world.asks[n];
}

rt_time world_slack(void) {
    return RT_S + 8 * world.weather.delay_max;
}
