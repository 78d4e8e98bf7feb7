/* Sets that change under those who pick from them. */
#include "upstream/cluster.h"

#include <errno.h>
#include <stdio.h>

#include "config/config.h"
#include "test.h"
#include "upstream/upstream.h"

#define URLS 8
#define ROUNDS 200
#define PICKERS 4 /* on each worker */

static struct cfg_url urls[URLS];
static struct up_cluster *cluster;
static struct up_upstream *upstream;
static struct up_registry *registry;
static _Atomic bool over;
static _Atomic uint64_t picked, nobody;

static void open_cluster(void) {
    static char texts[URLS][32];
    static struct cfg_endpoint first = {.weight = 1};
    for (int i = 0; i < URLS; i++) {
        int n = snprintf(texts[i], sizeof texts[i], "http://127.0.0.1:%d", 9000 + i);
        CHECK(!cfg_parse_url(b_slice(texts[i], (size_t)n), &urls[i]));
    }
    first.url = urls[0];
    struct cfg_upstream conf = {.head = {.name = B_LIT("u")},
                                .breaker = {.head = {.given = true}, .enabled = true},
                                .endpoints = {.items = &first, .count = 1, .item_size = sizeof first},
                                .pool = {.max_connections = 10, .max_idle = 10},
                                .max_in_flight = 10};
    registry = up_registry_new();
    REQUIRE(registry);
    upstream = up_get(registry, &conf);
    REQUIRE(upstream);
    cluster = upstream->cluster;
}

static void close_cluster(void) {
    up_put(upstream);
    up_registry_free(registry);
}

static int apply(const unsigned *which, size_t count) {
    struct up_target targets[URLS];
    for (size_t i = 0; i < count; i++)
        targets[i] = (struct up_target){&urls[which[i]], 1 + (int64_t)which[i]};
    return up_cluster_apply(cluster, NULL, CFG_ROUND_ROBIN, targets, count);
}

static unsigned endpoints(void) {
    unsigned n = 0;
    pthread_mutex_lock(&cluster->lock);
    B_LIST_EACH(it, &cluster->endpoints)
        n++;
    pthread_mutex_unlock(&cluster->lock);
    return n;
}

/* --- one after the other --- */

static void changes(void *arg) {
    (void)arg;
    open_cluster();
    struct up_endpoint *first = up_cluster_set(cluster)->members[0].endpoint;
    CHECK_INT(apply((const unsigned[]){0, 1, 2}, 3), 0);
    CHECK_INT(apply((const unsigned[]){0, 1, 2}, 3), 1); /* nothing new */
    CHECK_UINT(up_cluster_set(cluster)->count, 3);
    CHECK(up_cluster_set(cluster)->members[0].endpoint == first);
    CHECK_INT(apply((const unsigned[]){2, 2, 2, 1}, 4), 0); /* twice counts once */
    CHECK_UINT(up_cluster_set(cluster)->count, 2);
    CHECK_UINT(endpoints(), 2);

    struct up_pick p = {0};
    struct up_endpoint *held = up_set_pick(up_cluster_set(cluster), &p);
    CHECK_INT(apply(NULL, 0), 0);
    CHECK(!up_set_pick(up_cluster_set(cluster), &p));
    CHECK_UINT(endpoints(), 1); /* an attempt is on its way to it */
    CHECK_UINT(up_state(held), UP_DRAINING);
    CHECK_INT(apply((const unsigned[]){1, 2}, 2), 0);
    CHECK(up_cluster_set(cluster)->members[0].endpoint == held ||
          up_cluster_set(cluster)->members[1].endpoint == held); /* it is back before it was gone */
    CHECK_UINT(up_state(held), 0);
    CHECK_UINT(up_load(held), 1);
    up_endpoint_put(held, 1);
    up_cluster_mark(held, UP_EJECTED, 0);
    atomic_store(&held->latency.average, 77);
    up_cluster_mark(held, UP_FAILING, UP_EJECTED);
    CHECK_UINT(held->latency.average, 77); /* ill for another reason */
    up_cluster_mark(held, 0, UP_FAILING);
    CHECK_UINT(held->latency.average, 0); /* well again: p2c begins anew */
    CHECK_INT(apply((const unsigned[]){5}, 1), 0);
    CHECK_UINT(endpoints(), 1);
    close_cluster();
}

