/* Fibers: straight-line code that waits without holding a thread. A fiber belongs to the worker that started it and
 * never moves, so a pointer into thread-local memory stays good. It lives inside a scope (scope.h) and cannot outlive
 * it. Every wait takes a deadline and can be cancelled; both come back as return values. */
#ifndef RUNTIME_FIBER_H
#define RUNTIME_FIBER_H

#include <stdbool.h>

#include "base/list.h"
#include "runtime/stack.h"
#include "runtime/timer.h"

struct rt_worker;
struct rt_scope;

enum rt_fiber_state { RT_FIBER_READY, RT_FIBER_RUNNING, RT_FIBER_PARKED, RT_FIBER_DONE };

struct rt_fiber {
    void *context; /* saved stack pointer while it does not run */
    struct rt_worker *worker;
    struct rt_stack *stack;
    struct b_list ready;   /* on the worker's run queue */
    struct b_list sibling; /* on its scope's list of children */
    struct rt_scope *scope;
    struct rt_timer timer; /* deadline of the current wait */
    void (*fn)(void *);
    void *arg;
    const char *name; /* static text: what this fiber does, for the watchdog and /debug/fibers */
    int result;       /* what the current wait returns */
    uint8_t state;
    bool cancelled;        /* sticky: every cancellable wait from now on returns -ECANCELED */
    uint8_t uncancellable; /* depth of rt_cancel_off */
    void *asan_fake_stack, *tsan_fiber;
};

/* The running fiber; NULL on the loop itself. */
struct rt_fiber *rt_fiber_self(void);

/* Waits until rt_wake, the deadline (-ETIMEDOUT) or cancellation (-ECANCELED); gives the waker's result. The caller
 * has put itself where the waker finds it, and takes itself off there when the wait ends otherwise. Must not be
 * called on the loop. */
int rt_park(rt_time deadline) __attribute__((warn_unused_result));
/* Ends a fiber's wait; ignored when it is not waiting. On the fiber's own worker only. */
void rt_wake(struct rt_fiber *f, int result);
/* Lets others run; returns at a later turn, or at once with -ECANCELED. */
int rt_yield(void);
/* Waits until the time has come: 0 or -ECANCELED. */
int rt_sleep_until(rt_time at) __attribute__((warn_unused_result));
/* Between these, waits of the running fiber are not cancelled (clean-up must finish). They nest. */
void rt_cancel_off(void);
void rt_cancel_on(void);
/* Cancels a fiber of this worker: its wait, and each from now on, ends with -ECANCELED. */
void rt_cancel(struct rt_fiber *f);
/* Whether the running fiber has been cancelled. */
bool rt_cancelled(void);

/* Runs fn(arg) at once on the worker's loop stack (1 MiB or more), for library calls that need much stack and never
 * wait: certificate load, regex compile, printf. fn must not call anything that parks. */
void rt_on_big_stack(void (*fn)(void *), void *arg);

#endif
