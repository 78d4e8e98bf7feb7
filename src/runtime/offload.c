#include "runtime/offload.h"

#include <errno.h>

#include "runtime/fiber_internal.h"
#include "runtime/thread.h"

#define THREADS_MAX 4
#define QUEUE_MAX 1024
#define SIMULATED_DELAY (2 * RT_MS)

/* A call on its way: on the calling fiber's stack until `done`. */
struct job {
    struct b_list link;
    void (*fn)(void *);
    void *arg;
    struct rt_fiber *fiber;
    struct rt_msg msg;
    bool done; /* touched on the fiber's worker only */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, settled;
    struct b_list queue;
    unsigned queued, threads, idle, busy;
    bool stopping;
    struct rt_thread thread[THREADS_MAX];
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .settled = PTHREAD_COND_INITIALIZER,
    .queue = {&pool.queue, &pool.queue},
};

static void job_done(struct rt_msg *m) {
    struct job *j = B_CONTAINER(m, struct job, msg);
    j->done = true;
    rt_wake(j->fiber, 0);
}

static void helper(void *arg) {
    (void)arg;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (!pool.stopping && pool.queued == 0) {
            pool.idle++;
            pthread_cond_wait(&pool.work, &pool.lock);
            pool.idle--;
        }
        if (pool.stopping && pool.queued == 0)
            break;
        struct job *j = B_CONTAINER(b_list_pop_front(&pool.queue), struct job, link);
        pool.queued--;
        pool.busy++;
        pthread_mutex_unlock(&pool.lock);
        struct rt_worker *home = j->fiber->worker;
        j->fn(j->arg);
        rt_post(home, &j->msg); /* the job is gone from here on; the worker is not, see rt_offload_settle */
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0)
            pthread_cond_broadcast(&pool.settled);
    }
    pthread_mutex_unlock(&pool.lock);
}

/* One thread more when all are at work; having at least one is enough. */
static int want_thread(void) {
    if (pool.idle > pool.queued || pool.threads == THREADS_MAX)
        return 0;
    int rc = rt_thread_start(&pool.thread[pool.threads], "weir-offload", helper, NULL);
    if (rc == 0)
        pool.threads++;
    return pool.threads ? 0 : -ENOMEM;
}

static int enqueue(struct job *j) {
    pthread_mutex_lock(&pool.lock);
    int rc = pool.queued >= QUEUE_MAX ? -EAGAIN : want_thread();
    if (rc == 0) {
        b_list_push_back(&pool.queue, &j->link);
        pool.queued++;
        pthread_cond_signal(&pool.work);
    }
    pthread_mutex_unlock(&pool.lock);
    return rc;
}

static int run_simulated(struct rt_worker *w, void (*fn)(void *), void *arg) {
    rt_time delay = (rt_time)b_rng_below(&w->rng, SIMULATED_DELAY);
    rt_cancel_off();
    (void)!rt_sleep_until(rt_after(w->now, delay));
    rt_cancel_on();
    fn(arg);
    return 0;
}

int rt_offload(void (*fn)(void *), void *arg) {
    struct rt_worker *w = rt_self();
    if (w->seeded_order)
        return run_simulated(w, fn, arg);
    struct job j = {.fn = fn, .arg = arg, .fiber = w->current, .msg.fn = job_done};
    b_list_init(&j.link);
    int rc = enqueue(&j);
    if (rc)
        return rc;
    rt_cancel_off();
    while (!j.done)
        (void)!rt_park(RT_NEVER);
    rt_cancel_on();
    return 0;
}

void rt_offload_settle(void) {
    pthread_mutex_lock(&pool.lock);
    while (pool.busy)
        pthread_cond_wait(&pool.settled, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void rt_offload_stop(void) {
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < pool.threads; i++)
        rt_thread_join(&pool.thread[i]);
    pool.threads = 0;
    pool.stopping = false;
}
