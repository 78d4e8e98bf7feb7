/* Threads: the seam behind which pthreads stand. Signals are blocked in every thread but the first, with a large
 * enough stack for library code. */
#ifndef RUNTIME_THREAD_H
#define RUNTIME_THREAD_H

#include <pthread.h>

struct rt_thread {
    pthread_t handle;
    void (*fn)(void *);
    void *arg;
    char name[16];
};

/* Starts fn(arg) in a thread. *t must stay in place until rt_thread_join. 0 or a negative errno. */
int rt_thread_start(struct rt_thread *t, const char *name, void (*fn)(void *), void *arg)
    __attribute__((warn_unused_result));
void rt_thread_join(struct rt_thread *t);

#endif
