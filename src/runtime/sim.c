/* The simulator's scheduler and clock. */
#include "runtime/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "runtime/fiber_internal.h"
#include "runtime/sim_internal.h"
#include "runtime/switch.h"

#define STEPS_MAX 10000000u
#define CLEAN_UP_STEPS 1000000u /* after a failure, for what is cancelled */
#define WALL_START (1767225600 * RT_S)
#define CLOCK_START (1000 * RT_S) /* of the monotonic clock: no test should think that it starts at 0 */
#define STALLS 500                /* one step in so many takes long */

struct rt_sim rt_sim_now;

static struct {
    _Alignas(64) struct rt_worker workers[RT_SIM_WORKERS_MAX];
    void (*fn)(void *);
    void *arg;
    bool returned;
} run;

uint64_t rt_sim_seed(uint64_t otherwise) {
    const char *text = getenv("WEIR_SEED");
    uint64_t seed;
    return text && b_parse_u64(b_slice_cstr(text), &seed) ? seed : otherwise;
}

/* --- the back end --- */

static int open_worker(struct rt_worker *w) {
    (void)w;
    return 0;
}

static void close_worker(struct rt_worker *w) {
    (void)w;
}

static void turn(struct rt_worker *w, rt_time until) {
    (void)until;
    w->now = rt_sim_now.now;
    rt_sim_take_events(w);
}

static void interrupt(struct rt_worker *w) {
    (void)w;
}

static rt_time virtual_clock(void) {
    return rt_sim_now.now;
}

static rt_time virtual_wall_clock(void) {
    return rt_sim_now.wall_start + rt_sim_now.now - CLOCK_START;
}

void rt_sim_set_wall_clock(rt_time at) {
    rt_sim_now.wall_start = at - rt_sim_now.now + CLOCK_START;
}

static uint64_t log_clock(void) {
    return (uint64_t)virtual_wall_clock();
}

static void close_handle(int fd) {
    struct rt_sim_end *e = rt_sim_end_of(fd);
    struct rt_sim_listener *l = rt_sim_listener_of(fd);
    if (e)
        rt_sim_end_close(e, false);
    else if (l)
        rt_sim_listener_close(l);
}

const struct rt_backend rt_sim = {
    .name = "sim",
    .io = &rt_sim_ops,
    .open = open_worker,
    .close = close_worker,
    .turn = turn,
    .interrupt = interrupt,
    .clock = virtual_clock,
    .wall_clock = virtual_wall_clock,
    .listen = rt_sim_listen,
    .close_handle = close_handle,
    .accept_handle = rt_sim_accept_handle,
};

/* --- the scheduler --- */

bool rt_sim_can_run(const struct rt_worker *w) {
    return rt_worker_due(w) <= rt_sim_now.now || !b_list_empty(&rt_sim_now.events[w->index]);
}

/* One of the workers that can run; NULL when none can. */
static struct rt_worker *choose(void) {
    struct rt_worker *able[RT_SIM_WORKERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < rt_sim_now.workers; i++)
        if (rt_sim_can_run(rt_sim_now.list[i]))
            able[n++] = rt_sim_now.list[i];
    return n ? able[rt_sim_draw(n)] : NULL;
}

/* To the next timer or delivery; false when there is none. */
static bool jump(void) {
    rt_time next = rt_sim_next_delivery();
    for (unsigned i = 0; i < rt_sim_now.workers; i++)
        next = rt_earlier(next, rt_worker_due(rt_sim_now.list[i]));
    if (next == RT_NEVER)
        return false;
    if (next > rt_sim_now.now)
        rt_sim_now.now = next;
    return true;
}

static void step(struct rt_worker *w) {
    struct rt_sim *sim = &rt_sim_now;
    sim->result.steps++;
    rt_set_self(w);
    atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
    w->backend->turn(w, RT_NOWAIT);
    rt_load_woke(w, w->now);
    rt_worker_step(w);
    rt_set_self(NULL);
    /* what ran took time */
    sim->now += (rt_time)rt_sim_draw(rt_sim_draw(STALLS) ? 10 * RT_US : 20 * RT_MS);
    rt_load_worked(w, sim->now);
    atomic_store_explicit(&w->asleep, !rt_sim_can_run(w), memory_order_relaxed);
}

static void main_fiber(void *arg) {
    (void)arg;
    run.fn(run.arg);
    run.returned = true;
}

