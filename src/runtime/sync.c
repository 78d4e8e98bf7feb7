#include "runtime/sync.h"

#include <errno.h>

/* One who stands in a semaphore's queue: on his fiber's stack. Once granted, the record belongs to the granter until
 * `arrived` is set on the fiber's own worker. */
struct waiter {
    struct b_list link;
    struct rt_fiber *fiber;
    struct rt_msg msg;
    bool granted; /* guarded by the semaphore's lock */
    bool arrived; /* touched on the fiber's worker only */
};

void rt_sem_init(struct rt_sem *s, int64_t permits) {
    atomic_init(&s->available, permits);
    atomic_init(&s->waiting, 0);
    pthread_mutex_init(&s->lock, NULL);
    b_list_init(&s->waiters);
}

void rt_sem_destroy(struct rt_sem *s) {
    pthread_mutex_destroy(&s->lock);
}

static bool take(struct rt_sem *s) {
    int64_t n = atomic_load(&s->available);
    while (n > 0)
        if (atomic_compare_exchange_weak(&s->available, &n, n - 1))
            return true;
    return false;
}

bool rt_sem_try(struct rt_sem *s) {
    return atomic_load(&s->waiting) == 0 && take(s);
}

static void arrive(struct waiter *w) {
    w->arrived = true;
    rt_wake(w->fiber, 0);
}

static void grant_arrives(struct rt_msg *m) {
    arrive(B_CONTAINER(m, struct waiter, msg));
}

/* Hands free permits to those who wait longest. */
static void grant(struct rt_sem *s) {
    struct b_list granted;
    b_list_init(&granted);
    pthread_mutex_lock(&s->lock);
    while (!b_list_empty(&s->waiters) && take(s)) {
        struct b_list *n = b_list_pop_front(&s->waiters);
        B_CONTAINER(n, struct waiter, link)->granted = true;
        atomic_fetch_sub(&s->waiting, 1);
        b_list_push_back(&granted, n);
    }
    pthread_mutex_unlock(&s->lock);
    for (struct b_list *n; (n = b_list_pop_front(&granted));) {
        struct waiter *w = B_CONTAINER(n, struct waiter, link);
        if (w->fiber->worker == rt_self())
            arrive(w);
        else
            rt_post(w->fiber->worker, &w->msg);
    }
}

void rt_sem_adjust(struct rt_sem *s, int64_t by) {
    /* seq_cst, as is the waiter's count: either he sees the permit when he looks again, or we see that he waits */
    atomic_fetch_add(&s->available, by);
    if (by > 0 && atomic_load(&s->waiting))
        grant(s);
}

void rt_sem_release(struct rt_sem *s) {
    rt_sem_adjust(s, 1);
}

/* Takes a permit after all, or stands in the queue (false). */
static bool take_or_queue(struct rt_sem *s, struct waiter *w) {
    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->waiting, 1);
    bool taken = b_list_empty(&s->waiters) && take(s);
    if (taken)
        atomic_fetch_sub(&s->waiting, 1);
    else
        b_list_push_back(&s->waiters, &w->link);
    pthread_mutex_unlock(&s->lock);
    return taken;
}

/* Leaves the queue; false when a permit has been granted meanwhile. */
static bool leave_queue(struct rt_sem *s, struct waiter *w) {
    pthread_mutex_lock(&s->lock);
    bool left = !w->granted;
    if (left) {
        b_list_remove(&w->link);
        atomic_fetch_sub(&s->waiting, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return left;
}

int rt_sem_acquire(struct rt_sem *s, rt_time deadline) {
    if (rt_sem_try(s))
        return 0;
    struct waiter w = {.fiber = rt_fiber_self(), .msg.fn = grant_arrives};
    b_list_init(&w.link);
    if (take_or_queue(s, &w))
        return 0;
    int rc = rt_park(deadline);
    if (w.arrived)
        return 0;
    if (rc < 0 && leave_queue(s, &w))
        return rc;
    /* the permit is ours, but the message that says so still points here */
    rt_cancel_off();
    while (!w.arrived)
        (void)!rt_park(RT_NEVER);
    rt_cancel_on();
    return 0;
}

/* One who waits for a condition: on his fiber's stack. */
struct cond_waiter {
    struct b_list link;
    struct rt_fiber *fiber;
    bool signalled;
};

void rt_cond_init(struct rt_cond *c) {
    b_list_init(&c->waiters);
}

int rt_cond_wait(struct rt_cond *c, rt_time deadline) {
    struct cond_waiter w = {.fiber = rt_fiber_self()};
    b_list_init(&w.link);
    b_list_push_back(&c->waiters, &w.link);
    int rc = rt_park(deadline);
    b_list_remove(&w.link);
    return w.signalled ? 0 : rc; /* a signal is not lost to a deadline that came in the same turn */
}

void rt_cond_signal(struct rt_cond *c) {
    struct b_list *n = b_list_pop_front(&c->waiters);
    if (!n)
        return;
    struct cond_waiter *w = B_CONTAINER(n, struct cond_waiter, link);
    w->signalled = true;
    rt_wake(w->fiber, 0);
}

void rt_cond_broadcast(struct rt_cond *c) {
    while (!b_list_empty(&c->waiters))
        rt_cond_signal(c);
}