TEST(endpoints_come_and_go) {
    const struct rt_config config = {.workers = 2, .seed = 1};
    CHECK_INT(rt_run(&config, changes, NULL), 0);
}

static void short_memory(void *arg) {
    (void)arg;
    open_cluster();
    unsigned failed = 0;
    for (uint64_t nth = 1; nth < 60; nth++) {
        uint32_t before = up_cluster_set(cluster)->count;
        b_alloc_fail_at(nth);
        int rc = apply(nth & 1 ? (const unsigned[]){0, 1, 2, 3} : (const unsigned[]){4, 0}, nth & 1 ? 4 : 2);
        b_alloc_fail_at(0);
        CHECK(rc >= 0 || rc == -ENOMEM);
        failed += rc < 0;
        CHECK_UINT(up_cluster_set(cluster)->count, rc ? before : nth & 1 ? 4 : 2);
        CHECK_UINT(endpoints(), up_cluster_set(cluster)->count);
    }
    CHECK(failed > 5);
    close_cluster();
}

TEST(memory_runs_out_in_a_change) {
    const struct rt_config config = {.workers = 1, .seed = 1};
    CHECK_INT(rt_run(&config, short_memory, NULL), 0);
}

/* --- all at once --- */

static void pick_often(void *arg) {
    (void)arg;
    while (!atomic_load(&over)) {
        struct up_pick p = {0};
        struct up_endpoint *e[2];
        for (int i = 0; i < 2; i++)
            e[i] = up_set_pick(up_cluster_set(cluster), &p);
        atomic_fetch_add(e[0] ? &picked : &nobody, 1);
        if (b_rng_below(&rt_self()->rng, 8) == 0)
            (void)!rt_sleep_until(rt_after(rt_now(), (rt_time)b_rng_below(&rt_self()->rng, (uint64_t)RT_MS)));
        else
            (void)rt_yield();
        for (int i = 0; i < 2; i++)
            if (e[i]) {
                CHECK(e[i]->text[0] == 'h');
                if (b_rng_below(&rt_self()->rng, 16) == 0)
                    up_cluster_mark(e[i], UP_EJECTED, 0);
                else if (b_rng_below(&rt_self()->rng, 4) == 0)
                    up_cluster_mark(e[i], 0, UP_EJECTED);
                up_endpoint_put(e[i], 1);
            }
    }
}

static void crowd(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (int i = 0; i < PICKERS; i++)
        CHECK_INT(rt_scope_spawn(&s, "picker", pick_often, NULL), 0);
    CHECK_INT(rt_scope_wait(&s, RT_NEVER), 0);
    rt_scope_leave(&s);
}

static void change_often(void *arg) {
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned which[URLS], count = 0;
        for (unsigned i = 0; i < URLS; i++)
            if (b_rng_below(&rt_self()->rng, 2))
                which[count++] = i;
        CHECK(apply(which, count) >= 0);
    }
    CHECK(apply((const unsigned[]){3}, 1) >= 0);
    atomic_store(&over, true);
}

static void race(void *arg) {
    struct rt_scope s;
    (void)arg;
    open_cluster();
    rt_scope_init(&s);
    CHECK_INT(rt_scope_spawn(&s, "changer", change_often, NULL), 0);
    CHECK_INT(rt_on_all_workers("crowd", crowd, NULL), 0);
    rt_scope_leave(&s);
    CHECK(picked > ROUNDS);
    CHECK(nobody > 0);
    CHECK_UINT(endpoints(), 1); /* all that went is gone */
    CHECK_UINT(up_load(up_cluster_set(cluster)->members[0].endpoint), 0);
    close_cluster();
}

TEST(sets_change_under_those_who_pick) {
    const struct rt_config config = {.workers = 4, .seed = 7};
    CHECK_INT(rt_run(&config, race, NULL), 0);
}

const struct test_case cluster_tests[] = {
    {"endpoints_come_and_go", endpoints_come_and_go},
    {"memory_runs_out_in_a_change", memory_runs_out_in_a_change},
    {"sets_change_under_those_who_pick", sets_change_under_those_who_pick},
    {0},
};
