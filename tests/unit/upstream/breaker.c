/* Breakers: their states under a virtual clock, and their one request with several workers that want it. */
#include "upstream/breaker.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/log.h"
#include "config/config.h"
#include "runtime/sim.h"
#include "test.h"
#include "upstream/cluster.h"
#include "upstream/upstream.h"

#define URLS 3

static struct cfg_url urls[URLS];
static struct cfg_endpoint endpoints[URLS];
static struct cfg_upstream conf;
static struct up_registry *registry;
static struct up_upstream *upstream;
static struct up_cluster *cluster;
static int listeners[URLS];

static void open_cluster(size_t count) {
    static char texts[URLS][32];
    for (int i = 0; i < URLS; i++) {
        int n = snprintf(texts[i], sizeof texts[i], "http://127.0.0.1:%d", 9000 + i);
        CHECK(!cfg_parse_url(b_slice(texts[i], (size_t)n), &urls[i]));
        endpoints[i] = (struct cfg_endpoint){.url = urls[i], .weight = 1};
        listeners[i] = -1;
    }
    conf = (struct cfg_upstream){.head = {.name = B_LIT("u")},
                                 .endpoints = {.items = endpoints,
                                               .count = count,
                                               .item_size = sizeof endpoints[0]},
                                 .pool = {.max_connections = 10, .max_idle = 10},
                                 .max_in_flight = 10,
                                 .connect_timeout = RT_S,
                                 .breaker = {.enabled = true,
                                             .failure_percent = 50,
                                             .min_requests = 20,
                                             .consecutive_failures = 5,
                                             .window = 10 * RT_S,
                                             .open_for = 5 * RT_S,
                                             .max_open_for = 20 * RT_S}};
    registry = up_registry_new();
    REQUIRE(registry);
    upstream = up_get(registry, &conf);
    REQUIRE(upstream);
    cluster = upstream->cluster;
}

static void close_cluster(void) {
    for (int i = 0; i < URLS; i++)
        if (listeners[i] >= 0)
            rt_close_handle(listeners[i]);
    /* the fibers of breakers that are open see that they are not wanted any more */
    CHECK(up_cluster_apply(cluster, NULL, CFG_ROUND_ROBIN, NULL, 0) >= 0);
    CHECK_INT(rt_sleep_until(rt_after(rt_now(), 5 * RT_S)), 0);
    up_put(upstream);
    up_registry_free(registry);
}

static struct up_endpoint *endpoint(unsigned i) {
    return up_cluster_set(cluster)->members[i].endpoint;
}

static const char *state(unsigned i) {
    return up_breaker_state(endpoint(i));
}

/* n attempts that end like this. */
static void note(unsigned i, enum up_outcome outcome, unsigned n) {
    while (n--)
        up_breaker_note(endpoint(i), outcome, false);
}

static void sleep_for(rt_time span) {
    CHECK_INT(rt_sleep_until(rt_after(rt_now(), span)), 0);
}

/* It accepts connections from now on. */
static void come_up(unsigned i) {
    struct rt_sockaddr at = {.len = sizeof at.u.in,
                             .u.in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(9000 + i))}};
    at.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(rt_listen(&at, 64, &listeners[i]), 0);
}

/* Picks for a request that may be repeated, or not; gives the endpoint's number, and whether it is the one request. */
static int pick(bool may_try, bool *trial) {
    struct up_pick p = {.now = rt_now(), .rng = &rt_self()->rng, .may_try = may_try};
    struct up_endpoint *e = up_set_pick(up_cluster_set(cluster), &p);
    *trial = p.trial;
    if (!e)
        return -1;
    up_endpoint_put(e, 1);
    for (int i = 0; i < URLS; i++)
        if (e == endpoint((unsigned)i))
            return i;
    return -1;
}

static void simulate(void (*fn)(void *), void *arg) {
    const struct rt_sim_config config = {.seed = rt_sim_seed(1), .workers = 1, .delay_max = RT_MS};
    CHECK_INT(rt_sim_run(&config, fn, arg), 0);
}

/* --- closed --- */

static void in_a_row(void *arg) {
    (void)arg;
    open_cluster(3);
    for (int outcome = UP_CONNECT_FAILED; outcome <= UP_STATUS_5XX; outcome++) {
        note(0, (enum up_outcome)outcome, 4);
        note(0, UP_OK, 1); /* ends the row */
        sleep_for(60 * RT_S);
    }
    note(0, UP_GONE, 100);
    CHECK_STR(state(0), "closed");
    sleep_for(60 * RT_S);
    note(0, UP_RESET, 2);
    note(0, UP_GONE, 3); /* says nothing either way */
    note(0, UP_TIMEOUT, 2);
    CHECK_STR(state(0), "closed");
    note(0, UP_STATUS_5XX, 1);
    CHECK_STR(state(0), "open");
    CHECK_STR(state(1), "closed");
    struct up_breaker_view view;
    up_breaker_look(endpoint(0), &view);
    CHECK_STR(view.last, "5xx");
    CHECK(view.left > 4 * RT_S && view.left <= 5 * RT_S);
    close_cluster();
}

