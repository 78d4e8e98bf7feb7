#include "runtime/watchdog.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "runtime/io.h"
#include "runtime/thread.h"
#include "runtime/worker.h"

static struct rt_thread thread;
static bool started;
static sem_t stop;
static _Atomic uint64_t stalls;
static _Atomic(rt_stall_fn *) hook;

/* Where weir has to share its CPUs, everything is held now and then: a line a second says so. */
#define TELL_EVERY RT_S
static rt_time told_at;
static uint64_t told_count;

struct seen {
    uint64_t progress;
    rt_time since;
    bool told;
};

void rt_set_stall_hook(rt_stall_fn *fn) {
    atomic_store(&hook, fn);
}

uint64_t rt_stall_count(void) {
    return atomic_load(&stalls);
}

static void look(unsigned i, struct seen *s, rt_time now) {
    struct rt_worker *w = rt_worker(i);
    uint64_t progress = atomic_load_explicit(&w->progress, memory_order_relaxed);
    if (progress != s->progress || atomic_load_explicit(&w->asleep, memory_order_relaxed)) {
        *s = (struct seen){.progress = progress, .since = now};
        return;
    }
    if (s->told || now - s->since < RT_STALL)
        return;
    s->told = true;
    uint64_t count = atomic_fetch_add(&stalls, 1) + 1;
    rt_stall_fn *fn = atomic_load(&hook);
    if (!fn || (told_at && now - told_at < TELL_EVERY))
        return;
    const char *what = atomic_load_explicit(&w->running, memory_order_relaxed);
    fn(i, what ? what : "the loop", now - s->since, count - told_count - 1);
    told_at = now;
    told_count = count;
}

static void watch(void *arg) {
    static struct seen seen[RT_WORKERS_MAX];
    (void)arg;
    memset(seen, 0, sizeof seen);
    for (;;) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_nsec += RT_STALL;
        if (at.tv_nsec >= 1000000000)
            at.tv_sec++, at.tv_nsec -= 1000000000;
        if (sem_clockwait(&stop, CLOCK_MONOTONIC, &at) == 0)
            return;
        if (errno == EINTR)
            continue;
        rt_time now = rt_worker(0)->backend->clock();
        for (unsigned i = 0; i < rt_worker_count(); i++)
            look(i, &seen[i], now);
    }
}

void rt_watchdog_start(void) {
    sem_init(&stop, 0, 0);
    started = rt_thread_start(&thread, "weir-watchdog", watch, NULL) == 0;
}

void rt_watchdog_stop(void) {
    if (started) {
        sem_post(&stop);
        rt_thread_join(&thread);
    }
    started = false;
    sem_destroy(&stop);
}