/* Cancels what is left on all workers; true when it is all gone. */
static bool stopped(void) {
    bool all = true;
    for (unsigned i = 0; i < rt_sim_now.workers; i++) {
        struct rt_worker *w = rt_sim_now.list[i];
        rt_set_self(w);
        all = rt_worker_stop(w) && !atomic_load(&w->mailbox) && all;
    }
    rt_set_self(NULL);
    return all;
}

static int steps(bool failed, uint64_t steps_end, rt_time time_end) {
    for (;;) {
        if ((run.returned || failed) && stopped())
            return 0;
        rt_sim_deliver();
        struct rt_worker *w = choose();
        if (w)
            step(w);
        else if (!jump())
            return -EDEADLK;
        if (rt_sim_now.result.steps >= steps_end || rt_sim_now.now >= time_end)
            return -ETIME;
    }
}

static void report(int rc) {
    static const char *const states[] = {"ready", "running", "parked", "done"};
    rt_time elapsed = rt_sim_now.now - rt_sim_now.start;
    fprintf(stderr,
            "sim: seed %" PRIu64 ": %s after %" PRIu64 " steps, %.6f s; %s; WEIR_SEED=%" PRIu64
            " replays it\n",
            rt_sim_now.config->seed, rc == -EDEADLK ? "nobody can run" : "limit reached",
            rt_sim_now.result.steps, (double)elapsed / RT_S,
            run.returned ? "fibers do not end" : "the main fiber has not returned", rt_sim_now.config->seed);
    for (unsigned i = 0; i < rt_sim_now.workers; i++) {
        B_LIST_EACH(n, &rt_sim_now.list[i]->root.children) {
            struct rt_fiber *f = B_CONTAINER(n, struct rt_fiber, sibling);
            fprintf(stderr, "sim:   worker %u: fiber %s, %s\n", i, f->name, states[f->state]);
        }
    }
}

static int start_workers(struct rt_sim *sim) {
    struct rt_config c = {.backend = &rt_sim, .max_fibers = sim->config->max_fibers};
    c.seed = b_rng_next(&sim->rng) | 1; /* 0 would be drawn from the kernel */
    int rc = rt_sim_net_open();
    for (unsigned i = 0; i < sim->workers; i++) {
        sim->list[i] = &run.workers[i];
        b_list_init(&sim->events[i]);
        if (rt_worker_init(sim->list[i], i, &c) != 0)
            rc = -ENOMEM;
        sim->list[i]->seeded_order = true;
        rt_switch_open(sim->list[i]);
    }
    rt_set_workers(sim->list, sim->workers, c.max_fibers);
    rt_set_self(sim->list[0]);
    return rc ? rc : rt_spawn("main", main_fiber, NULL);
}

static void prepare(struct rt_sim *sim, const struct rt_sim_config *config) {
    *sim = (struct rt_sim){.config = config, .now = CLOCK_START, .start = CLOCK_START, .next_port = 40000};
    sim->wall_start = config->wall_start ? config->wall_start : WALL_START;
    sim->rng.state = config->seed * 0x9e3779b97f4a7c15u + 0x5eed;
    sim->workers = config->workers ? config->workers : 1 + (unsigned)rt_sim_draw(RT_SIM_WORKERS_MAX);
    if (sim->workers > RT_SIM_WORKERS_MAX)
        sim->workers = RT_SIM_WORKERS_MAX;
    sim->delay_max = config->delay_max ? config->delay_max : 1 + (rt_time)rt_sim_draw(20 * RT_MS);
}

int rt_sim_run(const struct rt_sim_config *config, void (*fn)(void *), void *arg) {
    struct rt_sim *sim = &rt_sim_now;
    uint64_t steps_max = config->max_steps ? config->max_steps : STEPS_MAX;
    prepare(sim, config);
    run.fn = fn;
    run.arg = arg;
    run.returned = false;
    b_log_set_clock(log_clock);
    int rc = start_workers(sim);
    if (rc == 0) {
        rc = steps(false, steps_max, rt_after(sim->start, config->max_time ? config->max_time : RT_NEVER));
        if (rc) {
            if (!config->quiet)
                report(rc);
            (void)steps(true, sim->result.steps + CLEAN_UP_STEPS, RT_NEVER);
        }
    }
    sim->result.elapsed = sim->now - sim->start;
    for (unsigned i = 0; i < sim->workers; i++)
        rt_worker_free(sim->list[i]);
    rt_sim_net_free();
    rt_set_self(NULL);
    rt_set_workers(NULL, 0, 0);
    b_log_set_clock(NULL);
    if (config->result)
        *config->result = sim->result;
    return rc;
}
