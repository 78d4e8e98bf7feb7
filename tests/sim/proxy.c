/* The gateway under the simulator: clients on all workers ask through it, origins behind it answer, the config is
 * reloaded meanwhile, and at the end it drains; support/world.h tells what may go wrong. Always true must be:
 *
 *  - a request gets one answer at the most, its own, with the bytes that its origin sent for it and no others; and an
 *    origin gets the bytes of the client (support/talk.h), and never a part of a body as if it were whole;
 *  - what is not idempotent reaches origins once, what weir must refuse never;
 *  - the answer has begun, or the connection has ended, by the deadline; a body that stalls ends; who says nothing is
 *    hung up on;
 *  - requests, connections, permits, pins and memory all come back, and what is counted is what was asked.
 *
 *     sim_proxy [--seeds N] [--seed S] */
#include <errno.h>
#include <string.h>

#include "gateway/conn.h"
#include "runtime/sim.h"
#include "support/client.h"
#include "support/origin.h"
#include "support/rest.h"
#include "support/world.h"
#include "telemetry/http_metrics.h"

#define RELOADS 12

static void reload(unsigned number) {
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    world.options.config_text = b_slice_cstr(world.config[number % 2]);
    int rc = gw_reload(&world.gateway, &errors, NULL, GW_JSON);
    HOLDS(rc == 0 || world.weather.short_memory || (rc == -EBUSY && world.draining));
    cfg_errors_free(&errors);
}

static void reloader(void *arg) {
    (void)arg;
    for (unsigned i = 1; i < RELOADS && !rt_cancelled(); i++) {
        sim_pause(400 * RT_MS);
        reload(i);
    }
}

/* Nothing that weir does may depend on the wall clock, dates in messages apart (U15). */
static void clock_setter(void *arg) {
    (void)arg;
    while (!rt_cancelled()) {
        sim_pause(RT_S);
        rt_sim_set_wall_clock(rt_wall_clock() + (rt_time)sim_draw(48) * 3600 * RT_S - 24 * 3600 * RT_S);
    }
}

/* Loads differ little here, so workers are told to give. */
static void want_to_give(void *arg) {
    struct gw_giving *v = &gw_worker()->giving;
    (void)arg;
    v->left = (unsigned)sim_draw(4);
    v->to = (unsigned)sim_draw(rt_worker_count());
    v->look_at = RT_NEVER;
}

static void giver(void *arg) {
    (void)arg;
    unsigned seen = 0;
    while (!rt_cancelled()) {
        sim_pause(seen == world.count ? RT_S : 20 * RT_MS); /* there is nothing to give where nobody asks */
        seen = world.count;
        int rc = rt_on_all_workers("give", want_to_give, NULL);
        HOLDS(rc == 0 || world.weather.short_memory);
    }
}

static void drain(rt_time limit) {
    rt_time deadline = rt_after(rt_now(), limit);
    world.draining = true;
    sim_tell("drain");
    gw_drain(&world.gateway, deadline);
    if (rt_now() > deadline + world_slack())
        sim_broken("the drain lasts longer than it may");
    world.drained = true;
}

static void early_drain(void *arg) {
    (void)arg;
    sim_pause(6 * RT_S);
    drain(world.weather.hurried_drain ? (rt_time)sim_draw(300) * RT_MS : 200 * RT_S);
}

/* --- the end --- */

static void check_upstream(void) {
    (void)!rt_sleep_until(rt_after(rt_now(), 10 * RT_S)); /* pools that are being warmed */
    struct up_upstream *u = sim_upstream_rests(&world.gateway, B_LIT("u"));
    if (!u)
        return;
    totals.moved +=
        u->cluster->metrics.moved ? tel_series_value(u->cluster->metrics.moved) : 0; /* memory may be short */
    up_put(u);
}

/* In fair weather the metrics count what was answered; in bad weather some requests are served for nobody. (What is
 * sent behind a request that turns out to be the connection's last is never looked at.) */
static void check_counts(void) {
    uint64_t counted = 0, sent = world.parts, served = 0, answered = 0;
    for (struct tel_route *r = NULL; (r = tel_route_next(r));) {
        struct tel_route_totals t;
        tel_route_totals(r, &t);
        counted += t.durations.count;
    }
    for (unsigned i = 1; i <= world.count; i++) {
        sent += world.asks[i].began != 0;
        served += world.asks[i].seen > 0;
        answered += world.asks[i].answered;
    }
    HOLDS(tel_active_requests() == 0);
    bool all = world.weather.fair && !world.weather.early_drain;
    /* without memory for a fiber, a request is answered, but not counted as one */
    bool lost = (counted < served || counted < answered) && !world.weather.short_memory;
    if (counted > sent || lost || (all && (counted != answered || served != answered)))
        sim_broken("%llu requests were sent, %llu were counted, %llu reached origins, %llu were answered",
                   (unsigned long long)sent, (unsigned long long)counted, (unsigned long long)served,
                   (unsigned long long)answered);
}

