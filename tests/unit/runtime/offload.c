#include "runtime/offload.h"

#include <pthread.h>

#include "support.h"

struct call {
    pthread_t thread;
    uint64_t in, out;
    rt_time wall;
};

static void square(void *arg) {
    struct call *c = arg;
    c->thread = pthread_self();
    c->out = c->in * c->in;
    c->wall = rt_wall_clock(); /* helper threads have clocks, too */
}

static void call_often(void *arg) {
    for (uint64_t i = 0; i < 50; i++) {
        struct call c = {.in = i + (uintptr_t)arg};
        CHECK_INT(rt_offload(square, &c), 0);
        CHECK_UINT(c.out, c.in * c.in);
        CHECK(!pthread_equal(c.thread, pthread_self()));
        CHECK(c.wall > 0);
    }
}

static void callers(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (uintptr_t i = 0; i < 20; i++)
        spawn_in(&s, call_often, (void *)(i * 1000));
    join(&s);
}

static void on_all(void *arg) {
    CHECK_INT(rt_on_all_workers("callers", callers, arg), 0);
}

TEST(calls_run_on_helper_threads) {
    run_on(2, on_all, NULL);
    run_on(2, on_all, NULL); /* the threads outlive a run */
    rt_offload_stop();
    run_on(1, on_all, NULL); /* and come again */
    rt_offload_stop();
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int arrived, passed;

static void pass_gate(void *arg) {
    (void)arg;
    atomic_fetch_add(&arrived, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&passed, 1);
}

static int done, full;

static void call_gate(void *arg) {
    (void)arg;
    int rc = rt_offload(pass_gate, NULL);
    CHECK(rc == 0 || rc == -EAGAIN);
    full += rc == -EAGAIN;
    done++;
}

/* 4 at work and 1,024 in the queue; the fibers are cancelled meanwhile, which changes nothing. */
static void fill_queue(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    pthread_mutex_lock(&gate);
    for (int i = 1; i <= 4; i++) {
        spawn_in(&s, call_gate, NULL);
        UNTIL(arrived == i);
    }
    for (int i = 0; i < 1024; i++)
        spawn_in(&s, call_gate, NULL);
    CHECK_INT(rt_yield(), 0);
    CHECK_INT(done, 0);
    for (int i = 0; i < 10; i++)
        spawn_in(&s, call_gate, NULL);
    UNTIL(done == 10);
    CHECK_INT(full, 10);
    rt_scope_cancel(&s);
    CHECK_INT(rt_scope_wait(&s, in(SHORT)), -ETIMEDOUT);
    CHECK_INT(done, 10);
    pthread_mutex_unlock(&gate);
    join(&s);
    CHECK_INT(done, 1038);
    CHECK_INT(passed, 1028);
    CHECK_INT(full, 10);
}

TEST(the_queue_is_bounded_and_calls_are_not_cut_short) {
    run_on(1, fill_queue, NULL);
    rt_offload_stop();
}

static void in_place(void *arg) {
    struct call c = {.in = 12};
    (void)arg;
    CHECK_INT(rt_offload(square, &c), 0);
    CHECK_UINT(c.out, 144);
    CHECK(pthread_equal(c.thread, pthread_self()));
}

TEST(under_the_simulator_they_run_in_place) {
    struct rt_sim_config config = {.seed = 5};
    CHECK_INT(rt_sim_run(&config, in_place, NULL), 0);
}

const struct test_case offload_tests[] = {
    {"calls_run_on_helper_threads", calls_run_on_helper_threads},
    {"the_queue_is_bounded_and_calls_are_not_cut_short", the_queue_is_bounded_and_calls_are_not_cut_short},
    {"under_the_simulator_they_run_in_place", under_the_simulator_they_run_in_place},
    {0},
};
