/* Workers and their mailboxes, the end of a run, signals, the watchdog. */
#include "runtime/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sanitize.h"
#include "runtime/signals.h"
#include "runtime/thread.h"
#include "support.h"

struct letter {
    struct rt_msg msg;
    unsigned from, number;
};

#define LETTERS 1000
static struct letter letters[4][LETTERS];
static unsigned next_from[4], received;

static void letter_comes(struct rt_msg *m) {
    struct letter *l = B_CONTAINER(m, struct letter, msg);
    CHECK_UINT(rt_index(), 0);
    CHECK(rt_fiber_self() == NULL);
    CHECK_UINT(l->number, next_from[l->from]++);
    received++;
}

static void write_letters(void *arg) {
    (void)arg;
    unsigned me = rt_index();
    for (unsigned i = 0; i < LETTERS; i++) {
        letters[me][i] = (struct letter){.msg.fn = letter_comes, .from = me, .number = i};
        rt_post(rt_worker(0), &letters[me][i].msg);
        if (i % 16 == 0)
            (void)rt_yield();
    }
}

static void exchange(void *arg) {
    (void)arg;
    CHECK_UINT(rt_worker_count(), 4);
    CHECK_INT(rt_on_all_workers("letters", write_letters, NULL), 0);
    UNTIL(received == 4 * LETTERS);
}

TEST(messages_come_in_their_senders_order) {
    run_on(4, exchange, NULL);
}

static struct rt_msg late[4];
static _Atomic unsigned late_handled;

static void late_comes(struct rt_msg *m) {
    (void)m;
    CHECK_INT(rt_spawn("too late", write_letters, NULL), -ECANCELED);
    atomic_fetch_add(&late_handled, 1);
}

static void post_at_the_end(void *arg) {
    (void)arg;
    rt_cancel_off();
    while (!rt_cancelled())
        (void)!rt_sleep_until(in(RT_MS));
    (void)!rt_sleep_until(in(SHORT)); /* the others have nothing left to do by then */
    rt_cancel_on();
    for (unsigned i = 0; i < 4; i++) {
        late[i].fn = late_comes;
        rt_post(rt_worker(i), &late[i]);
    }
}

static void end_with_posts(void *arg) {
    (void)arg;
    CHECK_INT(rt_spawn("poster", post_at_the_end, NULL), 0);
}

TEST(nothing_posted_is_lost_at_the_end) {
    for (int i = 0; i < 20; i++) {
        atomic_store(&late_handled, 0);
        run_on(4, end_with_posts, NULL);
        CHECK_UINT(late_handled, 4);
    }
}

static _Atomic int late_answer;

/* The others have been told to stop, and soon have no fibers any more, but they still answer. */
static void ask_at_the_end(void *arg) {
    rt_cancel_off();
    while (!rt_cancelled())
        (void)!rt_sleep_until(in(RT_MS));
    (void)!rt_sleep_until(in(SHORT));
    atomic_store(&late_answer, rt_on_all_workers("too late", write_letters, arg));
    rt_cancel_on();
}

static void spawn_asker(struct rt_msg *m) {
    (void)m;
    CHECK_INT(rt_spawn("asker", ask_at_the_end, NULL), 0);
    late_handled = 1;
}

static void end_with_question(void *arg) {
    static struct rt_msg m = {.fn = spawn_asker};
    (void)arg;
    late_handled = 0;
    rt_post(rt_worker(3), &m);
    UNTIL(late_handled);
}

TEST(workers_leave_together) {
    run_on(4, end_with_question, NULL);
    CHECK_INT(late_answer, -ECANCELED);
}

static _Atomic unsigned met[4];

static void count_worker(void *arg) {
    (void)arg;
    atomic_fetch_add(&met[rt_index()], 1);
    CHECK(rt_self() == rt_worker(rt_index()));
    (void)!rt_sleep_until(in(SHORT));
}