static void check_rest(void) {
    check_upstream();
    sim_gateway_rests(&world.gateway);
    check_counts();
}

/* --- the run --- */

static void spawn(struct rt_scope *s, bool wanted, const char *name, void (*fn)(void *)) {
    if (wanted)
        HOLDS(rt_scope_spawn(s, name, fn, NULL) == 0);
}

static void director(void *arg) {
    struct cfg_errors errors;
    struct rt_scope s;
    const struct weather *w = &world.weather;
    (void)arg;
    cfg_errors_init(&errors);
    rt_scope_init(&s);
    origins_start();
    world.options = (struct gw_options){.config_name = "sim", .config_text = b_slice_cstr(world.config[0])};
    HOLDS(gw_start(&world.gateway, &world.options, &errors) == 0);
    spawn(&s, true, "reload", reloader);
    spawn(&s, w->early_drain, "drain", early_drain);
    spawn(&s, w->workers > 1, "give", giver);
    spawn(&s, w->clock_jumps, "clock", clock_setter);
    spawn(&s, w->short_memory, "saboteur", sim_saboteur);
    while (rt_on_all_workers("clients", clients_run, NULL) != 0)
        HOLDS(w->short_memory);
    while (w->early_drain && !world.drained)
        sim_pause(100 * RT_MS);
    rt_scope_leave(&s);
    if (!w->early_drain) {
        (void)!rt_sleep_until(rt_after(rt_now(), w->deadline + w->stall + world_slack()));
        HOLDS(!world.gateway.retired || w->short_memory); /* old configs are freed when nobody uses them */
        drain(90 * RT_S);
    }
    if (!w->hurried_drain)
        check_rest();
    totals.given += gw_given();
    (void)gw_quiet(&world.gateway);
    origins_stop();
    cfg_errors_free(&errors);
}

static void run(uint64_t seed) {
    struct rt_sim_result r;
    world_create(seed);
    const struct weather *w = &world.weather;
    struct rt_sim_config c = {.seed = seed, .workers = w->workers, .result = &r, .delay_max = w->delay_max};
    c.buffer_bytes = 1000 + seed * 7919 % 60000;
    c.resets = w->resets ? 2 : 0;
    c.connect_fail = w->refusals ? 30 : 0;
    c.accept_fail = w->accept_errors ? 50 : 0;
    sim_tell(
        "seed %llu:%s%s%s%s%s%s%s%s%s%s%s; %u workers, pool %u, deadline %lld ms, timeout %lld, stall %lld, header %lld",
        (unsigned long long)seed, w->resets ? " resets" : "", w->refusals ? " refusals" : "",
        w->accept_errors ? " accept_errors" : "", w->bad_origins ? " bad_origins" : "",
        w->slow_origins ? " slow_origins" : "", w->bad_clients ? " bad_clients" : "",
        w->slow_clients ? " slow_clients" : "", w->short_memory ? " short_memory" : "",
        w->crowded ? " crowded" : "", w->early_drain ? " early_drain" : "",
        w->hurried_drain ? " hurried_drain" : "", w->workers, w->pool, (long long)(w->deadline / RT_MS),
        (long long)(w->timeout / RT_MS), (long long)(w->stall / RT_MS),
        (long long)(w->header_timeout / RT_MS));
    tel_metrics_init(w->workers);
    HOLDS(tel_http_init() == 0);
    HOLDS(rt_sim_run(&c, director, NULL) == 0);
    gw_stop(&world.gateway);
    tel_http_free();
    tel_metrics_free();
    sim_all_freed(&r);
}

static bool summary(FILE *out) {
    const struct totals *t = &totals;
    fprintf(
        out,
        "answers: %llu whole, %llu weir's own, %llu broken off; %llu retries, %llu pipelines, %llu early, %llu tunnels; "
        "%llu connections given, %llu of upstreams moved",
        (unsigned long long)t->whole, (unsigned long long)t->refused, (unsigned long long)t->broken_off,
        (unsigned long long)t->retried, (unsigned long long)t->pipelined, (unsigned long long)t->early,
        (unsigned long long)t->tunnels, (unsigned long long)t->given, (unsigned long long)t->moved);
    return t->whole && t->refused && t->broken_off && t->retried && t->pipelined && t->early && t->loitered &&
           t->tunnels && t->given && t->moved;
}

int main(int argc, char **argv) {
    static const struct sim_program program = {.name = "sim_proxy", .run = run, .summary = summary};
    return sim_main(&program, argc, argv);
}
