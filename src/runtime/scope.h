/* Scopes (structured concurrency, after libdill's bundles): the fibers spawned into a scope are gone when the scope
 * is left. */
#ifndef RUNTIME_SCOPE_H
#define RUNTIME_SCOPE_H

#include "runtime/fiber.h"

struct rt_scope {
    struct b_list children;
    uint32_t live;
    bool cancelled;
    struct rt_fiber *waiter; /* the fiber that waits for the children, if any */
};

void rt_scope_init(struct rt_scope *s);
/* Starts fn(arg) as a child: it runs soon, on this worker. 0, -EAGAIN (fiber limit), -ENOMEM or -ECANCELED (the scope
 * is already cancelled). */
int rt_scope_spawn(struct rt_scope *s, const char *name, void (*fn)(void *), void *arg)
    __attribute__((warn_unused_result));
/* Waits until all children are done: 0, -ETIMEDOUT, -ECANCELED (children go on either way). */
int rt_scope_wait(struct rt_scope *s, rt_time deadline) __attribute__((warn_unused_result));
/* Cancels all children, present and future; does not wait. */
void rt_scope_cancel(struct rt_scope *s);
/* Leaves the scope: cancels what still runs and waits for it. Never fails, is never cut short. */
void rt_scope_leave(struct rt_scope *s);

/* Starts a fiber in the worker's own scope, which is left when the runtime stops. From a fiber or from the loop. */
int rt_spawn(const char *name, void (*fn)(void *), void *arg) __attribute__((warn_unused_result));
/* The same, and runs it at once up to its first wait. For timer and park functions; when a fiber called those, the new
 * one starts in its turn. */
int rt_spawn_now(const char *name, void (*fn)(void *), void *arg) __attribute__((warn_unused_result));

#endif
