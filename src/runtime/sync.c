#include "runtime/sync.h"

#include <errno.h>

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

static void arrive(struct rt_sem_waiter *w) {
    w->arrived = true;
    rt_wake(w->fiber, 0);
}

static void grant_arrives(struct rt_msg *m) {
    arrive(B_CONTAINER(m, struct rt_sem_waiter, msg));
}

/* Tells one who is off the queue that he has what he waited for; his record is not to be touched after it. */
static void deliver(struct rt_sem_waiter *w) {
    if (w->fiber->worker == rt_self())
        arrive(w);
    else
        rt_post(w->fiber->worker, &w->msg);
}

static struct rt_sem_waiter *pop(struct rt_sem *s) {
    struct rt_sem_waiter *w = B_CONTAINER(b_list_pop_front(&s->waiters), struct rt_sem_waiter, link);
    w->granted = true;
    atomic_fetch_sub(&s->waiting, 1);
    return w;
}

/* Hands free permits to those who wait longest. */
static void grant(struct rt_sem *s) {
    struct b_list granted;
    b_list_init(&granted);
    pthread_mutex_lock(&s->lock);
    while (!b_list_empty(&s->waiters) && take(s))
        b_list_push_back(&granted, &pop(s)->link);
    pthread_mutex_unlock(&s->lock);
    for (struct b_list *n; (n = b_list_pop_front(&granted));)
        deliver(B_CONTAINER(n, struct rt_sem_waiter, link));
}

bool rt_sem_pass(struct rt_sem *s, void *(*wrap)(void *arg, const void *wants, const struct rt_worker *to),
                 void *arg) {
    pthread_mutex_lock(&s->lock);
    struct rt_sem_waiter *w = b_list_empty(&s->waiters) ? NULL : pop(s);
    pthread_mutex_unlock(&s->lock);
    if (!w)
        return false;
    w->gift = wrap(arg, w->wants, w->fiber->worker);
    deliver(w);
    return true;
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

/* Takes a permit after all (1), or stands in the queue (0), unless `most` do so already (-EAGAIN). */
static int take_or_queue(struct rt_sem *s, struct rt_sem_waiter *w, uint32_t most) {
    pthread_mutex_lock(&s->lock);
    uint32_t before = atomic_fetch_add(&s->waiting, 1);
    int rc = b_list_empty(&s->waiters) && take(s) ? 1 : before >= most ? -EAGAIN : 0;
    if (rc)
        atomic_fetch_sub(&s->waiting, 1);
    else
        b_list_push_back(&s->waiters, &w->link);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Leaves the queue; false when a permit has been granted meanwhile. */
static bool leave_queue(struct rt_sem *s, struct rt_sem_waiter *w) {
    pthread_mutex_lock(&s->lock);
    bool left = !w->granted;
    if (left) {
        b_list_remove(&w->link);
        atomic_fetch_sub(&s->waiting, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return left;
}

static int enter(struct rt_sem *s, struct rt_sem_waiter *w, const void *wants, uint32_t most) {
    *w = (struct rt_sem_waiter){.fiber = rt_fiber_self(), .msg.fn = grant_arrives, .wants = wants};
    b_list_init(&w->link);
    return rt_sem_try(s) ? 1 : take_or_queue(s, w, most);
}

bool rt_sem_enter(struct rt_sem *s, struct rt_sem_waiter *w, const void *wants) {
    return enter(s, w, wants, UINT32_MAX) == 1;
}

int rt_sem_wait(struct rt_sem *s, struct rt_sem_waiter *w, rt_time deadline) {
    int rc = w->arrived ? 0 : rt_park(deadline);
    if (w->arrived)
        return 0;
    if (rc < 0 && leave_queue(s, w))
        return rc;
    /* the permit is ours, but the message that says so still points here */
    rt_cancel_off();
    while (!w->arrived)
        (void)!rt_park(RT_NEVER);
    rt_cancel_on();
    return 0;
}

int rt_sem_acquire_within(struct rt_sem *s, rt_time deadline, uint32_t most) {
    struct rt_sem_waiter w;
    int rc = enter(s, &w, NULL, most);
    return rc == 0 ? rt_sem_wait(s, &w, deadline) : rc < 0 ? rc : 0;
}

int rt_sem_acquire(struct rt_sem *s, rt_time deadline) {
    return rt_sem_acquire_within(s, deadline, UINT32_MAX);
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
