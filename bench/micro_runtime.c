/* Micro benchmark of runtime/: one JSON line for each figure, the best of several rounds, on one worker.
 *
 *     cc -O2 -D_GNU_SOURCE -Isrc bench/micro_runtime.c src/runtime/(all).c src/runtime/context.S src/base/(all).c -lm */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/context.h"
#include "runtime/sync.h"

enum { ROUNDS = 20 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void report(const char *name, double value) {
    printf("{\"name\":\"%s\",\"value\":%.2f,\"unit\":\"ns\"}\n", name, value);
    fflush(stdout);
}

static void must(int rc, const char *what) {
    if (rc) {
        fprintf(stderr, "%s: %d\n", what, rc);
        exit(1);
    }
}

/* The best of ROUNDS runs of fn, in nanoseconds for each of n operations. */
static double best(void (*fn)(unsigned n), unsigned n) {
    double least = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns();
        fn(n);
        double ns = (double)(now_ns() - start) / n;
        least = ns < least ? ns : least;
    }
    return least;
}

static void *here, *there;

static void back(void) {
    for (;;)
        rt_context_switch(&there, here);
}

/* The bare switch between two stacks, there and back. */
static void switches(unsigned n) {
    static _Alignas(16) char stack[16384];
    there = rt_context_make(stack + sizeof stack, back);
    for (unsigned i = 0; i < n / 2; i++)
        rt_context_switch(&here, there);
}

static struct rt_fiber *players[2];
static unsigned rallies;

/* Wakes the other one and waits. */
static void player(void *arg) {
    unsigned me = arg != NULL;
    players[me] = rt_fiber_self();
    if (!players[!me])
        must(rt_park(RT_NEVER), "park");
    while (rallies) {
        rallies--;
        rt_wake(players[!me], 0);
        must(rt_park(RT_NEVER), "park");
    }
    rt_wake(players[!me], 0);
}

/* Two fibers wake each other in turn through the scheduler: each time is two switches. */
static void rally(unsigned n) {
    struct rt_scope s;
    rt_scope_init(&s);
    rallies = n;
    players[0] = players[1] = NULL;
    must(rt_scope_spawn(&s, "bench", player, NULL), "spawn");
    must(rt_scope_spawn(&s, "bench", player, &rallies), "spawn");
    must(rt_scope_wait(&s, RT_NEVER), "wait");
    rt_scope_leave(&s);
}

static void empty(void *arg) {
    (void)arg;
}

static void spawns(unsigned n) {
    struct rt_scope s;
    rt_scope_init(&s);
    for (unsigned left = n; left;) {
        unsigned batch = left < 64 ? left : 64;
        for (unsigned i = 0; i < batch; i++)
            must(rt_scope_spawn(&s, "bench", empty, NULL), "spawn");
        must(rt_scope_wait(&s, RT_NEVER), "wait");
        left -= batch;
    }
    rt_scope_leave(&s);
}

static void on_timer(struct rt_timer *t) {
    (void)t;
}

static void timers(unsigned n) {
    static struct rt_timer t;
    rt_timer_init(&t, on_timer);
    for (unsigned i = 0; i < n; i++) {
        rt_timer_set(&t, rt_after(rt_now(), 30 * RT_S + i));
        rt_timer_cancel(&t);
    }
}

static void sems(unsigned n) {
    struct rt_sem s;
    rt_sem_init(&s, 1);
    for (unsigned i = 0; i < n; i++) {
        must(rt_sem_acquire(&s, RT_NEVER), "acquire");
        rt_sem_release(&s);
    }
    rt_sem_destroy(&s);
}

static void run(void *arg) {
    (void)arg;
    report("fiber_switch_ns", best(switches, 200000));
    report("fiber_wake_park_ns", best(rally, 200000));
    report("fiber_spawn_ns", best(spawns, 100000));
    report("timer_set_cancel_ns", best(timers, 100000));
    report("sem_uncontended_ns", best(sems, 100000));
}

int main(void) {
    struct rt_config config = {.workers = 1};
    must(rt_run(&config, run, NULL), "run");
    return 0;
}
