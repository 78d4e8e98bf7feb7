#include "runtime/fiber.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "runtime/context.h"
#include "runtime/fiber_internal.h"
#include "runtime/switch.h"
#include "runtime/worker.h"

struct rt_fiber *rt_fiber_self(void) {
    return rt_self()->current;
}

static void make_ready(struct rt_worker *w, struct rt_fiber *f) {
    f->state = RT_FIBER_READY;
    b_list_push_back(&w->ready, &f->ready);
    w->ready_count++;
}

void rt_wake(struct rt_fiber *f, int result) {
    assert(f->worker == rt_self());
    if (f->state != RT_FIBER_PARKED)
        return;
    if (rt_timer_is_set(&f->timer))
        rt_wheel_cancel(&f->worker->wheel, &f->timer);
    f->result = result;
    make_ready(f->worker, f);
}

static void deadline_passed(struct rt_timer *t) {
    struct rt_fiber *f = B_CONTAINER(t, struct rt_fiber, timer);
    rt_wake(f, -ETIMEDOUT);
}

int rt_park(rt_time deadline) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f = w->current;
    assert(f && "only a fiber can wait");
    if (f->cancelled && !f->uncancellable)
        return -ECANCELED;
    if (deadline <= w->now)
        return -ETIMEDOUT;
    f->state = RT_FIBER_PARKED;
    if (deadline != RT_NEVER)
        rt_wheel_set(&w->wheel, &f->timer, deadline);
    rt_switch_to_loop(w, f, false);
    return f->result;
}

int rt_yield(void) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f = w->current;
    if (f->cancelled && !f->uncancellable)
        return -ECANCELED;
    f->result = 0;
    w->yielded = true;
    make_ready(w, f);
    rt_switch_to_loop(w, f, false);
    return f->result;
}

int rt_yield_due(void) {
    struct rt_worker *w = rt_self();
    if (!rt_share_used())
        return 0;
    b_counter_add(&w->stats.yields, 1);
    w->share_used = true;
    return rt_yield();
}

int rt_sleep_until(rt_time at) {
    int rc = rt_park(at);
    return rc == -ETIMEDOUT ? 0 : rc;
}

void rt_cancel_off(void) {
    rt_fiber_self()->uncancellable++;
}

void rt_cancel_on(void) {
    struct rt_fiber *f = rt_fiber_self();
    assert(f->uncancellable);
    f->uncancellable--;
}

void rt_cancel(struct rt_fiber *f) {
    f->cancelled = true;
    if (!f->uncancellable)
        rt_wake(f, -ECANCELED);
}

bool rt_cancelled(void) {
    return rt_fiber_self()->cancelled;
}

void rt_on_big_stack(void (*fn)(void *), void *arg) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f = w->current;
    if (!f) { /* the loop's stack is the big one */
        fn(arg);
        return;
    }
    w->big_fn = fn;
    w->big_arg = arg;
    rt_switch_to_loop(w, f, false);
}

static void fiber_main(void) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f = w->current;
    rt_switch_arrived(w);
    f->fn(f->arg);
    f->state = RT_FIBER_DONE;
    rt_switch_to_loop(w, f, true);
    __builtin_unreachable();
}

/* The fiber's record lies at the top of its stack, below the stack's own. */
struct rt_fiber *rt_fiber_new(struct rt_worker *w, const char *name, void (*fn)(void *), void *arg) {
    struct rt_stack *s = rt_stack_take(&w->stacks);
    if (!s)
        return NULL;
    struct rt_fiber *f = (struct rt_fiber *)(void *)(((uintptr_t)s - sizeof *f) & ~(uintptr_t)63);
    *f = (struct rt_fiber){.worker = w, .stack = s, .fn = fn, .arg = arg, .name = name};
    b_list_init(&f->ready);
    b_list_init(&f->sibling);
    rt_timer_init(&f->timer, deadline_passed);
    f->context = rt_context_make(f, fiber_main);
    rt_switch_fiber_new(f);
    return f;
}

void rt_fiber_free(struct rt_fiber *f) {
    struct rt_worker *w = f->worker;
    rt_switch_fiber_gone(f);
    rt_stack_give(&w->stacks, f->stack);
}
