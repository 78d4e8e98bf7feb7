/* A run: its workers and their threads, from start to stop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/cpus.h"
#include "runtime/fiber_internal.h"
#include "runtime/io.h"
#include "runtime/switch.h"
#include "runtime/thread.h"
#include "runtime/watchdog.h"

struct process {
    struct rt_worker *list[RT_WORKERS_MAX];
    struct rt_thread threads[RT_WORKERS_MAX];
    unsigned created, count; /* workers that exist; those that run */
    _Atomic unsigned busy;   /* workers that may still have fibers */
    const struct rt_config *config;
    void (*fn)(void *);
    void *arg;
    struct rt_msg stop[RT_WORKERS_MAX];
};

static struct process *process;

/* Fibers of other workers may post to this one until the last of them is gone, so all leave together. */
static void last_fiber_gone(struct process *p) {
    if (atomic_fetch_sub(&p->busy, 1) != 1)
        return;
    for (unsigned i = 0; i < p->count; i++)
        p->list[i]->backend->interrupt(p->list[i]);
}

/* Asks the back end, waiting when there is nothing to do. The clock is read before a wait, for the fibers took time: the
 * wait is to end with the next timer, and the time until here was work. */
static void take_turn(struct rt_worker *w) {
    rt_time due = rt_worker_due(w);
    bool rests = due > w->now;
    if (rests) {
        w->now = w->backend->clock();
        rt_load_worked(w, w->now);
        atomic_store(&w->asleep, true);
        if (atomic_load(&w->mailbox))
            due = RT_NOWAIT;
    }
    w->backend->turn(w, due);
    if (!rests)
        rt_load_worked(w, w->now);
    rt_load_woke(w, w->now);
}

static void loop(struct rt_worker *w, struct process *p) {
    bool counted = false;
    while (!counted || atomic_load(&p->busy)) {
        rt_worker_step(w);
        if (w->stopping && !counted && rt_worker_stop(w)) {
            counted = true;
            last_fiber_gone(p);
            continue;
        }
        take_turn(w);
    }
    if (w->backend->leave)
        w->backend->leave(w);
    atomic_store(&w->asleep, true); /* for the watchdog; who posts now may interrupt for nothing */
}

static void run_worker(void *arg) {
    struct rt_worker *w = arg;
    rt_set_self(w);
    rt_switch_open(w);
    b_alloc_cache_open();
    loop(w, process);
    b_alloc_cache_close();
    rt_set_self(NULL);
}

static void stop_worker(struct rt_msg *m) {
    struct rt_worker *w = rt_self();
    (void)m;
    w->stopping = true;
    (void)rt_worker_stop(w); /* at once: what is posted after this message finds the worker stopping */
}

static void main_fiber(void *arg) {
    struct process *p = arg;
    p->fn(p->arg);
    for (unsigned i = 0; i < p->count; i++) {
        p->stop[i].fn = stop_worker;
        rt_post(p->list[i], &p->stop[i]);
    }
}

static int create_workers(struct process *p) {
    for (; p->created < p->count; p->created++) {
        size_t size = (sizeof(struct rt_worker) + 63) / 64 * 64;
        struct rt_worker *w = aligned_alloc(64, size); /* lint: allow heap-call: b_alloc aligns to 16 */
        if (!w)
            return -ENOMEM;
        int rc = rt_worker_init(w, p->created, p->config);
        if (rc == 0)
            rc = w->backend->open(w);
        if (rc) {
            rt_worker_free(w);
            free(w); /* lint: allow heap-call: see above */
            return rc;
        }
        p->list[p->created] = w;
    }
    return 0;
}

/* What was posted to workers that had left already is handled here, on one thread: it may own memory. */
static void drain_mailboxes(struct process *p) {
    bool any;
    do {
        any = false;
        for (unsigned i = 0; i < p->created; i++) {
            rt_set_self(p->list[i]);
            any = rt_mailbox_read(p->list[i]) || any;
        }
    } while (any);
}

static void free_workers(struct process *p) {
    drain_mailboxes(p);
    for (unsigned i = 0; i < p->created; i++) {
        rt_set_self(p->list[i]);
        p->list[i]->backend->close(p->list[i]);
        rt_worker_free(p->list[i]);
        free(p->list[i]); /* lint: allow heap-call: see create_workers */
    }
    rt_set_self(NULL);
    rt_set_workers(NULL, 0, 0);
}

