#include "runtime/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/sanitize.h"
#include "runtime/fiber_internal.h"
#include "runtime/io.h"
#include "runtime/pipe.h"
#include "runtime/switch.h"

/* Sanitized code needs several times the stack. */
#define STACK_BYTES (B_ASAN || B_TSAN ? 256u << 10 : 64u << 10)
#define CHUNKS_KEPT 256
#define RUNS_PER_TURN 64

_Thread_local struct rt_worker *rt_self_;
static struct rt_worker *const *workers;
static unsigned worker_count;
static _Atomic uint32_t fiber_count;
static uint32_t fiber_limit;

void rt_set_self(struct rt_worker *w) {
    rt_self_ = w;
}

void rt_set_workers(struct rt_worker *const *list, unsigned count, uint32_t max_fibers) {
    uint32_t possible = rt_stack_limit();
    workers = list;
    worker_count = count;
    fiber_limit = max_fibers && max_fibers < possible ? max_fibers : possible;
}

unsigned rt_worker_count(void) {
    return worker_count;
}

struct rt_worker *rt_worker(unsigned index) {
    return workers[index];
}

rt_time rt_now(void) {
    return rt_self()->now;
}

/* Helper threads belong to no worker; there are none under the simulator. */
static const struct rt_backend *clock_source(void) {
    struct rt_worker *w = rt_self();
    return w ? w->backend : &rt_epoll;
}

rt_time rt_clock(void) {
    return clock_source()->clock();
}

rt_time rt_wall_clock(void) {
    return clock_source()->wall_clock();
}

void *rt_scratch_in(void) {
    return rt_self()->scratch_in;
}

void *rt_scratch_out(void) {
    return rt_self()->scratch_out;
}

struct b_chunk_source *rt_chunks(void) {
    return &rt_self()->chunks;
}

void rt_timer_set(struct rt_timer *t, rt_time at) {
    rt_wheel_set(&rt_self()->wheel, t, at);
}

void rt_timer_cancel(struct rt_timer *t) {
    rt_wheel_cancel(&rt_self()->wheel, t);
}

bool rt_fiber_admit(void) {
    if (atomic_fetch_add_explicit(&fiber_count, 1, memory_order_relaxed) < fiber_limit)
        return true;
    rt_fiber_leave();
    return false;
}

void rt_fiber_leave(void) {
    atomic_fetch_sub_explicit(&fiber_count, 1, memory_order_relaxed);
}

uint32_t rt_fiber_count(void) {
    return atomic_load_explicit(&fiber_count, memory_order_relaxed);
}

uint32_t rt_fiber_limit(void) {
    return fiber_limit;
}

size_t rt_stack_high_water(void) {
    size_t most = 0;
    for (unsigned i = 0; i < worker_count; i++) {
        size_t mark = __atomic_load_n(&workers[i]->stacks.high_water, __ATOMIC_RELAXED);
        most = mark > most ? mark : most;
    }
    return most;
}

void rt_random(void *buf, size_t len) {
    struct rt_worker *w = rt_self();
    char *p = buf;
    if (w && w->seeded_order) {
        for (size_t i = 0; i < len; i++)
            p[i] = (char)b_rng_next(&w->rng);
        return;
    }
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* no kernel that weir runs on does this after boot */
        if (n > 0)
            p += n, len -= (size_t)n;
    }
}

/* --- arena chunks --- */

static void *chunk_get(struct b_chunk_source *source) {
    struct rt_worker *w = B_CONTAINER(source, struct rt_worker, chunks);
    void *c = w->free_chunks;
    if (!c)
        return b_alloc(B_TAG_REQUESTS, B_ARENA_CHUNK);
    memcpy(&w->free_chunks, c, sizeof c);
    w->free_chunk_count--;
    return c;
}

static void chunk_put(struct b_chunk_source *source, void *c) {
    struct rt_worker *w = B_CONTAINER(source, struct rt_worker, chunks);
    if (B_ASAN || w->free_chunk_count >= CHUNKS_KEPT) {
        b_free(c);
        return;
    }
    memcpy(c, &w->free_chunks, sizeof c);
    w->free_chunks = c;
    w->free_chunk_count++;
}

static void free_chunks(struct rt_worker *w) {
    for (void *c; (c = w->free_chunks);) {
        memcpy(&w->free_chunks, c, sizeof c);
        b_free(c);
    }
    w->free_chunk_count = 0;
}

/* --- one worker --- */

static void trim(struct rt_timer *t) {
    struct rt_worker *w = B_CONTAINER(t, struct rt_worker, trim_timer);
    rt_stack_pool_trim(&w->stacks);
    if (w->free_chunk_count > CHUNKS_KEPT / 2)
        free_chunks(w);
    b_alloc_cache_trim();
    if (w->stacks.count > 16) /* a quiet worker is not woken for nothing */
        rt_wheel_set(&w->wheel, t, rt_after(w->now, RT_S));
}

void rt_worker_release(struct rt_worker *w) {
    rt_stack_pool_free(&w->stacks);
    free_chunks(w);
    b_alloc_cache_clear();
}

