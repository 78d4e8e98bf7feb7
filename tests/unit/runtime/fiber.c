#include "runtime/fiber.h"

#include <stdlib.h>

#include "support.h"

static char trace[64];
static size_t traced;

static void note(char c) {
    if (traced < sizeof trace - 1)
        trace[traced++] = c;
    trace[traced] = 0;
}

static void start_trace(void) {
    traced = 0;
    trace[0] = 0;
}

static void three_turns(void *arg) {
    for (int i = 0; i < 3; i++) {
        note(*(const char *)arg);
        CHECK_INT(rt_yield(), 0);
    }
}

static void yield_takes_turns(void *arg) {
    struct rt_scope s;
    (void)arg;
    start_trace();
    rt_scope_init(&s);
    spawn_in(&s, three_turns, "a");
    spawn_in(&s, three_turns, "b");
    spawn_in(&s, three_turns, "c");
    note('-');
    join(&s);
    CHECK_STR(trace, "-abcabcabc");
}

TEST(fibers_take_turns_in_order) {
    run_on(1, yield_takes_turns, NULL);
}

static struct rt_fiber *sleeper;
static int woken_with;

static void sleep_once(void *arg) {
    sleeper = rt_fiber_self();
    woken_with = rt_park(*(rt_time *)arg);
}

static void wake_gives_result(void *arg) {
    struct rt_scope s;
    rt_time never = RT_NEVER;
    (void)arg;
    rt_scope_init(&s);
    spawn_in(&s, sleep_once, &never);
    UNTIL(sleeper && sleeper->state == RT_FIBER_PARKED);
    rt_wake(sleeper, 42);
    rt_wake(sleeper, 43); /* it does not wait any more */
    join(&s);
    CHECK_INT(woken_with, 42);
}

TEST(the_wakers_result_is_what_the_wait_gives) {
    run_on(1, wake_gives_result, NULL);
}

static void deadlines(void *arg) {
    (void)arg;
    rt_time before = rt_clock(), at = in(SHORT);
    CHECK_INT(rt_park(at), -ETIMEDOUT);
    CHECK(rt_clock() >= at);
    CHECK_INT(rt_park(before), -ETIMEDOUT);
    CHECK_INT(rt_park(RT_NOWAIT), -ETIMEDOUT);
    at = in(SHORT);
    CHECK_INT(rt_sleep_until(at), 0);
    CHECK(rt_clock() >= at);
    CHECK(rt_now() >= at);
    CHECK_INT(rt_sleep_until(before), 0);
}

TEST(a_wait_ends_at_its_deadline_and_not_before) {
    run_on(1, deadlines, NULL);
}

static int first_wait, second_wait, shielded_wait, yielded, slept;
static bool was_cancelled;

static void waits_after_cancel(void *arg) {
    (void)arg;
    first_wait = rt_park(RT_NEVER);
    second_wait = rt_park(in(LONG));
    yielded = rt_yield();
    slept = rt_sleep_until(in(LONG));
    was_cancelled = rt_cancelled();
    rt_cancel_off();
    rt_cancel_off();
    shielded_wait = rt_park(in(SHORT));
    rt_cancel_on();
    CHECK_INT(rt_park(in(SHORT)), -ETIMEDOUT);
    rt_cancel_on();
    CHECK_INT(rt_park(in(LONG)), -ECANCELED);
}

static void cancel_is_sticky(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    spawn_in(&s, waits_after_cancel, NULL);
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    rt_scope_cancel(&s);
    join(&s);
    CHECK_INT(first_wait, -ECANCELED);
    CHECK_INT(second_wait, -ECANCELED);
    CHECK_INT(yielded, -ECANCELED);
    CHECK_INT(slept, -ECANCELED);
    CHECK(was_cancelled);
    CHECK_INT(shielded_wait, -ETIMEDOUT);
    CHECK(!rt_cancelled());
}

TEST(cancellation_is_a_result_and_stays) {
    run_on(1, cancel_is_sticky, NULL);
}

static void shielded(void *arg) {
    (void)arg;
    rt_cancel_off();
    sleeper = rt_fiber_self();
    woken_with = rt_park(RT_NEVER);
    rt_cancel_on();
    first_wait = rt_park(RT_NEVER);
}

static void cancel_off_holds(void *arg) {
    struct rt_scope s;
    (void)arg;
    sleeper = NULL;
    rt_scope_init(&s);
    spawn_in(&s, shielded, NULL);
    UNTIL(sleeper && sleeper->state == RT_FIBER_PARKED);
    rt_scope_cancel(&s);
    CHECK_INT(rt_scope_wait(&s, in(SHORT)), -ETIMEDOUT);
    rt_wake(sleeper, 7);
    join(&s);
    CHECK_INT(woken_with, 7);
    CHECK_INT(first_wait, -ECANCELED);
}

TEST(clean_up_is_not_cancelled) {
    run_on(1, cancel_off_holds, NULL);
}