static void nothing(void *arg) {
    (void)arg;
}

/* Runs the workers until all have left. When a thread cannot start, those that did are told to stop at once. */
static int run_workers(struct process *p) {
    unsigned started = 1;
    int rc = rt_spawn("main", main_fiber, p);
    if (rc)
        return rc;
    atomic_init(&p->busy, p->count);
    for (; rc == 0 && started < p->count; started += rc == 0)
        rc = rt_thread_start(&p->threads[started], "weir-worker", run_worker, p->list[started]);
    if (rc) { /* the main fiber has not run yet */
        p->fn = nothing;
        atomic_fetch_sub(&p->busy, p->count - started);
        p->count = started;
    }
    if (p->config->watchdog)
        rt_watchdog_start();
    run_worker(p->list[0]);
    for (unsigned i = 1; i < started; i++)
        rt_thread_join(&p->threads[i]);
    if (p->config->watchdog)
        rt_watchdog_stop();
    rt_offload_settle();
    return rc;
}

int rt_run(const struct rt_config *config, void (*fn)(void *), void *arg) {
    struct rt_config c = *config;
    struct process *p = b_zalloc(B_TAG_RUNTIME, sizeof *p);
    if (!p)
        return -ENOMEM;
    if (!c.backend)
        c.backend = &rt_epoll;
    p->count = c.workers ? c.workers : rt_cpu_count();
    p->config = &c;
    p->fn = fn;
    p->arg = arg;
    process = p;
    int rc = create_workers(p);
    if (rc < 0 && c.fallback) { /* memory that may be locked, or descriptors, were enough for one try only */
        B_LOG(B_WARN, "runtime", "%s cannot be set up on %u workers: %s; falling back to %s", c.backend->name,
              p->count, strerror(-rc), c.fallback->name);
        free_workers(p);
        p->created = 0;
        c.backend = c.fallback;
        rc = create_workers(p);
    }
    if (rc == 0) {
        rt_set_workers(p->list, p->count, c.max_fibers);
        rt_set_self(p->list[0]);
        rc = run_workers(p);
    }
    free_workers(p);
    process = NULL;
    b_free(p);
    return rc;
}

/* --- the same on every worker --- */

struct everywhere {
    struct rt_fiber *waiter;
    struct rt_worker *home;
    const char *name;
    void (*fn)(void *);
    void *arg;
    unsigned left;
    int rc;
    struct one {
        struct everywhere *all;
        struct rt_msg there, back;
        int rc;
    } each[];
};

static void one_done(struct rt_msg *m) {
    struct one *o = B_CONTAINER(m, struct one, back);
    if (o->rc)
        o->all->rc = o->rc;
    if (--o->all->left == 0)
        rt_wake(o->all->waiter, 0);
}

static void one_fiber(void *arg) {
    struct one *o = arg;
    o->all->fn(o->all->arg);
    rt_post(o->all->home, &o->back);
}

static void one_start(struct rt_msg *m) {
    struct one *o = B_CONTAINER(m, struct one, there);
    o->rc = rt_spawn(o->all->name, one_fiber, o);
    if (o->rc)
        rt_post(o->all->home, &o->back);
}

int rt_on_all_workers(const char *name, void (*fn)(void *), void *arg) {
    struct everywhere *all = b_zalloc(B_TAG_RUNTIME, sizeof *all + rt_worker_count() * sizeof all->each[0]);
    if (!all)
        return -ENOMEM;
    all->waiter = rt_fiber_self();
    all->home = rt_self();
    all->name = name;
    all->fn = fn;
    all->arg = arg;
    all->left = rt_worker_count();
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        struct one *o = &all->each[i];
        o->all = all;
        o->there.fn = one_start;
        o->back.fn = one_done;
        rt_post(rt_worker(i), &o->there);
    }
    rt_cancel_off();
    while (all->left) {
        int rc = rt_park(RT_NEVER);
        (void)rc; /* woken by the last one only */
    }
    rt_cancel_on();
    int rc = all->rc;
    b_free(all);
    return rc;
}