int rt_worker_init(struct rt_worker *w, unsigned index, const struct rt_config *config) {
    *w = (struct rt_worker){.index = index, .backend = config->backend};
    b_list_init(&w->ready);
    rt_scope_init(&w->root);
    rt_stack_pool_init(&w->stacks, STACK_BYTES);
    rt_timer_init(&w->trim_timer, trim);
    w->chunks = (struct b_chunk_source){.get = chunk_get, .put = chunk_put};
    w->now = config->backend->clock();
    rt_wheel_init(&w->wheel, w->now);
    w->load = (struct rt_load){.since = w->now, .began = w->now};
    atomic_init(&w->load_at, w->now);
    uint64_t seed = config->seed;
    if (!seed)
        rt_random(&seed, sizeof seed);
    w->rng.state = seed + index * 0x9e3779b97f4a7c15u;
    w->scratch_in = b_alloc(B_TAG_RUNTIME, RT_SCRATCH_BYTES);
    w->scratch_out = b_alloc(B_TAG_RUNTIME, RT_SCRATCH_BYTES);
    return w->scratch_in && w->scratch_out ? 0 : -ENOMEM;
}

void rt_worker_free(struct rt_worker *w) {
    rt_stack_pool_free(&w->stacks);
    free_chunks(w);
    rt_pipes_free(w);
    b_free(w->scratch_in);
    b_free(w->scratch_out);
    w->scratch_in = w->scratch_out = NULL;
}

/* A fiber's end: out of its scope, its stack into the pool. */
static void bury(struct rt_worker *w, struct rt_fiber *f) {
    rt_scope_child_done(f->scope, f);
    rt_fiber_free(f);
    rt_fiber_leave();
    b_counter_sub(&w->stats.fibers, 1);
    if (!rt_timer_is_set(&w->trim_timer) && w->stacks.count > 16)
        rt_wheel_set(&w->wheel, &w->trim_timer, rt_after(w->now, RT_S));
}

/* Inlined into the loop for the reason given in switch.h. */
__attribute__((always_inline)) static inline void run_fiber(struct rt_worker *w, struct rt_fiber *f) {
    assert(!w->current && "fibers run from the loop only");
    w->current = f;
    w->share_left = RT_SHARE;
    f->state = RT_FIBER_RUNNING;
    b_counter_add(&w->stats.switches, 1);
    atomic_store_explicit(&w->running, f->name, memory_order_relaxed);
    for (;;) {
        rt_switch_to_fiber(w, f);
        if (!w->big_fn)
            break;
        void (*fn)(void *) = w->big_fn;
        w->big_fn = NULL;
        w->current = NULL; /* a wait in there is a bug, and a call for the big stack is there already */
        fn(w->big_arg);
        w->current = f;
    }
    w->current = NULL;
    atomic_store_explicit(&w->running, NULL, memory_order_relaxed);
    if (f->state == RT_FIBER_DONE)
        bury(w, f);
}

void rt_fiber_run(struct rt_worker *w, struct rt_fiber *f) {
    run_fiber(w, f);
}

bool rt_mailbox_read(struct rt_worker *w) {
    if (!atomic_load_explicit(&w->mailbox, memory_order_relaxed))
        return false;
    struct rt_msg *newest = atomic_exchange_explicit(&w->mailbox, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) { /* they were pushed like a stack: turn them round */
        struct rt_msg *m = newest;
        newest = m->next;
        m->next = oldest;
        oldest = m;
    }
    while (oldest) {
        struct rt_msg *m = oldest;
        oldest = m->next; /* m's memory may go with fn */
        b_counter_add(&w->stats.messages, 1);
        m->fn(m);
    }
    return true;
}

static struct rt_fiber *next_ready(struct rt_worker *w) {
    struct b_list *n = w->ready.next;
    if (w->seeded_order)
        for (uint64_t skip = b_rng_below(&w->rng, w->ready_count); skip; skip--)
            n = n->next;
    b_list_remove(n);
    w->ready_count--;
    return B_CONTAINER(n, struct rt_fiber, ready);
}

void rt_worker_step(struct rt_worker *w) {
    b_counter_add(&w->stats.turns, 1);
    atomic_store_explicit(&w->progress, atomic_load_explicit(&w->progress, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    rt_wheel_advance(&w->wheel, w->now);
    rt_mailbox_read(w);
    /* those that are ready now, and some of those that they wake, for a chain of wake-ups should not cost a look at
     * the sockets each; but who yields wants that look, and at once after a whole share */
    uint32_t ready = w->ready_count;
    w->yielded = w->share_used = false;
    for (uint32_t n = 0;
         w->ready_count && !w->share_used && (n < ready || (n < RUNS_PER_TURN && !w->yielded)); n++)
        run_fiber(w, next_ready(w));
}

rt_time rt_worker_due(const struct rt_worker *w) {
    if (w->ready_count || atomic_load_explicit(&w->mailbox, memory_order_relaxed))
        return RT_NOWAIT;
    return rt_wheel_next(&w->wheel);
}

bool rt_worker_stop(struct rt_worker *w) {
    if (!w->root.cancelled)
        rt_scope_cancel(&w->root);
    return w->root.live == 0;
}

void rt_post(struct rt_worker *w, struct rt_msg *m) {
    struct rt_msg *head = atomic_load_explicit(&w->mailbox, memory_order_relaxed);
    do
        m->next = head;
    while (!atomic_compare_exchange_weak(&w->mailbox, &head, m));
    /* seq_cst on both sides: either the sleeper sees the message, or we see that it sleeps */
    if (w != rt_self_ && atomic_load(&w->asleep))
        w->backend->interrupt(w);
}
