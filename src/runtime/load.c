#include "runtime/load.h"

#include "runtime/worker.h"

unsigned rt_load(struct rt_worker *w) {
    rt_time age = rt_now() - atomic_load_explicit(&w->load_at, memory_order_relaxed);
    if (age < 2 * RT_LOAD_WINDOW)
        return atomic_load_explicit(&w->load_share, memory_order_relaxed);
    return atomic_load_explicit(&w->asleep, memory_order_relaxed) ? 0 : RT_LOAD_FULL;
}

bool rt_idle(const struct rt_worker *w) {
    struct rt_worker *v = (struct rt_worker *)(uintptr_t)w; /* atomic_load of C11 takes no const */
    return atomic_load_explicit(&v->asleep, memory_order_relaxed) &&
           !atomic_load_explicit(&v->mailbox, memory_order_relaxed);
}

void rt_load_worked(struct rt_worker *w, rt_time now) {
    struct rt_load *l = &w->load;
    rt_time held = now - l->since, window = now - l->began;
    b_histogram_add(&w->stats.held, (uint64_t)held);
    l->busy += held;
    if (window < RT_LOAD_WINDOW)
        return;
    atomic_store_explicit(&w->load_share, (uint32_t)(l->busy * RT_LOAD_FULL / window), memory_order_relaxed);
    atomic_store_explicit(&w->load_at, now, memory_order_relaxed);
    l->began = now;
    l->busy = 0;
}

void rt_load_woke(struct rt_worker *w, rt_time now) {
    w->load.since = now;
}
