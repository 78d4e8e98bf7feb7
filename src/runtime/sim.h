/* The simulator: a back end in one thread with a virtual clock and sockets in memory, in which a seed decides everything
 * that chance decides elsewhere: which worker steps next, which of its ready fibers runs, how long a chunk travels, how
 * short a read is, and when the network fails. The same seed gives the same run.
 *
 * It knows no descriptors of the kernel: rt_wait_fd gives -ENOTSUP. Offloaded calls run in place (offload.h). */
#ifndef RUNTIME_SIM_H
#define RUNTIME_SIM_H

#include "runtime/io.h"

#define RT_SIM_WORKERS_MAX 4

struct rt_sim_result {
    uint64_t steps;       /* turns of workers */
    rt_time elapsed;      /* virtual time */
    unsigned connections; /* made in all */
    unsigned handles;     /* left open: a leak */
    unsigned injected;    /* failures that were injected */
};

struct rt_sim_config {
    uint64_t seed;
    unsigned workers;    /* 1 .. RT_SIM_WORKERS_MAX; 0: drawn from the seed */
    uint32_t max_fibers; /* as in struct rt_config */
    uint64_t max_steps;  /* 0: ten million */
    rt_time max_time;    /* of virtual time; 0: no limit */
    rt_time wall_start;  /* what the wall clock shows at the start; 0: 2026-01-01T00:00:00Z */
    rt_time delay_max;   /* the longest a chunk travels; 0: drawn from the seed, up to 20 ms */
    size_t buffer_bytes; /* room of a connection, each way; 0: drawn for each one, 1 byte to 64 KiB */
    /* Failures, in so many of a thousand operations. */
    unsigned resets;              /* receive or send: both ends see -ECONNRESET */
    unsigned connect_fail;        /* connect: -ECONNREFUSED, -EHOSTUNREACH, or no answer at all */
    unsigned accept_fail;         /* accept: -EMFILE; the connection stays in the queue */
    bool quiet;                   /* a run that does not end well is not told: a test expects it */
    struct rt_sim_result *result; /* NULL, or filled at the end */
};

extern const struct rt_backend rt_sim;

/* Like rt_run. 0; -EDEADLK when nobody could run any more, and -ETIME when a limit was reached, before fn had returned
 * and all fibers were gone: these are told on stderr with the seed. Then what is left is cancelled, so that clean-up
 * still runs. */
int rt_sim_run(const struct rt_sim_config *config, void (*fn)(void *), void *arg)
    __attribute__((warn_unused_result));

/* Sets the wall clock, as an administrator would; in a run. */
void rt_sim_set_wall_clock(rt_time at);

/* WEIR_SEED of the environment, or what is given. */
uint64_t rt_sim_seed(uint64_t otherwise);

#endif
