/* What the tests of net/ share. */
#ifndef UNIT_NET_SUPPORT_H
#define UNIT_NET_SUPPORT_H

#include "runtime/worker.h"
#include "test.h"

/* Runs fn(arg) as a fiber on the first of `workers` workers; false (and a failure) when the runtime does
 * not start. */
static inline bool run_fiber(unsigned workers, void (*fn)(void *), void *arg) {
    struct rt_config config = {.workers = workers, .seed = 1};
    return test_check(__FILE__, __LINE__, rt_run(&config, fn, arg) == 0, "rt_run");
}

#endif