TEST(failures_in_a_row_open) {
    simulate(in_a_row, NULL);
}

static void percentage(void *arg) {
    (void)arg;
    open_cluster(3);
    for (int i = 0; i < 9; i++) {
        note(0, UP_OK, 1);
        note(0, UP_RESET, 1);
    }
    CHECK_STR(state(0), "closed"); /* half of them fail, but they are 18 */
    sleep_for(30 * RT_S);
    note(0, UP_OK, 1);
    note(0, UP_RESET, 1);
    CHECK_STR(state(0), "closed"); /* the 18 are forgotten */
    for (int i = 0; i < 30; i++) {
        note(0, UP_OK, 2);
        note(0, UP_RESET, 1);
    }
    CHECK_STR(state(0), "closed"); /* a third is less than half */
    sleep_for(30 * RT_S);
    for (int i = 0; i < 10; i++) {
        note(0, UP_OK, 1);
        note(0, UP_RESET, 1);
    }
    CHECK_STR(state(0), "open");
    close_cluster();
}

TEST(half_of_the_window_opens) {
    simulate(percentage, NULL);
}

static void alone(void *arg) {
    (void)arg;
    open_cluster(1);
    note(0, UP_RESET, 100);
    CHECK_STR(state(0), "closed");
    atomic_store(&cluster->breaker.named, 1);
    note(0, UP_RESET, 1);
    CHECK_STR(state(0), "open");
    CHECK(up_set_is_out(up_cluster_set(cluster)));
    bool trial;
    CHECK_INT(pick(true, &trial), -1);
    close_cluster();
}

TEST(one_alone_opens_where_the_config_names_it) {
    simulate(alone, NULL);
}

/* --- open, half-open --- */

static void grows(void *arg) {
    (void)arg;
    bool trial;
    open_cluster(3);
    note(0, UP_CONNECT_FAILED, 5);
    rt_time opened = rt_now();
    /* nothing listens: it is connected to after 5, 10, 20, 20 ... seconds, less a tenth at the most */
    static const rt_time steps[] = {5 * RT_S, 10 * RT_S, 20 * RT_S, 20 * RT_S, 20 * RT_S};
    rt_time least = 0, most = 0;
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        least += steps[i] * 9 / 10;
        most += steps[i];
        if (rt_now() - opened < least - RT_MS)
            sleep_for(opened + least - RT_MS - rt_now());
        struct up_breaker_view view;
        up_breaker_look(endpoint(0), &view);
        CHECK_STR(view.state, "open");
        CHECK(view.left <= most - least + RT_S || i > 0);
        for (int n = 0; n < 10; n++)
            CHECK(pick(true, &trial) != 0 && !trial);
    }
    come_up(0);
    sleep_for(21 * RT_S);
    CHECK_STR(state(0), "half-open");
    CHECK_INT(pick(true, &trial), 0);
    CHECK(trial);
    up_breaker_note(endpoint(0), UP_OK, true);
    CHECK_STR(state(0), "closed");
    close_cluster();
}

TEST(it_is_left_alone_for_longer_each_time) {
    simulate(grows, NULL);
}

static void one_request(void *arg) {
    (void)arg;
    bool trial;
    open_cluster(3);
    come_up(0);
    note(0, UP_TIMEOUT, 5);
    sleep_for(6 * RT_S);
    CHECK_STR(state(0), "half-open");
    CHECK_INT(pick(true, &trial), 0);
    CHECK(trial);
    for (int n = 0; n < 20; n++)
        CHECK(pick(true, &trial) != 0 && !trial);
    note(0, UP_OK, 10); /* of attempts from before */
    CHECK_STR(state(0), "half-open");
    up_breaker_note(endpoint(0), UP_GONE, true); /* its client has left: another may try */
    CHECK_INT(pick(true, &trial), 0);
    CHECK(trial);
    up_breaker_note(endpoint(0), UP_TIMEOUT, true);
    CHECK_STR(state(0), "open");
    sleep_for(8 * RT_S);
    CHECK_STR(state(0), "open"); /* for twice as long */
    sleep_for(3 * RT_S);
    CHECK_STR(state(0), "half-open");
    CHECK_INT(pick(true, &trial), 0);
    up_breaker_note(endpoint(0), UP_OK, true);
    CHECK_STR(state(0), "closed");
    /* it fails again soon after: longer still; and after a good while as at first */
    note(0, UP_RESET, 5);
    sleep_for(11 * RT_S);
    CHECK_STR(state(0), "open");
    sleep_for(10 * RT_S);
    CHECK_INT(pick(true, &trial), 0);
    up_breaker_note(endpoint(0), UP_OK, true);
    sleep_for(60 * RT_S);
    note(0, UP_RESET, 5);
    sleep_for(6 * RT_S);
    CHECK_STR(state(0), "half-open");
    close_cluster();
}

