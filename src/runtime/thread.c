#include "runtime/thread.h"

#include <signal.h>
#include <stdio.h>

static void *start(void *arg) {
    struct rt_thread *t = arg;
    pthread_setname_np(pthread_self(), t->name);
    t->fn(t->arg);
    return NULL;
}

int rt_thread_start(struct rt_thread *t, const char *name, void (*fn)(void *), void *arg) {
    sigset_t all, before;
    pthread_attr_t attr;
    t->fn = fn;
    t->arg = arg;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 2u << 20);
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&t->handle, &attr, start, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

void rt_thread_join(struct rt_thread *t) {
    pthread_join(t->handle, NULL);
}