/* Enough live values that some are in every kind of register. */
static void keeps_values(void *arg) {
    uint64_t a = (uintptr_t)arg, b = a * 3, c = a ^ 0x5555, d = a << 7, e = ~a, f = a + 99, g = a - 5;
    double x = (double)a * 1.5, y = x + 0.25, z = -x;
    for (uint64_t i = 0; i < 100; i++) {
        a += i, b ^= a, c += b, d ^= c, e += d, f ^= e, g += f;
        x += 1.0, y += x, z -= y;
        uint64_t sum = a + b + c + d + e + f + g;
        double dsum = x + y + z;
        CHECK_INT(rt_yield(), 0);
        CHECK(sum == a + b + c + d + e + f + g);
        CHECK(dsum == x + y + z);
    }
}

static void many_values(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (uintptr_t i = 1; i <= 10; i++)
        spawn_in(&s, keeps_values, (void *)i);
    join(&s);
}

TEST(values_survive_the_switch) {
    run_on(1, many_values, NULL);
}

#define DEEP (512 * 1024) /* more than a fiber's stack, also under the sanitizers */

static char *inner_stack;

static void innermost(void *arg) {
    CHECK(rt_fiber_self() == NULL);
    *(bool *)arg = true;
}

static void use_much(void *arg) {
    char big[DEEP];
    memset(big, 1, sizeof big);
    inner_stack = big;
    rt_on_big_stack(innermost, arg); /* once more: it is there already */
    __asm__ volatile("" : : "r"(big) : "memory");
}

static void on_big(void *arg) {
    bool ran = false;
    char here;
    (void)arg;
    struct rt_fiber *self = rt_fiber_self();
    rt_on_big_stack(use_much, &ran);
    CHECK(ran);
    CHECK(rt_fiber_self() == self);
    CHECK(labs(inner_stack - &here) > DEEP / 2);
    CHECK_INT(rt_yield(), 0);
}

TEST(the_big_stack_is_big) {
    run_on(1, on_big, NULL);
}

static void park_on_loop(void *arg) {
    (void)arg;
    (void)!rt_park(RT_NEVER);
}

static void park_on_big_stack(void *arg) {
    (void)arg;
    rt_on_big_stack(park_on_loop, NULL);
}

static void run_parking(void) {
    struct rt_config config = {.workers = 1};
    (void)rt_run(&config, park_on_big_stack, NULL);
}

TEST(waiting_on_the_big_stack_is_refused) {
    CHECK(dies(run_parking));
}

static void fill(void *arg) {
    struct rt_scope s;
    unsigned n = 0;
    int rc;
    (void)arg;
    rt_scope_init(&s);
    CHECK_UINT(rt_fiber_limit(), 20);
    while ((rc = rt_scope_spawn(&s, "one of many", park_on_loop, NULL)) == 0 && n < 100)
        n++;
    CHECK_INT(rc, -EAGAIN);
    CHECK_UINT(n, 19); /* and this one */
    CHECK_UINT(rt_fiber_count(), 20);
    rt_scope_leave(&s);
    CHECK_UINT(rt_fiber_count(), 1);
    rt_scope_init(&s);
    CHECK_INT(rt_scope_spawn(&s, "again", park_on_loop, NULL), 0);
    rt_scope_leave(&s);
}

TEST(no_more_fibers_than_the_limit) {
    struct rt_config config = {.workers = 2, .max_fibers = 20};
    CHECK_INT(rt_run(&config, fill, NULL), 0);
    CHECK_UINT(rt_fiber_count(), 0);
}

static void spawn_without_memory(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    /* stacks do not come from the allocator, so only what a fiber does can fail; a fiber starts all the same */
    b_alloc_fail_at(1);
    spawn_in(&s, sleep_once, &(rt_time){0});
    b_alloc_fail_at(0);
    join(&s);
}

TEST(a_fiber_needs_no_heap) {
    run_on(1, spawn_without_memory, NULL);
}

const struct test_case fiber_tests[] = {
    {"fibers_take_turns_in_order", fibers_take_turns_in_order},
    {"the_wakers_result_is_what_the_wait_gives", the_wakers_result_is_what_the_wait_gives},
    {"a_wait_ends_at_its_deadline_and_not_before", a_wait_ends_at_its_deadline_and_not_before},
    {"cancellation_is_a_result_and_stays", cancellation_is_a_result_and_stays},
    {"clean_up_is_not_cancelled", clean_up_is_not_cancelled},
    {"values_survive_the_switch", values_survive_the_switch},
    {"the_big_stack_is_big", the_big_stack_is_big},
    {"waiting_on_the_big_stack_is_refused", waiting_on_the_big_stack_is_refused},
    {"no_more_fibers_than_the_limit", no_more_fibers_than_the_limit},
    {"a_fiber_needs_no_heap", a_fiber_needs_no_heap},
    {0},
};
