/* From a config to its plan. */
#include <string.h>

#include "store/store.h"
#include "support.h"
#include "test.h"
#include "upstream/upstream.h"

static void write_steps(struct b_text *out, const struct gw_route *r) {
    b_text_printf(out, "%.*s:", B_FMT(r->pattern));
    for (unsigned i = 0; i < r->step_count; i++)
        b_text_printf(out, " %s", r->steps[i].middleware->module.name);
    b_text_printf(out, " %s\n", r->handler->module.name);
}

static const char *plan(const struct gw_snapshot *s) {
    static char text[4096];
    struct b_text out = b_text_fixed(text, sizeof text - 1);
    for (unsigned i = 0; s && i < s->route_count; i++)
        write_steps(&out, s->routes[i]);
    if (s)
        write_steps(&out, &s->refusals);
    text[out.len] = 0;
    return text;
}

static const char config[] = "version: 1\n"
                             "listen: [\":8080\"]\n"
                             "limits: {max_body: 7KiB}\n"
                             "use: [request_id, access_log]\n"
                             "middleware:\n"
                             "  mark: {headers: {response: {set: {X-A: b}}}}\n"
                             "upstreams: {u: {endpoints: [\"http://127.0.0.1:1\"]}}\n"
                             "routes:\n"
                             "  - {match: /a, deadline: 2s, max_body: unlimited, use: [mark], respond: {}}\n"
                             "  - {match: /b, use: [mark], proxy: u}\n"
                             "  - {match: /c, max_body: 0B, proxy: u}\n";

TEST(global_middleware_is_outermost) {
    struct built b;
    build(&b, config);
    CHECK_STR(b.said, "");
    CHECK_STR(plan(b.snapshot), "/a: request_id access_log headers respond\n"
                                "/b: request_id access_log headers proxy\n"
                                "/c: request_id access_log proxy\n"
                                "none: request_id access_log refuse\n");
    unbuild(&b);
}

TEST(an_instance_has_one_state) {
    struct built b;
    build(&b, config);
    REQUIRE(b.snapshot);
    struct gw_route **r = b.snapshot->routes;
    CHECK_UINT(b.snapshot->middleware_count, 3);
    CHECK(r[0]->steps[2].state == r[1]->steps[2].state);
    CHECK(r[0]->steps[1].state == b.snapshot->refusals.steps[1].state);
    unbuild(&b);
}

TEST(routes_get_their_limits) {
    struct built b;
    build(&b, config);
    REQUIRE(b.snapshot);
    CHECK_INT(b.snapshot->routes[0]->deadline, 2 * RT_S);
    CHECK_INT(b.snapshot->routes[1]->deadline, 30 * RT_S);
    CHECK_UINT(b.snapshot->routes[0]->max_body, INT64_MAX);
    CHECK_UINT(b.snapshot->routes[1]->max_body, 7 * 1024);
    CHECK_UINT(b.snapshot->routes[2]->max_body, 0);
    CHECK_UINT(b.snapshot->generation, 1);
    unbuild(&b);
}

TEST(snapshots_share_what_has_not_changed) {
    struct built b;
    build(&b, config);
    REQUIRE(b.snapshot);
    struct gw_snapshot *second = gw_build(&b.gateway, &b.options, &b.errors);
    REQUIRE(second);
    struct up_upstream *u = up_get(b.gateway.upstreams, cfg_upstream_find(second->root, B_LIT("u")));
    CHECK_UINT(atomic_load(&u->refs), 5); /* two routes in each, and ours */
    gw_snapshot_free(b.snapshot);
    CHECK_UINT(atomic_load(&u->refs), 3);
    gw_snapshot_free(second);
    CHECK_UINT(atomic_load(&u->refs), 1);
    up_put(u);
    b.snapshot = NULL;
    unbuild(&b);
}

/* Wherever memory runs out, the build says so, and nothing is left behind (the harness looks for leaks). */
TEST(memory_runs_out_anywhere) {
    struct built b;
    build(&b, config);
    CHECK(b.snapshot);
    unbuild(&b);
    for (uint64_t n = 1;; n++) {
        memset(&b, 0, sizeof b);
        b.options = (struct gw_options){.config_text = b_slice_cstr(config), .config_name = "t"};
        b.gateway.options = &b.options;
        b.gateway.upstreams = up_registry_new();
        b.gateway.stores = st_registry_new();
        cfg_errors_init(&b.errors);
        b_alloc_fail_at(n);
        uint64_t before = b_alloc_failures();
        b.snapshot = gw_build(&b.gateway, &b.options, &b.errors);
        bool failed = b_alloc_failures() != before;
        b_alloc_fail_at(0);
        if (failed && !b.snapshot)
            CHECK(cfg_errors_any(&b.errors));
        CHECK(failed || b.snapshot);
        unbuild(&b);
        if (!failed) {
            CHECK(n > 20); /* it did fail before */
            break;
        }
    }
}

const struct test_case plan_tests[] = {
    {"global_middleware_is_outermost", global_middleware_is_outermost},
    {"an_instance_has_one_state", an_instance_has_one_state},
    {"routes_get_their_limits", routes_get_their_limits},
    {"snapshots_share_what_has_not_changed", snapshots_share_what_has_not_changed},
    {"memory_runs_out_anywhere", memory_runs_out_anywhere},
    {0},
};
