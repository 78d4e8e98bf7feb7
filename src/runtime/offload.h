/* Helper threads for calls that block: files, getaddrinfo, database libraries without a non-blocking interface. */
#ifndef RUNTIME_OFFLOAD_H
#define RUNTIME_OFFLOAD_H

#include "runtime/worker.h"

/* Runs fn(arg) on a helper thread and waits for it, whatever happens: the thread holds the caller's memory, so
 * neither a deadline nor cancellation cuts it short. 0, or -EAGAIN when the queue (1,024) is full, -ENOMEM. Threads
 * (at most 4) are started when first needed and end with rt_offload_stop. Under the simulator fn runs in place, after
 * a delay drawn from the seed. */
int rt_offload(void (*fn)(void *), void *arg) __attribute__((warn_unused_result));
/* Ends the helper threads; after rt_run has returned. */
void rt_offload_stop(void);

#endif