TEST(one_request_decides) {
    simulate(one_request, NULL);
}

/* Requests that cannot be repeated must not keep an endpoint out for ever. */
static void no_better(void *arg) {
    (void)arg;
    bool trial;
    open_cluster(3);
    come_up(0);
    note(0, UP_TIMEOUT, 5);
    while (state(0)[0] == 'o')
        sleep_for(10 * RT_MS);
    CHECK(pick(false, &trial) != 0 && !trial);
    sleep_for(900 * RT_MS);
    CHECK(pick(false, &trial) != 0 && !trial);
    sleep_for(200 * RT_MS);
    CHECK_INT(pick(false, &trial), 0);
    CHECK(trial);
    up_breaker_note(endpoint(0), UP_OK, true);
    CHECK_STR(state(0), "closed");
    close_cluster();
}

TEST(requests_that_cannot_be_repeated_try_when_no_others_come) {
    simulate(no_better, NULL);
}

/* --- several --- */

static void several(void *arg) {
    (void)arg;
    bool trial;
    unsigned had[URLS] = {0};
    open_cluster(3);
    come_up(0);
    note(1, UP_RESET, 5);
    CHECK_INT(atomic_load(&up_cluster_set(cluster)->avoid), UP_AVOIDED);
    note(2, UP_RESET, 5); /* panic */
    for (int n = 0; n < 9; n++)
        had[pick(true, &trial)]++;
    CHECK(had[0] && had[1] && had[2]);
    up_cluster_mark(endpoint(1), UP_FAILING, 0); /* which panic does not ignore */
    for (int n = 0; n < 9; n++)
        CHECK(pick(true, &trial) != 1);
    note(0, UP_RESET, 5);
    CHECK_INT(pick(true, &trial), -1); /* and none is well */
    CHECK(up_set_is_out(up_cluster_set(cluster)));
    sleep_for(6 * RT_S);
    CHECK(!up_set_is_out(up_cluster_set(cluster))); /* no request is needed for it to be tried */
    CHECK_INT(pick(false, &trial), 0);              /* there is nobody else */
    CHECK(trial);
    CHECK_INT(pick(true, &trial), -1);
    up_breaker_note(endpoint(0), UP_OK, true);
    CHECK_INT(pick(false, &trial), 0);
    close_cluster();
}

TEST(U06_all_are_out) {
    simulate(several, NULL);
}

static int apply(const unsigned *which, size_t count) {
    struct up_target targets[URLS];
    for (size_t i = 0; i < count; i++)
        targets[i] = (struct up_target){&urls[which[i]], 1};
    return up_cluster_apply(cluster, NULL, CFG_ROUND_ROBIN, targets, count);
}

/* An endpoint that goes while its breaker is not closed, and comes back, must not stay out for ever. */
static void goes_and_returns(void *arg) {
    (void)arg;
    bool trial;
    open_cluster(3);
    struct up_endpoint *e = endpoint(0);
    up_endpoint_hold(e, UP_USER); /* a tunnel, say */
    note(0, UP_RESET, 5);
    CHECK_INT(apply((const unsigned[]){1, 2}, 2), 0);
    sleep_for(30 * RT_S);
    CHECK_INT(apply((const unsigned[]){0, 1, 2}, 3), 0);
    CHECK(endpoint(0) == e);
    CHECK_STR(state(0), "closed");
    come_up(0);
    note(0, UP_RESET, 5);
    sleep_for(6 * RT_S);
    CHECK_INT(pick(true, &trial), 0);
    CHECK(trial);
    CHECK_INT(apply((const unsigned[]){1, 2}, 2), 0); /* with its one request on its way */
    up_breaker_note(e, UP_TIMEOUT, true);
    CHECK_INT(apply((const unsigned[]){0, 1, 2}, 3), 0);
    sleep_for(30 * RT_S);
    CHECK_STR(state(0), "half-open");
    CHECK_INT(pick(true, &trial), 0);
    CHECK(trial);
    up_breaker_note(e, UP_OK, true);
    CHECK_UINT(up_state(e), 0);
    up_endpoint_put(e, UP_USER);
    close_cluster();
}

