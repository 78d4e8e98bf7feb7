/* Inside runtime/: birth, running and death of fibers. */
#ifndef RUNTIME_FIBER_INTERNAL_H
#define RUNTIME_FIBER_INTERNAL_H

#include "runtime/worker.h"

/* NULL when there is no stack to be had. The fiber is on no list yet. */
struct rt_fiber *rt_fiber_new(struct rt_worker *w, const char *name, void (*fn)(void *), void *arg);
void rt_fiber_free(struct rt_fiber *f);
/* From the loop: lets f run until it parks or ends, serves its calls for the big stack, and buries it when done. */
void rt_fiber_run(struct rt_worker *w, struct rt_fiber *f);
/* Counts one more fiber of the process; false at the limit. */
bool rt_fiber_admit(void);
void rt_fiber_leave(void);
/* Handles the messages that have come; false when there was none. */
bool rt_mailbox_read(struct rt_worker *w);
/* Waits until no helper thread touches a worker any more: after the fibers are gone, before the workers go. */
void rt_offload_settle(void);
/* Takes a finished fiber out of its scope. */
void rt_scope_child_done(struct rt_scope *s, struct rt_fiber *f);

#endif
