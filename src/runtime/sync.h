/* Waiting for one another: a counting semaphore across workers, and a condition within one. */
#ifndef RUNTIME_SYNC_H
#define RUNTIME_SYNC_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/worker.h"

/* A limit of the process, shared by the workers. Free permits cost one atomic and no lock; when there are none, those
 * who wait stand in one queue over all workers, in order of arrival. */
struct rt_sem {
    _Atomic int64_t available;
    _Atomic uint32_t waiting;
    pthread_mutex_t lock; /* guards waiters; held for a few instructions, never across a wait */
    struct b_list waiters;
};

void rt_sem_init(struct rt_sem *s, int64_t permits);
void rt_sem_destroy(struct rt_sem *s);
/* Takes a permit if one is free and nobody waits for it. */
bool rt_sem_try(struct rt_sem *s);
/* Takes a permit, waiting for it: 0, -ETIMEDOUT or -ECANCELED. From a fiber. */
int rt_sem_acquire(struct rt_sem *s, rt_time deadline) __attribute__((warn_unused_result));
/* The same, but -EAGAIN at once when `most` stand in the queue already. */
int rt_sem_acquire_within(struct rt_sem *s, rt_time deadline, uint32_t most)
    __attribute__((warn_unused_result));
/* The same in two steps, for who has something to do once he stands in the queue; the record is on his stack. */
struct rt_sem_waiter {
    struct b_list link;
    struct rt_fiber *fiber;
    struct rt_msg msg;
    const void *wants; /* for rt_sem_pass: tells what he could use */
    void *gift;        /* what came with the permit, or NULL */
    bool granted; /* guarded by the semaphore's lock; then the record is the granter's until it has arrived */
    bool arrived; /* touched on the fiber's worker only */
};
/* Takes a permit if there is one (true), or stands in the queue: then rt_sem_wait must follow. */
bool rt_sem_enter(struct rt_sem *s, struct rt_sem_waiter *w, const void *wants);
int rt_sem_wait(struct rt_sem *s, struct rt_sem_waiter *w, rt_time deadline)
    __attribute__((warn_unused_result));
/* Passes the caller's permit to the one who waits longest, and a gift with it: what `wrap` gives, which is told what he
 * wants and where he is (it may wait if the caller may; NULL: only the permit). False, and nothing has happened, when
 * nobody waits. */
bool rt_sem_pass(struct rt_sem *s, void *(*wrap)(void *arg, const void *wants, const struct rt_worker *to),
                 void *arg);
/* Gives a permit back; the one who waits longest gets it. From a fiber or a loop of any worker. */
void rt_sem_release(struct rt_sem *s);
/* More or fewer permits (a reload changed the limit). Fewer may leave `available` negative until some come back. */
void rt_sem_adjust(struct rt_sem *s, int64_t by);
/* How many wait. In the order of all: who counts himself here and then looks for something is seen by one who lays that
 * down and then looks here. */
static inline uint32_t rt_sem_waiting(const struct rt_sem *s) {
    return atomic_load(&((struct rt_sem *)(uintptr_t)s)->waiting);
}

/* A condition for fibers of one worker. There are no lost wake-ups between a test and the wait, since fibers of a
 * worker only switch where they wait. */
struct rt_cond {
    struct b_list waiters;
};

void rt_cond_init(struct rt_cond *c);
/* 0 once signalled, -ETIMEDOUT or -ECANCELED. Test the condition again afterwards. */
int rt_cond_wait(struct rt_cond *c, rt_time deadline) __attribute__((warn_unused_result));
void rt_cond_signal(struct rt_cond *c);
void rt_cond_broadcast(struct rt_cond *c);

#endif
