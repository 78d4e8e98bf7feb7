/* Workers: one thread per CPU, each with its own loop, run queue, timers, stacks and statistics. They share nothing
 * but their mailboxes. */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "base/alloc.h"
#include "base/arena.h"
#include "base/counter.h"
#include "base/rng.h"
#include "runtime/load.h"
#include "runtime/scope.h"

#define RT_WORKERS_MAX 256
#define RT_SCRATCH_BYTES 65536

struct rt_backend;
struct rt_pipe;

/* A message to a worker: embedded in the sender's record, which must live until fn has been called. */
struct rt_msg {
    struct rt_msg *next;
    void (*fn)(struct rt_msg *); /* runs on the receiving worker's loop; must not wait */
};

struct rt_worker_stats {
    struct b_counter turns, switches, spawned, messages, io_events;
    struct b_counter fibers; /* alive now */
    struct b_counter yields; /* of fibers that had had their share */
    struct b_histogram held; /* how long the loop was away from its sockets, turn by turn */
};

struct rt_worker {
    unsigned index;
    const struct rt_backend *backend;
    void *backend_state;
    rt_time now;
    struct rt_wheel wheel;
    struct b_list ready;
    uint32_t ready_count;
    struct rt_fiber *current;
    void *loop_context; /* the loop's stack pointer while a fiber runs */
    struct rt_stack_pool stacks;
    struct rt_scope root;
    struct b_rng rng;
    bool seeded_order; /* the simulator: the next fiber is drawn, not taken in order */
    bool stopping;
    bool yielded;           /* a fiber has yielded in this turn */
    bool share_used;        /* and one because it had had its share */
    int64_t share_left;     /* of what the running fiber may do before it lets others run: see rt_charge */
    void (*big_fn)(void *); /* what a fiber asked the loop to run on its stack */
    void *big_arg;
    struct rt_timer trim_timer;
    struct b_chunk_source chunks; /* arena chunks, recycled */
    void *free_chunks;
    uint32_t free_chunk_count;
    struct rt_worker_stats stats;
    struct rt_load load;
    void *scratch_in, *scratch_out;
    struct rt_pipe *pipes; /* free ones */
    uint32_t pipes_free, pipes_made;
    const void *asan_loop_bottom;
    size_t asan_loop_size;
    void *asan_loop_fake, *tsan_loop;
    /* written by other threads, or read by them: a line of its own */
    _Alignas(64) _Atomic(struct rt_msg *) mailbox;
    _Atomic bool asleep;         /* may be blocked in its back end: wake it after posting */
    _Atomic uint32_t load_share; /* of its last window, and when that ended: load.h */
    _Atomic rt_time load_at;
    _Atomic uint64_t progress;     /* grows with every turn and every fiber that is let run */
    _Atomic(const char *) running; /* name of the fiber that runs, for the watchdog */
};

struct rt_config {
    unsigned workers;                 /* 1 .. RT_WORKERS_MAX; 0: rt_cpu_count() */
    const struct rt_backend *backend; /* NULL: epoll */
    /* Taken when a worker cannot be set up on the one above; NULL: rt_run fails then. */
    const struct rt_backend *fallback;
    uint32_t max_fibers; /* of the process; 0: what the kernel's map count allows */
    uint64_t seed;       /* of the workers' generators; 0: drawn from the kernel */
    bool watchdog;
};

/* Starts the workers (the first on the calling thread), runs fn(arg) as a fiber on worker 0, and when that returns
 * cancels what is left on all workers, stops them and returns. 0, or a negative errno when it could not start. */
int rt_run(const struct rt_config *config, void (*fn)(void *), void *arg);

/* The current worker; NULL on threads that are none. Behind a function, so that the simulator's turns and a helper
 * thread see the same thing; a fiber never leaves its thread, so the thread-local's address may be cached. */
extern _Thread_local struct rt_worker *rt_self_;
static inline struct rt_worker *rt_self(void) {
    return rt_self_;
}
static inline unsigned rt_index(void) {
    return rt_self()->index;
}
unsigned rt_worker_count(void);
struct rt_worker *rt_worker(unsigned index);

/* Posts a message; from any thread. It is handled at the receiver's next turn. */
void rt_post(struct rt_worker *w, struct rt_msg *m);
/* Runs fn(arg) as a fiber on every worker and waits for all of them; from a fiber. Not cancellable. 0 or -ENOMEM /
 * -EAGAIN when it could not run on some worker. */
int rt_on_all_workers(const char *name, void (*fn)(void *), void *arg);

/* Two buffers of RT_SCRATCH_BYTES that all fibers of the worker share: good until the next wait. One is for bytes that
 * come in, one for those that go out. */
void *rt_scratch_in(void);
void *rt_scratch_out(void);

/* The worker's source of arena chunks. */
struct b_chunk_source *rt_chunks(void);

/* A fiber that finds all its sockets ready would never wait. It has a share of RT_SHARE bytes (some 0.5 ms): operations on
 * streams charge their bytes and RT_OPERATION each, and once it is used up, the next operation that may wait lets others
 * run first. A loop that does much without such an operation calls rt_yield_due where it holds nothing that is lent.
 * 0, or -ECANCELED. */
#define RT_SHARE (256 << 10)
#define RT_OPERATION 4096 /* what a system call costs, in bytes copied */
int rt_yield_due(void);
static inline void rt_charge(int64_t bytes) {
    rt_self()->share_left -= bytes;
}
static inline bool rt_share_used(void) {
    return rt_self()->share_left <= 0;
}

/* Gives back what this worker keeps for later use: free stacks and chunks. On its own thread. */
void rt_worker_release(struct rt_worker *w);

/* Fibers alive in the process, and the limit. */
uint32_t rt_fiber_count(void);
uint32_t rt_fiber_limit(void);
/* High-water mark of fiber stacks over all workers, bytes (sampled). */
size_t rt_stack_high_water(void);
/* Random bytes from the kernel (seeded under the simulator). */
void rt_random(void *buf, size_t len);

/* Called by the watchdog for what held a loop longer than RT_STALL, once a second at the most; `untold`: others since the last call. The
 * count is of all workers. */
#define RT_STALL (10 * RT_MS)
typedef void rt_stall_fn(unsigned worker, const char *what, rt_time held, uint64_t untold);
void rt_set_stall_hook(rt_stall_fn *fn);
uint64_t rt_stall_count(void);

/* --- for back ends and the simulator --- */
/* Prepares a worker's record; its back end is opened separately. */
int rt_worker_init(struct rt_worker *w, unsigned index, const struct rt_config *config);
void rt_worker_free(struct rt_worker *w);
/* One turn: timers, mailbox, ready fibers. */
void rt_worker_step(struct rt_worker *w);
/* When the worker must next run, as far as it knows itself: now when fibers are ready. */
rt_time rt_worker_due(const struct rt_worker *w);
void rt_set_self(struct rt_worker *w);
void rt_set_workers(struct rt_worker *const *list, unsigned count, uint32_t max_fibers);
/* Starts leaving: cancels the root scope. True once all fibers of the worker are gone. */
bool rt_worker_stop(struct rt_worker *w);

#endif