/* It was ejected while there were others: a reload or discovery takes those away. */
static void left_alone(void *arg) {
    (void)arg;
    bool trial;
    open_cluster(2);
    note(0, UP_STATUS_5XX, 5);
    CHECK_STR(state(0), "open");
    CHECK_INT(pick(true, &trial), 1);
    CHECK_INT(apply((const unsigned[]){0}, 1), 0);
    CHECK_INT(pick(true, &trial), 0);
    CHECK(!up_set_is_out(up_cluster_set(cluster)));
    CHECK(!up_set_panics(up_cluster_set(cluster)));
    sleep_for(2 * RT_S);
    CHECK_STR(state(0), "closed");
    CHECK_INT(apply((const unsigned[]){0, 1}, 2), 0);
    note(0, UP_STATUS_5XX, 5);
    conf.breaker.head.given = true;
    up_cluster_limits(cluster, &conf);
    CHECK_INT(apply((const unsigned[]){0}, 1), 0);
    CHECK(up_set_is_out(up_cluster_set(cluster)));
    conf.breaker.head.given = false;
    up_cluster_limits(cluster, &conf);
    CHECK_INT(pick(true, &trial), 0);
    close_cluster();
}

TEST(one_that_is_left_alone_is_used_at_once) {
    simulate(left_alone, NULL);
}

TEST(an_endpoint_returns_whose_breaker_was_open) {
    simulate(goes_and_returns, NULL);
}

static void switched_off(void *arg) {
    (void)arg;
    open_cluster(3);
    note(0, UP_RESET, 5);
    CHECK_STR(state(0), "open");
    atomic_store(&cluster->breaker.on, 0);
    sleep_for(2 * RT_S);
    CHECK_STR(state(0), "closed");
    note(0, UP_RESET, 100);
    CHECK_STR(state(0), "closed");
    close_cluster();
}

TEST(a_reload_switches_breakers_off) {
    simulate(switched_off, NULL);
}

/* --- all at once --- */

#define ROUNDS 300
static _Atomic int claims;
static _Atomic unsigned arrived;

static void grab(void *arg) {
    (void)arg;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < rt_worker_count())
        (void)rt_yield();
    struct up_pick p = {.now = rt_now(), .rng = &rt_self()->rng, .may_try = true};
    struct up_endpoint *e = up_set_pick(up_cluster_set(cluster), &p);
    atomic_fetch_add(&claims, p.trial);
    CHECK(!p.trial || e == endpoint(0));
    if (!e)
        return;
    if (!p.trial)
        up_breaker_note(e, UP_OK, false);
    up_endpoint_put(e, 1);
}

static void race(void *arg) {
    (void)arg;
    b_log_set_level(B_ERROR);
    open_cluster(2);
    for (int round = 0; round < ROUNDS; round++) {
        up_cluster_mark(endpoint(0), UP_EJECTED | UP_TRIAL, UP_PROBING);
        atomic_store(&claims, 0);
        atomic_store(&arrived, 0);
        CHECK_INT(rt_on_all_workers("grab", grab, NULL), 0);
        CHECK_INT(atomic_load(&claims), 1);
        CHECK_STR(state(0), "half-open");
        up_breaker_note(endpoint(0), round % 2 ? UP_OK : UP_GONE, true);
        CHECK_UINT(up_state(endpoint(0)), round % 2 ? 0 : UP_EJECTED | UP_TRIAL);
    }
    close_cluster();
}

TEST(workers_want_the_one_request) {
    const struct rt_config config = {.workers = 4, .seed = 3};
    CHECK_INT(rt_run(&config, race, NULL), 0);
}

const struct test_case breaker_tests[] = {
    {"failures_in_a_row_open", failures_in_a_row_open},
    {"half_of_the_window_opens", half_of_the_window_opens},
    {"one_alone_opens_where_the_config_names_it", one_alone_opens_where_the_config_names_it},
    {"it_is_left_alone_for_longer_each_time", it_is_left_alone_for_longer_each_time},
    {"one_request_decides", one_request_decides},
    {"requests_that_cannot_be_repeated_try_when_no_others_come",
     requests_that_cannot_be_repeated_try_when_no_others_come},
    {"U06_all_are_out", U06_all_are_out},
    {"one_that_is_left_alone_is_used_at_once", one_that_is_left_alone_is_used_at_once},
    {"an_endpoint_returns_whose_breaker_was_open", an_endpoint_returns_whose_breaker_was_open},
    {"a_reload_switches_breakers_off", a_reload_switches_breakers_off},
    {"workers_want_the_one_request", workers_want_the_one_request},
    {0},
};
