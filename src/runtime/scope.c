#include "runtime/scope.h"

#include <assert.h>
#include <errno.h>

#include "runtime/fiber_internal.h"

void rt_scope_init(struct rt_scope *s) {
    *s = (struct rt_scope){0};
    b_list_init(&s->children);
}

static int spawn(struct rt_worker *w, struct rt_scope *s, const char *name, void (*fn)(void *), void *arg,
                 struct rt_fiber **out) {
    if (s->cancelled)
        return -ECANCELED;
    if (!rt_fiber_admit())
        return -EAGAIN;
    struct rt_fiber *f = rt_fiber_new(w, name, fn, arg);
    if (!f) {
        rt_fiber_leave();
        return -ENOMEM;
    }
    f->scope = s;
    b_list_push_back(&s->children, &f->sibling);
    s->live++;
    b_counter_add(&w->stats.spawned, 1);
    b_counter_add(&w->stats.fibers, 1);
    *out = f;
    return 0;
}

static void start(struct rt_worker *w, struct rt_fiber *f) {
    f->state = RT_FIBER_READY;
    b_list_push_back(&w->ready, &f->ready);
    w->ready_count++;
}

int rt_scope_spawn(struct rt_scope *s, const char *name, void (*fn)(void *), void *arg) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f;
    int rc = spawn(w, s, name, fn, arg, &f);
    if (rc == 0)
        start(w, f);
    return rc;
}

int rt_spawn(const char *name, void (*fn)(void *), void *arg) {
    return rt_scope_spawn(&rt_self()->root, name, fn, arg);
}

int rt_spawn_now(const char *name, void (*fn)(void *), void *arg) {
    struct rt_worker *w = rt_self();
    struct rt_fiber *f;
    if (w->current) /* a fiber does not run inside another */
        return rt_spawn(name, fn, arg);
    int rc = spawn(w, &w->root, name, fn, arg, &f);
    if (rc == 0)
        rt_fiber_run(w, f);
    return rc;
}

void rt_scope_child_done(struct rt_scope *s, struct rt_fiber *f) {
    b_list_remove(&f->sibling);
    if (--s->live == 0 && s->waiter)
        rt_wake(s->waiter, 0);
}

int rt_scope_wait(struct rt_scope *s, rt_time deadline) {
    int rc = 0;
    assert(!s->waiter);
    while (s->live && rc == 0) {
        s->waiter = rt_fiber_self();
        rc = rt_park(deadline);
    }
    s->waiter = NULL;
    return s->live ? rc : 0;
}

void rt_scope_cancel(struct rt_scope *s) {
    s->cancelled = true;
    B_LIST_EACH(n, &s->children)
        rt_cancel(B_CONTAINER(n, struct rt_fiber, sibling));
}

void rt_scope_leave(struct rt_scope *s) {
    if (s->live == 0)
        return;
    rt_scope_cancel(s);
    rt_cancel_off();
    while (s->live) {
        int rc = rt_scope_wait(s, RT_NEVER);
        (void)rc; /* it cannot be cut short: no deadline, no cancellation */
    }
    rt_cancel_on();
}