static void meet_all(void *arg) {
    (void)arg;
    CHECK_INT(rt_on_all_workers("count", count_worker, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_UINT(met[i], 1);
}

TEST(on_all_workers_waits_for_all) {
    run_on(4, meet_all, NULL);
}

static void wait_long(void *arg) {
    (void)arg;
    CHECK_INT(rt_park(RT_NEVER), -ECANCELED);
    atomic_fetch_add(&met[rt_index()], 1);
}

static void spawn_waiters(void *arg) {
    for (int i = 0; i < 10; i++)
        CHECK_INT(rt_spawn("waiter", wait_long, arg), 0);
}

static void leave_waiters(void *arg) {
    CHECK_INT(rt_on_all_workers("spawn", spawn_waiters, arg), 0);
}

TEST(the_end_reaches_sleeping_workers) {
    run_on(4, leave_waiters, NULL);
    for (int i = 0; i < 4; i++)
        CHECK_UINT(met[i], 10);
}

static void *post_from_outside(void *arg) {
    rt_post(rt_worker(0), arg);
    return NULL;
}

static struct rt_fiber *waiter;

static void wakes_waiter(struct rt_msg *m) {
    (void)m;
    rt_wake(waiter, 9);
}

static void sleep_until_posted(void *arg) {
    struct rt_msg m = {.fn = wakes_waiter};
    pthread_t thread;
    (void)arg;
    waiter = rt_fiber_self();
    CHECK_INT(pthread_create(&thread, NULL, post_from_outside, &m), 0);
    CHECK_INT(rt_park(RT_NEVER), 9);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

TEST(any_thread_can_post) {
    run_on(1, sleep_until_posted, NULL);
}

static void random_differs(void *arg) {
    unsigned char a[32] = {0}, b[32] = {0};
    (void)arg;
    rt_random(a, sizeof a);
    rt_random(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(rt_scratch_in() != rt_scratch_out());
    memset(rt_scratch_in(), 1, RT_SCRATCH_BYTES);
    memset(rt_scratch_out(), 2, RT_SCRATCH_BYTES);
    CHECK_INT(*(char *)rt_scratch_in(), 1);
}

TEST(a_worker_has_buffers_and_random_bytes) {
    run_on(1, random_differs, NULL);
}

static void use_arena(void *arg) {
    struct b_arena a;
    (void)arg;
    b_arena_init(&a, B_TAG_REQUESTS, rt_chunks(), NULL, 0, 1 << 20);
    for (int i = 0; i < 1000; i++)
        CHECK(b_arena_alloc(&a, 100) != NULL);
    b_arena_release(&a);
    b_arena_init(&a, B_TAG_REQUESTS, rt_chunks(), NULL, 0, 1 << 20);
    uint64_t before = b_alloc_calls();
    CHECK(b_arena_alloc(&a, 100) != NULL);
    b_arena_release(&a);
    CHECK(B_ASAN || b_alloc_calls() == before); /* from those that came back */
}

TEST(chunks_are_recycled) {
    uint64_t before = b_alloc_stat(B_TAG_REQUESTS).bytes;
    run_on(1, use_arena, NULL);
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes, before);
}

static void unused(void *arg) {
    (void)arg;
    FAIL("main ran without memory");
}

TEST(no_memory_no_start) {
    struct rt_config config = {.workers = 3};
    uint64_t n = 1, before = b_alloc_total_bytes();
    for (; n <= 10; n++) { /* the process, and three for each worker */
        b_alloc_fail_at(n);
        CHECK_INT(rt_run(&config, unused, NULL), -ENOMEM);
        CHECK_UINT(b_alloc_failures(), 1);
        b_alloc_fail_at(0);
        CHECK_UINT(b_alloc_total_bytes(), before);
    }
}

static void on_signal(void *arg) {
    (void)arg;
    CHECK_INT(rt_signal_wait(in(SHORT)), -ETIMEDOUT);
    CHECK_INT(kill(getpid(), SIGHUP), 0);
    CHECK_INT(rt_signal_wait(in(LONG)), SIGHUP);
    CHECK_INT(kill(getpid(), SIGPIPE), 0); /* ignored */
    CHECK_INT(kill(getpid(), SIGUSR1), 0);
    CHECK_INT(rt_signal_wait(in(LONG)), SIGUSR1);
}

TEST(signals_come_as_events) {
    CHECK_INT(rt_signals_open(), 0);
    run_on(2, on_signal, NULL);
    rt_signals_close();
}

static _Atomic bool stalled;

static void stall_hook(unsigned worker, const char *what, rt_time held, uint64_t untold) {
    (void)untold;
    if (worker == 0 && strcmp(what, "main") == 0 && held >= RT_STALL)
        atomic_store(&stalled, true);
}

static void hog(void *arg) {
    rt_time until = rt_after(rt_clock(), LONG);
    (void)arg;
    while (!atomic_load(&stalled) && rt_clock() < until)
        ;
}

TEST(the_watchdog_names_what_holds_a_loop) {
    struct rt_config config = {.workers = 1, .watchdog = true};
    rt_set_stall_hook(stall_hook);
    CHECK_INT(rt_run(&config, hog, NULL), 0);
    rt_set_stall_hook(NULL);
    CHECK(stalled);
    CHECK(rt_stall_count() > 0);
}

static _Atomic uint64_t stall_calls, stalls_told;

static void count_hook(unsigned worker, const char *what, rt_time held, uint64_t untold) {
    (void)worker, (void)what, (void)held;
    atomic_fetch_add(&stall_calls, 1);
    atomic_fetch_add(&stalls_told, 1 + untold);
}

static void hog_often(void *arg) {
    uint64_t first = *(uint64_t *)arg;
    rt_time until = rt_after(rt_clock(), LONG);
    for (uint64_t seen; (seen = rt_stall_count()) < first + 5 && rt_clock() < until; (void)rt_yield())
        while (rt_stall_count() == seen && rt_clock() < until)
            ;
}

TEST(the_watchdog_tells_once_a_second) {
    struct rt_config config = {.workers = 1, .watchdog = true};
    uint64_t first = rt_stall_count();
    rt_time began = rt_clock();
    rt_set_stall_hook(count_hook);
    CHECK_INT(rt_run(&config, hog_often, &first), 0);
    rt_set_stall_hook(NULL);
    CHECK(rt_stall_count() >= first + 5);
    CHECK(stall_calls <= 1 + (uint64_t)((rt_clock() - began) / RT_S));
    CHECK(stalls_told <= rt_stall_count());
}

static void note_thread(void *arg) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(sigismember(&mask, SIGTERM));
    CHECK(!sigismember(&mask, SIGSEGV));
    *(pthread_t *)arg = pthread_self();
}

TEST(threads_start_with_signals_blocked) {
    struct rt_thread t;
    pthread_t seen = pthread_self();
    REQUIRE(rt_thread_start(&t, "a-name-that-is-too-long", note_thread, &seen) == 0);
    rt_thread_join(&t);
    CHECK(!pthread_equal(seen, pthread_self()));
}

/* --- a back end that cannot be set up on every worker --- */

static int open_the_first(struct rt_worker *w) {
    return w->index == 0 ? rt_epoll.open(w) : -ENOMEM;
}

static void note_backend(void *arg) {
    *(const struct rt_backend **)arg = rt_self()->backend;
}

TEST(a_back_end_that_cannot_be_set_up_gives_way) {
    struct rt_backend poor = rt_epoll;
    const struct rt_backend *used = NULL;
    struct rt_config config = {.workers = 2, .backend = &poor};
    poor.name = "a poor back end";
    poor.open = open_the_first;
    CHECK_INT(rt_run(&config, note_backend, &used), -ENOMEM);
    CHECK(used == NULL);
    config.fallback = &rt_epoll;
    CHECK_INT(rt_run(&config, note_backend, &used), 0);
    CHECK(used == &rt_epoll);
}

const struct test_case worker_tests[] = {
    {"messages_come_in_their_senders_order", messages_come_in_their_senders_order},
    {"nothing_posted_is_lost_at_the_end", nothing_posted_is_lost_at_the_end},
    {"workers_leave_together", workers_leave_together},
    {"on_all_workers_waits_for_all", on_all_workers_waits_for_all},
    {"the_end_reaches_sleeping_workers", the_end_reaches_sleeping_workers},
    {"any_thread_can_post", any_thread_can_post},
    {"a_worker_has_buffers_and_random_bytes", a_worker_has_buffers_and_random_bytes},
    {"chunks_are_recycled", chunks_are_recycled},
    {"no_memory_no_start", no_memory_no_start},
    {"signals_come_as_events", signals_come_as_events},
    {"the_watchdog_names_what_holds_a_loop", the_watchdog_names_what_holds_a_loop},
    {"the_watchdog_tells_once_a_second", the_watchdog_tells_once_a_second},
    {"threads_start_with_signals_blocked", threads_start_with_signals_blocked},
    {"a_back_end_that_cannot_be_set_up_gives_way", a_back_end_that_cannot_be_set_up_gives_way},
    {0},
};
